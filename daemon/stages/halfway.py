"""Half-done latents as a file carries them, where the loop stops and at the steps that it dumps on its way."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from daemon.models.masking import Inpainting
from daemon.models.noise import Generator
from daemon.models.partial_schedule import PartialSchedule
from daemon.models.registry import ModelSpec
from daemon.models.scheduling import Chosen
from daemon.models.solver_state import pack
from daemon.models.stage_settings import Dump
from daemon.stages.glimpses import Unpack, estimate
from daemon.stages.loop import ESTIMATE, StepRange


@dataclass(frozen=True)
class Halfway:
    """A loop that can be left and taken up again after any whole step; `held` is the paint that it holds, as a file carries it."""

    model: ModelSpec
    schedule: PartialSchedule
    chosen: Chosen
    steps: int
    generator: Generator
    inpainting: Inpainting | None
    unpacked: Unpack
    held: Mapping[str, torch.Tensor]

    def tensors(self, latents: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all that the rest of the loop needs, beside the latents (1, C, h, w) of this moment, as copies on the CPU.

        Also an "estimate" (C, h, w) of the finished latents, to show what they are going to be."""
        name, schedule = self.chosen.name, self.chosen.schedule
        state = pack(self.schedule.solver_state(), scheduler=name, schedule=schedule, steps=self.steps, model=self.model.name)
        kept = {} if self.inpainting is None else self.inpainting.tensors()
        kept |= self.held if self.schedule.holds else {}
        beside = {**state, **kept, "generator_state": self.generator.get_state(), ESTIMATE: estimate(self.schedule, self.unpacked)}
        found = {"latents": self.model.finite(latents[0].float().cpu()), **beside}
        return {name: tensor.clone() for name, tensor in found.items()}


class Dumps:
    """The half-done latents of every so many steps: `tensors` by "steps.K.NAME", `facts` with step and sigma of each."""

    def __init__(self, every: int | None, loop: StepRange, halfway: Halfway) -> None:
        self._every, self._loop, self._halfway = every, loop, halfway
        self.tensors: dict[str, torch.Tensor] = {}
        self.facts: list[Dump] = []

    def take(self, step: int, latents: torch.Tensor) -> None:
        """Keep the latents of this step, as the loop takes them, if it is one of those asked for and not the last of all."""
        if not self._every or step % self._every or (step == self._loop.end and not self._loop.partial):
            return
        halfway = self._halfway.tensors(self._halfway.unpacked(latents))
        self.tensors |= {f"steps.{step}.{name}": tensor for name, tensor in halfway.items()}
        self.facts.append({"step": step, "sigma": self._halfway.schedule.sigma()})
