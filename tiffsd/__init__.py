"""TIFFSD: latents, embeddings and pictures of latent diffusion as TIFF files that people open and paint on.

    artifact = tiffsd.read("cat.3f9a1c2e.tiff")
    artifact.header.recipe["prompt"], artifact.tensors["latents"].shape, artifact.painted
    tiffsd.write("copy.tiff", artifact, layout=tiffsd.Layout.PAGES)
    tiffsd.write("cut.tiff", tiffsd.edit.crop(artifact, tiffsd.Region(64, 64)))
    tiffsd.exchange.write_as(Path("cat.exr"), tiffsd.exchange.Form.EXR, artifact)

`read` takes OpenEXR and ComfyUI's `.latent` too. The format is described in `tiffsd.spec`. Needs numpy, tifffile and safetensors;
imagecodecs for files that editors compressed, OpenEXR for those.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from tiffsd import edit, exchange, preview
    from tiffsd.artifact import Artifact, repair
    from tiffsd.difference import compare
    from tiffsd.file import write, write_painted
    from tiffsd.header import Header, new_id
    from tiffsd.reading import find_id, inspect, read, same_tensors
    from tiffsd.region import Region
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
    "Region",
    "State",
    "TiffsdError",
    "TooLarge",
    "Truncated",
    "WrongKind",
    "compare",
    "describe",
    "edit",
    "exchange",
    "find_id",
    "inspect",
    "new_id",
    "preview",
    "read",
    "repair",
    "same_tensors",
    "write",
    "write_painted",
]

_ROOMS = {
    "artifact": ("Artifact", "repair"),
    "difference": ("compare",),
    "file": ("write", "write_painted"),
    "header": ("Header", "new_id"),
    "reading": ("find_id", "inspect", "read", "same_tensors"),
    "region": ("Region",),
    "summary": ("describe",),
}


def __getattr__(name: str) -> Any:
    """Fetch a public name when it is first used: a command line must answer before numpy and tifffile are imported."""
    if name == "__version__":  # stands in pyproject.toml, and from there in what is installed
        return import_module("importlib.metadata").version("tiffsd")
    if name not in __all__:
        raise AttributeError(f"module 'tiffsd' has no attribute {name!r}")
    if name in ("edit", "exchange", "preview"):
        return import_module(f"tiffsd.{name}")
    room = next((room for room, names in _ROOMS.items() if name in names), "spec")
    found = globals()[name] = getattr(import_module(f"tiffsd.{room}"), name)
    return found
