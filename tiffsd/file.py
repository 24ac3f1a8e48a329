"""Artifacts <-> TIFF files: write, read, inspect, find the id. The only import of tifffile.

tifffile changes its series API between releases, so only pages, tags and TiffWriter are used. Whatever it or a codec raises on a
broken file becomes a sentence; sizes are checked against the tags and the length of the file before pixels are touched.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage, TiffWriter

from tiffsd.artifact import CANVAS_TENSORS, Artifact, check, settle, size_of
from tiffsd.bare import Shape, kind_of, layout_of, read_bare
from tiffsd.canvas import canvas_tensor, paint
from tiffsd.exact import decode_tensors, encode_tensors
from tiffsd.header import Header, header_from, id_in_name, new_id, parse, render
from tiffsd.pixels import Page, to_canvas, to_picture
from tiffsd.profile import id_in_profile, profile
from tiffsd.spec import (
    DESCRIPTION_TAG,
    LARGEST_RECORD_BYTES,
    LARGEST_SIDE,
    LARGEST_TENSORS_BYTES,
    MOST_PAGES,
    MOST_SAMPLES,
    NOUNS,
    PAGE_NAME,
    PAGE_NAME_TAG,
    PROFILE_TAG,
    RECORD_TAG,
    TENSORS_TAG,
    BadShape,
    BadValues,
    Kind,
    Layout,
    NotTiffsd,
    TiffsdError,
    TooLarge,
    Truncated,
    WrongKind,
)

Source = str | os.PathLike[str] | IO[bytes]

TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OTHER_BEGINNINGS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"RIFF": "a WebP picture",
    b"GIF8": "a GIF picture",
    b"8BPS": "a Photoshop document",
    b"gimp xcf": "a GIMP document",
    b"PK\x03\x04": "a ZIP archive (or an OpenRaster or Krita document)",
}
ASCII, THUMBNAIL_OR_MASK, ASSOCIATED_ALPHA = 2, 0b101, 1
GRAY, RGB, YCBCR, JPEG = 1, 2, 6, 7
EXACT_CODECS = (1, 5, 8, 32773, 32946, 34925, 50000)  # none, LZW, Deflate, PackBits, Deflate (old), LZMA, ZSTD
PICTURE_CODECS = (*EXACT_CODECS, JPEG, 33003, 33005, 34712, 50001, 50002)  # JPEG 2000, WebP, JPEG XL
MOST_CLASSIC_BYTES = 4 * 2**30 - 2**24


def write(target: Source, artifact: Artifact, *, layout: Layout | None = None) -> None:
    """Write an artifact, in another layout than its header's if asked to.

    A path is replaced atomically (temporary file beside it, fsync, rename); a binary file object is written to as it is, and
    neither synced nor closed. Raises BadShape, BadValues, BadHeader where the artifact could not be read again.
    """
    header = artifact.header if layout is None else replace(artifact.header, layout=layout)
    artifact = replace(artifact, header=header)
    texts = render(header)
    check(artifact)
    if not isinstance(target, str | os.PathLike):
        _write_pages(target, artifact, texts)
        return
    path = Path(target)
    part = path.with_name(f".{new_id()}.part")
    try:
        with part.open("xb") as file:
            _write_pages(file, artifact, texts)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(source: Source, *, expect: Kind | None = None, name: str | None = None) -> Artifact:
    """Read an artifact from a path or a binary file; what was found, assumed or lost stands in its notes.

    `expect` says what a file without metadata is, and refuses other kinds with WrongKind; `name` is the file's original name, for
    the sentences of errors and for the endings that the prototype used. Raises any TiffsdError.
    """
    with _opened(source, name) as (tiff, label, length):
        pages = _canvas_pages(tiff, label)
        header, notes = _header(pages[0], label)
        kind = header.kind if header else kind_of(_shapes(pages), name=label, expect=expect)
        if expect is not None and kind is not expect:
            raise WrongKind(
                f"{label} holds {NOUNS[kind]}, and this place takes {NOUNS[expect]}; use it where {NOUNS[kind]} can be taken"
            )
        pages = pages[:1] if kind is Kind.PICTURE else pages
        _check_pages(pages, kind, label, length=length)
        loaded = [_load(page) for page in pages]
        text = _value(pages[0], TENSORS_TAG, LARGEST_TENSORS_BYTES, label) if header else None
        artifact_id = header.id if header else _id(pages[0], label)
    if kind is Kind.PICTURE:
        artifact = _picture(loaded[0], header, text, artifact_id=artifact_id, label=label)
    elif header is None:
        artifact = read_bare(loaded, kind, artifact_id=artifact_id, name=label)
    else:
        artifact = _with_metadata(loaded, header, text, label=label)
    return replace(artifact, notes=(*notes, *artifact.notes))


def inspect(source: Source, *, name: str | None = None) -> Header:
    """The header alone, without touching pixels or exact tensors; of a file without metadata what its tags tell."""
    with _opened(source, name) as (tiff, label, _):
        pages = _canvas_pages(tiff, label)
        header, _ = _header(pages[0], label)
        if header is not None:
            return header
        shapes = _shapes(pages)
        kind = kind_of(shapes, name=label, expect=None)
        layout, size = layout_of(kind, shapes)
        return Header(kind, _id(pages[0], label), layout, size)


def find_id(source: Source, name: str | None = None) -> str | None:
    """The id of a dropped file: in its metadata, else in its ICC profile, else in its name STEM.ID.EXT; None if nowhere."""
    try:
        with _opened(source, name) as (tiff, label, _):
            return _id_inside(_canvas_pages(tiff, label)[0], label) or id_in_name(label)
    except TiffsdError:
        return id_in_name(_label(source, name))


def _write_pages(file: IO[bytes], artifact: Artifact, texts: tuple[str, str]) -> None:
    header = artifact.header
    pages = _painted(artifact)
    stored = {key: tensor for key, tensor in artifact.tensors.items() if key != "picture"}
    once: list[tuple[int, int, int, str | bytes, bool]] = [(RECORD_TAG, ASCII, 0, texts[1], True)]
    if stored:
        once.append((TENSORS_TAG, ASCII, 0, encode_tensors(stored, artifact_id=header.id), True))
    length = sum(page.nbytes for page in pages) + 2 * sum(tensor.nbytes for tensor in stored.values())
    with TiffWriter(file, bigtiff=length > MOST_CLASSIC_BYTES, byteorder="<") as tiff:
        for index, page in enumerate(pages):
            title = [(PAGE_NAME_TAG, ASCII, 0, PAGE_NAME.format(index), False)] if header.layout is Layout.PAGES else []
            tiff.write(
                page,
                photometric="minisblack" if page.ndim == 2 else "rgb",
                extrasamples=["unassalpha"] if header.layout is Layout.RGBA else None,
                planarconfig="contig" if page.ndim == 3 else None,
                rowsperstrip=page.shape[0],
                description=texts[0],
                metadata=None,
                software="tiffsd",
                iccprofile=profile(header.kind, header.id),
                extratags=title + (once if index == 0 else []),
                contiguous=False,
            )


def _painted(artifact: Artifact) -> list[NDArray[Any]]:
    """The pages of the canvas: gray (H, W), or colour (H, W, samples)."""
    header = artifact.header
    if header.kind is Kind.PICTURE:
        picture = artifact.tensors["picture"]
        return [picture if picture.dtype == np.float16 else picture.astype(np.float32, copy=False)]
    tensor = canvas_tensor(artifact.tensors, header.kind)
    assert tensor is not None  # check() has seen it
    planes = paint(tensor, header)
    return [np.moveaxis(planes, 0, -1)] if header.layout is Layout.RGBA else list(planes)


def _with_metadata(pages: Sequence[Page], header: Header, text: Any, *, label: str) -> Artifact:
    canvas = to_canvas(pages, header.kind, name=label, raw=header.layout is Layout.RGBA)
    exact, note = _exact(header, text)
    artifact = settle(header, canvas, exact, name=label)
    if note:
        artifact = replace(artifact, canvas=canvas, notes=(note, *artifact.notes))
    return artifact


def _exact(header: Header, text: Any) -> tuple[dict[str, NDArray[Any]], str | None]:
    """The exact tensors, or none and the reason."""
    if not isinstance(text, str | bytes):
        return {}, "the file has lost its exact tensors, so the canvas counts as it is"
    tensors = decode_tensors(text, artifact_id=header.id)
    if isinstance(tensors, str):
        return {}, f"the exact tensors were ignored, {tensors}, so the canvas counts as it is"
    if header.kind is Kind.PICTURE:
        return tensors, None
    names = [key for key in CANVAS_TENSORS[header.kind] if key in tensors]
    if any(tensors[key].dtype.kind != "f" or not np.isfinite(tensors[key]).all() for key in names):
        return {}, "the exact tensors were ignored, they are no finite floats, so the canvas counts as it is"
    if size_of(tensors, header.kind) != header.size:
        return {}, "the exact tensors were ignored, they have another size than the metadata says, so the canvas counts as it is"
    return tensors | {key: tensors[key].astype(np.float32, copy=False) for key in names}, None


def _picture(page: Page, header: Header | None, text: Any, *, artifact_id: str, label: str) -> Artifact:
    picture, notes = to_picture(page, name=label)
    tensors = _exact(header, text)[0] if header is not None and text else {}
    header = header or Header(Kind.PICTURE, artifact_id, Layout.RGB, picture.shape)
    return Artifact(replace(header, size=picture.shape), {**tensors, "picture": picture}, tuple(notes))


@contextmanager
def _opened(source: Source, name: str | None) -> Iterator[tuple[TiffFile, str, int]]:
    """An open TIFF, the name to call it by, its length in bytes."""
    label = _label(source, name)
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file, _opened(file, label) as opened:
            yield opened
        return
    length = source.seek(0, os.SEEK_END)
    source.seek(0)
    _check_beginning(source.read(8), label, length=length)
    source.seek(0)
    with _sentences(label), TiffFile(source, name=label) as tiff:
        yield tiff, label, length


def _label(source: Source, name: str | None) -> str:
    found = name or (source if isinstance(source, str | os.PathLike) else getattr(source, "name", None))
    return os.fspath(found).rpartition("/")[2] if isinstance(found, str | os.PathLike) else "the file"


def _check_beginning(beginning: bytes, label: str, *, length: int) -> None:
    if length == 0:
        raise Truncated(f"{label} is empty, and a TIFF file was expected; copy or save it again")
    if not beginning.startswith(TIFF_BEGINNINGS):
        what = next((text for magic, text in OTHER_BEGINNINGS.items() if beginning.startswith(magic)), "something else")
        raise NotTiffsd(f"{label} is not a TIFF file but {what}; save or export it as TIFF, 32-bit float")


@contextmanager
def _sentences(label: str) -> Iterator[None]:
    """Whatever tifffile or a codec raises on a broken file, as one sentence."""
    try:
        yield
    except (TiffsdError, OSError, MemoryError):
        raise
    except Exception as error:
        detail = " ".join(str(error).split())[:160] or type(error).__name__
        raise Truncated(f"{label} is damaged or incomplete ({detail}); copy or save it again from the original") from error


def _canvas_pages(tiff: TiffFile, label: str) -> list[TiffPage]:
    """The pages that are canvas: no thumbnails, no masks."""
    pages: list[TiffPage] = []
    for index in range(MOST_PAGES + 1):
        try:
            page = tiff.pages[index]
        except IndexError:
            break
        if not int(page.subfiletype) & THUMBNAIL_OR_MASK:
            pages.append(page)
    if index == MOST_PAGES:
        raise TooLarge(f"{label} has more than {MOST_PAGES} pages, which no artifact has; save only those of the original")
    if not pages:
        raise NotTiffsd(f"{label} has no page but thumbnails or none at all; save or export it again")
    return pages


def _shapes(pages: Sequence[TiffPage]) -> list[Shape]:
    return [
        Shape(page.imagelength, page.imagewidth, page.samplesperpixel, page.dtype is not None and page.dtype.kind == "f")
        for page in pages
    ]


def _header(page: TiffPage, label: str) -> tuple[Header | None, list[str]]:
    """The header that the tags of the first page tell, and what was wrong with it."""
    description = _value(page, DESCRIPTION_TAG, LARGEST_RECORD_BYTES, label)
    essentials = parse(description)
    record = parse(_value(page, RECORD_TAG, LARGEST_RECORD_BYTES, label))
    notes = []
    if essentials is None and isinstance(description, str) and '"tiffsd"' in description:
        notes.append("the ImageDescription is damaged and was ignored")
    if essentials and record and essentials.get("id") != record.get("id"):
        notes.append(f"the full record belongs to artifact {record.get('id')} and was ignored")
        record = None
    if not essentials and not record:
        return None, notes
    return header_from({**(record or {}), **(essentials or {})}, name=label), notes


def _id(page: TiffPage, label: str) -> str:
    return _id_inside(page, label) or id_in_name(label) or new_id()


def _id_inside(page: TiffPage, label: str) -> str | None:
    header, _ = _header(page, label)
    if header is not None:
        return header.id
    icc = _value(page, PROFILE_TAG, LARGEST_RECORD_BYTES, label)
    return id_in_profile(icc) if isinstance(icc, bytes) else None


def _value(page: TiffPage, code: int, largest_bytes: int, label: str) -> Any:
    """The text or the bytes of a tag; None where it is missing or of another type."""
    tag = page.tags.get(code)
    if tag is None:
        return None
    if tag.count > largest_bytes:
        raise TooLarge(
            f"{label} has {tag.count} bytes in tag {code}, and at most {largest_bytes} are read; write it again with tiffsd"
        )
    return tag.value if isinstance(tag.value, str | bytes) else None


def _check_pages(pages: Sequence[TiffPage], kind: Kind, label: str, *, length: int) -> None:
    for page in pages:
        _check_size(page, kind, label)
    total = sum(page.imagelength * page.imagewidth * page.samplesperpixel for page in pages)
    if total > MOST_SAMPLES[kind]:
        raise TooLarge(f"{label} has {total:,} samples, and {kind} of at most {MOST_SAMPLES[kind]:,} are read; make it smaller")
    for page in pages:
        _check_coding(page, kind, label)
        _check_data(page, label, length=length)


def _check_size(page: TiffPage, kind: Kind, label: str) -> None:
    sides = (page.imagewidth, page.imagelength)
    if min(sides) < 1 or max(sides) > LARGEST_SIDE or not 1 <= page.samplesperpixel <= MOST_PAGES or page.imagedepth != 1:
        raise TooLarge(
            f"{label} is {sides[0]}x{sides[1]} with {page.samplesperpixel} channels, and sides of 1 to {LARGEST_SIDE} are read; "
            f"save it again from the original"
        )
    tile = page.tilewidth * page.tilelength * page.samplesperpixel if page.is_tiled else 0
    if tile > MOST_SAMPLES[kind]:
        raise TooLarge(f"{label} has tiles of {page.tilewidth}x{page.tilelength}, which is too large; save it in strips")


def _check_coding(page: TiffPage, kind: Kind, label: str) -> None:
    picture = kind is Kind.PICTURE
    compression = int(page.compression)
    if compression not in (PICTURE_CODECS if picture else EXACT_CODECS):
        raise BadValues(
            f"{label} is compressed with {getattr(page.compression, 'name', compression)}, and {kind} are read uncompressed, "
            f"or with Deflate, LZW, ZSTD, LZMA or PackBits; save the original again without lossy compression"
        )
    photometric = int(page.photometric) if "PhotometricInterpretation" in page.tags else GRAY
    if photometric not in (GRAY, RGB) and not (picture and photometric == YCBCR and compression == JPEG):
        raise BadShape(
            f"{label} has colours of type {getattr(page.photometric, 'name', photometric)}, and {kind} are gray (black is 0) "
            f"or RGB; convert it, or go back to the original"
        )
    if page.dtype is None:
        raise BadValues(f"{label} has {page.bitspersample} bits per channel, and 8, 16 or 32 are read; save it as 32-bit float")


def _check_data(page: TiffPage, label: str, *, length: int) -> None:
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    uncompressed = page.imagelength * page.imagewidth * page.samplesperpixel * page.dtype.itemsize
    stored = sum(page.databytecounts)
    missing = not ends or len(page.dataoffsets) != len(page.databytecounts) or 0 in page.databytecounts or max(ends) > length
    if missing or (int(page.compression) == 1 and stored < uncompressed):
        raise Truncated(
            f"{label} is cut off: its pixels should end at byte {max(ends, default=uncompressed)} and the file has {length}; "
            f"wait until it is copied completely, or copy it again"
        )


def _load(page: TiffPage) -> Page:
    data = page.asarray(squeeze=False)
    planar = data.shape[0] == page.samplesperpixel and data.shape[-1] == 1
    pixels = np.moveaxis(data[:, 0, :, :, 0], 0, -1) if planar else data[0, 0]
    title = page.tags.valueof(PAGE_NAME_TAG)
    return Page(
        pixels.astype(pixels.dtype.newbyteorder("="), copy=False),
        premultiplied=ASSOCIATED_ALPHA in [int(extra) for extra in page.extrasamples],
        orientation=int(page.tags.valueof(274, 1) or 1),
        title=title if isinstance(title, str) else None,
    )
