"""Spools for tests: an empty one on the real filesystem, and room for the many worlds of a sweep."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from daemon.spool.spool import Spool
from tests.spool.stories import FOLDERS


@pytest.fixture
def worlds() -> Iterator[Path]:
    """Where sweeps make their many short-lived worlds: in memory, if there is such a place."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="tiffsd-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def root(worlds: Path) -> Path:
    Spool(worlds, FOLDERS).create()
    return worlds


@pytest.fixture
def spool(root: Path) -> Spool:
    return Spool(root, FOLDERS)
