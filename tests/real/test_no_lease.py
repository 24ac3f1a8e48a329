"""Files of another user than the daemon's, which no lease tells anything of: a program may hold one open, and nobody can say so."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon, came_of, texts_of
from tests.real.programs import needed

ALICE = 4321
WITHOUT_LEASES = ("setpriv", "--bounding-set=-lease", "--inh-caps=-lease")


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.thorough)], ids=["inotify", "no_inotify"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FastDaemon]:
    needed("setpriv", root=True)
    running = FastDaemon(tmp_path / "daemon", events=request.param, before=WITHOUT_LEASES)
    running.start()
    yield running
    assert running.stop() == 0


def opened(daemon: FastDaemon, name: str) -> BinaryIO:
    """A file of Alice's in the inbox, open for writing."""
    file = (daemon.spool / "inbox/1-text" / name).open("wb", buffering=0)
    os.fchown(file.fileno(), ALICE, ALICE)
    return file


def lie_in(daemon: FastDaemon, place: str) -> Callable[[], list[Path]]:
    return lambda: list(daemon.spool.glob(place))


def test_a_file_that_is_written_on_after_it_was_used_runs_again_whole(daemon: FastDaemon) -> None:
    with opened(daemon, "held.txt") as writer:
        writer.write(b"a red")
        came_of(daemon, "held", "a red")
        writer.write(b" house")
    daemon.found("hold/2-diffuse/held.*.tiff", count=2)
    wait_until(lambda: texts_of(daemon, "held") == ["a red house"], what="what is archived is what was used")
    assert "text held.txt: was written to after it was used (in done/" in daemon.log()
    assert daemon.stop() == 0
    daemon.start()
    daemon.drop("inbox/1-text", "later.txt", "a meadow")
    came_of(daemon, "later", "a meadow")
    assert len(daemon.found("hold/2-diffuse/held.*.tiff")) == 2
    assert daemon.log().count("was written to after it was used") == 1


def test_a_file_whose_time_is_set_after_it_was_used_is_left_alone(daemon: FastDaemon) -> None:
    with opened(daemon, "copied.txt") as writer:
        writer.write(b"a red house")
        came_of(daemon, "copied", "a red house")
        os.utime(writer.fileno(), (1e9, 1e9))
    daemon.drop("inbox/1-text", "later.txt", "a meadow")
    came_of(daemon, "later", "a meadow")
    came_of(daemon, "copied", "a red house")


@pytest.mark.parametrize("first", [b"", b"\0" * len("a red house")], ids=["empty", "its_size_first"])
def test_a_file_that_is_filled_after_it_has_failed_runs(daemon: FastDaemon, first: bytes) -> None:
    with opened(daemon, "filled.txt") as writer:
        writer.write(first)
        daemon.found("failed/1-text/filled.*/error.txt")
        os.pwrite(writer.fileno(), b"a red house", 0)
    came_of(daemon, "filled", "a red house")
    wait_until(lambda: not lie_in(daemon, "failed/1-text/*")(), what="nothing has failed any more")
    assert "text filled.txt: was written to after it failed" in daemon.log()


def test_what_was_written_while_no_daemon_was_there_runs_too(daemon: FastDaemon) -> None:
    with opened(daemon, "used.txt") as used, opened(daemon, "empty.txt") as empty:
        used.write(b"a red")
        came_of(daemon, "used", "a red")
        daemon.found("failed/1-text/empty.*/error.txt")
        assert daemon.stop() == 0
        used.write(b" house")
        empty.write(b"a meadow")
    daemon.start()
    daemon.found("hold/2-diffuse/used.*.tiff", count=2)
    wait_until(lambda: texts_of(daemon, "used") == ["a red house"], what="what is archived is what was used")
    came_of(daemon, "empty", "a meadow")
