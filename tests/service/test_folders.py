"""Folders that cannot keep the spool's promises are refused at the start, with a sentence that says what to change."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.errors import SpoolError
from daemon.service.service import Service
from daemon.settings.config import Config
from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.real.programs import needs_mounting

MOUNTED = [
    ("mount -t tmpfs none pictures", ["pictures", "another filesystem"]),
    ("mount -t tmpfs none inbox/2-diffuse", ["inbox/2-diffuse", "another filesystem"]),
    ("mount -t tmpfs none .keep", [".keep", "a mount of its own"]),
    ("mount --bind inbox/2-diffuse hold/2-diffuse", ["hold/2-diffuse", "inbox/2-diffuse", "the same folder"]),
    ("mkdir '../my pictures'; mount --bind '../my pictures' pictures", ["pictures", "a mount of its own"]),
]


def made(folder: Path) -> Path:
    """A spool with all its folders, where the configuration in that folder has it."""
    (folder / "spool").mkdir(parents=True)
    Spool(folder / "spool", {stage.name: stage.folder for stage in STAGES.values()}).create()
    return folder / "spool"


def start(folder: Path, spool: str = "spool") -> None:
    Service(Config.model_validate({"folder": folder, "spool": spool})).start()


@pytest.mark.parametrize(("mount", "words"), MOUNTED, ids=[mount for mount, _ in MOUNTED])
def test_a_folder_on_another_filesystem_is_refused_at_the_start(tmp_path: Path, mount: str, words: list[str]) -> None:
    needs_mounting()
    home = tmp_path / "a home"
    spool = made(home)
    (home / "config.yaml").touch()
    script = f"cd '{spool}' && {mount} && cd .. && exec {sys.executable} -m daemon once"
    result = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2, result.stderr
    said = " ".join(result.stderr.split())
    for word in words:
        assert word in said


def linked(spool: Path) -> None:
    shutil.rmtree(spool / "pictures")
    (spool / "pictures").symlink_to(spool.parent)


def looped(spool: Path) -> None:
    shutil.rmtree(spool / "hold")
    (spool / "hold").symlink_to("inbox")


def a_file_in_the_way(spool: Path) -> None:
    (spool / "pictures").rmdir()
    (spool / "pictures").touch()


SPOILED = [(linked, "symbolic link"), (looped, "symbolic link"), (a_file_in_the_way, "is a file where a folder")]


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_links_and_files_in_place_of_folders_are_refused_at_the_start(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(made(tmp_path))
    with pytest.raises(SpoolError, match=words):
        start(tmp_path)


@pytest.mark.parametrize("place", ["inbox/1-text", "pictures", ".work"])
def test_a_spool_inside_a_spool_is_refused_at_the_start(tmp_path: Path, place: str) -> None:
    made(tmp_path)
    with pytest.raises(SpoolError, match="lies inside another spool"):
        start(tmp_path, f"spool/{place}/inner")
