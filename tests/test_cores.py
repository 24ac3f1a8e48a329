"""The threads of the front stay on one core, and what computes beside them, or is another process, has all."""

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon import cores
from daemon.pictures import forms
from daemon.pictures.forms import Story, coding
from daemon.settings.infotext import SOFTWARE
from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon

ALL = os.sched_getaffinity(0)
SAYS_ITS_CORES = "import os; print(*sorted(os.sched_getaffinity(0)))"

pytestmark = pytest.mark.skipif(len(ALL) < 2, reason="threads stay on one core anyway where there is one")


class Other:
    """A thread that waits until it is told to go on, and is over then."""

    def __init__(self) -> None:
        self._go_on = threading.Event()
        self._thread = threading.Thread(target=self._go_on.wait)
        self._thread.start()
        assert self._thread.native_id is not None
        self.number = self._thread.native_id

    @property
    def cores(self) -> set[int]:
        return os.sched_getaffinity(self.number)

    def end(self) -> None:
        self._go_on.set()
        self._thread.join()


@pytest.fixture
def others() -> Iterator[list[Other]]:
    found: list[Other] = []
    yield found
    for other in found:
        other.end()


def wake_on(wanted: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel does who finds the core taken."""
    (core,) = wanted
    monkeypatch.setattr(cores, "_running_on", lambda: core)


def test_threads_that_begin_while_one_is_pinned_stay_with_it(others: list[Other]) -> None:
    with cores.pinned():
        mine = os.sched_getaffinity(0)
        others.append(Other())
        assert len(mine) == 1
        assert others[0].cores == mine
    assert os.sched_getaffinity(0) == ALL


def test_a_process_that_is_started_unpinned_has_all_cores() -> None:
    with cores.pinned():
        with cores.unpinned():
            said = subprocess.run([sys.executable, "-c", SAYS_ITS_CORES], capture_output=True, text=True, check=True).stdout
        assert len(os.sched_getaffinity(0)) == 1
    assert set(map(int, said.split())) == ALL


@pytest.mark.parametrize(("side", "where"), [(1024, "all"), (64, "one")])
def test_a_large_picture_is_coded_on_all_cores_and_a_small_one_where_it_is(side: int, where: str) -> None:
    with cores.pinned():
        with coding(np.zeros((side, side, 3), np.uint8)):
            assert ("all" if os.sched_getaffinity(0) == ALL else "one") == where
        assert len(os.sched_getaffinity(0)) == 1


@pytest.mark.parametrize(("bits", "coder"), [(8, "_coded8"), (16, "_coded16")])
def test_a_large_png_of_any_depth_is_coded_on_all_cores(bits: int, coder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[int]] = []

    def coded(_: object) -> tuple[bytes, bytes]:
        found.append(os.sched_getaffinity(0))
        return struct.pack(">IIBBBBB", 1, 1, bits, 2, 0, 0, 0), zlib.compress(bytes(1 + 3 * bits // 8))

    monkeypatch.setattr(forms, coder, coded)
    with cores.pinned():
        forms.write_png(io.BytesIO(), np.zeros((1024, 1024, 3), np.float32), Story({}, [], {SOFTWARE: "1"}), bits=bits)
    assert found == [ALL]


def test_the_number_of_cores_is_that_of_all_also_on_one() -> None:
    with cores.pinned():
        assert cores.number_of_cores() == len(ALL)


def test_pinned_within_pinned_changes_nothing() -> None:
    with cores.pinned():
        mine = os.sched_getaffinity(0)
        with cores.pinned():
            assert os.sched_getaffinity(0) == mine
        assert os.sched_getaffinity(0) == mine


def test_where_one_wakes_the_others_follow(others: list[Other], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "SECONDS_ON_A_CORE", 0.0)
    with cores.pinned():
        others += [Other(), Other()]
        for _ in range(2):
            (before,) = os.sched_getaffinity(0)
            elsewhere = {min(ALL - {before})}
            with cores.sleeping():
                assert os.sched_getaffinity(0) == ALL
                wake_on(elsewhere, monkeypatch)
            assert [os.sched_getaffinity(0), *(other.cores for other in others)] == [elsewhere] * 3


def test_a_thread_that_computes_on_all_cores_meanwhile_comes_back_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "SECONDS_ON_A_CORE", 0.0)
    begun, moved, found = threading.Event(), threading.Event(), list[set[int]]()

    def compute() -> None:
        with cores.unpinned():
            begun.set()
            moved.wait()
            found.append(os.sched_getaffinity(0))
        found.append(os.sched_getaffinity(0))

    with cores.pinned():
        computes = threading.Thread(target=compute)
        computes.start()
        begun.wait()
        (before,) = os.sched_getaffinity(0)
        elsewhere = {min(ALL - {before})}
        with cores.sleeping():
            wake_on(elsewhere, monkeypatch)
        moved.set()
        computes.join()
    assert found == [ALL, elsewhere]


def test_a_thread_that_begins_to_compute_is_not_called_back_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "SECONDS_ON_A_CORE", 0.0)
    asked, begun, moved, found, move = threading.Event(), threading.Event(), threading.Event(), list[set[int]](), cores._set

    def compute() -> None:
        asked.wait()
        with cores.unpinned():
            begun.set()
            moved.wait()
            found.append(os.sched_getaffinity(0))

    def overtaken(thread: int, wanted: Collection[int]) -> bool:
        if not asked.is_set():
            asked.set()
            begun.wait(0.2)  # it may be kept from it, and is then
        return move(thread, wanted)

    with cores.pinned():
        computes = threading.Thread(target=compute)
        computes.start()
        with cores.sleeping():
            monkeypatch.setattr(cores, "_set", overtaken)
        moved.set()
        computes.join()
    assert found == [ALL]


def test_what_somebody_else_says_of_a_thread_that_sleeps_counts(others: list[Other], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "SECONDS_ON_A_CORE", 0.0)
    with cores.pinned():
        others.append(Other())
        before = others[0].cores
        elsewhere = {min(ALL - before)}
        with cores.sleeping():
            os.sched_setaffinity(0, elsewhere)
        assert [os.sched_getaffinity(0), others[0].cores] == [elsewhere, before]


def test_one_that_is_not_pinned_sleeps_and_wakes_on_all_cores() -> None:
    with cores.sleeping():
        assert os.sched_getaffinity(0) == ALL
    assert os.sched_getaffinity(0) == ALL


def test_a_core_is_kept_for_a_while() -> None:
    with cores.pinned():
        mine = os.sched_getaffinity(0)
        with cores.sleeping():
            assert os.sched_getaffinity(0) == mine


def test_what_somebody_else_says_of_a_thread_counts(others: list[Other], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "SECONDS_ON_A_CORE", 0.0)
    with cores.pinned():
        others.append(Other())
        os.sched_setaffinity(others[0].number, ALL)
        os.sched_setaffinity(0, ALL)
        with cores.unpinned():
            assert os.sched_getaffinity(0) == ALL
        assert os.sched_getaffinity(0) == ALL
        with cores.sleeping():
            pass
        assert [os.sched_getaffinity(0), others[0].cores] == [ALL, ALL]


@pytest.mark.parametrize("lacking", ["the call", "all calls", "the right"])
def test_where_the_system_does_not_let_threads_stay_they_go_on(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    if lacking == "the call":
        monkeypatch.setattr(cores, "_LIBC", object())
    elif lacking == "all calls":
        monkeypatch.delattr(os, "sched_setaffinity")
    else:
        monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with cores.pinned(), cores.unpinned(), cores.sleeping():
        assert os.sched_getaffinity(0) == ALL


def test_the_front_is_on_one_core_and_its_worker_on_all(tmp_path: Path) -> None:
    daemon = FastDaemon(tmp_path)
    daemon.environment["OPENBLAS_NUM_THREADS"] = "1"  # numpy's own threads begin before any of ours, and sleep
    try:
        daemon.start()
        daemon.drop("inbox/1-text", "cat.txt", "a cat")
        wait_until(lambda: list((daemon.spool / "hold/2-diffuse").glob("*.tiff")), what="the noise")
        pinned = [where for where in of_threads(daemon.pid()) if len(where) == 1]
        assert len(set.union(*pinned)) == 1
        # One has all cores: it listens to what is written past the log, from before the front is pinned.
        assert len(of_threads(daemon.pid())) == len(pinned) + 1
        assert [os.sched_getaffinity(worker) for worker in children_of(daemon.pid())] == [ALL]
    finally:
        daemon.close()


def of_threads(process: int) -> list[set[int]]:
    """The cores of each thread of a process."""
    return [os.sched_getaffinity(int(thread)) for thread in os.listdir(f"/proc/{process}/task")]


def children_of(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
