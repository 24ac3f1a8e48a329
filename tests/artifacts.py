"""Artifacts for tests, small and without a model."""

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tiffsd

# The width of the embedded model's embeddings.
WIDTH = 128


def latents(
    *, channels: int = 4, height: int = 16, width: int = 16, state: tiffsd.State = tiffsd.State.NOISE, seed: int = 0, **header: Any
) -> tiffsd.Artifact:
    """Married latents of the embedded model's shape."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[Any]] = {
        "latents": rng.standard_normal((channels, height, width)).astype(np.float32),
        "prompt_embeds": rng.standard_normal((77, WIDTH)).astype(np.float32),
        "negative_prompt_embeds": rng.standard_normal((77, WIDTH)).astype(np.float32),
    }
    recipe: Mapping[str, Any] = {"prompt": "a red house", "negative_prompt": "", "model": "demo", "seed": 1}
    fields = {"recipe": recipe, **header}
    return tiffsd.Artifact(
        tiffsd.Header(
            kind=tiffsd.Kind.LATENTS,
            id=tiffsd.new_id(),
            layout=tiffsd.Layout.MOSAIC,
            size=(channels, height, width),
            state=state,
            **fields,
        ),
        tensors,
    )


def embedding(*, seed: int = 0, **header: Any) -> tiffsd.Artifact:
    """An embedding of the embedded model's shape, with a pooled one that no canvas shows."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[Any]] = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {
            "prompt_embeds": (77, WIDTH),
            "negative_prompt_embeds": (77, WIDTH),
            "pooled_prompt_embeds": (WIDTH,),
        }.items()
    }
    fields = {"recipe": {"prompt": "a red house", "negative_prompt": ""}, **header}
    kind, layout = tiffsd.Kind.EMBEDDING, tiffsd.Layout.STRIP
    return tiffsd.Artifact(tiffsd.Header(kind=kind, id=tiffsd.new_id(), layout=layout, size=(77, 77, WIDTH), **fields), tensors)


def picture(height: int = 24, width: int = 32, *, seed: int = 3, dtype: type = np.float32) -> tiffsd.Artifact:
    """A picture of random colours."""
    pixels = np.random.default_rng(seed).random((height, width, 3)).astype(dtype)
    recipe = {"prompt": "a red house", "width": width, "height": height}
    header = tiffsd.Header(tiffsd.Kind.PICTURE, tiffsd.new_id(), tiffsd.Layout.RGB, pixels.shape, recipe=recipe)
    return tiffsd.Artifact(header, {"picture": pixels})


def embedding_of(prompt: str | None, *, seed: int = 4, rows: int = 77) -> tiffsd.Artifact:
    """The embedding of a prompt, `rows` of it negative; None for one whose words are not known."""
    rng = np.random.default_rng(seed)
    halves = {
        "prompt_embeds": rng.standard_normal((77, WIDTH)).astype(np.float32),
        "negative_prompt_embeds": rng.standard_normal((rows, WIDTH)).astype(np.float32),
    }
    recipe = {} if prompt is None else {"prompt": prompt, "negative_prompt": "rain", "model": "demo"}
    kind, layout, size = tiffsd.Kind.EMBEDDING, tiffsd.Layout.STRIP, (77, rows, WIDTH)
    return tiffsd.Artifact(tiffsd.Header(kind, tiffsd.new_id(), layout, size, recipe=recipe), halves)


def half_done(**changes: Any) -> tiffsd.Artifact:
    """Married latents in the middle of the loop, with all that may lie beside them."""
    made = latents(
        state=tiffsd.State.PARTIAL,
        recipe={"prompt": "a red house", "seed": 1, "width": 128, "height": 128, "steps": 20, "model": "demo", "unheard": [1]},
        **{"sigma": 3.0, "step": 12, "steps": 20, "extra": {"colour": "red"}, "history": ({"stage": "text", "id": "0a0b0c0d"},)}
        | changes,
    )
    beside = {
        "scheduler.derivative": np.ones((4, 16, 16), np.float32),
        "generator_state": np.arange(50, dtype=np.uint8),
        "mask": np.random.default_rng(1).random((16, 16)).astype(np.float32),
        "somebody.else": np.arange(7),
    }
    return replace(made, tensors={**made.tensors, **beside})


def file_of(artifact: tiffsd.Artifact, layout: tiffsd.Layout | None = None) -> bytes:
    """The bytes of an artifact's file."""
    file = io.BytesIO()
    tiffsd.write(file, artifact, layout=layout)
    return file.getvalue()


def unmarried(artifact: tiffsd.Artifact) -> tiffsd.Artifact:
    """The same without its embedding and without a recipe."""
    return replace(
        artifact, tensors={"latents": artifact.tensors["latents"]}, header=replace(artifact.header, recipe={}, id=tiffsd.new_id())
    )
