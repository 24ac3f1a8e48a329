"""The child process that decodes: one request, one answer, and it ends. It may crash; `decoding.py` says so to the person.

    python -m daemon.pictures.decoder FILE_DESCRIPTOR ANSWER_DESCRIPTOR REQUEST

Limits are set after the libraries are loaded, on top of what they take.
"""

import json
import resource
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import tiffsd
from daemon.errors import InputError
from daemon.pictures.decoding import check_size
from tiffsd.file import decode_pages

# Refusing decompression bombs is ours: by the limit that is handed in, and before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
FORMATS = ("PNG", "JPEG", "WEBP")
# What Pillow's decoders were seen to raise on broken files.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, OverflowError, IndexError, KeyError, TypeError, struct.error, zlib.error)

DEEP_GRAY = ("I;16", "I;16B", "I")

Decoded = tuple[Iterable[NDArray[Any]], list[str]]
Made = TypeVar("Made")


def main(file: int, answer: int, request: Mapping[str, Any]) -> None:
    """Decode what the request asks for and write the answer."""
    # Where the kernel must kill for memory, it shall take this process.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["answer_bytes"], request["answer_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(file, "rb") as source, open(answer, "wb") as out:
        try:
            arrays, notes = READERS[request["what"]](source, request)
            _write(out, arrays, notes)
        except (tiffsd.TiffsdError, InputError) as error:
            _refuse(out, type(error).__name__, str(error))
        except MemoryError:
            _refuse(out, "InputError", f"{request['name']}: decoding it takes more memory than its size explains; save it again")


def _pages(file: IO[bytes], request: Mapping[str, Any]) -> Decoded:
    limit_memory(request["memory_bytes"])
    try:
        return list(decode_pages(file, request["indices"])), []
    except MemoryError:
        raise
    # Whatever tifffile and its codecs raise on broken pixels is the file's fault.
    except Exception as error:
        raise tiffsd.Truncated(
            f"{request['name']} is damaged or incomplete ({_words(error)}); copy or save it again from the original"
        ) from error


def _photo(file: IO[bytes], request: Mapping[str, Any]) -> Decoded:
    picture, notes = _picture(file, request, _pixels)
    return [picture], notes


def _mask(file: IO[bytes], request: Mapping[str, Any]) -> Decoded:
    return [_picture(file, request, partial(_gray, name=request["name"]))], []


def _picture(file: IO[bytes], request: Mapping[str, Any], work: Callable[[Image.Image], Made]) -> Made:
    """What `work` makes of an opened picture whose size was checked."""
    name = request["name"]
    limit_memory(request["opening_bytes"])
    image = _opened(file, name)
    check_size(image.width, image.height, name, request["limit"])
    limit_memory(request["opening_bytes"] + request["bytes_per_pixel"] * image.width * image.height)
    try:
        return work(image)
    except BROKEN as error:
        raise InputError(f"{name}: the picture breaks off or is damaged: {error!s:.200}; save it anew and drop it again") from error


READERS: Mapping[str, Callable[[IO[bytes], Mapping[str, Any]], Decoded]] = {"photo": _photo, "mask": _mask, "pages": _pages}


def limit_memory(more_bytes: int) -> None:
    """Let this process take so many bytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    wanted, (_, hard) = pages * resource.getpagesize() + more_bytes, resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _opened(file: IO[bytes], name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(file, formats=FORMATS)
    except BROKEN as error:
        raise InputError(
            f"{name}: this is no PNG, JPEG or WebP picture that can be read: {error!s:.200}; save it anew and drop it again"
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


def _write(out: IO[bytes], arrays: Iterable[NDArray[Any]], notes: list[str]) -> None:
    decoded = [np.ascontiguousarray(array) for array in arrays]
    facts = {"arrays": [{"shape": array.shape, "dtype": array.dtype.str} for array in decoded], "notes": notes}
    out.write(json.dumps(facts).encode() + b"\n")
    for array in decoded:
        out.write(array.data)


def _refuse(out: IO[bytes], kind: str, sentence: str) -> None:
    out.write(json.dumps({"refused": kind, "sentence": sentence}).encode() + b"\n")


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
