"""Workers in several places: what waits for which, what a lost one costs, and what is said of it. Far ends are the real ones."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.compute.protocol import EngineOptions
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.identity import portable
from daemon.compute.remote.patience import Patience
from daemon.compute.remote.places import WorkersInPlaces
from daemon.compute.remote.sending import Sender
from daemon.compute.remote.ssh import Ssh
from daemon.errors import Cancelled, ClusterLost, ModelMissing, Stopped, TooLong, WorkerDied
from tests.compute.remote.boxes import CONFIG, Boxes, children_of, is_gone, settings, until_state, worker
from tests.conftest import wait_until
from tests.house import REPOSITORY
from tests.real.fast_worker import noise_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SECONDS = 150
QUICK = Patience(greet=90, heartbeat=0.3, silence=6, far_silence=60, first_wait=0.1, longest_wait=0.4, rare_wait=0.4, lost=20)
Start = Callable[..., WorkersInPlaces]


@pytest.fixture(autouse=True)
def _acting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.compute.local.WORKER", "tests.compute.remote.acting_worker")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is counted of models once, is counted once for all tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def boxes(tmp_path: Path, cache: Path) -> Boxes:
    boxes = Boxes(tmp_path)
    (tmp_path / "cache").symlink_to(cache)
    return boxes


@pytest.fixture
def start(boxes: Boxes, cache: Path) -> Iterator[Start]:
    engines: list[WorkersInPlaces] = []
    fingerprints = Fingerprints(cache / "front.json")
    travels, ssh = partial(portable, fingerprints=fingerprints), Ssh(program=str(boxes.ssh))

    def begin(*places: str, patience: Patience = QUICK, **options: Any) -> WorkersInPlaces:
        chosen = EngineOptions(places=places, threads=1, **options)
        engines.append(WorkersInPlaces(chosen, ssh=ssh, portable=travels, fetch=Sender(ssh, fingerprints).send, patience=patience))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.close()


def submit(engine: WorkersInPlaces, *prompts: str, **more: Any) -> list[Any]:
    return [engine.submit("text", {}, settings(prompt), **more) for prompt in prompts]


def made(calls: Sequence[Any]) -> list[np.ndarray]:
    return [call.future.result(SECONDS)[0]["latents"] for call in calls]


def is_made(calls: Sequence[Any], *prompts: str) -> bool:
    return all(np.array_equal(found, noise_of(prompt)) for found, prompt in zip(made(calls), prompts, strict=True))


def gate(tmp_path: Path, name: str) -> tuple[str, Path]:
    """A prompt of a call that goes on when the file is there."""
    path = tmp_path / name
    return f"{name} until {path}", path


def begun(engine: WorkersInPlaces, prompt: str, **more: Any) -> Any:
    """A call that has begun to compute."""
    event = threading.Event()
    call = engine.submit("text", {}, settings(prompt), on_begin=event.set, **more)
    assert event.wait(SECONDS)
    return call


def test_six_calls_are_shared_and_make_the_same_wherever_they_are_computed(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("local", "ssh://box")
    kept, file = gate(boxes.folder, "kept")
    first = begun(engine, kept)
    behind = submit(engine, *[f"cat {number}" for number in range(6)])
    wait_until(
        lambda: sum(call.future.done() for call in behind) >= 5, seconds=SECONDS, what="one may wait here, and the others do not"
    )
    assert worker(engine)["state"] == "ready"
    file.touch()
    assert is_made([first, *behind], kept, *[f"cat {number}" for number in range(6)])


def test_a_single_call_starts_but_one_worker(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("local", "ssh://box")
    for _ in range(3):
        assert is_made(submit(engine, "cat"), "cat")
    assert (worker(engine)["state"], worker(engine, "local")["state"]) == ("idle", "ready")


def test_progress_estimates_and_batches_come_from_there(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://ann@box:2222", batch=2)
    steps: list[tuple[int, int]] = []
    estimates: list[np.ndarray] = []
    call = engine.submit(
        "text",
        {"more": np.eye(3, dtype=np.float16)},
        settings("steps"),
        on_progress=lambda *at: steps.append(at),
        on_estimate=estimates.append,
    )
    arrays, facts = call.future.result(SECONDS)
    assert np.array_equal(arrays["more"], np.eye(3, dtype=np.float16))
    assert arrays["latents"].flags.writeable
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert [np.array_equal(one, noise_of("steps") * np.float32(n)) for n, one in enumerate(estimates, 1)] == [True] * 3
    assert facts["state"] == "final"
    kept, file = gate(boxes.folder, "kept")
    first = begun(engine, kept)
    both = submit(engine, "cat", "dog", key="k")
    file.touch()
    assert is_made([first, *both], kept, "cat", "dog")
    assert [call.future.result()[1]["numbers"] for call in both] == ["2 together"] * 2


def test_a_call_that_is_cancelled_there_ends_and_the_worker_goes_on(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box")
    kept, _ = gate(boxes.folder, "kept")
    call = begun(engine, kept)
    behind = submit(engine, "cat")
    pid = worker(engine)["pid"]
    call.cancel(Cancelled("its file was deleted"))
    with pytest.raises(Cancelled, match="was deleted"):
        call.future.result(SECONDS)
    assert is_made(behind, "cat")
    assert worker(engine)["pid"] == pid


def test_a_far_end_that_is_killed_costs_nothing_and_its_calls_go_on_elsewhere(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box", "local")
    here, there = gate(boxes.folder, "here"), gate(boxes.folder, "there")
    one, other = begun(engine, here[0]), begun(engine, there[0])
    ends: list[Any] = []
    for call in (one, other):
        call.future.add_done_callback(ends.append)
    boxes.take()
    os.kill(worker(engine)["pid"], signal.SIGKILL)
    away = until_state(engine, "away")
    assert away["lost_since"] <= time.time()
    assert "No route to host" in wait_until(lambda: "No route" in worker(engine)["reason"] and worker(engine)["reason"])
    assert (away["alive"], away["busy"]) == (False, False)
    for _, file in (here, there):
        file.touch()
    assert is_made([one, other], here[0], there[0])
    assert len(ends) == 2, "each ended once"


def test_a_worker_process_that_dies_there_is_counted_once_and_the_machine_is_not_away(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box")
    bad = submit(engine, "dies", job="bad")[0]
    behind = submit(engine, "cat")
    with pytest.raises(WorkerDied, match="on box: the worker process was killed by signal 9 in the middle of the job"):
        bad.future.result(SECONDS)
    assert is_made(behind, "cat")
    assert (worker(engine)["state"], worker(engine)["lost_since"]) == ("ready", None)


def test_fresh_workers_that_end_there_at_different_files_are_the_fault_of_the_machine(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box")
    ends = [submit(engine, "dies", job=job)[0].future.exception(SECONDS) for job in ("one", "one", "other")]
    assert [type(end).__name__ for end in ends] == ["WorkerDied", "WorkerDied", "WorkersDie"]


def test_a_far_end_that_hangs_is_noticed_and_its_call_goes_on_elsewhere(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box", "ssh://other")
    kept, file = gate(boxes.folder, "kept")
    until = begun_at(engine, "box", kept)
    boxes.put("other")
    boxes.take()
    os.kill(worker(engine)["pid"], signal.SIGSTOP)
    stopped = time.monotonic()
    until_state(engine, "away")
    assert time.monotonic() - stopped < QUICK.silence + 10
    file.touch()
    assert is_made([until], kept)
    assert worker(engine, "other")["state"] == "ready"


def begun_at(engine: WorkersInPlaces, node: str, prompt: str) -> Any:
    call = begun(engine, prompt)
    assert worker(engine, node)["busy"]
    return call


def test_silence_of_fifteen_seconds_is_never_borne() -> None:
    patience = Patience()
    assert patience.silence + patience.heartbeat <= 15
    assert (patience.far_silence, patience.lost) == (30, 20)
    waits = [patience.wait_after(failures, wanted=True) for failures in range(8)]
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]
    assert patience.wait_after(1000, wanted=True) == 30
    assert patience.wait_after(1000, wanted=False) == 60


def test_a_machine_that_is_away_at_first_computes_when_it_has_come(boxes: Boxes, start: Start) -> None:
    engine = start("ssh://box")
    calls = submit(engine, "cat", "dog")
    until_state(engine, "away")
    boxes.put()
    assert is_made(calls, "cat", "dog")
    assert (worker(engine)["state"], worker(engine)["lost_since"], worker(engine)["reason"]) == ("ready", None, None)


def test_calls_for_which_no_machine_is_reached_go_back_with_the_reason(start: Start) -> None:
    engine = start("ssh://box", "ssh://other", "ssh://box")
    call = submit(engine, "cat")[0]
    until_state(engine, "away")
    until_state(engine, "away", "other")
    engine.tick(1000.0)
    engine.tick(1019.9)
    assert not call.future.done()
    engine.tick(1020.0)
    with pytest.raises(ClusterLost) as lost:
        call.future.result(SECONDS)
    told = str(lost.value)
    assert told.startswith("no machine that computes is reached: box since 20")
    assert told.count("ssh: connect to host box port 22: No route to host") == 1, "each machine is named once"
    assert "host other" in told
    assert engine.describe()["queued"] == 0


def test_while_this_machine_computes_no_call_is_given_back(boxes: Boxes, start: Start) -> None:
    engine = start("local", "ssh://box")
    kept, file = gate(boxes.folder, "kept")
    calls = [begun(engine, kept), *submit(engine, "cat", "dog", "bird")]
    until_state(engine, "away")
    engine.tick(0.0)
    engine.tick(1000.0)
    file.touch()
    assert is_made(calls, kept, "cat", "dog", "bird")


LIARS = {
    "garbage": ("head -c 100000 /dev/zero | tr '\\0' 'x'; sleep 100", "expected a message, which begins with b'TSD1'"),
    "words": ("echo Welcome to box; sleep 100", "expected a message"),
    "nothing": ("sleep 1000", "nothing was heard for 3 s|did not greet within 3 s"),
    "trickle": ("while echo -n TSD1; do sleep 0.2; done", "did not greet within 3 s|expected the head"),
    "large": ("printf 'TSD1\\377\\377\\377\\177\\0\\0\\0\\0\\0\\0\\0\\0'; sleep 100", "expected the head of a message, of at most"),
    "arrays": ("printf 'TSD1\\020\\0\\0\\0\\377\\377\\377\\377\\0\\0\\0\\0'; cat /dev/zero", "expected arrays of at most 0 bytes"),
    "unknown": ("exit 127", "tiffsd is not found there"),
    "stranger": ("echo 'Host key verification failed.' >&2; exit 255", "Host key verification failed."),
    "mute": ("exit 3", "ssh ended with code 3"),
}


@pytest.mark.parametrize("host", LIARS)
def test_what_is_no_far_end_is_away_with_the_reason_and_others_compute(boxes: Boxes, start: Start, host: str) -> None:
    script, words = LIARS[host]
    boxes.put(host, script)
    engine = start("local", f"ssh://{host}", patience=Patience(greet=3, first_wait=1, longest_wait=100))
    kept, file = gate(boxes.folder, "kept")
    calls = [begun(engine, kept), *submit(engine, "cat", "dog")]
    told = until_state(engine, "away", host)
    assert any(part in told["reason"] for part in words.split("|")), told["reason"]
    file.touch()
    assert is_made(calls, kept, "cat", "dog")


AFTER_GREETING = """exec '{python}' -c '
from daemon.compute.remote.framing import FramedPipe
from daemon.compute.remote.versions import versions
pipe = FramedPipe(0, 1)
pipe.recv()
told = {{"host": "box", "device": "cpu", "processor": "none", "fetches": False, "models": []}}
pipe.send(("hello", {{"protocol": 1, "versions": versions(), **told}}))
while (message := pipe.recv())[0] != "run":
    pass
