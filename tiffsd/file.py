"""Artifacts <-> TIFF files: write, read, inspect, find the id. The only import of tifffile.

tifffile changes its series API between releases, so only pages, tags and TiffWriter are used. Whatever it or a codec raises on a
broken file becomes a sentence; sizes are checked against the tags and the length of the file before pixels are touched.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tifffile import PREDICTOR, TiffFile, TiffPage, TiffWriter

from tiffsd.artifact import Artifact
from tiffsd.atomic import replacing
from tiffsd.bare import Shape, kind_of, layout_of, read_bare
from tiffsd.content import Content, check_length, content_of
from tiffsd.curves import curves_of
from tiffsd.exact import Exact, tensors_of
from tiffsd.header import Header, header_from, id_in_name, new_id
from tiffsd.inks import GRAY, PALETTE, Colour
from tiffsd.outline import Outline, check_outlines
from tiffsd.painted import painted_content
from tiffsd.pixels import Page, to_picture
from tiffsd.profile import id_in_profile, profile
from tiffsd.recorded import check_expected, parse_record, read_recorded
from tiffsd.spec import (
    DESCRIPTION_TAG,
    LARGEST_SIDE,
    PAGE_NAME,
    PAGE_NAME_TAG,
    PROFILE_TAG,
    RECORD_TAG,
    TENSORS_TAG,
    BadShape,
    Kind,
    Layout,
    NotTiffsd,
    TiffsdError,
    Truncated,
)
from tiffsd.structure import check_structure

Source = str | os.PathLike[str] | IO[bytes]
Decode = Callable[[IO[bytes], Sequence[Outline]], list[NDArray[Any]]]
Unpack = Callable[[IO[bytes], int], Exact]

TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OTHER_BEGINNINGS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"RIFF": "a WebP picture",
    b"GIF8": "a GIF picture",
    b"8BPS": "a Photoshop document",
    b"gimp xcf": "a GIMP document",
    b"v/1\x01": "an OpenEXR picture",
    b"PK\x03\x04": "a ZIP archive (or an OpenRaster or Krita document)",
}
UNSPECIFIED = 0  # an extra sample that is no alpha
UNCOMPRESSED = 1
ASCII, THUMBNAIL_OR_MASK, ASSOCIATED_ALPHA, PLANAR_SEPARATE, ORIENTATION_TAG = 2, 0b101, 1, 2, 274
MOST_CLASSIC_BYTES = 4 * 2**30 - 2**24
LARGE_TEXT_BYTES = 4 * 2**20


def write(target: Source, artifact: Artifact, *, layout: Layout | None = None) -> None:
    """Write an artifact, in another layout than its header's if asked to.

    A path is replaced atomically (temporary file beside it, fsync, rename, fsync of the folder); a binary file object is written to
    as it is, and neither synced nor closed. Raises BadShape, BadValues, BadHeader, TooLarge where the artifact could not be read
    again.
    """
    _write(target, content_of(artifact if layout is None else replace(artifact, header=replace(artifact.header, layout=layout))))


def write_painted(target: Source, stored: Artifact, latents: NDArray[np.float32]) -> None:
    """Write latents as `write` does, with the exact tensors that are `stored`, and a canvas that shows others, as an editor leaves
    it: where they are equal nothing is painted (`tiffsd/painted.py`). Raises what `painted_content` raises."""
    _write(target, painted_content(stored, latents))


def _write(target: Source, content: Content) -> None:
    if not isinstance(target, str | os.PathLike):
        _write_pages(target, content)
        return
    with replacing(Path(target)) as file:
        _write_pages(file, content)


def write_plain(path: Path, planes: NDArray[Any]) -> None:
    """Write planes (n, H, W) without metadata, as the prototype of 2023 did: four as planar RGB and alpha, others as gray pages.

    The path is replaced atomically; their dtype and values are written as they are. Raises OSError where that is not possible.
    """
    with replacing(path) as file, TiffWriter(file, byteorder="<") as tiff:
        if len(planes) == 4:
            _write_page(tiff, file, planes, photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"])
        else:
            for plane in planes:
                _write_page(tiff, file, plane, photometric="minisblack")


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
    """Read a TIFF as `tiffsd.read` (`reading.py`) reads files of all forms, which says what the parameters are."""
    with _opened(source, name) as opened:
        label, pages = opened.label, opened.pages()
        header, notes = _header(pages[0], label)
        kind = header.kind if header else kind_of(_shapes(pages), name=label, expect=expect)
        check_expected(kind, expect, label)
        if kind is Kind.PICTURE and len(pages) > 1:
            raise BadShape(f"{label} has {len(pages)} pages, and a picture has one; merge the layers and save it again")
        outlines = [_outline(page) for page in pages]
        check_outlines(outlines, kind, label, length=opened.length, largest=largest)
        loaded = _loaded(opened.file, pages, outlines, decode)
        exact = _exact(opened, pages[0], header, unpack) if header else ({}, None)
        artifact_id = header.id if header else _id(pages[0], label)
        icc = _value(pages[0], PROFILE_TAG, label)
        curves = curves_of(icc) if isinstance(icc, bytes) else ()
    if kind is Kind.PICTURE:
        picture, transparency, said = to_picture(loaded[0], name=label, colour=colour)
        tensors = {**exact[0], "picture": picture, **({"alpha": transparency} if alpha and transparency is not None else {})}
        artifact = Artifact(_of_picture(header, artifact_id, picture.shape), tensors, tuple(said))
    elif header is None:
        artifact = read_bare(loaded, kind, artifact_id=artifact_id, name=label, curves=curves)
    else:
        artifact = read_recorded(loaded, header, exact, curves, name=label)
    return replace(artifact, notes=(*notes, *artifact.notes))


def inspect(source: Source, *, name: str | None = None) -> Header:
    """The header alone, without touching pixels or exact tensors; of a file without metadata what its tags tell.

    `name` is the file's original name. Raises NotTiffsd, Truncated, BadHeader, NewerFormat, TooLarge; OSError without a file.
    """
    with _opened(source, name) as opened:
        label, pages = opened.label, opened.pages()
        header, _ = _header(pages[0], label)
        if header is not None:
            return header
        shapes = _shapes(pages)
        kind = kind_of(shapes, name=label, expect=None)
        layout, size = layout_of(kind, shapes)
        return Header(kind, _id(pages[0], label), layout, size)


def find_id(source: Source, name: str | None = None) -> str | None:
    """The id of a dropped file: in its metadata, else in its ICC profile, else in its name STEM.ID.EXT; None if nowhere.

    A file that is no TIFF, or a broken one, raises nothing: its name still counts.
    """
    try:
        with _opened(source, name) as opened:
            return _id_inside(opened.pages()[0], opened.label) or id_in_name(opened.label)
    except TiffsdError:
        return id_in_name(label_of(source, name))


def same_tensors(one: Source, other: Source) -> bool:
    """Whether two files carry the same exact tensors, told without decoding them. Raises TiffsdError where one is no TIFF."""
    texts = []
    for source in (one, other):
        with _opened(source, None) as opened:
            texts.append(_value(opened.pages()[0], TENSORS_TAG, opened.label))
    return texts[0] is not None and texts[0] == texts[1]


def _write_pages(file: IO[bytes], content: Content) -> None:
    header = content.header
    once = [(code, ASCII, 0, text, True) for code, text in content.texts.items()]
    with TiffWriter(file, bigtiff=content.nbytes > MOST_CLASSIC_BYTES, byteorder="<") as tiff:
        for index, page in enumerate(content.pages):
            title = [(PAGE_NAME_TAG, ASCII, 0, PAGE_NAME.format(index), False)] if header.layout is Layout.PAGES else []
            _write_page(
                tiff,
                file,
                page,
                photometric="minisblack" if page.ndim == 2 else "rgb",
                extrasamples=["unassalpha"] if header.layout is Layout.RGBA else None,
                planarconfig="contig" if page.ndim == 3 else None,
                rowsperstrip=page.shape[0],
                description=content.essentials,
                software="tiffsd",
                iccprofile=profile(header.layout, header.id),
                extratags=title + (once if index == 0 else []),
            )


def _write_page(tiff: TiffWriter, file: IO[bytes], page: NDArray[Any], **tags: Any) -> None:
    """Write a page and see that all of it is there: numpy's tofile says nothing of a disk that is full at its tail."""
    place = tiff.write(page, metadata=None, contiguous=False, returnoffset=True, **tags)
    assert place is not None  # it is where a page without compression lies
    end, position = sum(place), file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(position)
    if length < end:
        raise OSError(errno.ENOSPC, f"{end - length} bytes could not be written; {os.strerror(errno.ENOSPC)}")


