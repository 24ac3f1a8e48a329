"""Artifacts <-> OpenEXR files: pictures in linear light, latents as named channels, the record and the exact tensors as texts.

Section 12 of `tiffsd/spec.py`. The canvas of latents and embeddings is that of a TIFF, and so is the rule that keeps exact what
nobody painted.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.artifact import Artifact
from tiffsd.bare import read_bare
from tiffsd.canvas import Floats
from tiffsd.content import check_length, content_of
from tiffsd.exact import Exact, tensors_of
from tiffsd.exr import REC_709, decode_channels, write_channels
from tiffsd.exr_header import ExrChannel, ExrPart, read_exr_header
from tiffsd.exr_layers import Layer, canvas_layers, check_layer, check_sizes, kind_of, layers_of, picture_layer
from tiffsd.header import Header, header_from, id_in_name, new_id
from tiffsd.inks import plain_rgb
from tiffsd.light import between_primaries, to_light, to_srgb
from tiffsd.pixels import Page, check_picture
from tiffsd.recorded import check_expected, parse_record, read_recorded
from tiffsd.spec import (
    PAGE_NAME,
    RECORD_TAG,
    TENSORS_TAG,
    BadShape,
    BadValues,
    Kind,
    Layout,
)

DecodeChannels = Callable[[IO[bytes], Sequence[ExrChannel]], list[NDArray[Any]]]
Unpack = Callable[[IO[bytes], int], Exact]

RECORD, TENSORS, COMMENT = "tiffsd", "tiffsdTensors", "comments"
LARGE_TEXT_BYTES = 4 * 2**20
LARGEST_HALF = 65504.0
FORMULA = {
    Layout.PAGES: "each channel is one of the latents, pixel = 0.5 + x / {}",
    Layout.MOSAIC: "the channels of the latents as panels, pixel = 0.5 + x / {}",
    Layout.STRIP: "the rows of the prompt above those of the negative one, pixel = 0.5 + x / {}",
    Layout.RGB: "a picture in linear light, with the primaries of sRGB",
}


def read_exr(
    file: IO[bytes],
    name: str,
    *,
    length: int,
    expect: Kind | None = None,
    decode: DecodeChannels | None = None,
    largest: int | None = None,
    unpack: Unpack | None = None,
    alpha: bool = False,
) -> Artifact:
    """The artifact in an OpenEXR file; the arguments are those of `tiffsd.read`. Raises any TiffsdError."""
    parts = read_exr_header(file, name, length=length)
    layers, header = layers_of(parts), _header(parts, name)
    kind = header.kind if header else kind_of(layers, expect)
    check_expected(kind, expect, name)
    if kind is Kind.PICTURE:
        chosen = [picture_layer(layers, name)]
        check_layer(chosen[0], kind, name)
    else:
        chosen = canvas_layers(layers, kind, name)
    check_sizes(chosen, parts, kind, name, largest=largest)
    wanted = [channel for layer in chosen for channel in layer.channels]
    pixels = iter(_decoded(file, wanted, name) if decode is None else decode(file, wanted))
    pages = [_on_display(layer, [next(pixels) for _ in layer.channels]) for layer in chosen]
    exact = _exact(file, parts, header, unpack) if header else ({}, None)
    if kind is Kind.PICTURE:
        return _picture(chosen[0], pages[0], header, exact[0], name, alpha=alpha)
    canvas = [_page(layer, plane) for layer, plane in zip(chosen, pages, strict=True)]
    if header is None:
        return read_bare(canvas, kind, artifact_id=id_in_name(name) or new_id(), name=name)
    return read_recorded(canvas, header, exact, name=name)


def inspect_exr(file: IO[bytes], name: str, *, length: int) -> Header:
    """The header alone, without touching pixels or exact tensors; of a file without metadata what its channels tell."""
    parts = read_exr_header(file, name, length=length)
    layers, header = layers_of(parts), _header(parts, name)
    kind = header.kind if header else kind_of(layers, None)
    if header is not None and kind is not Kind.PICTURE:
        return header
    if kind is Kind.PICTURE:
        display = picture_layer(layers, name).part.display
        size = (display.height, display.width, 3)
        return replace(header, size=size) if header else Header(kind, id_in_name(name) or new_id(), Layout.RGB, size)
    chosen = canvas_layers(layers, kind, name)
    display = chosen[0].part.display
    return Header(kind, id_in_name(name) or new_id(), Layout.PAGES, (len(chosen), display.height, display.width))


def find_id_in_exr(file: IO[bytes], name: str, *, length: int) -> str | None:
    """The id in the metadata, else in the name; None if nowhere."""
    header = _header(read_exr_header(file, name, length=length), name)
    return header.id if header else id_in_name(name)


def exact_tensors_of_exr(file: IO[bytes], name: str, *, length: int) -> Exact:
    """The exact tensors, without the canvas, or none and the reason. Raises any TiffsdError."""
    parts = read_exr_header(file, name, length=length)
    header = _header(parts, name)
    return _exact(file, parts, header, None) if header else ({}, "the file has no metadata")


def write_exr(target: IO[bytes], artifact: Artifact) -> None:
    """Write an artifact as an OpenEXR file: latents in layout pages or mosaic, pictures as float32 or float16.

    Raises BadShape for layout rgba, BadValues for what half floats cannot hold, and what `tiffsd.write` raises; NotTiffsd where the
    library is not there.
    """
    header = artifact.header
    if header.layout is Layout.RGBA:
        raise BadShape(f"artifact {header.id} is in layout rgba, which OpenEXR would take for transparency; use pages or mosaic")
    content = content_of(artifact)
    if header.kind is Kind.PICTURE:
        channels = _linear_channels(content.pages[0], header)
    else:
        names = [f"{PAGE_NAME.format(k)}.Y" for k in range(len(content.pages))] if header.layout is Layout.PAGES else ["Y"]
        channels = dict(zip(names, content.pages, strict=True))
    unit = "(8 sqrt(sigma^2 + 1))" if header.sigma is not None else "8"
    texts = {
        RECORD: _text(content.texts[RECORD_TAG]),
        COMMENT: f"TIFFSD {header.kind} {header.id}: {FORMULA[header.layout].format(unit)}",
        "software": "tiffsd",
    }
    if TENSORS_TAG in content.texts:
        texts[TENSORS] = _text(content.texts[TENSORS_TAG])
    write_channels(target, channels, texts, coloured=header.kind is Kind.PICTURE)


def _linear_channels(page: NDArray[Any], header: Header) -> dict[str, NDArray[Any]]:
    light = to_light(page)
    if page.dtype == np.float16 and float(np.abs(light).max()) > LARGEST_HALF:
        raise BadValues(
            f"artifact {header.id} is brighter in linear light than half floats hold ({LARGEST_HALF:g}); write it as float32"
        )
    return {colour: light[..., k].astype(page.dtype, copy=False) for k, colour in enumerate("RGB")}


def _text(text: str | bytes) -> str:
    return text.rstrip(b"\0").decode("ascii") if isinstance(text, bytes) else text


def _header(parts: Sequence[ExrPart], name: str) -> Header | None:
    """The header that the record tells; None where there is none."""
    for part in parts:
        record = parse_record(part.texts.get(RECORD), f"its attribute {RECORD}", name)
        if record is not None:
            return header_from(record, name=name)
    return None


def _exact(file: IO[bytes], parts: Sequence[ExrPart], header: Header, unpack: Unpack | None) -> Exact:
    place = next((part.places[TENSORS] for part in parts if TENSORS in part.places), None)
    if place is None:
        return tensors_of(header, None) if header.kind is not Kind.PICTURE else ({}, None)
    start, length = place
    check_length(length + 1, TENSORS_TAG, f"artifact {header.id}")
    if unpack is not None and length > LARGE_TEXT_BYTES:
        return unpack(file, length)
    file.seek(start)
    return tensors_of(header, file.read(length))


def _decoded(file: IO[bytes], channels: Sequence[ExrChannel], name: str) -> list[NDArray[Any]]:
    return list(decode_channels(file, [channel.index for channel in channels], name=name))


def _on_display(layer: Layer, planes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The planes (H, W, 1) of a layer as one array (H, W, n) in its display window; what has no pixels there is 0."""
    data, display = layer.part.data, layer.part.display
    kind = np.result_type(*(plane.dtype for plane in planes))
    if data == display:
        return np.concatenate(planes, axis=2, dtype=kind)
    shown = np.zeros((display.height, display.width, len(planes)), kind)
    top, left = data.top - display.top, data.left - display.left
    rows = slice(max(top, 0), max(min(top + data.height, display.height), 0))
    columns = slice(max(left, 0), max(min(left + data.width, display.width), 0))
    for k, plane in enumerate(planes):
        shown[rows, columns, k] = plane[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, 0]
    return shown


