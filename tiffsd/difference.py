"""Where two artifacts differ: per channel, in their other tensors, in their recipes; and a picture of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.artifact import Artifact
from tiffsd.canvas import EMBEDDING_ROWS
from tiffsd.spec import NOUNS, BadShape, Kind, WrongKind

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class ChannelDifference:
    """One channel: how many of its `values` differ, the `largest` difference and the `mean` one of all, without sign."""

    name: str
    values: int
    differ: int
    largest: float
    mean: float


@dataclass(frozen=True)
class Difference:
    """What tells two artifacts apart; `distance` is the largest difference of all channels at each place, float64, 0 or more.

    It is (h, w) for latents, (H, W) for a picture, (T + U, D) for an embedding. `tensors` names those beside the canvas that
    differ or that only one has, `recipe` the settings: key -> (first, second).
    """

    channels: tuple[ChannelDifference, ...]
    distance: NDArray[np.float64]
    tensors: tuple[str, ...]
    recipe: Mapping[str, tuple[Any, Any]]

    @property
    def none(self) -> bool:
        """Whether the two hold the same values and settings; ids and histories may be others."""
        return not (any(channel.differ for channel in self.channels) or self.tensors or self.recipe)


def compare(first: Artifact, second: Artifact) -> Difference:
    """Two artifacts of one kind and size -> their difference. Raises WrongKind or BadShape where they cannot be compared."""
    kinds = first.header.kind, second.header.kind
    if kinds[0] is not kinds[1]:
        raise WrongKind(
            f"artifact {first.header.id} holds {NOUNS[kinds[0]]} and {second.header.id} {NOUNS[kinds[1]]}; compare two of one kind"
        )
    if first.header.size != second.header.size:
        raise BadShape(
            f"artifact {first.header.id} has the size {list(first.header.size)} and {second.header.id} {list(second.header.size)}; "
            f"compare two of one size, for instance after a crop"
        )
    planes = [(name, np.abs(a - b)) for (name, a), (_, b) in zip(channels(first), channels(second), strict=True)]
    found = tuple(
        ChannelDifference(name, plane.size, int(np.count_nonzero(plane)), float(plane.max()), float(plane.mean()))
        for name, plane in planes
    )
    halves = first.header.kind is Kind.EMBEDDING
    distance = (np.concatenate if halves else np.maximum.reduce)([plane for _, plane in planes])
    return Difference(found, distance, tuple(_other_tensors(first, second)), _other_settings(first, second))


def channels(artifact: Artifact) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """(name, values) of each channel of the canvas tensor, in float64.

    Latents give C of (h, w), a picture its three colours (H, W), an embedding its halves (T, D) and (U, D).
    """
    tensors = artifact.tensors
    if artifact.header.kind is Kind.LATENTS:
        planes = [(f"channel {index}", plane) for index, plane in enumerate(tensors["latents"])]
    elif artifact.header.kind is Kind.PICTURE:
        planes = [(name, tensors["picture"][..., index]) for index, name in enumerate(COLOURS)]
    else:
        planes = [(name, tensors[name]) for name in EMBEDDING_ROWS if name in tensors]
    for name, plane in planes:
        yield name, plane.astype(np.float64)


def heat(distance: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A distance (h, w), 0 or more -> a gray picture (h, w, 3) of 0..255: black is equal, white the largest difference."""
    largest = float(distance.max())
    levels = (distance / (largest or 1.0) * 255).round().astype(np.uint8)
    return np.repeat(levels[..., np.newaxis], 3, axis=2)


def _other_tensors(first: Artifact, second: Artifact) -> Iterator[str]:
    on_canvas = {"latents", "picture"} if first.header.kind is not Kind.EMBEDDING else set(EMBEDDING_ROWS)
    for name in sorted({*first.tensors, *second.tensors} - on_canvas):
        if name not in first.tensors or name not in second.tensors or not np.array_equal(first.tensors[name], second.tensors[name]):
            yield name


def _other_settings(first: Artifact, second: Artifact) -> dict[str, tuple[Any, Any]]:
    recipes = first.header.recipe, second.header.recipe
    keys = sorted({*recipes[0], *recipes[1]})
    return {key: (recipes[0].get(key), recipes[1].get(key)) for key in keys if recipes[0].get(key) != recipes[1].get(key)}
