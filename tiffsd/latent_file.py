"""Latents as ComfyUI saves and loads them: a `.latent` file, which is a safetensors file with the tensor `latent_tensor`.

Section 12 of `tiffsd/spec.py`. ComfyUI keeps latents in the units of their VAE (SaveLatent and LoadLatent in its nodes.py,
`process_in` in its latent_formats.py); TIFFSD keeps them as the denoiser sees them, and only who knows the model knows the factor.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import IO, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from tiffsd.artifact import Artifact, check, drop_stale
from tiffsd.canvas import Floats, in_float64
from tiffsd.content import check_length, check_marks
from tiffsd.header import Header, header_from, id_in_name, new_id, render
from tiffsd.held import released_where
from tiffsd.recorded import check_expected, parse_record
from tiffsd.spec import (
    LARGEST_SIDE,
    MOST_CHANNELS,
    MOST_SAMPLES,
    RECORD_TAG,
    ROUNDING,
    BadShape,
    BadValues,
    Kind,
    Layout,
    NotTiffsd,
    State,
    TooLarge,
    Truncated,
    WrongKind,
)

LATENT_SUFFIX = ".latent"
SAMPLES, MARKER = "latent_tensor", "latent_format_version_0"
RECORD, UNITS, OURS = "tiffsd", "tiffsd.units", "tiffsd."
BEGINNING_BYTES = 16
# Files without the marker hold what the denoiser of Stable Diffusion 1 sees (LoadLatent).
FACTOR_BEFORE_THE_MARKER = 0.18215
# A workflow of some hundred nodes has a megabyte of text.
LARGEST_TABLE_BYTES = 8 * 2**20
LARGEST_VALUE = 10_000.0
WIDTHS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class Scaling:
    """How the denoiser of a model sees the latents of its VAE: less the shift, times the factor (diffusers' config.json)."""

    factor: float
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and math.isfinite(self.shift) and 1e-4 <= abs(self.factor) <= 1e4):
            raise BadValues(f"a scaling factor of {self.factor:g} and a shift of {self.shift:g} are those of no VAE; give others")

    def from_vae(self, latents: Floats) -> Floats:
        """Latents of the VAE, as the denoiser sees them."""
        return in_float64(latents, lambda wide: (wide - self.shift) * self.factor)

    def to_vae(self, latents: Floats) -> Floats:
        """The inverse of `from_vae`."""
        return in_float64(latents, lambda wide: wide / self.factor + self.shift)


# Of the published VAEs, by the family of models that has them.
SCALINGS: Mapping[str, Scaling] = {
    "sd1": Scaling(0.18215),
    "sd2": Scaling(0.18215),
    "sdxl": Scaling(0.13025),
    "sd3": Scaling(1.5305, 0.0609),
    "flux": Scaling(0.3611, 0.1159),
}


@dataclass(frozen=True)
class _Table:
    """What the head of a safetensors file says: its texts, its tensors, and where their bytes begin."""

    texts: Mapping[str, str]
    tensors: Mapping[str, Mapping[str, Any]]
    start: int


def is_latent(beginning: bytes, name: str) -> bool:
    """Whether a file of these first bytes is a safetensors file, or has the name of ComfyUI's latents."""
    length = int.from_bytes(beginning[:8], "little")
    return name.lower().endswith(LATENT_SUFFIX) or (beginning[8:9] == b"{" and 2 <= length < 2**40)


def read_latent(file: IO[bytes], name: str, *, length: int, expect: Kind | None = None, largest: int | None = None) -> Artifact:
    """The latents in a file of ComfyUI, with `of_vae` where no record of TIFFSD says their factor; `largest` bounds the canvas.

    Raises NotTiffsd, Truncated, BadShape, BadValues, TooLarge, WrongKind, BadHeader, NewerFormat with a sentence.
    """
    check_expected(Kind.LATENTS, expect, name)
    table = _table(file, name, length=length)
    shape = _shape(table, name)
    if math.prod(shape) > (MOST_SAMPLES[Kind.LATENTS] if largest is None else min(MOST_SAMPLES[Kind.LATENTS], largest)):
        raise TooLarge(f"{name} holds latents of {'x'.join(map(str, shape))}, which is more than are read here; make it smaller")
    found = _tensor(file, table, SAMPLES, name, length=length).reshape(shape)
    if not np.isfinite(found).all() or float(np.abs(found).max()) > LARGEST_VALUE:
        raise BadValues(f"{name} holds values that are no latents (NaN, infinity or beyond {LARGEST_VALUE:g}); save it again")
    notes = list[str]()
    if MARKER not in table.tensors:
        found = in_float64(found, lambda wide: wide / FACTOR_BEFORE_THE_MARKER)
        notes.append(f"a file of an early ComfyUI, whose values were divided by {FACTOR_BEFORE_THE_MARKER}, as ComfyUI does")
    header, scaling = _header(table, name), _scaling(table)
    if header is None or scaling is None:
        return _of_comfyui(found, table, name, notes)
    return _ours(found, header, scaling, _exact(file, table, name, length=length), notes)


