"""What people drop is read in a short-lived child process: pixels that need a codec, which may crash, and words, which may swell.

The child (`decoder.py`) gets the file as a descriptor, a memory limit sized from what was checked, and a time limit: that of the
picture's pixels once their number is known. Its answer is one line of JSON, then raw pixels, in a file in memory. Whatever ends it
becomes a sentence about the file. There is no limit on the address space of this process: its children would inherit it.
"""

import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import tiffsd
from daemon.beneath import reopened
from daemon.cores import unpinned
from daemon.errors import InputError
from daemon.pictures.sizes import ALIGNED_BYTES, TensorLimits, longest_record, most_decoded
from daemon.settings.values import PIXELS_PER_LATENT
from daemon.stray import overhear
from tiffsd.reading import Coded
from tiffsd.spec import LARGEST_TABLE_BYTES, SUFFIXES

SECONDS = 60
MIB = 1 << 20
# What the libraries themselves need beside the pixels.
SPARE_BYTES = 64 * MIB
# A megabyte of text, inflated and decoded, and all that is kept of 16 of them.
WORDS_BYTES = 128 * MIB
# A photo passes through RGBA, RGB and float32, and may be turned upright on the way; a TIFF may be RGBA in float64, and compressed.
BYTES_PER_PHOTO_PIXEL = 48
BYTES_PER_TIFF_PIXEL = 192
LONGEST_FACTS = 64 * 1024
# Saving a picture again in the ways that it may have been saved takes so many times as long as decoding it.
WORK_OF_COMPARING = 30
BYTES_PER_ESCAPED_CHARACTER = 12
Picture = NDArray[np.float32]


@dataclass(frozen=True)
class TextInPicture:
    """What a picture says, bounded: the exact recipe in JSON or the infotext, which are still to be parsed, or what another program
    says as `settings/foreign/recipe.py` has it.

    `pixels` is the digest of its coded pixels where it was asked for and there is an exact recipe. `notes` are the sentences on
    what was ignored; `refused` is the one on words that are longer than the configuration allows. `canvas` says of which latents
    or embedding it is the canvas, which an editor exported as a picture.
    """

    infotext: str | None = None
    exact: str | None = None
    pixels: str | None = None
    notes: tuple[str, ...] = ()
    refused: str | None = None
    foreign: Mapping[str, Any] | None = None
    canvas: str | None = None


@dataclass(frozen=True)
class DecodedPhoto:
    """Pixels (H, W, 3) float32 in 0..1, the size (width, height) that they had in the file, what was done to them, and words.

    `mask` (H, W) is 1 where the file was transparent, if anywhere and if it was asked for. `canvas` says the same as that of
    its words, by its profile.
    """

    pixels: Picture
    had: tuple[int, int]
    notes: tuple[str, ...]
    words: TextInPicture | None
    mask: Picture | None = None
    canvas: str | None = None


@dataclass(frozen=True)
class ComparedPicture:
    """A picture against the finished one that was kept of it: `picture` (H, W, 3) float32, and its `latents` (C, h, w), if kept.

    `blocks` (h, w) uint8 are 1 where somebody painted on what was `shown` (H, W, 3), float32 in 0..1; `cover` is how much of them
    the paint covers, None where the form cannot tell.
    """

    blocks: NDArray[np.uint8]
    cover: float | None
    shown: Picture
    picture: Picture
    latents: NDArray[np.float32] | None


@dataclass(frozen=True)
class Beside:
    """The picture that a mask lies beside: the size (width, height) that it had and that it was brought to, by scaling or trimming.

    `also` are further sizes in which a mask is taken as it is.
    """

    had: tuple[int, int]
    wanted: tuple[int, int]
    scales: bool
    also: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class PaintedOn:
    """A picture (H, W, 3) float32 in 0..1 that somebody has painted on: which of those that were shown it was, `shown` (H, W, 3) as
    it was then, `blocks` (h, w), and `cover`, how much of these the paint covers, 0..1, None where the form cannot tell."""

    pixels: Picture
    version: int
    shown: Picture
    blocks: NDArray[np.bool_]
    cover: float | None
    notes: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """How much of the picture was painted, 0..1."""
        return float(self.blocks.mean())


