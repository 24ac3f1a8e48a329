"""What a worker logs is in the front's log: from any thread, with its level and traceback, and at no risk to the worker."""

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from daemon.compute.local import LocalWorkers
from daemon.compute.pipe import ArrayPipe
from daemon.compute.worker_log import LONGEST, Outgoing, PipeHandler, relay
from tests import tiny
from tests.compute.test_local import SECONDS, settings
from tests.house import REPOSITORY

LEVELS = """
import logging, sys
from daemon.compute.worker_log import Outgoing, log_to
log_to(Outgoing(int(sys.argv[1])), int(sys.argv[2]))
for name in ("daemon.models.registry", "library"):
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger(name).log(level, "said")
"""


@pytest.fixture
def ends() -> Iterator[tuple[ArrayPipe, Outgoing]]:
    ours, theirs = socket.socketpair()
    front, outgoing = ArrayPipe(ours.detach()), Outgoing(theirs.detach())
    yield front, outgoing
    front.close()
    outgoing.close()


@pytest.fixture
def logger(ends: tuple[ArrayPipe, Outgoing]) -> Iterator[logging.Logger]:
    """One whose records go through the pipe only."""
    logger, handler = logging.Logger("a.worker"), PipeHandler(ends[1])
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_a_model_that_is_loaded_is_told_of_in_the_front(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tiny.stable_diffusion(tmp_path / "tiny")
    caplog.set_level(logging.INFO)
    local, begun = LocalWorkers(threads=1), list[bool]()
    try:
        local.submit("text", {}, settings(folder), on_begin=lambda: begun.append(True)).future.result(SECONDS)
    finally:
        local.close()
    told = [record for record in caplog.records if record.name == "daemon.models.registry"]
    assert [record.getMessage().partition(" in ")[0] for record in told] == [
        "loading the text_encoder of tiny",
        "loaded the text_encoder of tiny",
    ]
    assert begun, "that a worker begins to compute is told at least once"


@pytest.mark.parametrize(
    ("level", "daemons", "libraries"),
    [(logging.DEBUG, [10, 20, 30], [20, 30]), (logging.INFO, [20, 30], [30]), (logging.ERROR, [], [])],
)
def test_a_worker_sends_what_the_front_would_say(level: int, daemons: list[int], libraries: list[int]) -> None:
    ours, theirs = socket.socketpair()
    front = ArrayPipe(ours.detach())
    words = [sys.executable, "-c", LEVELS, str(theirs.fileno()), str(level)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(words, pass_fds=[theirs.fileno()], env=environment, check=True, timeout=60)
    theirs.close()
    said = []
    with suppress(EOFError):
        while True:
            said.append(front.recv()[1:3])
    front.close()
    assert said == [("daemon.models.registry", level) for level in daemons] + [("library", level) for level in libraries]


def test_a_record_crosses_as_text_and_is_bounded(
    ends: tuple[ArrayPipe, Outgoing], logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise RuntimeError("no cat")
    except RuntimeError:
        logger.exception("%s%s", threading.Lock(), "x" * 2 * LONGEST)  # which cannot be pickled
    kind, name, level, message, trace = ends[0].recv()
    assert (kind, name, level, len(message)) == ("log", "a.worker", logging.ERROR, LONGEST)
    relay(name, level, "100% of %s", trace)
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("a.worker", logging.ERROR, "100% of %s")
    lines = logging.Formatter().format(record).splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("100% of %s", "Traceback (most recent call last):", "RuntimeError: no cat")


def test_what_the_front_does_not_log_is_not_handled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    relay("a.worker", logging.DEBUG, "said", None)
    assert caplog.records == []


def test_a_worker_whose_pipe_is_gone_logs_into_nothing(
    ends: tuple[ArrayPipe, Outgoing], logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    ends[0].close()
    for _ in range(3):
        logger.warning("nobody hears it")
    with pytest.raises(ConnectionError):
        ends[1].send(("done", 1))
    assert capsys.readouterr() == ("", "")


def test_records_of_many_threads_and_answers_between_them_all_arrive_whole(
    ends: tuple[ArrayPipe, Outgoing], logger: logging.Logger
) -> None:
    def talk(who: int) -> None:
        for number in range(200):
            logger.warning("%d %d", who, number)

    heard: list[Any] = []
    listener = threading.Thread(target=lambda: heard.extend(ends[0].recv() for _ in range(4 * 200 + 50)))
    threads = [threading.Thread(target=talk, args=[who]) for who in range(4)]
    for thread in (listener, *threads):
        thread.start()
    for number in range(50):
        ends[1].send(("done", number, b"x" * 100_000))
    for thread in (*threads, listener):
        thread.join(SECONDS)
    assert [answer[1] for answer in heard if answer[0] == "done"] == list(range(50))
    for who in range(4):
        assert [message[3] for message in heard if message[0] == "log" and message[3].startswith(f"{who} ")] == [
            f"{who} {number}" for number in range(200)
        ]


class Talkative:
    """Logs while it is pickled, as what is collected in the middle of a send may."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __reduce__(self) -> tuple[Any, ...]:
        self._logger.warning("in the middle")
        return str, ("an answer",)


def test_a_record_in_the_middle_of_an_answer_waits_for_its_end(ends: tuple[ArrayPipe, Outgoing], logger: logging.Logger) -> None:
    sent = threading.Thread(target=ends[1].send, args=[Talkative(logger)], daemon=True)
    sent.start()
    sent.join(SECONDS)
    assert ends[0].recv() == "an answer"
    assert ends[0].recv()[3] == "in the middle"
