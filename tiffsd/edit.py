"""Editing without an editor: pure functions, artifacts in, artifacts out.

    moon = tiffsd.edit.crop(tiffsd.read("night.tiff"), Region(64, 64, left=16))
    tiffsd.write("two-moons.tiff", tiffsd.edit.paste(moon, into=tiffsd.read("cat.tiff"), left=32, top=0))

Every result is an artifact of its own: a new id, its parent, and an entry in the history that says what was done and how many
values changed. What is not named stays exact. Latents that changed lose what the scheduler remembers of its last steps, because it
belongs to the latents that were there (section 6 of `tiffsd/spec.py`). Places are in pixels of the picture (`tiffsd/region.py`).
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.artifact import HISTORY_PREFIX, UNDER_A_MASK, Artifact, Tensors, check_units, size_of, with_paint_seen
from tiffsd.header import Header, new_id
from tiffsd.held import HELD
from tiffsd.overlay import OVERLAY, OVERLAY_MASK
from tiffsd.region import Region, extent, pixels_per_value, window
from tiffsd.spec import LAYOUTS, NOUNS, BadShape, BadValues, Kind, Layout, State, WrongKind

Values = NDArray[Any]

POOLED = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
EMBEDDING_TENSORS = ("prompt_embeds", "negative_prompt_embeds", *POOLED)
CANVAS_NAMES = {Kind.LATENTS: ("latents",), Kind.EMBEDDING: EMBEDDING_TENSORS, Kind.PICTURE: ("picture",)}
WORDS = ("prompt", "negative_prompt", "clip_skip", "embedding")  # the last is the name of a saved one
ENCODED_BY = (*WORDS, "model")
BEGUN_BY = ("seed", "rng", "variation_seed", "variation_strength")
LARGEST_FACTOR = 100.0
# Below this angle the two noises are one, and the circle through them is a line.
SMALLEST_SINE = 1e-6


def embedding_of(tensors: Tensors) -> Tensors:
    """Return those of the tensors that are an embedding, in the order of a file."""
    return {name: tensors[name] for name in EMBEDDING_TENSORS if name in tensors}


def crop(artifact: Artifact, region: Region) -> Artifact:
    """Keep a region of latents or of a picture; width and height of the recipe follow, and so does a mask.

    Raises BadShape where the region does not lie within, or is off the grid of latents (multiples of 8).
    """
    where = window(region, artifact.header)
    (name,) = CANVAS_NAMES[artifact.header.kind]
    tensors = {**artifact.tensors, name: artifact.tensors[name][where].copy()}
    notes = _crop_mask(tensors, region, extent(artifact.header))
    sides = {"width": region.width, "height": region.height}
    recipe = {key: sides.get(key, value) for key, value in artifact.header.recipe.items()}
    header = replace(artifact.header, size=tensors[name].shape, recipe=recipe)
    return _edited(artifact, f"crop {region}", tensors, header, repaints=True, notes=notes)


def paste(source: Artifact, into: Artifact, *, left: int, top: int, region: Region | None = None) -> Artifact:
    """Put a region of `source` (all of it where none is given) into another artifact, with its upper left corner at `left`, `top`.

    What the canvas shows is what is pasted: where one of the two is half-done and painted divided by its sigma, values are scaled
    to the other's. Raises WrongKind for two kinds, BadShape for other channels or where something does not lie within.
    """
    _check_alike(source, into)
    region = region or extent(source.header)
    there = Region(region.width, region.height, left, top)
    (name,) = CANVAS_NAMES[into.header.kind]
    painted = into.tensors[name].copy()
    painted[window(there, into.header)] = _as_shown_in(into.header, source)[name][window(region, source.header)]
    what = f"paste {region} at +{left}+{top}"
    return _edited(into, what, {**into.tensors, name: painted}, repaints=True, notes=_oddities(source, into), source=source)


def blend(first: Artifact, second: Artifact, weight: float | Values = 0.5) -> Artifact:
    """Mix two artifacts of one kind and size: weight 0 is the first, 1 the second; all but the canvas is the first's.

    The weight is a number 0..1, or a mask of such numbers: one per pixel of the picture (H, W), or one per value of the latents
    (h, w). Noise is mixed on the circle through both, so that it stays unit noise; everything else on the line between them. A
    mixed embedding has no words any more. Raises WrongKind, BadShape where the two do not fit, BadValues for weights beyond 0..1.
    """
    _check_alike(first, second)
    if first.header.size != second.header.size:
        raise BadShape(
            f"artifact {first.header.id} has the size {list(first.header.size)} and {second.header.id} {list(second.header.size)}, "
            f"and only artifacts of one size can be mixed; crop the larger one"
        )
    weights = _weights(weight, first.header)
    both_noise = State.NOISE is first.header.state is second.header.state
    other = _as_shown_in(first.header, second)
    names = [name for name in CANVAS_NAMES[first.header.kind] if name in first.tensors and name in other]
    mixed = {name: _mixed(first.tensors[name], other[name], weights, circle=both_noise) for name in names}
    header, notes = first.header, _oddities(second, first)
    if header.kind is Kind.EMBEDDING:
        header, notes = replace(header, recipe=_wordless(header.recipe)), (*notes, _two_prompts(first, second))
    what = f"blend by a mask of {np.shape(weight)[1]}x{np.shape(weight)[0]}" if np.ndim(weight) else f"blend {float(weight):g}"
    return _edited(first, what, {**first.tensors, **mixed}, header, repaints=True, notes=notes, source=second)


def scale(artifact: Artifact, *, latents: float = 1.0, prompt: float = 1.0) -> Artifact:
    """Multiply latents, or the prompt's half of an embedding, by factors of -100..100: the prototype's influence factors.

    The factor 1 changes nothing. Raises WrongKind where the artifact does not hold what is to be scaled, BadValues for others.
    """
    factors = {"latents": latents, "prompt_embeds": prompt}
    wanted = {name: factor for name, factor in factors.items() if factor != 1}
    for name, factor in wanted.items():
        if not abs(factor) <= LARGEST_FACTOR:
            raise BadValues(f"the factor {factor} is beyond -{LARGEST_FACTOR:g}..{LARGEST_FACTOR:g}; give a smaller one")
        if name not in artifact.tensors:
            raise WrongKind(f"artifact {artifact.header.id} holds {_content(artifact)}, and no {name} that could be scaled")
    scaled = {name: artifact.tensors[name] * np.float32(factor) for name, factor in wanted.items()}
    what = " ".join(["scale", *(f"{name} {factor:g}" for name, factor in wanted.items())])
    return _edited(artifact, what, {**artifact.tensors, **scaled}, repaints=True)


def marry(latents: Artifact, embedding: Artifact) -> Artifact:
    """Latents with the embedding (of an embedding file, or of other married latents) in the place of their own, and its words.

    Where the embedding was edited before, its words no longer tell it, and the history counts that as painted. Raises WrongKind
    where the first are no latents or the second holds no embedding.
    """
    if latents.header.kind is not Kind.LATENTS or "prompt_embeds" not in embedding.tensors:
        raise WrongKind(
            f"artifact {latents.header.id} holds {_content(latents)} and {embedding.header.id} {_content(embedding)}; "
            f"married are latents and an embedding, in this order"
        )
    brought = embedding_of(embedding.tensors)
    words = {key: embedding.header.recipe[key] for key in WORDS if key in embedding.header.recipe}
    header = replace(latents.header, recipe={**_wordless(latents.header.recipe), **words})
    notes = _oddities(embedding, latents, states=False)
    return _edited(
        latents,
        "marry",
        {**_without_embedding(latents.tensors), **brought},
        header,
        # Noise knows nothing of the words that follow it.
        repaints=latents.header.state is not State.NOISE,
        untold=_painted_so_far(embedding),
        notes=notes,
        source=embedding,
    )


def split(artifact: Artifact) -> tuple[Artifact, Artifact]:
    """Married latents -> the latents alone, and their embedding with its words. Raises WrongKind where there are not both."""
    if not artifact.married:
        raise WrongKind(f"artifact {artifact.header.id} holds {_content(artifact)}, and only married latents can be split")
    brought = embedding_of(artifact.tensors)
    words = {key: artifact.header.recipe[key] for key in ENCODED_BY if key in artifact.header.recipe}
    size = size_of(brought, Kind.EMBEDDING)
    bare = replace(artifact.header, kind=Kind.EMBEDDING, layout=Layout.STRIP, size=size, recipe=words)
    bare = replace(bare, state=None, sigma=None, step=None, steps=None)
    latents = _edited(artifact, "split", _without_embedding(artifact.tensors))
    return latents, _edited(artifact, "split", brought, bare)


def with_settings(artifact: Artifact, settings: Mapping[str, Any]) -> Artifact:
    """Change settings in the recipe; None removes one. Values are not checked here: the vocabulary is the daemon's.

    Words that change (prompt, negative_prompt, clip_skip, model) take the old embedding out of latents, so that the daemon encodes
    the new ones, and the name of a saved embedding out of the recipe; a new seed, or another way to draw its noise, takes the
    generator's state out, and the history counts all latents as painted, because they begin with another noise. Raises BadValues
    for what the artifact itself decides: the size and the saved embedding of latents, the words of an embedding, steps and
    scheduler of half-done latents.
    """
    old = artifact.header.recipe
    changed = {key for key, value in settings.items() if old.get(key) != value}
    _check_changeable(artifact, changed, {**old, **settings})
    tensors, notes = dict(artifact.tensors), list[str]()
    if changed & set(ENCODED_BY) and artifact.married:
        tensors = _without_embedding(tensors)
        notes.append("the embedding of the old words was taken out; the daemon encodes the new ones")
    if changed & {*BEGUN_BY, "ensd"} and tensors.pop("generator_state", None) is not None:
        new = "seed" if "seed" in changed else ", ".join(sorted(changed & {*BEGUN_BY, "ensd"}))
        notes.append(f"the state of the random numbers was taken out, so that the new {new} counts for noise that is added")
    began_otherwise = bool(changed & set(BEGUN_BY)) and old.get("seed") is not None and "latents" in tensors
    if began_otherwise:
        notes.append(f"the noise that these latents began with is that of seed {old['seed']}")
    other_words = changed & set(ENCODED_BY) and "embedding" not in changed
    kept = _without(old, "embedding") if other_words else old
    recipe = {key: value for key, value in {**kept, **settings}.items() if value is not None}
    what = " ".join(["set", *sorted(changed)])
    untold = tensors["latents"].size if began_otherwise else 0
    return _edited(artifact, what, tensors, replace(artifact.header, recipe=recipe), untold=untold, notes=notes)


def convert(artifact: Artifact, *, layout: Layout | None = None, dtype: str | None = None) -> Artifact:
    """The same in another layout, or a picture in "float16" or "float32".

    Raises BadShape for a layout that cannot hold it, BadValues for a dtype of anything but a picture.
    """
    header, tensors = artifact.header, dict(artifact.tensors)
    fitting = [known for known in LAYOUTS[header.kind] if known is not Layout.RGBA or header.size[0] == 4]
    if layout is not None and layout not in fitting:
        raise BadShape(f"artifact {header.id} has the size {list(header.size)} and cannot be {layout}; use {' or '.join(fitting)}")
    if dtype is not None:
        if header.kind is not Kind.PICTURE:
            raise BadValues(f"artifact {header.id} holds {NOUNS[header.kind]} in float32, and only pictures can be {dtype}")
        tensors["picture"] = tensors["picture"].astype(dtype)
    wanted = [str(word) for word in (layout, dtype) if word is not None]
    return _edited(artifact, " ".join(["convert to", *wanted]), tensors, replace(header, layout=layout or header.layout))


def _edited(
    artifact: Artifact,
    what: str,
    tensors: Tensors,
    header: Header | None = None,
    *,
    repaints: bool = False,
    untold: int = 0,
    notes: tuple[str, ...] | list[str] = (),
    source: Artifact | None = None,
) -> Artifact:
    """The artifact with other tensors, as one of its own; `repaints` says that its recipe no longer tells how it was made.

    `untold` counts values that the recipe does not tell either, although they are those that were there.
    """
    for given in (artifact, *([source] if source else [])):
        check_units(given)
    before, header = artifact.tensors, header or artifact.header
    moved = "latents" in tensors and not np.array_equal(before["latents"], tensors["latents"])
    kept = {name: tensor for name, tensor in tensors.items() if not (moved and name.startswith(HISTORY_PREFIX))}
    shown: tuple[str, ...] = ()
    if moved and before["latents"].shape == kept["latents"].shape:
        kept, shown = with_paint_seen(kept, artifact.header, before["latents"], kept["latents"])
    forgotten = ["the scheduler's memory of its last steps does not fit the new latents and was dropped"]
    entry: dict[str, Any] = {"stage": "edit", "id": new_id(), "at": datetime.now(UTC).isoformat(timespec="seconds"), "what": what}
    if source is not None:
        entry["with"] = source.header.id
    painted = artifact.painted + untold + (_changed(before, kept) if repaints else 0)
    entry |= {"painted": painted} if painted else {}
    said = [*artifact.notes, *notes, *shown, *(forgotten if len(kept) < len(tensors) else [])]
    entry |= {"notes": said} if said else {}
    header = replace(header, id=entry["id"], parent=artifact.header.id, history=(*artifact.header.history, entry))
    return Artifact(header, kept)


def _changed(before: Tensors, after: Tensors) -> int:
    """How many values of what was there before are others now."""
    pairs = [(before[name], after[name]) for name in ("latents", "picture", *EMBEDDING_TENSORS) if name in before and name in after]
    return sum(b.size if a.shape != b.shape else int(np.count_nonzero(a != b)) for a, b in pairs)


def _painted_so_far(artifact: Artifact) -> int:
    """How many values were painted, now and in the history; what is no number there counts as none."""
    counts = [entry.get("painted") for entry in artifact.header.history]
    return artifact.painted + sum(count for count in counts if isinstance(count, int))


def _crop_mask(tensors: dict[str, Values], region: Region, whole: Region) -> list[str]:
    """Crop a mask, as large as the latents or as the picture, what belongs to it, and paint that is held, in place."""
    rows = slice(region.top // 8, (region.top + region.height) // 8)
    columns = slice(region.left // 8, (region.left + region.width) // 8)
    for name in (*UNDER_A_MASK, *HELD):
        if name in tensors and tensors[name].shape[-2:] == (whole.height // 8, whole.width // 8):
            tensors[name] = tensors[name][..., rows, columns].copy()
    for name in (OVERLAY, OVERLAY_MASK):
        if name in tensors and tensors[name].shape[:2] == (whole.height, whole.width):
            across = slice(region.left, region.left + region.width)
            tensors[name] = tensors[name][region.top : region.top + region.height, across].copy()
    mask = tensors.get("mask")
    if mask is None:
        return []
    unit = next((u for u in (1, 8) if mask.ndim >= 2 and mask.shape[-2:] == (whole.height // u, whole.width // u)), None)
    if unit is None:
        del tensors["mask"]
        return ["the mask has another size and was dropped"]
    left, top, width, height = (number // unit for number in (region.left, region.top, region.width, region.height))
    tensors["mask"] = mask[..., top : top + height, left : left + width].copy()
    return []


def _check_alike(one: Artifact, other: Artifact) -> None:
    kinds = one.header.kind, other.header.kind
    if kinds[0] is not kinds[1]:
        raise WrongKind(
            f"artifact {one.header.id} holds {NOUNS[kinds[0]]} and {other.header.id} {NOUNS[kinds[1]]}; "
            f"use two of one kind: encode a picture first, or decode latents"
        )
    if kinds[0] is Kind.LATENTS and one.header.size[0] != other.header.size[0]:
        raise BadShape(
            f"artifact {one.header.id} has {one.header.size[0]} channels and {other.header.id} {other.header.size[0]}; "
            f"latents of two such models do not understand each other: decode one and encode it with the other's model"
        )


def _oddities(source: Artifact, into: Artifact, *, states: bool = True) -> tuple[str, ...]:
    """What is allowed between two artifacts but seldom meant, in sentences."""
    notes = []
    models = source.header.recipe.get("model"), into.header.recipe.get("model")
    if None not in models and models[0] != models[1]:
        notes.append(f"artifact {source.header.id} was made with the model {models[0]!r}, and {into.header.id} with {models[1]!r}")
    if states and source.header.state is not into.header.state:
        notes.append(f"artifact {source.header.id} is {source.header.state} latents, and {into.header.id} is {into.header.state}")
    return tuple(notes)


def _as_shown_in(header: Header, source: Artifact) -> Tensors:
    """The source's tensors, its latents scaled so that a canvas with this header shows them as its own canvas does."""
    mine, other = (math.sqrt((h.sigma or 0.0) ** 2 + 1) for h in (header, source.header))
    if mine == other or "latents" not in source.tensors:
        return source.tensors
    return {**source.tensors, "latents": (source.tensors["latents"] * np.float64(mine / other)).astype(np.float32)}


