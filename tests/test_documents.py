"""What the documents say of the code is true: the files that they name are there, and the picture of the rooms is of today."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

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


def test_the_workflow_of_the_forge_runs_what_ci_runs_with_the_oldest_python() -> None:
    ci = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yaml").read_text())["jobs"]["ci"]
    oldest = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    assert any(step.get("run", "").split()[-1:] == [".ci/run"] for step in ci["steps"])
    assert f">={ci['strategy']['matrix']['python'][0]}" == oldest
    assert (REPOSITORY / ".ci/run").exists()


@pytest.mark.parametrize("form", sorted(REPOSITORY.glob(".github/ISSUE_TEMPLATE/*.yaml")), ids=lambda path: path.stem)
def test_a_form_for_issues_asks_for_something(form: Path) -> None:
    said = yaml.safe_load(form.read_text())
    asked = [part for part in said["body"] if part.get("validations", {}).get("required")]
    assert said["name"]
    assert said["description"]
    assert asked


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
