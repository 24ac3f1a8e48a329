"""The watcher: every arrival wakes, death is noticed and repaired, and without inotify nothing breaks."""

import logging
import math
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.inbox.watch import LOOK_SECONDS, RETRY_SECONDS, Watcher

PATIENCE_SECONDS = 10.0


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """No file, and so no inotify instance, can be opened in the block."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Alarm:
    """Counts as rung once `wake` was called."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def rang(self) -> bool:
        rang = self._event.wait(PATIENCE_SECONDS)
        self._event.clear()
        return rang


@pytest.fixture
def alarm() -> Alarm:
    return Alarm()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def watcher(inbox: Path, alarm: Alarm) -> Iterator[Watcher]:
    watcher = Watcher([inbox], alarm)
    watcher.start()
    yield watcher
    watcher.stop()


def write(inbox: Path) -> None:
    (inbox / "cat.txt").write_bytes(b"content")


def rename_in(inbox: Path) -> None:
    (inbox.parent / "cat.txt").write_bytes(b"content")
    (inbox.parent / "cat.txt").rename(inbox / "cat.txt")


def link_in(inbox: Path) -> None:
    (inbox.parent / "cat.txt").write_bytes(b"content")
    (inbox / "cat.txt").hardlink_to(inbox.parent / "cat.txt")


def symlink_in(inbox: Path) -> None:
    (inbox / "cat.txt").symlink_to("/nowhere")


@pytest.mark.usefixtures("watcher")
@pytest.mark.parametrize("arrive", [write, rename_in, link_in, symlink_in])
def test_every_arrival_wakes(arrive: Callable[[Path], None], inbox: Path, alarm: Alarm) -> None:
    arrive(inbox)
    assert alarm.rang()


def test_removal_wakes(inbox: Path, alarm: Alarm) -> None:
    (inbox / "PAUSE").touch()
    watcher = Watcher([inbox], alarm)
    watcher.start()
    (inbox / "PAUSE").unlink()
    assert alarm.rang()
    watcher.stop()


def test_writer_that_closes_wakes_again(inbox: Path, alarm: Alarm, watcher: Watcher) -> None:
    with (inbox / "cat.txt").open("wb") as file:
        assert alarm.rang()
        file.write(b"content")
    assert alarm.rang()
    assert watcher.healthy()


def test_every_folder_is_watched(tmp_path: Path, alarm: Alarm) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    watcher = Watcher(folders, alarm)
    watcher.start()
    for folder in folders:
        rename_in(folder)
        assert alarm.rang()
    watcher.stop()


def test_failing_wake_does_not_end_the_watch(inbox: Path) -> None:
    calls = threading.Semaphore(0)

    def wake() -> None:
        calls.release()
        raise ValueError("a fault of the caller")

    watcher = Watcher([inbox], wake)
    watcher.start()
    for name in ("a.txt", "b.txt"):
        (inbox / name).write_bytes(b"content")
        assert calls.acquire(timeout=PATIENCE_SECONDS)
        assert watcher.healthy()
    watcher.stop()


def test_recreated_folder_is_watched_again(inbox: Path, alarm: Alarm, watcher: Watcher) -> None:
    inbox.rmdir()
    assert watcher.healthy()
    inbox.mkdir()
    assert watcher.healthy()
    assert alarm.rang()  # somebody must look: a file may have come in between
    write(inbox)
    assert alarm.rang()


def test_replaced_folder_is_watched_and_the_old_one_is_not(inbox: Path, alarm: Alarm, watcher: Watcher) -> None:
    inbox.rename(inbox.parent / "old")
    inbox.mkdir()
    assert watcher.healthy()
    assert alarm.rang()
    write(inbox)
    assert alarm.rang()
    assert not watcher.scanning_only


def test_folders_that_were_there_a_moment_ago_are_looked_at_a_little_later(inbox: Path, alarm: Alarm, watcher: Watcher) -> None:
    now = 1e9
    assert watcher.healthy(now)
    assert watcher.due == math.inf, "nothing is left to be looked at"
    inbox.rename(inbox.parent / "old")
    inbox.mkdir()
    assert watcher.healthy(now + LOOK_SECONDS / 2)
    assert watcher.due == now + LOOK_SECONDS
    assert watcher.healthy(watcher.due)
    assert alarm.rang()
    write(inbox)
    assert alarm.rang()


def test_folder_that_appears_later_is_watched(tmp_path: Path, alarm: Alarm) -> None:
    watcher = Watcher([tmp_path / "later"], alarm)
    watcher.start()
    assert watcher.healthy()
    (tmp_path / "later").mkdir()
    assert watcher.healthy()
    write(tmp_path / "later")
    assert alarm.rang()
    watcher.stop()


def test_dead_watch_is_built_anew(inbox: Path, alarm: Alarm, watcher: Watcher, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    observer = watcher._observer
    assert observer is not None
    observer.stop()
    observer.join()
    assert watcher.healthy()
    assert "watching again" in caplog.text
    assert watcher._observer is not observer
    assert alarm.rang()
    write(inbox)
    assert alarm.rang()


def test_one_dead_thread_of_the_watch_is_noticed(alarm: Alarm, watcher: Watcher) -> None:
    observer = watcher._observer
    assert observer is not None
    (emitter,) = observer.emitters
    emitter.stop()
    emitter.join(PATIENCE_SECONDS)
    assert watcher.healthy()
    assert watcher._observer is not observer
    assert alarm.rang()


def test_without_inotify_the_scan_is_enough_and_it_is_said_once(
    inbox: Path, alarm: Alarm, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = Watcher([inbox], alarm)
    with no_more_descriptors():
        watcher.start()
        for later in (1.0, 2.0, 3.0):
            assert watcher.healthy(now=1e9 + later * RETRY_SECONDS)
        scanning_only = [watcher.scanning_only]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].startswith("no file events (")
    assert watcher.healthy(now=2e9)  # and it is tried again
    scanning_only.append(watcher.scanning_only)
    write(inbox)
    assert alarm.rang()
    watcher.stop()
    assert scanning_only == [True, False]


def test_a_watch_that_ends_leaves_nothing_to_be_looked_at(watcher: Watcher) -> None:
    now = 1e9
    observer = watcher._observer
    assert observer is not None
    assert [watcher.healthy(now), watcher.healthy(now)] == [True, True]
    assert watcher.due == now + LOOK_SECONDS
    observer.stop()
    observer.join()
    with no_more_descriptors():
        assert watcher.healthy(watcher.due)
    assert watcher.scanning_only
    assert watcher.due == math.inf, "else nobody sleeps until it can be watched again"


def test_stop_may_come_at_any_time(inbox: Path, alarm: Alarm) -> None:
    watcher = Watcher([inbox], alarm)
    watcher.stop()
    watcher.start()
    watcher.stop()
    watcher.stop()
    assert not [thread for thread in threading.enumerate() if "watchdog" in type(thread).__module__]


def test_a_stop_while_files_come_is_no_error(inbox: Path, alarm: Alarm, caplog: pytest.LogCaptureFixture) -> None:
    ending = threading.Event()

    def drop_all_the_time() -> None:
        while not ending.is_set():
            (inbox / "cat.txt").touch()
            (inbox / "cat.txt").unlink()

    person = threading.Thread(target=drop_all_the_time)
    person.start()
    try:
        for _ in range(25):
            watcher = Watcher([inbox], alarm)
            watcher.start()
            assert alarm.rang()
            watcher.stop()
    finally:
        ending.set()
        person.join()
    assert [record.getMessage() for record in caplog.records] == []
