"""Files without metadata: what they are, and in which units, from the name, the shape and the spread of the pixels.

Section 7 of `tiffsd/spec.py`. Whatever is assumed is noted; `repair` can do better where the original is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tiffsd import prototype
from tiffsd.artifact import Artifact, reconcile
from tiffsd.canvas import Canvas, Floats, Pixels, check_not_cut, check_pixels, grid, named_tensors, paint
from tiffsd.curves import Curve
from tiffsd.header import Header
from tiffsd.pixels import Page, opaque_gray, to_canvas
from tiffsd.spec import BadShape, Kind, Layout, State

LATENT_CHANNELS = (4, 8, 16, 32)
MOSAIC_CHANNELS = 4
TOKENS = 77
NARROWEST_EMBEDDING = 256
NEIGHBOURS_ALIKE = 0.1
ABOUT_ONE = 0.1


@dataclass(frozen=True)
class Shape:
    """One page as its tags describe it, before any pixel is read."""

    height: int
    width: int
    samples: int
    floats: bool


def kind_of(shapes: Sequence[Shape], *, name: str, expect: Kind | None) -> Kind:
    """The kind that a file without metadata is taken for, by the prototype's ending in `name`, its first page, and `expect`."""
    first = shapes[0]
    by_name = prototype.kind_by_ending(name)
    looks_embedded = first.floats and first.samples <= 2 and first.height % TOKENS == 0 and first.width >= NARROWEST_EMBEDDING
    if looks_embedded and prototype.is_of_a_result(name):
        return Kind.EMBEDDING
    if by_name is not None and first.floats:
        return by_name
    if looks_embedded:
        return expect if expect is Kind.PICTURE else Kind.EMBEDDING
    if expect is not None:
        return expect
    return Kind.PICTURE if first.samples == 3 or not first.floats else Kind.LATENTS


