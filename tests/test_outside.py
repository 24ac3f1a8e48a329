"""What the programs of others run in: nothing of ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.outside import is_here, outside


@pytest.fixture
def activated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual environment as its `activate` makes it count, and variables with which people bend a Python."""
    folder = tmp_path / "environment/bin"
    folder.mkdir(parents=True)
    for name in ("python3", "of_the_environment"):
        (folder / name).write_text("#!/bin/sh\necho ours\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("VIRTUAL_ENV", str(folder.parent))
    monkeypatch.setenv("VIRTUAL_ENV_PROMPT", "(environment) ")
    monkeypatch.setenv("PYTHONHOME", str(folder.parent))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), str(Path(sys.prefix, "bin")), os.environ["PATH"]]))
    return folder


def test_programs_of_others_find_nothing_of_an_activated_environment(activated: Path) -> None:
    assert shutil.which("of_the_environment") == str(activated / "of_the_environment")
    said = subprocess.run(["sh", "-c", "env; command -v of_the_environment"], env=outside(), capture_output=True, text=True).stdout
    assert "PATH=" in said
    assert not is_here("of_the_environment")
    assert not [line for line in said.splitlines() if line.startswith(("PYTHON", "VIRTUAL_ENV")) or str(activated) in line]
    if sys.prefix != sys.base_prefix:
        assert str(Path(sys.prefix, "bin")) not in outside()["PATH"].split(os.pathsep)


def test_what_is_not_of_an_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    folders = ["/usr/local/bin", str(Path(sys.base_prefix, "bin")), "/usr/bin"]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    monkeypatch.setenv("LANG", "C")
    found = outside(HOME="/nowhere", LANG="C.UTF-8")
    assert found["PATH"].split(os.pathsep)[: len(folders)] == folders
    assert (found["HOME"], found["LANG"]) == ("/nowhere", "C.UTF-8")


def test_a_part_of_a_program_is_a_command_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64/server").touch()
    assert is_here("sh")
    assert not is_here("a-command-that-nobody-has")
    assert is_here(f"{tmp_path}/lib*/server")
    assert not is_here(f"{tmp_path}/lib*/client")
