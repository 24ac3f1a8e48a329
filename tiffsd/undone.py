"""What people do to a canvas by accident, undone where the file itself proves it: a mosaic turned or enlarged, panels as pages, a
tone curve.

Section 6 of `tiffsd/spec.py`. The proof is in the exact values: a wrong guess would be worse than a refusal, so exactly one reading
must explain the file.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tiffsd.canvas import Canvas, Floats, Pixels, Reading, mosaic, page_size, paint, read_canvas
from tiffsd.enlarged import factor_of, is_even, made_small
from tiffsd.header import Header
from tiffsd.spec import LARGEST_PIXEL, BadValues, Kind, Layout, TiffsdError

Move = Callable[[Pixels], Pixels]

FEWEST_UNTOUCHED = 64
# A curve that is nearly the right one leaves some values as they were; without one hardly any agrees by accident.
MOST_PAINTED_IN_A_CURVE, MOST_PAINTED = 0.5, 0.9
TURNS: dict[str, Move] = {
    "mirrored from left to right": lambda planes: planes[:, :, ::-1],
    "mirrored from top to bottom": lambda planes: planes[:, ::-1],
    "turned by 180 degrees": lambda planes: planes[:, ::-1, ::-1],
    "turned by 90 degrees to the right": lambda planes: np.rot90(planes, 1, (1, 2)),
    "turned by 90 degrees to the left": lambda planes: np.rot90(planes, -1, (1, 2)),
    "mirrored at one diagonal": lambda planes: planes.transpose(0, 2, 1),
    "mirrored at the other diagonal": lambda planes: planes[:, ::-1, ::-1].transpose(0, 2, 1),
}


def read_undone(canvas: Canvas, header: Header, exact: Floats | None, *, name: str) -> Reading:
    """`read_canvas` of what a person meant; notes say what was undone.

    Raises what `read_canvas` raises, and BadValues where a tone curve cannot be undone.
    """
    found = _in_shape(canvas, header, exact)
    if exact is None or (header.layout is Layout.MOSAIC and exact.shape != header.size):
        return _noted(read_canvas(found, header, exact, name=name), found)
    if header.layout is Layout.MOSAIC:
        turned = _turned(found, header, exact, name=name)
        if turned is not None:
            return turned
    return _best_curve(found, header, exact, name=name)


def _best_curve(canvas: Canvas, header: Header, exact: Floats, *, name: str) -> Reading:
    """The reading with the fewest painted values, of those that the curve in the file allows."""
    first = read_canvas(canvas, header, exact, name=name)
    if not canvas.curved or exact.shape != first.tensor.shape:
        return _noted(first, canvas)
    readings = [(first, canvas), *_readings(canvas.otherwise, header, exact, name=name)]
    best, source = min(readings, key=lambda reading: reading[0].painted)
    if best.painted > (MOST_PAINTED_IN_A_CURVE if source.curved else MOST_PAINTED) * exact.size:
        raise BadValues(
            f"{name} was saved in another tone curve (gamma) than the linear one, and undoing it by the profile in the file leaves "
            f"{best.painted} of {exact.size} values different; save the original again in linear light (in GIMP: Image > "
            f"Precision > Linear light; in Photoshop keep the profile of the file), 32-bit float"
        )
    return _noted(best, source if source.curved else replace(source, notes=()))


def _turned(canvas: Canvas, header: Header, exact: Floats, *, name: str) -> Reading | None:
    """The mosaic put back, where exactly one turn explains it and it is nothing as it is."""
    as_it_is = [found for found, _ in _readings([canvas, *canvas.otherwise], header, exact, name=name)]
    if any(2 * found.painted <= exact.size for found in as_it_is):
        return None
    turned = [canvas.moved(move) for move in TURNS.values()]
    explained = [
        (reading, how)
        for how, source in zip(TURNS, turned, strict=True)
        for reading, _ in _readings([source], header, exact, name=name)
        if 4 * reading.painted <= exact.size and exact.size - reading.painted >= FEWEST_UNTOUCHED
    ]
    if len(explained) != 1:
        return None
    reading, how = explained[0]
    note = f"the mosaic was {how}, which swaps channels; that was undone, and the layout pages can be turned and mirrored"
    return replace(reading, notes=(note, *canvas.notes, *reading.notes))


def _readings(canvases: Sequence[Canvas], header: Header, exact: Floats, *, name: str) -> Iterator[tuple[Reading, Canvas]]:
    """Those of the canvases that can be read at all."""
    for canvas in canvases:
        try:
            yield read_canvas(canvas, header, exact, name=name), canvas
        except TiffsdError:
            continue


def _in_shape(canvas: Canvas, header: Header, exact: Floats | None) -> Canvas:
    """A mosaic of the size that it should have, where pages hold its panels or it was enlarged."""
    if header.layout is not Layout.MOSAIC or header.kind is not Kind.LATENTS:
        return canvas
    if header.size[0] > 1 and canvas.planes.shape == header.size:
        moved = canvas.moved(mosaic)
        return replace(moved, notes=(*canvas.notes, f"{header.size[0]} pages were taken as the panels of the mosaic"))
    factor = factor_of(canvas.planes.shape, page_size(header))
    if factor is None or not is_even(canvas.planes, factor):
        return _interpolated(canvas, header, exact, factor)
    moved = canvas.moved(lambda planes: np.ascontiguousarray(planes[:, ::factor, ::factor]))
    return replace(moved, notes=(*canvas.notes, f"the mosaic was enlarged {factor} times, which was undone"))


def _interpolated(canvas: Canvas, header: Header, exact: Floats | None, factor: int | None) -> Canvas:
    """The same for one whose pixels were interpolated, where the exact values prove it."""
    if factor is None or exact is None or exact.shape != header.size or canvas.step or canvas.half or canvas.curved:
        return canvas
    if not np.abs(canvas.planes).max() <= LARGEST_PIXEL:  # NaN neither: it is refused as what it is
        return canvas
    small = made_small(canvas.planes, factor, paint(exact, header))
    if small is None:
        return canvas
    note = f"the mosaic was enlarged {factor} times with interpolation, which was undone; around what was painted, means count"
    return replace(canvas, planes=small, notes=(*canvas.notes, note))


def _noted(reading: Reading, canvas: Canvas) -> Reading:
    return replace(reading, notes=(*canvas.notes, *reading.notes)) if canvas.notes else reading