def read_artifact(
    file: BinaryIO,
    *,
    expect: tiffsd.Kind | None = None,
    name: str,
    largest: int | None = None,
    tensors: TensorLimits | None = None,
) -> tiffsd.Artifact:
    """`tiffsd.read` for what people drop: no codec runs in this process, and large exact tensors are decoded elsewhere.

    `largest` bounds the pixels of the canvas, `tensors` such exact tensors. Raises any TiffsdError.
    """
    decode, unpack = partial(_decoded_pages, name=name), partial(_unpacked, name=name, limits=tensors)
    return tiffsd.read(file, expect=expect, name=name, decode=decode, largest=largest, unpack=unpack)


def read_words(file: BinaryIO, *, name: str, characters: int) -> TextInPicture:
    """What a PNG, JPEG or WebP says, and the digest of its coded pixels. Raises InputError where it is none."""
    stored = os.fstat(file.fileno()).st_size
    request = {"what": "words", "characters": characters, "memory_bytes": WORDS_BYTES, "stored": stored}
    facts, _ = _asked(file, request, name=name, answer_bytes=0, facts_bytes=_words_bytes(characters))
    return _words(facts["words"])


def decode_photo(
    file: BinaryIO,
    *,
    name: str,
    limit: int,
    size: tuple[int | None, int | None] = (None, None),
    area: int | None = None,
    characters: int | None = 0,
    pixels_of_tiff: int = 0,
    alpha: bool = False,
) -> DecodedPhoto:
    """A picture, upright, in sRGB, fitted to `size` (width, height), or trimmed to the grid of the latents, or, where it has more
    than `limit` pixels, brought to about `area` (None: to the limit); with its words, of at most so many `characters`. With None
    for them it is a TIFF of `pixels_of_tiff`, which has no such words. `alpha` asks for the mask that its transparency makes.

    Raises InputError where it is none, stays larger, or breaks what decodes it; and any TiffsdError.
    """
    request = {
        "what": "photo",
        "size": size,
        "area": area or limit,
        "grid": PIXELS_PER_LATENT,
        "characters": characters,
        "alpha": alpha,
        **_of_pixels(file, limit, tiff=characters is None),
        "pixels": pixels_of_tiff,
        "most": most_decoded(limit),
    }
    facts_bytes = _words_bytes(characters or 0)
    facts, arrays = _asked(file, request, name=name, answer_bytes=16 * limit, facts_bytes=facts_bytes)
    words = _words(facts["words"]) if "words" in facts else None
    mask = arrays[1] if len(arrays) > 1 else None
    return DecodedPhoto(arrays[0], (facts["had"][0], facts["had"][1]), tuple(facts["notes"]), words, mask, facts["canvas"])


def decode_painted(
    file: BinaryIO, shown: Sequence[BinaryIO], *, name: str, block: int, limit: int, tiff: bool = False
) -> PaintedOn | None:
    """What somebody has painted on one of the pictures that were `shown`, PNGs of 8 bits; None where it has the size of none.

    The one that it differs from in the fewest pixels is what it was. `block` is how many pixels a block has on each side, `limit`
    how many pixels it may have. Raises InputError where it is no picture or is damaged, and any TiffsdError.
    """
    request = {
        "what": "proof",
        "size": (None, None),
        "area": limit,
        "grid": block,
        "characters": None if tiff else 0,
        "alpha": True,
        "rounding": True,
        "block": block,
        **_of_pixels(file, limit, tiff=tiff),
        # Beside its own pixels those of the ones that were shown.
        "bytes_per_pixel": 2 * BYTES_PER_TIFF_PIXEL,
        "work": WORK_OF_COMPARING + len(shown),
    }
    # The picture, what was shown and the blocks.
    facts, arrays = _asked(
        file, request, name=name, answer_bytes=28 * limit, beside=dict(zip(map(str, range(len(shown))), shown, strict=True))
    )
    if facts["version"] is None:
        return None
    pixels, levels, blocks = arrays
    was = levels.astype(np.float32) / np.float32(255)
    return PaintedOn(pixels, facts["version"], was, blocks.astype(bool), facts["cover"], tuple(facts["notes"]))


