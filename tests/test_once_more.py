"""What CI runs once more, in a small project of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.once_more import MOST, why_not

FAULT = "def test_fault():\n    assert False\n"
ACCIDENT = """
from pathlib import Path


def test_accident():
    been = Path("been")
    was = been.exists()
    been.touch()
    assert was
"""
ROOT = Path(__file__).parents[1]


def outcome(folder: Path, tests: str) -> "subprocess.CompletedProcess[str]":
    """What comes of running the tests of a project side by side, as `make test` does, and then once more."""
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = [sys.executable, "-m", "pytest", "-q", "--numprocesses", "2", "--dist", "loadfile"]
    assert subprocess.run(first, cwd=folder, env=environment, capture_output=True, check=False).returncode == 1
    again = [sys.executable, "-m", "tests.once_more"]
    return subprocess.run(again, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_fault_fails_twice(tmp_path: Path) -> None:
    found = outcome(tmp_path, FAULT + ACCIDENT)
    assert found.returncode == 1
    assert "AMONG THOSE THAT FAILED TWICE: test_it.py::test_fault" in found.stdout


def test_an_accident_passes_and_is_named(tmp_path: Path) -> None:
    found = outcome(tmp_path, ACCIDENT)
    assert found.returncode == 0, found.stdout
    assert "PASSED ONLY ALONE: test_it.py::test_accident" in found.stdout


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no test that failed"),
        (["tests/test_it.py"], "could not be read"),
        ([f"test_it.py::test_{number}" for number in range(MOST + 1)], "no accident"),
    ],
)
def test_what_is_no_accident_is_not_run_once_more(names: list[str], words: str) -> None:
    assert words in why_not(names)
