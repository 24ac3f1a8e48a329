"""The disk in memory against the kernel: the same operations, the same answers, the same errors."""

import random
from pathlib import Path
from typing import Any

import pytest

from daemon.spool.filesystem import Ops
from tests.spool.disk import ROOT, Disk

PLACES = ("a", "b", "a/x", "a/y", "b/x", "a/x/z")
OPERATIONS = ("mkdir", "create", "rename", "rename_noreplace", "unlink", "rmdir", "list", "lstat", "read", "fsync_folder")


@pytest.mark.parametrize("seed", range(20))
def test_the_disk_in_memory_answers_as_the_kernel_does(seed: int, worlds: Path) -> None:
    draw = random.Random(seed)
    disk, real = Disk(), Ops(worlds)
    for _ in range(200):
        operation = draw.choice(OPERATIONS)
        places = draw.choices(PLACES, k=2 if operation.startswith("rename") else 1)
        asked = f"{operation} {places}"
        assert _answer(disk, ROOT, operation, places) == _answer(real, worlds, operation, places), asked
    assert disk.contents.paths() == {path.relative_to(worlds): path.read_bytes() for path in worlds.rglob("*") if path.is_file()}


def _answer(ops: Ops, root: Path, operation: str, places: list[str]) -> Any:
    try:
        what = ["names"] if operation == "fsync_folder" else []
        result = getattr(ops, operation)(*(root / place for place in places), *what)
    except OSError as error:
        return error.errno
    if operation == "create":
        with result as file:
            ops.write(file, places[0].encode())
            ops.fsync(file, "content")
        return None
    if operation == "lstat":
        return (result.st_mode >> 12, result.st_size if result.st_mode & 0o100000 else 0)
    return sorted(result) if operation == "list" else result
