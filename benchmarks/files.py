"""How much an artifact costs beside its raw bytes, written and read; item 9.

Files lie in memory (/dev/shm) where there is room: a disk would hide the difference. A TIFFSD file holds its numbers twice, on the
canvas and, a third longer, as text; so between two and three times the bytes of numpy's file is what cannot be had for less.
"""

import io
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

import tiffsd
from benchmarks.figures import Figure, number, run
from benchmarks.timing import ratio, seconds_of, taking_turns
from tiffsd import Artifact, Header, Kind, Layout, State

ROUNDS = 15
HEADLINE = ("read", "latents 16x128x128")


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


def measured(name: str, artifact: Artifact, folder: Path) -> Iterator[Figure]:
    """Writing and reading one artifact, beside numpy with the same tensors and plain tifffile with the same canvas."""
    ours, theirs, numpys = folder / "ours.tiff", folder / "theirs.tiff", folder / "tensors.npz"
    pages = _pages(artifact)

    def write_with_tifffile() -> None:
        with theirs.open("wb") as file:
            for page in pages:
                tifffile.imwrite(file, page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)

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
    most = 1.5 if artifact.header.kind is Kind.PICTURE else 5.0  # where it is more than a millisecond or two
    for what, ways in (("write", writing), ("read", reading)):
        times = taking_turns(ways, rounds=ROUNDS)
        found = ratio(times["ours"], times["numpy"])
        each = ", ".join(f"{way} {number(1000 * statistics.median(seconds))} ms" for way, seconds in times.items())
        yield Figure(
            *(9, f"{what} {name}, against numpy", found.median, "x", found.low, found.high),
            at_most=most,
            note=each,
            headline=(what, name) == HEADLINE,
        )
    _check_same(artifact, tiffsd.read(ours))


def _check_same(written: Artifact, found: Artifact) -> None:
    """That no speed comes from reading less."""
    assert found.painted == 0
    assert found.tensors.keys() == written.tensors.keys()
    assert all(np.array_equal(found.tensors[key], tensor) for key, tensor in written.tensors.items())


def inspected(folder: Path) -> Figure:
    """How much of a file is read to say what it is."""
    path = folder / "large.tiff"
    tiffsd.write(path, _latents(16, 512, scheduler=3))
    seconds = statistics.median(seconds_of(lambda: tiffsd.inspect(path)) for _ in range(ROUNDS))
    with CountingFile(path) as file:
        tiffsd.inspect(file)
    note = f"{file.bytes_read} bytes of {path.stat().st_size / 2**20:.0f} MiB are read"
    return Figure(9, "inspect half-done latents with their scheduler's memory", 1000 * seconds, "ms", at_most=2, note=note)


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


def figures() -> Iterator[Figure]:
    """Each artifact written and read, and one inspected."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        for name, artifact in artifacts():
            yield from measured(name, artifact, Path(folder))
        yield inspected(Path(folder))


if __name__ == "__main__":
    run(figures)