def decode_mask(file: BinaryIO, *, name: str, limit: int, beside: Beside | None = None) -> tuple[Picture, tuple[int, int]]:
    """A picture as a mask (H, W) float32, 0 black to 1 white, and the size (width, height) that it had.

    It is brought to where the picture is that it lies `beside`, else it has at most `limit` pixels. Raises InputError as
    `decode_photo` does, and where parts of it are transparent.
    """
    request = {
        "what": "mask",
        **_of_pixels(file, limit),
        "most": most_decoded(limit),
        "fit": None if beside is None else {"had": beside.had, "wanted": beside.wanted, "scales": beside.scales},
        "as_it_is": [] if beside is None else [beside.wanted, *beside.also],
    }
    most = limit if beside is None else max(limit, beside.wanted[0] * beside.wanted[1])
    facts, (mask,) = _asked(file, {**request, "limit": most}, name=name, answer_bytes=4 * most)
    return mask, (facts["had"][0], facts["had"][1])


def compare_with_finished(
    file: BinaryIO, kept: Mapping[str, BinaryIO], *, name: str, size: tuple[int, int], limit: int
) -> ComparedPicture:
    """What was painted on a finished picture of `size` (width, height), of which these files are kept, by their suffix.

    That of `.tiff` has its latents. Raises InputError where one of the pictures breaks what decodes it, and any TiffsdError.
    """
    tiff = Path(name).suffix.lower() in (*SUFFIXES, ".exr")
    pixels = size[0] * size[1]
    stored = os.fstat(kept[".tiff"].fileno()).st_size
    request = {
        "what": "finished",
        "size": (None, None),
        "area": limit,
        "grid": PIXELS_PER_LATENT,
        "block": PIXELS_PER_LATENT,
        "characters": None if tiff else 0,
        "alpha": False,
        **_of_pixels(file, limit, tiff=tiff),
        "work": WORK_OF_COMPARING,
        "kept_bytes": stored + SPARE_BYTES,
    }
    facts, (blocks, shown, picture, latents) = _asked(
        file, request, name=name, answer_bytes=24 * pixels + stored + MIB, beside=kept
    )
    return ComparedPicture(blocks, facts["cover"], shown, picture, latents if latents.size else None)


def digest_of_tiff(file: BinaryIO, *, name: str, limit: int) -> str:
    """The digest of the values of a picture of at most `limit` pixels in a TIFF. Raises InputError and any TiffsdError."""
    request = {"what": "digest", **_of_pixels(file, limit, tiff=True)}
    facts, _ = _asked(file, request, name=name, answer_bytes=0)
    return str(facts["digest"])


def _of_pixels(file: BinaryIO, limit: int, *, tiff: bool = False) -> dict[str, int]:
    stored = os.fstat(file.fileno()).st_size
    return {
        "limit": limit,
        "most": limit,
        "pixels": limit,
        "opening_bytes": 2 * stored + SPARE_BYTES,
        "bytes_per_pixel": BYTES_PER_TIFF_PIXEL if tiff else BYTES_PER_PHOTO_PIXEL,
    }


def _words_bytes(characters: int) -> int:
    return BYTES_PER_ESCAPED_CHARACTER * (characters + longest_record(characters))


def _words(said: Mapping[str, Any]) -> TextInPicture:
    return TextInPicture(**{**said, "notes": tuple(said["notes"])})


def _decoded_pages(file: IO[bytes], pages: Sequence[Coded], *, name: str) -> list[NDArray[Any]]:
    request = {
        "what": "pages",
        "indices": [page.index for page in pages],
        "pixels": sum(page.height * page.width for page in pages),
        "memory_bytes": sum(page.nbytes for page in pages) + max(page.working_bytes for page in pages) + SPARE_BYTES,
    }
    try:
        _, decoded = _asked(file, request, name=name, answer_bytes=sum(page.nbytes for page in pages))
    except InputError as error:
        raise tiffsd.Truncated(str(error)) from error
    for pixels, page in zip(decoded, pages, strict=True):
        if pixels.shape != page.shape or pixels.dtype != page.dtype:
            raise tiffsd.Truncated(f"{name} is damaged: its pixels are not of the size and type that its tags say; save it again")
    return decoded


