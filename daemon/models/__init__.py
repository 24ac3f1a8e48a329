"""Loading models, and the parts of diffusion that diffusers lacks; the package itself imports without torch."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (step, steps) after each step of a stage; raises Stopped or Cancelled where the job is to end early."""
