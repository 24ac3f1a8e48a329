"""What real editors leave where people do something by mistake: each file ends as the table of the cases says."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import tiffsd
from tests.editors import mistakes_in_gimp, mistakes_in_krita
from tests.editors.conftest import need
from tests.editors.gimp import GIMP
from tests.editors.krita import KRITA
from tests.editors.mistakes import Mistake, ended, original
from tiffsd import Layout

# As long as an editor that hangs, and one that is driven beside it.
# `make test-editors` runs them, where the editors are.
pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]

Made = Callable[[str], Path]
LAYOUTS = (Layout.MOSAIC, Layout.PAGES, Layout.RGBA)
EDITORS = {"GIMP": (GIMP, mistakes_in_gimp), "Krita": (KRITA, mistakes_in_krita)}
ALL = [(name, mistake) for name, (_, module) in EDITORS.items() for mistake in module.MISTAKES]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The folder with what an editor left of all its mistakes, driven when it is first asked for; the originals lie in .keep."""
    folders: dict[str, Path] = {}

    def of(name: str) -> Path:
        editor, module = EDITORS[name]
        need(editor)
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            module.make(_kept(folders[name] / ".keep"), folders[name])
        return folders[name]

    return of


def _kept(keep: Path) -> Mapping[Layout, Path]:
    keep.mkdir()
    kept = {layout: keep / f"house.{original(layout).header.id}.tiff" for layout in LAYOUTS}
    for layout, path in kept.items():
        tiffsd.write(path, original(layout))
    return kept


@pytest.mark.parametrize(("name", "mistake"), ALL, ids=[f"{name}-{mistake.layout}-{mistake.name}" for name, mistake in ALL])
def test_a_mistake_in_a_real_editor_ends_as_the_table_says(name: str, mistake: Mistake, made: Made) -> None:
    folder = made(name)
    assert (folder / mistake.file).is_file(), "the editor left nothing"
    painted, words = ended(mistake, folder / mistake.file, folder / ".keep")
    assert painted == mistake.end[0], words
    assert mistake.end[1] in words
