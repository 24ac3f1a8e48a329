"""The embedding of a job: half of a pair, saved under a name, or still to be made from the words."""

import errno
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import InputError
from daemon.jobs.intake.files import Files, InputSources, Notes
from daemon.jobs.originals import AMBIGUOUS, NO_ORIGINAL, compared
from daemon.names import shown, stem_of
from daemon.pictures.decoding import read_artifact
from daemon.pictures.sizes import largest_embedding, tensor_limits
from tiffsd.artifact import Tensors
from tiffsd.edit import embedding_of

# Nothing, a link, a folder, a FIFO or a device in its place: none of them is a saved embedding.
NO_FILE = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENXIO)


def embedding_half(files: Files, sources: InputSources) -> tuple[Tensors, Notes]:
    """The embedding that came as the other half of a pair, if one did."""
    for role in ("_prompt", "_textstate1"):
        if role in files.members:
            return _embedding(files.members[role], files.names[role], sources)
    return {}, ()


def saved_embedding(name: str | None, sources: InputSources) -> tuple[Tensors, Notes]:
    """The embedding saved under a name. Raises InputError where there is none of that name."""
    if name is None:
        return {}, ()
    beneath, path = Beneath(sources.embeddings.parent), sources.embeddings / f"{name}.tiff"
    try:
        with beneath.plain(path) as file:
            return _embedding(file, path.name, sources)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise _not_saved(name, sources, beneath) from None


def _not_saved(name: str, sources: InputSources, beneath: Beneath) -> InputError:
    try:
        found = sorted(name.removesuffix(".tiff") for name in beneath.names(sources.embeddings) if name.endswith(".tiff"))
    except OSError:
        found = []
    saved = ", ".join(map(shown, found)) or "none"
    return InputError(f"there is no saved embedding {name!r}; saved are: {saved}; save one with `save_embedding: NAME`")


def _embedding(file: BinaryIO, name: str, sources: InputSources) -> tuple[Tensors, Notes]:
    limits = sources.config.limits
    largest, bounds = largest_embedding(os.fstat(file.fileno()).st_size), tensor_limits(limits.pixels, limits.characters)
    artifact = read_artifact(file, expect=tiffsd.Kind.EMBEDDING, name=name, largest=largest, tensors=bounds)
    if sources.keep is not None:
        artifact = compared(artifact, file, name=name, keep=sources.keep)
    tensors = embedding_of(artifact.tensors)
    return tensors, tuple(f"{shown(name)}: {note}" for note in artifact.notes)


def must_encode_text(tensors: Tensors, beside: Mapping[str, Any], files: Files, artifact: tiffsd.Artifact) -> bool:
    """Whether the prompt has to be encoded first: there is no embedding, or a person changed the words beside it."""
    said = artifact.header.recipe
    words = ("prompt", "negative_prompt", "clip_skip", "model", "loras")
    changed = "embedding" not in beside and any(beside[key] != said.get(key) for key in words if key in beside)
    if "prompt" in {**said, **beside}:
        return changed or "prompt_embeds" not in tensors
    if "prompt_embeds" in tensors:
        if "negative_prompt" in beside:
            raise InputError(
                f"{files.name}: a negative prompt lies beside these latents, but the words of their prompt are not known, and both "
                f"are encoded together; put the prompt beside them as {shown(stem_of(files.name))}.txt, or take the negative away"
            )
        return False
    stem = shown(stem_of(files.name))
    why = next((note for note in artifact.notes if note.startswith((NO_ORIGINAL, AMBIGUOUS))), "none lies beside them")
    raise InputError(
        f"{files.name}: these latents have no embedding, and {why}; drop the prompt as {stem}.txt beside them, or a settings file "
        f"{stem}.yaml with a line `prompt: ...`, or `embedding: NAME` for a saved one"
    )
