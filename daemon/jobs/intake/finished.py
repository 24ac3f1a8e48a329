"""A finished picture that comes back with paint on it: what was painted is made anew, all else stays as it was, to the bit.

It is compared with the one that was kept when it was published (`jobs/results.py`), whatever became of its file since.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

import tiffsd
from daemon.beneath import Beneath
from daemon.jobs.intake.files import Files, InputSources, Notes
from daemon.jobs.intake.proofs import LEAST_COVER, MOST_PAINTED
from daemon.jobs.originals import kept_original
from daemon.jobs.recipes import finished_id, recipe_of_kept
from daemon.names import base_of, stem_of
from daemon.pictures.decoding import ComparedPicture, compare_with_finished
from daemon.pictures.photos import Photo
from daemon.settings.recipe import Prompt
from daemon.settings.values import PIXELS_PER_LATENT
from daemon.settings.vocabulary import Settings
from daemon.stages import MASK_ENDING, TIFFS
from daemon.stages.loop import BLOCKS, FINISHED, SHOWN
from tiffsd.artifact import Tensors

KEPT, LOSSY = TIFFS[-1], (".jpg", ".webp")
FEW_COLOURS = ".gif"
# So many pixels around the paint what is new fades into what was there: without that outlines stay.
SOFT_EDGE = 8
ALL_ANEW = "so all of it is taken as any other picture"


@dataclass(frozen=True)
class Finished:
    """What is known of a picture that may have been finished here: its record, if it was; what was painted on it since; notes.

    `differs` says that it is another picture than the one that was kept.
    """

    header: tiffsd.Header | None = None
    paint: ComparedPicture | None = None
    notes: Notes = ()
    differs: bool = False

    def recipe_instead_of(self, own: Prompt, name: str) -> Prompt:
        """The recipe that the picture carries, or, where it lost that and is another one now, the one that was kept."""
        if own.settings or not self.differs or self.header is None:
            return own
        kept = recipe_of_kept(self.header, name)
        return Prompt(kept.settings, (*own.notes, *kept.notes), kept.software)

    @property
    def source(self) -> tiffsd.Artifact | None:
        """The picture that was painted on, as what the latents are made from; None where it was not."""
        if self.header is None or self.paint is None:
            return None
        return tiffsd.Artifact(self.header, {}, painted=int(self.paint.blocks.sum()))

    @property
    def masks(self) -> Tensors:
        """The mask (h, w) of what was painted; empty where nothing was."""
        return {} if self.paint is None else {"mask": self.paint.blocks.astype(np.float32)}

    def tensors(self, settings: Settings) -> tuple[Tensors, Notes]:
        """What goes along with a painted picture, for the VAE with which it is encoded; and what is to be told."""
        if self.paint is None or self.header is None:
            return {}, ()
        finished: Tensors = {FINISHED: self.paint.picture}
        made_with = {key: self.header.recipe.get(key) for key in ("model", "vae")}
        if self.paint.latents is None or made_with != {key: getattr(settings, key) for key in made_with}:
            return finished, ("its own latents are of another model or VAE, or were not kept, so all of it is encoded anew",)
        return {**finished, "latents": self.paint.latents, SHOWN: self.paint.shown, BLOCKS: self.paint.blocks}, ()


def finished_of(files: Files, photo: Photo, beside: Mapping[str, Any], sources: InputSources) -> Finished:
    """Look for the finished picture that a dropped one was, and for what was painted on it. Raises InputError."""
    identity = None if sources.keep is None else finished_id(files.members["principal"], files.name, photo.words)
    if sources.keep is None or identity is None:
        return Finished()
    kept = kept_original(sources.keep, stem_of(files.name), identity)
    if kept is None or kept.suffix != KEPT:
        return Finished(notes=(f"no finished picture {identity} is kept (any more), {ALL_ANEW}, whatever was painted on it",))
    beneath = Beneath(sources.keep.parent)
    with ExitStack() as opened:
        original = opened.enter_context(beneath.plain(kept))
        header = tiffsd.inspect(original, name=kept.name)
        if header.kind is not tiffsd.Kind.PICTURE:
            return Finished()
        if why := _unwanted(files, beside, header):
            return Finished(header, notes=(why,))
        if why := _incomparable(files.name, photo, header):
            return Finished(header, notes=(why,), differs=True)
        others = {suffix: kept.with_name(base_of(kept.name) + suffix) for suffix in LOSSY}
        lossy = {suffix: opened.enter_context(beneath.plain(path)) for suffix, path in others.items() if beneath.lexists(path)}
        paint = compare_with_finished(
            files.members["principal"],
            {KEPT: original, **lossy},
            name=files.name,
            size=(header.size[1], header.size[0]),
            limit=sources.config.limits.pixels,
        )
    return _judged(header, paint)


def _unwanted(files: Files, beside: Mapping[str, Any], header: tiffsd.Header) -> str | None:
    """Why nobody asks what was painted on a finished picture, in a sentence; None where that counts."""
    if MASK_ENDING in files.members:
        return f"a mask lies beside this picture, which was finished as {header.id}: that says what is made anew, and not the paint"
    if beside.get("upscale") is not None:
        return f"upscale makes all of this picture anew, which was finished as {header.id}, and not the paint alone"
    return None


def _incomparable(name: str, photo: Photo, header: tiffsd.Header) -> str | None:
    """Why a picture cannot be compared with the finished one that it was, in a sentence; None where it can."""
    height, width, _ = header.size
    if name.lower().endswith(FEW_COLOURS):
        return f"this picture was finished as {header.id}, and has 256 colours now, {ALL_ANEW}"
    if photo.had != (width, height) or photo.size != (width, height):
        now = "x".join(map(str, photo.size if photo.had == (width, height) else photo.had))
        return f"this picture was finished as {header.id} with {width}x{height} pixels and has {now} now, {ALL_ANEW}"
    if photo.mask is not None:
        return f"parts of this picture, which was finished as {header.id}, are transparent: these are made anew, and not the paint"
    return None


def _judged(header: tiffsd.Header, paint: ComparedPicture) -> Finished:
    count, of_all = int(paint.blocks.sum()), paint.blocks.size
    if not count:
        return Finished(header, notes=(f"nothing was painted on it since it was finished as {header.id}",))
    counted = f"{count} of {of_all} blocks of {PIXELS_PER_LATENT}x{PIXELS_PER_LATENT} pixels, {_percent(count / of_all)} of it"
    if count / of_all > MOST_PAINTED:
        why = f"{counted}, differ from the picture that was finished as {header.id}, which is more than paint on it"
        way_out = "to have a part alone made anew, lay NAME_mask.png beside it, white where that is"
        return Finished(header, notes=(f"{why}, {ALL_ANEW}; {way_out}",), differs=True)
    notes: Notes = (
        f"painted on since it was finished as {header.id}: {counted}; beyond a soft edge the rest stays as it is, to the bit",
    )
    if paint.cover is not None and paint.cover < LEAST_COVER:
        notes += (
            f"the paint covers {_percent(paint.cover)} of the blocks that it touches: what is thinner than about 4 pixels, such as "
            "lines and letters, mostly does not outlive the VAE; paint it broader, or on the next picture once more",
        )
    return Finished(header, paint, notes, differs=True)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
