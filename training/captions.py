"""What a scene is called: captions with all its words, or with some of them left out."""

from __future__ import annotations

import numpy as np

from training.scenes import COLOURS, OBJECTS, TIMES, Scene

GROUND_PHRASES: dict[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "on a meadow", "in the meadow"),
    "desert": ("in the desert", "in a desert"),
    "snow": ("in the snow", "in snow"),
    "sea": ("by the sea", "at the sea", "on the beach"),
}
TIME_PHRASES: dict[str, tuple[str, ...]] = {time: (f"at {time}",) for time in TIMES} | {
    "night": ("at night", "in the night"),
}
# {thing} is the object with or without its colour.
TEMPLATES = (
    "a {thing} {ground} {time}",
    "{thing} {ground} {time}",
    "a {thing} {time} {ground}",
    "a picture of a {thing} {ground} {time}",
)
WORDS = sorted(
    {*TIMES, *OBJECTS, *COLOURS, "a", "an", "and", "the", "of", "with", "picture"}
    | {word for phrases in (*GROUND_PHRASES.values(), *TIME_PHRASES.values()) for p in phrases for word in p.split()}
)

# How often a caption leaves a part out.
OMITTED = {"time": 0.12, "ground": 0.12, "colour": 0.08}


def full_caption(scene: Scene) -> str:
    """Returns the plain caption, such as "a red house in a meadow at sunset"."""
    return f"a {scene.colour} {scene.object} {GROUND_PHRASES[scene.ground][0]} {TIME_PHRASES[scene.time][0]}"


def random_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Returns a caption that fits the scene, in one of several wordings, often with a part left out."""
    said = {part: rng.random() >= share for part, share in OMITTED.items()}
    ground = str(rng.choice(GROUND_PHRASES[scene.ground])) if said["ground"] else ""
    time = str(rng.choice(TIME_PHRASES[scene.time])) if said["time"] else ""
    thing = f"{scene.colour} {scene.object}" if said["colour"] else scene.object
    caption = str(rng.choice(TEMPLATES)).format(thing=thing, ground=ground, time=time)
    return " ".join(caption.split())
