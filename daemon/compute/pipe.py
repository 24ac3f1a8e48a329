"""The pipe between the front and a worker: arrays travel as they lie in memory, since pickling them would copy each two times."""

import mmap
import os
import pickle
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Messages = Connection[Any, Any]
else:
    Messages = Connection


class ArrayPipe(Messages):
    """One end of a pipe for messages with arrays in them, which come out writable. Raises what its parent does."""

    def send(self, message: Any) -> None:
        """Send a message; arrays in a mapped file are read from there, and cost this process no memory once they are sent."""
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        self.send_bytes(pickle.dumps([view.nbytes for view in views]))
        self.send_bytes(data)
        for view in views:
            _write(self.fileno(), view)
            let_go(view)

    def recv(self) -> Any:
        """The next message, waited for."""
        sizes: Sequence[int] = pickle.loads(self.recv_bytes())
        # Empty, so that nobody fills them with zeros first.
        data, buffers = self.recv_bytes(), [np.empty(size, np.uint8) for size in sizes]
        for buffer in buffers:
            _read(self.fileno(), buffer.data)
        return pickle.loads(data, buffers=buffers)


def _write(descriptor: int, view: memoryview) -> None:
    written = 0
    while written < view.nbytes:
        written += os.write(descriptor, view[written:])


def _read(descriptor: int, view: memoryview) -> None:
    found = 0
    while found < len(view):
        count = os.readv(descriptor, [view[found:]])
        if not count:
            raise EOFError
        found += count


def let_go(view: memoryview) -> None:
    """Where the bytes lie in a mapped file, unmap its pages: they are still in the file."""
    owner: object = view.obj
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = getattr(owner, "base", None) if not isinstance(owner, memoryview) else owner.obj
    if owner is not None:
        owner.madvise(mmap.MADV_DONTNEED)
