"""The lines of the log: one for each record, whoever chose the words in it."""

import logging
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.service.terminal import INDENT, LineFormatter, LineHandler, PriorityFormatter
from tests.house import REPOSITORY

HOSTILE = "cat\n<0>forged\r\x1b[2Jforged\x85forged\u2028forged\u202e\ud800"
SEEN = "cat\\n<0>forged\\r\\x1b[2Jforged\\x85forged\\u2028forged\\u202e\\ud800"


def record(message: str, *words: object, level: int = logging.ERROR, trace: bool = False) -> logging.LogRecord:
    return logging.LogRecord("daemon", level, __file__, 1, message, words, sys.exc_info() if trace else None)


@pytest.mark.parametrize(("level", "priority"), [(logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)])
def test_a_record_is_one_line_whatever_is_in_it(level: int, priority: int) -> None:
    hostile = record("text %s: failed: %s", HOSTILE, HOSTILE, level=level)
    assert LineFormatter().format(hostile) == f"text {SEEN}: failed: {SEEN}"
    assert PriorityFormatter().format(hostile) == f"<{priority}>text {SEEN}: failed: {SEEN}"


@pytest.mark.parametrize(("formatter", "prefix"), [(LineFormatter(), ""), (PriorityFormatter(), "<3>")])
def test_the_lines_of_a_traceback_are_indented(formatter: logging.Formatter, prefix: str) -> None:
    try:
        raise RuntimeError(HOSTILE)
    except RuntimeError:
        first, *trace = formatter.format(record("text %s: internal error in tiffsd", "cat.txt", trace=True)).split("\n")
    assert first == f"{prefix}text cat.txt: internal error in tiffsd"
    assert trace[0] == f"{prefix}{INDENT}Traceback (most recent call last):"
    assert trace[-1].startswith(f"{prefix}{INDENT}<0>forged\\r\\x1b[2Jforged")
    assert all(line.startswith(prefix + INDENT) and line.isprintable() for line in trace)


def test_a_record_that_cannot_be_formatted_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LineHandler()
    handler.setFormatter(PriorityFormatter())
    handler.handle(record("%d steps\n", "many"))
    assert capsys.readouterr().err == "<3>internal error in tiffsd: daemon logs '%d steps\\n' with what does not fit\n"


def test_a_log_that_nobody_reads_any_more_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as stream:
        handler = LineHandler(stream)
        handler.handle(record("a %s", "cat"))
        with suppress(BrokenPipeError):
            stream.close()
    assert capsys.readouterr() == ("", "")


HEARD = """
import logging
from daemon.service.terminal import log_to_stderr
log_to_stderr(False)
logging.getLogger("daemon").info("a cat")
"""


def heard(stream: Path, **surroundings: str) -> str:
    """What a program logs whose stderr is that file."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **surroundings}
    with stream.open("w") as err:
        subprocess.run([sys.executable, "-c", HEARD], env=environment, stderr=err, check=True, timeout=60)
    return stream.read_text()


def test_a_line_has_its_time_where_nobody_else_notes_it(tmp_path: Path) -> None:
    said = heard(tmp_path / "log.txt", JOURNAL_STREAM="1:2")  # inherited, of a program that writes elsewhere
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d a cat\n", said)


def test_journald_notes_the_time_itself(tmp_path: Path) -> None:
    stream = tmp_path / "journal"
    stream.touch()
    found = stream.stat()
    assert heard(stream, JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}") == "<6>a cat\n"
