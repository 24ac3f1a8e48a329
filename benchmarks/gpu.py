"""What a GPU makes of all this: exactness by parts, twice, and gone on with; steps a second; strips; a folder of prompts; item 20.

It needs a GPU and takes less than eight minutes: what has not begun after seven is left out, and the last figure says so. `--tiny`
runs the same on the CPU with tiny models, which shows that it runs and measures nothing; `--only NAME ...` chooses among the parts.
"""

import argparse
import functools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from benchmarks.daemon_on import DaemonOn
from benchmarks.figures import Figure, run
from benchmarks.folder import PROMPTS
from benchmarks.one_piece import Setting
from benchmarks.random_models import shared_stable_diffusion_1
from benchmarks.timing import ratio, spread, taking_turns
from daemon.compute.worker import _configure_torch
from daemon.models.compute_format import set_tf32
from daemon.models.registry import DTYPES, Models, ModelSpec
from daemon.models.schedulers import RECIPES
from daemon.models.strips import Room, decode
from daemon.stages import diffuse, invert, text
from tests import tiny

ITEM = 20
LAST_SECONDS = 420.0
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Machine:
    """Where it is measured, and how large what is measured is."""

    place: Path
    tiny: bool

    @property
    def device(self) -> str:
        return "cpu" if self.tiny else "cuda:0"

    @property
    def side(self) -> int:
        return 64 if self.tiny else 512

    def model(self) -> Path:
        """Stable Diffusion 1 with random weights, made on the device, where that takes seconds."""
        if self.tiny:
            folder = self.place / "sd1"
            return folder if folder.exists() else tiny.stable_diffusion(folder)
        with torch.device(self.device):
            return shared_stable_diffusion_1()

    def settings(self, folder: Path, *, dtype: str = "float32", **more: Any) -> dict[str, Any]:
        model = {"name": folder.name, "path": str(folder), "dtype": dtype, "device": self.device}
        words = {"prompt": PROMPTS[0], "negative_prompt": "", "seeds": [1], "seed": 1, "width": self.side, "height": self.side}
        loop = {"steps": 4 if self.tiny else 20, "guidance_scale": 4.0, "scheduler": "dpmpp_2m_karras", "state": "noise"}
        return {**words, **loop, "model": model, **more}


def quiet(*_: object) -> None:
    """Nobody looks."""


def begun(models: Models, chosen: dict[str, Any]) -> Tensors:
    """Noise and embedding of the one picture."""
    made, _ = text.run(models, {}, chosen, quiet)
    return {name: one[0] if name in ("latents", "generator_state") else one for name, one in made.items()}


def drawn(models: Models, tensors: Tensors, chosen: dict[str, Any], *, stop_at: int | None = None) -> torch.Tensor:
    """Its latents, with a stop on the way if there is to be one."""
    if stop_at is None:
        return diffuse.run(models, tensors, chosen, quiet)[0]["latents"]
    half, facts = diffuse.run(models, tensors, {**chosen, "stop_at": stop_at}, quiet)
    rest: dict[str, Any] = {**chosen, "state": "partial", "step": facts["step"]}
    return diffuse.run(models, {**tensors, **half}, rest, quiet)[0]["latents"]


def schedulers(on: Machine) -> Iterator[Figure]:
    """Every scheduler with tiny models on the device: its picture again, and after a stop, without and with a mask."""
    folders = {False: tiny.stable_diffusion(on.place / "noise"), True: tiny.stable_diffusion_3(on.place / "flow")}
    unlike: dict[str, list[str]] = {"made twice": [], "gone on with": [], "gone on with under a mask": []}
    names = [name for name, recipe in RECIPES.items() if recipe.spacing is None][:: 9 if on.tiny else 1]
    models = Models(1 << 40)
    for name in names:
        chosen = on.settings(folders[RECIPES[name].flow], scheduler=name, width=64, height=64, steps=6)
        tensors = begun(models, chosen)
        masked = {**tensors, "mask": torch.zeros(8, 8)}
        masked["mask"][2:5, 2:6] = 1
        again = {**chosen, "state": "final", "strength": 0.9}
        whole = drawn(models, tensors, chosen)
        pairs = {
            "made twice": (whole, drawn(models, tensors, chosen)),
            "gone on with": (whole, drawn(models, tensors, chosen, stop_at=3)),
            "gone on with under a mask": (drawn(models, masked, again), drawn(models, masked, again, stop_at=3)),
        }
        for what, (one, other) in pairs.items():
            unlike[what] += [] if torch.equal(one, other) else [name]
    for what, found in unlike.items():
        yield Figure(
            ITEM, f"schedulers of {len(names)} whose picture differs, {what}", len(found), at_most=0, note=", ".join(found)
        )