def inspect_latent(file: IO[bytes], name: str, *, length: int) -> Header:
    """The header alone, by the record where there is one, else by the shape."""
    table = _table(file, name, length=length)
    shape = _shape(table, name)
    return _header(table, name) or _bare_header(shape, name)


def find_id_in_latent(file: IO[bytes], name: str, *, length: int) -> str | None:
    """The id in the record, else in the name; None if nowhere."""
    header = _header(_table(file, name, length=length), name)
    return header.id if header else id_in_name(name)


def texts_of_latent(file: IO[bytes], name: str, *, length: int) -> Mapping[str, str]:
    """The texts of its metadata, in which ComfyUI keeps `prompt` and `workflow`."""
    return _table(file, name, length=length).texts


def write_latent(target: IO[bytes], artifact: Artifact, scaling: Scaling) -> None:
    """Write latents as ComfyUI loads them, in the units of the VAE, with record and exact tensors beside them, which it ignores.

    Raises WrongKind for other kinds, and what `tiffsd.write` raises.
    """
    header = artifact.header
    if header.kind is not Kind.LATENTS:
        raise WrongKind(f"artifact {header.id} holds {header.kind}, and a {LATENT_SUFFIX} file latents; encode or diffuse it first")
    check(artifact)
    _, record = render(header)
    check_length(len(record) + 1, RECORD_TAG, f"artifact {header.id}")
    latents = artifact.tensors["latents"].astype(np.float32, copy=False)
    tensors = {SAMPLES: scaling.to_vae(latents)[np.newaxis], MARKER: np.zeros(0, np.float32)}
    tensors |= {f"{OURS}{name}": np.ascontiguousarray(tensor) for name, tensor in artifact.tensors.items()}
    units = json.dumps({"scaling_factor": scaling.factor, "shift_factor": scaling.shift})
    target.write(save(tensors, {RECORD: record, UNITS: units}))


def scaled(artifact: Artifact, scaling: Scaling) -> Artifact:
    """Latents in the units of their VAE, brought to those that the denoiser sees."""
    latents = scaling.from_vae(artifact.tensors["latents"])
    note = f"latents of a VAE, brought to those of the denoiser by the factor {scaling.factor:g} and the shift {scaling.shift:g}"
    return replace(artifact, tensors={**artifact.tensors, "latents": latents}, of_vae=False, notes=(*artifact.notes, note))


def _of_comfyui(found: Floats, table: _Table, name: str, notes: list[str]) -> Artifact:
    unread = sorted(key for key in table.tensors if key not in (SAMPLES, MARKER))
    if unread:
        mask = ", of which a mask can lie beside it as a picture, NAME_mask.png" if "noise_mask" in unread else ""
        notes.append(f"it also holds {', '.join(key[:40] for key in unread[:6])}{mask}; that was left out")
    notes.append("nothing in a file of ComfyUI says how far its latents are; they were taken as final")
    return Artifact(_bare_header(found.shape, name), {"latents": found}, tuple(notes), of_vae=True)


def _ours(found: Floats, header: Header, scaling: Scaling, exact: Mapping[str, NDArray[Any]], notes: list[str]) -> Artifact:
    """What was written here: the exact values count where those of ComfyUI are what they were written as."""
    taken, others = scaling.from_vae(found), {key: tensor for key, tensor in exact.items() if key != "latents"}
    latents = exact.get("latents")
    painted = 0
    if latents is not None and latents.shape == found.shape:
        untouched = np.abs(found - scaling.to_vae(latents)) <= ROUNDING * np.maximum(1, np.abs(found))
        taken, painted = np.where(untouched, latents, taken), int(untouched.size - np.count_nonzero(untouched))
    if painted:
        notes += drop_stale(others, resized=False)
        others = released_where(others, ~untouched.all(axis=0))
    header = replace(header, size=found.shape, layout=Layout.MOSAIC if header.layout is Layout.RGBA else header.layout)
    return Artifact(header, {"latents": taken, **others}, tuple(notes), painted)


def _bare_header(shape: tuple[int, ...], name: str) -> Header:
    return Header(Kind.LATENTS, id_in_name(name) or new_id(), Layout.MOSAIC, shape, state=State.FINAL)


def _header(table: _Table, name: str) -> Header | None:
    record = parse_record(table.texts.get(RECORD), f"its metadata {RECORD}", name)
    return header_from(record, name=name) if record else None