def _page(layer: Layer, pixels: NDArray[Any]) -> Page:
    """A layer of a canvas as a page of a TIFF would be."""
    return Page(pixels, premultiplied=layer.alpha is not None, title=layer.title)


def _picture(
    layer: Layer, pixels: NDArray[Any], header: Header | None, exact: dict[str, NDArray[Any]], name: str, *, alpha: bool
) -> Artifact:
    """Linear light, laid on white where it is transparent, in the colours of sRGB."""
    notes = [*_about_windows(layer), *([f"of its layers {layer.name!r} was taken"] if layer.name else [])]
    with np.errstate(over="ignore"):
        light = pixels[..., : len(layer.colours)].astype(np.float32)
    _check_light(light, name)
    opaque = pixels[..., -1].astype(np.float32).clip(0, 1) if layer.alpha is not None else None
    if opaque is not None and not (opaque == 1).all():
        light = light + (1 - opaque)[..., np.newaxis]
        notes.append("transparent parts were laid on white")
    else:
        opaque = None
    light, said = _in_rec_709(light, layer.part, name)
    picture = plain_rgb(to_srgb(light), None) if light.shape[2] == 3 else np.repeat(to_srgb(light), 3, axis=2)
    check_picture(picture, name=name)
    tensors = {**exact, "picture": picture, **({"alpha": opaque} if alpha and opaque is not None else {})}
    made = header or Header(Kind.PICTURE, id_in_name(name) or new_id(), Layout.RGB, picture.shape)
    return Artifact(replace(made, size=picture.shape), tensors, (*notes, *said))


