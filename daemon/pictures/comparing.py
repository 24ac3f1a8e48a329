"""A picture that comes back, compared with what was shown, as it was kept: a proof, or a finished picture. In the child alone.

What people saw of a finished picture, and painted on, is one of the files that were published: the picture itself, or what a lossy
form made of it. It is the one of which the fewest blocks differ; of several proofs that of which the fewest pixels do.

    C latent channels   H, W height and width of the picture   h, w the same in blocks
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import tiffsd
from daemon.pictures.child_limits import RefusedByFormat, limit_memory
from daemon.pictures.chunks import Form, chunks, form_of
from daemon.pictures.codecs import photo, photo_pixels
from daemon.pictures.foreign import BROKEN
from daemon.pictures.forms import levels8
from daemon.pictures.painted import Levels, Paint, painted_in_lossy, painted_in_pixels

# Both pictures and what is made of them on the way, in floats: saved again, blurred, and their differences.
BYTES_PER_PIXEL = 256
# By so many levels programs decode a lossy form otherwise: 3 were seen of GIMP.
OF_DECODERS = 4
PALETTE = "palette"
# In the words of Pillow.
LOSSY_WITHIN = ("jpeg", "tiff_jpeg", "webp")
# So much of what nobody painted is the same to the level where nothing was lost after all.
NEARLY_ALL = 0.95
LOSSLESS = (b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"v/1\x01", b"BM")

Request = Mapping[str, Any]
Answer = tuple[dict[str, Any], list[NDArray[Any]]]


def of_proof(file: IO[bytes], request: Request) -> Answer:
    """A painted proof (H, W, 3), which of those shown it differs from least, as levels (H, W, 3), and the blocks (h, w) uint8 that
    were painted; no arrays where it has the size of none."""
    facts, (picture, *transparent, rounding) = photo(file, request)
    limit_memory(request["opening_bytes"] + BYTES_PER_PIXEL * picture.shape[0] * picture.shape[1])
    saved = levels8(picture)
    # One after the other: of many there is no room for all.
    shown = ((number, levels) for number, levels in _kept_proofs(request["kept"]) if levels.shape == saved.shape)
    nearest = min(shown, key=lambda one: int(np.count_nonzero((saved != one[1]).any(axis=2))), default=None)
    if nearest is None:
        return {"version": None}, []
    version, levels = nearest
    alpha = 1 - transparent[0] if transparent else None
    exact = painted_in_pixels(picture, levels, block=request["block"], alpha=alpha, rounding=rounding)
    paint = _lossy_paint(file, saved, levels, request["block"]) or exact
    arrays = [picture, np.ascontiguousarray(levels), paint.blocks.astype(np.uint8)]
    return {"version": version, "cover": paint.cover, "notes": facts["notes"]}, arrays


def _kept_proofs(kept: Mapping[str, int]) -> Iterator[tuple[int, Levels]]:
    for number, descriptor in kept.items():
        # One that cannot be read is one less.
        with suppress(*BROKEN), os.fdopen(descriptor, "rb") as file:
            yield int(number), _levels(file)


def of_finished(file: IO[bytes], request: Request) -> Answer:
    """Blocks (h, w) uint8 that were painted, what was shown (H, W, 3), the finished picture (H, W, 3) and its latents (C, h, w).

    The latents are empty where none were kept."""
    saved = photo_pixels(file, request)
    limit_memory(request["kept_bytes"] + BYTES_PER_PIXEL * saved.shape[0] * saved.shape[1])
    try:
        kept = _read(request["kept"][".tiff"], request["name"])
    except tiffsd.TiffsdError as error:
        raise RefusedByFormat(type(error).__name__, str(error)) from error
    picture = np.ascontiguousarray(kept.tensors["picture"], np.float32)
    seen = np.clip(saved, 0, 1)

    def paint_on(shown: Levels, levels: int) -> Paint:
        lossy = _lossy_paint(file, levels8(seen), shown, request["block"])
        if lossy is not None:
            return lossy
        alike = np.abs(seen * 255 - shown).max(axis=2, keepdims=True) <= levels
        return painted_in_pixels(np.where(alike, shown / np.float32(255), seen), shown, block=request["block"])

    found = [(paint_on(shown, levels), shown) for shown, levels in _shown(picture, request["kept"])]
    paint, shown = min(found, key=lambda one: one[0].share)
    latents = np.ascontiguousarray(kept.tensors.get("latents", np.empty(0)), np.float32)
    colours = shown.astype(np.float32) / np.float32(255)
    return {"cover": paint.cover}, [paint.blocks.astype(np.uint8), colours, picture, latents]


def _read(descriptor: int, name: str) -> tiffsd.Artifact:
    with os.fdopen(descriptor, "rb") as file:
        return tiffsd.read(file, expect=tiffsd.Kind.PICTURE, name=f"the finished picture that was kept of {name}")


def _shown(picture: NDArray[np.float32], kept: Mapping[str, int]) -> Iterator[tuple[Levels, int]]:
    """What people may have seen of a picture, and by how many levels programs see it otherwise."""
    yield levels8(picture), 0
    for suffix, descriptor in kept.items():
        # One that cannot be read is one less.
        with suppress(*BROKEN):
            if suffix != ".tiff":
                with os.fdopen(descriptor, "rb") as file:
                    shown = _levels(file)
                if shown.shape == picture.shape:
                    yield shown, OF_DECODERS


def _levels(file: IO[bytes]) -> Levels:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def _lossy_paint(file: IO[bytes], saved: Levels, shown: Levels, block: int) -> Paint | None:
    """What was painted where the file has lost colours; None where it has lost none, so that each pixel tells."""
    hidden = _losses_within(file) if _is_lossless(file) else None
    if hidden == "":
        return None
    file.seek(0)
    paint = painted_in_lossy(file.read(), saved, shown, block=block, palette=hidden == PALETTE)
    rest = ~np.repeat(np.repeat(paint.blocks, block, axis=0), block, axis=1)
    same = (saved == shown).all(axis=2)[rest]
    return None if hidden and same.size and same.mean() > NEARLY_ALL else paint


def _losses_within(file: IO[bytes]) -> str:
    """By what colours may be lost in a file of a lossless form: a palette, JPEG within a TIFF, and a lossless WebP, which Krita
    makes of the colours of the lossy one; "" where by nothing."""
    file.seek(0)
    # What Pillow cannot open are floats, or is a TIFF of a codec that it has not.
    with suppress(*BROKEN):
        image = Image.open(file, formats=("PNG", "WEBP", "TIFF"))
        coding = "webp" if image.format == "WEBP" else image.info.get("compression", "")
        return PALETTE if image.mode == "P" else coding if coding in LOSSY_WITHIN else ""
    return ""


def _is_lossless(file: IO[bytes]) -> bool:
    if form_of(file) is Form.WEBP:
        return any(chunk.kind == b"VP8L" for chunk in chunks(file, Form.WEBP))
    file.seek(0)
    return file.read(4).startswith(LOSSLESS)
