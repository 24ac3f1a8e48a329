"""A dropped artifact against the original that the daemon kept: what an editor lost comes back, what a program changed is noticed.

The original is found by the artifact's id; without one by the stem, where exactly one fits: of the same kind and size, and half of
its canvas agrees.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

import tiffsd
from daemon.beneath import Beneath
from daemon.names import base_of, id_of, output_name, shown, stem_of
from daemon.pictures.decoding import read_artifact
from daemon.stages import LATENTS, TIFFS
from tiffsd.artifact import with_paint_seen
from tiffsd.canvas import canvas_tensor
from tiffsd.edit import WORDS, embedding_of

# As many namesakes are compared pixel by pixel, of which a prompt leaves three; more of them tell that the stem names nothing.
MOST_NAMESAKES = 96
CHUNK_BYTES = 1 << 16
NO_ORIGINAL = "no original of it is kept"
AMBIGUOUS = "its name does not tell which of the kept originals it is"


def compared(artifact: tiffsd.Artifact, file: BinaryIO, *, name: str, keep: Path) -> tiffsd.Artifact:
    """The artifact in `file`, repaired from its kept original if it lost something; `name` is what people called the file."""
    if _is_whole(artifact):
        kept = kept_original(keep, stem_of(name), artifact.header.id)
        return _changed_by_program(artifact, file, kept) if kept else artifact
    identity = tiffsd.find_id(file, name)
    kept = kept_original(keep, stem_of(name), identity) if identity else None
    if kept and _kind_of(kept) is artifact.header.kind:
        return tiffsd.repair(artifact, _read_kept(kept), name=name)
    return _repaired_by_stem(artifact, name, keep) if artifact.canvas else _completed_by_parent(artifact, name, keep)


def exported_latents(name: str, keep: Path) -> str | None:
    """Of a file of a form that is not read, with the id of kept latents in its name, what it is and what to do; else None.

    An editor that saves latents as a picture, or as a document of its own, keeps the name of what it opened.
    """
    extension = name[len(base_of(name)) :].lower()
    if extension in LATENTS or not names_latents(name, keep):
        return None
    return told_of_exported(name, f"these are latents {id_of(name)}")


def told_of_exported(name: str, what: str) -> str:
    """The sentence on a canvas that an editor saved as something else than a TIFF."""
    extension = name[len(base_of(name)) :].lower()
    return (
        f"{shown(name)}: {what}, saved as {shown(extension) or 'something else'}, which has not their "
        f"precision or is not read; export as TIFF, 32-bit float, uncompressed"
    )


def names_latents(name: str, keep: Path) -> bool:
    """Whether the id in a name is that of latents whose original is kept."""
    identity = id_of(name)
    try:
        kept = None if identity is None else kept_original(keep, stem_of(name), identity)
        if kept is None:
            return False
        with Beneath(keep.parent).plain(kept) as file:
            return tiffsd.inspect(file, name=kept.name).kind is tiffsd.Kind.LATENTS
    except (OSError, tiffsd.TiffsdError):
        return False


def _kind_of(kept: Path) -> tiffsd.Kind:
    with Beneath(kept.parent.parent).plain(kept) as file:
        return tiffsd.inspect(file, name=kept.name).kind


def _is_whole(artifact: tiffsd.Artifact) -> bool:
    complete = "prompt_embeds" in artifact.tensors
    return complete and bool(artifact.header.recipe) and artifact.canvas is None


def kept_original(keep: Path, stem: str, identity: str) -> Path | None:
    """The original of this id that is kept, by its usual name or any other; None where there is none.

    What a JPEG or a WebP shows of a finished picture lies beside it, and is none."""
    beneath, usual = Beneath(keep.parent), keep / output_name(stem, identity, TIFFS[-1])
    if beneath.lexists(usual):
        return usual
    named = (name for name in beneath.names(keep) if name.endswith(TIFFS[-1]))
    return next((keep / name for name in named if id_of(name) == identity), None)


def _changed_by_program(artifact: tiffsd.Artifact, file: BinaryIO, kept: Path) -> tiffsd.Artifact:
    """A program that writes TIFFSD itself leaves no painted pixels: only the kept original shows what it changed."""
    if artifact.painted or artifact.header.kind is not tiffsd.Kind.LATENTS or _same(file, kept):
        return artifact
    latents, original = artifact.tensors["latents"], _read_kept(kept).tensors["latents"]
    changed = latents.size if latents.shape != original.shape else int(np.count_nonzero(latents != original))
    if not changed:
        return artifact
    tensors = {name: tensor for name, tensor in artifact.tensors.items() if not name.startswith("scheduler.")}
    seen: tuple[str, ...] = ()
    if latents.shape == original.shape:
        tensors, seen = with_paint_seen(tensors, artifact.header, original, latents)
    notes = (*artifact.notes, *seen, f"{changed} of {latents.size} values differ from the original {artifact.header.id}")
    return replace(artifact, tensors=tensors, painted=changed, notes=notes)


def _same(file: BinaryIO, kept: Path) -> bool:
    """Whether two files have the same exact tensors; most files are their original to the byte, which is found out sooner."""
    with Beneath(kept.parent.parent).plain(kept) as original:
        return _same_bytes(file, original) or tiffsd.same_tensors(file, original)


def _same_bytes(one: BinaryIO, two: BinaryIO) -> bool:
    one.seek(0)
    while chunk := one.read(CHUNK_BYTES):
        if chunk != two.read(CHUNK_BYTES):
            return False
    return not two.read(1)


def _read_kept(path: Path, *, expect: tiffsd.Kind | None = None) -> tiffsd.Artifact:
    with Beneath(path.parent.parent).plain(path) as file:
        return read_artifact(file, expect=expect, name=path.name)


def _completed_by_parent(artifact: tiffsd.Artifact, name: str, keep: Path) -> tiffsd.Artifact:
    """Latents that `tiffsd` edited after an editor had dropped their record and embedding: both come back from the parent.

    With the record intact the history tells of stages, and what is missing was taken out on purpose.
    """
    header = artifact.header
    if header.parent is None or any(entry.get("stage") != "edit" for entry in header.history):
        return artifact
    kept = kept_original(keep, stem_of(name), header.parent)
    original = _read_kept(kept) if kept else None
    return _completed(artifact, original) if original and original.header.kind is header.kind else artifact


def _completed(artifact: tiffsd.Artifact, original: tiffsd.Artifact) -> tiffsd.Artifact:
    header, kept = artifact.header, original.header
    reworded = "prompt_embeds" in artifact.tensors or any(word in header.recipe for word in WORDS)
    embedding = {} if reworded else embedding_of(original.tensors)
    tensors = {**embedding, **artifact.tensors}
    lost = ", ".join(["the record", *sorted(tensors.keys() - artifact.tensors.keys())])
    header = replace(header, recipe={**kept.recipe, **header.recipe}, history=(*kept.history, *header.history))
    notes = (*artifact.notes, f"restored from the original {kept.id}: {lost}")
    return replace(artifact, header=header, tensors=tensors, notes=notes)


def _repaired_by_stem(artifact: tiffsd.Artifact, name: str, keep: Path) -> tiffsd.Artifact:
    agreeing = list(_agreeing_namesakes(artifact, name, keep))
    if len(agreeing) == 1:
        return agreeing[0]
    if not agreeing:
        return replace(artifact, notes=(*artifact.notes, NO_ORIGINAL))
    ids = ", ".join(sorted(repaired.header.id for repaired in agreeing))
    reason = f"{AMBIGUOUS}, {ids}: put the right one into the name, {shown(stem_of(name))}.ID.tiff"
    return replace(artifact, notes=(*artifact.notes, reason))


def _agreeing_namesakes(artifact: tiffsd.Artifact, name: str, keep: Path) -> Iterator[tiffsd.Artifact]:
    namesakes = [kept for kept in Beneath(keep.parent).names(keep) if stem_of(kept) == stem_of(name) and kept.endswith(TIFFS)]
    for kept in namesakes if len(namesakes) <= MOST_NAMESAKES else []:
        try:
            repaired = tiffsd.repair(artifact, _read_kept(keep / kept, expect=artifact.header.kind), name=name)
        except tiffsd.TiffsdError:
            continue  # another kind or size
        canvas = canvas_tensor(repaired.tensors, repaired.header.kind)
        if canvas is not None and repaired.painted * 2 <= canvas.size:
            yield repaired
