"""What people paint on a proof in an editor, the ways in which they save it, and what the daemon finds painted then."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from daemon.pictures.decoding import PaintedOn, decode_painted
from daemon.pictures.proofs import render_proof
from daemon.stages import TIFFS
from tests.editors.edits import Box
from tests.pictures.test_painted import pictures

IDENTITY = "3f9a1c2e"
SIDE, BLOCK = 256, 8
# Within a quarter of the picture, across the edges of blocks, and in a colour that it has not.
BOX, COLOUR = Box(42, 67, 37, 26), (230, 20, 200)
# What lies within a pixel of the edge of these may or may not be painted.
ELLIPSE = Box(44, 36, 56, 40)
STROKE, RADIUS = ((44, 44), (84, 76)), 6
# How many blocks beside the paint a lossy form may count as painted.
BESIDE = 2

Blocks = NDArray[np.bool_]


@dataclass(frozen=True)
class Saving:
    """A way to save a proof: its name, and the ending of the file. What is `lossy` changes pixels that nobody painted.

    The `quick` ones are tried wherever the editor is found, the others in `make test-editors`."""

    name: str
    ending: str = ".proof.png"
    lossy: bool = False
    quick: bool = False

    def file(self, *, painted: bool) -> str:
        """The name of the file that an editor saves so."""
        return f"{'painted' if painted else 'plain'}-{self.name}{self.ending}"


@cache
def shown_proof() -> bytes:
    """A proof as it lies beside latents: a scene with the grain of film."""
    return render_proof(pictures()[1].astype(np.float32) / np.float32(255), IDENTITY)


def _blocks_of(mask: NDArray[np.bool_]) -> Blocks:
    touched: Blocks = mask.reshape(SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK).any(axis=(1, 3))
    return touched


def _box() -> NDArray[np.bool_]:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[BOX.place] = True
    return mask


def _ellipse(beyond: float) -> NDArray[np.bool_]:
    """ELLIPSE with its edge so many pixels farther out."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    width, height = ELLIPSE.width / 2, ELLIPSE.height / 2
    x, y = (columns - ELLIPSE.x - width) / (width + beyond), (rows - ELLIPSE.y - height) / (height + beyond)
    inside: NDArray[np.bool_] = x**2 + y**2 <= 1
    return inside


def _stroke(beyond: float) -> NDArray[np.bool_]:
    """The pixels that lie by RADIUS and so many pixels more from STROKE."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    (x, y), (right, bottom) = STROKE
    along = ((columns - x) * (right - x) + (rows - y) * (bottom - y)) / ((right - x) ** 2 + (bottom - y) ** 2)
    along = along.clip(0, 1)
    away = np.hypot(columns - x - along * (right - x), rows - y - along * (bottom - y))
    near: NDArray[np.bool_] = away <= RADIUS + beyond
    return near


BOX_BLOCKS = (_blocks_of(_box()),) * 2
ELLIPSE_BLOCKS = (_blocks_of(_ellipse(-1)), _blocks_of(_ellipse(1)))
STROKE_BLOCKS = (_blocks_of(_stroke(-1)), _blocks_of(_stroke(1)))


@dataclass(frozen=True, eq=False)
class Hand:
    """A way to paint: its name, the blocks that it surely touches and those that it may; None where it cannot be told."""

    name: str
    blocks: tuple[Blocks, Blocks] | None
    ending: str = ".proof.png"

    @property
    def file(self) -> str:
        """The name of the file that an editor saves after it."""
        return f"{self.name}{self.ending}"


def found_in(path: Path, shown: Path) -> PaintedOn:
    """What the daemon finds painted in the file that an editor left, beside the proof as it was shown."""
    with path.open("rb") as saved, shown.open("rb") as was:
        tiff = path.suffix in TIFFS
        found = decode_painted(saved, [was], name=path.name, block=BLOCK, limit=1 << 20, tiff=tiff)
    assert found is not None, "it is not of the size of the proof"
    return found


def grown(blocks: Blocks, by: int) -> Blocks:
    """These blocks and those that lie so near."""
    near: Blocks = ndimage.binary_dilation(blocks, np.ones((3, 3), bool), iterations=by)
    return near
