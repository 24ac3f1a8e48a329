"""Messages as bytes and back, by way of files without a name: no other process and no thread is needed."""

import os
from collections.abc import Sequence
from typing import Any

from daemon.compute.remote.framing import MOST_BYTES, FramedPipe


def sent(*messages: Sequence[Any]) -> bytes:
    """The bytes that go out for messages."""
    written = os.memfd_create("sent")
    pipe = FramedPipe(written, written)
    for message in messages:
        pipe.send(message)
    data = os.pread(written, os.fstat(written).st_size, 0)
    pipe.close()
    return data


def received(data: bytes, *, most_bytes: int = MOST_BYTES) -> list[tuple[Any, ...]]:
    """All messages in these bytes; raises what reading them raises, but for the end behind a whole one."""
    read = os.memfd_create("received")
    os.write(read, data)
    os.lseek(read, 0, os.SEEK_SET)
    pipe, found = FramedPipe(read, read, most_bytes=most_bytes), []
    try:
        while os.lseek(read, 0, os.SEEK_CUR) < len(data):
            found.append(pipe.recv())
    finally:
        pipe.close()
    return found
