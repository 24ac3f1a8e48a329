"""All pairs of A1111's and ComfyUI's samplers and schedules, and the whole pass of ours beside that of the reference.

`python -m tests.models.pairs` prints the table of `docs/samplers.md` with the differences that it measures here."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from daemon.errors import InputError
from daemon.models.families import FAMILIES
from daemon.models.noise import PhiloxGenerator
from daemon.models.partial_schedule import PartialSchedule
from daemon.models.schedulers import Named, paired, read_name
from daemon.models.scheduling import Chosen, scheduler_with_timesteps
from tests import released
from tests.models import published
from tests.models.published import Array

FAMILY = FAMILIES["StableDiffusionPipeline"]
CONFIG = released.SCHEDULERS["stable-diffusion-1"]
TABLE = published.table()
STEPS = 20
MIXED = published.mixture((-1.0, 0.7), (0.3, 0.5))
SHAPE = (1, 4, 8, 8)

A1111 = {
    "DPM++ 2M": "dpmpp_2m",
    "DPM++ SDE": "dpmpp_sde",
    "DPM++ 2M SDE": "dpmpp_2m_sde",
    "DPM++ 2M SDE Heun": "dpmpp_2m_sde_heun",
    "DPM++ 2S a": "dpmpp_2s_ancestral",
    "DPM++ 3M SDE": "dpmpp_3m_sde",
    "Euler a": "euler_ancestral",
    "Euler": "euler",
    "LMS": "lms",
    "Heun": "heun",
    "DPM2": "dpm_2",
    "DPM2 a": "dpm_2_ancestral",
    "DPM fast": "dpm_fast",
    "DPM adaptive": "dpm_adaptive",
    "Restart": "restart",
    "LCM": "lcm",
    "DDIM": "ddim",
    "DDIM CFG++": "ddim_cfgpp",
    "PLMS": "plms",
    "UniPC": "unipc_a1111",
}
"""A1111's samplers, and their names in the reference."""
BY_TIMESTEPS = ("DDIM", "PLMS", "UniPC")
AUTOMATIC = "Automatic"
TYPES = (AUTOMATIC, *published.SCHEDULES)

COMFYUI = (
    *("euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2", "dpm_2_ancestral", "lms"),
    *("dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m"),
    *("dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde"),
    *("dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm", "ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp"),
    *("res_multistep_ancestral", "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde"),
    *("seeds_2", "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2"),
)
"""ComfyUI's samplers."""
# Ours of A1111 have the plain names.
_OTHERWISE = {"beta": "comfyui_beta", "kl_optimal": "comfyui_kl_optimal"}
COMFYUI_SCHEDULES = {name: _OTHERWISE.get(name, name) for name in published.COMFY_SCHEDULES}

TOLERANCE = 3e-4
"""Of latents of about 1: float32 against float64, amplified by what noise does to the mixture."""
LOOSER = {
    ("DPM++ 2M", "KL Optimal"): 3e-3,
    "LCM": 2e-3,
    "PLMS": 5e-2,
}
"""2M ends in the variance of the model, and A1111's KL Optimal above zero; LCM begins anew at each step, so that the error of the
timestep in float32 counts; A1111's PLMS leaves out the last timestep, and begins with a step of Heun instead of a doubled one."""


