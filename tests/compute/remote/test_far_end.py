"""The far end for real: `tiffsd worker` as a process with pipes, and a worker with the embedded model behind it."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from daemon.compute.local import LocalWorkers
from daemon.compute.process import WorkerProcess
from daemon.compute.remote.far_end import FarEnd, Node
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.framing import FramedPipe
from daemon.compute.remote.identity import portable
from daemon.compute.remote.messages import PROTOCOL, check_from_worker
from daemon.compute.remote.versions import versions
from daemon.models.stage_settings import StageSettings
from daemon.settings.resources import resource
from tests.compute.remote.test_framing import same
from tests.conftest import wait_until
from tests.house import REPOSITORY

SECONDS = 100.0
CONFIG = "models:\n  demo:\n    path: builtin\ncompute:\n  device: cpu\n"
HELLO = {
    "protocol": PROTOCOL,
    "versions": versions(),
    "heartbeat_seconds": 3600,
    "silence_seconds": 3600,
    "threads": 1,
    "level": 30,
}
OWN_SETTINGS: dict[str, Any] = {
    "model": {"name": "demo", "path": str(resource("models/demo")), "dtype": "float32", "vae": None, "network": False},
    "prompt": "a red house",
    "negative_prompt": "",
    "seeds": [1],
    "seed": 1,
    "width": 64,
    "height": 64,
    "steps": 2,
    "guidance_scale": 1.0,
    "scheduler": "ddim",
    "state": "noise",
}
NOISY = """
import os, sys

def noise(event, arguments):
    if event == "import" and arguments[0] in ("daemon.compute.remote.shelf", "torch"):
        print("a library says hello", flush=True)
        os.write(1, b"and so does its C code\\n")

sys.addaudithook(noise)
"""


class Started:
    """A far end that was started, and the daemon's side of its pipes."""

    def __init__(self, folder: Path, **environment: str) -> None:
        (folder / "config.yaml").write_text(CONFIG)
        self.folder, self.stderr = folder, folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daemon", "worker", "-c", folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=REPOSITORY,
                env={**os.environ, "XDG_CACHE_HOME": str(folder), **environment},
                bufsize=0,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.pipe = FramedPipe(self.process.stdout.fileno(), self.process.stdin.fileno())
        self.pipe.patience = SECONDS

    def greet(self, **more: Any) -> dict[str, Any]:
        self.pipe.send(("hello", HELLO | more))
        greeting: dict[str, Any] = self.heard("hello")[1]
        return greeting

    def heard(self, *kinds: str) -> tuple[Any, ...]:
        """The next message of one of these kinds; what is none of a worker's ends the test."""
        while (message := check_from_worker(self.pipe.recv()))[0] not in kinds:
            assert message[0] not in ("failed", "died", "broken", "refused"), message
        return message

    def run(self, stage: str, *calls: tuple[int, dict[str, Any], dict[str, Any]]) -> None:
        self.pipe.send(("run", stage, calls))

    def compute_for_long(self, latents: dict[str, Any]) -> None:
        """Begin a call that takes longer than any test, and wait until it is in the middle."""
        self.run("diffuse", (9, latents, travelling(steps=900)))
        while self.heard("progress")[2] < 3:
            pass

    def stop_computing(self) -> None:
        """Cancel what was begun to take long."""
        self.pipe.send(("cancel", 9))
        while (message := check_from_worker(self.pipe.recv()))[0] != "failed":
            pass
        assert message[1:3] == (9, "Cancelled")

    def kill(self) -> None:
        self.process.kill()
        with suppress(BrokenPipeError), self.process:
            pass

    def workers(self) -> list[int]:
        return children(self.process.pid)

    def read_to_the_end(self) -> None:
        """Read messages until there are no more; what is none of a worker's ends the test."""
        with suppress(EOFError):
            while True:
                check_from_worker(self.pipe.recv())

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def ended(self) -> int:
        """Wait for its end; nothing of it is left."""
        workers = self.workers()
        code = self.process.wait(SECONDS)
        wait_until(lambda: not any(map(is_there, workers)), what="the end of its worker")
        return code

    def words(self) -> str:
        return self.stderr.read_text()


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def travelling(**more: Any) -> dict[str, Any]:
    return dict(portable({**OWN_SETTINGS, **more}, Fingerprints()))