def _of_picture(header: Header | None, artifact_id: str, size: tuple[int, ...]) -> Header:
    return replace(header or Header(Kind.PICTURE, artifact_id, Layout.RGB, size), size=size)


@dataclass(frozen=True)
class _Opened:
    """An open TIFF: as tifffile has it, the file behind it, the name to call it by, its length in bytes."""

    tiff: TiffFile
    file: IO[bytes]
    label: str
    length: int

    def pages(self) -> list[TiffPage]:
        """The pages that are canvas: no thumbnails, no masks."""
        pages = [page for page in self.tiff.pages if not int(page.subfiletype) & THUMBNAIL_OR_MASK]
        if not pages:
            raise NotTiffsd(f"{self.label} has no page but thumbnails or none at all; save or export it again")
        return pages


@contextmanager
def _opened(source: Source, name: str | None) -> Iterator[_Opened]:
    label = label_of(source, name)
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file, _opened(file, label) as opened:
            yield opened
        return
    length = source.seek(0, os.SEEK_END)
    source.seek(0)
    _check_beginning(source.read(8), label, length=length)
    source.seek(0)
    with _sentences(label):
        check_structure(source, label, length=length)
        source.seek(0)
        with TiffFile(source, name=label) as tiff:
            yield _Opened(tiff, source, label, length)


