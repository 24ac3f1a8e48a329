"""What `fast: true` is made of: each choice with its ratio over the plain way, and its difference in the picture.

The denoiser and the VAE run in this process, the ways in turns. Pictures are those of the embedded model after all its steps, by
the same VAE but for the VAE's own row; differences are means over all values, of 255.
"""

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from benchmarks.figures import Figure, run
from benchmarks.folder import CORES, PROMPTS, demo, full_size
from benchmarks.one_piece import Setting
from benchmarks.parts import plain_settings
from benchmarks.timing import ratio, taking_turns
from daemon.models.compute_format import ComputeFormat, fastest
from daemon.models.registry import Models, ModelSpec
from daemon.stages import diffuse, text

ROUNDS = 5
BATCH = 8
LARGEST_DIFFERENCE = 2.0
Way = Callable[[], object]


def ways_of(part: Any) -> dict[str, tuple[Any, torch.dtype]]:
    """A module in each of the orders and types that `fast: true` chooses among."""
    fast = fastest("cpu")
    found = {
        "plain": (part, torch.float32),
        "channels last": (_as(part, ComputeFormat(torch.float32, torch.channels_last)), torch.float32),
    }
    if fast.dtype is not torch.float32:
        found[str(fast)] = (_as(part, fast), fast.dtype)
    return found


def _as(part: Any, chosen: ComputeFormat) -> Any:
    return copy.deepcopy(part).to(chosen.dtype).to(memory_format=chosen.memory_format)


@torch.no_grad()
def forward_ratios(setting: Setting, what: str, *, rounds: int, headline: bool = False) -> Iterator[Figure]:
    """How many times as fast as the plain way the denoiser is, two passes (guidance) of one picture."""
    models, model = Models(1 << 40), ModelSpec.of(plain_settings(setting))
    unet = models.component(model, "unet")
    pair = torch.randn(2, 4, setting.height // 8, setting.width // 8)
    words = torch.randn(2, 77, unet.config.cross_attention_dim)

    def pass_of(part: Any, dtype: torch.dtype) -> Way:
        return lambda: part(pair.to(dtype), torch.tensor(500), encoder_hidden_states=words.to(dtype))

    ways = {name: pass_of(*way) for name, way in ways_of(unet).items()}
    if shutil.which("g++") and not headline:
        compiled = copy.deepcopy(unet)
        compiled.compile()
        ways["compiled"] = pass_of(compiled, torch.float32)
    with torch.no_grad():
        times = taking_turns({name: _without_gradients(way) for name, way in ways.items()}, rounds=rounds)
    for name in [name for name in ways if name != "plain"]:
        found = ratio(times["plain"], times[name])
        least = 1.5 if headline and name == str(fastest("cpu")) else None
        row = f"UNet in {name}, {what}"
        yield Figure(5, row, found.median, "x", found.low, found.high, at_least=least, headline=headline and least is not None)


def _without_gradients(way: Way) -> Way:
    def passed() -> None:
        with torch.no_grad():
            way()

    return passed


def batch_ratio(setting: Setting, *, rounds: int) -> Figure:
    """Pictures of a batch over the same one by one, in the plain format; that they are the same is checked."""
    models, chosen, tensors = _begun(setting, BATCH)

    def alone() -> list[Any]:
        return [diffuse.run(models, own, said, _quiet)[0]["latents"] for own, said in zip(tensors, chosen, strict=True)]

    def together() -> list[Any]:
        return [out["latents"] for out, _ in diffuse.run_together(models, tensors, chosen, _quiet)]

    worst = max(float((one - other).abs().max()) for one, other in zip(alone(), together(), strict=True))
    if worst > 1e-3:
        raise AssertionError(f"pictures of a batch differ from the same alone by {worst}")
    times = taking_turns({"alone": alone, "together": together}, rounds=rounds, warm=0)
    found = ratio(times["alone"], times["together"])
    note = f"latents differ by {worst:.1g} at most"
    return Figure(5, f"a batch of {BATCH}, embedded model", found.median, "x", found.low, found.high, at_least=1.4, note=note)


def differences(setting: Setting) -> Iterator[Figure]:
    """What the fastest compute format makes of a picture."""
    models, chosen, tensors = _begun(setting, 1)
    said = chosen[0]
    quick = {**said, "model": {**said["model"], "fast": True}}
    latents = diffuse.run(models, tensors[0], said, _quiet)[0]["latents"]
    others = diffuse.run(models, tensors[0], quick, _quiet)[0]["latents"]
    vae, quick_vae = (models.component(ModelSpec.of(one), "vae") for one in (said, quick))
    plain = _picture(vae, latents)
    fast = str(fastest("cpu"))
    for what, other in (("UNet", _picture(vae, others)), ("VAE", _picture(quick_vae, latents))):
        found = float((plain - other).abs().mean()) * 255
        yield Figure(5, f"difference of the picture with the {what} in {fast}, of 255", found, at_most=LARGEST_DIFFERENCE)


@torch.no_grad()
def _picture(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    scaled = latents[None].to(vae.dtype) / vae.config.scaling_factor
    return (vae.decode(scaled, return_dict=False)[0].float() / 2 + 0.5).clamp(0, 1)


def _begun(setting: Setting, count: int) -> tuple[Models, list[Mapping[str, Any]], list[dict[str, torch.Tensor]]]:
    models = Models(1 << 40)
    chosen: list[Mapping[str, Any]] = [
        {**plain_settings(setting), "prompt": PROMPTS[n], "seed": n, "seeds": [n], "fast": True} for n in range(count)
    ]
    drawn = [text.run(models, {}, said, _quiet)[0] for said in chosen]
    single = ("latents", "generator_state")
    return models, chosen, [{name: value[0] if name in single else value for name, value in one.items()} for one in drawn]


def _quiet(*_: Any) -> None:
    pass


def figures() -> Iterator[Figure]:
    """Item 5."""
    torch.set_num_threads(CORES)
    yield from forward_ratios(demo(), "embedded model", rounds=ROUNDS)
    yield batch_ratio(demo(), rounds=3)
    yield from differences(demo())
    yield from forward_ratios(full_size(), "size of SD1, 256 pixels", rounds=3, headline=True)


if __name__ == "__main__":
    run(figures)
