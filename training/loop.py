"""The loop every phase shares: learning-rate schedule, checkpoints, log, interruption."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, Self

import torch
from torch import Tensor


class Phase(Protocol):
    """One part of the training; everything it draws at random depends on the step alone, so that it can resume."""

    name: str
    steps: int

    def train_step(self, step: int) -> dict[str, float]: ...

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: dict[str, Any]) -> None: ...


def learning_rate(step: int, steps: int, peak: float, warmup: int, decay_share: float) -> float:
    """Returns the rate for a step (counted from 0): linear warm-up, constant, linear decay to nearly 0 at the end."""
    decay_start = steps * (1 - decay_share)
    rising = min(1.0, (step + 1) / warmup)
    falling = min(1.0, (steps - step) / (steps - decay_start))
    return peak * min(rising, falling)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, norm_limit: float = math.inf) -> None:
    """Takes one step down the loss, with gradients no longer than the limit."""
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(weights, norm_limit)
    optimiser.step()


def generator(seed: int, step: int) -> torch.Generator:
    """Returns the random source of one step, the same however often the run was interrupted before it."""
    return torch.Generator().manual_seed(seed * 10_000_019 + step)


def save_atomically(state: dict[str, Any], path: Path) -> None:
    draft = path.with_suffix(".draft")
    torch.save(state, draft)
    draft.replace(path)


def checkpoint(out: Path, name: str) -> Path:
    return out / f"{name}.pt"


class Interruption:
    """While entered, turns Ctrl-C and kill into a flag, so that a step is finished and saved before the end."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> Self:
        self.asked = False
        self.before = [signal.signal(number, self._ask) for number in self.SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(self.SIGNALS, self.before, strict=True):
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


class Log:
    """Writes the means of what the steps report, as lines of JSON, to a file and to standard output."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, values: dict[str, float]) -> None:
        self.count += 1
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + value

    def write(self, step: int, seconds: float) -> None:
        means = {key: round(value / self.count, 5) for key, value in self.sums.items()}
        line = json.dumps({"phase": self.name, "step": step, "seconds": round(seconds), **means})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        with self.path.open("a") as log:
            log.write(line + "\n")
        self.sums, self.count = {}, 0


@dataclass(frozen=True)
class Progress:
    """How far a phase has come, in steps and seconds, and how often it was started to get there."""

    step: int = 0
    seconds: float = 0.0
    starts: int = 0


def restore(phase: Phase, out: Path) -> Progress:
    """Brings the phase to where its checkpoint stands; without one it stays at its beginning."""
    path = checkpoint(out, phase.name)
    if not path.exists():
        return Progress()
    stored = torch.load(path, map_location="cpu")
    phase.load_state(stored["phase"])
    return Progress(**{field.name: stored[field.name] for field in fields(Progress)})


def run(phase: Phase, out: Path, log_every: int = 50, save_every: int = 250) -> None:
    """Trains the phase to its last step from wherever its checkpoint stands; raises SystemExit when interrupted."""
    before, began = restore(phase, out), time.monotonic()
    log = Log(out / f"{phase.name}.jsonl", phase.name)
    with Interruption() as interruption:
        for step in range(before.step, phase.steps):
            log.add(phase.train_step(step))
            done = Progress(step + 1, before.seconds + time.monotonic() - began, before.starts + 1)
            ending = done.step == phase.steps or interruption.asked
            if ending or done.step % log_every == 0:
                log.write(done.step, done.seconds)
            if ending or done.step % save_every == 0:
                save_atomically({**vars(done), "phase": phase.state()}, checkpoint(out, phase.name))
            if interruption.asked and done.step < phase.steps:
                raise SystemExit(f"interrupted: {phase.name} stopped and saved after step {done.step}")