def one_piece(on: Machine, folder: Path, dtype: str) -> Any:
    """diffusers' pipeline on the device."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(str(folder), torch_dtype=DTYPES[dtype], safety_checker=None)
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(on.device)


def loop(on: Machine) -> Iterator[Figure]:
    """The loop by parts beside diffusers' pipeline: the same to the bit, twice and after a stop, and as fast."""
    folder = on.model()
    for dtype in ("float32",) if on.tiny else ("float32", "float16"):
        chosen, models = on.settings(folder, dtype=dtype), Models(1 << 40)
        tensors, pipe = begun(models, chosen), one_piece(on, folder, dtype)
        noise = tensors["latents"][None].to(on.device, DTYPES[dtype])
        options = {"num_inference_steps": chosen["steps"], "guidance_scale": 4.0, "width": on.side, "height": on.side}

        def parts() -> torch.Tensor:
            return drawn(models, tensors, chosen)  # noqa: B023 - it is called in the same round

        def piece() -> Any:
            return pipe(chosen["prompt"], latents=noise, output_type="latent", **options).images[0].float().cpu()  # noqa: B023

        whole = parts()
        others = {"in one piece": piece(), "made twice": parts(), "gone on with": drawn(models, tensors, chosen, stop_at=2)}
        for what, other in others.items():
            yield Figure(ITEM, f"SD 1.5, {dtype}: largest difference, {what}", float((whole - other).abs().max()), at_most=0.0)
        times = taking_turns({"parts": parts, "piece": piece}, rounds=1 if on.tiny else 5)
        found, speed = ratio(times["piece"], times["parts"]), chosen["steps"] / spread(times["parts"]).median
        note = f"{speed:.1f} steps/s"
        yield Figure(
            ITEM, f"SD 1.5, {dtype}: speed over one piece", found.median, "x", found.low, found.high, at_least=0.95, note=note
        )


def inversions(on: Machine) -> Iterator[Figure]:
    """How many evaluations an inversion takes in float32, and in float32 that is cut to TF32."""
    chosen, models = on.settings(on.model(), steps=6, guidance_scale=1.0, scheduler="ddim"), Models(1 << 40)
    tensors = begun(models, chosen)
    latents = drawn(models, tensors, chosen) * 0.3
    for what, cut in (("whole", False), ("cut to TF32", True)):
        calls: list[object] = []
        set_tf32(cut)
        finished: Any = {**chosen, "state": "final"}
        count: Any = functools.partial(_counted, calls)
        _, facts = invert.run(models, {**tensors, "latents": latents}, finished, count)
        note = f"residual {facts['residual']:.1e}"
        most = None if cut else 300
        yield Figure(ITEM, f"evaluations of an inversion in 6 steps, float32 {what}", len(calls), at_most=most, note=note)
    set_tf32(False)


def _counted(calls: list[object], *call: object) -> None:
    calls.append(call)


@dataclass(frozen=True)
class InStrips(Room):
    """Room for no picture as a whole."""

    def whole_bytes(self, device: torch.device) -> int:
        del device
        return 0