def _scaling(table: _Table) -> Scaling | None:
    try:
        said = json.loads(table.texts[UNITS])
        return Scaling(float(said["scaling_factor"]), float(said["shift_factor"]))
    except (KeyError, TypeError, ValueError, RecursionError):  # BadValues is a ValueError
        return None


def _exact(file: IO[bytes], table: _Table, name: str, *, length: int) -> dict[str, NDArray[Any]]:
    """The tensors that a TIFFSD file would carry, under their own names."""
    names = [key for key in table.tensors if key.startswith(OURS)]
    return {key.removeprefix(OURS): _tensor(file, table, key, name, length=length) for key in names}


def _table(file: IO[bytes], name: str, *, length: int) -> _Table:
    file.seek(0)
    size = int.from_bytes(file.read(8), "little")
    if length == 0:
        raise Truncated(f"{name} is empty, and latents of ComfyUI were expected; copy or save it again")
    if not 2 <= size <= LARGEST_TABLE_BYTES or size > length - 8:
        what = f"says that its head has {size} bytes, of {length} in all and at most {LARGEST_TABLE_BYTES}"
        raise Truncated(f"{name} is no safetensors file as ComfyUI saves latents, or cut off: it {what}; save it again")
    text = file.read(size)
    check_marks(text, "its head", name)
    try:
        table = json.loads(text)
        texts = table.pop("__metadata__", None) or {}
        whole = all(isinstance(value, str) for value in texts.values()) and all(isinstance(value, dict) for value in table.values())
    except (ValueError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise Truncated(f"{name} is damaged: the head of a safetensors file is JSON; save it again")
    if SAMPLES not in table:
        raise NotTiffsd(
            f"{name} is a safetensors file without {SAMPLES}, so it holds no latents of ComfyUI; weights of a model belong into "
            f"the folder that config.yaml names"
        )
    return _Table(texts, table, 8 + size)


def _shape(table: _Table, name: str) -> tuple[int, int, int]:
    """(C, h, w) of the one latent in a file. Raises BadShape for several, and for what is none."""
    said = table.tensors[SAMPLES].get("shape")
    shape = said if isinstance(said, list) and all(type(n) is int and n > 0 for n in said) else []
    if len(shape) == 5 and shape[2] == 1:  # as of models of videos, of which one frame is a picture
        shape = [*shape[:2], *shape[3:]]
    if len(shape) == 4 and shape[0] > 1:
        raise BadShape(
            f"{name} holds a batch of {shape[0]} latents, and one is read; save them one by one (in ComfyUI: Latent From Batch)"
        )
    if len(shape) != 4 or shape[1] > MOST_CHANNELS or max(shape[2:]) > LARGEST_SIDE:
        raise BadShape(
            f"{name} holds a {SAMPLES} of shape {str(said)[:60]}, and [1, channels, height, width] is read; save it again"
        )
    return shape[1], shape[2], shape[3]


def _tensor(file: IO[bytes], table: _Table, key: str, name: str, *, length: int) -> NDArray[Any]:
    """One tensor, the samples in float32. Raises Truncated where its bytes are not there, BadValues for other numbers."""
    said = table.tensors[key]
    kind, shape, place = str(said.get("dtype")), said.get("shape"), said.get("data_offsets")
    if not (_are_counts(shape) and _are_counts(place) and len(place) == 2):
        raise Truncated(f"{name} is damaged: its head does not say where {key[:40]} lies; save it again")
    if key == SAMPLES and kind not in WIDTHS:
        raise BadValues(f"{name} holds {kind[:20]} numbers, and latents are floats of 16 to 64 bits; save it again")
    dtype = np.dtype(WIDTHS[kind]) if kind in WIDTHS else _dtype(kind, name)
    start, end = (table.start + number for number in place)
    if not table.start <= start <= end <= length or end - start != math.prod(shape) * dtype.itemsize:
        raise Truncated(f"{name} is cut off or damaged: {key[:40]} should lie at {start} to {end} of {length} bytes; save it again")
    file.seek(start)
    values = np.frombuffer(file.read(end - start), dtype).reshape(shape)
    if kind == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    if key == SAMPLES:
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    return values.astype(dtype.newbyteorder("=")) if kind != "BF16" else values


def _are_counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _dtype(kind: str, name: str) -> np.dtype[Any]:
    found = {"BOOL": "?", **{f"{letter}{8 * size}": f"<{letter.lower()}{size}" for letter in "UI" for size in (1, 2, 4, 8)}}.get(
        kind
    )
    if found is None:
        raise BadValues(f"{name} holds numbers of the type {kind[:20]!r}, which are not read; save it again from the original")
    return np.dtype(found)
