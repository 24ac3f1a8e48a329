"""Loading models, and the parts of diffusion that diffusers lacks; the package itself imports without torch."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Progress(Protocol):
    """Called with (step, steps) after each step of a stage; raises Stopped or Cancelled where the job is to end early.

    Where somebody wants to watch, `estimate` is how the finished latents (C, h, w) look by then."""

    def __call__(self, step: int, steps: int, estimate: "torch.Tensor | None" = None, /) -> None: ...