def _weights(weight: float | Values, header: Header) -> Values:
    """Weights as they apply to the canvas tensor of this header, element by element."""
    weights = np.asarray(weight, np.float64)
    if not (weights.size and weights.min() >= 0 and weights.max() <= 1):
        raise BadValues("weights lie within 0..1, from the first artifact to the second, and some of these do not; scale them")
    if weights.ndim == 0:
        return weights
    whole, unit = extent(header), pixels_per_value(header)
    rows, columns = whole.height // unit, whole.width // unit
    if weights.shape == (whole.height, whole.width):
        weights = weights.reshape(rows, unit, columns, unit).mean(axis=(1, 3))
    elif weights.shape != (rows, columns):
        found = "x".join(map(str, weights.shape[::-1]))
        raise BadShape(f"the mask is {found} pixels, and the picture {whole.width}x{whole.height}; make a mask of that size")
    return weights if header.kind is Kind.LATENTS else weights[..., np.newaxis]


def _mixed(first: Values, second: Values, weights: Values, *, circle: bool) -> Values:
    """Between two tensors: on the line, or on the circle (spherical interpolation), where unit noise stays unit noise."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    angle = math.acos(max(-1.0, min(1.0, float(np.vdot(a, b)) / lengths))) if lengths else 0.0
    if circle and math.sin(angle) > SMALLEST_SINE:
        shares = np.sin((1 - weights) * angle) / math.sin(angle), np.sin(weights * angle) / math.sin(angle)
    else:
        shares = 1 - weights, weights
    mixed: Values = (shares[0] * a + shares[1] * b).astype(first.dtype)
    return mixed


def _check_changeable(artifact: Artifact, changed: set[str], recipe: Mapping[str, Any]) -> None:
    header = artifact.header
    if header.kind is Kind.LATENTS and changed & {"width", "height"}:
        raise BadValues(f"artifact {header.id} is {extent(header)} by its latents; to change its size, crop it")
    if header.kind is Kind.EMBEDDING and changed & set(ENCODED_BY):
        raise BadValues(f"artifact {header.id} is an embedding, which is made of its words; encode other words instead")
    if header.kind is Kind.LATENTS and "embedding" in changed and recipe.get("embedding") is not None:
        raise BadValues(f"artifact {header.id} holds its embedding itself; to put the saved one in, marry the two")
    if header.state is State.PARTIAL and changed & {"steps", "scheduler"}:
        raise BadValues(
            f"artifact {header.id} stopped at step {header.step} of {header.steps}, and has a place on no other schedule; "
            f"finish it with these steps and this scheduler"
        )
    if artifact.married and changed & set(ENCODED_BY) and recipe.get("prompt") is None:
        named = "it would no longer name" if artifact.header.recipe.get("prompt") is not None else "it does not name"
        raise BadValues(
            f"artifact {header.id} holds the embedding of a prompt that {named}, and all words are encoded together; "
            f"set the prompt too"
        )


def _wordless(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return _without(recipe, *WORDS)


def _without(recipe: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in recipe.items() if key not in keys}


def _without_embedding(tensors: Tensors) -> dict[str, Values]:
    return {name: tensor for name, tensor in tensors.items() if name not in EMBEDDING_TENSORS}


def _two_prompts(first: Artifact, second: Artifact) -> str:
    prompts = [artifact.header.recipe.get("prompt", "words that are not known") for artifact in (first, second)]
    return f"the embedding is mixed of {prompts[0]!r} and {prompts[1]!r}"


def _content(artifact: Artifact) -> str:
    married = " with an embedding" if artifact.married else ""
    return f"{NOUNS[artifact.header.kind]}{married}"