def strips(on: Machine) -> Iterator[Figure]:
    """Decoding in strips beside the whole, and a large picture in strips alone."""
    folder, models = on.model(), Models(1 << 40)
    room = InStrips(32 << 30, Path(tempfile.gettempdir()))
    for dtype in ("float32",) if on.tiny else ("float16", "float32"):
        vae = models.component(ModelSpec.of(on.settings(folder, dtype=dtype)), "vae")
        side = 8 if on.tiny else 192
        latents = torch.randn(1, 4, side, side).to(on.device, DTYPES[dtype])

        def whole() -> torch.Tensor:
            picture: torch.Tensor = vae.decode(latents, return_dict=False)[0].float().cpu()  # noqa: B023
            return picture

        def parts() -> torch.Tensor:
            return decode(vae, latents, room, quiet).float()  # noqa: B023

        what = f"decode {8 * side}x{8 * side}, {dtype}, in strips"
        expected, made = whole(), parts()
        apart, most = float((made - expected).abs().max() / expected.std()), 1e-3 if dtype == "float32" else None
        yield Figure(ITEM, f"{what}: largest difference, of the deviation", apart, at_most=most)
        times = taking_turns({"whole": whole, "strips": parts}, rounds=1 if on.tiny else 3)
        found = ratio(times["strips"], times["whole"])
        yield Figure(ITEM, f"{what}: time, whole = 1", found.median, "x", found.low, found.high)
    latents = torch.randn(1, 4, 4 * side // 3, 4 * side // 3).to(on.device, DTYPES[dtype]).repeat(1, 1, 2, 2)
    began = time.perf_counter()
    decode(vae, latents, room, quiet)
    yield Figure(
        ITEM, f"decode {8 * latents.shape[2]}x{8 * latents.shape[3]}, {dtype}, in strips", time.perf_counter() - began, "s"
    )


def daemon(on: Machine) -> Iterator[Figure]:
    """A folder of prompts: pictures a second, and how busy the GPU is meanwhile."""
    count, steps = (2, 2) if on.tiny else (24, 20)
    setting = Setting(str(on.model()), on.side, on.side, steps, 1)
    for what, said in (("float32", {}), ("fast: true", {"fast": True})):
        folder = on.place / what.partition(":")[0]
        with DaemonOn(folder, setting, compute={"device": on.device}, defaults=said) as made, Busy(folder / "busy.csv") as busy:
            made.make(PROMPTS[:1])
            busy.begin()
            seconds = made.make([PROMPTS[number % len(PROMPTS)] for number in range(count)])
        yield Figure(ITEM, f"the daemon, {count} prompts of {on.side} pixels, {steps} steps, {what}", count / seconds, "pictures/s")
        if (percent := busy.percent()) is not None:
            yield Figure(ITEM, f"the same: how busy the GPU is, {what}", percent, "%", at_least=80.0)


class Busy:
    """What nvidia-smi says of the GPU five times a second; a context. Where there is none, it says nothing."""

    def __init__(self, path: Path) -> None:
        self._path, self._from = path, 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Busy":
        command = ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
        if shutil.which(command[0]):
            with self._path.open("wb") as file:
                self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def begin(self) -> None:
        """What was said so far does not count."""
        self._from = len(self._said())

    def percent(self) -> float | None:
        """The mean since then."""
        said = self._said()[self._from :]
        return sum(said) / len(said) if said else None

    def _said(self) -> list[float]:
        found = []
        with suppress(OSError, ValueError):  # the last line may be half written
            for line in self._path.read_text().splitlines():
                found.append(float(line))
        return found


PARTS: dict[str, Callable[[Machine], Iterator[Figure]]] = {
    "schedulers": schedulers,
    "loop": loop,
    "inversions": inversions,
    "strips": strips,
    "daemon": daemon,
}


def figures(*, small: bool = False, only: Sequence[str] = tuple(PARTS)) -> Iterator[Figure]:
    """Item 20."""
    if not small and not torch.cuda.is_available():
        raise SystemExit("gpu: there is no GPU here, and this measures one; --tiny shows that it runs")
    began, left_out = time.monotonic(), list[str]()
    _configure_torch(1 if small else 0)
    with tempfile.TemporaryDirectory() as place, torch.inference_mode():
        on = Machine(Path(place), small)
        for name in only:
            if time.monotonic() - began > LAST_SECONDS:
                left_out.append(name)
                continue
            yield from PARTS[name](on)
    yield Figure(ITEM, "parts that there was no time for", len(left_out), at_most=0, note=", ".join(left_out))


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    run(lambda: figures(small=given.tiny, only=given.only))


if __name__ == "__main__":
    main()
