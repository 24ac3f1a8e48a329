"""What the README and the pages of docs/ tell people to type is typed here, in the order in which it stands there."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import daemon.cli
import tiffsd
import tiffsd.commands
from tests.artifacts import latents
from tests.conftest import wait_until
from tests.house import REPOSITORY
from tests.tiffsd.test_commands import lay_out, said

README, USE, WITHOUT_EDITOR = (
    (REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "docs/use.md", "docs/edit.md")
)


def in_line(section: str) -> list[list[str]]:
    """The commands that stand between backticks, as words."""
    return [shlex.split(text)[1:] for text in re.findall(r"`(tiffsd [a-z]+[^`]*)`", section)]


def lines(section: str, beginning: str) -> list[str]:
    """The shell lines of the indented block that begins so."""
    block = re.search(rf"(?m)^    {re.escape(beginning)}.*\n(?:    .*\n)*", section)
    assert block is not None, f"there is no block that begins with {beginning}"
    return [line.partition("  #")[0].strip() for line in block[0].splitlines()]


def surroundings(home: Path) -> dict[str, str]:
    """A shell's environment in which `tiffsd` is found and ~ is `home`."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)}


def typed(line: str, home: Path) -> None:
    """Run a shell line to its end."""
    words = ["bash", "-c", line]
    done = subprocess.run(words, cwd=home, env=surroundings(home), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, latents(recipe={"prompt": "a red house", "model": "demo", "seed": 1, "steps": 20, "strength": 0.5}))
    return tmp_path


def test_every_command_on_files_stands_in_its_page() -> None:
    told = {words[0] for words in in_line(WITHOUT_EDITOR)}
    assert told == tiffsd.commands.app.commands.keys()


@pytest.mark.parametrize("app", [daemon.cli.app, tiffsd.commands.app], ids=["tiffsd", "python -m tiffsd"])
def test_the_commands_on_files_do_what_the_page_says_one_after_the_other(app: click.Group, desk: Path) -> None:
    for name in ("moon.tiff", "cat_latent.tiff", "cat_prompt.tiff"):
        (desk / name).unlink()  # earlier lines make them
    for words in in_line(WITHOUT_EDITOR):
        assert said(*words, app=app), words
    changed = [tiffsd.inspect(path) for path in desk.glob("cat.*.tiff")]
    (asked,) = [header for header in changed if header.recipe.get("prompt") == "a black cat"]
    assert asked.recipe["steps"] == 30
    assert "strength" not in asked.recipe


def test_the_python_in_the_page_runs(desk: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", WITHOUT_EDITOR, re.DOTALL)
    (desk / "cat.tiff").rename(desk / "cat.3f9a1c2e.tiff")
    (desk / "inbox/2-diffuse").mkdir(parents=True)
    before = tiffsd.read("cat.3f9a1c2e.tiff").tensors["latents"]
    assert len(snippets) == 2
    exec(snippets[0], {})
    after = tiffsd.read("inbox/2-diffuse/cat.tiff").tensors["latents"]
    np.testing.assert_array_equal(after[:, 4:8, 4:8], -before[:, 4:8, 4:8])
    assert np.count_nonzero(after != before) == 4 * 4 * 4
    (desk / "cat.3f9a1c2e.tiff").rename(desk / "cat.tiff")
    exec(snippets[1], {})
    assert tiffsd.inspect("mixed.tiff").recipe["steps"] == 30


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_lines_make_a_picture_of_a_house(tmp_path: Path) -> None:
    _activate, init, run, drop = lines(README, "source .venv")
    typed(init, tmp_path)
    words = ["bash", "-c", run.replace("tiffsd run", "exec tiffsd run")]
    process = subprocess.Popen(words, cwd=tmp_path, env=surroundings(tmp_path), stderr=subprocess.PIPE)
    try:
        typed(drop, tmp_path)
        (picture,) = wait_until(lambda: list(tmp_path.glob("sd/spool/pictures/house.*.png")), seconds=200, what="a picture")
        with Image.open(picture) as image:
            image.verify()
    finally:
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=60)[1]
    assert process.returncode == 0, log.decode()


def test_the_commands_on_the_folders_work_without_the_daemon(desk: Path) -> None:
    said("init")
    made = (desk / "cat.tiff").read_bytes()
    (desk / "FILE").write_bytes(made)
    (desk / "spool/hold/2-diffuse/cat.3f9a1c2e.tiff").write_bytes(made)
    failed = desk / "spool/failed/2-diffuse/cat.5d01aa7c"
    failed.mkdir(parents=True)
    (failed / "cat.tiff").write_bytes(made)
    (failed / "error.txt").write_text("The machine was at fault.")
    for words in in_line(USE):
        assert said(*words, code=3 if words[0] == "status" else 0), words
    waiting = {path.name for path in (desk / "spool/inbox/2-diffuse").iterdir()}
    assert waiting == {"cat.3f9a1c2e.tiff", "cat.tiff", "cat.3f9a1c2e.tiff.restore"}


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_file_at_a_time_goes_from_words_to_a_picture_and_back(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "photo.png")
    for line in lines(USE, "tiffsd text"):
        typed(line, tmp_path)
    with Image.open(tmp_path / "cat.png") as image:
        assert image.size == (128, 128)
    assert tiffsd.inspect(tmp_path / "photo.tiff").size == (4, 8, 8)