def label_of(source: Source, name: str | None) -> str:
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


def _shapes(pages: Sequence[TiffPage]) -> list[Shape]:
    return [
        Shape(page.imagelength, page.imagewidth, page.samplesperpixel, page.dtype is not None and page.dtype.kind == "f")
        for page in pages
    ]


def _header(page: TiffPage, label: str) -> tuple[Header | None, list[str]]:
    """The header that the tags of the first page tell, and what was wrong with it."""
    description = _value(page, DESCRIPTION_TAG, label)
    essentials = parse_record(description, DESCRIPTION_TAG, label)
    record = parse_record(_value(page, RECORD_TAG, label), RECORD_TAG, label)
    notes = []
    if essentials is None and isinstance(description, str) and '"tiffsd"' in description:
        notes.append("the ImageDescription is damaged and was ignored")
    if essentials and record and essentials.get("id") != record.get("id"):
        notes.append(f"the full record belongs to artifact {str(record.get('id'))[:20]!r} and was ignored")
        record = None
    if not essentials and not record:
        return None, notes
    said = {key: value for key, value in (essentials or {}).items() if value is not None}
    return header_from({**(record or {}), **said}, name=label), notes


def _id(page: TiffPage, label: str) -> str:
    return _id_inside(page, label) or id_in_name(label) or new_id()


def _id_inside(page: TiffPage, label: str) -> str | None:
    header, _ = _header(page, label)
    if header is not None:
        return header.id
    icc = _value(page, PROFILE_TAG, label)
    return id_in_profile(icc) if isinstance(icc, bytes) else None


def _value(page: TiffPage, code: int, label: str) -> Any:
    """The text or the bytes of a tag; None where it is missing or of another type."""
    tag = page.tags.get(code)
    if tag is None:
        return None
    check_length(tag.count, code, label)
    return tag.value if isinstance(tag.value, str | bytes) else None


def exact_tensors(source: Source, *, name: str | None = None) -> Exact:
    """The exact tensors of an artifact, without its canvas, or none and the reason. Raises any TiffsdError."""
    with _opened(source, name) as opened:
        page = opened.pages()[0]
        header, _ = _header(page, opened.label)
        return _exact(opened, page, header, None) if header else ({}, "the file has no metadata")


def _exact(opened: _Opened, page: TiffPage, header: Header, unpack: Unpack | None) -> Exact:
    tag = page.tags.get(TENSORS_TAG)
    if unpack is not None and tag is not None and tag.count > LARGE_TEXT_BYTES:
        check_length(tag.count, TENSORS_TAG, opened.label)
        return unpack(opened.file, tag.count)
    text = _tensors_text(opened, page)
    return tensors_of(header, text) if text or header.kind is not Kind.PICTURE else ({}, None)


def _tensors_text(opened: _Opened, page: TiffPage) -> Any:
    """The value of the tag of the exact tensors; where it is as we write it, its bytes at once, as it may be most of the file."""
    tag = page.tags.get(TENSORS_TAG)
    if tag is None or tag.dtype != ASCII or not 8 < tag.count <= opened.length - tag.valueoffset:
        return _value(page, TENSORS_TAG, opened.label)
    check_length(tag.count, TENSORS_TAG, opened.label)
    opened.file.seek(tag.valueoffset)
    text, last = opened.file.read(tag.count - 1), opened.file.read(1)
    return (text if last == b"\0" else text + last).rstrip(b"\0").strip()


