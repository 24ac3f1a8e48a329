"""Valid files of every kind, layout and coding, as tiffsd and as editors write them: what the fuzzer starts from."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from tests.artifacts import file_of
from tiffsd import Artifact, Header, Kind, Layout, State
from tiffsd.exr_file import write_exr
from tiffsd.latent_file import SCALINGS, write_latent

Pixels = NDArray[Any]
EVERY = 5
CODINGS: tuple[dict[str, Any], ...] = (
    {"byteorder": ">"},
    {"bigtiff": True},
    {"bigtiff": True, "byteorder": ">"},
    {"rowsperstrip": 3},
    {"tile": (16, 16)},
    *({"compression": name} for name in ("packbits", "lzw", "zlib", "zstd", "lzma")),
    {"compression": "zlib", "predictor": 3, "tile": (16, 16)},
    {"compression": "lzw", "predictor": 3, "byteorder": ">", "rowsperstrip": 5},
    {"compression": "zstd", "predictor": 3, "bigtiff": True},
)


@dataclass(frozen=True)
class Sample:
    """One valid file: its bytes, the name it would have, and the artifact that `repair` would compare it with."""

    data: bytes
    name: str
    original: Artifact


def corpus() -> list[Sample]:
    """Around a hundred files of a few kilobytes."""
    return [*_written(), *_saved_by_editors(), *_without_metadata()]


def canvases() -> list[Sample]:
    """A part of what `tests/agreement/` compares: curves, layers, turned and enlarged mosaics, pictures of all depths and inks."""
    from tests.agreement.corpus import cases

    original = next(artifacts())
    return [Sample(case.data, f"{case.words}.tiff", original) for case in cases()[::EVERY]]


def exchanged() -> list[Sample]:
    """Each artifact as OpenEXR, and latents as ComfyUI saves them."""
    made = []
    for artifact in artifacts():
        if artifact.header.layout is Layout.RGBA:
            continue  # OpenEXR would take its fourth channel for transparency
        written = [(".exr", lambda file, artifact=artifact: write_exr(file, artifact))]
        if artifact.header.kind is Kind.LATENTS:
            written.append((".latent", lambda file, artifact=artifact: write_latent(file, artifact, SCALINGS["sd1"])))
        for ending, write in written:
            file = io.BytesIO()
            write(file)
            made.append(Sample(file.getvalue(), f"cat{ending}", artifact))
    return made


def normal(*shape: int, seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def artifacts() -> Iterator[Artifact]:
    """One artifact of each kind and layout, with everything that can ride along."""
    recipe = {"prompt": "a müde Katze", "seed": 7, "width": 48, "height": 32, "loras": [{"name": "x", "weight": 0.5}]}
    common: dict[str, Any] = {"recipe": recipe, "parent": "00000001", "history": ({"stage": "text", "seconds": 0.5},)}
    others = {
        "prompt_embeds": normal(4, 8),
        "negative_prompt_embeds": normal(4, 8),
        "mask": normal(4, 6) > 0,
        "generator_state": np.arange(9, dtype=np.uint8),
        "scheduler.step_index": np.array(2),
        "of_the_future": np.array([[1, 2]], np.int16),
    }
    for layout, channels in ((Layout.MOSAIC, 4), (Layout.MOSAIC, 16), (Layout.PAGES, 4), (Layout.RGBA, 4)):
        header = Header(
            Kind.LATENTS, "3f9a1c2e", layout, (channels, 4, 6), state=State.PARTIAL, sigma=2.5, step=2, steps=9, **common
        )
        yield Artifact(header, {"latents": normal(channels, 4, 6), **others})
    yield Artifact(
        Header(Kind.EMBEDDING, "3f9a1c2e", Layout.STRIP, (4, 4, 20), **common),
        {"prompt_embeds": 9 * normal(4, 20), "negative_prompt_embeds": normal(4, 20), "pooled_prompt_embeds": normal(6)},
    )
    picture = normal(7, 9, 3) / 4 + 0.5
    yield Artifact(Header(Kind.PICTURE, "3f9a1c2e", Layout.RGB, (7, 9, 3), **common), {"picture": picture})
    half = picture.astype(np.float16)
    yield Artifact(Header(Kind.PICTURE, "3f9a1c2e", Layout.RGB, (7, 9, 3), **common), {"picture": half, "mask": normal(7, 9) > 0})


def _written() -> Iterator[Sample]:
    for artifact in artifacts():
        yield Sample(file_of(artifact), "cat.3f9a1c2e.tiff", artifact)


def _saved_by_editors() -> Iterator[Sample]:
    for artifact in artifacts():
        source = file_of(artifact)
        yield from (Sample(_saved_again(source, **coding), "cat.tiff", artifact) for coding in CODINGS)
        if artifact.header.layout in (Layout.MOSAIC, Layout.PAGES):
            yield Sample(_saved_again(source, edit=_with_alpha), "cat.tiff", artifact)
            yield Sample(_saved_again(source, edit=_as_integers, compression="zlib", predictor=2), "cat.tiff", artifact)


def _without_metadata() -> Iterator[Sample]:
    first, *_, last = artifacts()
    planes: list[tuple[str, Pixels, dict[str, Any]]] = [
        ("deer_state1.tiff", 14.6 * normal(6, 8, 4), {"photometric": "rgb", "extrasamples": [2]}),
        ("deer_state2.tiff", 5 * normal(4, 6, 8), {"photometric": "rgb", "planarconfig": "separate", "extrasamples": [0]}),
        ("deer_textstate1.tiff", normal(2, 77, 8), {"photometric": "minisblack"}),
        ("photo.tif", np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3), {"photometric": "rgb"}),
        ("photo.tif", np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3), {"photometric": "rgb", "compression": "jpeg"}),
    ]
    for name, pixels, options in planes:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, metadata=None, **options)
        yield Sample(file.getvalue(), name, last if name == "photo.tif" else first)


def _saved_again(
    source: bytes, *, edit: Callable[[Pixels], Pixels] = np.asarray, bigtiff: bool = False, byteorder: str = "<", **coding: Any
) -> bytes:
    """What a program writes that keeps the pixels, the description, the profile and the private tags."""
    target = io.BytesIO()
    with tifffile.TiffFile(io.BytesIO(source)) as tiff, tifffile.TiffWriter(target, bigtiff=bigtiff, byteorder=byteorder) as writer:
        for page in tiff.pages:
            pixels = edit(page.asarray())
            colour = pixels.ndim == 3 and pixels.shape[2] >= 3
            writer.write(
                pixels,
                photometric="rgb" if colour else "minisblack",
                planarconfig="contig" if pixels.ndim == 3 else None,
                extrasamples=["unassalpha"] if pixels.ndim == 3 and pixels.shape[2] in (2, 4) else None,
                description=page.description,
                iccprofile=page.iccprofile,
                metadata=None,
                extratags=[(tag.code, 2, 0, tag.value, True) for tag in page.tags if tag.code in (285, 65000, 65001)],
                contiguous=False,
                **coding,
            )
    return target.getvalue()


def _as_integers(pixels: Pixels) -> Pixels:
    return np.rint(pixels.clip(0, 1) * 65535).astype(np.uint16)


def _with_alpha(pixels: Pixels) -> Pixels:
    return np.stack([pixels, np.ones_like(pixels)], axis=-1)
