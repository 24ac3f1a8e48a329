"""What the file of a LoRA changes: which matrices belong to which layer, told from their names, without torch.

A LoRA adds to the weights W of a layer: W + weight * alpha / rank * up @ down (Hu et al. 2021). Its matrices have the names of
kohya's trainers, whose layers are written with underscores, those of diffusers and peft, or those of the model's own release."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from daemon.errors import InputError
from daemon.models.checkpoints.tensors import index_of
from daemon.models.families import Family
from daemon.models.families.family import T5
from daemon.models.stage_settings import StageSettings
from daemon.models.unreadable import UnreadableModel

DENOISER, T5_ENCODER = "denoiser", "t5"
# The longer prefix first, where one begins like another.
_PARTS: Mapping[str, str] = {
    "lora_unet_": DENOISER,
    "lora_transformer_": DENOISER,
    "unet.": DENOISER,
    "transformer.": DENOISER,
    "diffusion_model.": DENOISER,
    "base_model.model.": DENOISER,
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te3_": T5_ENCODER,
    "lora_te_": "text_encoder",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "text_encoder_3.": T5_ENCODER,
}
_MATRIX = re.compile(
    r"(?P<place>.+?)(?:\.lora_(?P<kohya>down|up|mid)|\.lora_(?P<peft>[AB])(?:\.default)?|[._]lora(?:_linear_layer)?\.(?P<old>down|up))\.weight"
)
_ALPHA = ".alpha"
_ROLES = {"A": "down", "B": "up"}
# Of the files that are called LoRA all the same.
_OTHER_KINDS = (
    (re.compile(r"\.hada_"), "a LoHa"),
    (re.compile(r"\.lokr_"), "a LoKr"),
    (re.compile(r"\.(dora_scale|lora_magnitude_vector)"), "a DoRA"),
    (re.compile(r"\.oft_"), "an OFT"),
    (re.compile(r"\.on_input$"), "an IA3"),
    (re.compile(r"\.(diff|diff_b|w_norm|b_norm)$"), "a LoRA with whole layers in it"),
)
_PEFT_METADATA = "lora_adapter_metadata"


@dataclass(frozen=True)
class Lora:
    """A LoRA of a job: `text` is its weight in the text encoders, `denoiser` that in what runs in the loop."""

    name: str
    path: str
    text: float = 1.0
    denoiser: float = 1.0

    @classmethod
    def all_of(cls, settings: StageSettings) -> tuple[Self, ...]:
        """Return those that a job's settings name under "loras"."""
        return tuple(cls(**said) for said in settings.get("loras") or ())


class Change(NamedTuple):
    """What a LoRA does to one part of a model, as long as its file stays as it is."""

    name: str
    path: Path
    changed_ns: int
    size: int
    part: str
    weight: float


@dataclass(frozen=True)
class Matrices:
    """The names of the matrices that change one layer; `place` names the layer as the file does.

    `mid` is there in convolutions that are taken apart three times. `alpha` is the name of a number, or the number; without one it
    is the rank."""

    place: str
    down: str = ""
    up: str = ""
    mid: str | None = None
    alpha: str | float | None = None


def changes(loras: Sequence[Lora], component: str, family: Family, model: str) -> tuple[Change, ...]:
    """Return what LoRAs do to a component of a model of this family: nothing, where their weight is 0 or they leave it alone.

    Raises InputError where one cannot be read, or changes a part that such a model does not have."""
    known, found = {part for name in family.components for part in _names(name, family)}, []
    for lora in loras:
        path, weight = Path(lora.path), lora.denoiser if component == family.denoiser else lora.text
        changed = matrices_of(lora.name, path)
        for other in sorted(changed.keys() - known):
            raise InputError(f"{misfit(lora.name, model)} it changes a {other}, and {family.name} has none")
        parts = [part for part in _names(component, family) if weight and part in changed]
        found += [Change(lora.name, path, path.stat().st_mtime_ns, path.stat().st_size, part, weight) for part in parts]
    return tuple(found)


def misfit(name: str, model: str) -> str:
    """The beginning of a sentence on a LoRA that was made for another kind of model."""
    return f"the LoRA {name!r} does not fit the model {model!r}; name one that was made for it, or none (`loras: {{}}`):"


