"""An artifact -> a PNG to glance at in `previews/`; losing any of it costs nothing.

What an artifact looks like is `tiffsd/preview.py`; here are its size and its place.
"""

import io
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import tiffsd
from daemon.errors import in_words
from daemon.layout import PREVIEWS
from daemon.names import new_id, output_name, shown, stem_of
from daemon.spool.atomic import atomic_replace
from daemon.spool.filesystem import Filesystem

log = logging.getLogger(__name__)

SIDE_PIXELS = 256
FASTEST = 1  # of zlib: a preview is looked at once or never


def preview_image(artifact: tiffsd.Artifact) -> Image.Image:
    """The artifact as an 8-bit RGB picture, made smaller where it is large, and enlarged without smoothing where it is small."""
    levels = tiffsd.preview.preview(artifact)
    if artifact.header.kind is tiffsd.Kind.PICTURE:
        image = Image.fromarray(levels)
        image.thumbnail((SIDE_PIXELS, SIDE_PIXELS))
        return image
    return Image.fromarray(tiffsd.preview.enlarged(levels, max(1, SIDE_PIXELS // max(levels.shape[:2]))))


def write_preview(root: Path, artifact: tiffsd.Artifact, *, stem: str) -> Path:
    """Write the preview of an artifact as STEM.ID.png, whole or not at all, and return where it is."""
    path = root / PREVIEWS / output_name(stem, artifact.header.id, ".png")
    atomic_replace(Filesystem(root), path, _png(artifact))
    return path


def write_previews(root: Path, artifacts: Iterable[tuple[str, tiffsd.Artifact]]) -> None:
    """Write the preview of each artifact, by the name of its file; what fails is said in the log and costs nothing else."""
    for name, artifact in artifacts:
        try:
            write_preview(root, artifact, stem=stem_of(name))
        except (OSError, ValueError) as error:
            log.warning("no preview of %s: %s", shown(name), in_words(error))


class LivePreview:
    """How the picture of a running job would be by now, in previews/STEM.ID.png as long as it runs."""

    def __init__(self, root: Path, name: str, tensors: Mapping[str, NDArray[Any]], *, model: str) -> None:
        self._fs, self._path, self._model = Filesystem(root), root / PREVIEWS / f"{name}.png", model
        self._beside = {key: tensor for key, tensor in tensors.items() if key.endswith("prompt_embeds")}
        self._shown = False

    def show(self, latents: NDArray[np.float32]) -> None:
        """Show this estimate of the finished latents (C, h, w); what fails is said in the log and costs nothing else."""
        header = tiffsd.Header(
            kind=tiffsd.Kind.LATENTS,
            id=new_id(),
            layout=tiffsd.Layout.MOSAIC,
            size=latents.shape,
            state=tiffsd.State.FINAL,
            recipe={"model": self._model},
        )
        try:
            png = _png(tiffsd.Artifact(header, {"latents": latents, **self._beside}))
            atomic_replace(self._fs, self._path, png)
            self._shown = True
        except (OSError, ValueError) as error:
            log.warning("no preview of %s: %s", shown(self._path.stem), in_words(error))

    def end(self) -> None:
        """Take it away again."""
        if self._shown:
            with suppress(OSError):
                self._fs.unlink(self._path)


def _png(artifact: tiffsd.Artifact) -> bytes:
    png = io.BytesIO()
    preview_image(artifact).save(png, format="PNG", compress_level=FASTEST)
    return png.getvalue()