def _outline(page: TiffPage) -> Outline:
    tiled, mixed = page.is_tiled, not isinstance(page.bitspersample, int)
    offsets, lengths = page.dataoffsets, page.databytecounts
    return Outline(
        index=page.index,
        height=int(page.imagelength),
        width=int(page.imagewidth),
        samples=int(page.samplesperpixel),
        depth=int(page.imagedepth),
        planar=int(page.planarconfig) == PLANAR_SEPARATE and int(page.samplesperpixel) > 1,
        dtype=None if mixed else page.dtype,
        bits=max(page.bitspersample) if mixed else page.bitspersample,
        compression=int(page.compression),
        predictor=int(page.predictor),
        reversed_bits=int(page.fillorder) != 1,
        photometric=int(page.photometric) if "PhotometricInterpretation" in page.tags else GRAY,
        block=(page.tilelength, page.tilewidth) if tiled else (page.rowsperstrip, page.imagewidth),
        segments=tuple(zip(map(int, offsets), map(int, lengths), strict=False)),
        unpaired=len(offsets) != len(lengths),
        names=(getattr(page.compression, "name", str(page.compression)), getattr(page.photometric, "name", str(page.photometric))),
    )


def _loaded(file: IO[bytes], pages: Sequence[TiffPage], outlines: Sequence[Outline], decode: Decode | None) -> list[Page]:
    coded = [outline for outline in outlines if outline.coded]
    if decode is None or not coded:
        return [_page(page, _pixels(page)) for page in pages]
    elsewhere = dict(zip((outline.index for outline in coded), decode(file, coded), strict=True))
    return [_page(page, elsewhere[page.index] if page.index in elsewhere else _pixels(page)) for page in pages]


def decode_pages(file: IO[bytes], indices: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The pixels (H, W, samples) of these pages of a TIFF that `read` has checked, each in the byte order of this machine.

    Raises whatever tifffile and its codecs raise on broken pixels, and may crash on malicious ones.
    """
    with TiffFile(file, name=label_of(file, None)) as tiff:
        for index in indices:
            yield _pixels(tiff.pages[index])


def _pixels(page: TiffPage) -> NDArray[Any]:
    if page.compression == UNCOMPRESSED and page.predictor != 1:  # left over from before: libtiff passes it over too
        page.predictor = PREDICTOR.NONE
    data = page.asarray(squeeze=False)
    planar = data.shape[0] == page.samplesperpixel and data.shape[-1] == 1
    pixels = np.moveaxis(data[:, 0, :, :, 0], 0, -1) if planar else data[0, 0]
    native: NDArray[Any] = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return _of_three_bytes(native, page) if page.bitspersample == 24 and native.dtype.kind == "u" else native


def _of_three_bytes(pixels: NDArray[Any], page: TiffPage) -> NDArray[Any]:
    """Samples of 24 bits in the byte order of the file, which tifffile takes for bits without one, and then turns."""
    if page.parent.byteorder == ">":
        return pixels.byteswap()
    return pixels.view(np.uint8).reshape(*pixels.shape, 4)[..., 2::-1].astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)


def _page(page: TiffPage, pixels: NDArray[Any]) -> Page:
    title, extras = page.tags.valueof(PAGE_NAME_TAG), [int(extra) for extra in page.extrasamples]
    icc = page.tags.valueof(PROFILE_TAG)
    return Page(
        pixels,
        premultiplied=ASSOCIATED_ALPHA in extras,
        orientation=int(page.tags.valueof(ORIENTATION_TAG, 1) or 1),
        title=title if isinstance(title, str) else None,
        selection=extras == [UNSPECIFIED],
        offset=(_offset(page, 287, 283), _offset(page, 286, 282)),
        bits=page.bitspersample if isinstance(page.bitspersample, int) else None,
        photometric=int(page.photometric) if "PhotometricInterpretation" in page.tags else GRAY,
        palette=_palette(page),
        profile=icc if isinstance(icc, bytes) else None,
    )


def _palette(page: TiffPage) -> NDArray[np.uint16] | None:
    """The colours (3, n) of a palette; None where there are none, or a tag of their number holds something else."""
    found = page.colormap if int(page.photometric) == PALETTE else None
    is_palette = isinstance(found, np.ndarray) and found.ndim == 2 and len(found) == 3 and found.dtype.kind == "u"
    return found if is_palette else None


def _offset(page: TiffPage, position: int, resolution: int) -> int:
    """Where a page lies on the canvas of an editor, in pixels; 0 where the tags say nothing that can be."""
    place, per_unit = page.tags.valueof(position), page.tags.valueof(resolution)
    if not (_is_ratio(place) and _is_ratio(per_unit)):
        return 0
    pixels = place[0] / place[1] * per_unit[0] / per_unit[1]
    return round(pixels) if abs(pixels) <= LARGEST_SIDE else 0


def _is_ratio(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(number, int) for number in value) and value[1] != 0