def _names(component: str, family: Family) -> tuple[str, ...]:
    """What files call a component: trainers number a T5 as the third encoder, or as it comes."""
    if component == family.denoiser:
        return (DENOISER,)
    return (component, T5_ENCODER) if family.components[component] == T5 else (component,)


def matrices_of(name: str, path: Path) -> Mapping[str, Mapping[str, Matrices]]:
    """Return the matrices of a LoRA by the part of the model and the layer that they change, the layer with underscores for dots.

    Raises InputError where the file cannot be read, and where it is no LoRA or of another kind."""
    try:
        keys = list(index_of(path))
    except UnreadableModel as error:
        raise InputError(f"the LoRA {name!r} cannot be used: {error}") from error
    found: dict[str, dict[str, Matrices]] = {}
    for key in keys:
        part, layer, role = _read(key, name)
        layers = found.setdefault(part, {})
        flat = layer.replace(".", "_")
        known = layers.get(flat, Matrices(layer))
        if getattr(known, role):
            raise InputError(
                f"the LoRA {name!r} changes {layer!r} twice, under {getattr(known, role)!r} and {key!r}; fetch it again"
            )
        layers[flat] = replace(known, **{role: key})
    alphas = _Alphas.of(path, name)
    for part, layers in found.items():
        for flat, matrices in layers.items():
            if not (matrices.down and matrices.up):
                raise InputError(f"the LoRA {name!r} has only one of the two matrices for {matrices.place!r}; fetch it again")
            if matrices.alpha is None:
                layers[flat] = replace(matrices, alpha=alphas.find(part, matrices.place))
    if not found:
        raise InputError(f"the LoRA {name!r} changes nothing: there are no matrices in {path}")
    return found


def _read(key: str, name: str) -> tuple[str, str, str]:
    """The part of the model, the layer, and which of its matrices a key is."""
    matrix = _MATRIX.fullmatch(key)
    place = matrix["place"] if matrix else key.removesuffix(_ALPHA)
    prefix = next((prefix for prefix in _PARTS if place.startswith(prefix)), None)
    if prefix is None or (matrix is None and not key.endswith(_ALPHA)):
        kind = next((what for pattern, what in _OTHER_KINDS if pattern.search(key)), None)
        if matrix and not kind:
            raise InputError(f"the LoRA {name!r} changes {place!r}, which is in no model that can be run here; use another one")
        wrong = f"is {kind}, which cannot be used" if kind else f"holds {key!r}, which is no matrix of a LoRA"
        raise InputError(f"the LoRA {name!r} {wrong}; use one of up and down matrices")
    said = (matrix["kohya"] or matrix["old"] or _ROLES[matrix["peft"]]) if matrix else "alpha"
    return _PARTS[prefix], _layer(place.removeprefix(prefix)), said


def _layer(place: str) -> str:
    """A layer as it is called in the model; diffusers once named those of attention by their processors."""
    if ".processor." not in place:
        return place
    layer = place.replace(".processor.", ".")
    return f"{layer}.0" if layer.endswith(".to_out") else layer


@dataclass(frozen=True)
class _Alphas:
    """The alphas that peft writes into the metadata of a file instead of into its tensors."""

    said: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, name: str) -> Self:
        said = dict(_metadata(path))
        if any(value for key, value in said.items() if key.endswith(".use_rslora")):
            raise InputError(f"the LoRA {name!r} is scaled by the root of its rank (rsLoRA), which cannot be used; use another one")
        return cls(said)

    def find(self, part: str, layer: str) -> float | None:
        for prefix in (prefix for prefix, meant in _PARTS.items() if meant == part and prefix.endswith(".")):
            pattern = self.said.get(f"{prefix}alpha_pattern") or {}
            for end, alpha in pattern.items():
                if layer == end or layer.endswith(f".{end}"):
                    return float(alpha)
            if f"{prefix}lora_alpha" in self.said:
                return float(self.said[f"{prefix}lora_alpha"])
        return None


def _metadata(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= path.stat().st_size else b""
    try:
        yield from json.loads(json.loads(header)["__metadata__"][_PEFT_METADATA]).items()
    except (ValueError, AttributeError, KeyError, TypeError):
        # There are none, or it is a file of torch, which has none.
        return
