"""The far end: what runs on the other machine, between the connection to the daemon and a worker process like its own.

    main        greets, then waits for the end, whatever it is; its end is the worker's
    reader      takes what the daemon says: calls to the feeder, beats at once. It waits for nobody, so that it hears the end
    feeder      resolves the models of calls, starts the worker, hands it calls; the kernel ends the worker together with it
    listener    one for each worker: takes its answers to the daemon
    speaker     beats and the log, see `speaker.py`

It ends when the daemon says so, when the connection ends, when the daemon is silent for too long, when something comes that is no
message, and when its worker dies at a call. A worker that dies between calls is nobody's business: the next call has a fresh one.
"""

import logging
import queue
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from daemon.compute.gpus import gpu_name
from daemon.compute.process import WorkerProcess
from daemon.compute.remote.framing import FramedPipe, Malformed
from daemon.compute.remote.messages import LONGEST_NAME, PROTOCOL, check_from_daemon, shortened
from daemon.compute.remote.references import NoReference
from daemon.compute.remote.shelf import Lacking
from daemon.compute.remote.speaker import BEAT, Speaker
from daemon.compute.remote.versions import disagreement, versions
from daemon.compute.worker_log import PipeHandler
from daemon.errors import DaemonError, ModelMissing
from daemon.models.cpu_name import cpu_name
from daemon.models.stage_settings import StageSettings

log = logging.getLogger(__name__)

HELLO_SECONDS = 30.0
Job = tuple[int, Mapping[str, Any], StageSettings]
Resolve = Callable[[Mapping[str, Any]], StageSettings]


@dataclass(frozen=True)
class Node:
    """What there is to say of this machine: `models` by name, `fetches` whether it takes models that it lacks."""

    device: str
    models: Sequence[str] = ()
    fetches: bool = False
    host: str = field(default_factory=socket.gethostname)

    def greeting(self) -> dict[str, Any]:
        """The far end's hello."""
        said = {"host": self.host, "device": self.device, "processor": processor(self.device)}
        words = {name: value[:LONGEST_NAME] for name, value in said.items()}
        return {"protocol": PROTOCOL, "versions": versions(), **words, "fetches": self.fetches, "models": [*self.models]}


