"""How much of the program a new setting touches: its entry in the registry, and the stage that uses it. Tried on a copy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiffsd
from tests.artifacts import latents

REPOSITORY = Path(__file__).resolve().parents[2]
ENTRY = """
    sparkle: Annotated[
        float | None,
        Setting("How much it sparkles, 0 to 1.", frozenset({DECODE}), "it is for pictures", recorded=("decode",), neutral=0.0),
    ] = Field(default=None, ge=0, le=1)

    def given(self)"""
USE = '        picture = precise(models, model, by, notes) + (settings.get("sparkle") or 0.0)\n'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with a setting that the original does not have, in two of its files."""
    copy = tmp_path_factory.mktemp("program")
    for folder in ("daemon", "tiffsd"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "config.yaml", copy)
    _substitute(copy / "daemon/settings/vocabulary.py", "\n    def given(self)", ENTRY)
    _substitute(copy / "daemon/stages/decode.py", "        picture = precise(models, model, by, notes)\n", USE)
    return copy


def _substitute(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new), encoding="utf-8")


def _tiffsd(program: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(program)}
    command = [sys.executable, "-P", "-m", "daemon", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=100)


@pytest.mark.timeout(300)
def test_a_new_setting_is_told_checked_recorded_and_used_with_two_files_changed(program: Path, tmp_path: Path) -> None:
    row = json.loads(_tiffsd(program, tmp_path, "settings", "sparkle", "--json").stdout)[0]
    assert row["help"] == "How much it sparkles, 0 to 1."
    assert "--sparkle FLOAT" in _tiffsd(program, tmp_path, "decode", "--help").stdout
    tiffsd.write(tmp_path / "done.tiff", latents(state=tiffsd.State.FINAL))
    for name, options in (("plain.tiff", ()), ("bright.tiff", ("--sparkle", "0.5"))):
        _tiffsd(program, tmp_path, "decode", "done.tiff", "-o", name, *options)
    plain, bright = (tiffsd.read(tmp_path / name) for name in ("plain.tiff", "bright.tiff"))
    assert (plain.header.recipe["sparkle"], bright.header.recipe["sparkle"]) == (0.0, 0.5)
    assert np.allclose(bright.tensors["picture"] - plain.tensors["picture"], 0.5, atol=1e-6)
