"""What an artifact's file will hold, checked and encoded before the file is begun: pages, essentials, and the texts of two tags.

Sections 1, 2 and 8 of `tiffsd/spec.py`; nothing here knows TIFF.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.artifact import CANVAS_TENSORS, Artifact, check
from tiffsd.canvas import canvas_tensor, paint
from tiffsd.exact import encode_tensors
from tiffsd.header import Header, marks_in, render
from tiffsd.spec import LARGEST_RECORD_BYTES, LARGEST_TENSORS_BYTES, MOST_MARKS, RECORD_TAG, TENSORS_TAG, Kind, Layout, TooLarge


@dataclass(frozen=True)
class Content:
    """Pages are gray (H, W) or colour (H, W, samples); `texts` are those of the tags that stand on the first page only."""

    header: Header
    pages: list[NDArray[Any]]
    essentials: str
    texts: Mapping[int, str | bytes]

    @property
    def nbytes(self) -> int:
        """The bytes of pages and texts."""
        return sum(page.nbytes for page in self.pages) + sum(map(len, self.texts.values()))


def content_of(artifact: Artifact) -> Content:
    """Raises BadShape, BadValues, BadHeader, WrongKind, TooLarge where the artifact could not be read again."""
    header = artifact.header
    essentials, record = render(header)
    check(artifact)
    artifact = _in_float32(artifact)
    stored = {key: tensor for key, tensor in artifact.tensors.items() if key != "picture"}
    texts: dict[int, str | bytes] = {RECORD_TAG: record}
    if stored:
        # With its last zero: who writes it would copy all of it to add one.
        texts[TENSORS_TAG] = encode_tensors(stored, artifact_id=header.id, end=b"\0")
    for code, text in texts.items():
        check_length(len(text) + (code != TENSORS_TAG), code, f"artifact {header.id}")
    check_marks(record, RECORD_TAG, f"artifact {header.id}")
    return Content(header, pages_of(artifact), essentials, texts)


def check_length(count: int, code: int, label: str) -> None:
    """Refuse a text of more bytes, the last zero among them, than are read of the tag with this code; raises TooLarge."""
    most = LARGEST_TENSORS_BYTES if code == TENSORS_TAG else LARGEST_RECORD_BYTES
    if count > most:
        what = "leave out some tensors" if code == TENSORS_TAG else "shorten what it says, or save it again from the original"
        raise TooLarge(f"{label} has {count} bytes in tag {code}, and at most {most} are read; {what}")


def check_marks(text: str | bytes, code: int | str, label: str) -> None:
    """Refuse a JSON text of more values than are read of the tag with this code, or of what has this name, before any of them is
    made; raises TooLarge."""
    if marks_in(text) > MOST_MARKS:
        where = f"tag {code}" if isinstance(code, int) else code
        raise TooLarge(
            f"{label} has more than {MOST_MARKS} values in {where}; shorten what it says, or save it again from the original"
        )


def _in_float32(artifact: Artifact) -> Artifact:
    """With the canvas of latents and embeddings in the only precision that the format has for it."""
    if artifact.header.kind is Kind.PICTURE:
        return artifact
    names = [name for name in CANVAS_TENSORS[artifact.header.kind] if name in artifact.tensors]
    floats = {name: artifact.tensors[name].astype(np.float32, copy=False) for name in names}
    return replace(artifact, tensors={**artifact.tensors, **floats})


def pages_of(artifact: Artifact) -> list[NDArray[Any]]:
    """The pages of the canvas of a checked artifact, float32, or float16 where a picture is."""
    header = artifact.header
    if header.kind is Kind.PICTURE:
        picture = artifact.tensors["picture"]
        return [picture if picture.dtype == np.float16 else picture.astype(np.float32, copy=False)]
    tensor = canvas_tensor(artifact.tensors, header.kind)
    assert tensor is not None  # check() has seen it
    planes = paint(tensor, header)
    return [np.moveaxis(planes, 0, -1)] if header.layout is Layout.RGBA else list(planes)
