"""What a person has painted on the proof of latents -> tensors for the stages: what was shown, what was made of it, and where.

Each proof as it was shown is kept (`daemon/spool/proofs.py`). A file that is one of these to the byte says nothing.
"""

import struct
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import InputError
from daemon.jobs.intake.files import Files, InputSources, Notes
from daemon.jobs.probe import identity_of
from daemon.names import shown
from daemon.pictures.decoding import PaintedOn, decode_painted, read_artifact
from daemon.spool.filesystem import Filesystem
from daemon.spool.proofs import KeptProof, ProofFiles
from daemon.stages import PROOF_ENDINGS, TIFFS
from daemon.stages.loop import BLOCKS, ESTIMATE, PAINTED, SHOWN
from tiffsd.artifact import Tensors

# Of a picture that was painted on in more than that, what was painted cannot be told from what was done to all of it.
MOST_PAINTED = 0.6
# Paint that covers less of its blocks is thinner than what the VAE sees.
LEAST_COVER = 0.4
# Where a PNG says its width and height.
_SIZE_OF_PNG = slice(16, 24)


def paint_on_proof(files: Files, artifact: tiffsd.Artifact, sources: InputSources) -> tuple[Tensors, Notes]:
    """What was painted on the proof beside latents, as tensors, and what is to be told; nothing where nothing was.

    Raises InputError where it cannot be told, and where it is more than a person paints."""
    role, kept = _painted_role(files, sources)
    if role is None or not kept:
        return {}, ()
    name = files.names[role]
    with ExitStack() as stack:
        beneath = Beneath(_root(sources))
        shown_files = [stack.enter_context(beneath.plain(one.path)) for one in kept]
        size = _size_of(shown_files[0])
        found = decode_painted(
            files.members[role],
            shown_files,
            name=name,
            block=size[0] // artifact.tensors["latents"].shape[2],
            limit=max(sources.config.limits.pixels, size[0] * size[1]),
            tiff=Path(name).suffix.lower() in TIFFS,
        )
    if found is None:
        raise InputError(
            f"{shown(name)} is not of the size of the proof, {size[0]}x{size[1]}, which must not be cropped or resized; paint on "
            f"the proof as it is, or delete it: a new one is made while the latents wait in hold/"
        )
    return _checked(found, kept[found.version], name, artifact, sources)


def _painted_role(files: Files, sources: InputSources) -> tuple[str | None, list[KeptProof]]:
    """The role of the one proof that somebody has changed, and those that were shown of these latents."""
    roles = [role for role in PROOF_ENDINGS if role in files.members]
    if not roles or sources.keep is None:
        return None, []
    proofs = ProofFiles(_root(sources), Filesystem(_root(sources)))
    kept = proofs.kept(identity_of(files.members["principal"], files.name))
    changed = [role for role in roles if not proofs.was_shown(files.members[role])]
    if len(changed) > 1:
        several = " and ".join(shown(files.names[role]) for role in changed)
        raise InputError(
            f"{shown(files.name)}: {several} were both painted on; put the paint on one of them, and take the other away"
        )
    if changed and not kept:
        raise InputError(
            f"{shown(files.names[changed[0]])}: no proof of {shown(files.name)} is kept, so that nobody can tell what was painted "
            "on it; put the latents alone into hold/ for a new proof, and paint on that"
        )
    return next(iter(changed), None), kept


def _checked(
    found: PaintedOn, was: KeptProof, name: str, artifact: tiffsd.Artifact, sources: InputSources
) -> tuple[Tensors, Notes]:
    if not found.blocks.any():
        return {}, (f"{shown(name)}: nothing is painted on it, so it changes nothing",)
    if found.share > MOST_PAINTED:
        raise InputError(
            f"{shown(name)}: {found.share:.0%} of the picture differs from the proof that was shown, which is more than a person "
            "paints: a program has changed it all, its colours for example; paint on the proof and save it without changing the "
            "rest, or delete it: a new one is made while the latents wait in hold/"
        )
    notes = tuple(f"{shown(name)}: {note}" for note in found.notes)
    if found.cover is not None and found.cover < LEAST_COVER:
        notes += (
            f"{shown(name)}: the paint covers {found.cover:.0%} of its blocks of {found.pixels.shape[0] // found.blocks.shape[0]} "
            "pixels: thin strokes may not outlive the VAE; thicker ones do",
        )
    tensors = {SHOWN: found.shown, PAINTED: found.pixels, BLOCKS: found.blocks}
    if artifact.header.state is not tiffsd.State.FINAL and (clean := estimate_of(artifact, was.version, sources)) is not None:
        tensors[ESTIMATE] = clean.tensors["latents"]
    return tensors, notes


def estimate_of(artifact: tiffsd.Artifact, version: str | None, sources: InputSources) -> tiffsd.Artifact | None:
    """The finished latents that were shown of half-done ones in that version, or as the loop saw them where it stopped; None where
    none are kept, or not of this size."""
    proofs = ProofFiles(_root(sources), Filesystem(_root(sources)))
    for which in (version, None) if version else (None,):
        file = proofs.estimate(artifact.header.id, which)
        if file is not None:
            with file:
                clean = _read(file)
            if clean is not None and clean.tensors["latents"].shape == artifact.tensors["latents"].shape:
                return clean
    return None


def _read(file: BinaryIO) -> tiffsd.Artifact | None:
    try:
        return read_artifact(file, expect=tiffsd.Kind.LATENTS, name="the estimate")
    except tiffsd.TiffsdError:
        return None


def _size_of(png: BinaryIO) -> tuple[int, int]:
    width, height = struct.unpack(">II", png.read(_SIZE_OF_PNG.stop)[_SIZE_OF_PNG])
    return width, height


def _root(sources: InputSources) -> Path:
    assert sources.keep is not None
    return sources.keep.parent
