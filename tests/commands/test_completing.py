"""What a shell completes: commands, options, stages and the names of what lies in the spool; asked as each of the shells asks."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

import tiffsd.commands
from daemon.cli import app
from daemon.commands.completing import PROGRAM, SHELLS, VARIABLE
from daemon.stages import STAGES
from tests.conftest import YARDSTICK, processor_seconds

ON_CI = os.environ.get("TIFFSD_CI") == "1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool in which something of each kind lies."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init"]).exit_code == 0
    spool = tmp_path / "spool"
    for name in ("cat.0000000a.tiff", "cat.0000000a.proof.png", "cow.0000000c.tiff", "HOLD"):
        (spool / "hold/2-diffuse" / name).touch()
    for name in ("dog.0000000b", "my dog.0000000d"):
        (spool / "failed/1-text" / name).mkdir()
    (spool / "running/slow.0000000e.txt").touch()
    (spool / "inbox/1-text/later.txt").touch()
    return tmp_path


@pytest.fixture
def completed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What bash gets for a line whose last word is not complete."""
    assert home.exists()
    monkeypatch.setenv(VARIABLE, "bash_complete")

    def complete(*words: str) -> list[str]:
        return [item.value for item in BashComplete(app, {}, PROGRAM, VARIABLE).get_completions(list(words[:-1]), words[-1])]

    return complete


def test_commands_and_options_are_completed(completed: Callable[..., list[str]]) -> None:
    assert completed("re") == ["report", "release", "resume", "retry", "restore"]
    assert completed("report", "--no") == ["--no-prompts"]
    assert "--steps" in completed("diffuse", "--st")
    assert completed("list", "h") == ["held"]
    assert completed("completion", "") == list(SHELLS)


def test_names_are_completed_where_they_are_meant(completed: Callable[..., list[str]]) -> None:
    assert completed("release", "c") == ["cat.0000000a.tiff", "cow.0000000c.tiff"]
    assert completed("release", "cat.0000000a.tiff", "c") == ["cow.0000000c.tiff"]
    assert completed("apply", "co") == ["cow.0000000c.tiff"]
    assert completed("retry", "d") == ["dog.0000000b"]
    assert completed("cancel", "") == ["slow.0000000e"]
    assert completed("hold", "l") == ["later.txt"]
    assert completed("report", "") == [
        *("dog.0000000b", "'my dog.0000000d'", "cat.0000000a.tiff", "cow.0000000c.tiff", "slow.0000000e", "later.txt")
    ]


@pytest.mark.parametrize("command", ["pause", "resume", "hold", "release"])
def test_stages_are_completed(completed: Callable[..., list[str]], command: str) -> None:
    assert completed(command, "")[: len(STAGES)] == list(STAGES)


def test_a_name_with_more_than_words_in_it_is_quoted_and_one_that_steers_is_not_offered(
    home: Path, completed: Callable[..., list[str]]
) -> None:
    (home / "spool/failed/1-text/x$(touch gone).0000000f").mkdir()
    (home / "spool/failed/1-text/x\nplain,y").mkdir()
    assert completed("retry", "x") == ["'x$(touch gone).0000000f'"]


def test_the_spool_is_the_one_that_was_named(
    home: Path, completed: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert CliRunner().invoke(app, ["init", str(elsewhere)], env={VARIABLE: ""}).exit_code == 0
    (elsewhere / "spool/failed/1-text/fox.0000000a").mkdir()
    assert completed("retry", "-c", str(elsewhere), "") == ["fox.0000000a"]
    assert home.exists()


def test_without_a_configuration_there_are_no_names_and_no_complaints(
    completed: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert completed("retry", "-c", "nowhere.yaml", "") == []
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    assert completed("pause", "t") == ["text"]


def on_the_path(folder: Path) -> dict[str, str]:
    """An environment in which `tiffsd` is this program, and nothing of the shells' own is read."""
    tool = folder / "bin/tiffsd"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m daemon "$@"\n')
    tool.chmod(0o755)
    path = os.pathsep.join([str(tool.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "HOME": str(folder), "PYTHONPATH": str(Path(tiffsd.__file__).parents[1]), "TERM": "dumb"}


def asked(shell: str, line: str) -> str:
    """A script that loads what `tiffsd completion` prints, completes a line, and prints the words that come of it."""
    words = shlex.split(line)
    match shell:
        case "bash":
            array = " ".join(map(shlex.quote, words))
            return (
                f'. <(tiffsd completion bash); COMP_WORDS=({array} ""); COMP_CWORD={len(words)}; '
                "_tiffsd_completion tiffsd; printf '%s\\n' \"${COMPREPLY[@]}\""
            )
        case "fish":
            return f'tiffsd completion fish | source; complete --do-complete "{line} "'
        case _:
            # Without a terminal zsh has no completion: what its function hands over is told here.
            array = " ".join(map(shlex.quote, words))
            return (
                "compdef() { }; compadd() { print -l -- $completions }; "
                "_describe() { print -l -- $completions_with_descriptions }; "
                f'. <(tiffsd completion zsh); words=({array} ""); CURRENT={len(words) + 1}; _tiffsd_completion'
            )


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_completes_with_its_script(shell: str, home: Path) -> None:
    if not shutil.which(shell):
        sentence = f"{shell} is not here: apt-get install {shell}"
        pytest.fail(sentence) if ON_CI else pytest.skip(sentence)
    surroundings = on_the_path(home)

    def words(line: str) -> list[str]:
        options = {"bash": ["--norc", "--noprofile"], "fish": ["--no-config"], "zsh": ["-f"]}[shell]
        done = subprocess.run(
            [shell, *options, "-c", asked(shell, line)], env=surroundings, cwd=home, capture_output=True, text=True, timeout=60
        )
        assert done.stderr == ""
        return [word.partition("\t")[0] for word in done.stdout.splitlines()]

    quoted = {"bash": "'my dog.0000000d'"}.get(shell, "my dog.0000000d")
    assert words("tiffsd retry") == ["dog.0000000b", quoted]


def test_a_name_is_completed_at_once(home: Path) -> None:
    """In processor time beside that of a yardstick, as in `test_cli.py`."""
    line = f"env COMP_WORDS='tiffsd retry ' COMP_CWORD=2 {VARIABLE}=bash_complete {sys.executable} -m daemon"
    pairs = [
        (processor_seconds(shlex.split(line), folder=home), processor_seconds([sys.executable, "-c", YARDSTICK])) for _ in range(3)
    ]
    assert min(ours for ours, _ in pairs) < 1.8 * min(theirs for _, theirs in pairs)


@pytest.mark.parametrize("app", [app, tiffsd.commands.app], ids=["tiffsd", "python -m tiffsd"])
def test_help_has_a_short_name_everywhere(app: click.Group) -> None:
    for words in ([], ["show"], ["crop"]):
        short, long = (CliRunner().invoke(app, [*words, name]) for name in ("-h", "--help"))
        assert short.output == long.output
        assert short.exit_code == 0
        assert "-h, --help" in short.output
