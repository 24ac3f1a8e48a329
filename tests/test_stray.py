"""Words that would pass the log by get into it: a line of the log each, bounded, and nothing in it but what can be seen."""

import logging
import os
import subprocess
import sys

import pytest

from daemon.stray import LINES, LONGEST_BYTES, WINDOW_SECONDS, Lines, overhear
from tests.house import REPOSITORY
from tests.running_daemon import without_times

CATCHING = """
import logging, sys, threading, warnings
from daemon.service.terminal import log_to_stderr
log_to_stderr(False)
class Deleted:
    def __del__(self) -> None:
        raise RuntimeError("deleted\\n<0>forged")
def fail() -> None:
    raise RuntimeError("in a thread\\n<0>forged")
thread = threading.Thread(target=fail, name="doomed")
thread.start()
thread.join()
ended = threading.Thread(target=sys.exit)
ended.start()
ended.join()
Deleted()
warnings.warn("beware\\n<0>forged")
raise RuntimeError("in the main thread\\n<0>forged")
"""


def heard(*chunks: bytes, caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = Lines("worker 1", clock=lambda: 0.0)
    for chunk in chunks:
        lines.take(chunk)
    lines.end()
    return caplog.messages


def test_what_a_child_writes_is_a_line_each_however_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    said = heard(b"one\ntw", b"o\r\n", b"\n   \n", b"three", caplog=caplog)
    assert said == ["worker 1: one", "worker 1: two", "worker 1: three"]
    assert {(record.name, record.levelno) for record in caplog.records} == {("daemon.stray", logging.WARNING)}


def test_hostile_bytes_of_a_child_are_shown_and_do_nothing(caplog: pytest.LogCaptureFixture) -> None:
    said = heard("a\x1b[2J\x85\u2028\u202eb".encode() + b"\xff\0\n", caplog=caplog)
    assert said == ["worker 1: a\\x1b[2J\\x85\\u2028\\u202eb\\xff\\x00"]


def test_of_a_bar_that_is_drawn_anew_the_last_is_said(caplog: pytest.LogCaptureFixture) -> None:
    bar = [b"\r %d%%|###| %d/100" % (percent, percent) for percent in range(101)]
    assert heard(*bar, b"\n", *bar, caplog=caplog) == ["worker 1:  100%|###| 100/100"] * 2


def test_a_line_without_an_end_takes_no_memory_and_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines("worker 1")
    for _ in range(1000):
        lines.take(b"x" * 10_000)
    assert len(lines._rest) <= 2 * LONGEST_BYTES
    lines.end()
    assert caplog.messages == ["worker 1: " + "x" * LONGEST_BYTES + "..."]


def test_who_writes_without_an_end_is_counted_and_heard_again_later(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    lines = Lines("worker 1", clock=lambda: now)
    lines.take(b"again\n" * (LINES + 7))
    now += WINDOW_SECONDS
    lines.take(b"and later\n")
    assert caplog.messages[LINES:] == ["worker 1: 7 more lines, which are left out", "worker 1: and later"]


def test_a_child_that_nobody_else_listens_to_is_heard_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    words = [sys.executable, "-c", "import os; os.write(1, b'out\\n'); os.write(2, b'x' * 3_000_000 + b'\\nlast')"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    overhear(child.stdout, "child").join(60)
    assert child.wait(60) == 0
    assert (caplog.messages[0], caplog.messages[-1], len(caplog.messages)) == ("child: out", "child: last", 3)
    assert child.stdout.closed


def test_what_nobody_catches_goes_through_the_formatter() -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run([sys.executable, "-c", CATCHING], env=environment, capture_output=True, text=True, timeout=60)
    records = [line for line in without_times(ended.stderr).splitlines() if not line.startswith("    ")]
    assert records == [
        "internal error in tiffsd, the thread 'doomed' ends: RuntimeError: in a thread\\n<0>forged",
        "internal error in tiffsd, where nobody could be told: RuntimeError: deleted\\n<0>forged",
        "UserWarning: beware\\n<0>forged (<string>:17)",
        "internal error in tiffsd, which ends: RuntimeError: in the main thread\\n<0>forged",
    ]
    assert ended.stderr.count("    Traceback (most recent call last):") == 3
    assert ended.returncode == 1
