"""The mask of a job: white where a picture is made anew, black where it stays, gray for something between."""

import numpy as np

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import Files, Notes
from daemon.names import shown
from daemon.pictures.decoding import Beside
from daemon.pictures.fitting import Picture
from daemon.pictures.photos import Photo, read_mask
from daemon.settings.values import PIXELS_PER_LATENT
from daemon.settings.vocabulary import Settings
from daemon.stages import MASK_ENDING
from tiffsd.artifact import Tensors

# Less of a colour than that is mostly rounding.
LEAST_OPAQUE = 1 / 16


def mask_of_photo(files: Files, photo: Photo, *, limit: int) -> tuple[Tensors, Notes]:
    """The mask beside a photo, brought to its size as the photo was, or the one that its transparency makes; nothing where there is
    none; and what is to be told. Raises InputError."""
    if MASK_ENDING in files.members:
        beside = Beside(photo.had, photo.size, photo.scaled)
        mask, notes = read_mask(files.members[MASK_ENDING], files.names[MASK_ENDING], limit=limit, beside=beside)
        return {"mask": mask}, notes
    if photo.mask is None:
        return {}, ()
    return {"mask": photo.mask}, ("the transparent parts of the picture are its mask: they are made anew, and the others stay",)


def colours_under(files: Files, photo: Photo, masks: Tensors) -> Picture:
    """The pixels of a photo; where its own transparency is the mask, without the white that half transparent ones were laid on, of
    which an edge would be left around what is made anew."""
    if MASK_ENDING in files.members or not masks:
        return photo.pixels
    part = masks["mask"][..., np.newaxis]
    soft = (part > 0) & (part <= 1 - LEAST_OPAQUE)
    if not soft.any():
        return photo.pixels
    plain = np.clip((photo.pixels - part) / np.where(soft, 1 - part, 1), 0, 1)
    return np.where(soft, plain, photo.pixels).astype(np.float32)


def mask_of_latents(files: Files, artifact: tiffsd.Artifact, *, limit: int) -> tuple[Tensors, Notes]:
    """The mask beside latents, of their own size or brought to that of their picture; nothing where there is none; and what is to
    be told. Raises InputError."""
    if MASK_ENDING not in files.members:
        return {}, ()
    _, rows, columns = artifact.tensors["latents"].shape
    size = (columns * PIXELS_PER_LATENT, rows * PIXELS_PER_LATENT)
    beside = Beside(size, size, scales=True, also=((columns, rows),))
    mask, notes = read_mask(files.members[MASK_ENDING], files.names[MASK_ENDING], limit=limit, beside=beside)
    return {"mask": mask}, notes


def check_named(files: Files, settings: Settings) -> None:
    """Raise InputError where a mask is named and is not there."""
    if settings.mask is not None and MASK_ENDING not in files.members:
        raise InputError(f"{files.name}: the mask {shown(settings.mask)} that is named does not lie beside it; drop both together")
