"""The daemon's end of a connection to a worker on another machine: whole messages, checked, with signs of life in both directions.

Both directions are one pair of sockets, because those can be ended at once, under whoever reads or writes, whatever holds the other
end still.
"""

import socket
import threading
from contextlib import suppress
from typing import Any

from daemon.compute.remote.framing import FramedPipe, Malformed
from daemon.compute.remote.messages import PROTOCOL, check_from_worker
from daemon.compute.remote.patience import Patience
from daemon.compute.remote.versions import disagreement, versions
from daemon.names import shown


class Silent(ConnectionError):
    """Nothing came for longer than a living far end is silent."""


class Refused(ConnectionError):
    """The far end is there, and cannot work with this daemon; the text is the sentence why."""


class Connection:
    """Messages to a far end and from it. `send` may be called by any thread, `recv` by one.

    Raises ConnectionError (Silent, Malformed and others) or EOFError where it is over, and ValueError for what cannot be sent.
    """

    def __init__(self, end: socket.socket, patience: Patience) -> None:
        self._socket, self._patience = end, patience
        self._pipe = FramedPipe(end.fileno(), end.fileno())
        self._sending = threading.Lock()
        self._over, self._is_late = threading.Event(), threading.Event()
        self._pipe.patience = patience.silence

    def greet(self, *, threads: int, level: int) -> dict[str, Any]:
        """Say who this is and hear who is there, as `messages.py` has it. Raises Refused where the two do not fit."""
        told = {"heartbeat_seconds": self._patience.heartbeat, "silence_seconds": self._patience.far_silence}
        here = versions()
        # Whoever is there is not known yet, and has to start first: patience is another one, and no arrays are taken from it.
        watch = threading.Timer(self._patience.greet, self._give_up)
        watch.daemon = True
        watch.start()
        try:
            self.send(("hello", {"protocol": PROTOCOL, "versions": here, **told, "threads": threads, "level": level}))
            small = FramedPipe(self._socket.fileno(), self._socket.fileno(), most_bytes=0)
            small.patience = self._patience.greet
            greeting = self._greeting(small)
        finally:
            watch.cancel()
        if greeting["protocol"] != PROTOCOL:
            raise Refused(f"it speaks protocol {greeting['protocol']}, and this daemon {PROTOCOL}; install the same tiffsd on both")
        if differs := disagreement(here, greeting["versions"]):
            raise Refused(differs)
        threading.Thread(target=self._beat, name="beats", daemon=True).start()
        return greeting

    def _greeting(self, pipe: FramedPipe) -> dict[str, Any]:
        while True:
            message = self._next(pipe)
            if message[0] == "hello":
                greeting: dict[str, Any] = message[1]
                return greeting
            if message[0] == "refused":
                raise Refused(shown(message[1]))
            if message[0] not in ("beat", "log"):
                raise Malformed(f"expected a greeting, and found {message[0]!r}")

    def send(self, message: tuple[Any, ...]) -> None:
        with self._sending:
            self._send(message)

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            self._pipe.send(message)
        except OSError as error:
            self.cut()  # which may be in the middle of a message
            raise ConnectionError(str(error)) from error

    def recv(self) -> tuple[Any, ...]:
        """The next message that is more than a sign of life."""
        while (message := self._next(self._pipe))[0] == "beat":
            pass
        return message

    def _next(self, pipe: FramedPipe) -> tuple[Any, ...]:
        try:
            return check_from_worker(pipe.recv())
        except TimeoutError as error:
            self.cut()
            raise Silent(str(error)) from error
        except (OSError, EOFError) as error:
            self.cut()
            if self._is_late.is_set():
                raise Silent(f"it did not greet within {self._patience.greet:g} s") from error
            raise

    def end(self) -> None:
        """Ask the far end to end, and say nothing more."""
        self._over.set()
        # What waits for another message to go out has lost its turn: the far end sees the end of the pipe.
        if self._sending.acquire(blocking=False):
            with suppress(ConnectionError):
                self._send(("end",))
            self._sending.release()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """End it at once: who reads or writes is told so."""
        self._over.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back; nobody may be reading."""
        self.cut()
        with self._sending:  # the last beat
            self._socket.close()

    def _beat(self) -> None:
        while not self._over.wait(self._patience.heartbeat):
            # A message that goes out is a sign of life too.
            if self._sending.acquire(blocking=False):
                try:
                    if not self._over.is_set():
                        with suppress(ConnectionError):
                            self._send(("beat",))
                finally:
                    self._sending.release()

    def _give_up(self) -> None:
        """End a greeting that takes too long, however it comes."""
        self._is_late.set()
        self.cut()