number = message[2][0][0]
pipe.send({lie})
while True:
    pipe.recv()
    pipe.send(("beat",))
'
"""
LIES = {
    "done": ('("done", number + 1000, {}, {})', "expected an answer to a call that it has"),
    "lacking": ('("lacking", [number + 1000], [{"reference": {}}])', "expected to lack files of calls that it has"),
    "hello": ('("refused", "no more")', "expected an answer, and found 'refused'"),
    "run": ('("run", "text", [])', "expected one of hello, refused"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_far_end_that_says_what_cannot_be_is_lost_and_its_call_goes_on_elsewhere(boxes: Boxes, start: Start, lie: str) -> None:
    said, words = LIES[lie]
    boxes.put(script=f"cd '{REPOSITORY}'\n" + AFTER_GREETING.format(python=sys.executable, lie=said))
    engine = start("local", "ssh://box", patience=Patience(greet=90, silence=60, first_wait=100, longest_wait=100))
    kept, file = gate(boxes.folder, "kept")
    calls = [begun(engine, kept), *submit(engine, "cat", "dog")]
    assert words in until_state(engine, "away")["reason"]
    file.touch()
    assert is_made(calls, kept, "cat", "dog")


OLD = """exec '{python}' -c '
import sys
from daemon.compute.remote import versions
versions.DECIDING = ("torch",)
versions._version = lambda name: "1.0"
sys.argv = ["tiffsd", "worker", "-c", "{folder}"]
from daemon.cli import main
main()
'
"""


def test_another_version_is_refused_with_a_sentence_and_others_go_on(boxes: Boxes, start: Start) -> None:
    boxes.put(script=f"cd '{REPOSITORY}'\n" + OLD.format(python=sys.executable, folder=boxes.folder))
    engine = start("local", "ssh://box")
    kept, file = gate(boxes.folder, "kept")
    calls = [begun(engine, kept), *submit(engine, "cat", "dog")]
    told = until_state(engine, "refused")
    assert "versions are not those of this machine" in told["reason"]
    assert "torch" in told["reason"]
    file.touch()
    assert is_made(calls, kept, "cat", "dog")


def test_an_idle_worker_there_is_ended_and_is_not_away(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box", idle_seconds=30)
    assert is_made(submit(engine, "cat"), "cat")
    pid = worker(engine)["pid"]
    wait_until(lambda: not engine.describe()["busy"])
    engine.tick(100.0)
    engine.tick(131.0)
    told = until_state(engine, "idle")
    assert (told["lost_since"], told["reason"], told["alive"]) == (None, None, False)
    wait_until(lambda: is_gone(pid))
    assert is_made(submit(engine, "dog"), "dog"), "it is started again"


def test_what_computes_for_too_long_there_is_ended_and_is_not_given_to_another(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box", job_seconds=lambda: 10.0)
    call = begun(engine, gate(boxes.folder, "kept")[0])
    for now in (0.0, 11.0):
        engine.tick(now)
    with pytest.raises(TooLong):
        call.future.result(SECONDS)
    assert is_made(submit(engine, "cat"), "cat")


def test_close_while_it_connects_does_not_wait_for_the_answer(boxes: Boxes, start: Start) -> None:
    boxes.put(script="sleep 1000")
    engine = start("ssh://box")
    call = submit(engine, "cat")[0]
    until_state(engine, "connecting")
    began = time.monotonic()
    engine.close(grace_seconds=2.0)
    assert time.monotonic() - began < 20
    assert isinstance(call.future.exception(0), Stopped)


def test_close_ends_a_far_end_that_hangs_within_its_grace(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box", patience=Patience(greet=90, silence=100))
    call = begun(engine, gate(boxes.folder, "kept")[0])
    pid = worker(engine)["pid"]
    there = children_of(pid)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    engine.close(grace_seconds=1.0)
    assert time.monotonic() - began < 30
    assert isinstance(call.future.exception(0), Stopped)
    wait_until(lambda: all(map(is_gone, [pid, *there])))


def test_two_workers_on_one_machine_are_two(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box", "ssh://box")
    (one, first), (other, second) = gate(boxes.folder, "one"), gate(boxes.folder, "other")
    calls = [begun(engine, one), begun(engine, other)]
    pids = {told["pid"] for told in engine.describe()["workers"]}
    assert len(pids) == 2
    first.touch()
    second.touch()
    assert is_made(calls, one, other)


def test_a_call_that_loses_each_machine_does_not_go_on_for_ever(boxes: Boxes, start: Start) -> None:
    boxes.put()
    engine = start("ssh://box")
    kept, _ = gate(boxes.folder, "kept")
    begins = threading.Semaphore(0)
    call = engine.submit("text", {}, settings(kept), on_begin=begins.release)
    for _ in range(5):
        assert begins.acquire(timeout=SECONDS)
        os.kill(worker(engine)["pid"], signal.SIGKILL)
    with pytest.raises(ClusterLost, match="box was lost 5 times while it computed this"):
        call.future.result(SECONDS)


def test_a_model_that_no_machine_has_is_said_and_one_that_this_has_is_computed_here(
    boxes: Boxes, start: Start, tmp_path: Path
) -> None:
    boxes.put()
    strange = tmp_path / "strange.safetensors"
    strange.write_bytes(b"a model of this machine alone")
    chosen = settings("cat")
    chosen["model"] = {**chosen["model"], "name": "strange", "path": str(strange)}
    alone = start("ssh://box")
    call = alone.submit("text", {}, chosen)
    wait_until(lambda: alone.tick(0.0) or call.future.done(), seconds=SECONDS, what="it is known that no machine has it")
    with pytest.raises(ModelMissing, match="box lacks model strange"):
        call.future.result(SECONDS)
    assert is_made(submit(alone, "dog"), "dog"), "what it has, it computes"
    both = start("ssh://box", "local")
    kept, file = gate(boxes.folder, "kept")
    first = begun(both, kept)
    calls = [both.submit("text", {}, chosen) for _ in range(3)]
    file.touch()
    assert is_made([first, *calls], kept, "cat", "cat", "cat")


def test_a_model_that_a_machine_lacks_is_sent_there_and_the_call_is_computed_there(
    boxes: Boxes, start: Start, tmp_path: Path
) -> None:
    (boxes.folder / "cache").unlink()  # of this test alone: what was sent stays
    (boxes.folder / "config.yaml").write_text(f"{CONFIG}  fetch_gb: 1\n")
    words = boxes.folder / "box.words"
    # The first two connections that are to take something are cut.
    cut = f"case \"$*\" in *--receive*) echo x >>'{words}'; [ $(wc -l <'{words}') -gt 2 ] || exit 255;; esac\n"
    boxes.put(script=cut + boxes.far_end().replace("-c '", '$([ -z "${*##*--receive*}" ] && echo --receive) -c \''))
    strange = tmp_path / "strange.safetensors"
    strange.write_bytes(b"a model of this machine alone" * 100_000)
    chosen = settings("cat")
    chosen["model"] = {**chosen["model"], "name": "strange", "path": str(strange)}
    engine = start("ssh://box")
    call = engine.submit("text", {}, chosen)
    assert is_made([call], "cat")
    assert words.read_text().count("x") == 3
    assert [strange.read_bytes()] == [path.read_bytes() for path in (boxes.folder / "cache").rglob("model.safetensors")]
