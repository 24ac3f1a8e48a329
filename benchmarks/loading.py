"""Loading Stable Diffusion 1.5 and XL of full size, component by component: out of one file under the original names, and out of
the folder that diffusers writes. The weights are random; the shipped configurations are put to the test at the same time.

Each component is loaded in a process of its own, until each of its weights was read once; the files are in the page cache for both.
"""

import multiprocessing
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.figures import Figure, run
from daemon.models.checkpoints.kinds import CONFIGS
from daemon.models.folders import INDEX
from daemon.models.registry import Models, ModelSpec
from tests import originals
from tests.full_size import parts_of, write_holes

ITEM = 12
MODELS = {"stable-diffusion-1": ("sd1", "SD1.5"), "stable-diffusion-xl": ("sdxl", "SDXL")}
ROUNDS = 2
BLOCK = 1 << 24
"""How many random numbers the weights are pieces of."""
GB = 1e9
FORK = multiprocessing.get_context("fork")


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
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
            sizes[name] = elsewhere.submit(_write_component, name, kind, configs, file, offsets, folder).result()
        told[name] = {way: [loaded(path, name) for _ in range(ROUNDS)] for way, path in (("file", file), ("folder", folder))}
        shutil.rmtree(folder / name)
        seconds, beside = _fastest(told[name]["file"]), _fastest(told[name]["folder"])
        yield Figure(
            ITEM, f"{called}: {name} from one file, {sizes[name] / GB:.2f} GB", seconds, "s", note=f"folder: {beside:.2f} s"
        )
    total = {way: sum(_fastest(each[way]) for each in told.values()) for way in ("file", "folder")}
    most = {way: max(once["bytes"] for each in told.values() for once in each[way]) / max(sizes.values()) for way in total}
    same = all(once["sums"] == each["folder"][0]["sums"] for each in told.values() for way in total for once in each[way])
    whole = f"of {file.stat().st_size / GB:.1f} GB in all; folder: {most['folder']:.2f} x"
    over = "the folder is mapped, not read"
    yield Figure(ITEM, f"{called}: all components, one file over the folder", total["file"] / total["folder"], "x", note=over)
    yield Figure(ITEM, f"{called}: peak memory over the largest component", most["file"], "x", at_most=1.15, note=whole)
    yield Figure(ITEM, f"{called}: all weights are the same bits as from the folder (1: yes)", float(same), at_least=1)


def _fastest(rounds: list[Any]) -> float:
    return float(min(once["seconds"] for once in rounds))


def _write_component(name: str, kind: str, configs: str, file: Path, offsets: Mapping[str, int], folder: Path) -> int:
    """Write a component of random weights into the file and into the folder; return its size in bytes."""
    parts = parts_of(configs)
    part = getattr(parts, name).half().to_empty(device="cpu")
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(1)).half() * 0.05
    for number, weight in enumerate(part.state_dict().values()):
        # Each begins elsewhere, so that no two are alike.
        start, flat = number * 4099 % (BLOCK // 2), weight.view(-1)
        for place in range(0, len(flat), BLOCK // 2):
            piece = flat[place : place + BLOCK // 2]
            piece.copy_(block[start : start + len(piece)])
    with file.open("r+b") as stream:
        for key, weight in originals.KINDS[kind](SimpleNamespace(**vars(parts))).items():
            if weight.device.type == "cpu" and weight.ndim:
                stream.seek(offsets[key])
                stream.write(memoryview(weight.detach().half().contiguous().numpy()).cast("B"))
    part.save_pretrained(folder / name, max_shard_size="50GB")
    return sum(weight.nbytes for weight in part.state_dict().values())


def loaded(path: Path, name: str) -> Any:
    """What it takes to load a component in a process of its own, until each of its weights was read once."""
    # A fork has the libraries already; it may compute, because this process itself never does.
    here, there = FORK.Pipe()
    process = FORK.Process(target=_load, args=(str(path), name, there))
    process.start()
    told = here.recv()
    process.join()
    return told


def _load(path: str, name: str, pipe: Any) -> None:
    model, models = ModelSpec("loaded", path, dtype="float16"), Models(1 << 40)
    model.source().component_class(name)
    before, started = _resident_bytes("VmRSS"), time.perf_counter()
    weights = models.component(model, name).state_dict()
    sums = {key: zlib.crc32(memoryview(weight.numpy()).cast("B")) for key, weight in weights.items()}
    pipe.send({"seconds": time.perf_counter() - started, "bytes": _resident_bytes("VmHWM") - before, "sums": sums})


def _resident_bytes(what: str) -> int:
    """What of this process is in memory (VmRSS), or was at most (VmHWM)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    run(figures)
