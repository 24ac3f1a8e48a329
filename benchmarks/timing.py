"""Measuring two or more ways of doing the same: in turns, so that whatever else the machine does slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float


def seconds_of(way: Callable[[], object]) -> float:
    """How long one call takes by the wall clock."""
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def taking_turns(ways: Mapping[str, Callable[[], object]], *, rounds: int, warm: int = 1) -> dict[str, list[float]]:
    """Seconds of each way in each round, after `warm` calls of each that do not count."""
    for _ in range(warm):
        for way in ways.values():
            way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds_of(way))
    return times


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    return Spread(statistics.median(values), low, high)


def ratio(ones: Sequence[float], others: Sequence[float]) -> Spread:
    """How many times as long as the others the ones took, from round to round."""
    return spread([one / other for one, other in zip(ones, others, strict=True)])
