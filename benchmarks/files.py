"""How much an artifact costs beside its raw bytes: `python -m benchmarks.files` prints one table.

Each row is a median over rounds in which ours and the others take turns, so that whatever else the machine does slows all of them;
the figure to look at is the ratio. Files lie in memory (/dev/shm) where there is room: a disk would hide the difference.
"""

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

import tiffsd
from tiffsd import Artifact, Header, Kind, Layout, State

Tensors = Mapping[str, NDArray[Any]]
MIB = 2**20


@dataclass(frozen=True)
class Row:
    """One measurement: milliseconds of ours, and how many times as long as each other way."""

    what: str
    milliseconds: float
    ratios: Mapping[str, float]


class CountingFile(io.FileIO):
    """A file that counts the bytes that are read from it."""

    bytes_read = 0

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self.bytes_read += count or 0
        return count

    def read(self, size: int | None = -1) -> bytes | None:
        data = super().read(size)
        self.bytes_read += len(data or b"")
        return data

    def readall(self) -> bytes | None:
        data = super().readall()
        self.bytes_read += len(data or b"")
        return data


def artifacts() -> Iterator[tuple[str, Artifact]]:
    """What is measured, by name."""
    yield "latents 4x64x64", _latents(4, 64)
    yield "latents 16x128x128", _latents(16, 128)
    embedding = {
        "prompt_embeds": _normal(77, 2048),
        "negative_prompt_embeds": _normal(77, 2048),
        "pooled_prompt_embeds": _normal(1280),
    }
    yield "embedding of SDXL", Artifact(Header(Kind.EMBEDDING, tiffsd.new_id(), Layout.STRIP, (77, 77, 2048)), embedding)
    yield "picture 4096x4096", picture(4096)


def picture(side: int) -> Artifact:
    pixels = np.random.default_rng(1).random((side, side, 3), dtype=np.float32)
    return Artifact(Header(Kind.PICTURE, tiffsd.new_id(), Layout.RGB, pixels.shape), {"picture": pixels})


def measured(name: str, artifact: Artifact, folder: Path, *, rounds: int) -> list[Row]:
    """Writing and reading one artifact, beside plain tifffile with the same canvas and numpy with the same tensors."""
    ours, theirs, numpys = folder / "ours.tiff", folder / "theirs.tiff", folder / "tensors.npz"
    pages = _pages(artifact)

    def write_with_tifffile() -> None:
        with theirs.open("wb") as file:
            for page in pages:
                tifffile.imwrite(file, page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)
            file.flush()
            os.fsync(file.fileno())

    writing = {
        "ours": lambda: tiffsd.write(ours, artifact),
        "tifffile": write_with_tifffile,
        "numpy": lambda: np.savez(numpys, **artifact.tensors),
    }
    reading = {
        "ours": lambda: tiffsd.read(ours),
        "tifffile": lambda: tifffile.imread(theirs),
        "numpy": lambda: _load(numpys),
    }
    return [_row(f"write {name}", writing, rounds), _row(f"read  {name}", reading, rounds)]


def inspected(folder: Path, *, rounds: int) -> tuple[float, int, int]:
    """Milliseconds and bytes read by `inspect` of an artifact with 64 MB of tensors, and the size of its file."""
    path = folder / "large.tiff"
    tiffsd.write(path, _latents(16, 512, scheduler=3))
    seconds = statistics.median(_timed(lambda: tiffsd.inspect(path)) for _ in range(max(rounds, 5)))
    with CountingFile(path) as file:
        tiffsd.inspect(file)
    return seconds * 1000, file.bytes_read, path.stat().st_size


def _latents(channels: int, side: int, *, scheduler: int = 0) -> Artifact:
    header = Header(Kind.LATENTS, tiffsd.new_id(), Layout.MOSAIC, (channels, side, side), state=State.NOISE)
    memory = {f"scheduler.model_outputs.{k}": _normal(channels, side, side) for k in range(scheduler)}
    return Artifact(header, {"latents": _normal(channels, side, side), **memory})


def _normal(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def _pages(artifact: Artifact) -> list[NDArray[Any]]:
    """The canvas as tifffile would be given it."""
    file = io.BytesIO()
    tiffsd.write(file, artifact)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        return [page.asarray() for page in tiff.pages]


def _load(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def _row(what: str, ways: Mapping[str, Callable[[], object]], rounds: int) -> Row:
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(_timed(way))
    ratios = {
        name: statistics.median(a / b for a, b in zip(times["ours"], times[name], strict=True)) for name in ways if name != "ours"
    }
    return Row(what, 1000 * statistics.median(times["ours"]), ratios)


def _timed(way: Callable[[], object]) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.files", description="What artifacts cost beside their raw bytes.")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args(arguments).rounds
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        sys.stdout.write(f"{'median of ' + str(rounds):28}{'ours, ms':>10}{'/ tifffile':>12}{'/ numpy':>10}\n")
        for name, artifact in artifacts():
            for row in measured(name, artifact, Path(folder), rounds=rounds):
                sys.stdout.write(
                    f"{row.what:28}{row.milliseconds:10.1f}{row.ratios['tifffile']:12.2f}{row.ratios['numpy']:10.2f}\n"
                )
        milliseconds, count, size = inspected(Path(folder), rounds=rounds)
        sys.stdout.write(f"inspect of {size / MIB:.0f} MiB{milliseconds:21.1f}   {count} bytes read\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
