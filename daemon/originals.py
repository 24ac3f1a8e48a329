"""Dropped latents against the original that the daemon kept: what an editor lost comes back, what a program changed is noticed.

The original is found by the artifact's id; without one by the stem, where only one can be meant, of the same size, and half of the
canvas agrees with it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

import tiffsd
from daemon.names import id_of, output_name, stem_of


def compared(artifact: tiffsd.Artifact, path: Path, *, name: str, keep: Path) -> tiffsd.Artifact:
    """The artifact in `path`, repaired from its kept original if it lost something; `name` is what people called the file."""
    if "prompt_embeds" in artifact.tensors and artifact.header.recipe:
        return _changed_by_program(artifact, keep / output_name(stem_of(name), artifact.header.id, ".tiff"))
    identity = tiffsd.find_id(path, name)
    original = next((kept for kept in keep.iterdir() if identity and id_of(kept.name) == identity), None)
    if original:
        return tiffsd.repair(artifact, tiffsd.read(original, name=original.name), name=name)
    return _repaired_by_stem(artifact, name, keep)


def _changed_by_program(artifact: tiffsd.Artifact, kept: Path) -> tiffsd.Artifact:
    """A program that writes TIFFSD itself leaves no painted pixels: only the kept original shows what it changed."""
    if artifact.painted or not kept.is_file():
        return artifact
    latents, original = artifact.tensors["latents"], tiffsd.read(kept, name=kept.name).tensors["latents"]
    changed = latents.size if latents.shape != original.shape else int(np.count_nonzero(latents != original))
    if not changed:
        return artifact
    tensors = {name: tensor for name, tensor in artifact.tensors.items() if not name.startswith("scheduler.")}
    notes = (*artifact.notes, f"{changed} of {latents.size} values differ from the original {artifact.header.id}")
    return replace(artifact, tensors=tensors, painted=changed, notes=notes)


def _repaired_by_stem(artifact: tiffsd.Artifact, name: str, keep: Path) -> tiffsd.Artifact:
    """Without an id only one original of that stem may be meant, of the same size, and half of the canvas must agree with it."""
    namesakes = [kept for kept in keep.iterdir() if stem_of(kept.name) == stem_of(name)]
    if len(namesakes) != 1:
        return artifact
    original = tiffsd.read(namesakes[0], name=namesakes[0].name)
    if original.header.size != artifact.header.size:
        return artifact
    repaired = tiffsd.repair(artifact, original, name=name)
    return repaired if repaired.painted * 2 <= repaired.tensors["latents"].size else artifact
