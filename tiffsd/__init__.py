"""TIFFSD: latents, embeddings and pictures of latent diffusion as TIFF files that people open and paint on.

    artifact = tiffsd.read("cat.3f9a1c2e.tiff")
    artifact.header.recipe["prompt"], artifact.tensors["latents"].shape, artifact.painted
    tiffsd.write("copy.tiff", artifact, layout=tiffsd.Layout.PAGES)

The format is described in `tiffsd.spec`. Needs numpy, tifffile and safetensors; imagecodecs for files that editors compressed.
"""

from tiffsd.artifact import Artifact, repair
from tiffsd.file import find_id, inspect, read, write
from tiffsd.header import Header, new_id
from tiffsd.spec import (
    VERSION,
    BadHeader,
    BadShape,
    BadValues,
    Kind,
    Layout,
    NewerFormat,
    NotTiffsd,
    State,
    TiffsdError,
    TooLarge,
    Truncated,
    WrongKind,
)
from tiffsd.summary import describe

__all__ = [
    "VERSION",
    "Artifact",
    "BadHeader",
    "BadShape",
    "BadValues",
    "Header",
    "Kind",
    "Layout",
    "NewerFormat",
    "NotTiffsd",
    "State",
    "TiffsdError",
    "TooLarge",
    "Truncated",
    "WrongKind",
    "describe",
    "find_id",
    "inspect",
    "new_id",
    "read",
    "repair",
    "write",
]
