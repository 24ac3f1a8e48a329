"""Artifacts in the forms of other programs: which form is meant, and writing it. Section 12 of `tiffsd/spec.py`.

An artifact in another form is the same artifact: it keeps its id, and nothing of it is lost. Reading is `tiffsd.read`.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import IO

from tiffsd.artifact import Artifact
from tiffsd.atomic import replacing
from tiffsd.exr_file import write_exr
from tiffsd.file import write
from tiffsd.latent_file import LATENT_SUFFIX, Scaling, write_latent
from tiffsd.spec import SUFFIXES, BadValues, Kind, Layout, State


class Form(StrEnum):
    """A form of files that artifacts are written in."""

    TIFF = "tiff"
    EXR = "exr"
    LATENT = "latent"

    @property
    def suffix(self) -> str:
        """The ending of its files."""
        return f".{self.value}"


ENDINGS = {**dict.fromkeys(SUFFIXES, Form.TIFF), ".exr": Form.EXR, LATENT_SUFFIX: Form.LATENT}
FORMATS = {Form.TIFF: "TIFFSD", Form.EXR: "OpenEXR", Form.LATENT: "ComfyUI's form"}


def form_of(path: Path) -> Form | None:
    """The form that the ending of a name stands for, if any."""
    return ENDINGS.get(path.suffix.lower())


def laid_out_for(artifact: Artifact, form: Form, origin: Form | None) -> Artifact:
    """The artifact in the layout that a form has for it where nobody said another: latents are named channels in OpenEXR, and where
    they come from there a mosaic."""
    layouts = {Form.EXR: Layout.PAGES} | ({Form.TIFF: Layout.MOSAIC} if origin is Form.EXR else {})
    if artifact.header.kind is not Kind.LATENTS or form not in layouts:
        return artifact
    return replace(artifact, header=replace(artifact.header, layout=layouts[form]))


def write_as(path: Path, form: Form, artifact: Artifact, scaling: Scaling | None = None) -> tuple[str, ...]:
    """Write an artifact in a form, replacing the file at once, and return notes for the person.

    `scaling` is that of the VAE, which `.latent` needs. Raises BadValues without it, and what the form refuses.
    """
    writers: dict[Form, Callable[[IO[bytes]], None]] = {
        Form.TIFF: lambda file: write(file, artifact),
        Form.EXR: lambda file: write_exr(file, artifact),
        Form.LATENT: lambda file: write_latent(file, artifact, _needed(scaling, artifact)),
    }
    with replacing(path) as file:
        writers[form](file)
    state = artifact.header.state
    if form is Form.LATENT and state is not State.FINAL:
        return (f"ComfyUI takes latents as finished ones, and these are {state}: it cannot go on with their loop",)
    return ()


def _needed(scaling: Scaling | None, artifact: Artifact) -> Scaling:
    if scaling is None:
        raise BadValues(
            f"artifact {artifact.header.id}: ComfyUI has latents in the units of their VAE, whose scaling factor is not known; "
            f"say it, or of which model they are"
        )
    return scaling
