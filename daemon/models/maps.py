"""Feature maps that are read and written in row strips: in memory, or in scratch files where it must not grow with the picture.

Rows lie one after the other as (width, channels), so that a strip is one run of bytes, and as a tensor has the memory format
channels_last. Scratch files have no name: whatever happens to the process, nothing is left of them.
"""

import functools
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any, Protocol

import torch

from daemon.models.copies import Copies

# Fewer than torch shares among threads: where the machine is busy they would wait for each other at every portion.
CACHED_VALUES = 2**15 - 1


class Storage(Protocol):
    """Rows of values, all of one length."""

    def read(self, start: int, stop: int, length: int) -> torch.Tensor:
        """The first `length` values of the rows from start to stop: (rows, length)."""

    def write(self, start: int, rows: torch.Tensor) -> None:
        """Overwrite the beginnings of the rows from `start` on with (rows, length)."""


class Memory:
    """Rows in main memory."""

    def __init__(self, height: int, length: int, dtype: torch.dtype) -> None:
        self._rows = torch.empty(height, length, dtype=dtype)

    def read(self, start: int, stop: int, length: int) -> torch.Tensor:
        return self._rows[start:stop, :length]

    def write(self, start: int, rows: torch.Tensor) -> None:
        self._rows[start : start + len(rows), : rows.shape[1]].copy_(rows)


class Scratch:
    """Rows in a file of `folder` whose space is taken at once. Raises OSError where there is too little of it."""

    def __init__(self, folder: Path, height: int, length: int, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._row_bytes = length * dtype.itemsize
        self._file, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        weakref.finalize(self, os.close, self._file)
        os.posix_fallocate(self._file, 0, height * self._row_bytes)

    def read(self, start: int, stop: int, length: int) -> torch.Tensor:
        rows = torch.empty(stop - start, length, dtype=self._dtype)
        for offset, buffer in self._runs(start, rows):
            while buffer:
                got = os.preadv(self._file, [buffer], offset)
                offset, buffer = offset + got, buffer[got:]
        return rows

    def write(self, start: int, rows: torch.Tensor) -> None:
        for offset, buffer in self._runs(start, rows.cpu().contiguous()):
            while buffer:
                put = os.pwrite(self._file, buffer, offset)
                offset, buffer = offset + put, buffer[put:]

    def _runs(self, start: int, rows: torch.Tensor) -> list[tuple[int, memoryview]]:
        """(offset, bytes) of each run of rows in the file: all at once, or row by row where rows do not fill their places."""
        data: Any = rows.view(torch.uint8).numpy()
        offset = start * self._row_bytes
        if data.shape[1] == self._row_bytes:
            return [(offset, memoryview(data.reshape(-1)))]
        return [(offset + number * self._row_bytes, memoryview(row)) for number, row in enumerate(data)]


def _moments(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of pixels (n, channels) and the sum of squared distances from it, in float64; eight times as fast as var_mean.

    On a CPU in portions that stay in its cache, and as distances from one of the pixels, so that the squares do not cancel out.
    """
    pivot = pixels[0].float()
    portion = max(CACHED_VALUES // pixels.shape[1], 1) if pixels.device.type == "cpu" else len(pixels)
    total = torch.zeros_like(pivot, dtype=torch.float64)
    squares = torch.zeros_like(total)
    for part in torch.split(pixels, portion):
        apart = part.float() - pivot
        total += apart.sum(dim=0)
        squares += apart.square_().sum(dim=0)
    mean = total / len(pixels)
    squares -= mean * total
    return pivot + mean, squares


class FeatureMap:
    """A map (height, width, channels) on a storage, and what a group normalisation needs to know of all of it.

    The statistics grow while it is written, each row once; they are merged in float64, so that they do not depend on the strips,
    and on the device of the strips, which is not waited for.
    """

    def __init__(self, storage: Storage, height: int, width: int, channels: int) -> None:
        self.height, self.width, self.channels = height, width, channels
        self.storage = storage
        self._count = 0
        self._mean = torch.zeros(channels, dtype=torch.float64)
        self._squares = torch.zeros(channels, dtype=torch.float64)

    def read(self, start: int, stop: int) -> torch.Tensor:
        """Rows (rows, width, channels)."""
        return self.storage.read(start, stop, self.width * self.channels).view(-1, self.width, self.channels)

    def write(self, start: int, strip: torch.Tensor, copies: Copies) -> None:
        """Put rows (rows, width, channels) in their place; `copies` may not have brought them there before it is finished."""
        copies.put(functools.partial(self.storage.write, start), strip.reshape(len(strip), -1))
        self._merge(strip)

    def _merge(self, strip: torch.Tensor) -> None:
        """Chan's parallel form of the variance (Chan, Golub, LeVeque 1979)."""
        count = strip.shape[0] * strip.shape[1]
        mean, squares = _moments(strip.reshape(count, -1))
        total = self._count + count
        self._mean, self._squares = self._mean.to(mean.device), self._squares.to(mean.device)
        apart = mean - self._mean
        self._squares += squares + apart.square() * (self._count * count / total)
        self._mean += apart * (count / total)
        self._count = total

    def normalisation(self, norm: torch.nn.GroupNorm) -> tuple[torch.Tensor, torch.Tensor]:
        """The group normalisation of the whole map as a factor and a shift of each channel, (channels,) each, float32."""
        means = self._mean.cpu().view(norm.num_groups, -1)
        mean = means.mean(dim=1, keepdim=True)
        variance = (self._squares.cpu().view_as(means) / self._count + (means - mean).square()).mean(dim=1, keepdim=True)
        scale = (norm.weight.double().cpu().view_as(means) / (variance + norm.eps).sqrt()).flatten()
        shift = norm.bias.double().cpu() - mean.expand_as(means).flatten() * scale
        return scale.float(), shift.float()