def _unpacked(
    file: IO[bytes], length: int, *, name: str, limits: TensorLimits | None
) -> tuple[dict[str, NDArray[Any]], str | None]:
    """Exact tensors of so many bytes as text, mapped and not read."""
    # A text of base64, what it stands for, and a copy of each tensor.
    request = {"what": "tensors", "memory_bytes": 4 * length + SPARE_BYTES, "pixels": length}
    try:
        facts, found = _asked(file, request, name=name, answer_bytes=length, facts_bytes=4 * LARGEST_TABLE_BYTES)
    except InputError as error:
        raise tiffsd.Truncated(str(error)) from error
    tensors = dict(zip(facts["names"], found, strict=True))
    embedding = sum(tensor.nbytes for key, tensor in tensors.items() if key.endswith("_embeds"))
    others = sum(tensor.nbytes for tensor in found) - embedding
    if limits is not None and (embedding > limits.embedding or others > limits.others):
        raise tiffsd.TooLarge(
            f"{name} has exact tensors of {embedding} bytes for its embedding and {others} for all else, and at most "
            f"{limits.embedding} and {limits.others} are read (limits.characters and limits.pixels in config.yaml); make it smaller"
        )
    return tensors, facts["note"]


def _asked(
    file: IO[bytes],
    request: Mapping[str, Any],
    *,
    name: str,
    answer_bytes: int,
    facts_bytes: int = 0,
    beside: Mapping[str, BinaryIO] | None = None,
) -> tuple[Mapping[str, Any], list[NDArray[Any]]]:
    """What a child answers: facts, and arrays; `answer_bytes` is what these may take, `facts_bytes` what words may. It gets the
    files `beside` too."""
    most = LONGEST_FACTS + facts_bytes
    with ExitStack() as opened, os.fdopen(os.memfd_create("tiffsd-pixels"), "r+b") as answer:

        def again(file: IO[bytes]) -> int:
            # The child gets a position of its own in a file: this one's belongs to who reads it here.
            return opened.enter_context(os.fdopen(reopened(file.fileno(), os.O_RDONLY), "rb")).fileno()

        kept = {suffix: again(other) for suffix, other in (beside or {}).items()}
        limits = {"name": name, "answer_bytes": answer_bytes + most, "seconds": SECONDS}
        _run_child([again(file), answer.fileno()], {**request, **limits, "kept": kept}, name)
        answer.seek(0)
        try:
            facts = json.loads(answer.readline(most))
            if "refused" not in facts:
                return facts, _arrays(answer, facts["arrays"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{name}: what decodes its pixels gave no answer that can be used ({error}); save it again") from error
        raise _refusal(facts["refused"], facts["sentence"])


def _run_child(descriptors: list[int], request: Mapping[str, Any], name: str) -> None:
    """Run the child on the file and the answer, by their descriptors, and on what is `kept`."""
    command = [sys.executable, "-P", "-m", "daemon.pictures.decoder", *map(str, descriptors), json.dumps(request)]
    # In a group of its own: Ctrl-C in a terminal stops the daemon, and must not look like a fault of the file.
    with unpinned():
        child = subprocess.Popen(
            command,
            pass_fds=[*descriptors, *request["kept"].values()],
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
    if code == -signal.SIGXCPU:
        raise InputError(
            f"{name}: reading it takes more processor time than its size explains, so it is damaged or made to do harm; "
            "save it again from the original, as a plain PNG or an uncompressed TIFF"
        )
    if code:
        guess = ", perhaps for lack of memory" if code == -signal.SIGKILL else ""
        how = f"was killed by signal {-code}{guess}" if code < 0 else f"ended with code {code}"
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


def _arrays(answer: IO[bytes], facts: Sequence[Mapping[str, Any]]) -> list[NDArray[Any]]:
    """The arrays of these shapes and types, which lie one behind the other; mapped, and not read: what is only handed on, or waits,
    takes no memory of this process."""
    start, length = answer.tell(), os.fstat(answer.fileno()).st_size
    mapped = mmap.mmap(answer.fileno(), length)
    found = []
    for fact in facts:
        shape, kind = tuple(fact["shape"]), np.dtype(fact["dtype"])
        count = prod(shape)
        if kind.kind not in "buif" or count * kind.itemsize > length - start:
            raise ValueError(f"{list(shape)} of {fact['dtype']} in {length - start} bytes")
        pixels = np.frombuffer(mapped, kind, count, offset=start) if count else np.empty(0, kind)
        found.append(pixels.reshape(shape))
        start += count * kind.itemsize
        start += -start % ALIGNED_BYTES
    return found
