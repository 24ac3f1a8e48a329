"""Merging LoRAs into the weights of a component that nobody uses yet.

Source: what peft does when it fuses, in float32 whatever the component is in, and rounded once. All of it is checked before the
first weight changes.

    o, i what a layer gives and takes   r the rank   k, l the sides of a convolution's kernel
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models.adapters.layers import layers_of
from daemon.models.adapters.loras import Change, Matrices, matrices_of, misfit
from daemon.models.checkpoints.pieces import Piece
from daemon.models.checkpoints.reading import read_tensors
from daemon.models.checkpoints.stored import Index
from daemon.models.checkpoints.tensors import index_of

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Addition:
    """What one LoRA adds to one weight: the rows `first` to `last` of the product of its matrices."""

    change: Change
    matrices: Matrices
    piece: Piece
    first: int
    last: int


@torch.no_grad()
def merge(part: Any, component: str, changes: Sequence[Change], model: str) -> None:
    """Add LoRAs to the weights of a component; `model` is its name for a sentence.

    Raises InputError, before anything is changed, where one changes what the component does not have, or has in another shape."""
    weights, additions = dict(part.named_parameters()), dict[str, list[_Addition]]()
    layers = layers_of(part, component)
    for change in changes:
        for flat, matrices in matrices_of(change.name, change.path)[change.part].items():
            if flat not in layers:
                raise InputError(f"{misfit(change.name, model)} it changes {matrices.place!r}, which the model does not have")
            for weight, addition in _additions(change, matrices, layers[flat], weights, model).items():
                additions.setdefault(weight, []).append(addition)
    tensors = {change.path: _tensors(change, additions) for change in changes}
    for name, added in additions.items():
        weight = weights[name]
        exact = weight.float()
        for addition in added:
            exact = exact.add_(_product(addition, tensors[addition.change.path], weight))
        weight.copy_(exact)


def _additions(
    change: Change, matrices: Matrices, targets: Mapping[str, Piece], weights: Mapping[str, torch.Tensor], model: str
) -> dict[str, _Addition]:
    """What one layer of a LoRA adds to the weights that it means, checked against their shapes."""
    made = _shape(change, matrices, index_of(change.path))
    shapes = {weight: tuple(weights[weight].shape) for weight in targets}
    rows = {weight: _rows(piece, shapes[weight], made[0]) for weight, piece in targets.items()}
    shared = all(piece.nth is not None for piece in targets.values())
    whole = sum(shape[0] for shape in shapes.values()) == made[0] if shared else len(targets) == 1
    for weight, piece in targets.items():
        first, last = rows[weight]
        if not whole or not _same((last - first, *made[1:]), shapes[weight][::-1] if piece.transposed else shapes[weight]):
            layer = weight.removesuffix(".weight")
            raise InputError(
                f"{misfit(change.name, model)} its {matrices.place!r} is {made}, and the model's {layer!r} is {shapes[weight]}"
            )
    return {weight: _Addition(change, matrices, piece, *rows[weight]) for weight, piece in targets.items()}


def _shape(change: Change, matrices: Matrices, index: Index) -> Shape:
    """The shape of the product: (o, i), or (o, i, k, l)."""
    down, up = index[matrices.down].shape, index[matrices.up].shape
    mid = index[matrices.mid].shape if matrices.mid else None
    fits = len(down) in (2, 4) and len(up) in (2, 4) and down[0] == up[1] and _all_ones(up[2:])
    if mid is not None:
        fits = fits and len(mid) == 4 and mid[:2] == (up[1], down[0]) and _all_ones(down[2:])
    if not fits or not down[0]:
        shapes = " and ".join(map(str, (up, down) if mid is None else (up, mid, down)))
        raise InputError(f"the LoRA {change.name!r} is damaged: its matrices for {matrices.place!r} are {shapes}; fetch it again")
    return (up[0], down[1], *(down[2:] if mid is None else mid[2:]))


def _rows(piece: Piece, shape: Shape, rows: int) -> tuple[int, int]:
    """Which rows of a matrix that several weights share are those of one."""
    if piece.nth is None:
        return 0, rows
    first = rows - shape[0] if piece.nth < 0 else piece.nth * shape[0]
    return first, first + shape[0]


def _same(shape: Shape, other: Shape) -> bool:
    """Whether two shapes are one; a linear layer may stand there as a convolution of one pixel."""
    longest = max(len(shape), len(other))
    return shape + (1,) * (longest - len(shape)) == other + (1,) * (longest - len(other))


def _all_ones(shape: Shape) -> bool:
    return all(side == 1 for side in shape)


def _tensors(change: Change, additions: Mapping[str, Sequence[_Addition]]) -> dict[str, torch.Tensor]:
    """The matrices that a LoRA adds, as they are stored."""
    mine = [addition.matrices for added in additions.values() for addition in added if addition.change == change]
    names = {name for matrices in mine for name in (matrices.down, matrices.up, matrices.mid, matrices.alpha)}
    tensors = read_tensors(change.path, {name for name in names if isinstance(name, str)})
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor.float()).all()):
            raise InputError(f"the LoRA {change.name!r} holds numbers that are not finite (in {name!r}); fetch it again")
    return tensors


def _product(addition: _Addition, tensors: Mapping[str, torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
    """What is added to a weight, in float32, on its device and in its shape."""
    matrices, piece = addition.matrices, addition.piece
    down, up = (tensors[name].to(weight.device, torch.float32) for name in (matrices.down, matrices.up))
    rank = down.shape[0]
    alpha = float(tensors[matrices.alpha]) if isinstance(matrices.alpha, str) else matrices.alpha
    scale = addition.change.weight * (rank if alpha is None else alpha) / rank
    rows = up[addition.first : addition.last]  # (o, r), or (o, r, 1, 1)
    if matrices.mid is not None:
        mid = tensors[matrices.mid].to(weight.device, torch.float32)
        made = torch.einsum("or,rskl,si->oikl", rows.flatten(1), mid, down.flatten(1))
    elif _all_ones(down.shape[2:]):
        made = rows.flatten(1) @ down.flatten(1)
    else:
        # As peft does it: a matrix product would add in another order on some processors.
        made = torch.nn.functional.conv2d(down.transpose(0, 1), rows.reshape(*rows.shape[:2], 1, 1)).transpose(0, 1)
    if piece.transposed:
        made = made.T
    if piece.swapped:
        made = torch.cat([*reversed(made.chunk(2))])
    return made.reshape(weight.shape).mul_(scale)
