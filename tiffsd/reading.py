"""Artifacts from files of each form that is read: TIFFSD and other TIFF, OpenEXR, latents of ComfyUI, told by their first bytes.

`tiffsd/file.py`, `tiffsd/exr_file.py` and `tiffsd/latent_file.py` read one form each.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tiffsd import exr_file, file, latent_file
from tiffsd.artifact import Artifact
from tiffsd.exact import Exact
from tiffsd.exr import decode_channels
from tiffsd.exr_header import EXR_BEGINNING, read_exr_header
from tiffsd.header import Header, id_in_name
from tiffsd.inks import Colour
from tiffsd.spec import Kind, TiffsdError

Source = str | os.PathLike[str] | IO[bytes]


class Coded(Protocol):
    """Pixels that need a codec: a page of a TIFF, or a channel of an OpenEXR file; `index` is its place in the file."""

    @property
    def index(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any] | None: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def working_bytes(self) -> int: ...


Decode = Callable[[IO[bytes], Sequence[Coded]], list[NDArray[Any]]]
Unpack = Callable[[IO[bytes], int], Exact]


def read(
    source: Source,
    *,
    expect: Kind | None = None,
    name: str | None = None,
    decode: Decode | None = None,
    largest: int | None = None,
    unpack: Unpack | None = None,
    colour: Colour | None = None,
    alpha: bool = False,
) -> Artifact:
    """Read an artifact from a path or a binary file; what was found, assumed or lost stands in its notes.

    `expect` says what a file without metadata is, and refuses other kinds with WrongKind; `name` is the file's original name, for
    the sentences of errors and for the endings that the prototype used. `decode` is asked, instead of `decode_pages`, for pixels
    that need a codec: a caller that a crash must not take down runs codecs elsewhere. `largest` bounds the pixels of the canvas,
    all pages together, for a caller with less memory than the format takes. `unpack` is asked, and not `exact_tensors`, for large
    exact tensors, and told the length of their text. `colour` is asked to make sRGB of a picture whose file has an ICC profile;
    without it the numbers of such a picture are taken as they are. `alpha` asks for that of a picture too, as a tensor of that name
    (H, W), where not all is opaque. Latents of ComfyUI are in the units of their VAE, which `Artifact.of_vae` says. Raises any
    TiffsdError.
    """
    with _opened(source, name) as (opened, label, beginning, length):
        if beginning.startswith(EXR_BEGINNING):
            return exr_file.read_exr(
                opened, label, length=length, expect=expect, decode=decode, largest=largest, unpack=unpack, alpha=alpha
            )
        if latent_file.is_latent(beginning, label):
            return latent_file.read_latent(opened, label, length=length, expect=expect, largest=largest)
        return file.read(
            opened,
            expect=expect,
            name=label,
            decode=decode,
            largest=largest,
            unpack=unpack,
            colour=colour,
            alpha=alpha,
        )


def inspect(source: Source, *, name: str | None = None) -> Header:
    """The header alone, without touching pixels or exact tensors; of a file without metadata what its tags tell.

    `name` is the file's original name. Raises NotTiffsd, Truncated, BadHeader, NewerFormat, TooLarge, of an OpenEXR file also
    BadShape and BadValues; OSError without a file.
    """
    with _opened(source, name) as (opened, label, beginning, length):
        if beginning.startswith(EXR_BEGINNING):
            return exr_file.inspect_exr(opened, label, length=length)
        if latent_file.is_latent(beginning, label):
            return latent_file.inspect_latent(opened, label, length=length)
        return file.inspect(opened, name=label)


def find_id(source: Source, name: str | None = None) -> str | None:
    """The id of a dropped file: in its metadata, else in its ICC profile, else in its name STEM.ID.EXT; None if nowhere.

    A file that is none of these forms, or a broken one, raises nothing: its name still counts.
    """
    with _opened(source, name) as (opened, label, beginning, length):
        try:
            if beginning.startswith(EXR_BEGINNING):
                return exr_file.find_id_in_exr(opened, label, length=length)
            if latent_file.is_latent(beginning, label):
                return latent_file.find_id_in_latent(opened, label, length=length)
        except TiffsdError:
            return id_in_name(label)
        return file.find_id(opened, label)


def exact_tensors(source: Source, *, name: str | None = None) -> Exact:
    """The exact tensors of an artifact, without its canvas, or none and the reason. Raises any TiffsdError."""
    with _opened(source, name) as (opened, label, beginning, length):
        if beginning.startswith(EXR_BEGINNING):
            return exr_file.exact_tensors_of_exr(opened, label, length=length)
        return file.exact_tensors(opened, name=label)


def working_bytes(source: Source, *, name: str | None = None) -> int:
    """What decoding takes beside the pixels that are asked for: all channels of an OpenEXR file, and of a TIFF nothing.

    Raises any TiffsdError."""
    with _opened(source, name) as (opened, label, beginning, length):
        if not beginning.startswith(EXR_BEGINNING):
            return 0
        parts = read_exr_header(opened, label, length=length)
        return max(channel.working_bytes for part in parts for channel in part.channels)


def same_tensors(one: Source, other: Source) -> bool:
    """Whether two files carry the same exact tensors, told without decoding them; of other forms than TIFF it is not told."""
    for source in (one, other):
        with _opened(source, None) as (_, _, beginning, _):
            if not beginning.startswith(file.TIFF_BEGINNINGS):
                return False
    return file.same_tensors(one, other)


def decode_pages(source: IO[bytes], indices: Sequence[int], *, name: str | None = None) -> Iterator[NDArray[Any]]:
    """The pixels (H, W, samples) of these pages of a TIFF, or channels of an OpenEXR file, that `read` has checked, in the order of
    bytes of this machine.

    Raises whatever codecs raise on broken pixels, and may crash on malicious ones; `name` is the file's.
    """
    with _opened(source, name) as (opened, label, beginning, _):
        if beginning.startswith(EXR_BEGINNING):
            yield from decode_channels(opened, indices, name=label)
        else:
            yield from file.decode_pages(opened, indices)


@contextmanager
def _opened(source: Source, name: str | None) -> Iterator[tuple[IO[bytes], str, bytes, int]]:
    """The file, the name to call it by, its first bytes, and its length in bytes."""
    label = file.label_of(source, name)
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as opened, _opened(opened, label) as found:
            yield found
        return
    length = source.seek(0, os.SEEK_END)
    source.seek(0)
    beginning = source.read(latent_file.BEGINNING_BYTES)
    source.seek(0)
    yield source, label, beginning, length
