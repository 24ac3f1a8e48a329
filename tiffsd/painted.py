"""Latents whose canvas a program has painted on as an editor would: it shows other values, and all else of the file stays.

Section 6 of `tiffsd/spec.py`: a reader takes the exact value where the canvas agrees with it, and the painted one elsewhere. So
what is shown as it was is exact again when it is read, and what was painted is known as paint.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tiffsd.artifact import Artifact, check
from tiffsd.content import Content, content_of, pages_of
from tiffsd.spec import NOUNS, BadShape, Kind, WrongKind


def painted_content(stored: Artifact, latents: NDArray[np.float32]) -> Content:
    """The content of the file of `stored`, which keeps its exact tensors, with a canvas that shows these latents (C, h, w).

    Read again they are those of `stored` to the bit where they were, and elsewhere what its canvas can say: rounded once to float32
    as pixels. What was read from a canvas is read from the new one to the bit. Raises WrongKind where it holds no latents, BadShape
    for latents of another size, and what `write` raises.
    """
    if stored.header.kind is not Kind.LATENTS:
        raise WrongKind(f"artifact {stored.header.id} is {NOUNS[stored.header.kind]}, and only latents are painted by their values")
    if latents.shape != stored.header.size:
        raise BadShape(
            f"artifact {stored.header.id} has latents of {list(stored.header.size)}, and those to be shown have "
            f"{list(latents.shape)}; the two must be equal"
        )
    content = content_of(stored)
    shown = replace(stored, tensors={"latents": latents.astype(np.float32, copy=False)})
    check(shown)
    return replace(content, pages=pages_of(shown))
