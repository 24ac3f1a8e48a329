"""The same files again: copied once more by a program that found them gone, or dropped once more by a person who means it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon, came_of

TEXT = "a red house"
HOUR = 3600.0


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.thorough)], ids=["inotify", "no_inotify"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FastDaemon]:
    running = FastDaemon(tmp_path / "daemon", events=request.param)
    running.start()
    yield running
    assert running.stop() == 0


def copied(daemon: FastDaemon, name: str, text: str = TEXT, *, saved: float) -> Path:
    """Copy a file as programs do that set its time, to when it was saved."""
    part = daemon.spool / "inbox/1-text" / f"{name}.partial"
    part.write_text(text)
    os.utime(part, (saved, saved))
    return part.rename(part.with_suffix(""))


def is_known_again(daemon: FastDaemon, path: Path) -> None:
    """Wait until the daemon has said of a file that it is the same drop; it lies there still."""
    said = f"text {path.name}: not run again: it is the same file as done/"
    wait_until(lambda: daemon.log().count(said), what="the daemon knows the file")
    waits = f"{path.name}: is the same file as done/"
    wait_until(lambda: waits in (daemon.spool / "status.json").read_text(), what="the status says so")
    assert path.exists()


def test_a_copy_that_comes_again_is_one_drop_also_after_a_restart(daemon: FastDaemon) -> None:
    saved = time.time() - HOUR
    for _ in range(2):  # a program that sets the time when the file is gone copies it once more
        again = copied(daemon, "cat.txt", saved=saved)
        came_of(daemon, "cat", TEXT)
    is_known_again(daemon, again)
    assert daemon.stop() == 0
    daemon.start()
    daemon.drop("inbox/1-text", "later.txt", "a meadow")
    came_of(daemon, "later", "a meadow")
    assert again.exists()
    came_of(daemon, "cat", TEXT)


def test_a_copy_that_comes_again_lies_beside_the_first_when_its_time_is_over(tmp_path: Path) -> None:
    daemon = FastDaemon(tmp_path / "daemon", watch={"same_drop_minutes": 0.05})
    daemon.start()
    copied(daemon, "cat.txt", saved=time.time() - HOUR)
    came_of(daemon, "cat", TEXT)
    again = copied(daemon, "cat.txt", saved=time.time() - HOUR)
    (archived,) = daemon.found("done/*/cat-2.txt")
    assert not again.exists()
    assert archived.read_text() == TEXT
    assert len(daemon.found("hold/2-diffuse/cat.*.tiff")) == 1
    assert daemon.stop() == 0


@pytest.mark.parametrize("how", ["touched", "saved anew", "saved anew at once", "renamed"])
def test_who_means_it_gets_another_run(daemon: FastDaemon, how: str) -> None:
    saved = time.time() - HOUR
    copied(daemon, "cat.txt", saved=saved)
    came_of(daemon, "cat", TEXT)
    again = daemon.spool / "inbox/1-text/cat.txt"
    if how != "saved anew at once":
        is_known_again(daemon, copied(daemon, "cat.txt", saved=saved))
    if how == "touched":
        again.touch()
    elif how == "renamed":
        again.rename(again.with_name("dog.txt"))
    else:
        daemon.drop("inbox/1-text", "cat.txt", TEXT)
    if how == "renamed":
        came_of(daemon, "dog", TEXT)
        came_of(daemon, "cat", TEXT)
    else:
        came_of(daemon, "cat", TEXT, TEXT)
    assert not list(again.parent.iterdir())


def test_what_is_moved_back_from_done_runs_again(daemon: FastDaemon) -> None:
    copied(daemon, "cat.txt", saved=time.time() - HOUR)
    came_of(daemon, "cat", TEXT)
    (archived,) = daemon.found("done/*/cat.txt")
    archived.rename(daemon.spool / "inbox/1-text/cat.txt")
    daemon.found("hold/2-diffuse/cat.*.tiff", count=2)
    wait_until(lambda: archived.exists(), what="it was used again")
