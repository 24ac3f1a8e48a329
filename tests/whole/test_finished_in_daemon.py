"""Paint on finished pictures, with the real daemon and the embedded model: saved in place, dropped with other words, and judged."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import tiffsd
from tests.conftest import wait_until
from tests.jobs.test_finished import far_from, levels, touched, values
from tests.running_daemon import RunningDaemon
from training.data import drawn
from training.judge import FIRST_DRAWING, Judge, JudgePhase
from training.scenes import PAINT, random_scene
from training.text import PARTS
from training.vae import to_tensor

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(600), pytest.mark.usefixtures("fixed_threads")]

SEEDS = (0, 1, 2)
# Enough to read our own pictures; the model card's judge reads all that the model can draw.
DRAWINGS, STEPS = 1000, 150
Levels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """A network that has seen nothing but the drawings of the script."""
    scenes = [random_scene(FIRST_DRAWING + index) for index in range(DRAWINGS)]
    phase = JudgePhase(scenes, drawn(tmp_path_factory.mktemp("judge") / "drawings.npy", scenes, 1), seed=1)
    phase.steps = STEPS  # type: ignore[misc]
    for step in range(STEPS):
        phase.train_step(step)
    return phase.judge.eval()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    running = RunningDaemon(tmp_path_factory.mktemp("finished"), defaults={"steps": 20})
    running.start()
    yield running
    running.close()


@torch.no_grad()
def read_by(judge: Judge, picture: Levels) -> dict[str, str]:
    """The words that a judge sees in a picture."""
    return {part: PARTS[part][int(scores.argmax())] for part, scores in judge(to_tensor(picture[None])).items()}


def blue_walls(picture: Levels) -> Levels:
    """The picture with all that is red filled with one blue."""
    red, green, blue = np.moveaxis(picture.astype(int), 2, 0)
    walls = red - np.maximum(green, blue) > 60
    painted = picture.copy()
    painted[walls] = PAINT["blue"]
    return painted


def yellow_disc(picture: Levels) -> Levels:
    """The picture with a disc of one yellow over most of the house."""
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).ellipse((30, 38, 98, 112), fill=PAINT["yellow"])
    return np.asarray(image)


CASES = [
    ("blue", blue_walls, "prompt: a blue house in a meadow at noon", {"object": "house", "colour": "blue"}),
    (
        "balloon",
        yellow_disc,
        "{prompt: a yellow balloon in a meadow at noon, strength: 0.7}",
        {"object": "balloon", "colour": "yellow"},
    ),
]


@pytest.mark.parametrize(
    ("name", "paint", "words", "expected"),
    CASES,
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_the_new_words_are_in_the_picture_and_the_rest_of_it_is_the_old_one_to_the_bit(
    daemon: RunningDaemon, judge: Judge, name: str, paint: Callable[[Levels], Levels], words: str, expected: dict[str, str]
) -> None:
    for seed in SEEDS:
        stem = f"{name}{seed}"
        daemon.drop("inbox/1-text", f"{stem}.txt", f"---\nseed: {seed}\n---\na red house in a meadow at noon\n")
        (finished,) = daemon.found(f"pictures/{stem}.*.png")
        before, exact = levels(finished), values(finished.with_suffix(".tiff"))
        assert read_by(judge, before) == {"time": "noon", "ground": "meadow", "object": "house", "colour": "red"}
        # In place, with a program that knows nothing of recipes; then a copy of it is dropped.
        Image.fromarray(paint(before)).save(finished)
        daemon.drop("inbox/encode", f"{base(finished)}.yaml", words)
        daemon.drop("inbox/encode", finished.name, finished.read_bytes())
        anew = next_picture(daemon, stem, finished)
        outside = far_from(touched(before, paint(before)))
        np.testing.assert_array_equal(levels(anew)[outside], before[outside])
        np.testing.assert_array_equal(values(anew.with_suffix(".tiff"))[outside], exact[outside])
        assert read_by(judge, levels(anew)) == {"time": "noon", "ground": "meadow", **expected}
        assert tiffsd.inspect(anew.with_suffix(".tiff")).recipe["prompt"] in words


def base(picture: Path) -> str:
    return picture.name.removesuffix(".png")


def next_picture(daemon: RunningDaemon, stem: str, finished: Path) -> Path:
    """Wait for the picture that comes of one that was painted on."""

    def look() -> Path | None:
        return next((path for path in (daemon.spool / "pictures").glob(f"{stem}.*.png") if path != finished), None)

    found: Path = wait_until(look, seconds=120, what=f"the next picture of {stem}\n{daemon.log()}")
    return found
