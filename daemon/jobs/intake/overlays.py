"""The picture of before that goes along with latents under a mask, so that what the mask leaves black comes back in the end."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tiffsd
from daemon.jobs.intake.files import Notes
from daemon.settings.values import PIXELS_PER_LATENT
from daemon.settings.vocabulary import Settings
from tiffsd.artifact import Tensors
from tiffsd.overlay import OVERLAY_LATENTS, OVERLAY_MASK, OVERLAYS, enlarged, levels_of

OF_OVERLAYS = ("mask_blur", "overlay")
BARE = "what the mask leaves black comes back as the VAE decodes it"
ALL_ANEW = "no mask lies beside these latents, so all of the picture is made anew, and nothing of the one of before comes back"
LARGER = f"the picture becomes larger than the one of before: {BARE}"
OFF = "`overlay` is false, so nothing is laid over the picture of before"
AS_THEY_ARE = "half-done latents are shown as they are"
GONE = f"the picture of before is not in the file of these latents, which are under a mask: {BARE}"
NOT_THE_PHOTO = (
    f"the picture that these latents were encoded from is not in their file: {BARE}; to have it to the bit, drop that picture with "
    "the mask into inbox/encode"
)


def overlay_of(tensors: Tensors) -> Tensors:
    """Those of the tensors that are of the picture of before."""
    return {name: tensors[name] for name in OVERLAYS if name in tensors}


def idle_settings(said: Mapping[str, Any], settings: Settings, *, why: str | None) -> Notes:
    """The notes on what was said of the picture of before and does nothing: `why` says that there is none to lay anything over."""
    if why is not None:
        return tuple(f"{key} ignored: {why}" for key in OF_OVERLAYS if key in said)
    return (f"mask_blur ignored: {OFF}",) if settings.overlay is False and "mask_blur" in said else ()


def overlay_of_latents(artifact: tiffsd.Artifact, mask: Tensors, settings: Settings, *, enlarges: bool) -> tuple[Tensors, Notes]:
    """What goes past the loop with latents whose mask is in their file or lies beside them, and what is to be told; `enlarges` says
    that they are to become larger."""
    carried = overlay_of(artifact.tensors)
    if settings.overlay is False:
        return {}, ()
    if "mask" not in {**artifact.tensors, **mask}:
        return {}, (ALL_ANEW,) if carried else ()
    if enlarges:
        return {}, (LARGER,)
    if OVERLAY_MASK in carried:
        return {**carried, OVERLAY_MASK: _opened_by(mask, carried[OVERLAY_MASK], artifact)}, ()
    if not mask or artifact.header.state is not tiffsd.State.FINAL:
        return {}, (GONE,)
    made = _made(artifact)
    before = {OVERLAY_LATENTS: artifact.tensors["latents"], OVERLAY_MASK: _at_full_size(mask["mask"], artifact)}
    return before, (NOT_THE_PHOTO,) if made and made[-1]["stage"] == "encode" else ()


def _opened_by(mask: Tensors, levels: NDArray[np.uint8], artifact: tiffsd.Artifact) -> NDArray[np.uint8]:
    """What was opened so far, and what a mask beside the latents opens; it is instead of one that has done nothing yet."""
    if not mask:
        return levels
    new = _at_full_size(mask["mask"], artifact)
    unused = "mask" in artifact.tensors and artifact.header.state is tiffsd.State.FINAL and not artifact.painted
    return new if unused or new.shape != levels.shape else np.maximum(new, levels)


def _at_full_size(mask: NDArray[Any], artifact: tiffsd.Artifact) -> NDArray[np.uint8]:
    levels = levels_of(mask)
    return enlarged(levels, PIXELS_PER_LATENT) if mask.shape == artifact.tensors["latents"].shape[1:] else levels


def overlay_to_decode(artifact: tiffsd.Artifact, settings: Settings) -> tuple[Tensors, Notes]:
    """The picture of before, over which the decoded one is laid, and what is to be told; nothing where there is none, or where it
    is not wanted."""
    carried = overlay_of(artifact.tensors)
    if settings.overlay is False:
        return {}, ()
    if OVERLAY_MASK not in carried:
        return {}, (GONE,) if _had_one(artifact) else ()
    if artifact.header.state is not tiffsd.State.FINAL:
        return {}, (f"the picture of before is left out: {AS_THEY_ARE}",)
    return carried, ()


def why_bare(artifact: tiffsd.Artifact) -> str | None:
    """Why nothing can be laid over a picture of before, whatever is said; None where something can."""
    if OVERLAY_MASK not in artifact.tensors:
        return "no picture of before goes along with these latents"
    return None if artifact.header.state is tiffsd.State.FINAL else AS_THEY_ARE


def _had_one(artifact: tiffsd.Artifact) -> bool:
    made = _made(artifact)
    return "mask" in artifact.tensors or bool(made and made[-1].get("overlay"))


def _made(artifact: tiffsd.Artifact) -> list[Mapping[str, Any]]:
    """What made these latents, the last at the end."""
    return [entry for entry in artifact.header.history if entry.get("stage") in ("encode", "diffuse")]
