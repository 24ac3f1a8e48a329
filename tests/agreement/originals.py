"""Artifacts of every kind, layout, state and size, each from a seed: what the files of the corpus begin as."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.artifacts import file_of
from tiffsd import Artifact, Header, Kind, Layout, State

Pixels = np.ndarray


def identity(seed: int) -> str:
    """An id of eight hexadecimal digits."""
    return f"{(seed * 2654435761 + 0x1F9A1C2E) % 2**32:08x}"


def latents(
    seed: int,
    *,
    layout: Layout = Layout.MOSAIC,
    size: tuple[int, int, int] = (4, 8, 8),
    state: State | None = State.FINAL,
    sigma: float | None = None,
    beside: Mapping[str, Any] | None = None,
    tensor: Pixels | None = None,
    spread: float = 1.0,
    **header: Any,
) -> Artifact:
    """Latents with what lies beside them; partial ones have a step, and recipe and history say little."""
    made = np.random.default_rng(seed).standard_normal(size) if tensor is None else tensor
    scaled = (made * spread * ((sigma or 0.0) ** 2 + 1) ** 0.5).astype(np.float32) if tensor is None else tensor
    steps = {"step": 3, "steps": 9} if state is State.PARTIAL else {}
    fields: dict[str, Any] = {"recipe": {"prompt": "a cat", "width": 8 * size[2], "height": 8 * size[1]}, **steps, **header}
    return Artifact(
        Header(Kind.LATENTS, identity(seed), layout, scaled.shape, state=state, sigma=sigma, **fields),
        {"latents": scaled, **(beside or {})},
    )


def embedding(seed: int, *, rows: tuple[int, int] = (5, 5), width: int = 16, spread: float = 1.0) -> Artifact:
    """An embedding of so many rows of the prompt and of the negative one."""
    rng = np.random.default_rng(seed)
    parts = zip(("prompt_embeds", "negative_prompt_embeds"), rows, strict=True)
    tensors = {name: (spread * rng.standard_normal((count, width))).astype(np.float32) for name, count in parts if count}
    header = Header(Kind.EMBEDDING, identity(seed), Layout.STRIP, (*rows, width), recipe={"prompt": "a cat"})
    return Artifact(header, {**tensors, "pooled_prompt_embeds": rng.standard_normal(6).astype(np.float32)})


def picture(seed: int, *, size: tuple[int, int] = (7, 9), dtype: type = np.float32) -> Artifact:
    """A picture of values around 0..1, some beyond."""
    pixels = (np.random.default_rng(seed).standard_normal((*size, 3)) / 3 + 0.5).astype(dtype)
    return Artifact(Header(Kind.PICTURE, identity(seed), Layout.RGB, pixels.shape, recipe={"prompt": "a cat"}), {"picture": pixels})


def beside(seed: int, size: tuple[int, int, int]) -> dict[str, Any]:
    """What may lie beside latents: an embedding, a mask, the memory of a scheduler, tensors that nobody knows."""
    rng = np.random.default_rng(seed)
    channels, height, width = size
    return {
        "prompt_embeds": rng.standard_normal((4, 6)).astype(np.float32),
        "negative_prompt_embeds": rng.standard_normal((3, 6)).astype(np.float32),
        "mask": rng.random((height, width)) > 0.5,
        "image_latents": rng.standard_normal((channels, height, width)).astype(np.float32),
        "noise": rng.standard_normal((channels, height, width)).astype(np.float16),
        "held_mask": np.arange(height * width).reshape(height, width) % 3 > 0,
        "held_latents": rng.standard_normal((channels, height, width)).astype(np.float32),
        "held_noise": rng.standard_normal((channels, height, width)).astype(np.float32),
        "generator_state": rng.integers(0, 256, 32, np.uint8),
        "scheduler.derivative": rng.standard_normal((channels, height, width)),
        "scheduler.step_index": np.array(3, np.int64),
        "of.the.future": rng.integers(-9, 9, (2, 3)).astype(np.int16),
    }


__all__ = ["beside", "embedding", "file_of", "identity", "latents", "picture"]
