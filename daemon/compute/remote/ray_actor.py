"""What Ray runs on a node: an actor with `tiffsd worker` as its child, whose stdin and stdout are written and read from afar.

Of what passes through Ray nothing is understood here: bytes go in and come out, as over ssh. The child is a process of its own, so
that Ray's threads and its environment do not touch what is computed.
"""

import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress

from daemon.compute.process import END_SECONDS, environment

PIECE_BYTES = 1 << 20
# By the cores that an actor asked for; how many threads compute is said by the daemon, or by the node's own configuration.
SET_BY_RAY = ("OMP_NUM_THREADS",)


class Actor:
    """One worker. `config` is the path of the configuration on the node (None: the usual places)."""

    def __init__(self, config: str | None) -> None:
        self._ours, theirs = socket.socketpair()
        words = [sys.executable, "-P", "-m", "daemon", "worker", *(["-c", config] if config else [])]
        own = {name: value for name, value in environment().items() if name not in SET_BY_RAY}
        self._child = subprocess.Popen(words, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE, env=own)
        theirs.close()
        self._last_words: deque[bytes] = deque(maxlen=1)
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def _listen(self) -> None:
        assert self._child.stderr is not None
        with self._child.stderr as said:
            self._last_words.extend(line for line in said if line.strip())

    def host(self) -> str:
        """The name of the node."""
        return socket.gethostname()

    def write(self, data: bytes) -> None:
        """Give the child bytes; none are their end."""
        with suppress(OSError):  # whoever reads finds out why
            if data:
                self._ours.sendall(data)
            else:
                self._ours.shutdown(socket.SHUT_WR)

    def read(self) -> bytes | str:
        """The next bytes of the child, waited for; at its end the sentence on that."""
        with suppress(OSError):
            if data := self._ours.recv(PIECE_BYTES):
                return data
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(END_SECONDS)
        self._ear.join(END_SECONDS)
        words = b"".join(self._last_words).decode(errors="replace").strip()
        return words or f"tiffsd worker ended with code {self._child.returncode}"
