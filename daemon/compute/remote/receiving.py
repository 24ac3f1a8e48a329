"""Models that another machine sends, taken into the cache of this one: gone on with after a cut, and there when they are whole.

    front  ("take", protocol, reference)
    here   ("kept",)   or   ("have", [[bytes, sha256 of these], ...]), one for each file of the reference
    front  for each file ("file", number, bytes that stay), and the rest of it as ("block", array), ...
    here   ("kept",)

At any time: ("beat",) from either side, and ("refused", sentence) from here, with which the connection ends. What came is compared
with the SHA-256 of the reference before it is published; a file that differs is thrown away.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from daemon.compute.remote.cache import FILE_MODE
from daemon.compute.remote.fetched import FetchedModels, NotTaken, place_in
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.framing import FramedPipe, Malformed
from daemon.compute.remote.identity import agrees
from daemon.compute.remote.references import FileReference, NoReference, Reference

PROTOCOL = 1
BLOCK = 1 << 20
"""The most bytes of a file in one message."""
BEAT_SECONDS, SILENCE_SECONDS = 10.0, 60.0
MOST_BYTES = 2 * BLOCK
"""The most bytes of arrays in a message."""


def receive(pipe: FramedPipe, fetched: FetchedModels, fingerprints: Fingerprints) -> None:
    """Take models from the other end until it has no more, or the connection ends; `pipe` is to take arrays of MOST_BYTES at most.

    Raises Malformed for what is no message of this protocol, and OSError."""
    pipe.patience = SILENCE_SECONDS
    with _beating(pipe):
        _receive(pipe, fetched, fingerprints)


@contextmanager
def _beating(pipe: FramedPipe) -> Iterator[None]:
    """Let the other end know that this one lives, while it counts, or waits for its disk."""
    over = threading.Event()

    def beat() -> None:
        with suppress(OSError):
            while not over.wait(BEAT_SECONDS):
                pipe.send(("beat",))

    threading.Thread(target=beat, name="beats", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _receive(pipe: FramedPipe, fetched: FetchedModels, fingerprints: Fingerprints) -> None:
    try:
        while True:
            reference = _asked(heard(pipe))
            with fetched.writing(lambda: pipe.send(("beat",))):
                _take(pipe, fetched, reference, fingerprints)
            pipe.send(("kept",))
    except (EOFError, TimeoutError, BrokenPipeError):
        return
    except (NotTaken, NoReference) as error:
        pipe.send(("refused", str(error)))


def _asked(message: tuple[Any, ...]) -> Reference:
    if not is_a(message, "take", 2):
        raise Malformed(f"expected a model to take, and found {message!r:.80}")
    if type(message[1]) is not int or message[1] != PROTOCOL:
        raise NotTaken("the two machines have different versions of tiffsd; install the same on both")
    return Reference.read(message[2])


def is_a(message: tuple[Any, ...], kind: str, fields: int = 0) -> bool:
    """Whether a message is of a kind, with so many fields behind that. What came may be arrays, which are not to be compared."""
    return len(message) == 1 + fields and isinstance(message[0], str) and message[0] == kind


def heard(pipe: FramedPipe) -> tuple[Any, ...]:
    """The next message that is no beat."""
    while is_a(message := pipe.recv(), "beat"):
        pass
    return message


def _take(pipe: FramedPipe, fetched: FetchedModels, reference: Reference, fingerprints: Fingerprints) -> None:
    """Take one model. Raises NotTaken; what came stays for the next time."""
    if agrees(place_in(fetched.published(reference), reference), reference, fingerprints):
        return
    folder = fetched.begin(reference)
    parts = [_Part(folder / file.name, file) for file in reference.files]
    pipe.send(("have", [part.counted() for part in parts]))
    try:
        for number, part in enumerate(parts):
            part.take(pipe, number)
    except NotTaken:
        fetched.forget(reference)  # nobody knows when there will be room on this disk
        raise
    if wrong := [part for part in parts if not part.is_right]:
        for part in wrong:
            part.path.unlink(missing_ok=True)
        raise NotTaken(
            f"{reference.in_words()} did not arrive as it was sent: {wrong[0].file.name} has another SHA-256; send it again"
        )
    fetched.publish(reference)


class _Part:
    """What came of a file so far, counted while it comes."""

    def __init__(self, path: Path, file: FileReference) -> None:
        self.path, self.file = path, file
        self._bytes, self._digest = 0, hashlib.sha256()

    @property
    def is_right(self) -> bool:
        return (self._bytes, self._digest.hexdigest()) == (self.file.bytes, self.file.full)

    def counted(self) -> list[Any]:
        """How many bytes are here, and the SHA-256 of these."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            while self._bytes < self.file.bytes and (piece := os.pread(descriptor, self._most(), self._bytes)):
                self._count(piece)
        finally:
            os.close(descriptor)
        return [self._bytes, self._digest.hexdigest()]

    def take(self, pipe: FramedPipe, number: int) -> None:
        """Take the rest of the file, or all of it where the other end says that what is here is not its beginning."""
        message = heard(pipe)
        counts = message[1:] if is_a(message, "file", 2) and all(type(count) is int for count in message[1:]) else ()
        if counts not in ((number, 0), (number, self._bytes)):
            raise Malformed(f"expected file {number} from its beginning or from byte {self._bytes}, and found {message!r:.80}")
        if counts[1] == 0:
            self._bytes, self._digest = 0, hashlib.sha256()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, self._bytes)
            while self._bytes < self.file.bytes:
                block = self._block(pipe)
                with self._on_disk():
                    self._write(descriptor, block)
            with self._on_disk():
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NotTaken(f"{self.file.name} cannot be written there ({error.strerror})") from error

    def _block(self, pipe: FramedPipe) -> bytes:
        message = heard(pipe)
        block = message[1] if is_a(message, "block", 1) else None
        if isinstance(block, np.ndarray) and block.ndim == 1 and block.dtype == np.uint8 and 0 < block.size <= self._most():
            return block.tobytes()
        raise Malformed(f"expected 1 to {self._most()} bytes of {self.file.name}, and found something else")

    def _most(self) -> int:
        return min(BLOCK, self.file.bytes - self._bytes)

    def _write(self, descriptor: int, block: bytes) -> None:
        written = 0
        while written < len(block):
            written += os.pwrite(descriptor, block[written:], self._bytes + written)
        self._count(block)

    def _count(self, piece: bytes) -> None:
        self._bytes += len(piece)
        self._digest.update(piece)
