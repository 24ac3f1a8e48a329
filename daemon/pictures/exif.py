"""The recipe in the EXIF data of a JPEG or WebP, as it is written; `exif_text.py` reads it.

    UserComment  A1111's infotext as it writes it: "UNICODE" and a zero byte, then UTF-16 with the most significant byte first
    MakerNote    the exact recipe: "tiffsd" and a zero byte, then its JSON, deflated

EXIF is a TIFF of two directories without pixels (CIPA DC-008, 4.6); tags and types are those of that standard.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

JPEG_APP1, WEBP_EXIF = b"\xe1", b"EXIF"
EXIF_NAME = b"Exif\0\0"
SOFTWARE, EXIF_DIRECTORY, EXIF_VERSION, MAKER_NOTE, USER_COMMENT, COLOUR_SPACE = 305, 34665, 36864, 37500, 37510, 40961
BYTE, ASCII, SHORT, LONG, UNDEFINED = 1, 2, 3, 4, 7
SRGB = 1
OURS, UTF16 = b"tiffsd\0", b"UNICODE\0"


@dataclass(frozen=True)
class ExifText:
    """What the EXIF data say: the comment, which is the infotext in ours, and the exact recipe as JSON; None where there is none.

    `notes` are the sentences on what was ignored in reading them, `others` what stands elsewhere, by its label.
    """

    infotext: str | None = None
    exact: str | None = None
    notes: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)


def render_exif(text: ExifText, software: str) -> bytes:
    """The texts as EXIF data, from the byte order on; in Unicode, so that nothing of them is lost."""
    fields = {EXIF_VERSION: (UNDEFINED, b"0232"), COLOUR_SPACE: (SHORT, struct.pack(">HH", SRGB, 0))}
    if text.exact is not None:
        fields[MAKER_NOTE] = (UNDEFINED, OURS + zlib.compress(text.exact.encode("ascii"), 9))
    if text.infotext is not None:
        fields[USER_COMMENT] = (UNDEFINED, UTF16 + text.infotext.encode("utf-16-be", "replace"))
    # Directories stand one behind the other; the first one's length does not depend on where the second is.
    first = _directory({SOFTWARE: (ASCII, software.encode("ascii") + b"\0"), EXIF_DIRECTORY: (LONG, bytes(4))}, 8)
    behind = struct.pack(">I", 8 + len(first))
    first = _directory({SOFTWARE: (ASCII, software.encode("ascii") + b"\0"), EXIF_DIRECTORY: (LONG, behind)}, 8)
    return b"MM\0*" + struct.pack(">I", 8) + first + _directory(fields, 8 + len(first))


def _directory(fields: Mapping[int, tuple[int, bytes]], place: int) -> bytes:
    """One directory that begins at `place`, with the values that do not fit into it behind it."""
    table, values = struct.pack(">H", len(fields)), b""
    start = place + 2 + 12 * len(fields) + 4
    for tag, (kind, value) in sorted(fields.items()):
        count = 1 if kind in (SHORT, LONG) else len(value)
        if len(value) <= 4:
            table += struct.pack(">HHI4s", tag, kind, count, value)
        else:
            table += struct.pack(">HHII", tag, kind, count, start + len(values))
            values += value + b"\0" * (len(value) % 2)
    return table + bytes(4) + values
