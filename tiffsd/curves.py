"""The tone curves of ICC profiles: what an editor applied to a canvas that it saved in perceptual gamma, and how that is undone.

Section 6 of `tiffsd/spec.py`. A profile rounds the numbers of its curve, so what was applied may be the curve that is meant (sRGB,
a gamma of 2.2) or the one that is written: both are given. Layout: ICC.1:2022, sections 10.6 and 10.18.
"""

import struct
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tiffsd.profile import LARGEST_PROFILE_BYTES

Wide = NDArray[np.float64]
Curve = Callable[[Wide], Wide]  # a pixel as it was saved -> the linear one

HEADER_BYTES, MOST_PROFILE_TAGS = 128, 100
SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
PARAMETERS = (1, 3, 4, 5, 7)  # of each type of a parametric curve
WRITTEN_IN = 2.0**-16  # the steps of s15Fixed16 and, about, of the entries of a table
GAMMA_WRITTEN_IN = 2.0**-8
PLACES_OF_A_CURVE = 257


def curves_of(profile: bytes) -> tuple[Curve, ...]:
    """The tone curve of a gray profile, or of a colour profile with three of one kind: as it is meant, then as it is written.

    Nothing for a linear one, for one that cannot be read, and where there is none.
    """
    try:
        data = _tone_curve(profile[:LARGEST_PROFILE_BYTES])
        return _curves(data) if data else ()
    except struct.error:  # it is cut off
        return ()


def _tone_curve(profile: bytes) -> bytes | None:
    names = {b"GRAY": (b"kTRC",), b"RGB ": (b"rTRC", b"gTRC", b"bTRC")}.get(profile[16:20])
    if names is None or profile[36:40] != b"acsp":
        return None
    (count,) = struct.unpack_from(">I", profile, HEADER_BYTES)
    table = {}
    for place in range(min(count, MOST_PROFILE_TAGS)):
        name, start, length = struct.unpack_from(">4sII", profile, HEADER_BYTES + 4 + 12 * place)
        table[name] = profile[start : start + length]
    found = {_kernel(table.get(name, b"")) for name in names}
    return found.pop() if len(found) == 1 else None


def _kernel(data: bytes) -> bytes:
    """A curve without what pads it."""
    if data[:4] != b"curv":
        return data
    (count,) = struct.unpack_from(">I", data, 8)
    return data[: 12 + 2 * count]


def _curves(data: bytes) -> tuple[Curve, ...]:
    if data[:4] == b"para":
        (kind,) = struct.unpack_from(">H", data, 8)
        if kind >= len(PARAMETERS):
            return ()
        return _parametric([number / 65536 for number in struct.unpack_from(f">{PARAMETERS[kind]}i", data, 12)])
    if data[:4] != b"curv":
        return ()
    (count,) = struct.unpack_from(">I", data, 8)
    points = struct.unpack_from(f">{count}H", data, 12)
    return _gamma(points[0] / 256, GAMMA_WRITTEN_IN) if count == 1 else _table(np.array(points, np.float64) / 65535)


def _parametric(numbers: list[float]) -> tuple[Curve, ...]:
    if len(numbers) == 1:
        return _gamma(numbers[0], WRITTEN_IN)
    gamma, a, b, *rest = numbers
    if len(numbers) < 5 or not a > 0:
        return ()  # curves of videos, of whose pieces no editor of pictures makes use
    c, d = rest[:2]
    e, f = (*rest[2:], 0.0, 0.0)[:2]
    written = partial(_in_two_pieces, numbers=(gamma, a, b, c, d), above=e, below=f)
    meant = partial(_in_two_pieces, numbers=SRGB)
    straight = np.linspace(0, 1, PLACES_OF_A_CURVE)
    if np.abs(written(straight) - straight).max() <= WRITTEN_IN:
        return ()
    is_srgb = len(numbers) == 5 and all(abs(x - y) <= 2 * WRITTEN_IN for x, y in zip(numbers, SRGB, strict=True))
    return (meant, written) if is_srgb else (written,)


def _gamma(gamma: float, step: float) -> tuple[Curve, ...]:
    if not gamma > 0 or abs(gamma - 1) < step:
        return ()
    rounded = round(gamma, 1)
    meant = (rounded,) if rounded != gamma and abs(rounded - gamma) <= step else ()
    return tuple(partial(_power, gamma=exponent) for exponent in (*meant, gamma))


def _table(points: Wide) -> tuple[Curve, ...]:
    if len(points) < 2 or (np.diff(points) < 0).any():
        return ()
    places = np.linspace(0, 1, len(points))
    if np.abs(points - places).max() <= WRITTEN_IN:
        return ()
    written = partial(_interpolated, places=places, points=points)
    middle = len(points) // 2
    rounded = round(float(np.log(points[middle]) / np.log(places[middle])), 1) if 0 < points[middle] < 1 > places[middle] else 1.0
    likely: tuple[Curve, ...] = (partial(_in_two_pieces, numbers=SRGB), partial(_power, gamma=rounded))
    meant = [curve for curve in likely if np.abs(points - curve(places)).max() <= WRITTEN_IN]
    return (*meant[:1], written)


def _power(v: Wide, *, gamma: float) -> Wide:
    powered: Wide = np.sign(v) * np.abs(v) ** gamma
    return powered


def _in_two_pieces(v: Wide, *, numbers: tuple[float, float, float, float, float], above: float = 0.0, below: float = 0.0) -> Wide:
    gamma, a, b, c, d = numbers
    curved: Wide = np.where(v >= d, np.maximum(a * v + b, 0) ** gamma + above, c * v + below)
    return curved


def _interpolated(v: Wide, *, places: Wide, points: Wide) -> Wide:
    """Beyond black and white a table says nothing; it goes on as it ends, so that no pixel is lost."""
    first, last = (points[1] - points[0]) / places[1], (points[-1] - points[-2]) / places[1]
    found: Wide = np.interp(v, places, points) + first * np.minimum(v, 0) + last * np.maximum(v - 1, 0)
    return found
