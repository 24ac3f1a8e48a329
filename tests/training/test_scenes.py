"""The drawings that the embedded model learns from: each shows what its caption says, and nothing that it does not."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from training.captions import GROUND_PHRASES, TIME_PHRASES, WORDS, full_caption, random_caption
from training.scenes import (
    COLOURS,
    GROUND,
    GROUNDS,
    HELD_OUT,
    OBJECT_TINT,
    OBJECTS,
    PAINT,
    SIZE,
    SKY,
    TIMES,
    Colour,
    Scene,
    draw,
    lit,
    random_scene,
)
from training.text import PARTS

Pixels = np.ndarray
PLAIN = Scene("noon", "meadow", "house", "red", 5)


def pixels(scene: Scene) -> Pixels:
    return np.asarray(draw(scene)).astype(int)


def nearest(found: Pixels, colours: dict[str, Colour]) -> str:
    """The name of the colour that most of these pixels (n, 3) are nearest to."""
    away = np.stack([np.abs(found - np.array(colour)).sum(axis=-1) for colour in colours.values()])
    return list(colours)[np.bincount(away.argmin(axis=0), minlength=len(colours)).argmax()]


def test_a_scene_is_always_the_same_picture_and_each_seed_another() -> None:
    assert draw(PLAIN).size == (SIZE, SIZE)
    assert np.array_equal(pixels(PLAIN), pixels(PLAIN))
    assert not np.array_equal(pixels(PLAIN), pixels(replace(PLAIN, seed=6)))


@pytest.mark.parametrize("thing", OBJECTS)
def test_the_object_has_the_colour_of_its_caption(thing: str) -> None:
    for time, colour in product(("noon", "sunset"), COLOURS):
        scene = Scene(time, "meadow", thing, colour, 3)
        others = [pixels(replace(scene, colour=other)) for other in COLOURS if other != colour]
        painted = np.all([(pixels(scene) != other).any(axis=-1) for other in others], axis=0)
        assert painted.sum() > 300, "an object is large enough to be seen"
        shown = {name: lit(paint, time, OBJECT_TINT) for name, paint in PAINT.items()}
        assert nearest(pixels(scene)[painted], shown) == colour, (time, colour)


def test_each_object_looks_other_than_each_other() -> None:
    drawn = {thing: pixels(replace(PLAIN, object=thing)) for thing in OBJECTS}
    for one, other in product(OBJECTS, OBJECTS):
        assert one == other or (drawn[one] != drawn[other]).any(axis=-1).sum() > 500, (one, other)


@pytest.mark.parametrize("time", TIMES)
def test_the_sky_is_that_of_the_time_of_day(time: str) -> None:
    for ground in GROUNDS:
        top = pixels(replace(PLAIN, time=time, ground=ground))[:3].reshape(-1, 3)
        assert nearest(top, {name: colours[0] for name, colours in SKY.items()}) == time, ground


@pytest.mark.parametrize("ground", GROUNDS)
def test_the_ground_is_that_of_the_caption(ground: str) -> None:
    for time in ("dawn", "noon", "sunset"):
        bottom = pixels(replace(PLAIN, time=time, ground=ground))[-3:].reshape(-1, 3)
        assert nearest(bottom, {name: lit(near, time, 0.8) for name, (_, near) in GROUND.items()}) == ground, time


def test_a_caption_says_only_what_the_scene_shows() -> None:
    for seed in range(300):
        scene, rng = random_scene(seed), np.random.default_rng(seed)
        for caption in (full_caption(scene), random_caption(scene, rng)):
            said = set(caption.split())
            assert said <= set(WORDS), caption
            assert scene.object in said
            for part, words in PARTS.items():
                assert said & set(words) <= {getattr(scene, part)}, caption


def test_a_full_caption_says_all_of_a_scene() -> None:
    assert full_caption(PLAIN) == "a red house in a meadow at noon"
    for seed in range(100):
        scene = random_scene(seed)
        caption = full_caption(scene)
        assert f"{scene.colour} {scene.object}" in caption
        assert any(phrase in caption for phrase in GROUND_PHRASES[scene.ground])
        assert any(phrase in caption for phrase in TIME_PHRASES[scene.time])


def test_captions_leave_words_out_now_and_then() -> None:
    captions = [random_caption(PLAIN, np.random.default_rng(seed)) for seed in range(300)]
    for word in ("red", "meadow", "noon"):
        assert 0 < sum(word not in caption.split() for caption in captions) < 90, word


def test_pairs_that_are_held_out_are_never_drawn_for_training() -> None:
    trained = {(scene.object, scene.colour) for scene in map(random_scene, range(2000))}
    assert trained == set(product(OBJECTS, COLOURS)) - HELD_OUT
    assert {(scene.object, scene.colour) for scene in (random_scene(seed, held_out=True) for seed in range(2000))} >= HELD_OUT
