"""Which names the weights of a component may have in a single file, and the ones that a file has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from daemon.models.checkpoints.diffusion_transformers import flux, stable_diffusion_3
from daemon.models.checkpoints.latent_diffusion import old_vae, unet, vae
from daemon.models.checkpoints.passed_over import is_passed_over
from daemon.models.checkpoints.pieces import Config, Naming, Piece, same
from daemon.models.checkpoints.stored import Index
from daemon.models.checkpoints.text_encoders import clip, open_clip, t5, t5_of_llama
from daemon.models.unreadable import UnreadableModel

DENOISER, WHOLE = "model.diffusion_model.", ""
CLIP_1, OPEN_CLIP_2 = "cond_stage_model.transformer.", "cond_stage_model.model."
CLIP_XL, OPEN_CLIP_XL, OPEN_CLIP_REFINER = (
    "conditioner.embedders.0.transformer.",
    "conditioner.embedders.1.model.",
    "conditioner.embedders.0.model.",
)
CLIP_L, CLIP_G, T5XXL = "text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer.", "text_encoders.t5xxl.transformer."
VAES = ("first_stage_model.", "vae.")

MOST_NAMED = 3
"""How many of the weights that a file lacks are named."""


@dataclass(frozen=True)
class Layout:
    """The names behind one prefix; "" is a file that holds one component alone."""

    prefix: str
    naming: Naming


LAYOUTS: Mapping[str, Sequence[Layout]] = {
    "text_encoder": (
        *(Layout(prefix, clip) for prefix in (CLIP_1, CLIP_XL, CLIP_L, WHOLE)),
        *(Layout(prefix, open_clip) for prefix in (OPEN_CLIP_2, WHOLE)),
    ),
    "text_encoder_2": (
        *(Layout(prefix, open_clip) for prefix in (OPEN_CLIP_XL, OPEN_CLIP_REFINER, WHOLE)),
        *(Layout(prefix, clip) for prefix in (CLIP_G, WHOLE)),
        *(Layout(prefix, t5) for prefix in (T5XXL, WHOLE)),
        Layout(WHOLE, t5_of_llama),
    ),
    "text_encoder_3": (*(Layout(prefix, t5) for prefix in (T5XXL, WHOLE)), Layout(WHOLE, t5_of_llama)),
    "unet": (*(Layout(prefix, unet) for prefix in (DENOISER, WHOLE)), Layout(WHOLE, same)),
    "transformer": (
        *(Layout(prefix, naming) for naming in (stable_diffusion_3, flux) for prefix in (DENOISER, WHOLE)),
        Layout(WHOLE, same),
    ),
    "vae": tuple(Layout(prefix, naming) for prefix in (*VAES, WHOLE) for naming in (vae, same, old_vae)),
}

# What stands in front of weights of another component, or of the trainer's averages of them.
PREFIXES = (
    *dict.fromkeys(layout.prefix for layouts in LAYOUTS.values() for layout in layouts if layout.prefix),
    *("cond_stage_model.", "conditioner.", "text_encoders.", "model_ema."),
)


class Incomplete(UnreadableModel):
    """A file lacks weights of a component, has them in other shapes, or has more of them; the text is a sentence."""


def pieces_of(component: str, weights: Mapping[str, Sequence[int]], config: Config, index: Index) -> dict[str, Piece]:
    """Return where a file has each of the weights (name to shape) of a component of this configuration.

    Raises Incomplete where it lacks some, has them in other shapes, or has more than the component takes."""
    layout, pieces = placed(component, weights, config, index)
    if more := strangers(component, layout, weights, config, index):
        raise Incomplete(
            f"its {component} has {len(more)} weights that are not known of such a model ({_some(more)}): it is of a variant that "
            "is not supported"
        )
    return pieces


def placed(component: str, weights: Mapping[str, Sequence[int]], config: Config, index: Index) -> tuple[Layout, dict[str, Piece]]:
    """Return under which layout a file has the weights of a component, and where each is, whatever else it has.

    Raises Incomplete where it lacks some, or has them in other shapes."""
    layout, pieces, lacking = _best(component, weights, config, index)
    if len(lacking) == len(weights):
        raise Incomplete(f"it holds no {component}")
    if lacking:
        raise Incomplete(f"its {component} lacks {len(lacking)} of {len(weights)} weights ({_some(lacking)})")
    other = [
        f"{name} is {index[piece.key].shape}, not {tuple(weights[name])}"
        for name, piece in pieces.items()
        if not _fits(piece, weights[name], index)
    ]
    if other:
        raise Incomplete(f"its {component} is of another size than its configuration: {other[0]}")
    return layout, pieces


def strangers(component: str, layout: Layout, weights: Iterable[str], config: Config, index: Index) -> list[str]:
    """The names behind the prefix of a layout that are no weight of the component, and nothing that is known to stand there."""
    taken = {layout.prefix + piece.key for name in weights for piece in layout.naming(name, config)}
    others = tuple(prefix for prefix in PREFIXES if not layout.prefix.startswith(prefix))
    within = [name for name in index if name.startswith(layout.prefix) and not name.startswith(others)]
    spared = _spared(component, layout, config)
    return [
        name
        for name in within
        if name not in taken and not name.startswith(spared) and not is_passed_over(component, name.removeprefix(layout.prefix))
    ]


def _spared(component: str, layout: Layout, config: Config) -> tuple[str, ...]:
    """Stable Diffusion 2 leaves the last layer of its OpenCLIP unused, which is in the file all the same."""
    unused = layout.naming is open_clip and component == "text_encoder"
    return (f"{layout.prefix}transformer.resblocks.{config['num_hidden_layers']}.",) if unused else ()


def bytes_of(component: str, index: Index) -> int:
    """How many bytes of weights a file has of a component; all, where it holds that component alone."""
    prefixes = [layout.prefix for layout in LAYOUTS[component]]
    prefix = next((prefix for prefix in prefixes if prefix and any(name.startswith(prefix) for name in index)), WHOLE)
    return sum(tensor.size_bytes for name, tensor in index.items() if name.startswith(prefix))


def _best(component: str, weights: Iterable[str], config: Config, index: Index) -> tuple[Layout, dict[str, Piece], list[str]]:
    """The layout under which the fewest weights are missing, with what `_found` finds under it."""
    possible = [layout for layout in LAYOUTS[component] if any(name.startswith(layout.prefix) for name in index)]
    found = []
    for layout in possible:
        pieces, lacking = _found(layout, weights, config, index)
        if not lacking:
            return layout, pieces, lacking
        found.append((layout, pieces, lacking))
    return min(found, key=lambda answer: len(answer[2]))


def _found(layout: Layout, weights: Iterable[str], config: Config, index: Index) -> tuple[dict[str, Piece], list[str]]:
    """The weights that stand under the names of a layout, and the names of those that do not."""
    pieces: dict[str, Piece] = {}
    lacking = []
    for name in weights:
        candidates = [replace(piece, key=layout.prefix + piece.key) for piece in layout.naming(name, config)]
        present = [piece for piece in candidates if piece.key in index]
        if present or candidates[-1].identity:
            pieces[name] = (present or candidates)[0 if present else -1]
        else:
            lacking.append(candidates[0].key)
    return pieces, lacking


def _fits(piece: Piece, shape: Sequence[int], index: Index) -> bool:
    """Whether the numbers make this shape; a linear layer may stand there as a convolution of one pixel, and GGUF keeps no
    outermost sides of one."""
    if piece.key not in index:
        return piece.identity
    stored, wanted = index[piece.key].shape, tuple(shape)
    while len(wanted) > len(stored) and wanted[0] == 1:
        wanted = wanted[1:]
    while len(stored) > len(wanted) and stored[-1] == 1:
        stored = stored[:-1]
    if piece.transposed:
        stored = stored[::-1]
    if piece.nth is None:
        return stored == wanted
    return stored[1:] == wanted[1:] and stored[0] >= wanted[0] * (max(piece.nth, 0) + 1)


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
