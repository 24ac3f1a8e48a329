"""What people do by mistake in an editor, each after they have painted nine values white, and how the file that they save ends.

The ends are those of `tests/tiffsd/mistakes.py`, so that what real editors leave is held to the same table as the cases.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

import tiffsd
from daemon.jobs.originals import exported_latents
from tests import artifacts
from tests.tiffsd.mistakes import ENDINGS
from tiffsd import Layout, State

End = tuple[int | None, str]
"""How many values count as painted, None for a refusal; and the words of the note or of the refusal."""

PLACE, SIDE = 3, 3  # of the square that is painted white, from the left and from the top
SECOND_PLACE = 10  # and of that on a layer of its own

GAMMA, FLATTEN, RESIZED = "another tone curve (gamma)", "flatten the image", "cannot be cropped or resized"
CASES: Mapping[str, End] = {f"{Path(name).parent}/{Path(name).name.split('.')[0]}": end for name, end in ENDINGS.items()}
"""By folder and first word, such as mosaic/u8g."""
OTHER_ENDS: Mapping[str, End] = {
    "u16g": (9, GAMMA),
    "u32lin": (9, "32-bit steps"),
    "exr": (9, ""),
    "f16g": (9, GAMMA),
    "f64g": (9, GAMMA),
    "u16": (9, "16-bit steps"),
    "f16": (9, "16-bit floats"),
    "flip_down": (9, "mirrored from top to bottom"),
    "rot180": (9, "turned by 180 degrees"),
    "layer_without_a_name": (18, "the layer without a name was laid over the canvas"),
    # Of pages Krita writes no more than four.
    "fifth_layer": (9, ""),
    "fifth_layer_copied": (9, ""),
    "duplicate": (9, "was laid over the canvas"),
    "duplicate_painted": (None, FLATTEN),
    "selection": (9, ""),
    "scale2_none": (9, "enlarged 2 times"),
    "scale2_linear": (25, "enlarged 2 times with interpolation"),
    "scale3_cubic": (49, "enlarged 3 times with interpolation"),
    "scale2_lohalo": (None, RESIZED),
    "scale2_lanczos": (None, RESIZED),
    "canvas2": (9, ""),
    "canvas2_flat": (None, RESIZED),
    "kept_colours": (36, ""),  # its four channels are the colours and the alpha of one pixel
    "lost_colours": (None, "save colour values from transparent pixels"),
    "colours": (None, "without colour conversion"),
    "moved_transparent": (None, FLATTEN),
}
"""Of those that are no case."""
EXPORTS = ("png", "jpg", "webp", "exr", "psd", "xcf", "kra")


@dataclass(frozen=True)
class Mistake:
    """One thing that people do: its name, which is that of its case where there is one, and to what it is done."""

    name: str
    layout: Layout = Layout.MOSAIC

    @property
    def end(self) -> End:
        """How the file is to end."""
        if self.name in EXPORTS and self.name not in OTHER_ENDS:
            return None, "these are latents"
        known = OTHER_ENDS.get(self.name) or CASES[f"{self.layout}/{self.name}"]
        # Of the cases in pages nothing was painted but what the mistake itself changes.
        return (SIDE * SIDE, known[1]) if known[0] == 0 else known

    @property
    def file(self) -> str:
        """The name that the editor saves it by: with the id that its original has."""
        extension = self.name if self.name in EXPORTS else "tiff"
        return f"{self.layout}-{self.name}.{original(self.layout).header.id}.{extension}"


@cache
def original(layout: Layout) -> tiffsd.Artifact:
    """Finished latents within black and white, which can be scaled and mirrored without doubt."""
    made = artifacts.latents(state=State.FINAL, seed=4)
    latents = made.tensors["latents"].clip(-3, 3).astype(np.float32)
    return replace(made, tensors={**made.tensors, "latents": latents}, header=replace(made.header, layout=layout))


def ended(mistake: Mistake, path: Path, keep: Path) -> End:
    """How the file that an editor left ends, read as the daemon does, with its originals in `keep`."""
    if exported := exported_latents(path.name, keep):
        return None, exported
    whole = original(mistake.layout)
    try:
        found = tiffsd.read(path, expect=tiffsd.Kind.LATENTS)
        repaired = found if found.canvas is None else tiffsd.repair(found, whole)
    except tiffsd.TiffsdError as error:
        return None, str(error)
    changed = repaired.tensors["latents"] != whole.tensors["latents"]
    assert repaired.painted == int(changed.sum()), "what is said to be painted is what differs"
    return repaired.painted, " ".join(repaired.notes)
