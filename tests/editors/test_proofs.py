"""Proofs that real editors opened, painted on and saved: what counts as painted is what was painted."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import tiffsd
from tests.editors import paint_in_gimp, paint_in_krita, paint_in_magick
from tests.editors.conftest import need
from tests.editors.gimp import GIMP
from tests.editors.krita import KRITA
from tests.editors.paint import BESIDE, BLOCK, BOX, BOX_BLOCKS, Hand, Saving, found_in, grown, shown_proof
from tests.editors.programs import PROGRAMS
from tests.service.test_proofs import Desk
from tiffsd import TiffsdError

# As long as an editor that hangs, and one that is driven beside it.
# `make test-editors` runs them, where the editors are.
pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]

Made = Callable[[str], Path]
MAGICK = next(program for program in PROGRAMS if program.name == "ImageMagick HDRI")
EDITORS = {"GIMP": (GIMP, paint_in_gimp), "Krita": (KRITA, paint_in_krita), "ImageMagick": (MAGICK, paint_in_magick)}
# In the others one start for a single file would say no more.
IN_PLACE = {name: EDITORS[name] for name in ("GIMP", "Krita")}


def wanted(savings: Iterator[Saving]) -> list[Saving]:
    return [saving for saving in savings if saving.quick or os.environ.get("TIFFSD_EDITORS") == "all"]


SAVINGS = [(name, saving) for name, (_, module) in EDITORS.items() for saving in wanted(iter(module.SAVINGS))]
HANDS = [(name, hand) for name, (_, module) in EDITORS.items() for hand in module.HANDS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The folder with what an editor left of a proof in all ways to save it, driven when it is first asked for."""
    folders: dict[str, Path] = {}

    def of(name: str) -> Path:
        editor, module = EDITORS[name]
        need(editor)
        if name not in folders:
            folder = tmp_path_factory.mktemp(name)
            (folder / "shown.png").write_bytes(shown_proof())
            module.make(folder / "shown.png", [saving for one, saving in SAVINGS if one == name], folder)
            folders[name] = folder
        return folders[name]

    return of


def names(cases: list[tuple[str, Saving]] | list[tuple[str, Hand]]) -> list[str]:
    return [f"{name}-{case.name}{case.ending}" for name, case in cases]


@pytest.mark.parametrize(("name", "saving"), SAVINGS, ids=names(SAVINGS))
def test_what_an_editor_saves_without_paint_has_none(name: str, saving: Saving, made: Made) -> None:
    folder = made(name)
    assert not found_in(folder / saving.file(painted=False), folder / "shown.png").blocks.any()


@pytest.mark.parametrize(("name", "saving"), SAVINGS, ids=names(SAVINGS))
def test_what_was_painted_in_an_editor_is_found_and_nothing_else(name: str, saving: Saving, made: Made) -> None:
    folder = made(name)
    found = found_in(folder / saving.file(painted=True), folder / "shown.png").blocks
    assert found[BOX_BLOCKS[0]].all()
    assert not (found & ~grown(BOX_BLOCKS[1], BESIDE if saving.lossy else 0)).any()


@pytest.mark.parametrize(("name", "hand"), HANDS, ids=names(HANDS))
def test_other_ways_to_paint_are_found_or_refused(name: str, hand: Hand, made: Made) -> None:
    folder = made(name)
    if hand.blocks is None:
        assert not tells(folder / hand.file, folder / "shown.png")
        return
    surely, at_most = hand.blocks
    found = found_in(folder / hand.file, folder / "shown.png").blocks
    assert found[surely].all()
    assert not (found & ~at_most).any()


def tells(path: Path, shown: Path) -> bool:
    """Whether a file tells what was painted: it is read, and most of it is as it was."""
    try:
        return found_in(path, shown).share < 0.6
    except TiffsdError:
        return False


@pytest.mark.parametrize("name", IN_PLACE)
def test_latents_outside_of_what_an_editor_painted_stay_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    editor, module = IN_PLACE[name]
    need(editor)
    desk = Desk(tmp_path)
    path, proof = desk.with_proof()
    before = tiffsd.read(path).tensors["latents"]
    (tmp_path / "editor").mkdir()
    module.paint_in_place(proof, tmp_path / "editor")
    path.with_suffix(".apply").touch()
    desk.until(lambda: not path.exists(), "it is applied")
    after = tiffsd.read(desk.found("hold/3-decode/cat.????????.tiff")).tensors["latents"]
    desk.service.stop()
    expected = np.zeros(before.shape[1:], bool)
    expected[BOX.y // BLOCK : -(-BOX.bottom // BLOCK), BOX.x // BLOCK : -(-BOX.right // BLOCK)] = True
    assert ((before != after).any(axis=0) == expected).all()
