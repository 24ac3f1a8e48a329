"""Pixels that need a codec, decoded in a short-lived child process: codecs are C, and what people drop may crash them.

The child (`decoder.py`) gets the file as a descriptor, a memory limit sized from what was checked, and a time limit. Its answer is
one line of JSON, then raw pixels, in a file in memory. Whatever ends it becomes a sentence about the file.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import tiffsd
from daemon.beneath import reopened
from daemon.errors import InputError
from daemon.stray import overhear
from tiffsd.outline import Outline

SECONDS = 60
MIB = 1 << 20
# What the libraries themselves need beside the pixels.
SPARE_BYTES = 64 * MIB
# A photo passes through RGBA, RGB and float32, and may be turned upright on the way.
BYTES_PER_PHOTO_PIXEL = 48
LONGEST_FACTS = 64 * 1024
LIMIT_SIGNALS = {9: ", perhaps for lack of memory", 24: ", because it took too long"}  # SIGKILL, SIGXCPU


def read_artifact(file: BinaryIO, *, expect: tiffsd.Kind | None = None, name: str) -> tiffsd.Artifact:
    """`tiffsd.read` for what people drop: no codec runs in this process. Raises any TiffsdError."""
    return tiffsd.read(file, expect=expect, name=name, decode=partial(_decoded_pages, name=name))


def decode_photo(file: BinaryIO, *, name: str, limit: int) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """A PNG, JPEG or WebP of at most `limit` pixels -> (H, W, 3) float32 in 0..1, upright, and what was done to it.

    Raises InputError where it is none, is larger, or breaks what decodes it.
    """
    return _decoded_picture("photo", file, name=name, answer_bytes=12 * limit, limit=limit)


def decode_mask(file: BinaryIO, *, name: str, limit: int) -> NDArray[np.float32]:
    """A picture of at most `limit` pixels as a mask (H, W) float32, 0 black to 1 white. Raises InputError as `decode_photo` does,
    and where parts of it are transparent."""
    return _decoded_picture("mask", file, name=name, answer_bytes=4 * limit, limit=limit)[0]


def _decoded_picture(
    what: str, file: BinaryIO, *, name: str, answer_bytes: int, limit: int
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    stored = os.fstat(file.fileno()).st_size
    request = {
        "what": what,
        "limit": limit,
        "opening_bytes": 2 * stored + SPARE_BYTES,
        "bytes_per_pixel": BYTES_PER_PHOTO_PIXEL,
    }
    (picture,), notes = _asked(file, request, name=name, answer_bytes=answer_bytes)
    return picture.astype(np.float32, copy=False), tuple(notes)


def check_size(width: int, height: int, name: str, limit: int) -> None:
    """Refuse a picture of more than `limit` pixels with InputError."""
    if width * height > limit:
        raise InputError(
            f"{name}: {width}x{height} is more than {limit} pixels (limits.pixels in config.yaml); make the picture smaller"
        )


def _decoded_pages(file: IO[bytes], pages: Sequence[Outline], *, name: str) -> list[NDArray[Any]]:
    request = {
        "what": "pages",
        "indices": [page.index for page in pages],
        "memory_bytes": sum(page.nbytes for page in pages) + max(page.working_bytes for page in pages) + SPARE_BYTES,
    }
    try:
        decoded, _ = _asked(file, request, name=name, answer_bytes=sum(page.nbytes for page in pages))
    except InputError as error:
        raise tiffsd.Truncated(str(error)) from error
    for pixels, page in zip(decoded, pages, strict=True):
        if pixels.shape != page.shape or pixels.dtype != page.dtype:
            raise tiffsd.Truncated(f"{name} is damaged: its pixels are not of the size and type that its tags say; save it again")
    return decoded


def _asked(file: IO[bytes], request: Mapping[str, Any], *, name: str, answer_bytes: int) -> tuple[list[NDArray[Any]], list[str]]:
    """Let a child decode; `answer_bytes` is what its pixels may take."""
    # The child gets a position of its own in the file: this one's belongs to who reads it here.
    again = os.fdopen(reopened(file.fileno(), os.O_RDONLY), "rb")
    with again, os.fdopen(os.memfd_create("tiffsd-pixels"), "r+b") as answer:
        limits = {"name": name, "answer_bytes": answer_bytes + LONGEST_FACTS, "seconds": SECONDS}
        _run_child(again.fileno(), answer.fileno(), {**request, **limits}, name)
        answer.seek(0)
        try:
            facts = json.loads(answer.readline(LONGEST_FACTS))
            if "refused" not in facts:
                return [_array(answer, **fact) for fact in facts["arrays"]], facts["notes"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{name}: what decodes its pixels gave no answer that can be used ({error}); save it again") from error
        raise _refusal(facts["refused"], facts["sentence"])


def _run_child(file: int, answer: int, request: Mapping[str, Any], name: str) -> None:
    command = [sys.executable, "-P", "-m", "daemon.pictures.decoder", str(file), str(answer), json.dumps(request)]
    # In a group of its own: Ctrl-C in a terminal stops the daemon, and must not look like a fault of the file.
    child = subprocess.Popen(
        command,
        pass_fds=[file, answer],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        process_group=0,
    )
    assert child.stdout is not None
    overhear(child.stdout, f"decoder of {name}")
    try:
        code = child.wait(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise InputError(f"{name}: decoding the pixels took more than {SECONDS} s; save it again, uncompressed") from None
    finally:
        child.kill()
        child.wait()
    if code:
        how = f"was killed by signal {-code}{LIMIT_SIGNALS.get(-code, '')}" if code < 0 else f"ended with code {code}"
        raise InputError(
            f"{name}: what decodes its pixels {how}, so the file is damaged or made to do harm; "
            f"save it again from the original, uncompressed"
        )


def _environment() -> dict[str, str]:
    ours = str(Path(__file__).resolve().parents[2])
    paths = [ours, *filter(None, [os.environ.get("PYTHONPATH")])]
    # Threads cost address space, which is what the memory limit counts.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TIFFFILE_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _refusal(kind: str, sentence: str) -> Exception:
    cls = getattr(tiffsd, kind, InputError)
    return cls(sentence) if isinstance(cls, type) and issubclass(cls, tiffsd.TiffsdError) else InputError(sentence)


def _array(answer: IO[bytes], shape: Sequence[int], dtype: str) -> NDArray[Any]:
    kind, count = np.dtype(dtype), prod(shape)
    left = os.fstat(answer.fileno()).st_size - answer.tell()
    if kind.kind not in "uif" or count * kind.itemsize > left:
        raise ValueError(f"{list(shape)} of {dtype} in {left} bytes")
    return np.fromfile(answer, kind, count).reshape(shape)
