"""What is done to a file, and where: the same in every editor."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.editors.specimens import Specimen
from tests.outside import is_here
from tiffsd import Layout


class Edit(StrEnum):
    """One thing that people do between opening and saving."""

    SAVE = "save"
    FILL = "fill"
    BLUR = "blur"
    CROP = "crop"
    PASTE = "paste"


@dataclass(frozen=True)
class Box:
    """A rectangle of canvas pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def geometry(self) -> str:
        """WIDTHxHEIGHT+X+Y, as X11 taught many programs."""
        return f"{self.width}x{self.height}+{self.x}+{self.y}"

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns, as numpy wants them."""
        return slice(self.y, self.bottom), slice(self.x, self.right)


PAINTED = Box(8, 4, 16, 12)
COPIED = Box(14, 10, 16, 12)  # and pasted onto PAINTED
LEFT_BY_CROP = Box(8, 8, 16, 8)
# No multiple of a 16-bit step, so that one who rounds is seen.
FILL = 0.3


@dataclass(frozen=True)
class Job:
    """One file to open, one edit, one file to leave; an editor that cannot leaves none."""

    specimen: Specimen
    edit: Edit
    source: Path
    target: Path

    @property
    def layout(self) -> Layout:
        return self.specimen.layout

    @property
    def pages(self) -> int:
        return self.specimen.pages


Run = Callable[[list[Job]], None]


@dataclass(frozen=True)
class Editor:
    """One line of the table: how the editor is driven, what it can, and what people should know of it.

    `programs` are the commands and files that must be there (none for a Python library, which always is) and Debian's `packages`
    bring them; CI installs the `quick` ones. `floats` says whether it computes in floats, `fill` which pixel its fill leaves on a
    page of the given layout.
    """

    name: str
    run: Run
    advice: str
    programs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    quick: bool = False
    edits: tuple[Edit, ...] = (Edit.SAVE, Edit.FILL, Edit.BLUR, Edit.CROP)
    floats: bool = True
    fill: Callable[[Layout], float] = lambda _: FILL

    @property
    def missing(self) -> list[str]:
        """What of it is not installed here."""
        return [program for program in self.programs if not is_here(program)]


def each(open_edit_save: Callable[[Job], object], *, cannot: tuple[type[Exception], ...] = ()) -> Run:
    """An editor that takes one file at a time; `cannot` is what it raises where it is not able to."""

    def run(jobs: Iterable[Job]) -> None:
        for job in jobs:
            try:
                open_edit_save(job)
            except cannot:
                job.target.unlink(missing_ok=True)

    return run
