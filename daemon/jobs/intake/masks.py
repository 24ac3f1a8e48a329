"""The mask of a job: white where a picture is made anew, black where it stays, gray for something between."""

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import Files
from daemon.names import shown
from daemon.pictures.photos import Photo, fitted_mask, read_mask
from daemon.settings.values import PIXELS_PER_LATENT
from daemon.settings.vocabulary import Settings
from daemon.stages import MASK_ENDING
from tiffsd.artifact import Tensors


def mask_of_photo(files: Files, photo: Photo, *, scaled: bool, limit: int) -> Tensors:
    """The mask beside a photo, brought to its size as the photo was; nothing where there is none. Raises InputError."""
    if MASK_ENDING not in files.members:
        return {}
    name = files.names[MASK_ENDING]
    mask = read_mask(files.members[MASK_ENDING], name, limit=limit)
    return {"mask": fitted_mask(mask, name, photo=photo, scaled=scaled)}


def mask_of_latents(files: Files, artifact: tiffsd.Artifact, *, limit: int) -> Tensors:
    """The mask beside latents, of their own size or of that of their picture; nothing where there is none. Raises InputError."""
    if MASK_ENDING not in files.members:
        return {}
    name = files.names[MASK_ENDING]
    mask = read_mask(files.members[MASK_ENDING], name, limit=limit)
    _, rows, columns = artifact.tensors["latents"].shape
    if mask.shape not in {(rows, columns), (rows * PIXELS_PER_LATENT, columns * PIXELS_PER_LATENT)}:
        size = f"{columns * PIXELS_PER_LATENT}x{rows * PIXELS_PER_LATENT}"
        raise InputError(f"{name}: the mask is {mask.shape[1]}x{mask.shape[0]}, and the picture of the latents {size}; make it so")
    return {"mask": mask}


def check_named(files: Files, settings: Settings) -> None:
    """Raise InputError where a mask is named and is not there."""
    if settings.mask is not None and MASK_ENDING not in files.members:
        raise InputError(f"{files.name}: the mask {shown(settings.mask)} that is named does not lie beside it; drop both together")
