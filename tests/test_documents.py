"""What the documents say of the code is true: the files that they name are there, and the picture of the rooms is of today."""

import re
from pathlib import Path

import pytest

from tests.draw_house import PICTURE, arrows_of, drawn, floors_of, without_those_that_follow
from tests.house import REPOSITORY, House, house_at

DOCUMENTS = [*(path for path in REPOSITORY.glob("*.md") if path.name != "CHANGELOG.md"), *REPOSITORY.glob("*/*.md")]
DOCUMENTS += [REPOSITORY / ".github/CONTRIBUTING.md", REPOSITORY / "setup.py", *REPOSITORY.glob("daemon/**/*.py")]
MADE_BY_THE_WHEEL = {"daemon/data"}
TOPS = "daemon|tiffsd|tests|benchmarks|training|systemd|docs"


@pytest.fixture(scope="module")
def house() -> House:
    return house_at(REPOSITORY)


def named_in(text: str) -> set[str]:
    """The files and folders of the repository that a text names with their place."""
    found = re.findall(rf"`((?:{TOPS})/[\w./]*[\w/])`|\b((?:{TOPS})/[\w./]+\.py)\b", text)
    return {name for pair in found for name in pair if name}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_the_files_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    linked = {link for link in re.findall(r"\]\(([^)#:]+)\)", text) if document.suffix == ".md"}
    missing = {name for name in named_in(text) - MADE_BY_THE_WHEEL if not (REPOSITORY / name).exists()}
    assert missing | {link for link in linked if not (document.parent / link).exists()} == set()


def test_the_picture_of_the_rooms_is_drawn_from_the_imports_of_today(house: House) -> None:
    assert PICTURE.read_text(encoding="utf-8") == drawn(house), "draw it anew: python -m tests.draw_house"


def test_the_picture_has_every_room_once_and_every_arrow_points_down(house: House) -> None:
    arrows = arrows_of(house)
    floors = floors_of(arrows)
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    assert sum(map(len, floors)) == len(arrows) >= 12
    assert all(floor[room] < floor[other] for room, others in arrows.items() for other in others)


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    assert without_those_that_follow({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}
