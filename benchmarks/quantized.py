"""Loading a quantized UNet of full size beside the same one in float16: the peak of memory, and the seconds.

The weights are random, the files are in the page cache, and each is loaded in a process of its own. Takes 5 GB of the disk. With
--judge DIR, in which the judge of the training is kept or trained (ten minutes), also what becomes of the embedded model's pictures
when its UNet is quantized.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, run
from benchmarks.loading import loaded

ITEM = 15
CONFIGS = "stable-diffusion-1"
FLOAT16, FLOAT8, Q8_0, Q4_0 = "float16", "float8_e4m3fn of ComfyUI", "Q8_0", "Q4_0"
FILES = {FLOAT16: "half.safetensors", FLOAT8: "eight.safetensors", Q8_0: "q8.gguf", Q4_0: "q4.gguf"}
ROUNDS = 2
PICTURES = 40
GB = 1e9


def figures(judge: Path | None = None) -> Iterator[Figure]:
    """The peak of memory and the seconds of each form, and with a folder of the judge its verdicts."""
    with tempfile.TemporaryDirectory(prefix="tiffsd-quantized-") as root:
        told = {}
        for form, name in FILES.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
                size = elsewhere.submit(_write, form, Path(root) / name).result()
            told[form] = [loaded(Path(root) / name, "unet") for _ in range(ROUNDS)]
            yield from _of_form(form, told, size, Path(root) / name)
    if judge is not None:
        yield from _verdicts(judge)


def _of_form(form: str, told: dict[str, Any], size: int, file: Path) -> Iterator[Figure]:
    peak, seconds = (min(once[what] for once in told[form]) for what in ("bytes", "seconds"))
    beside = min(once["seconds"] for once in told[FLOAT16])
    note = f"the file {file.stat().st_size / GB:.2f} GB, loaded {size / GB:.2f} GB in float16"
    # A piece of a weight in float32 for each of the readers, and what is read of it, come on top of the weights.
    yield Figure(ITEM, f"SD1.5's UNet in {form}: peak memory over the loaded weights", peak / size, "x", at_most=1.25, note=note)
    yield Figure(ITEM, f"SD1.5's UNet in {form}: time over that of float16", seconds / beside, "x", note=f"{seconds:.1f} s")


def _write(form: str, file: Path) -> int:
    """Write a UNet of full size in a form; return the bytes of its weights in float16."""
    import torch

    from tests import originals
    from tests.full_size import parts_of
    from tests.quantized import quantized, write_gguf

    unet = parts_of(CONFIGS).unet.half().to_empty(device="cpu")
    source = torch.Generator().manual_seed(1)
    block = torch.randn(1 << 24, generator=source).half() * 0.05
    for weight in unet.state_dict().values():
        flat = weight.view(-1)
        for first in range(0, len(flat), len(block)):
            flat[first : first + len(block)] = block[: len(flat) - first]
    weights = originals.unet(unet)
    if form == FLOAT16:
        originals.write(weights, file)
    elif form == FLOAT8:
        quantized(weights, form, file)
    else:
        write_gguf(weights, form, file, "sd1", quantize=False)
    return sum(weight.nbytes for weight in weights.values())


def _verdicts(out: Path) -> Iterator[Figure]:
    """The judge's verdicts on the pictures of the embedded model, by the form of its UNet; the noise is the same."""
    import torch

    from daemon.settings.resources import resource
    from training.judge import generate, generated_scenes, trained_judge, verdicts

    torch.set_num_threads(2)
    out.mkdir(parents=True, exist_ok=True)
    judge, scenes, demo = trained_judge(out, 2), generated_scenes(PICTURES), resource("models/demo")
    from training.judge import Setting

    plain = generate(demo, scenes, Setting())
    expected = verdicts(judge, plain, scenes)
    yield Figure(ITEM, "the embedded model in float16: words that the judge sees", _share(expected), note=f"{PICTURES} pictures")
    for form in (FLOAT8, Q8_0, Q4_0):
        with tempfile.TemporaryDirectory(prefix="tiffsd-quantized-") as root:
            pictures = generate(_quantized_demo(form, demo, Path(root)), scenes, Setting())
        seen = verdicts(judge, pictures, scenes)
        changed = sum(int((seen[part] != expected[part]).sum()) for part in expected)
        off = float(abs(pictures.astype(float) - plain.astype(float)).mean())
        what = f"the embedded model in {form}: verdicts of the judge that change"
        most = 0 if form != Q4_0 else None
        yield Figure(ITEM, what, changed, at_most=most, note=f"of {4 * PICTURES}; pictures off by {off:.2f} of 255 on average")


def _share(right: dict[str, Any]) -> float:
    return float(sum(float(seen.float().mean()) for seen in right.values()) / len(right))


def _quantized_demo(form: str, demo: Path, root: Path) -> Path:
    """The embedded model with what is read out of a quantized file of its UNet, as a folder."""
    from safetensors.torch import load_file

    from daemon.models.registry import Models, ModelSpec
    from tests.quantized import quantized, write_gguf

    weights, file = load_file(demo / "unet" / "diffusion_pytorch_model.safetensors"), root / "unet"
    if form == FLOAT8:
        quantized(weights, form, file)
    else:
        write_gguf(weights, form, file, "sd1")
    unet = Models(1 << 40).component(ModelSpec("demo", str(demo), parts={"unet": str(file)}), "unet")
    shutil.copytree(demo, root / "model", ignore=shutil.ignore_patterns("unet"))
    unet.save_pretrained(root / "model" / "unet")
    config = root / "model" / "unet" / "config.json"
    config.write_text(json.dumps(json.loads((demo / "unet" / "config.json").read_text())))
    return root / "model"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--judge", type=Path)
    given, sys.argv[1:] = parser.parse_known_args()
    run(lambda: figures(given.judge))
