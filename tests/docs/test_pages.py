"""What the pages say can be followed: their links lead somewhere, and what they tell people to write and to type is taken."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from PIL import Image

from daemon.cli import app
from daemon.settings.checking import checked
from daemon.settings.config import examined
from daemon.settings.infotext import OUR_SCHEDULE, OUR_SCHEDULER
from daemon.settings.prompts import parse_prompt
from tests.docs import command_line, format
from tests.docs.animation import MOST_BYTES
from tests.docs.pages import MADE, PAGES, anchors, blocks, links, named
from tests.house import REPOSITORY

WRITTEN = [page for page in PAGES if page.name not in MADE]
# Pages of which a block is a picture in words, and shares.md, whose blocks run against the real servers.
DRAWN = ("architecture.md", "shares.md")
# Keys of a recipe, which are written as a command is.
KEYS = {OUR_SCHEDULER.split()[1], OUR_SCHEDULE.split()[1]}
EXAMPLES = [(page, block) for page in WRITTEN if page.name not in DRAWN for block in blocks(page)]
PROMPTS = [(page, block) for page, block in EXAMPLES if block.startswith("---\n")]
CONFIGS = [(page, block) for page, block in EXAMPLES if re.match(r"\w+:\n", block)]
SHELL = [(page, block) for page, block in EXAMPLES if (page, block) not in PROMPTS + CONFIGS and "──>" not in block]


def at(example: tuple[Path, str]) -> str:
    return f"{named(example[0])}: {example[1].splitlines()[0]}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading(page: Path) -> None:
    broken = [
        f"{target.name}#{anchor}"
        for target, anchor in links(page)
        if not target.exists() or (anchor and anchor not in anchors(target))
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_has_one_title_and_begins_with_what_one_gets(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^# .+$", re.sub(r"^(?:    |```).*?$", "", text, flags=re.MULTILINE), re.MULTILINE)
    assert text.startswith(titles[0])
    assert re.match(r"# .+\n\n[A-Z`]", text)


def test_the_site_has_every_page_once() -> None:
    nav = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = re.findall(r"[\w-]+\.md", yaml.safe_dump(nav))
    assert sorted(listed) == sorted(page.name for page in PAGES[1:])


def test_the_pages_that_are_made_of_the_program_are_of_today() -> None:
    for made, module in (("command-line", command_line), ("format", format)):
        page = REPOSITORY / f"docs/{made}.md"
        assert page.read_text(encoding="utf-8") == module.page(), f"python -m {module.__name__} > docs/{made}.md"


def test_every_command_that_a_page_names_is_one() -> None:
    context = click.Context(app)
    for page in WRITTEN:
        told = re.findall(r"`(?:sudo )?tiffsd ([a-z][\w-]+)", page.read_text(encoding="utf-8"))
        told += re.findall(r"^    (?:sudo )?tiffsd ([a-z][\w-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert [name for name in told if name not in KEYS and app.get_command(context, name) is None] == [], named(page)


@pytest.mark.parametrize("example", PROMPTS, ids=at)
def test_a_prompt_in_a_page_is_one(example: tuple[Path, str]) -> None:
    prompt = parse_prompt(example[1].encode(), "example.txt", characters=1000)
    assert prompt.settings["prompt"]
    assert not prompt.faults
    checked(prompt.settings, "example.txt")


@pytest.mark.parametrize("example", CONFIGS, ids=at)
def test_a_piece_of_config_yaml_in_a_page_is_taken(example: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(example[1], encoding="utf-8")
    config, faults = examined(tmp_path / "config.yaml")
    assert config is not None, faults


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize("example", SHELL, ids=at)
def test_what_a_page_tells_people_to_type_is_a_line_of_shell(example: tuple[Path, str]) -> None:
    done = subprocess.run(["bash", "-n"], input=example[1], capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == ""


def test_the_pictures_of_the_recipes_are_made_with_the_words_that_stand_there() -> None:
    made_with = (REPOSITORY / "tests/docs/recipes.py").read_text(encoding="utf-8")
    told = [block.rpartition("---\n")[2].strip() for block in blocks(REPOSITORY / "docs/recipes.md")]
    assert len(told) == 6
    assert [words for words in told if words not in made_with] == []


def test_the_readme_is_one_page_that_begins_with_something_that_moves() -> None:
    readme = REPOSITORY / "README.md"
    first = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", readme.read_text(encoding="utf-8"))[0]
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 120
    assert (REPOSITORY / first).stat().st_size < MOST_BYTES
    with Image.open(REPOSITORY / first) as picture:
        assert getattr(picture, "n_frames", 1) > 20