class Draws(PhiloxGenerator):
    """A generator that gives the noise of a list."""

    def __init__(self, noises: Sequence[Array]) -> None:
        super().__init__()
        self._noises = iter(noises)

    def randn(self, shape: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(next(self._noises)).float().reshape(tuple(shape))


@dataclass(frozen=True)
class Noises:
    """The same unit noise for both: that of the beginning, and that of the draws."""

    first: Array
    drawn: Array

    @classmethod
    def of(cls, seed: int = 0, draws: int = 3 * STEPS) -> "Noises":
        generator = np.random.default_rng(seed)
        return cls(generator.standard_normal(SHAPE), generator.standard_normal((draws, *SHAPE)))

    def draw(self) -> Callable[[], Array]:
        left: Iterator[Array] = iter(self.drawn)
        return lambda: next(left)


def ours(named: Named, noises: Noises, steps: int = STEPS, eta: float | None = None) -> Array:
    """The whole pass of our scheduler over the mixture."""
    chosen = Chosen(named.scheduler, named.schedule, eta)
    scheduler = scheduler_with_timesteps(chosen, CONFIG, steps, family=FAMILY, denoiser={}, size=(8, 8), device="cpu")
    schedule = PartialSchedule(scheduler, steps)
    schedule.generator = Draws(list(noises.drawn))
    x = schedule.scaled(torch.from_numpy(noises.first).float())
    for timestep in schedule.timesteps:
        seen = schedule.scale_model_input(x, timestep)
        sigma = float(np.exp(np.interp(float(timestep), np.arange(len(TABLE)), np.log(TABLE))))
        # What the denoiser is shown has the variance of the model.
        exploding = seen.double().numpy() * np.sqrt(1 + sigma**2)
        predicted = (exploding - MIXED(exploding, sigma)) / sigma
        x = schedule.step(torch.from_numpy(predicted).float(), timestep, x, return_dict=False)[0]
    return x.double().numpy()


def of_noise(x: Array, sigma: float) -> Array:
    """What comes of a denoiser that predicts the noise, where it is shown the end of the table for a level beyond it."""
    shown = float(np.clip(sigma, TABLE[0], TABLE[-1]))
    exploding = x * np.sqrt((1 + shown**2) / (1 + sigma**2))
    predicted: Array = (exploding - MIXED(exploding, shown)) / shown
    return x - sigma * predicted


def of_a1111(sampler: str, kind: str, noises: Noises, steps: int = STEPS, eta: float | None = None) -> Array:
    """The whole pass as A1111 computes it, by the reference."""
    name = A1111[sampler]
    if sampler in BY_TIMESTEPS:
        times = published.A1111_TIMESTEPS(steps) if sampler != "UniPC" else np.zeros(steps, np.int64)
        return published.run_timesteps(name, times, of_noise, noises.first, noises.draw(), eta=eta or 0.0)
    if sampler == "LCM" and kind == AUTOMATIC:
        sigmas = published.lcm_automatic(steps, TABLE)
    else:
        schedule = published.SCHEDULES[published.AUTOMATIC[sampler] if kind == AUTOMATIC else kind]
        discards = sampler in published.DISCARD
        sigmas = published.discarding(schedule, steps, TABLE) if discards else schedule(steps, TABLE, False)
    usual = 1.0 if eta is None else eta
    return published.run(name, sigmas, of_noise, noises.first, noises.draw(), eta=usual)


def of_comfyui(sampler: str, schedule: str, noises: Noises, steps: int = STEPS) -> Array:
    """The whole pass as ComfyUI computes it, by the reference, but for the noise of the beginning, which is A1111's."""
    name = {"ddim": "euler"}.get(sampler, sampler.removesuffix("_gpu"))
    spaced = published.COMFY_SCHEDULES[schedule]
    # It discards for other samplers than A1111 does; ours is A1111's there.
    discards = sampler in published.COMFY_DISCARD or name == "dpmpp_3m_sde"
    sigmas = published.discarding(spaced, steps, TABLE) if discards else spaced(steps, TABLE, False)
    return published.run(name, sigmas, of_noise, noises.first, noises.draw())


def named_by_a1111(sampler: str, kind: str) -> Named:
    """What a recipe of A1111 with this sampler and schedule type means here. Raises InputError for what is refused."""
    named = read_name(sampler)
    return named if kind == AUTOMATIC or sampler in BY_TIMESTEPS else paired(named.scheduler, kind)


def named_by_comfyui(sampler: str, schedule: str) -> Named:
    """What a sampler and a schedule of ComfyUI mean here. Raises InputError for what is refused."""
    return paired(sampler, COMFYUI_SCHEDULES[schedule])


def tolerance(sampler: str, kind: str) -> float:
    return LOOSER.get((sampler, kind), LOOSER.get(sampler, TOLERANCE))


def refusal(named: Callable[[], Named]) -> str | None:
    """The sentence with which a pair is refused, without the list of all names; None where it is accepted."""
    try:
        named()
    except InputError as error:
        return str(error).partition(" (all of them")[0]
    return None


def what_is_here(program: str, sampler: str) -> str:
    """What a sampler of theirs is here: ours, and over how many of their schedules; or the sentence with which it is refused."""
    name, kinds = (named_by_a1111, TYPES) if program == "A1111" else (named_by_comfyui, tuple(COMFYUI_SCHEDULES))
    said = refusal(lambda: name(sampler, kinds[0]))
    if said:
        return f"refused: {said}"
    taken = [kind for kind in kinds if refusal(lambda k=kind: name(sampler, k)) is None]  # type: ignore[misc]
    return f"{name(sampler, kinds[0]).scheduler}, {len(taken)} of {len(kinds)}"


def _measured(program: str, sampler: str) -> str:
    """The largest difference to the reference, and the schedule where it is."""
    name, of, kinds = (
        (named_by_a1111, of_a1111, TYPES) if program == "A1111" else (named_by_comfyui, of_comfyui, tuple(COMFYUI_SCHEDULES))
    )
    noises = Noises.of()
    found = {kind: float(np.abs(ours(name(sampler, kind), noises) - of(sampler, kind, noises)).max()) for kind in kinds}
    worst = max(found, key=lambda kind: found[kind])
    return f"{found[worst]:.0e} ({worst})"


def rows(*, measured: bool) -> list[str]:
    """The table of all samplers, a row each, with the largest difference where it is to be `measured`."""
    made = []
    for program, sampler in [*(("A1111", name) for name in A1111), *(("ComfyUI", name) for name in COMFYUI)]:
        here = what_is_here(program, sampler)
        difference = _measured(program, sampler) if measured and not here.startswith("refused") else ""
        made.append(f"| {program} | {sampler} | {here} | {difference} |")
    return made


if __name__ == "__main__":
    head = ["| program | sampler | here | largest difference |", "|---|---|---|---|"]
    sys.stdout.write("\n".join([*head, *rows(measured=True)]) + "\n")
