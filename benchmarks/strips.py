"""The VAE in exact row strips, beside the VAE in one piece and diffusers' tiling; item 8.

The architecture is that of Stable Diffusion 1 with random weights, in float32. Each way runs in a process of its own, so that its
peak of memory is its own; the time is that of the work alone, after a small picture has warmed it up. `--side 2048` measures a
larger picture, which takes a quarter of an hour and 17 GiB for the one piece; that is left out with `--without whole`.
`--direction encode` measures the way back.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from benchmarks.figures import Figure, run
from daemon.compute.process import environment
from daemon.models.strips import Room, decode, encode

SIDE = 1024
FACTOR = 8
# What the strips' feature maps take in memory, and not enough for the one piece.
STRIPS_BYTES_PER_PIXEL = 2300
BUDGET_BYTES = 2 * 2**30
GIB = 2**30
OURS = ("strips", "scratch")
WAYS = ("whole", *OURS, "tiles")


def stable_diffusion_1() -> AutoencoderKL:
    """The VAE of Stable Diffusion 1.x, 84 million random weights."""
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    ).eval()


@dataclass(frozen=True)
class Measured:
    """Seconds of the work, its peak above the memory before it, and where its result lies."""

    seconds: float
    peak_bytes: int
    direction: str
    result: Path


def work(way: str, direction: str, side: int, scratch: Path) -> Callable[[AutoencoderKL, int], torch.Tensor]:
    """A function of the VAE and the side of a picture, in pixels, that decodes or encodes noise in this way."""
    room = Room(BUDGET_BYTES if way == "scratch" else STRIPS_BYTES_PER_PIXEL * side**2, scratch)
    by_strips = decode if direction == "decode" else lambda *given: encode(*given).parameters

    def done(vae: AutoencoderKL, side: int) -> torch.Tensor:
        shape = (1, 4, side // FACTOR, side // FACTOR) if direction == "decode" else (1, 3, side, side)
        given = torch.randn(shape, generator=torch.Generator().manual_seed(side))
        if way in OURS:
            return by_strips(vae, given, room, lambda *_: None)
        if way == "tiles":
            vae.enable_tiling()
        return vae.decode(given).sample if direction == "decode" else vae.encode(given).latent_dist.parameters

    return done


@torch.no_grad()
def measure(way: str, direction: str, side: int, result: Path) -> dict[str, Any]:
    """In this process, once."""
    vae, done = stable_diffusion_1(), work(way, direction, side, result.parent)
    done(vae, 64)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    started = time.perf_counter()
    made = done(vae, side)
    seconds = time.perf_counter() - started
    peak_bytes = _memory("VmHWM") - before
    torch.save(made, result)
    return {"seconds": seconds, "peak_bytes": peak_bytes}


def _memory(key: str) -> int:
    """Bytes, of a line of /proc/self/status."""
    return int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0]) * 1024


def measured(way: str, direction: str, side: int, folder: Path) -> Measured:
    """In a process of its own."""
    result = folder / f"{direction}-{way}.pt"
    words = ["-m", "benchmarks.strips", "--measure", way, "--direction", direction, "--side", str(side), "--result", str(result)]
    own = environment() if way in OURS else None
    done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=True, text=True, env=own)
    return Measured(**json.loads(done.stdout), direction=direction, result=result)


def compared(direction: str, side: int, ways: Sequence[str], folder: Path) -> Iterator[Figure]:
    """All ways of one direction beside the one piece."""
    runs = {way: measured(way, direction, side, folder) for way in ways}
    for way in runs:
        yield from _figures(f"{direction} {side}x{side}, {NAMES[way]}", way, side, runs)


def _figures(what: str, way: str, side: int, runs: Mapping[str, Measured]) -> Iterator[Figure]:
    run, whole = runs[way], runs.get("whole")
    kilobytes = f"{run.peak_bytes / side**2 / 1000:.2g} kB per pixel"
    most = BUDGET_BYTES / GIB if way == "scratch" else None
    yield Figure(8, f"{what}: peak memory", run.peak_bytes / GIB, "GiB", at_most=most, note=kilobytes)
    if whole is None or way == "whole":
        yield Figure(8, f"{what}: time", run.seconds, "s")
        return
    headline = (run.direction, way) == ("decode", "strips")
    ratio, most = run.seconds / whole.seconds, 1.15 if way == "strips" else None
    yield Figure(8, f"{what}: time, in one piece = 1", ratio, "x", at_most=most, note=f"{run.seconds:.0f} s", headline=headline)
    expected = torch.load(whole.result)
    off = (torch.load(run.result) - expected).abs()
    most = None if way == "tiles" else 1e-4
    spread = f"mean {off.mean():.1e}; the standard deviation of the whole is {expected.std():.2g}"
    yield Figure(8, f"{what}: largest difference", float(off.max()), "", at_most=most, note=spread)


NAMES = {
    "whole": "in one piece",
    "strips": "in strips in memory",
    "scratch": "in strips, 2 GiB and scratch files",
    "tiles": "in diffusers' tiles",
}


def figures(direction: str = "decode", side: int = SIDE, ways: Sequence[str] = WAYS) -> Iterator[Figure]:
    """Item 8, of which encoding, which takes half of the memory, is measured where it is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        yield from compared(direction, side, ways, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--measure", choices=WAYS)
    parser.add_argument("--direction", choices=("decode", "encode"), default="decode")
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--result", type=Path)
    given, rest = parser.parse_known_args()
    if given.measure:
        sys.stdout.write(json.dumps(measure(given.measure, given.direction, given.side, given.result)))
        return
    sys.argv[1:] = rest
    run(lambda: figures(given.direction, given.side, [way for way in WAYS if way not in given.without]))


if __name__ == "__main__":
    main()
