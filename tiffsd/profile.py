"""ICC profiles, built byte by byte: linear gray for gray canvases, linear RGB for rgba, sRGB for pictures; and the tone curves
of those that editors put in their place are in `tiffsd/curves.py`.

The description inside the profile repeats the artifact's id, because some editors (Pillow) keep the profile and nothing else.
Layout and numbers: ICC.1:2001-04 (version 2.4), sRGB after IEC 61966-2-1 with the primaries adapted to D50.
"""

import re
import struct
from functools import cache

from tiffsd.spec import Layout

WHITE_D50 = (0.9642, 1.0, 0.8249)
SRGB_PRIMARIES = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
CURVE_POINTS = 1024
COPYRIGHT = b"No copyright, use freely"
LARGEST_PROFILE_BYTES = 2**16

_LINEAR = b"TIFFSD linear "
_ID = re.compile(rb"TIFFSD (?:linear gray|linear RGB|sRGB) ([0-9a-f]{8})(?![0-9a-f])")


def profile(layout: Layout, artifact_id: str) -> bytes:
    """The ICC profile (version 2) of a canvas, with the id in its description: sRGB, for rgba linear RGB, else linear gray."""
    if layout is Layout.RGB:
        return _colour(f"TIFFSD sRGB {artifact_id}", _srgb_curve())
    if layout is Layout.RGBA:
        return _colour(f"TIFFSD linear RGB {artifact_id}", _curve(()))
    return _assemble(b"GRAY", f"TIFFSD linear gray {artifact_id}", {b"kTRC": _curve(())})


def id_in_profile(data: bytes) -> str | None:
    """The artifact's id in a profile's description, whichever text type an editor rewrote it to (ASCII or UTF-16), or None.

    Of a profile the first 64 KiB are looked at; a broken one raises nothing.
    """
    found = _ID.search(bytes(data[:LARGEST_PROFILE_BYTES]).replace(b"\0", b""))
    return found[1].decode("ascii") if found else None


def id_of_canvas(data: bytes) -> str | None:
    """The same of a profile that only latents and embeddings have: a linear one."""
    return id_in_profile(data) if _LINEAR in bytes(data[:LARGEST_PROFILE_BYTES]).replace(b"\0", b"") else None


def _colour(description: str, curve: bytes) -> bytes:
    primaries = {name: _xyz(*value) for name, value in SRGB_PRIMARIES.items()}
    return _assemble(b"RGB ", description, primaries | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def _assemble(colour_space: bytes, description: str, tags: dict[bytes, bytes]) -> bytes:
    common = {b"desc": _description(description), b"cprt": b"text\0\0\0\0" + COPYRIGHT + b"\0", b"wtpt": _xyz(*WHITE_D50)}
    table, body, places = b"", b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(common | tags)
    for name, data in (common | tags).items():
        if data not in places:
            places[data] = start + len(body)
            body += data + b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    content = struct.pack(">I", len(common | tags)) + table + body
    return _header(colour_space, 128 + len(content)) + content


def _header(colour_space: bytes, size: int) -> bytes:
    created = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    illuminant = struct.pack(">3i", *map(_fixed, WHITE_D50))
    fields = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", colour_space, b"XYZ ")
    return (fields + created + b"acsp" + b"\0" * 28 + illuminant).ljust(128, b"\0")


def _description(text: str) -> bytes:
    ascii_text = text.encode("ascii") + b"\0"
    # An empty Unicode part and an empty Macintosh part (67 bytes) must follow the ASCII text.
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii_text)) + ascii_text + b"\0" * (8 + 3 + 67)


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", _fixed(x), _fixed(y), _fixed(z))


def _curve(points: tuple[int, ...]) -> bytes:
    """A tone curve; without points it is the identity: linear light."""
    return b"curv\0\0\0\0" + struct.pack(f">I{len(points)}H", len(points), *points)


@cache
def _srgb_curve() -> bytes:
    steps = (k / (CURVE_POINTS - 1) for k in range(CURVE_POINTS))
    linear = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in steps)
    return _curve(tuple(round(65535 * v) for v in linear))


def _fixed(number: float) -> int:
    return round(number * 65536)