def layout_of(kind: Kind, shapes: Sequence[Shape]) -> tuple[Layout, tuple[int, ...]]:
    """Layout and size, as in a header, as far as the tags tell them: (C, h, w), (T, U, D) or (H, W, 3)."""
    height, width, samples = shapes[0].height, shapes[0].width, shapes[0].samples
    if kind is Kind.PICTURE:
        return Layout.RGB, (height, width, 3)
    if kind is Kind.EMBEDDING:
        rows = height * len(shapes)
        prompt_rows = rows if rows == TOKENS else (rows + 1) // 2
        return Layout.STRIP, (prompt_rows, rows - prompt_rows, width)
    if samples >= 4:
        return Layout.RGBA, (4, height, width)
    if len(shapes) > 1:
        return Layout.PAGES, (len(shapes), height, width)
    rows, columns = grid(MOSAIC_CHANNELS)
    return Layout.MOSAIC, (MOSAIC_CHANNELS, height // rows, width // columns)


def read_bare(pages: Sequence[Page], kind: Kind, *, artifact_id: str, name: str, curves: Sequence[Curve] = ()) -> Artifact:
    """Pages of latents or of an embedding without metadata -> Artifact; the errors of `pixels` and `canvas` apply."""
    four = kind is Kind.LATENTS and any(page.pixels.shape[2] == 4 and not opaque_gray(page) for page in pages)
    stacked = kind is Kind.EMBEDDING and len(pages) == prototype.PAGES_OF_AN_EMBEDDING
    canvas = to_canvas(pages, kind, name=name, raw=four or stacked, curves=curves)
    _, height, width = canvas.planes.shape
    shapes = [Shape(height, width, 4 if four else 1, True)] * len(pages)
    layout, size = layout_of(kind, shapes)
    header = Header(kind, artifact_id, layout, size)
    check_pixels(canvas.planes, header, name=name)
    if kind is Kind.EMBEDDING:
        return _embedding(canvas, header)
    return _four_channels(canvas, header, name=name) if four else _gray_latents(canvas, header, name=name)


def _four_channels(canvas: Canvas, header: Header, *, name: str) -> Artifact:
    deviation, mean = float(canvas.planes.std(dtype=np.float64)), float(canvas.planes.mean(dtype=np.float64))
    if deviation < 0.3 and 0.3 <= mean <= 0.7:
        artifact = _mapped(canvas, replace(header, layout=Layout.PAGES), name=name)
        return _with_state(artifact, None, "four channels without metadata were taken as pages that a program joined")
    check_not_cut(canvas.planes, header, name=name)
    latents, state, note = prototype.rescale(canvas.planes, name=name)
    return _with_state(_raw(latents, header, canvas), state, note)


def _gray_latents(canvas: Canvas, header: Header, *, name: str) -> Artifact:
    _, height, width = canvas.planes.shape
    rows, columns = grid(MOSAIC_CHANNELS)
    if header.layout is Layout.MOSAIC:
        if height % rows or width % columns:
            raise BadShape(
                f"{name} is {width}x{height} without metadata, and a mosaic of four channels has an even width and height; "
                f"a mosaic cannot be cropped or resized: go back to the original"
            )
        artifact = _mapped(canvas, header, name=name)
        return _with_state(artifact, None, f"one gray page without metadata was taken as a mosaic of {MOSAIC_CHANNELS} channels")
    if header.size[0] not in LATENT_CHANNELS:
        raise BadShape(
            f"{name} has {header.size[0]} pages, and latents have {', '.join(map(str, LATENT_CHANNELS))} channels; "
            f"save all pages of the original, and no others"
        )
    saved = _as_saved(canvas)
    if _unmapped(saved):
        note = f"{header.size[0]} gray pages without metadata were taken as channels in plain values, not mapped to 0..1"
        return _with_state(_raw(saved.planes, header, saved), None, note)
    return _with_state(_mapped(canvas, header, name=name), None, f"{header.size[0]} gray pages were taken as channels")


def _embedding(canvas: Canvas, header: Header) -> Artifact:
    pages, rows, width = canvas.planes.shape
    if pages == prototype.PAGES_OF_AN_EMBEDDING:
        raw = prototype.embedding(canvas.planes)
        strip = np.concatenate([raw["prompt_embeds"], raw["negative_prompt_embeds"]])[np.newaxis]
        note = "a file of the prototype: page 1 is the negative prompt, page 2 the prompt, in plain values"
        return replace(_raw(strip, header, canvas), notes=(note,))
    if pages != 1:
        raise BadShape(
            f"an embedding without metadata has one page or two of {rows}x{width}, not {pages}; save those of the original"
        )
    note = f"one gray page without metadata was taken as an embedding of {header.size[0]} + {header.size[1]} rows"
    saved = _as_saved(canvas)
    if _unmapped(saved):
        return replace(_raw(saved.planes, header, saved), notes=(f"{note}, in plain values",))
    artifact = _mapped(canvas, header, name=header.id)
    return replace(artifact, notes=(note, *artifact.notes))


def _mapped(canvas: Canvas, header: Header, *, name: str) -> Artifact:
    return replace(reconcile(header, canvas, {}, name=name), canvas=canvas)


def _raw(pixels: Pixels, header: Header, found: Canvas) -> Artifact:
    """A tensor in plain values; its canvas is what TIFFSD would have painted, so that repair can compare like with like.

    The spread of the values may mislead (rgba of TIFFSD with a standard deviation like that of the prototype's results): repair
    also tries the pixels as they were found.
    """
    tensor = pixels.astype(np.float32, copy=False)
    canvas = Canvas(paint(tensor, header), half=found.half, as_found=found.planes)
    return Artifact(header, named_tensors(tensor, header), canvas=canvas)


def _with_state(artifact: Artifact, state: State | None, note: str) -> Artifact:
    notes: tuple[str, ...] = (note, *artifact.notes)
    if state is None:
        state = _state(artifact.tensors["latents"])
        notes = (*notes, f"nothing says how far these latents are; by their spread they were taken as {state}")
    return replace(artifact, header=replace(artifact.header, state=state), notes=notes)


def _state(latents: Floats) -> State:
    """Noise has unit variance and neighbours that know nothing of each other."""
    if abs(float(latents.std(dtype=np.float64)) - 1) > ABOUT_ONE:
        return State.FINAL
    return State.NOISE if abs(prototype.correlation(latents)) < NEIGHBOURS_ALIKE else State.FINAL


def _as_saved(canvas: Canvas) -> Canvas:
    """The canvas before a tone curve was undone, which plain values have none of."""
    return canvas.otherwise[-1] if canvas.curved else canvas


def _unmapped(canvas: Canvas) -> bool:
    planes = canvas.planes
    return float(planes.std(dtype=np.float64)) > 0.4 and (planes.min() < -0.5 or planes.max() > 1.5)
