"""Artifacts with everything that can ride along, and programs that save them again: for the tests of files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

import tiffsd
from tiffsd import Artifact, Header, Kind, Layout, State

LAYOUTS = (Layout.MOSAIC, Layout.PAGES, Layout.RGBA)
RECIPE = {"prompt": "a red house", "seed": 7, "width": 96, "height": 64}
Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def married(*, layout: Layout = Layout.MOSAIC, channels: int = 4) -> Artifact:
    """Half-done latents with everything that can ride along."""
    tensors = {
        "latents": normal(channels, 8, 12),
        "prompt_embeds": normal(77, 32),
        "negative_prompt_embeds": normal(154, 32),
        "pooled_prompt_embeds": normal(48),
        "mask": normal(8, 12) > 0,
        "generator_state": np.arange(50, dtype=np.uint8),
        "scheduler.step_index": np.array(12),
        "scheduler.model_outputs.0": normal(channels, 8, 12, seed=4).astype(np.float64),
        "of_the_future": np.array([[1, 2]], np.int16),
    }
    header = Header(
        Kind.LATENTS, "3f9a1c2e", layout, (channels, 8, 12), state=State.PARTIAL, sigma=2.5, step=12, steps=30, recipe=RECIPE,
        parent="00000001", history=({"stage": "text", "id": "00000001"},), software={"tiffsd": "0.1.0"},
    )  # fmt: skip
    return Artifact(header, tensors)


def embedding() -> Artifact:
    tensors = {"prompt_embeds": 9 * normal(77, 300), "negative_prompt_embeds": normal(77, 300), "pooled_prompt_embeds": normal(40)}
    return Artifact(Header(Kind.EMBEDDING, "3f9a1c2e", Layout.STRIP, (77, 77, 300), recipe=RECIPE), tensors)


def picture() -> Artifact:
    return Artifact(Header(Kind.PICTURE, "3f9a1c2e", Layout.RGB, (6, 9, 3), recipe=RECIPE), {"picture": normal(6, 9, 3) / 4 + 0.5})


def written(artifact: Artifact, path: Path) -> Path:
    tiffsd.write(path, artifact)
    return path


def equal(found: Artifact, wanted: Artifact) -> None:
    assert found.header == wanted.header
    assert set(found.tensors) == set(wanted.tensors)
    for name, tensor in wanted.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found.tensors[name], tensor, err_msg=name)


def resave(source: Path, target: Path, *, edit: Callable[[Array], Array] = lambda a: a, **options: Any) -> Path:
    """What a program does that keeps the pixels and the description, and nothing else."""
    with tifffile.TiffFile(source) as tiff:
        pages = [edit(page.asarray()) for page in tiff.pages]
        description = tiff.pages[0].description
    writer = {key: options.pop(key) for key in ("bigtiff", "byteorder") if key in options}
    with tifffile.TiffWriter(target, **writer) as tiff:
        for page in pages:
            photometric = "rgb" if page.ndim == 3 and page.shape[-1] >= 3 else "minisblack"
            extra = ["unassalpha"] if page.ndim == 3 and page.shape[-1] in (2, 4) else None
            tiff.write(
                page,
                **({"photometric": photometric, "extrasamples": extra, "description": description, "metadata": None} | options),
            )
    return target


def with_alpha(page: Array) -> Array:
    return np.stack([page, np.ones_like(page)], axis=-1)


def as_rgb(page: Array) -> Array:
    return np.repeat(page[..., np.newaxis], 3, axis=-1)


def as_rgba(page: Array) -> Array:
    return np.concatenate([as_rgb(page), np.ones((*page.shape, 1), page.dtype)], axis=-1)


def as_integers(page: Array) -> Array:
    return np.rint(page.clip(0, 1) * 65535).astype(np.uint16)


def as_wide_integers(page: Array) -> Array:
    return as_integers(page).astype(np.uint32) * 65537


def as_quantised_floats(page: Array) -> Array:
    return (as_integers(page) / 65535).astype(np.float32)


def as_double(page: Array) -> Array:
    return page.astype(np.float64)


def as_half(page: Array) -> Array:
    return page.astype(np.float16)
