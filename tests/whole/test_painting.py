"""Paint on the proofs of what waits, in a real daemon: it is in the picture that comes of it, and what was not painted is the same.

Errors are means of |picture - paint| in 0..1, 8 pixels inside of the edge of the paint. `python -m benchmarks.paint` measures more.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import tiffsd
from tests.running_daemon import RunningDaemon

PAINT = slice(40, 88)
INSIDE = slice(48, 80)
COLOURS = [(40, 90, 230), (250, 200, 60)]
PROMPTS = ["a red house in a meadow at sunset", "a blue tree in the snow at night"]
SCHEDULERS = ["ddim", "euler", "dpmpp_2m"]

Levels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    daemon = RunningDaemon(tmp_path_factory.mktemp("painting"), defaults={"steps": 20, "width": 128, "height": 128})
    daemon.start()
    yield daemon
    daemon.stop()


def pixels(path: Path) -> Levels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def error(picture: Levels, colour: tuple[int, int, int]) -> float:
    return float(np.abs(picture[INSIDE, INSIDE].astype(float) - colour).mean() / 255)


def paint(proof: Path, colour: tuple[int, int, int]) -> Levels:
    levels = pixels(proof).copy()
    levels[PAINT, PAINT] = colour
    Image.fromarray(levels).save(proof)
    return levels


def test_paint_before_decoding_is_in_the_picture_as_well_as_the_vae_can(daemon: RunningDaemon) -> None:
    for index, prompt in enumerate(PROMPTS):
        colour, stem = COLOURS[index], f"end{index}"
        said = f"seed: {index}\nsteps: 8"
        daemon.drop("inbox/1-text", f"{stem}.txt", f"---\n{said}\nhold: decode\n---\n{prompt}")
        daemon.drop("inbox/1-text", f"{stem}-plain.txt", f"---\n{said}\n---\n{prompt}")
        (proof,) = daemon.found(f"hold/3-decode/{stem}.*.proof.png")
        (plain,) = daemon.found(f"pictures/{stem}-plain.*.png")
        assert (pixels(proof) == pixels(plain)).all()
        painted = paint(proof, colour)
        Image.fromarray(painted).save(daemon.folder / "whole.png")
        daemon.drop("inbox/encode", f"{stem}-whole.png", (daemon.folder / "whole.png").read_bytes())
        (whole,) = daemon.found(f"hold/3-decode/{stem}-whole.????????.tiff")
        daemon.command("release", whole.name)
        (latents,) = daemon.spool.glob(f"hold/3-decode/{stem}.????????.tiff")
        before = tiffsd.read(latents).tensors["latents"]
        daemon.command("release", stem)
        (made,) = daemon.found(f"pictures/{stem}.*.png")
        (of_whole,) = daemon.found(f"pictures/{stem}-whole.*.png")
        assert error(pixels(made), colour) <= 0.3 * error(pixels(plain), colour)
        assert error(pixels(made), colour) <= error(pixels(of_whole), colour) + 0.01
        assert before.shape == (4, 16, 16)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_paint_half_way_outlives_the_loop(daemon: RunningDaemon, scheduler: str) -> None:
    left = []
    for index, prompt in enumerate(PROMPTS):
        colour, stem = COLOURS[index], f"{scheduler}{index}"
        said = f"seed: {index}\nsteps: 20\nscheduler: {scheduler}"
        daemon.drop("inbox/1-text", f"{stem}.txt", f"---\n{said}\nstop_at: 8\n---\n{prompt}")
        daemon.drop("inbox/1-text", f"{stem}-plain.txt", f"---\n{said}\n---\n{prompt}")
        (proof,) = daemon.found(f"hold/2-diffuse/{stem}.*.proof.png")
        paint(proof, colour)
        daemon.command("release", stem)
        (made,) = daemon.found(f"pictures/{stem}.*.png")
        (plain,) = daemon.found(f"pictures/{stem}-plain.*.png")
        left.append(error(pixels(made), colour) / error(pixels(plain), colour))
    assert np.mean(left) <= 0.5


def test_an_untouched_proof_leaves_the_picture_as_it_would_have_been(daemon: RunningDaemon) -> None:
    said = "seed: 5\nsteps: 20\nscheduler: dpmpp_2m"
    daemon.drop("inbox/1-text", "same.txt", f"---\n{said}\nstop_at: 8\n---\n{PROMPTS[0]}")
    daemon.drop("inbox/1-text", "same-plain.txt", f"---\n{said}\n---\n{PROMPTS[0]}")
    daemon.found("hold/2-diffuse/same.*.proof.png")
    daemon.command("release", "same")
    (made,) = daemon.found("pictures/same.*.tiff")
    (plain,) = daemon.found("pictures/same-plain.*.tiff")
    assert (tiffsd.read(made).tensors["picture"] == tiffsd.read(plain).tensors["picture"]).all()


def test_what_is_painted_is_shown_before_it_is_approved_and_can_be_applied_twice(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "twice.txt", f"---\nseed: 7\nsteps: 20\nscheduler: ddim\nstop_at: 8\n---\n{PROMPTS[1]}")
    for colour, place in ((COLOURS[0], slice(8, 40)), (COLOURS[1], slice(80, 112))):
        (proof,) = daemon.found("hold/2-diffuse/twice.*.proof.png")
        levels = pixels(proof).copy()
        levels[place, place] = colour
        Image.fromarray(levels).save(proof)
        (preview,) = daemon.found(f"previews/{proof.name.replace('.proof', '')}")
        daemon.command("apply", "twice")
        daemon.found(f"done/*/{proof.name}")
        assert preview.exists()
    daemon.found("hold/2-diffuse/twice.*.proof.png")
    daemon.command("release", "twice")
    (made,) = daemon.found("pictures/twice.*.png")
    picture = pixels(made).astype(float)
    for colour, place in ((COLOURS[0], slice(16, 32)), (COLOURS[1], slice(88, 104))):
        assert np.abs(picture[place, place] - colour).mean() < 80
