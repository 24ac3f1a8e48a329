"""Loading Stable Diffusion 1.5 and XL of full size, component by component: out of one file under the original names, and out of
the folder that diffusers writes. The weights are random; the shipped configurations are put to the test at the same time.

Each component is loaded in a process of its own, until each of its weights was read once; the files are in the page cache for both.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.figures import Figure, run
from daemon.models.checkpoints.kinds import CONFIGS
from daemon.models.folders import INDEX
from daemon.models.registry import Model, Models
from tests import originals
from tests.full_size import parts_of, write_holes

ITEM = 12
MODELS = {"stable-diffusion-1": ("sd1", "SD1.5"), "stable-diffusion-xl": ("sdxl", "SDXL")}
ROUNDS = 2
BLOCK = 1 << 24
"""How many random numbers the weights are pieces of."""
GB = 1e9


def figures() -> Iterator[Figure]:
    """Seconds and peak memory of each component from the file beside the folder, and whether all weights are the same bits."""
    for configs, (kind, called) in MODELS.items():
        with tempfile.TemporaryDirectory(prefix="tiffsd-loading-") as root:
            yield from _of_one_model(Path(root), configs, kind, called)


def _of_one_model(root: Path, configs: str, kind: str, called: str) -> Iterator[Figure]:
    file, folder = root / "model.safetensors", root / "folder"
    folder.mkdir()
    shutil.copy(CONFIGS / configs / INDEX, folder)
    offsets = write_holes(originals.KINDS[kind](parts_of(configs)), file)
    told: dict[str, dict[str, list[Any]]] = {}
    sizes: dict[str, int] = {}
    for name in (name for name, part in vars(parts_of(configs)).items() if part is not None):
        sizes[name] = _write_component(name, kind, configs, file, offsets, folder)
        told[name] = {way: [_loaded(path, name) for _ in range(ROUNDS)] for way, path in (("file", file), ("folder", folder))}
        shutil.rmtree(folder / name)
        seconds, beside = _fastest(told[name]["file"]), _fastest(told[name]["folder"])
        yield Figure(
            ITEM, f"{called}: {name} from one file, {sizes[name] / GB:.2f} GB", seconds, "s", note=f"folder: {beside:.2f} s"
        )
    total = {way: sum(_fastest(each[way]) for each in told.values()) for way in ("file", "folder")}
    most = {way: max(once["bytes"] for each in told.values() for once in each[way]) / max(sizes.values()) for way in total}
    same = all(once["sums"] == each["folder"][0]["sums"] for each in told.values() for way in total for once in each[way])
    whole = f"of {file.stat().st_size / GB:.1f} GB in all; folder: {most['folder']:.2f} x"
    yield Figure(ITEM, f"{called}: all components, one file over the folder", total["file"] / total["folder"], "x", at_most=1.5)
    yield Figure(ITEM, f"{called}: peak memory over the largest component", most["file"], "x", at_most=1.15, note=whole)
    yield Figure(ITEM, f"{called}: all weights are the same bits as from the folder (1: yes)", float(same), at_least=1)


def _fastest(rounds: list[Any]) -> float:
    return float(min(once["seconds"] for once in rounds))


def _write_component(name: str, kind: str, configs: str, file: Path, offsets: Mapping[str, int], folder: Path) -> int:
    """Write a component of random weights into the file and into the folder; return its size in bytes."""
    parts_of.cache_clear()  # one component at a time is in memory
    parts = parts_of(configs)
    part = getattr(parts, name).half().to_empty(device="cpu")
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(1)).half() * 0.05
    for number, weight in enumerate(part.state_dict().values()):
        start = number * 4099 % (BLOCK // 2)  # each begins elsewhere, so that no two are alike
        weight.copy_(block[start:].repeat(weight.numel() // (BLOCK - start) + 1)[: weight.numel()].reshape(weight.shape))
    with file.open("r+b") as stream:
        for key, weight in originals.KINDS[kind](SimpleNamespace(**vars(parts))).items():
            if weight.device.type == "cpu" and weight.ndim:
                stream.seek(offsets[key])
                stream.write(memoryview(weight.detach().half().contiguous().numpy()).cast("B"))
    part.save_pretrained(folder / name, max_shard_size="50GB")
    return sum(weight.nbytes for weight in part.state_dict().values())


def _loaded(path: Path, name: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.loading", "--load", str(path), name]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _load(path: str, name: str) -> None:
    """In a process of its own: load one component, read all its weights, and say what that took."""
    model, models = Model("loaded", path, dtype="float16"), Models(1 << 40)
    model.source().component_class(name)  # what the libraries take to load is no part of it
    before, started = _resident_bytes("VmRSS"), time.perf_counter()
    weights = models.component(model, name).state_dict()
    sums = {key: zlib.crc32(memoryview(weight.numpy()).cast("B")) for key, weight in weights.items()}
    seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps({"seconds": seconds, "bytes": _resident_bytes("VmHWM") - before, "sums": sums}))


def _resident_bytes(what: str) -> int:
    """What of this process is in memory (VmRSS), or was at most (VmHWM)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        _load(*sys.argv[2:4])
    else:
        run(figures)
