"""Pixels that a codec decodes, or that are brought to another form: in the child process alone."""

import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import tiffsd
from daemon.errors import InputError
from daemon.pictures.child_limits import RefusedByFormat, limit_memory, limit_time
from daemon.pictures.fitting import fitted, wanted_size
from daemon.pictures.sizes import check_size
from daemon.pictures.values import values_digest
from daemon.pictures.words import words_of
from tiffsd.file import decode_pages, exact_tensors

# Refusing decompression bombs is ours: by the limit that is handed in, and before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
FORMATS = ("PNG", "JPEG", "WEBP")
# What Pillow's decoders were seen to raise on broken files.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, OverflowError, IndexError, KeyError, TypeError, struct.error, zlib.error)

DEEP_GRAY = ("I;16", "I;16B", "I")

Request = Mapping[str, Any]
Array = NDArray[Any]
Answer = tuple[dict[str, Any], list[Array]]
Made = TypeVar("Made")


def _pages(file: IO[bytes], request: Request) -> Answer:
    limit_memory(request["memory_bytes"])
    limit_time(request["pixels"])
    try:
        return {"notes": []}, [np.ascontiguousarray(pixels) for pixels in decode_pages(file, request["indices"])]
    except MemoryError:
        raise
    # Whatever tifffile and its codecs raise on broken pixels is the file's fault.
    except Exception as error:
        raise RefusedByFormat(
            "Truncated",
            f"{request['name']} is damaged or incomplete ({_words(error)}); copy or save it again from the original",
        ) from error


def _photo(file: IO[bytes], request: Request) -> Answer:
    if request["characters"] is None:
        picture, notes = _artifact(file, request)
        return _made_to_fit(picture, notes, request)
    limit_memory(request["opening_bytes"])
    words = words_of(file, request["name"], characters=request["characters"], digest=False)
    picture, found = _picture(file, request, _pixels)
    facts, arrays = _made_to_fit(picture, found, request)
    return {**facts, "words": words}, arrays


def _made_to_fit(picture: NDArray[np.float32], notes: list[str], request: Request) -> Answer:
    name, grid, asked, (height, width, _) = request["name"], request["grid"], tuple(request["size"]), picture.shape
    if min(width, height) < grid:
        raise InputError(f"{name}: {width}x{height} is too small; a picture needs {grid} pixels on each side")
    wanted = wanted_size(asked, width, height, grid=grid)
    check_size(*wanted, name, request["limit"])
    limit_memory(request["opening_bytes"] + request["bytes_per_pixel"] * max(width * height, wanted[0] * wanted[1]))
    made, done = fitted(picture, wanted, scales=asked != (None, None), grid=grid)
    return {"notes": [*notes, *done], "had": [width, height]}, [np.ascontiguousarray(made, np.float32)]


def _mask(file: IO[bytes], request: Request) -> Answer:
    name = request["name"]
    return {"notes": []}, [np.ascontiguousarray(_picture(file, request, lambda image: _gray(image, name=name)), np.float32)]


def _artifact(file: IO[bytes], request: Request) -> tuple[NDArray[np.float32], list[str]]:
    """The picture in a TIFF, and what reading found."""
    limit_memory(request["opening_bytes"] + request["bytes_per_pixel"] * request["limit"])
    limit_time(2 * request["limit"])
    try:
        artifact = tiffsd.read(file, expect=tiffsd.Kind.PICTURE, name=request["name"], largest=request["limit"])
    except tiffsd.TiffsdError as error:
        raise RefusedByFormat(type(error).__name__, str(error)) from error
    return artifact.tensors["picture"], list(artifact.notes)


def _tensors(file: IO[bytes], request: Request) -> Answer:
    """The exact tensors of an artifact."""
    limit_memory(request["memory_bytes"])
    limit_time(request["pixels"])
    try:
        found, note = exact_tensors(file, name=request["name"])
    except tiffsd.TiffsdError as error:
        raise RefusedByFormat(type(error).__name__, str(error)) from error
    return {"names": list(found), "note": note}, [np.asarray(tensor, order="C") for tensor in found.values()]


def _digest(file: IO[bytes], request: Request) -> Answer:
    """That of the values of a picture in a TIFF."""
    picture, _ = _artifact(file, request)
    return {"digest": values_digest(picture)}, []


def _picture(file: IO[bytes], request: Request, work: Callable[[Image.Image], Made]) -> Made:
    """What `work` makes of an opened picture whose size was checked."""
    name = request["name"]
    limit_memory(request["opening_bytes"])
    image = _opened(file, name)
    check_size(image.width, image.height, name, request["limit"])
    limit_memory(request["opening_bytes"] + request["bytes_per_pixel"] * image.width * image.height)
    limit_time(image.width * image.height)
    try:
        return work(image)
    except BROKEN as error:
        raise InputError(f"{name}: the picture breaks off or is damaged: {error!s:.200}; save it anew and drop it again") from error


READERS: Mapping[str, Callable[[IO[bytes], Request], Answer]] = {
    "photo": _photo,
    "mask": _mask,
    "pages": _pages,
    "digest": _digest,
    "tensors": _tensors,
}


def _opened(file: IO[bytes], name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(file, formats=FORMATS)
    except BROKEN as error:
        raise InputError(
            f"{name}: not a readable PNG, JPEG or WebP picture: {error!s:.200}; save it anew and drop it again"
        ) from error


def _pixels(image: Image.Image) -> tuple[NDArray[np.float32], list[str]]:
    upright = ImageOps.exif_transpose(image)
    transparent = _has_alpha(upright)
    notes = ["transparent parts were laid on white"] if transparent else []
    if upright.mode in DEEP_GRAY:
        return np.repeat(_deep_gray(upright)[..., None], 3, axis=2), notes
    upright = _on_white(upright) if transparent else upright
    return np.asarray(upright.convert("RGB")).astype(np.float32) / np.float32(255), notes


def _deep_gray(image: Image.Image) -> NDArray[np.float32]:
    """16 bits of gray, which Pillow would clip to 8 on the way to RGBA; one level of them may stand for transparent."""
    levels = np.asarray(image)
    gray = levels.astype(np.float32) / np.float32(65_535)
    gray[levels == image.info.get("transparency", -1)] = 1
    return gray


def _gray(image: Image.Image, *, name: str) -> NDArray[np.float32]:
    """A mask (H, W), 0 black to 1 white."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in DEEP_GRAY and "transparency" not in upright.info:
        return _deep_gray(upright)
    if _has_alpha(upright) and upright.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        # Some programs make white what shall be made anew, others transparent: both in one picture would be a guess.
        raise InputError(f"{name}: the mask has transparent parts; flatten it to white, what is made anew, and black, what stays")
    return np.asarray(upright.convert("L")).astype(np.float32) / np.float32(255)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _on_white(image: Image.Image) -> Image.Image:
    layers = image.convert("RGBA")
    white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layers)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
