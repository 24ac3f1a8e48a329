"""Inboxes that are removed, renamed, hidden by a mount, unmounted, and file events that cannot be had or are lost."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.outside import outside
from tests.real.fast_daemon import FastDaemon, came_of
from tests.real.programs import needed, needs_mounting, skip_where_forbidden

EVENTS_IN_THE_QUEUE = 16_384


@pytest.fixture(scope="module", params=[True, pytest.param(False, marks=pytest.mark.thorough)], ids=["inotify", "no_inotify"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastDaemon]:
    running = FastDaemon(tmp_path_factory.mktemp("daemon"), events=request.param)
    running.start()
    yield running
    running.close()


def say_degraded(daemon: FastDaemon) -> bool:
    return "its inbox cannot be read" in (daemon.spool / "status.json").read_text()


def test_an_inbox_that_is_removed_and_made_again_is_watched_again(daemon: FastDaemon) -> None:
    inbox = daemon.spool / "inbox/1-text"
    inbox.rmdir()
    wait_until(lambda: say_degraded(daemon), what="the status says that the inbox is gone")
    inbox.mkdir()
    daemon.drop("inbox/1-text", "made_again.txt", "a house")
    came_of(daemon, "made_again", "a house")
    wait_until(lambda: not say_degraded(daemon), what="the status says that all is well")


def test_what_lies_in_an_inbox_that_was_renamed_away_is_not_used(daemon: FastDaemon) -> None:
    inbox = daemon.spool / "inbox/1-text"
    old = inbox.rename(daemon.spool.parent / "old")
    inbox.mkdir()
    (old / "in_old.txt").write_text("not this")
    daemon.drop("inbox/1-text", "in_new.txt", "but this")
    came_of(daemon, "in_new", "but this")
    assert (old / "in_old.txt").read_text() == "not this"
    shutil.rmtree(old)


def test_an_inbox_hidden_by_a_mount_loses_nothing(daemon: FastDaemon) -> None:
    needs_mounting()
    inbox = daemon.spool / "inbox/1-text"
    subprocess.run(["mount", "-t", "tmpfs", "tiffsd-test", str(inbox)], env=outside(), check=True)
    try:
        (inbox / "hidden.txt").write_text("on another disk")
        wait_until(lambda: "a mount of its own" in (daemon.spool / "status.json").read_text(), what="the stage is degraded")
        assert (inbox / "hidden.txt").read_text() == "on another disk"
    finally:
        subprocess.run(["umount", str(inbox)], env=outside(), check=True)
    daemon.drop("inbox/1-text", "seen.txt", "on the right disk")
    came_of(daemon, "seen", "on the right disk")


def test_a_spool_that_is_unmounted_and_mounted_again_goes_on(tmp_path: Path) -> None:
    needs_mounting()
    (tmp_path / "real").mkdir()
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", "--bind", str(tmp_path / "real"), str(place)], env=outside(), check=True)
    daemon = FastDaemon(tmp_path / "daemon", spool=place / "spool")
    try:
        daemon.start()
        subprocess.run(["umount", "--lazy", str(place)], env=outside(), check=True)
        wait_until(lambda: "its inbox cannot be read" in daemon.log(), what="the daemon misses its folders")
        (tmp_path / "real/spool/inbox/1-text/meanwhile.txt").write_text("a house")
        subprocess.run(["mount", "--bind", str(tmp_path / "real"), str(place)], env=outside(), check=True)
        came_of(daemon, "meanwhile", "a house")
    finally:
        daemon.close()
        subprocess.run(["umount", "--lazy", str(place)], env=outside(), check=False)


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_without_a_free_watch_the_scan_finds_everything_and_it_is_said_once(limit: str, tmp_path: Path) -> None:
    needed("unshare", root=True)
    script = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
    before = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    skip_where_forbidden(*before, "true")
    daemon = FastDaemon(tmp_path / "daemon", before=before)
    try:
        daemon.start()
        for number in range(3):
            daemon.drop("inbox/1-text", f"cat{number}.txt", f"cat {number}")
            came_of(daemon, f"cat{number}", f"cat {number}")
        assert daemon.log().count("no file events (") == 1
    finally:
        daemon.close()


def test_files_whose_events_were_lost_in_an_overflow_are_found(tmp_path: Path) -> None:
    daemon = FastDaemon(tmp_path / "daemon")
    try:
        os.kill(daemon.start(), signal.SIGSTOP)
        noise = daemon.spool / "inbox/1-text/.noise"
        for _ in range(EVENTS_IN_THE_QUEUE // 2):  # each makes at least two: created, closed, deleted
            noise.touch()
            noise.unlink()
        for number in range(5):
            daemon.drop("inbox/1-text", f"cat{number}.txt", f"cat {number}")
        os.kill(daemon.pid(), signal.SIGCONT)
        for number in range(5):
            came_of(daemon, f"cat{number}", f"cat {number}")
        assert "overflow" in daemon.log()
    finally:
        os.kill(daemon.pid(), signal.SIGCONT)
        daemon.close()
