"""A glance at a picture in the making: how a step of the loop sees the finished latents."""

from collections.abc import Callable

import torch

from daemon.models import Progress
from daemon.models.partial_schedule import PartialSchedule

Unpack = Callable[[torch.Tensor], torch.Tensor]


class Glimpses:
    """Tells `progress` after every so many steps of the loop how the finished latents (C, h, w) look by then, float32."""

    def __init__(self, every: int | None, schedule: PartialSchedule, steps: int, unpacked: Unpack, progress: Progress) -> None:
        self._every, self._schedule, self._steps = every, schedule, steps
        self._unpacked, self._progress = unpacked, progress

    def take(self, step: int, latents: torch.Tensor) -> None:
        """Tell it of this step, if it is one of those asked for; after the last one there is the result itself."""
        del latents
        if self._every and step % self._every == 0 and step < self._steps:
            self._progress(step, self._steps, estimate(self._schedule, self._unpacked))


def estimate(schedule: PartialSchedule, unpacked: Unpack) -> torch.Tensor:
    """Return how the last step of a schedule sees the finished latents: (C, h, w), float32, on the CPU."""
    return unpacked(schedule.estimate())[0].float().cpu()
