"""The way of rows to the device that computes, and back. With an accelerator some travel while others are computed.

Copies to and from pinned memory need no one to wait for them, and each direction has a stream of its own, so that the rows after
those that are worked on are on their way, and those before. Only they are ever pinned, because pinned memory is nobody else's.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import torch

Read = Callable[[], torch.Tensor]
Write = Callable[[torch.Tensor], None]


class Copies(Protocol):
    """Brings rows from main memory to a device and back."""

    def fetched(self, reads: Iterable[Read]) -> Iterator[torch.Tensor]:
        """On the device, what each of these reads gives, each read when it is wanted or one ahead."""

    def put(self, write: Write, rows: torch.Tensor) -> None:
        """Let `write` have these rows of the device; what it is given is in main memory, or rows that it can copy from."""

    def finish(self) -> None:
        """Return when all that was put is written."""


def copies_for(device: torch.device) -> Copies:
    """Return what copies best for a device."""
    return CopiesBeside(device) if device.type == "cuda" else CopiesInTurn(device)


class CopiesInTurn:
    """One after the other; on a CPU there is nothing to copy."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def fetched(self, reads: Iterable[Read]) -> Iterator[torch.Tensor]:
        return (read().to(self._device) for read in reads)

    def put(self, write: Write, rows: torch.Tensor) -> None:
        write(rows)

    def finish(self) -> None:
        """Nothing is left to be done."""


class CopiesBeside:
    """Those of CUDA, beside what its current stream computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        stream: Callable[..., Any] = torch.cuda.Stream
        self._inwards, self._outwards = stream(device), stream(device)
        self._leaving: deque[tuple[Write, torch.Tensor, torch.Tensor, Any]] = deque()

    def fetched(self, reads: Iterable[Read]) -> Iterator[torch.Tensor]:
        coming: tuple[torch.Tensor, Any] | None = None
        for read in reads:
            following = self._sent(read())
            if coming is not None:
                yield self._arrived(*coming)
            coming = following
        if coming is not None:
            yield self._arrived(*coming)

    def put(self, write: Write, rows: torch.Tensor) -> None:
        pinned = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
        self._outwards.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._outwards):
            pinned.copy_(rows, non_blocking=True)
            copied = self._outwards.record_event()
        # The rows must be there until then: their memory would be given to what is computed meanwhile.
        self._leaving.append((write, pinned, rows, copied))
        if len(self._leaving) > 1:
            self._written()

    def finish(self) -> None:
        while self._leaving:
            self._written()

    def _sent(self, rows: torch.Tensor) -> tuple[torch.Tensor, Any]:
        # What is computed may still read the rows of before, whose memory these are given.
        self._inwards.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._inwards):
            # Of rows with gaps between them pin_memory would make some with gaps, which are not copied in one go.
            pinned = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True).copy_(rows)
            return pinned.to(self._device, non_blocking=True), self._inwards.record_event()

    def _arrived(self, rows: torch.Tensor, copied: Any) -> torch.Tensor:
        torch.cuda.current_stream(self._device).wait_event(copied)
        return rows

    def _written(self) -> None:
        write, pinned, _, copied = self._leaving.popleft()
        copied.synchronize()
        write(pinned)
