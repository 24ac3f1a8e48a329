"""Draws the pictures the demo model learns from: one big object, a ground, a time of day.

python -m training.scenes sheet.png     # a contact sheet to look at
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

SIZE = 128
SUPERSAMPLING = 4

TIMES = ("dawn", "noon", "sunset", "night")
GROUNDS = ("meadow", "desert", "snow", "sea")
OBJECTS = ("house", "tree", "balloon", "car", "mushroom", "lighthouse")
COLOURS = ("red", "yellow", "green", "blue", "purple")

# Never drawn for training: whether the model can still combine the two words is a fair question for the judge.
HELD_OUT = frozenset({("house", "purple"), ("balloon", "green"), ("car", "yellow"), ("mushroom", "blue")})

PAINT: dict[str, Colour] = {
    "red": (222, 44, 44),
    "yellow": (250, 206, 40),
    "green": (40, 158, 66),
    "blue": (36, 96, 222),
    "purple": (144, 58, 190),
}

# Zenith, middle, horizon.
SKY: dict[str, tuple[Colour, Colour, Colour]] = {
    "dawn": ((132, 116, 196), (232, 160, 200), (255, 218, 208)),
    "noon": ((50, 138, 228), (118, 190, 246), (208, 238, 252)),
    "sunset": ((170, 58, 84), (240, 108, 56), (255, 196, 90)),
    "night": ((10, 14, 46), (24, 34, 88), (54, 72, 132)),
}

SUN: dict[str, Colour] = {
    "dawn": (255, 246, 226),
    "noon": (255, 244, 170),
    "sunset": (255, 236, 140),
    "night": (244, 240, 216),
}
HALO: dict[str, Colour] = {
    "dawn": (255, 236, 214),
    "noon": (255, 252, 226),
    "sunset": (255, 226, 130),
    "night": (150, 170, 230),
}

# The colour of the light that falls on everything below the sky, as a factor per channel.
LIGHT: dict[str, tuple[float, float, float]] = {
    "dawn": (1.0, 0.86, 0.96),
    "noon": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.80, 0.62),
    "night": (0.42, 0.52, 0.80),
}

# How much of that light reaches the object: a blue car has to stay blue at sunset.
OBJECT_TINT = 0.25

# Far, near.
GROUND: dict[str, tuple[Colour, Colour]] = {
    "meadow": ((126, 194, 84), (66, 144, 58)),
    "desert": ((242, 204, 132), (214, 158, 90)),
    "snow": ((246, 250, 255), (206, 220, 240)),
    "sea": ((244, 222, 174), (226, 196, 142)),
}
HILLS: dict[str, Colour] = {"meadow": (70, 136, 92), "desert": (206, 132, 84), "snow": (150, 170, 204)}
SEA: tuple[Colour, Colour] = ((34, 112, 184), (74, 178, 206))


@dataclass(frozen=True)
class Scene:
    """What a picture shows; the seed settles everything the words leave open."""

    time: str
    ground: str
    object: str
    colour: str
    seed: int


def random_scene(seed: int, *, held_out: bool = False) -> Scene:
    """Returns the scene of this seed, never of a held-out pair unless `held_out` allows them."""
    rng = np.random.default_rng([seed, 0])
    while True:
        time, ground, thing, colour = (str(rng.choice(words)) for words in (TIMES, GROUNDS, OBJECTS, COLOURS))
        if held_out or (thing, colour) not in HELD_OUT:
            return Scene(time, ground, thing, colour, seed)


def mixed(a: Sequence[float], b: Sequence[float], share: float) -> Colour:
    """Returns the colour `share` (0..1) of the way from a to b."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def lit(colour: Colour, time: str, amount: float = 1.0) -> Colour:
    """Returns the colour under that time's light; amount 0 leaves it as it is."""
    red, green, blue = (round(c * (1 - amount * (1 - f))) for c, f in zip(colour, LIGHT[time], strict=True))
    return red, green, blue


