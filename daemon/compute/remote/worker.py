"""A worker on another machine as the front sees it: ssh as a child process, the connection through it, and the sentence on its end.

It has the surface of `daemon/compute/process.py`, so that what hands calls to workers need not know where they are.
"""

import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, Protocol

from daemon.compute.process import END_SECONDS, LAST_WORDS_SECONDS
from daemon.compute.remote.connection import Connection, Refused, Silent
from daemon.compute.remote.framing import Malformed
from daemon.compute.remote.patience import Patience
from daemon.cores import unpinned
from daemon.names import shown
from daemon.stray import CHUNK_BYTES, Lines

LONGEST_WORDS = 300
NO_SUCH_COMMAND = 127


class Unreached(ConnectionError):
    """No worker answered there; the text says why, as far as anybody has said."""


class Child(Protocol):
    """A child process, as far as a worker knows it; what it says beside the messages comes from `stderr`."""

    pid: int

    @property
    def stderr(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class RemoteWorker:
    """The child process and the connection through it; `words` are its command, `who` names it in the log.

    Raises OSError where the process cannot be started. Until `greet` has returned, it takes no calls.
    """

    def __init__(self, words: Sequence[str], who: str, patience: Patience, *, threads: int = 0) -> None:
        self._who, self._threads, self._patience = who, threads, patience
        self.died: str | None = None  # the sentence on the process there that ended, where it was that
        self.was_killed = False  # by this side
        self._error: OSError | EOFError | None = None
        ours, theirs = socket.socketpair()
        try:
            self._popen = self._begun(words, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pipe = self
        self._connection = Connection(ours, patience)
        assert self._popen.stderr is not None
        self._ear = _Ear(self._popen.stderr, who)
        self.pid = self._popen.pid  # on this machine

    def _begun(self, words: Sequence[str], end: socket.socket) -> Child:
        """What carries between the other end and the worker there."""
        # In a session of its own: what ssh starts itself is ended with it, and no terminal is asked for a password.
        with unpinned():
            return subprocess.Popen(
                list(words), stdin=end.fileno(), stdout=end.fileno(), stderr=subprocess.PIPE, start_new_session=True
            )

    def greet(self) -> dict[str, Any]:
        """Wait until a worker there is ready for calls; what it says of itself. Raises Refused or Unreached, when it is ended."""
        try:
            greeting = self._connection.greet(threads=self._threads, level=logging.getLogger().getEffectiveLevel())
        except (OSError, EOFError) as error:
            self._error = error
            if not isinstance(error, Silent | Malformed | Refused):
                with suppress(subprocess.TimeoutExpired):
                    self._popen.wait(timeout=LAST_WORDS_SECONDS)  # it may end by itself, with a code that tells why
            reason = str(error) if isinstance(error, Refused) else self.reason()
            self.end(kill=True)
            self.close()
            raise (Refused if isinstance(error, Refused) else Unreached)(reason) from error
        self._ear.speak()
        return greeting

    def send(self, message: tuple[Any, ...]) -> None:
        self._connection.send(message)

    def recv(self) -> tuple[Any, ...]:
        """The next message of the worker. Raises ConnectionError, or EOFError at its end."""
        try:
            message = self._connection.recv()
        except (OSError, EOFError) as error:
            self._error = error
            raise
        if message[0] == "died":
            self.died = shown(message[1])
            raise EOFError(self.died)
        return message

    def close(self) -> None:
        """Give the connection back; nobody may be reading."""
        self._connection.close()

    def alive(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        """End the connection at once; the far end finds that out by itself."""
        self.was_killed = True
        self._end_process()

    def _end_process(self) -> None:
        self._connection.cut()
        if self._popen.poll() is None:  # while it is not waited for, its number is nobody else's
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    def end(self, *, kill: bool) -> None:
        """End the worker and wait for the process here; `kill` is for one that is not idle."""
        if kill:
            self._end_process()
        else:
            self._connection.end()
        try:
            self._popen.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._end_process()
            self._popen.wait()
        self._connection.cut()
        self._ear.join(LAST_WORDS_SECONDS)

    @property
    def how_it_ended(self) -> str:
        """How it ended that is no more, in words."""
        return self.died or self.reason()

    def exit_reason(self) -> str:
        """Return the sentence on how the worker process there ended."""
        return f"on {self._who}: {self.died or self.reason()}"

    def reason(self, error: BaseException | None = None) -> str:
        """Why there is no connection any more, or none yet: by what came, by what ssh said, by its code."""
        if isinstance(found := error or self._error, Silent | Malformed):
            return shown(str(found))
        self._ear.join(LAST_WORDS_SECONDS)
        code, words = self._popen.poll(), self._ear.last
        if code == NO_SUCH_COMMAND:
            return f"tiffsd is not found there ({words or 'code 127'}); install it, or say where it is with compute.ssh_command"
        return words or ("the connection ended" if code in (None, 0) or code < 0 else f"ssh ended with code {code}")


class _Ear:
    """Hears what a child writes beside the messages: the last line is kept, and all goes into the log once it may `speak`."""

    def __init__(self, said: IO[bytes], who: str) -> None:
        self._said, self._lines = said, Lines(who)
        self._spoken = threading.Event()
        self._end = b""
        self._thread = threading.Thread(target=self._listen, name=f"hears {who}", daemon=True)
        self._thread.start()

    @property
    def last(self) -> str:
        """The last line that has words in it."""
        lines = [line.strip() for line in self._end.decode(errors="replace").splitlines() if line.strip()]
        return shown(lines[-1])[:LONGEST_WORDS] if lines else ""

    def speak(self) -> None:
        self._spoken.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _listen(self) -> None:
        with self._said:
            while chunk := os.read(self._said.fileno(), CHUNK_BYTES):
                self._end = (self._end + chunk)[-2 * LONGEST_WORDS :]
                if self._spoken.is_set():
                    self._lines.take(chunk)
        self._lines.end()
