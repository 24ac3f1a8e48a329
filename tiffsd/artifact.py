"""One artifact in memory: its header and its tensors; and the repair of what an editor dropped, from the kept original.

Sections 2 and 6 of `tiffsd/spec.py`; nothing here knows files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.canvas import (
    EMBEDDING_ROWS,
    Canvas,
    canvas_tensor,
    check_pixels,
    fitted,
    named_tensors,
    page_size,
    to_pixels,
)
from tiffsd.header import Header
from tiffsd.held import HELD, HELD_LATENTS, HELD_MASK, HELD_NOISE, RELEASED, released_where
from tiffsd.overlay import OVERLAY, OVERLAY_LATENTS, OVERLAY_MASK, OVERLAYS, PAINTED, opened_where
from tiffsd.pixels import check_picture
from tiffsd.spec import LARGEST_SIDE, MOST_SAMPLES, NOUNS, BadShape, BadValues, Kind, Layout, State, TooLarge, WrongKind
from tiffsd.undone import read_undone

Tensors = Mapping[str, NDArray[Any]]

CANVAS_TENSORS = {Kind.LATENTS: ("latents",), Kind.EMBEDDING: EMBEDDING_ROWS, Kind.PICTURE: ("picture",)}
# What a file of a kind must not hold beside its own.
FOREIGN = {Kind.LATENTS: {"picture"}, Kind.EMBEDDING: {"picture", "latents"}, Kind.PICTURE: set[str]()}
HISTORY_PREFIX = "scheduler."
NEARLY_ALL = 0.9  # so much is painted by mistake more often than by hand
RANKS = {
    "latents": 3,
    "prompt_embeds": 2,
    "negative_prompt_embeds": 2,
    "pooled_prompt_embeds": 1,
    "negative_pooled_prompt_embeds": 1,
    "mask": 2,
    "masked_image_latents": 3,
    "image_latents": 3,
    "noise": 3,
    HELD_MASK: 2,
    HELD_LATENTS: 3,
    HELD_NOISE: 3,
    OVERLAY: 3,
    OVERLAY_MASK: 2,
    OVERLAY_LATENTS: 3,
}
# What of a picture under a mask goes along beside the latents, at their size.
UNDER_A_MASK = ("masked_image_latents", "image_latents", "noise", OVERLAY_LATENTS)


@dataclass(frozen=True)
class Artifact:
    """A header, named tensors, and what reading found, assumed or restored, in sentences for people.

    `painted` counts the values of the canvas that differ from what the exact tensors would have painted; it is 0 where there was
    nothing to compare with. `canvas` is kept only then, so that `repair` can compare it with the original. `of_vae` says
    that latents are in the units of their VAE still, which cannot be written: who knows the model brings them to those here.
    """

    header: Header
    tensors: Tensors
    notes: tuple[str, ...] = ()
    painted: int = 0
    canvas: Canvas | None = field(default=None, repr=False, compare=False)
    of_vae: bool = False

    @property
    def married(self) -> bool:
        """Whether these are latents with their embedding in the same file."""
        return self.header.kind is Kind.LATENTS and "prompt_embeds" in self.tensors

    @property
    def told_painted(self) -> str | None:
        """How many values of the canvas are painted, as a sentence, with a warning where it is nearly all; None where none is."""
        if not self.painted:
            return None
        size = _canvas_size(self)
        warning = "; that is nearly all of them: if that was not meant, the program changed the values when it saved"
        return f"{self.painted} of {size} values are painted{warning if self.painted > NEARLY_ALL * size else ''}"


def reconcile(header: Header, canvas: Canvas, exact: Tensors, *, name: str) -> Artifact:
    """A canvas as found, and the exact tensors that belong to its header -> the artifact that counts.

    Raises what `canvas.read_canvas` raises; `name` is the file's.
    """
    header = fitted(header, canvas)
    painted_on = canvas_tensor(exact, header.kind)
    reading = read_undone(canvas, header, painted_on, name=name)
    others = {key: tensor for key, tensor in exact.items() if key not in CANVAS_TENSORS[header.kind]}
    notes = list(reading.notes)
    if reading.painted:
        resized = painted_on is not None and painted_on.shape != reading.tensor.shape
        notes += drop_stale(others, resized=resized)
        if painted_on is not None and not resized and header.kind is Kind.LATENTS:
            others, said = with_paint_seen(others, header, painted_on, reading.tensor)
            notes += said
    return Artifact(header, named_tensors(reading.tensor, header) | others, tuple(notes), reading.painted)


def with_paint_seen(
    tensors: Tensors, header: Header, before: NDArray[Any], after: NDArray[Any]
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """The tensors beside latents (C, h, w) that were changed by hand: of final ones the change is seen outside of a mask too, and
    paint that was held there is so no longer.

    Also the sentences on that. What is painted on half-done latents outside of a mask gives way in the loop.
    """
    changed = (before != after).any(axis=0)
    freed = released_where(tensors, changed)
    notes = (RELEASED,) if freed.get(HELD_MASK) is not tensors.get(HELD_MASK) else ()
    if header.state is not State.FINAL:
        return freed, notes
    opened = opened_where(freed, changed)
    seen = opened.get(OVERLAY_MASK) is not tensors.get(OVERLAY_MASK)
    return opened, (*notes, PAINTED) if seen else notes


def repair(artifact: Artifact, original: Artifact, *, name: str | None = None) -> Artifact:
    """Take back from the kept original what an editor dropped: exact values, other tensors, the record.

    Values whose pixels agree with the original are exact again, the others painted; the notes say what was restored. Raises
    WrongKind where the two are different kinds, BadShape where the canvas does not fit the original; `name` is the file's.
    """
    label = name or f"artifact {artifact.header.id}"
    if artifact.header.kind is not original.header.kind:
        raise WrongKind(
            f"{label} holds {NOUNS[artifact.header.kind]}, and the original {original.header.id} {NOUNS[original.header.kind]}; "
            f"give it a name without the id of the original"
        )
    header = _repaired_header(artifact, original)
    if artifact.canvas is None:
        lost = {k: t for k, t in original.tensors.items() if header.kind is Kind.PICTURE and k not in artifact.tensors}
        notes = artifact.notes + _restored(artifact, original, lost)
        sized = replace(header, size=artifact.header.size)
        return replace(artifact, header=sized, tensors={**artifact.tensors, **lost}, notes=notes)
    repaired = _best_reading(header, artifact.canvas, original.tensors, name=label)
    lost = {key: tensor for key, tensor in repaired.tensors.items() if key not in artifact.tensors}
    counted = f"{repaired.painted} of {_canvas_size(repaired)} canvas values differ from the original {original.header.id}"
    # What reading noted was about what is restored now.
    return replace(repaired, notes=(*_restored(artifact, original, lost), counted, *repaired.notes))


def _best_reading(header: Header, canvas: Canvas, exact: Tensors, *, name: str) -> Artifact:
    """The reading of a canvas that agrees best with the original, where a file without metadata can be read in two ways."""
    taken = reconcile(header, canvas, exact, name=name)
    if canvas.as_found is None or canvas.as_found.shape != canvas.planes.shape:
        return taken
    found = reconcile(header, replace(canvas, planes=canvas.as_found), exact, name=name)
    # A crop differs everywhere either way; only rgba shows plain values.
    readings = (found, taken) if header.layout is Layout.RGBA else (taken, found)
    return min(readings, key=lambda artifact: artifact.painted)


def check(artifact: Artifact) -> None:
    """Refuse to write what could not be read again.

    BadShape for a missing or other canvas tensor and for shapes that contradict each other, WrongKind for tensors of another kind,
    TooLarge beyond the limits, BadValues for the content of the canvas.
    """
    header, label = artifact.header, f"artifact {artifact.header.id}"
    check_units(artifact)
    _check_kept_together(artifact, label)
    if header.kind is Kind.PICTURE:
        found = artifact.tensors.get("picture")
        shape = () if found is None else found.shape
    else:
        found = canvas_tensor(artifact.tensors, header.kind)
        shape = size_of(artifact.tensors, header.kind)
    if found is None or found.size == 0 or shape != header.size:
        raise BadShape(
            f"{label} has {' + '.join(CANVAS_TENSORS[header.kind])} of shape {list(shape)}, and its header says "
            f"{list(header.size)}; the two must be equal to be written"
        )
    _check_limits(header, label)
    if found.dtype.kind != "f":
        raise BadValues(f"{label} holds {found.dtype} on its canvas, and a canvas is made of floats; convert it to float32")
    if header.kind is Kind.PICTURE:
        check_picture(found, name=label)
    else:
        extremes = np.stack([found.min(), found.max()])  # painting keeps the order, so theirs are those of all
        check_pixels(to_pixels(extremes, header), header, name=label)


def check_units(artifact: Artifact) -> None:
    """Raise BadValues for latents in the units of their VAE, which nothing but `latent_file.scaled` takes."""
    if artifact.of_vae:
        raise BadValues(
            f"artifact {artifact.header.id} holds latents in the units of their VAE, and here they are those of the denoiser; "
            f"convert them first, and say of which model they are, or its scaling factor"
        )


def _check_kept_together(artifact: Artifact, label: str) -> None:
    """Refuse tensors that no file of this kind may hold, or that are of other ranks or widths than they should be."""
    kind, tensors = artifact.header.kind, artifact.tensors
    strangers = sorted(FOREIGN[kind] & tensors.keys())
    if strangers:
        raise WrongKind(
            f"{label} is {NOUNS[kind]} and holds {' and '.join(strangers)}, which a file of its own should; take it out"
        )
    if not consistent(tensors):
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items() if name in RANKS)
        raise BadShape(
            f"{label} has tensors whose shapes contradict each other or have a batch axis: {shapes}; "
            f"give it those of section 2 of the specification"
        )


def _check_limits(header: Header, label: str) -> None:
    height, width = page_size(header)
    if max(height, width) > LARGEST_SIDE:
        raise TooLarge(f"{label} would be a canvas of {width}x{height}, and sides of 1 to {LARGEST_SIDE} are read; make it smaller")
    samples = height * width if header.kind is Kind.EMBEDDING else math.prod(header.size)
    if samples > MOST_SAMPLES[header.kind]:
        raise TooLarge(
            f"{label} has {samples:,} samples, and {header.kind} of at most {MOST_SAMPLES[header.kind]:,} are read; make it smaller"
        )


def consistent(tensors: Tensors) -> bool:
    """Whether the tensors that section 2 of the format knows are of its ranks, and the halves of an embedding of one width D."""
    ranks = all(tensors[name].ndim == rank for name, rank in RANKS.items() if name in tensors)
    return ranks and len({tensors[name].shape[1] for name in EMBEDDING_ROWS if name in tensors}) <= 1


def size_of(tensors: Tensors, kind: Kind) -> tuple[int, ...]:
    """The tensors -> the `size` of their header: (C, h, w) of latents, () where there are none, else (T, U, D) of an embedding."""
    if kind is Kind.LATENTS:
        return tensors["latents"].shape if "latents" in tensors else ()
    rows = [len(tensors[name]) if name in tensors else 0 for name in EMBEDDING_ROWS]
    width = next((tensors[name].shape[-1] for name in EMBEDDING_ROWS if name in tensors), 0)
    return (*rows, width)


def _repaired_header(artifact: Artifact, original: Artifact) -> Header:
    """The artifact's own header where its record survived, else the original's in the layout and kind of the canvas."""
    mine, kept = artifact.header, original.header
    if mine.id == kept.id and (mine.recipe or not kept.recipe):
        return mine
    if mine.kind is Kind.PICTURE:
        return replace(kept, size=mine.size)
    if artifact.canvas is None and mine.kind is Kind.LATENTS:  # its exact tensors are its own, and may have been cropped
        return fitted(replace(kept, layout=mine.layout), Canvas(artifact.tensors["latents"]))
    return kept


def _restored(artifact: Artifact, original: Artifact, lost: Tensors) -> tuple[str, ...]:
    parts = sorted(lost)
    if original.header.recipe and not artifact.header.recipe:
        parts.insert(0, "the record")
    return (f"restored from the original {original.header.id}: {', '.join(parts)}",) if parts else ()


def drop_stale(others: dict[str, NDArray[Any]], *, resized: bool) -> list[str]:
    """Remove, in place, what belonged to latents that are no longer there; say what it was."""
    memory = [key for key in others if key.startswith(HISTORY_PREFIX)]
    notes = ["the scheduler's memory of its last steps does not fit the painted latents and was dropped"] * bool(memory)
    mask = [key for key in dict.fromkeys(("mask", *UNDER_A_MASK, *OVERLAYS)) if resized and key in others]
    notes += ["the mask has the size of before and was dropped"] * bool(mask)
    held = [key for key in HELD if resized and key in others]
    notes += ["the paint that the loop held has the size of before and was dropped"] * bool(held)
    for key in memory + mask + held:
        del others[key]
    return notes


def _canvas_size(artifact: Artifact) -> int:
    return sum(int(np.size(artifact.tensors[k])) for k in CANVAS_TENSORS[artifact.header.kind] if k in artifact.tensors)