class Pen:
    """Draws in picture units (0..128, y downwards) around an origin, on a supersampled canvas."""

    def __init__(
        self,
        image: Image.Image,
        origin: Point = (0.0, 0.0),
        scale: float = 1.0,
        paint: Callable[[Colour], Colour] = lambda colour: colour,
    ) -> None:
        self.draw = ImageDraw.Draw(image, "RGBA")
        self.origin, self.scale, self.paint = origin, scale, paint

    def _at(self, x: float, y: float) -> Point:
        return (
            (self.origin[0] + x * self.scale) * SUPERSAMPLING,
            (self.origin[1] + y * self.scale) * SUPERSAMPLING,
        )

    def polygon(self, points: Sequence[Point], colour: Colour, opacity: int = 255) -> None:
        self.draw.polygon([self._at(x, y) for x, y in points], (*self.paint(colour), opacity))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, radius: float = 0.0) -> None:
        corners = (*self._at(left, top), *self._at(right, bottom))
        self.draw.rounded_rectangle(corners, radius * self.scale * SUPERSAMPLING, (*self.paint(colour), 255))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, opacity: int = 255) -> None:
        self.draw.ellipse((*self._at(x - rx, y - ry), *self._at(x + rx, y + ry)), (*self.paint(colour), opacity))

    def dome(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Draws the upper half of an ellipse."""
        corners = (*self._at(x - rx, y - ry), *self._at(x + rx, y + ry))
        self.draw.pieslice(corners, 180, 360, (*self.paint(colour), 255))


def shade(colour: Colour) -> Colour:
    return mixed(colour, (20, 14, 60), 0.28)


def glow(colour: Colour) -> Colour:
    return mixed(colour, (255, 255, 255), 0.28)


WHITE: Colour = (250, 246, 238)
SLATE: Colour = (74, 72, 92)
WOOD: Colour = (122, 82, 54)
GLASS: dict[str, Colour] = {
    "dawn": (255, 232, 196),
    "noon": (198, 232, 250),
    "sunset": (255, 222, 140),
    "night": (255, 226, 120),
}

# The objects stand on (0, 0) and are about 70 units high and lit from the left.


def draw_house(pen: Pen, colour: Colour, glass: Colour) -> None:
    pen.box(14, -68, 22, -44, shade(SLATE))
    pen.polygon([(-30, 0), (-30, -36), (30, -36), (30, 0)], colour)
    pen.polygon([(-30, -36), (0, -62), (30, -36)], colour)
    pen.polygon([(14, 0), (14, -46), (30, -36), (30, 0)], shade(colour))
    pen.polygon([(-37, -32), (0, -66), (37, -32), (32, -28), (0, -56), (-32, -28)], SLATE)
    pen.box(-23, -31, -9, -16, WHITE, 1)
    pen.box(-21, -29, -11, -18, glass)
    pen.box(-3, -25, 10, 0, WHITE, 1)
    pen.box(-1, -23, 8, 0, WOOD)


def draw_tree(pen: Pen, colour: Colour, _glass: Colour) -> None:
    pen.polygon([(-5, 0), (-3, -34), (4, -34), (7, 0)], WOOD)
    pen.polygon([(2, 0), (1, -34), (4, -34), (7, 0)], shade(WOOD))
    for x, y, r in ((-15, -34, 14), (16, -34, 14), (1, -38, 18), (0, -54, 17)):
        pen.ellipse(x + 2, y + 1, r, r, shade(colour))
    for x, y, r in ((-16, -36, 12), (12, -37, 11), (-2, -40, 15), (-2, -56, 14)):
        pen.ellipse(x, y, r, r, colour)
    pen.ellipse(-8, -58, 6, 5, glow(colour))
    pen.ellipse(-18, -40, 5, 4, glow(colour))


def draw_balloon(pen: Pen, colour: Colour, _glass: Colour) -> None:
    pen.polygon([(-13, -26), (-5, -12), (-3, -12), (-9, -26)], SLATE)
    pen.polygon([(13, -26), (5, -12), (3, -12), (9, -26)], SLATE)
    pen.polygon([(-22, -34), (-7, -19), (7, -19), (22, -34)], shade(colour))
    pen.ellipse(0, -50, 28, 26, shade(colour))
    pen.polygon([(-17, -34), (-6, -19), (3, -19), (10, -34)], colour)
    pen.ellipse(-3, -50, 22, 25, colour)
    pen.ellipse(-6, -50, 9, 24, glow(colour))
    pen.polygon([(-11, -32), (-5, -19), (-1, -19), (0, -32)], glow(colour))
    pen.box(-7, -13, 7, 0, WOOD, 2)
    pen.box(-8, -14, 8, -10, shade(WOOD), 1)


def draw_car(pen: Pen, colour: Colour, glass: Colour) -> None:
    pen.polygon([(-26, -28), (-16, -50), (14, -50), (28, -28)], colour)
    pen.polygon([(-20, -29), (-13, -46), (-2, -46), (-2, -29)], glass)
    pen.polygon([(3, -29), (3, -46), (12, -46), (22, -29)], mixed(glass, SLATE, 0.2))
    pen.box(-42, -30, 42, -8, colour, 8)
    pen.box(-42, -17, 42, -8, shade(colour), 4)
    pen.ellipse(38, -22, 4, 4, (255, 240, 170))
    for x in (-23, 23):
        pen.ellipse(x, -9, 11, 11, (44, 42, 56))
        pen.ellipse(x, -9, 5, 5, (206, 206, 214))


def draw_mushroom(pen: Pen, colour: Colour, _glass: Colour) -> None:
    stem: Colour = (246, 230, 204)
    pen.polygon([(-9, -36), (-12, 0), (13, 0), (9, -36)], stem)
    pen.ellipse(0, -2, 12.5, 4, stem)
    pen.polygon([(3, -36), (5, 0), (13, 0), (9, -36)], mixed(stem, WOOD, 0.35))
    pen.ellipse(0, -31, 36, 7, shade(shade(colour)))
    pen.dome(0, -31, 36, 38, shade(colour))
    pen.dome(-3, -31, 32, 36, colour)
    for x, y, r in ((-18, -42, 6.5), (1, -55, 7), (17, -41, 6)):
        pen.ellipse(x, y, r, r * 0.9, WHITE)


def draw_lighthouse(pen: Pen, colour: Colour, _glass: Colour) -> None:
    def band(low: float, high: float, left: float, right: float, fill: Colour) -> None:
        """Fills the tower between two heights; left and right are shares (-1..1) of its half width."""
        wide, narrow = 15 - low * 0.11, 15 - high * 0.11
        pen.polygon([(left * wide, -low), (left * narrow, -high), (right * narrow, -high), (right * wide, -low)], fill)

    for low, high, fill in ((0, 18, colour), (18, 28, WHITE), (28, 46, colour), (46, 54, WHITE)):
        band(low, high, -1, 1, fill)
        band(low, high, 0.3, 1, shade(fill))
    pen.box(-13, -58, 13, -53, SLATE, 1)
    pen.box(-7, -67, 7, -58, (255, 234, 140))
    pen.polygon([(-10, -66), (0, -76), (10, -66)], shade(colour))
    pen.box(-4, -11, 4, 0, SLATE, 2)


DRAW: dict[str, Callable[[Pen, Colour, Colour], None]] = {
    "house": draw_house,
    "tree": draw_tree,
    "balloon": draw_balloon,
    "car": draw_car,
    "mushroom": draw_mushroom,
    "lighthouse": draw_lighthouse,
}


def paint_sky(time: str, horizon: float, sun: Point) -> Image.Image:
    """Returns the sky with the glow around its sun or moon, supersampled."""
    height = np.clip(np.arange(SIZE) / horizon, 0, 1)
    column = np.stack([np.interp(height, (0, 0.55, 1), [stop[c] for stop in SKY[time]]) for c in range(3)], axis=-1)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    distance = np.hypot(x - sun[0], y - sun[1])
    halo = np.exp(-((distance / 26) ** 2))[..., None] * (0.30 if time == "night" else 0.55)
    sky = column[:, None, :] * (1 - halo) + np.array(HALO[time]) * halo
    image = Image.fromarray(sky.round().astype(np.uint8), "RGB")
    return image.resize((SIZE * SUPERSAMPLING,) * 2, Image.Resampling.BILINEAR)


def draw_sun(pen: Pen, time: str, sun: Point) -> None:
    if time == "night":
        pen.ellipse(*sun, 9, 9, SUN[time])
        pen.ellipse(sun[0] + 3, sun[1] + 2, 2.5, 2.5, (222, 218, 200))
        pen.ellipse(sun[0] - 3, sun[1] - 3, 2, 2, (222, 218, 200))
        return
    radius = 13 if time == "sunset" else 9
    pen.ellipse(*sun, radius, radius, SUN[time])


def draw_clouds(pen: Pen, rng: np.random.Generator, time: str) -> None:
    tone = mixed(SKY[time][2], (255, 255, 255), {"noon": 0.85, "night": 0.05}.get(time, 0.25))
    for _ in range(rng.integers(0, 3)):
        x, y, size = rng.uniform(8, 120), rng.uniform(14, 40), rng.uniform(0.8, 1.2)
        for dx, dy, rx, ry in ((0, 0, 15, 4.5), (-4, -4, 7, 5), (5, -3, 6, 4)):
            pen.ellipse(x + dx * size, y + dy * size, rx * size, ry * size, tone, 210 if time != "night" else 110)


def ridge(rng: np.random.Generator, level: float, swing: float, wave: float) -> list[Point]:
    """Returns a rolling outline over the whole width, closed along the bottom edge."""
    phase, phase2 = rng.uniform(0, 2 * np.pi, 2)
    xs = np.linspace(-2, SIZE + 2, 60)
    ys = level - swing * (0.7 * np.sin(xs / wave + phase) + 0.3 * np.sin(2.3 * xs / wave + phase2))
    return [(-2.0, SIZE + 2.0), *zip(xs.tolist(), ys.tolist(), strict=True), (SIZE + 2.0, SIZE + 2.0)]


def draw_hills(pen: Pen, rng: np.random.Generator, scene: Scene, horizon: float) -> None:
    """Draws what lies between the sky and the ground, paler the farther it is."""
    haze = SKY[scene.time][2]
    if scene.ground == "snow":
        base = lit(HILLS["snow"], scene.time)
        for x in np.arange(rng.uniform(-10, 14), 150, rng.uniform(38, 50)):
            top, half = horizon - rng.uniform(22, 34), rng.uniform(26, 34)
            pen.polygon([(x - half, horizon + 8), (x, top), (x + half, horizon + 8)], mixed(base, haze, 0.30))
            pen.polygon([(x, top), (x + half, horizon + 8), (x + 4, horizon + 8)], mixed(base, haze, 0.12))
            cap = lit((250, 252, 255), scene.time, 0.8)
            pen.polygon([(x, top), (x - half * 0.33, top + 13), (x, top + 10), (x + half * 0.33, top + 13)], cap)
        return
    base = lit(HILLS[scene.ground], scene.time)
    pen.polygon(ridge(rng, horizon - 10, 8, 17), mixed(base, haze, 0.50))
    pen.polygon(ridge(rng, horizon - 3, 5, 13), mixed(base, haze, 0.15))


def draw_ground(pen: Pen, rng: np.random.Generator, scene: Scene, horizon: float) -> None:
    reach = 0.7 if scene.ground == "snow" else 0.9
    far, near = (lit(colour, scene.time, reach) for colour in GROUND[scene.ground])
    swing = {"meadow": 3.0, "desert": 4.5, "snow": 3.0, "sea": 1.2}[scene.ground]
    if scene.ground == "sea":
        horizon += 22
        pen.polygon(ridge(rng, horizon - 2.5, swing, 20), lit((236, 246, 248), scene.time, 0.7))
    for step in range(4):
        level = horizon + 1 + step * (SIZE - horizon) / 4
        pen.polygon(ridge(rng, level, swing, 24 + 4 * step), mixed(far, near, step / 3))


def draw_sea(pen: Pen, scene: Scene, horizon: float, sun: Point) -> None:
    far, near = (lit(colour, scene.time, 0.85) for colour in SEA)
    for step in range(12):
        top = horizon + step * 2.5
        pen.polygon([(-2, top), (130, top), (130, SIZE), (-2, SIZE)], mixed(far, near, step / 11))
    gleam = mixed(SKY[scene.time][2], (255, 255, 255), 0.3)
    for step, half in enumerate((9, 6, 10, 7)):
        pen.ellipse(sun[0], horizon + 3 + 5 * step, half, 1.6, gleam, 170)


def draw_object(image: Image.Image, rng: np.random.Generator, scene: Scene) -> None:
    x, y, scale = rng.uniform(54, 74), rng.uniform(111, 117), rng.uniform(0.95, 1.08)
    shadow = lit((40, 50, 60), scene.time)
    half = {"house": 36, "tree": 22, "balloon": 14, "car": 44, "mushroom": 24, "lighthouse": 21}[scene.object]
    Pen(image, (x, y), scale).ellipse(5, 0, half, 4, shadow, 90)
    if scene.object == "balloon":
        y -= rng.uniform(12, 18)

    def tinted(colour: Colour) -> Colour:
        return colour if colour == GLASS[scene.time] else lit(colour, scene.time, OBJECT_TINT)

    DRAW[scene.object](Pen(image, (x, y), scale, tinted), PAINT[scene.colour], GLASS[scene.time])


def draw(scene: Scene) -> Image.Image:
    """Returns the scene as an RGB picture of 128 x 128 pixels; the same scene is always the same picture."""
    rng = np.random.default_rng([scene.seed, 1])
    horizon = rng.uniform(76, 82)
    sun_height = {"dawn": 24.0, "noon": 60.0, "sunset": 12.0, "night": 58.0}[scene.time]
    sun = (float(rng.choice((rng.uniform(14, 24), rng.uniform(104, 114)))), horizon - sun_height + rng.uniform(-3, 3))
    image = paint_sky(scene.time, horizon, sun)
    pen = Pen(image)
    draw_sun(pen, scene.time, sun)
    draw_clouds(pen, rng, scene.time)
    if scene.ground == "sea":
        draw_sea(pen, scene, horizon, sun)
    else:
        draw_hills(pen, rng, scene, horizon)
    draw_ground(pen, rng, scene, horizon)
    draw_object(image, rng, scene)
    image = image.reduce(SUPERSAMPLING)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def contact_sheet(pictures: Sequence[Image.Image], columns: int = 8, gap: int = 4) -> Image.Image:
    """Returns the pictures, all of 128 x 128 pixels, in rows on one sheet."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (SIZE + gap) + gap, rows * (SIZE + gap) + gap), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(picture, (gap + column * (SIZE + gap), gap + row * (SIZE + gap)))
    return sheet


if __name__ == "__main__":
    contact_sheet([draw(random_scene(seed)) for seed in range(48)]).save(sys.argv[1])
