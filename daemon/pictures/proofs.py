"""A proof as a file: a PNG of 8 bits that says of which latents it is, in the comment that editors keep."""

import io
import json
import re
from itertools import islice
from typing import IO

import numpy as np
from PIL import Image, PngImagePlugin

from daemon.pictures.chunks import Form, chunks, form_of
from daemon.pictures.forms import Picture, coding, levels8, srgb_profile
from daemon.pictures.software import versions
from daemon.settings.infotext import SOFTWARE

COMMENT = "Comment"
_PROOF_OF = re.compile(r'"proof_of": ?"([0-9a-f]{8})"')
ROWS_AT_A_TIME = 64
MOST_CHUNKS, LONGEST_COMMENT = 64, 4096
COMPRESSION = 1  # of zlib: a proof is disposable, and somebody waits for it


def render_proof(picture: Picture, identity: str) -> bytes:
    """The file of a proof (H, W, 3), 0..1 and clipped to it, of the latents with this id."""
    file, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text(COMMENT, json.dumps({"proof_of": identity, "software": f"{SOFTWARE} {versions()[SOFTWARE]}"}))
    # In parts: of a large picture the front has no room for more than itself.
    levels = np.concatenate([levels8(picture[top : top + ROWS_AT_A_TIME]) for top in range(0, len(picture), ROWS_AT_A_TIME)])
    image = Image.fromarray(levels)
    with coding(levels):
        image.save(file, format="PNG", compress_level=COMPRESSION, pnginfo=info, icc_profile=srgb_profile())
    return file.getvalue()


def proof_said_by(file: IO[bytes]) -> str | None:
    """The id of the latents whose proof a PNG says it is, in a plain text before its pixels; None where it says nothing of it."""
    if form_of(file) is not Form.PNG:
        return None
    for chunk in islice(chunks(file, Form.PNG), MOST_CHUNKS):
        if chunk.kind == b"IDAT":
            break
        if chunk.kind == b"tEXt" and chunk.length <= LONGEST_COMMENT:
            keyword, _, text = chunk.read(file).partition(b"\0")
            if keyword.decode("latin-1") == COMMENT and (found := _PROOF_OF.search(text.decode("latin-1"))):
                return found[1]
    return None