def _check_light(light: Floats, name: str) -> None:
    """Raise BadValues for NaN and infinity; `name` is the file's."""
    if not np.isfinite(light).all():
        raise BadValues(f"{name} has pixels that are not numbers (NaN or infinity), and a picture has finite ones; paint over them")


def _in_rec_709(light: Floats, part: ExrPart, name: str) -> tuple[Floats, list[str]]:
    """Colours with the primaries of sRGB; gray has none."""
    if part.chromaticities is None or light.shape[2] != 3:
        return light, []
    try:
        matrix = between_primaries(part.chromaticities, REC_709)
    except ValueError as error:
        raise BadValues(f"{name} has chromaticities that cannot be used ({error}); export it with those of sRGB") from error
    if matrix is None:
        return light, []
    brought: Floats = (light.reshape(-1, 3) @ matrix.T).reshape(light.shape).astype(np.float32)
    return brought, ["its colours were brought to sRGB from the primaries that the file names (chromaticities)"]


def _about_windows(layer: Layer) -> list[str]:
    part, notes = layer.part, []
    data, display = part.data, part.display
    if data != display:
        where = f"{data.width}x{data.height} at {data.left - display.left:+d}{data.top - display.top:+d}"
        notes.append(
            f"the picture is its display window of {display.width}x{display.height}, and its pixels are {where}: what lies beyond "
            f"was cut, and where there are none it is empty"
        )
    if abs(part.aspect - 1) > 1e-3:
        notes.append(f"its pixels are {part.aspect:.4g} times as wide as high, and were taken as squares")
    return notes
