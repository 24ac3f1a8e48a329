"""A stroke as the painter's modules say that it is drawn (`static/painter/raster.js`), with Pillow and numpy."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]


def cover(size: int, hardness: int) -> NDArray[np.uint8]:
    """How much of each pixel of its square a stamp covers, 0..255."""
    if hardness >= 100:
        image = Image.new("L", (size, size), 255 if size == 1 else 0)
        ImageDraw.Draw(image).ellipse((0, 0, size - 1, size - 1), fill=255)
        return np.asarray(image)
    radius, inner = size / 2, size / 2 * hardness / 100
    away = np.arange(size) + 0.5 - radius
    far = np.sqrt(away[None, :] * away[None, :] + away[:, None] * away[:, None])
    t = (radius - far) / (radius - inner)
    soft = np.floor(255 * t * t * (3 - 2 * t) + 0.5)
    return np.where(far >= radius, 0, np.where(far <= inner, 255, soft)).astype(np.uint8)


def stamps(points: Iterable[Point], size: int) -> Iterator[tuple[int, int]]:
    """The left and the top of each stamp of a stroke."""
    before: Point | None = None
    for x, y in points:
        if before is None:
            places = [(x, y)]
        else:
            across, down = x - before[0], y - before[1]
            count = max(1, math.ceil(math.sqrt(across * across + down * down) / max(1, size / 16)))
            parts = [(index + 1) / count for index in range(count)]
            places = [(before[0] + across * part, before[1] + down * part) for part in parts]
        for place in places:
            yield math.floor(place[0] - size / 2 + 0.5), math.floor(place[1] - size / 2 + 0.5)
        before = (x, y)


def alpha_of(
    shape: tuple[int, int], points: Iterable[Point], size: int, *, hardness: int = 100, opacity: int = 255
) -> NDArray[Any]:
    """The largest alpha of a stroke at each pixel (H, W), 0..255."""
    alpha = np.zeros((shape[0] + 2 * size, shape[1] + 2 * size), np.int64)
    stamp = (cover(size, hardness).astype(np.int64) * opacity + 127) // 255
    for left, top in stamps(points, size):
        if -size < left < shape[1] and -size < top < shape[0]:
            part = alpha[top + size : top + 2 * size, left + size : left + 2 * size]
            np.maximum(part, stamp, out=part)
    return alpha[size : size + shape[0], size : size + shape[1]]


def painted(levels: NDArray[np.uint8], alpha: NDArray[Any], target: Any) -> NDArray[np.uint8]:
    """Levels (H, W, 3) with a stroke towards a colour, or other levels, on them."""
    a = alpha[..., None]
    return ((levels.astype(np.int64) * (255 - a) + np.asarray(target, np.int64) * a + 127) // 255).astype(np.uint8)
