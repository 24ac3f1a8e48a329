"""Canvases saved in another tone curve, with the gray or colour profile that says so."""

import struct
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np

from tests.agreement.originals import embedding, file_of, latents
from tests.agreement.saved import Case, Cases, as_rgb, changed, doubles, halves, levels, on_grid, painted, sheets_of, tagged
from tests.agreement.tiff import Sheet, tiff_of
from tiffsd import Layout

Bend = Callable[[np.ndarray], np.ndarray]


def icc(curves: dict[bytes, bytes], space: bytes = b"GRAY", mark: bytes = b"acsp") -> bytes:
    """A profile of nothing but these curves."""
    table, body, start = b"", b"", 128 + 4 + 12 * len(curves)
    for name, data in curves.items():
        data += b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data
    content = struct.pack(">I", len(curves)) + table + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(content), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    return (head + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + mark).ljust(128, b"\0") + content


def curv(*points: int) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(points)}H", len(points), *points)


def para(kind: int, *numbers: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(n * 65536) for n in numbers))


def to_srgb(p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    return np.where(p <= 0.0031308, 12.92 * p, 1.055 * np.maximum(p, 0) ** (1 / 2.4) - 0.055)


def from_srgb(v: np.ndarray) -> np.ndarray:
    return np.where(v < 0.04045, v / 12.92, ((np.maximum(v, 0) + 0.055) / 1.055) ** 2.4)


def power(gamma: float) -> Bend:
    return lambda p: np.sign(p) * np.abs(p.astype(np.float64)) ** (1 / gamma)


def _table(count: int, bend: Bend) -> bytes:
    return curv(*np.rint(65535 * bend(np.linspace(0, 1, count))).astype(int))


SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
REC709 = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
CURVES: dict[str, tuple[bytes, Bend]] = {
    "srgb_para": (para(3, *SRGB), to_srgb),
    "srgb_table": (_table(1024, from_srgb), to_srgb),
    "srgb_table_4096": (_table(4096, from_srgb), to_srgb),
    "gamma22_curv": (curv(round(2.2 * 256)), power(2.2)),
    "gamma22_as_written": (curv(round(2.2 * 256)), power(round(2.2 * 256) / 256)),
    "gamma18_para": (para(0, 1.8), power(1.8)),
    "gamma_odd": (para(0, 1.7654), power(round(1.7654 * 65536) / 65536)),
    "gamma2_table": (_table(256, lambda v: v**2.0), power(2.0)),
    "rec709": (para(3, *REC709), lambda p: np.where(p < 0.018, 4.5 * p, 1.099 * np.maximum(p, 0) ** 0.45 - 0.099)),
    "said_only": (para(3, *SRGB), lambda p: p.astype(np.float64)),
}
LINEAR: dict[str, bytes] = {
    "empty": curv(),
    "gamma_one": curv(256),
    "gamma_almost_one": curv(257),
    "two_points": curv(0, 65535),
    "para_one": para(0, 1.0),
    "para_kind1": para(1, 2.4, 1.0, 0.0),
    "para_kind9": para(9, 1.0),
    "descending": curv(65535, 0),
    "other_type": b"mft2" + bytes(40),
}


def curves() -> Cases:
    """Curves of all forms, in numbers of all types, painted or not."""
    seed = 4000
    numbers = {
        "f32": lambda v: v.astype("f4"),
        "f64": doubles,
        "f16": halves,
        "u16": levels(16),
        "u32": levels(32),
        "grid": on_grid("f4"),
    }
    for ((words, (curve, bend)), (name, number)), share in product(product(CURVES.items(), numbers.items()), (0, 4)):
        seed += 1
        if share and seed % 3:
            continue
        layout = (Layout.MOSAIC, Layout.PAGES, Layout.STRIP)[seed % 3]
        made = embedding(seed) if layout is Layout.STRIP else latents(seed, layout=layout, spread=(0.8, 1.6)[seed % 2])
        yield Case(
            f"curve_{words}_{name}_{layout}_{share}", _curved(file_of(made), icc({b"kTRC": curve}), share, seed, bend, number)
        )
    for share, words in product((0.2, 0.45, 0.55, 0.9), ("srgb_para", "gamma18_para", "said_only")):
        seed += 1
        curve, bend = CURVES[words]
        made = latents(seed, spread=0.8, size=(4, 10, 10))
        yield Case(f"curve_{words}_much_{share}", _curved(file_of(made), icc({b"kTRC": curve}), share, seed, bend, numbers["f32"]))


def profiles() -> Cases:
    """Profiles that are linear, damaged, of colours, or of no curve at all."""
    seed = 4300
    for words, curve in LINEAR.items():
        seed += 1
        yield Case(f"profile_{words}", _curved(file_of(latents(seed)), icc({b"kTRC": curve}), 3, seed, lambda p: p))
    srgb, bend = CURVES["srgb_para"]
    three = {name: srgb for name in (b"rTRC", b"gTRC", b"bTRC")}
    other = {**three, b"gTRC": curv(round(2.2 * 256))}
    whole = file_of(latents(seed, spread=0.8))
    for words, profile in {
        "colour": icc(three, b"RGB "),
        "colour_of_two": icc(other, b"RGB "),
        "cmyk": icc({b"kTRC": srgb}, b"CMYK"),
        "no_acsp": icc({b"kTRC": srgb}, mark=b"nope"),
        "cut_off": icc({b"kTRC": srgb})[:150],
        "empty": b"\0",
        "none": None,
        "gray_with_rgb_curves": icc(three),
    }.items():
        for gray in (True, False):
            sheets = [changed(tagged(s, profile=profile), painted(3, 3), bend, lambda v: v.astype("f4")) for s in sheets_of(whole)]
            sheets = sheets if gray else [replace(changed(sheet, as_rgb), photometric=2) for sheet in sheets]
            yield Case(f"profile_{words}_{'gray' if gray else 'rgb'}", tiff_of(sheets))
    for words in ("srgb_para", "gamma22_curv"):
        curve, bend = CURVES[words]
        yield Case(f"profile_rgba_{words}", _curved(file_of(latents(seed, layout=Layout.RGBA)), icc({b"kTRC": curve}), 3, 9, bend))


def _curved(data: bytes, profile: bytes | None, share: float, seed: int, *changes: Bend) -> bytes:
    sheets: list[Sheet] = [changed(tagged(s, profile=profile), painted(seed, share), *changes) for s in sheets_of(data)]
    return tiff_of([changed(s, lambda v: v.astype("f4")) if s.samples.dtype == "f8" and len(changes) < 2 else s for s in sheets])
