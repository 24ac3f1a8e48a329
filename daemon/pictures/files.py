"""Which files a finished picture becomes, by what config.yaml says under `pictures`."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import tiffsd
from daemon.errors import InputError
from daemon.pictures.forms import (
    JPEG_QUALITY,
    LARGEST_SIDE,
    PIXELS,
    WEBP_QUALITY,
    Story,
    write_jpeg,
    write_png,
    write_webp,
)
from daemon.pictures.software import versions
from daemon.pictures.values import values_digest
from daemon.settings.config import Pictures

log = logging.getLogger(__name__)

Write = Callable[[BinaryIO], None]


def picture_files(artifact: tiffsd.Artifact, wanted: Pictures) -> list[tuple[str, Write]]:
    """Suffix and writer of each file, in the order in which they must appear: what people look at first comes last.

    A form that cannot hold a picture of this size is left out, and the log says so. Raises InputError where none is left.
    """
    longest = max(artifact.tensors["picture"].shape)
    too_small = {form for form, side in LARGEST_SIDE.items() if longest > side and getattr(wanted, form)}
    for form in sorted(too_small):
        log.warning("%s skipped: %d px exceeds the format's limit of %d px", NAMES[form], longest, LARGEST_SIDE[form])
    files = {form: write for form, write in _writers(artifact, wanted).items() if getattr(wanted, form) and form not in too_small}
    if not files:
        raise InputError(
            f"a picture of {longest} px exceeds the limit of every format that config.yaml turns on under `pictures`; turn png or "
            "tiff on there"
        )
    return [(SUFFIXES[form], write) for form, write in files.items()]


NAMES = {"jpeg": "JPEG", "webp": "WebP"}
SUFFIXES = {"tiff": ".tiff", "webp": ".webp", "jpeg": ".jpg", "png": ".png"}


def _writers(artifact: tiffsd.Artifact, wanted: Pictures) -> dict[str, Write]:
    picture, header = artifact.tensors["picture"], artifact.header
    story = Story(header.recipe, header.history, {**versions(), **header.software})
    jpeg_quality = JPEG_QUALITY if wanted.jpeg is True else int(wanted.jpeg)
    return {
        "tiff": partial(_write_tiff, artifact=artifact, dtype="float32" if wanted.tiff is True else str(wanted.tiff)),
        "webp": partial(write_webp, picture=picture, story=story, quality=_webp_quality(wanted)),
        "jpeg": partial(write_jpeg, picture=picture, story=story, quality=jpeg_quality),
        "png": partial(write_png, picture=picture, story=story, bits=16 if wanted.png == 16 else 8),
    }


def _webp_quality(wanted: Pictures) -> int | None:
    if wanted.webp == "lossless":
        return None
    return WEBP_QUALITY if wanted.webp is True else int(wanted.webp)


def _write_tiff(file: BinaryIO, *, artifact: tiffsd.Artifact, dtype: str) -> None:
    picture = artifact.tensors["picture"].astype(dtype, copy=False)
    header = replace(artifact.header, extra={**artifact.header.extra, PIXELS: values_digest(picture)})
    tiffsd.write(file, tiffsd.Artifact(header, {**artifact.tensors, "picture": picture}))
