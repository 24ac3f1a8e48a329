"""The layers of a component under all the names that the files of LoRAs have for them."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from daemon.models.checkpoints.layouts import LAYOUTS
from daemon.models.checkpoints.pieces import Naming, Piece, same

_WEIGHT = ".weight"

Layers = Mapping[str, Mapping[str, Piece]]
"""Of each name, with underscores for dots, the weights that it means: several where the original release has them in one matrix."""


def layers_of(part: Any, component: str) -> Layers:
    """Return the linear layers and convolutions of a component; the name that diffusers has for a layer goes before any other."""
    weights = [f"{name}{_WEIGHT}" for name, module in part.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    config = dict(part.config) if isinstance(part.config, Mapping) else part.config.to_dict()
    own = {_flat(weight): {weight: Piece(weight)} for weight in weights}
    others: dict[str, dict[str, Piece]] = {}
    for naming in _namings(component):
        for weight in weights:
            for piece in naming(weight, config):
                if piece.key.endswith(_WEIGHT) and not piece.identity:
                    others.setdefault(_flat(piece.key), {})[weight] = piece
    return {**others, **own}


def _namings(component: str) -> Iterator[Naming]:
    """The names of the releases that a component may come from, each once."""
    return iter(dict.fromkeys(layout.naming for layout in LAYOUTS[component] if layout.naming is not same))


def _flat(weight: str) -> str:
    return weight.removesuffix(_WEIGHT).replace(".", "_")
