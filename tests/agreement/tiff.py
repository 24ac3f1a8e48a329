"""A writer of TIFF as any program might save it: either byte order, BigTIFF, strips, tiles, planes, codecs, predictors, any bits.

After TIFF 6.0, its technical notes and the proposal of BigTIFF. It is told all and checks nothing: no library has a say.
"""

import lzma
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np

from tests.tiffs_by_hand import packed

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
FORMS = {BYTE: "B", SHORT: "H", LONG: "I", LONG8: "Q"}
NONE, LZW, DEFLATE, PACKBITS, LZMA, ZSTD = 1, 5, 8, 32773, 34925, 50000
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
HORIZONTAL, FLOATING = 2, 3

Tag = tuple[int, Any]  # a type, and bytes or a list of numbers


@dataclass(frozen=True)
class Form:
    """How pages lie in a file: strips of so many `rows` (None: one strip), or tiles (rows, columns)."""

    order: str = "<"
    big: bool = False
    compression: int = NONE
    predictor: int = 1
    rows: int | None = None
    tile: tuple[int, int] | None = None
    planar: bool = False


@dataclass(frozen=True)
class Sheet:
    """One page: samples (H, W, n), their bits (None: all of the type), how they are meant, and tags beside."""

    samples: np.ndarray
    photometric: int = 1
    bits: int | None = None
    extra: Sequence[int] = ()
    tags: Mapping[int, Tag] = field(default_factory=dict)
    form: Form | None = None  # another one than the file's


def tiff_of(sheets: Sequence[Sheet], form: Form = Form()) -> bytes:
    """The bytes of a TIFF of these pages."""
    pieces = bytearray(_head(form))
    link = len(pieces) - (8 if form.big else 4)
    for sheet in sheets:
        tags = {**_described(sheet, sheet.form or form), **sheet.tags}
        places, lengths = [], []
        for segment in _segments(sheet, sheet.form or form):
            places.append(len(pieces))
            lengths.append(len(segment))
            pieces += segment + b"\0" * (len(segment) % 2)
        tiled = (sheet.form or form).tile is not None
        tags = {(324 if tiled else 273): (LONG, places), (325 if tiled else 279): (LONG, lengths), **tags}
        link = _append_page(pieces, tags, form, link)
    return bytes(pieces)


def _head(form: Form) -> bytes:
    mark = b"II" if form.order == "<" else b"MM"
    if form.big:
        return mark + struct.pack(form.order + "HHHQ", 43, 8, 0, 0)
    return mark + struct.pack(form.order + "HI", 42, 0)


def _append_page(pieces: bytearray, tags: Mapping[int, Tag], form: Form, link: int) -> int:
    """Append a page's tags, point the page before to them, and return where the offset of the next one stands."""
    inline, count_form, offset_form = (8, "Q", "Q") if form.big else (4, "I", "I")
    table = b""
    for code, (kind, value) in sorted(tags.items()):
        data, count = _encoded(kind, value, form.order)
        if len(data) > inline:
            pieces += b"\0" * (len(pieces) % 2)
            place = struct.pack(form.order + offset_form, len(pieces))
            pieces += data
            data = place
        table += struct.pack(form.order + "HH" + count_form, code, kind, count) + data.ljust(inline, b"\0")
    pieces += b"\0" * (len(pieces) % 2)
    struct.pack_into(form.order + offset_form, pieces, link, len(pieces))
    pieces += struct.pack(form.order + ("Q" if form.big else "H"), len(tags)) + table
    pieces += bytes(8 if form.big else 4)
    return len(pieces) - (8 if form.big else 4)


def _encoded(kind: int, value: Any, order: str) -> tuple[bytes, int]:
    if isinstance(value, bytes):
        data = value + b"\0" if kind == ASCII else value
        return data, len(data)
    if kind == RATIONAL:
        return b"".join(struct.pack(order + "II", *pair) for pair in value), len(value)
    return struct.pack(f"{order}{len(value)}{FORMS[kind]}", *value), len(value)


def _described(sheet: Sheet, form: Form) -> dict[int, Tag]:
    height, width, count = sheet.samples.shape
    kind = {"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[sheet.samples.dtype.kind]
    tags: dict[int, Tag] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [sheet.bits or 8 * sheet.samples.dtype.itemsize] * count),
        259: (SHORT, [form.compression]),
        262: (SHORT, [sheet.photometric]),
        277: (SHORT, [count]),
        339: (SHORT, [kind] * count),
    }
    if form.tile is None:
        tags[278] = (LONG, [form.rows or height])
    else:
        tags |= {322: (LONG, [form.tile[1]]), 323: (LONG, [form.tile[0]])}
    if count > 1:
        tags[284] = (SHORT, [2 if form.planar else 1])
    if form.predictor != 1:
        tags[317] = (SHORT, [form.predictor])
    if sheet.extra:
        tags[338] = (SHORT, list(sheet.extra))
    return tags


def _segments(sheet: Sheet, form: Form) -> Iterator[bytes]:
    planes = [sheet.samples[..., k : k + 1] for k in range(sheet.samples.shape[2])] if form.planar else [sheet.samples]
    for plane in planes:
        for block in _blocks(plane, form):
            yield _compressed(_predicted(block, sheet, form), block, form)


def _blocks(plane: np.ndarray, form: Form) -> Iterator[np.ndarray]:
    height, width, _ = plane.shape
    if form.tile is None:
        rows = form.rows or height
        yield from (plane[top : top + rows] for top in range(0, height, rows))
        return
    rows, columns = form.tile
    padded = np.pad(plane, ((0, -height % rows), (0, -width % columns), (0, 0)), mode="edge")
    for top in range(0, height, rows):
        yield from (padded[top : top + rows, left : left + columns] for left in range(0, width, columns))


def _predicted(block: np.ndarray, sheet: Sheet, form: Form) -> bytes:
    bits = sheet.bits or 8 * block.dtype.itemsize
    if form.predictor == FLOATING:
        return _floating(block)
    if form.predictor == HORIZONTAL:
        whole = block.view(f"u{block.dtype.itemsize}")
        block = np.concatenate([whole[:, :1], np.diff(whole, axis=1)], axis=1)
    if bits == 8 * block.dtype.itemsize:
        return block.astype(block.dtype.newbyteorder(form.order)).tobytes()
    return packed(block.reshape(len(block), -1), bits, form.order)


def _floating(block: np.ndarray) -> bytes:
    """Adobe's technical note 3: the bytes of a row, the highest of all samples first, each less the one a pixel before."""
    rows = b""
    for row in block:
        width, samples = row.shape
        planes = row.astype(row.dtype.newbyteorder(">")).reshape(-1).view(np.uint8).reshape(width * samples, -1).T
        line = np.ascontiguousarray(planes).reshape(-1)
        line[samples:] = line[samples:] - line[:-samples]
        rows += line.tobytes()
    return rows


def _compressed(data: bytes, block: np.ndarray, form: Form) -> bytes:
    match form.compression:
        case 5:
            return bytes(imagecodecs.lzw_encode(data))
        case 8 | 32946:
            return zlib.compress(data)
        case 32773:
            line = len(data) // len(block)
            return b"".join(bytes(imagecodecs.packbits_encode(data[k : k + line])) for k in range(0, len(data), line))
        case 34925:
            return lzma.compress(data, format=lzma.FORMAT_XZ)
        case 50000:
            return bytes(imagecodecs.zstd_encode(data))
    return data
