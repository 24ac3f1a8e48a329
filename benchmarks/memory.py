"""The peak of memory of each stage with models of full size, beside that of the pipeline in one piece; item 7.

Stable Diffusion 1.5 in float32 and XL in bfloat16, unless --dtype says another, on the CPU, random weights, pictures of 512x512 in
one step. Each stage runs in a process of its own that reads its components from the disk, as the one piece does, so that each peak
is its own; Python, torch and diffusers, about half a GiB, are in all of them. Takes 12 GB of the disk for a few minutes, XL in
float32 alone 14.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, run
from daemon.compute.process import environment

GIB = 2**30
SIDE, STEPS = 512, 1
STAGES = ("text", "diffuse", "decode", "encode")
WHOLE, ALL = "one piece", "all stages"
NAMES = {"stable-diffusion-1": "SD 1.5", "stable-diffusion-xl": "SDXL"}
RUN_IN = {"stable-diffusion-1": "float32", "stable-diffusion-xl": "bfloat16"}
DTYPES_OF_CPUS = ("float32", "bfloat16")
PLENTY = 2**40


def _settings(folder: Path, dtype: str) -> dict[str, Any]:
    model = {"name": "random", "path": str(folder), "dtype": dtype}
    recipe = {"prompt": "a cat", "negative_prompt": "a dog", "seed": 1, "seeds": [1], "guidance_scale": 5.0, "state": "noise"}
    return {**recipe, "width": SIDE, "height": SIDE, "steps": STEPS, "model": model}


def run_parts(stages: Sequence[str], folder: Path, dtype: str, tensors: Mapping[str, Any], budget_bytes: int) -> dict[str, Any]:
    """Run stages one after the other in this process, and return what the last one gave."""
    from importlib import import_module

    from daemon.models.registry import Models

    models, made = Models(budget_bytes), dict(tensors)
    for stage in stages:
        out, _ = import_module(f"daemon.stages.{stage}").run(models, made, _settings(folder, dtype), lambda *_: None)
        made = {**made, **{key: value[0] if stage == "text" and key in ONE_EACH else value for key, value in out.items()}}
    return made


ONE_EACH = ("latents", "generator_state")  # the text stage gives those of all pictures


def run_whole(folder: Path, dtype: str) -> dict[str, Any]:
    """The same picture with diffusers in one piece."""
    import torch
    from diffusers import DiffusionPipeline

    from daemon.models.registry import DTYPES  # which also keeps both libraries from talking

    pipe = DiffusionPipeline.from_pretrained(folder, dtype=DTYPES[dtype], local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    asked = {"prompt": "a cat", "negative_prompt": "a dog", "width": SIDE, "height": SIDE, "guidance_scale": 5.0}
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn((1, 4, SIDE // 8, SIDE // 8), generator=generator)
    with torch.no_grad():
        given = {"latents": latents.to(pipe.dtype), "generator": generator, "num_inference_steps": STEPS}
        pictures = pipe(**asked, **given, output_type="pt").images
    return {"picture": pictures[0].permute(1, 2, 0).float()}


def measure(what: str, folder: Path, dtype: str, tensors: Path, budget_bytes: int) -> int:
    """Do it in this process, add what it made to the tensors, and return the peak in bytes."""
    import torch

    given = torch.load(tensors) if tensors.exists() else {}
    if what == WHOLE:
        made = {f"whole {key}": value for key, value in run_whole(folder, dtype).items()}
    else:
        made = run_parts(("text", "diffuse", "decode") if what == ALL else (what,), folder, dtype, given, budget_bytes)
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    if what != ALL:
        torch.save({**given, **made}, tensors)
    return peak


def peak_of(what: str, folder: Path, dtype: str, tensors: Path, budget_bytes: int = PLENTY) -> int:
    """The same in a process of its own."""
    words = [what, str(folder), dtype, str(tensors), str(budget_bytes)]
    command = [sys.executable, "-m", "benchmarks.memory", "--measure", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=None if what == WHOLE else environment())
    return int(done.stdout)


def figures(names: Sequence[str] = tuple(NAMES), dtype: str | None = None) -> Iterator[Figure]:
    """Each model by stages, in one piece, and by stages in one process within a budget."""
    for name in names:
        with tempfile.TemporaryDirectory() as place:
            yield from _of_model(name, dtype or RUN_IN[name], Path(place))


def _of_model(name: str, dtype: str, place: Path) -> Iterator[Figure]:
    folder, tensors, label = _written(name, dtype, place), place / "tensors.pt", f"{NAMES[name]} {dtype}"
    sizes = {path.name: _weights(path) for path in folder.iterdir() if path.is_dir()}
    peaks = {stage: peak_of(stage, folder, dtype, tensors) for stage in STAGES}
    for stage, peak in peaks.items():
        yield Figure(7, f"{label}, {stage}: peak memory", peak / GIB, "GiB")
    whole, most = peak_of(WHOLE, folder, dtype, tensors), max(peaks.values())
    yield Figure(7, f"{label}, one piece: peak memory", whole / GIB, "GiB")
    # Of the weights only the largest component has to be there; what it works on is there in both ways.
    least = 1 - (sum(sizes.values()) - max(sizes.values())) / whole
    note = f"weights {sum(sizes.values()) / GIB:.2f} GiB, the largest component {max(sizes.values()) / GIB:.2f}"
    ratio = most / whole
    yield Figure(7, f"{label}: largest stage, one piece = 1", ratio, "x", at_most=least * 1.05, note=note, headline=True)
    budget = max(sizes.values()) + 2**20
    within = peak_of(ALL, folder, dtype, tensors, budget)
    what = f"{label}: all stages in one process, memory_gb {budget / 1e9:.2f}, largest stage = 1"
    yield Figure(7, what, within / most, "x", at_most=1.1, note=f"{within / GIB:.2f} GiB")
    yield _difference(label, dtype, tensors)


def _written(name: str, dtype: str, place: Path) -> Path:
    """The folder of a model, made by a process of its own, whose memory is free again afterwards."""
    words = [sys.executable, "-m", "benchmarks.memory", "--write", name, dtype, str(place / "model")]
    return Path(subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True).stdout)


def _difference(label: str, dtype: str, tensors: Path) -> Figure:
    import torch

    made = torch.load(tensors)
    off = (made["picture"].clamp(0, 1) - made["whole picture"]).abs().max()
    # In float32 the bits are the same.
    most = 0.0 if dtype == "float32" else 1 / 255
    return Figure(7, f"{label}: largest difference of the picture from that of one piece", float(off), "", at_most=most)


def _weights(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--measure", nargs=5)
    parser.add_argument("--write", nargs=3)
    parser.add_argument("--model", choices=NAMES, action="append")
    parser.add_argument("--dtype", choices=DTYPES_OF_CPUS)
    given, rest = parser.parse_known_args()
    if given.write:
        from benchmarks.random_models import SD1, shared_stable_diffusion_1, write_model

        name, dtype, folder = given.write
        made = shared_stable_diffusion_1() if (name, dtype) == (SD1, "float32") else write_model(name, Path(folder), dtype)
        sys.stdout.write(str(made))
    elif given.measure:
        what, folder, dtype, tensors, budget = given.measure
        sys.stdout.write(str(measure(what, Path(folder), dtype, Path(tensors), int(budget))))
    else:
        sys.argv[1:] = rest
        run(lambda: figures(given.model or tuple(NAMES), given.dtype))


if __name__ == "__main__":
    main()
