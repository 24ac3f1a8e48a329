"""What a file says of its colours without an ICC profile -> a profile, in the child process alone.

PNG has `cICP`, else `iCCP`, else `sRGB`, else `gAMA` with `cHRM` (PNG, third edition, 11.3.2); HEIF and AVIF have `nclx`. Code
points are those of ITU-T H.273.
"""

import struct
from typing import IO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.pictures.chunks import Form, chunks, form_of
from daemon.pictures.colour import AS_SRGB

Chromaticities = tuple[float, ...]
Found = tuple[bytes | None, list[str]]

PRIMARIES: dict[int, Chromaticities] = {
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
D65 = (0.3127, 0.3290)
PRIMARIES_OF_SRGB, UNSAID = 1, 2
# Transfers of video count as sRGB's, as programs that show them have it.
LIKE_SRGB = {1, UNSAID, 6, 13, 14, 15}
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
# Of high dynamic range. The white of paper is at 203 cd/m2 in them (ITU-R BT.2408), and what is brighter has no place in sRGB.
HDR = {16: "PQ", 18: "HLG"}
WHITE_OF_PAPER, MOST_OF_PQ = 203.0, 10_000.0
# HLG on a screen of 1000 cd/m2 (BT.2100): its white of paper, and the power by which scene becomes screen.
WHITE_OF_HLG, GAMMA_OF_HLG = 0.75, 1.2
CURVE_POINTS = 4096
# 1 / 2.2 is what programs write who mean sRGB.
GAMMAS_OF_SRGB = (0.44, 0.47)
LEAST_GAMMA, MOST_GAMMA = 0.1, 5.0
ALIKE = 0.005
BEGINNING_BYTES = 64 * 1024


def profile_in(file: IO[bytes], image: Image.Image) -> Found:
    """The ICC profile in an opened picture, or the one that stands for what it says else; and what is to be told."""
    embedded = image.info.get("icc_profile") or None
    if form_of(file) is Form.PNG:
        return _of_png(file, image, embedded)
    if embedded is None and image.format in ("AVIF", "HEIF"):
        file.seek(0)
        return _of_heif(file.read(BEGINNING_BYTES))
    return embedded, []


def profile_of(primaries: Chromaticities, white: tuple[float, float], gamma: float | None) -> bytes:
    """A profile of these primaries (x and y of red, green and blue) with a power as its curve; None: sRGB's own."""
    steps = np.linspace(0, 1, CURVE_POINTS)
    curve = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4) if gamma is None else steps**gamma
    return _of_curve(primaries, white, curve)


def _light(transfer: int) -> NDArray[np.float64]:
    """The light of each level of PQ or HLG, 1 for the white of paper and all beyond it (SMPTE ST 2084; ITU-R BT.2100)."""
    levels = np.linspace(0, 1, CURVE_POINTS)
    if HDR[transfer] == "PQ":
        root = levels ** (32 / 2523)
        found = (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305) * MOST_OF_PQ / WHITE_OF_PAPER
    else:
        found = _of_hlg(levels) / _of_hlg(np.array(WHITE_OF_HLG))
    return np.minimum(found, 1.0)


def _of_hlg(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(levels <= 0.5, levels**2 / 3, (np.exp((levels - c) / a) + b) / 12)
    return np.asarray(scene**GAMMA_OF_HLG)


def _of_curve(primaries: Chromaticities, white: tuple[float, float], curve: NDArray[np.float64]) -> bytes:
    xyy = [value for index in (0, 2, 4) for value in (primaries[index], primaries[index + 1], 1.0)]
    levels = np.rint(curve * 65_535).astype(np.uint16)
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=(*white, 1.0), primaries=xyy, transferfunction=levels))


def _of_code_points(primaries: int, transfer: int) -> Found:
    if transfer in HDR and primaries in {*PRIMARIES, UNSAID}:
        told = f"it is of high dynamic range ({HDR[transfer]}): what is brighter than the white of paper (203 cd/m2) became white"
        return _of_curve(PRIMARIES.get(primaries, PRIMARIES[9]), D65, _light(transfer)), [told]
    if primaries not in {*PRIMARIES, UNSAID} or transfer not in LIKE_SRGB | GAMMAS.keys():
        return None, [f"its colours are of the code points {primaries} and {transfer}, which are not known here; {AS_SRGB}"]
    if transfer in LIKE_SRGB and primaries in (PRIMARIES_OF_SRGB, UNSAID):
        return None, []
    return profile_of(PRIMARIES.get(primaries, PRIMARIES[PRIMARIES_OF_SRGB]), D65, GAMMAS.get(transfer)), []


def _of_png(file: IO[bytes], image: Image.Image, embedded: bytes | None) -> Found:
    for chunk in chunks(file, Form.PNG):
        if chunk.kind == b"cICP" and chunk.length == 4:
            primaries, transfer, _, _ = chunk.read(file)
            return _of_code_points(primaries, transfer)
        if chunk.kind == b"IDAT":
            break
    if embedded is not None or "srgb" in image.info:
        return embedded, []
    return _of_gamma(image.info.get("gamma"), image.info.get("chromaticity"))


def _of_gamma(gamma: float | None, chromaticity: Chromaticities | None) -> Found:
    """The profile for gAMA and cHRM: the white, then red, green and blue."""
    said = chromaticity is not None and len(chromaticity) == 8 and min(chromaticity[1::2]) > 0
    wide = said and max(abs(a - b) for a, b in zip(chromaticity or (), (*D65, *PRIMARIES[1]), strict=True)) > ALIKE
    usual = gamma is None or GAMMAS_OF_SRGB[0] < gamma < GAMMAS_OF_SRGB[1]
    if usual and not wide:
        return None, []
    if gamma is not None and not LEAST_GAMMA < gamma < MOST_GAMMA:
        return None, [f"its gamma of {gamma:g} is none that pictures have; {AS_SRGB}"]
    white, primaries = ((chromaticity[0], chromaticity[1]), chromaticity[2:]) if said and chromaticity else (D65, PRIMARIES[1])
    try:
        return profile_of(primaries, white, None if usual or gamma is None else 1 / gamma), []
    except imagecodecs.CmsError:
        return None, [f"the primaries in it make no colours; {AS_SRGB}"]


def _of_heif(beginning: bytes) -> Found:
    """By the first `colr` of type `nclx` (ISO/IEC 23008-12)."""
    place = beginning.find(b"colrnclx")
    if place < 0 or len(beginning) < place + 12:
        return None, []
    return _of_code_points(*struct.unpack_from(">HH", beginning, place + 8))
