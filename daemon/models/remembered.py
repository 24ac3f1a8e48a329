"""Embeddings that were made a moment ago: a folder of prompts mostly has one negative prompt, and many a prompt comes again.

They belong to the loaded text encoders, LoRAs and all, and are forgotten with them; the oldest go when there are too many bytes.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from weakref import WeakKeyDictionary, ref

import torch

BUDGET_BYTES = 64_000_000

Embedding = Mapping[str, torch.Tensor]
_Made = tuple[tuple["ref[torch.nn.Module]", ...], Embedding]


class Embeddings:
    """The newest embeddings of each set of encoders, up to `budget_bytes` a set."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._made: WeakKeyDictionary[torch.nn.Module, OrderedDict[Hashable, _Made]] = WeakKeyDictionary()

    def recalled(self, encoders: Sequence[torch.nn.Module], key: Hashable, make: Callable[[], Embedding]) -> Embedding:
        """What `make` gives, or gave for the same key with the same encoders. Nobody may change the tensors."""
        if not encoders:
            return make()
        made = self._made.setdefault(encoders[0], OrderedDict())
        found = made.get(key)
        if found is None or [alive() for alive in found[0]] != list(encoders):
            made[key] = found = (tuple(map(ref, encoders)), make())
        made.move_to_end(key)
        while len(made) > 1 and sum(_bytes(embedding) for _, embedding in made.values()) > self._budget_bytes:
            made.popitem(last=False)
        return found[1]


def _bytes(embedding: Embedding) -> int:
    return sum(tensor.nbytes for tensor in embedding.values())