class FarEnd:
    """Serves one connection. `spawn` starts a worker process that computes with so many threads, `resolve` turns the settings of a
    call into those of this machine; it raises Lacking, NoReference, or what a stage may raise."""

    def __init__(self, pipe: FramedPipe, *, node: Node, spawn: Callable[[int], WorkerProcess], resolve: Resolve) -> None:
        self._pipe, self._node, self._spawn, self._resolve = pipe, node, spawn, resolve
        self._speaker = Speaker(pipe)
        self._orders: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._changing = threading.Lock()
        self._in_flight: set[int] = set()
        self._worker: WorkerProcess | None = None
        self._threads = 0
        self._over, self._gently = threading.Event(), False
        self._error: Exception | None = None

    def serve(self) -> None:
        """Greet, and serve until the end. Raises Malformed where what came is no message of a daemon."""
        try:
            if not self._greeted():
                return
        except (EOFError, TimeoutError, BrokenPipeError):
            return
        for work in (self._read, self._feed):
            threading.Thread(target=self._until_over, args=[work], name=work.__name__.strip("_"), daemon=True).start()
        self._over.wait()
        self._end_worker()
        if isinstance(self._error, Malformed):
            raise self._error

    def _greeted(self) -> bool:
        self._pipe.patience = HELLO_SECONDS
        kind, *said = check_from_daemon(self._pipe.recv())
        if kind != "hello":
            raise Malformed(f"expected a daemon's hello, and found {kind!r}")
        hello = said[0]
        if sentence := _misfit(hello):
            self._pipe.send(("refused", sentence))
            return False
        self._pipe.patience, self._threads = hello["silence_seconds"], hello["threads"]
        self._pipe.send(("hello", self._node.greeting()))
        logging.basicConfig(level=hello["level"], handlers=[PipeHandler(self._speaker)], force=True)
        self._speaker.start(hello["heartbeat_seconds"])
        return True

    def _until_over(self, work: Callable[[], None]) -> None:
        """Work in a thread whose end is the end of all."""
        try:
            work()
        finally:
            self._end()

    def _end(self, error: Exception | None = None, *, gently: bool = False) -> None:
        with self._changing:
            if not self._over.is_set():
                self._error, self._gently = error, gently
            self._over.set()

    def _end_worker(self) -> None:
        with self._changing:
            worker = self._worker
        if worker is not None:
            worker.end(kill=not self._gently)

    # --- the reader

    def _read(self) -> None:
        try:
            while not self._over.is_set():
                self._take(check_from_daemon(self._pipe.recv()))
        except (EOFError, OSError) as error:
            if isinstance(error, TimeoutError):
                log.warning("the daemon is silent: %s", error)
            self._end(error)

    def _take(self, message: tuple[Any, ...]) -> None:
        if message[0] == "beat":
            self._speaker.say(BEAT)
        elif message[0] == "end":
            self._end(gently=True)
        elif message[0] == "hello":
            raise Malformed("expected calls of a daemon, and found a second 'hello'")
        else:
            self._orders.put(message)

    # --- the feeder

    def _feed(self) -> None:
        while True:
            kind, *order = self._orders.get()
            with suppress(ConnectionError):  # a worker that died is the listener's, a daemon that is gone the reader's
                if kind == "run":
                    self._run(*order)
                elif (worker := self._worker) is not None:
                    worker.pipe.send(("cancel", *order))

    def _run(self, stage: str, calls: Sequence[tuple[int, Mapping[str, Any], Mapping[str, Any]]]) -> None:
        jobs = self._resolved(calls)
        if not jobs:
            return
        numbers = [number for number, _, _ in jobs]
        try:
            worker = self._started(numbers)
        except OSError as error:
            for number in numbers:
                self._fail(number, error)
            return
        worker.pipe.send(("run", stage, jobs))

    def _resolved(self, calls: Sequence[tuple[int, Mapping[str, Any], Mapping[str, Any]]]) -> list[Job]:
        """The calls whose models are here; of the others the daemon is told."""
        jobs: list[Job] = []
        lacking: dict[int, list[Any]] = {}
        for number, arrays, settings in calls:
            try:
                jobs.append((number, arrays, self._resolve(settings)))
            except Lacking as error:
                lacking[number] = list(error.references)
            except NoReference as error:
                self._fail(number, ModelMissing(str(error)))
            # What is not as settings are must fail its call here: a far end that ended at it would be given the call again.
            except (DaemonError, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
                self._fail(number, error)
        if lacking:
            references = [reference for said in lacking.values() for reference in said]
            once = [reference for at, reference in enumerate(references) if reference not in references[:at]]
            self._pipe.send(("lacking", [*lacking], once))
        return jobs

    def _started(self, numbers: Sequence[int]) -> WorkerProcess:
        """The worker, a fresh one where there is none, with these calls on their way to it."""
        with self._changing:
            worker = self._worker
            if worker is not None and (worker.alive() or self._in_flight):
                self._in_flight.update(numbers)
                return worker
            self._worker = None
        worker = self._spawn(self._threads)
        with self._changing:
            self._worker = worker
            self._in_flight.update(numbers)
        if self._over.is_set():
            worker.kill()
        threading.Thread(target=self._until_lost, args=[worker], name="listener", daemon=True).start()
        return worker

    def _fail(self, number: int, error: Exception) -> None:
        known = isinstance(error, DaemonError)
        kind = "OSError" if isinstance(error, OSError) else type(error).__name__
        sentence = str(error) if known else f"{type(error).__name__}: {error}"
        self._pipe.send(shortened(("failed", number, kind, sentence, "".join(traceback.format_exception(error)))))

    # --- the listener

    def _until_lost(self, worker: WorkerProcess) -> None:
        """Take the answers of a worker to the daemon until it is no more; where it had calls, that is the end."""
        while (answer := _answer_of(worker)) is not None:
            try:
                self._relay(answer)
            except OSError as error:
                self._end(error)
                return
        with self._changing:
            died = bool(self._in_flight) and worker is self._worker
            if not died and worker is self._worker:
                self._worker = None
        if not died:
            worker.end(kill=True)
        elif not self._over.is_set():
            with suppress(OSError):
                self._pipe.send(("died", worker.exit_reason()))
            self._end()

    def _relay(self, answer: tuple[Any, ...]) -> None:
        if answer[0] in ("done", "failed"):
            with self._changing:
                self._in_flight.discard(answer[1])
        try:
            self._pipe.send(shortened(answer))
        except ValueError as error:  # a result that can be no message, with a fact that is no number, say
            if answer[0] != "done":
                raise
            self._fail(answer[1], error)


def _answer_of(worker: WorkerProcess) -> tuple[Any, ...] | None:
    """The next answer, waited for; None where the worker is no more."""
    try:
        answer: tuple[Any, ...] = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    return answer


def _misfit(hello: Mapping[str, Any]) -> str | None:
    """Why a daemon that says this cannot have this machine, as a sentence to be read there; None where it can."""
    if hello["protocol"] != PROTOCOL:
        return f"it speaks protocol {PROTOCOL}, and this daemon {hello['protocol']}; install the same tiffsd on both"
    return disagreement(hello["versions"], versions())


def processor(device: str) -> str:
    """What a device such as "cpu" or "cuda:1" is called; its own name where nothing tells more."""
    if device == "cpu":
        return cpu_name()
    number = device.partition(":")[2] or "0"
    return (device.startswith("cuda") and gpu_name(int(number))) or device
