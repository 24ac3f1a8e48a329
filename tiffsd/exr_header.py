"""The header of an OpenEXR file: its parts, channels, windows and texts, walked before any library sees it.

Layout: "OpenEXR File Layout", version 2.0, of the Academy Software Foundation. Limits: sections 8 and 12 of `tiffsd/spec.py`. No
pixel is read here, so that what a file is, and how large, is known without its codecs.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO

import numpy as np

from tiffsd.spec import LARGEST_RECORD_BYTES, LARGEST_SIDE, BadShape, TooLarge, Truncated

EXR_BEGINNING = b"v/1\x01"
VERSION_AND_FLAGS = struct.Struct("<BBBB")
NON_IMAGE, MULTI_PART = 0x08, 0x10  # in the second byte: bits 11 and 12
BOX, CHANNEL, CHROMATICITIES = struct.Struct("<4i"), struct.Struct("<iB3xii"), struct.Struct("<8f")
TYPES = ("uint32", "float16", "float32")
COMPRESSIONS = ("none", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
LOSSY_OF_HALF, LOSSY_OF_FLOAT = {"B44", "B44A", "DWAA", "DWAB"}, {"PXR24", "DWAA", "DWAB"}
# Lines in one piece of pixels, and bytes that one byte can stand for, where a codec promises so many at most.
LINES = {"none": 1, "RLE": 1, "ZIPS": 1, "ZIP": 16, "PXR24": 16, "PIZ": 32, "B44": 32, "B44A": 32, "DWAA": 32, "DWAB": 256}
MOST_PER_BYTE = {"none": 1, "RLE": 64, "ZIPS": 1032, "ZIP": 1032}
DEEP = (b"deepscanline", b"deeptile")
LONGEST_NAME, MOST_ATTRIBUTES, MOST_PARTS, MOST_OF_ALL_CHANNELS = 255, 1024, 64, 1024
LARGEST_TILE = 2048  # a side, of a picture that is smaller than half of it
LARGEST_VALUE_BYTES = 2**16  # of attributes that are not the record; longer ones are passed over
LARGEST_HEADER_BYTES = 2**24
RECORD = b"tiffsd"


@dataclass(frozen=True)
class ExrChannel:
    """One channel of a part: its place among the channels of all parts, its name as it is written, and its samples.

    `working_bytes` is what decoding takes, which is that of all channels: the library reads no single one.
    """

    index: int
    name: str
    height: int
    width: int
    dtype: np.dtype[np.generic]
    sampling: tuple[int, int]
    working_bytes: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """The pixels as they are decoded: (H, W, 1)."""
        return self.height, self.width, 1

    @property
    def nbytes(self) -> int:
        """The bytes of the decoded pixels."""
        return self.height * self.width * self.dtype.itemsize


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels, which may begin anywhere."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class ExrPart:
    """One picture in the file. `data` is the window that has pixels, `display` the one that is meant to be seen.

    `texts` are its attributes of type string, `places` where (start, length) the longer ones lie in the file.
    """

    name: str
    channels: tuple[ExrChannel, ...]
    data: Window
    display: Window
    compression: str
    deep: bool
    chunks: int | None = None
    aspect: float = 1.0
    chromaticities: tuple[float, ...] | None = None
    texts: Mapping[str, bytes] = field(default_factory=dict)
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Value:
    kind: bytes
    start: int
    length: int
    data: bytes | None


def read_exr_header(file: IO[bytes], label: str, *, length: int) -> tuple[ExrPart, ...]:
    """The parts of an OpenEXR file of `length` bytes, checked against it; Truncated, BadShape or TooLarge with a sentence."""
    file.seek(len(EXR_BEGINNING))
    try:
        version, flags, *_ = VERSION_AND_FLAGS.unpack(_bytes(file, VERSION_AND_FLAGS.size))
        if version != 2:
            raise BadShape(f"{label} is written in version {version} of OpenEXR, and version 2 is read; export it anew")
        headers = list(_headers(file, many=bool(flags & MULTI_PART)))
        parts = _parts(headers, label, deep=bool(flags & NON_IMAGE))
    except (struct.error, ValueError, IndexError, KeyError, EOFError) as error:
        if isinstance(error, (BadShape, TooLarge)):
            raise
        detail = " ".join(str(error).split())[:80] or type(error).__name__
        raise Truncated(f"{label} is damaged or incomplete ({detail}); copy or export it again from the original") from error
    _check_chunks(parts, file.tell(), label, length=length, file=file)
    return parts


def _headers(file: IO[bytes], *, many: bool) -> Iterator[dict[bytes, _Value]]:
    kept = 0
    for _ in range(MOST_PARTS):
        found = _attributes(file)
        kept += sum(len(value.data or b"") for value in found.values())
        if kept > LARGEST_HEADER_BYTES:
            raise ValueError(f"more than {LARGEST_HEADER_BYTES} bytes of attributes")
        if not found and many:
            return
        yield found
        if not many:
            return
    raise ValueError(f"more than {MOST_PARTS} parts")


def _attributes(file: IO[bytes]) -> dict[bytes, _Value]:
    """The attributes of one part; of a multi-part file none at the end of the list of headers."""
    found: dict[bytes, _Value] = {}
    while name := _name(file):
        if len(found) == MOST_ATTRIBUTES:
            raise ValueError(f"more than {MOST_ATTRIBUTES} attributes")
        kind = _name(file)
        (length,) = struct.unpack("<i", _bytes(file, 4))
        if length < 0:
            raise ValueError(f"an attribute of {length} bytes")
        start = file.tell()
        most = LARGEST_RECORD_BYTES if name == RECORD else LARGEST_VALUE_BYTES
        found[name] = _Value(kind, start, length, _bytes(file, length) if length <= most else None)
        file.seek(start + length)
    return found


def _name(file: IO[bytes]) -> bytes:
    """A text up to its zero, which is skipped."""
    start = file.tell()
    text, end, _ = file.read(LONGEST_NAME + 1).partition(b"\0")
    if not end:
        raise ValueError("a name that does not end")
    file.seek(start + len(text) + 1)
    return text


def _bytes(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("it ends within its header")
    return data


def _parts(headers: list[dict[bytes, _Value]], label: str, *, deep: bool) -> tuple[ExrPart, ...]:
    parts, count = [], 0
    for header in headers:
        part = _part(header, label, first=count, deep=deep)
        count += len(part.channels)
        parts.append(part)
    if not count or count > MOST_OF_ALL_CHANNELS:
        raise TooLarge(f"{label} has {count} channels, and 1 to {MOST_OF_ALL_CHANNELS} are read; export fewer of them")
    # The arrays of the library, and copies of those that are asked for.
    working = 2 * sum(channel.nbytes for part in parts for channel in part.channels)
    return tuple(
        replace(part, channels=tuple(replace(channel, working_bytes=working) for channel in part.channels)) for part in parts
    )


def _part(header: Mapping[bytes, _Value], label: str, *, first: int, deep: bool) -> ExrPart:
    data, display = (_window(header[name], label) for name in (b"dataWindow", b"displayWindow"))
    compression = _data(header[b"compression"])[0]
    kind = _data(header[b"type"]) if b"type" in header else b""
    named = COMPRESSIONS[compression] if compression < len(COMPRESSIONS) else str(compression)
    texts = {_decoded(name): value for name, value in header.items() if value.kind == b"string"}
    white = header.get(b"chromaticities")
    aspect = header.get(b"pixelAspectRatio")
    return ExrPart(
        name=_decoded(_data(header[b"name"])) if b"name" in header else "",
        channels=tuple(_channels(_data(header[b"channels"]), data, first=first)),
        data=data,
        display=display,
        compression=named,
        deep=deep or kind in DEEP,
        chunks=_chunk_count(header, data, named),
        aspect=struct.unpack("<f", _data(aspect))[0] if aspect else 1.0,
        chromaticities=CHROMATICITIES.unpack(_data(white)) if white and white.kind == b"chromaticities" else None,
        texts={name: value.data for name, value in texts.items() if value.data is not None},
        places={name: (value.start, value.length) for name, value in texts.items()},
    )


def _data(value: _Value) -> bytes:
    if value.data is None:
        raise ValueError(f"an attribute of {value.length} bytes")
    return value.data


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _window(value: _Value, label: str) -> Window:
    left, top, right, bottom = BOX.unpack(_data(value))
    width, height = right - left + 1, bottom - top + 1
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise TooLarge(f"{label} is {width}x{height}, and sides of 1 to {LARGEST_SIDE} are read; export it anew, smaller")
    return Window(left, top, width, height)


def _channels(data: bytes, window: Window, *, first: int) -> Iterator[ExrChannel]:
    """The list of channels of one part (names are unique, and in the order of their bytes)."""
    place = 0
    while data[place] != 0:
        name, _, _ = data[place : place + LONGEST_NAME + 1].partition(b"\0")
        kind, _, across, down = CHANNEL.unpack_from(data, place + len(name) + 1)
        place += len(name) + 1 + CHANNEL.size
        if across < 1 or down < 1:
            raise ValueError(f"a channel of every {across} pixels")
        height, width = -(-window.height // down), -(-window.width // across)
        yield ExrChannel(first, _decoded(name), height, width, np.dtype(TYPES[kind]), (down, across))
        first += 1


def _check_chunks(parts: tuple[ExrPart, ...], end: int, label: str, *, length: int, file: IO[bytes]) -> None:
    """Refuse a file that has no room for its lines or tiles, or whose list of where they lie leads out of it, as of one cut off."""
    for part in parts:
        if part.deep or part.chunks is None:
            return  # where the next list begins is not known
        if 8 * part.chunks > length - end:
            raise Truncated(f"{label} ends within the list of its {part.chunks} pieces of pixels; copy or export it again")
        file.seek(end)
        places = np.frombuffer(_bytes(file, 8 * part.chunks), "<u8")
        end += 8 * part.chunks
        if not places.size or int(places.min()) < end or int(places.max()) >= length:
            raise Truncated(
                f"{label} is cut off: some of its {part.chunks} pieces of pixels do not lie within its {length} bytes; wait until "
                f"it is copied completely, or export it again"
            )
    stored = sum(channel.nbytes for part in parts for channel in part.channels)
    most = MOST_PER_BYTE.get(parts[0].compression)
    if most and stored > most * length:
        raise Truncated(f"{label} is damaged: its {length} bytes cannot hold {stored} bytes of pixels; export it again")


def _chunk_count(header: Mapping[bytes, _Value], data: Window, compression: str) -> int | None:
    """How many pieces of pixels a part has; None where nothing tells, as of tiles with smaller copies."""
    across, down, mode = struct.unpack("<IIB", _data(header[b"tiles"])) if b"tiles" in header else (1, 1, 0)
    if not 0 < across <= max(LARGEST_TILE, 2 * data.width) or not 0 < down <= max(LARGEST_TILE, 2 * data.height):
        raise ValueError(f"tiles of {across}x{down}")
    if b"chunkCount" in header:
        (count,) = struct.unpack("<i", _data(header[b"chunkCount"]))
        return int(count) if count > 0 else None
    if b"tiles" not in header:
        lines = LINES.get(compression)
        return None if lines is None else -(-data.height // lines)
    return None if mode & 0xF else -(-data.width // across) * -(-data.height // down)