@contextmanager
def beating(far_end: Started) -> Iterator[None]:
    """Sign of life for as long as this lasts."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.1):
            far_end.pipe.send(("beat",))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """One for all tests that do not end it, since a worker takes its time to start; it was greeted."""
    far_end = Started(tmp_path_factory.mktemp("serving"))
    far_end.greet()
    yield far_end
    far_end.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def begin(**environment: str) -> Started:
        started.append(Started(tmp_path, **environment))
        return started[-1]

    yield begin
    for far_end in started:
        far_end.kill()


@pytest.fixture
def far_end(start: Callable[..., Started]) -> Started:
    return start()


@pytest.fixture(scope="module")
def local() -> Iterator[LocalWorkers]:
    engine = LocalWorkers(threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def noise(local: LocalWorkers) -> dict[str, Any]:
    made = local.submit("text", {}, OWN_SETTINGS).future.result(SECONDS)[0]
    return {"latents": made["latents"][0], "prompt_embeds": made["prompt_embeds"]}


def without_times(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if name not in ("seconds", "loading_seconds")}


def test_it_says_what_it_is(far_end: Started) -> None:
    greeting = far_end.greet()
    assert greeting["versions"] == versions()
    assert (greeting["device"], greeting["models"], greeting["fetches"]) == ("cpu", ["demo"], False)
    assert greeting["host"]
    assert greeting["processor"]


def test_it_loads_no_torch_itself_and_starts_no_worker_before_there_is_a_call(far_end: Started) -> None:
    far_end.greet()
    assert "torch" not in Path(f"/proc/{far_end.process.pid}/maps").read_text()
    assert far_end.workers() == []


def test_a_call_gives_the_bits_of_a_worker_here(serving: Started, local: LocalWorkers, noise: dict[str, Any]) -> None:
    serving.run("text", (1, {}, travelling()))
    serving.run("diffuse", (2, noise, travelling(preview_every=1)))
    done = [serving.heard("done") for _ in range(2)]
    expected = [
        local.submit(stage, arrays, {**OWN_SETTINGS, **more}).future.result(SECONDS)
        for stage, arrays, more in (("text", {}, {}), ("diffuse", noise, {"preview_every": 1}))
    ]
    assert [message[1] for message in done] == [1, 2]
    for (_, _, arrays, facts), (expected_arrays, expected_facts) in zip(done, expected, strict=True):
        assert same(arrays, dict(expected_arrays))
        assert same(without_times(facts), without_times(dict(expected_facts)))
        assert facts["seconds"] > facts["loading_seconds"] > 0


def test_progress_and_estimates_come_on_the_way(serving: Started, noise: dict[str, Any]) -> None:
    serving.run("diffuse", (2, noise, travelling(steps=3, preview_every=1)))
    heard = [serving.heard("computing", "progress", "estimate", "done") for _ in range(3)]
    while heard[-1][0] != "done":
        heard.append(serving.heard("computing", "progress", "estimate", "done"))
    said = [message[0] for message in heard]
    assert said.count("estimate") == 2
    assert {"computing", "progress"} <= {*said}
    assert next(message for message in heard if message[0] == "estimate")[2].shape == heard[-1][2]["latents"].shape


def test_a_batch_is_computed_as_one(serving: Started, noise: dict[str, Any]) -> None:
    fast = travelling()
    fast["model"] = {**fast["model"], "fast": True}
    serving.run("diffuse", (2, noise, fast), (3, noise, fast))
    done = [serving.heard("done") for _ in range(2)]
    assert {message[1] for message in done} == {2, 3}
    assert all(", one of 2 in a batch" in message[3]["numbers"] for message in done)


def test_beats_are_answered_while_it_computes(serving: Started, noise: dict[str, Any]) -> None:
    serving.compute_for_long(noise)
    for _ in range(3):
        serving.pipe.send(("beat",))
        serving.heard("beat")
        serving.heard("progress")
    serving.stop_computing()


def test_it_beats_by_itself(far_end: Started) -> None:
    far_end.greet(heartbeat_seconds=0.05)
    assert [far_end.heard("beat") for _ in range(3)]


def test_a_call_is_cancelled_at_its_next_step_and_the_next_one_computed(serving: Started, noise: dict[str, Any]) -> None:
    serving.compute_for_long(noise)
    before = serving.workers()
    serving.stop_computing()
    serving.run("text", (10, {}, travelling()))
    assert serving.heard("done")[1] == 10
    assert serving.workers() == before


def test_the_end_of_the_connection_is_its_end_and_its_workers(far_end: Started, noise: dict[str, Any]) -> None:
    far_end.greet()
    far_end.compute_for_long(noise)
    assert len(far_end.workers()) == 1
    far_end.close_stdin()
    assert far_end.ended() == 0


def test_a_daemon_that_is_silent_is_its_end_and_its_workers(far_end: Started, noise: dict[str, Any]) -> None:
    far_end.greet(silence_seconds=3.0)
    with beating(far_end):
        far_end.compute_for_long(noise)
    assert len(far_end.workers()) == 1
    assert far_end.ended() == 0


def test_a_daemon_that_beats_keeps_it_alive(far_end: Started) -> None:
    silence = 3.0
    far_end.greet(silence_seconds=silence)
    until = time.monotonic() + 1.5 * silence
    while time.monotonic() < until:
        far_end.pipe.send(("beat",))
        far_end.heard("beat")
    assert far_end.process.poll() is None


@pytest.mark.thorough
@pytest.mark.slow
def test_a_daemon_that_neither_reads_nor_speaks_is_its_end_too(far_end: Started, noise: dict[str, Any]) -> None:
    far_end.greet(silence_seconds=3.0)
    with beating(far_end):
        far_end.run("diffuse", (9, noise, travelling(steps=900, preview_every=1)))
        far_end.heard("estimate")
    assert far_end.ended() == 0  # with a connection full of estimates that nobody takes


def test_it_ends_when_it_is_told_to(far_end: Started) -> None:
    far_end.greet()
    far_end.pipe.send(("end",))
    assert far_end.ended() == 0
    assert far_end.words() == ""


@pytest.mark.slow
def test_what_ends_it_by_force_ends_its_worker(far_end: Started, noise: dict[str, Any]) -> None:
    far_end.greet()
    far_end.compute_for_long(noise)
    workers = far_end.workers()
    far_end.process.kill()
    far_end.process.wait()
    wait_until(lambda: not any(map(is_there, workers)), what="the end of its worker")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"versions": versions() | {"torch": "0.4.1"}}, f"torch {versions()['torch']} there and 0.4.1 here"),
        ({"versions": {}}, "tiffsd"),
        ({"protocol": PROTOCOL + 1}, f"it speaks protocol {PROTOCOL}, and this daemon {PROTOCOL + 1}"),
    ],
    ids=["torch", "none", "protocol"],
)
def test_a_daemon_of_other_versions_is_refused_with_a_sentence(far_end: Started, more: dict[str, Any], sentence: str) -> None:
    far_end.pipe.send(("hello", HELLO | more))
    kind, said = far_end.pipe.recv()
    assert kind == "refused"
    assert sentence in said
    assert said.endswith("on both")
    assert far_end.ended() == 0


@pytest.mark.parametrize("words", [b"hello\n", b"TSD1" + b"\xff" * 60, b"\0" * 100], ids=["words", "a large one", "zeros"])
def test_what_is_no_daemon_ends_it_with_a_sentence(far_end: Started, words: bytes) -> None:
    assert far_end.process.stdin is not None
    far_end.process.stdin.write(words)
    assert far_end.ended() == 2
    assert far_end.words().startswith("tiffsd: what speaks to this worker is no daemon that it understands: expected ")
    assert far_end.words().count("\n") == 1


@pytest.mark.parametrize(
    "message", [("beat",), ("run", "text", [[1, {}, {"model": {}}]]), ("eval", "1")], ids=lambda message: message[0]
)
def test_who_does_not_say_hello_first_is_no_daemon(far_end: Started, message: Sequence[Any]) -> None:
    far_end.pipe.send(message)
    assert far_end.ended() == 2
    assert "expected" in far_end.words()


@pytest.mark.thorough
@pytest.mark.slow
def test_what_is_no_message_ends_it_in_the_middle_too(far_end: Started, noise: dict[str, Any]) -> None:
    far_end.greet()
    far_end.compute_for_long(noise)
    far_end.pipe.send(("run", "os", [[1, {}, travelling()]]))
    assert far_end.ended() == 2
    assert "the name of a stage" in far_end.words()


def test_a_second_hello_is_no_message(far_end: Started) -> None:
    far_end.greet()
    far_end.pipe.send(("hello", HELLO))
    assert far_end.ended() == 2


@pytest.mark.thorough
def test_nothing_but_messages_goes_where_they_go_whatever_prints(start: Callable[..., Started], tmp_path: Path) -> None:
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy" / "sitecustomize.py").write_text(NOISY)
    paths = [str(tmp_path / "noisy"), str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    far_end = start(PYTHONPATH=os.pathsep.join(paths))
    far_end.greet()
    far_end.run("text", (1, {}, travelling()))
    logged = []
    while (message := far_end.heard("log", "done"))[0] != "done":
        logged.append(message[3])
    far_end.pipe.send(("end",))
    assert far_end.ended() == 0
    far_end.read_to_the_end()
    assert far_end.words() == "a library says hello\nand so does its C code\n"
    assert any("a library says hello" in words for words in logged), "what the worker says comes as its log"


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_is_told_and_ends_it(far_end: Started, noise: dict[str, Any]) -> None:
    far_end.greet()
    far_end.compute_for_long(noise)
    os.kill(far_end.workers()[0], signal.SIGKILL)
    while (message := check_from_worker(far_end.pipe.recv()))[0] != "died":
        pass
    assert "was killed by signal 9 in the middle of the job" in message[1]
    assert far_end.ended() == 0


def test_a_path_of_the_daemon_names_nothing_here(serving: Started) -> None:
    serving.run("text", (1, {}, OWN_SETTINGS))
    assert check_from_worker(serving.pipe.recv())[:3] == ("failed", 1, "ModelMissing")


def test_a_model_that_is_not_here_is_told_and_the_other_calls_are_computed(serving: Started) -> None:
    strange = travelling()
    reference = {**strange["model"]["path"]}
    strange["model"] = {**strange["model"], "path": changed(reference)}
    serving.run("text", (1, {}, strange), (2, {}, travelling()), (3, {}, strange))
    kind, numbers, references = serving.heard("lacking")
    assert (kind, numbers, references) == ("lacking", [1, 3], [strange["model"]["path"]])
    assert serving.heard("done")[1] == 2


def changed(reference: dict[str, Any]) -> dict[str, Any]:
    """A reference to what is nowhere: each digest of another file."""

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: other(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [other(inner) for inner in value]
        return value[::-1] if isinstance(value, str) and len(value) == 64 else value

    result: dict[str, Any] = other(reference)
    return result


def test_settings_that_are_none_fail_their_call_and_no_other(serving: Started) -> None:
    serving.run("text", (1, {}, {"model": {"name": "demo"}}), (2, {}, {**travelling(), "loras": 5}), (3, {}, {"model": {}, "x": 1}))
    failed = [check_from_worker(serving.pipe.recv()) for _ in range(3)]
    assert {message[:2] for message in failed} == {("failed", 1), ("failed", 2), ("failed", 3)}
    serving.run("text", (4, {}, travelling()))
    assert serving.heard("done")[1] == 4


def test_an_array_that_a_stage_cannot_use_fails_its_call(serving: Started) -> None:
    serving.run("decode", (1, {"latents": np.zeros((1, 2), np.float32)}, travelling()))
    while (message := check_from_worker(serving.pipe.recv()))[0] != "failed":
        pass
    assert message[1] == 1


@pytest.fixture
def odd() -> Iterator[tuple[FramedPipe, list[WorkerProcess]]]:
    """The daemon's side of a far end in this process, and its workers, which answer at once and oddly."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level  # a far end takes the log of its process
    (read, daemon_write), (daemon_read, write) = os.pipe(), os.pipe()
    here, spawned = FramedPipe(daemon_read, daemon_write), list[WorkerProcess]()
    here.patience = SECONDS

    def spawn(threads: int) -> WorkerProcess:
        spawned.append(WorkerProcess("tests.compute.remote.odd_worker", threads=threads, budget_bytes=0))
        return spawned[-1]

    far_end = FarEnd(FramedPipe(read, write), node=Node("cpu"), spawn=spawn, resolve=lambda said: cast("StageSettings", said))
    serving = threading.Thread(target=far_end.serve)
    serving.start()
    here.send(("hello", HELLO))
    assert here.recv()[0] == "hello"
    yield here, spawned
    here.send(("end",))
    serving.join(SECONDS)
    assert not serving.is_alive()
    here.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_worker_that_is_killed_while_it_is_idle_is_replaced(odd: tuple[FramedPipe, list[WorkerProcess]]) -> None:
    here, spawned = odd
    for times in (1, 2):
        here.send(("run", "text", [(2, {}, OWN_SETTINGS)]))
        assert here.recv()[:2] == ("done", 2)
        assert len(spawned) == times
        pid = spawned[-1].pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), what="that the end of the worker is seen")


def test_a_result_that_cannot_travel_fails_its_call_and_no_other(odd: tuple[FramedPipe, list[WorkerProcess]]) -> None:
    here, spawned = odd
    here.send(("run", "text", [(number, {}, OWN_SETTINGS) for number in range(3)]))
    answers = [check_from_worker(here.recv()) for _ in range(3)]
    assert [answer[:3] for answer in answers[:2]] == [("failed", 0, "ValueError"), ("failed", 1, "ValueError")]
    assert all("cannot be sent to another machine" in answer[3] for answer in answers[:2])
    assert same(answers[2], ("done", 2, {"latents": np.zeros(3, np.float32)}, {"step": 3}))
    assert len(spawned) == 1
