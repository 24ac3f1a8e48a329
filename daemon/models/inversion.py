"""The schedule backwards: a scheduler that leads a pipeline from finished latents to the noise that makes them.

A step of DDIM, and of Euler in flow matching, is a line: x' = a x + b m(x), where m is what the denoiser predicts of the noisier
latents x. So x is the fixed point of x -> (x' - b m(x)) / a, and iterating finds it to any tolerance, where running the steps
backwards with m(x') only comes near. The iterates are mixed after Anderson (Pan et al. 2023, "Effective Real Image Editing with
Accelerated Iterative Diffusion Inversion"; Walker and Ni 2011, "Anderson Acceleration for Fixed-Point Iterations").
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from daemon.models import Progress

TOLERANCE = 1e-5
ITERATIONS = 60
"""At most so many evaluations of a step; most need four to eight."""
MIXED = 5
"""Of so many iterates, the last ones, is the next one made."""


class Inversion:
    """`scheduler` with its schedule, ddim or flow_euler, shown backwards to a pipeline, each timestep as often as it takes.

    A step is done when no value changes by more than TOLERANCE any more, or by the rounding of `dtype`. `residual` is the largest
    difference that is left between what a step makes and what it was to make. `report(step, steps)` is called after each
    evaluation."""

    init_noise_sigma = 1.0
    order = 1

    def __init__(self, scheduler: Any, *, dtype: torch.dtype, report: Progress) -> None:
        self._inner, self._report = scheduler, report
        self._tolerance = max(TOLERANCE, 4 * torch.finfo(dtype).eps)
        self.residual = 0.0
        self._done = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def timesteps(self) -> "_Backwards":
        """The timesteps that the pipeline is to run: how many, only the iteration shows."""
        return _Backwards(self)

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, sigmas: Any = None, mu: Any = None) -> None:
        """Do nothing: the schedule is there already, and a pipeline would start it anew."""
        del num_inference_steps, device, sigmas, mu

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Do nothing: a pipeline begins at the head of a schedule, and this one at its end."""
        del begin_index

    def backwards(self) -> Iterator[torch.Tensor]:
        """Give each timestep from the last to the first, again and again until its step is solved."""
        whole = self._inner.timesteps
        for index in reversed(range(len(whole))):
            self._line = self._line_of(index)
            self._iterates: list[tuple[torch.Tensor, torch.Tensor]] = []
            self._change, self._solved = float("inf"), False
            for _ in range(ITERATIONS):
                if self._solved:
                    break
                yield whole[index]
            self.residual = max(self.residual, self._line[0] * self._change)
            self._done += 1
            self._report(self._done, len(whole))

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *, return_dict: bool = True) -> Any:
        """Return the next estimate of the latents that this step of the schedule begins with, as a tuple."""
        del timestep, return_dict
        if not self._iterates:
            self._target = self._estimate = sample.float()
        a, b = self._line
        change = (self._target - b * model_output.float()) / a - self._estimate
        before, self._change = self._change, float(change.abs().max())
        if self._change > before:
            # The mix leads astray: begin again from here.
            self._iterates = []
        self._solved = self._change <= self._tolerance
        self._iterates = [*self._iterates[1 - MIXED :], (self._estimate, change)]
        self._estimate = next_iterate(self._iterates)
        self._report(self._done, len(self._inner.timesteps))
        return (self._estimate.to(sample.dtype),)

    def _line_of(self, index: int) -> tuple[float, float]:
        """a and b of the step at an index of the schedule."""
        if hasattr(self._inner, "sigmas"):
            return 1.0, float(self._inner.sigmas[index + 1] - self._inner.sigmas[index])
        one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        stepped = functools.partial(self._inner.step, timestep=self._inner.timesteps[index], return_dict=False)
        return float(stepped(zero, sample=one)[0]), float(stepped(one, sample=zero)[0])


def next_iterate(iterates: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Return the next iterate of a fixed-point iteration from the last ones, each with how far the function moves it."""
    last, change = iterates[-1]
    if len(iterates) == 1:
        return last + change
    x, r = (torch.stack([pair[i].flatten() for pair in iterates]).double().diff(dim=0) for i in (0, 1))
    # A little ridge: where two changes are nearly the same, neither must count without bound.
    normal = r @ r.T
    normal.diagonal().add_(1e-10 * normal.diagonal().mean())
    shares = torch.linalg.lstsq(normal, (r @ change.flatten().double())[:, None]).solution[:, 0]
    correction: torch.Tensor = (x + r).T @ shares
    return last + change - correction.view_as(last).to(last.dtype)


class _Backwards:
    """What a pipeline takes for a list of timesteps."""

    def __init__(self, inversion: Inversion) -> None:
        self._inversion = inversion

    def __len__(self) -> int:
        return len(self._inversion._inner.timesteps)

    def __getitem__(self, some: slice) -> Any:
        return self._inversion._inner.timesteps[some] if some.start or some.stop else self

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self._inversion.backwards()
