"""The front's side of Ray, without Ray: the gateway, a process that knows it, and workers whose connection goes through that."""

import json
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from os import fdopen, pipe
from typing import IO, Any

from daemon.compute.process import END_SECONDS, LAST_WORDS_SECONDS, environment
from daemon.compute.remote.connection import Silent
from daemon.compute.remote.framing import Malformed
from daemon.compute.remote.patience import Patience
from daemon.compute.remote.worker import Child, RemoteWorker
from daemon.cores import unpinned
from daemon.stray import overhear

GATEWAY = "daemon.compute.remote.ray_gateway"
DIED, AWAY = "died: ", "away: "
MOST_REQUEST_BYTES = 1 << 16
Request = Mapping[str, Any]


class Gateway:
    """The process, and the way to hand it the other ends of workers' connections. Raises OSError where it cannot be started."""

    def __init__(self, address: str) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, unpinned():
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", GATEWAY, address],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment(),
            )
        assert self._popen.stdout is not None
        overhear(self._popen.stdout, "gateway to Ray")
        self.pid = self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    def hand_over(self, request: Request, end: socket.socket) -> "Berth":
        """Ask for an actor at the other end of a stream. Raises OSError where the gateway is gone."""
        ours, theirs = pipe()
        said = fdopen(ours, "rb", buffering=0)
        try:
            with fdopen(theirs, "wb"):
                socket.send_fds(self._control, [json.dumps(request).encode()], [end.fileno(), theirs])
        except OSError:
            said.close()
            raise
        return Berth(self.pid, said)

    def end(self, *, kill: bool = False) -> None:
        """End it, and with it all its actors; wait for that. `kill` is for one that may hang in a cluster that is not reached."""
        self._control.close()
        if kill:
            self._popen.kill()
        try:
            self._popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class Berth:
    """What stands for a child process: what the gateway does for one worker, until it closes the pipe for its words."""

    def __init__(self, pid: int, said: IO[bytes]) -> None:
        self.pid, self.stderr = pid, said
        self.is_left = False  # to the gateway, which sees the end of the stream, if it sees anything

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        poll = select.poll()
        with suppress(ValueError):  # who listens has closed it, at its end
            poll.register(self.stderr, 0)
            if not self.is_left and not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(GATEWAY, timeout or 0)
        return 0


class RayWorker(RemoteWorker):
    """A worker at an actor of the cluster; `request` says what the actor needs. `let_go` is told at its end."""

    def __init__(
        self,
        gateway: Gateway,
        request: Request,
        who: str,
        patience: Patience,
        *,
        threads: int,
        let_go: "Callable[[RayWorker], None]",
    ) -> None:
        self.gateway, self._request, self._let_go = gateway, request, let_go
        super().__init__((), who, patience, threads=threads)

    def _begun(self, words: Sequence[str], end: socket.socket) -> Child:
        del words
        self._berth = self.gateway.hand_over(self._request, end)
        return self._berth

    def recv(self) -> tuple[Any, ...]:
        """Override: where the actor's process died, that is told as of a worker process."""
        try:
            return super().recv()
        except (OSError, EOFError):
            self._ear.join(LAST_WORDS_SECONDS)
            if self._ear.last.startswith(DIED):
                self.died = self._ear.last.removeprefix(DIED)
            raise

    def _end_process(self) -> None:
        self._berth.is_left = True
        self._connection.cut()  # at which the gateway ends the actor

    def close(self) -> None:
        """Override: the gateway may be let go too."""
        super().close()
        self._let_go(self)

    @property
    def has_lost_cluster(self) -> bool:
        """Whether its end may be that of the gateway's connection to the cluster, so that a fresh one may find it again."""
        return self._ear.last.startswith(AWAY) or isinstance(self._error, Silent)

    def reason(self, error: BaseException | None = None) -> str:
        """Override: without marks."""
        self._ear.join(LAST_WORDS_SECONDS)  # the end of the pipe may come before the words
        if not self._ear.last and not isinstance(error or self._error, Silent | Malformed):
            return "the gateway to the Ray cluster ended; its last words are in the log"
        return super().reason(error).removeprefix(AWAY).removeprefix(DIED)
