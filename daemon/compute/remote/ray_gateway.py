"""The one process on the daemon's machine that knows Ray: it carries bytes between the daemon and actors, and understands none.

    control     its stdin, from the daemon: for each worker a request as JSON, with the descriptors of a stream and of a pipe for
                words. Its end is the end of this process, and with it that of all its actors
    stream      what a connection by ssh would carry, see `framing.py`
    words       at the end of a stream, one line that says why

A line may begin with a mark: DIED, at that the job may be at fault; AWAY, the cluster is not reached any more.
"""

import json
import os
import select
import socket
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayError

from daemon.compute.process import END_SECONDS
from daemon.compute.remote.ray_actor import PIECE_BYTES, Actor
from daemon.compute.remote.ray_worker import AWAY, DIED, MOST_REQUEST_BYTES

LOOK_SECONDS = 0.5
LONGEST_LINE = 250
NO_CLUSTER = (RayError, OSError, RuntimeError, ValueError, ImportError)  # what connecting to one raises, by what is wrong


class Carrier:
    """One worker of the daemon and the actor for it."""

    def __init__(self, connected: "Future[None]", request: dict[str, Any], stream: socket.socket, words: int) -> None:
        self._connected, self._request, self._stream, self._words = connected, request, stream, words
        self._actor: Any = None
        self._host = "a node"

    def serve(self) -> None:
        """Have an actor and carry bytes until either side is gone; then the other is ended too."""
        try:
            last_words = self._carried(time.monotonic() + self._request["seconds"])
        except (ActorDiedError, ActorUnavailableError) as error:
            last_words = self._fate(str(error))
        except NO_CLUSTER as error:
            reason = _line(str(error)) or type(error).__name__
            last_words = f"{AWAY}the Ray cluster does not answer ({reason})"
        with suppress(OSError):
            os.write(self._words, b"" if self._is_let_go() else last_words.encode())
        os.close(self._words)
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        if self._actor is not None:
            with suppress(RayError):
                ray.kill(self._actor)

    def _carried(self, deadline: float) -> str:
        try:
            self._connected.result(deadline - time.monotonic())
        except TimeoutError:
            return f"{AWAY}the Ray cluster does not answer"
        cpus, gpus = self._request["cpus"], self._request["gpus"]
        kind = ray.remote(Actor).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_concurrency=2, scheduling_strategy="SPREAD"
        )
        self._actor = kind.remote(self._request["config"])
        try:
            self._host = self._awaited(self._actor.host.remote(), deadline)
        except GetTimeoutError:
            return f"the Ray cluster has no room for an actor with {cpus} CPUs and {gpus} GPUs: free are {_free()}"
        threading.Thread(target=self._carry_there, daemon=True).start()
        while not isinstance(data := self._awaited(self._actor.read.remote()), str):
            try:
                self._stream.sendall(data)
            except OSError:
                return ""  # the daemon has let go
        return data

    def _carry_there(self) -> None:
        with suppress(OSError, RayError):  # who reads finds out too
            while data := self._stream.recv(PIECE_BYTES):
                self._awaited(self._actor.write.remote(data))
            self._actor.write.remote(b"")

    def _awaited(self, value: Any, deadline: float = float("inf")) -> Any:
        """What an actor gives back, waited for. Raises GetTimeoutError at the deadline, or soon after the daemon has let go."""
        while not ray.wait([value], timeout=LOOK_SECONDS)[0]:
            if self._is_let_go():
                deadline = min(deadline, time.monotonic() + END_SECONDS)
            if time.monotonic() > deadline:
                raise GetTimeoutError
        return ray.get(value)

    def _is_let_go(self) -> bool:
        poll = select.poll()
        poll.register(self._stream, select.POLLRDHUP)
        return bool(poll.poll(0))

    def _fate(self, said: str) -> str:
        """The line on an actor that is gone, by what Ray says of it."""
        if "creation task" in said:
            return f"the actor did not start: {said.strip().splitlines()[-1][:LONGEST_LINE]}"
        if "worker process has died" in said:
            guess = "it may have needed more memory than the machine has"
            return f"{DIED}the process of the actor on {self._host} ended in the middle of the job; {guess}"
        return f"{AWAY}the node {self._host} was lost ({_line(said)})"


def _free() -> str:
    free = ray.available_resources()
    return f"{free.get('CPU', 0):g} and {free.get('GPU', 0):g}"


def _line(said: str) -> str:
    """The line of an error of Ray's that tells most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or [""]
    return next((line for line in lines if "is dead because" in line), lines[0])[:LONGEST_LINE]


def _take_requests(control: socket.socket, connected: "Future[None]") -> None:
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, MOST_REQUEST_BYTES, 2)
        if not request:
            break
        stream, words = descriptors
        carrier = Carrier(connected, json.loads(request), socket.socket(fileno=stream), words)
        threading.Thread(target=carrier.serve, daemon=True).start()
    # A cluster that does not answer holds nobody up.
    threading.Timer(END_SECONDS / 2, os._exit, [0]).start()
    ray.shutdown()
    os._exit(0)


def main(address: str) -> None:
    """Connect to the cluster, and serve the daemon that has started this until it closes the control."""
    control, connected = socket.socket(fileno=os.dup(0)), Future[None]()
    requests = threading.Thread(target=_take_requests, args=[control, connected])
    requests.start()
    try:
        ray.init(address=address, namespace="tiffsd", log_to_driver=False, logging_level="ERROR")
        connected.set_result(None)
    except NO_CLUSTER as error:
        connected.set_exception(error)
    requests.join()


if __name__ == "__main__":
    main(sys.argv[1])
