"""A model that another machine lacks, sent to it, but for what it has of it already; `receiving.py` says how the two speak."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from daemon.compute.remote.fetched import NotTaken
from daemon.compute.remote.fingerprints import opened
from daemon.compute.remote.framing import FramedPipe, Malformed
from daemon.compute.remote.receiving import BLOCK, PROTOCOL, SILENCE_SECONDS, heard, is_a
from daemon.compute.remote.references import FileReference, Reference
from daemon.errors import ModelMissing
from daemon.names import shown

MOST_CHARACTERS = 1000
BEAT_BYTES = 256 << 20  # that are only counted between two beats

Sent = Callable[[int], None]


def send(reference: Reference, path: Path, pipe: FramedPipe, *, sent: Sent = lambda _: None) -> None:
    """Let the other end have a model, which lies here at `path`; `sent` is told how many bytes of its files went out or were there.

    Raises NotTaken with the sentence of the other end, ModelMissing where the model was changed since, and EOFError, OSError or
    Malformed where the connection ended: the next time is gone on with."""
    pipe.patience = SILENCE_SECONDS
    try:
        pipe.send(("take", PROTOCOL, reference.written()))
        answer = _heard(pipe)
        if not is_a(answer, "kept"):
            _send_files(reference, path, pipe, _had(answer, reference), sent)
            if not is_a(answer := _heard(pipe), "kept"):
                raise Malformed(f"expected that the model was kept, and found {answer!r:.80}")
    except (BrokenPipeError, ConnectionResetError):
        # It may have said why before it went.
        with suppress(EOFError, OSError):
            _heard(pipe)
        raise


def _heard(pipe: FramedPipe) -> tuple[Any, ...]:
    """The next message that is no beat. Raises NotTaken where it is a refusal."""
    message = heard(pipe)
    if is_a(message, "refused", 1) and isinstance(message[1], str):
        raise NotTaken(shown(message[1][:MOST_CHARACTERS]))
    return message


def _had(answer: tuple[Any, ...], reference: Reference) -> list[tuple[int, str]]:
    """How many bytes of each file the other end has, and the SHA-256 of these."""
    said = answer[1] if is_a(answer, "have", 1) else None
    if not isinstance(said, list) or len(said) != len(reference.files):
        raise Malformed(f"expected what there is of {len(reference.files)} files, and found {answer!r:.80}")
    for had, file in zip(said, reference.files, strict=True):
        if not isinstance(had, list) or [type(value) for value in had] != [int, str] or not 0 <= had[0] <= file.bytes:
            raise Malformed(f"expected what there is of {file.name}, a number of bytes and their SHA-256, and found {had!r:.80}")
    return [(count, digest) for count, digest in said]


def _send_files(reference: Reference, path: Path, pipe: FramedPipe, had: list[tuple[int, str]], sent: Sent) -> None:
    for number, (file, (count, digest)) in enumerate(zip(reference.files, had, strict=True)):
        place = path if reference.is_file else path / file.name
        with opened(place) as descriptor:
            start = count if count and _begins(descriptor, count, digest, lambda: pipe.send(("beat",))) else 0
            pipe.send(("file", number, start))
            sent(start)
            _send_rest(descriptor, start, file, pipe, sent)


def _begins(descriptor: int, count: int, digest: str, beat: Callable[[], None]) -> bool:
    """Whether the file begins with that many bytes of that SHA-256."""
    ours, at = hashlib.sha256(), 0
    while at < count and (piece := os.pread(descriptor, min(BLOCK, count - at), at)):
        ours.update(piece)
        at += len(piece)
        if not at % BEAT_BYTES:
            beat()
    return at == count and ours.hexdigest() == digest


def _send_rest(descriptor: int, start: int, file: FileReference, pipe: FramedPipe, sent: Sent) -> None:
    while start < file.bytes:
        block = os.pread(descriptor, min(BLOCK, file.bytes - start), start)
        if not block:
            raise ModelMissing(f"{file.name} was changed while it was sent; let it be written to its end, and try again")
        pipe.send(("block", np.frombuffer(block, np.uint8)))
        start += len(block)
        sent(len(block))
