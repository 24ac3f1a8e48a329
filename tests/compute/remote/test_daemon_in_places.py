"""The daemon with workers in several places makes the pictures that it makes by itself."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiffsd
from tests.compute.remote.boxes import REAL, Boxes
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NAMES = ("cat", "dog", "bird", "house")
Made = dict[str, tuple[np.ndarray, np.ndarray]]


class InPlaces(RunningDaemon):
    """A daemon whose `ssh` is the tests' own."""

    def __init__(self, folder: Path, boxes: Boxes, workers: Sequence[str]) -> None:
        self.surroundings = {"PATH": f"{boxes.folder}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(boxes.folder / "cache")}
        folder.mkdir()
        super().__init__(folder, compute={"workers": list(workers)} if workers else {})

    def made(self) -> Made:
        """The pictures of four prompts, and their latents: all pixels and values, by name."""
        for seed, name in enumerate(NAMES):
            self.drop("inbox/1-text", f"{name}.txt", f"---\nseed: {seed}\nsteps: 4\n---\na red {name}\n")
        pictures = {name: self.found(f"pictures/{name}.*.png", seconds=240)[0] for name in NAMES}
        latents = {name: self.found(f"pictures/{name}.*.tif*", seconds=240)[0] for name in NAMES}
        return {name: (np.asarray(Image.open(pictures[name])), tiffsd.read(latents[name]).tensors["picture"]) for name in NAMES}

    def status(self) -> str:
        """What is said for people."""
        return (self.spool / "status.txt").read_text()


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    return Boxes(tmp_path)


def made_by(tmp_path: Path, name: str, boxes: Boxes, *workers: str) -> tuple[Made, str]:
    daemon = InPlaces(tmp_path / name, boxes, workers)
    try:
        daemon.start()
        made = daemon.made()
        assert daemon.stop() == 0
        return made, daemon.log()
    finally:
        daemon.close()


def test_four_prompts_become_the_same_pictures_here_and_there(tmp_path: Path, boxes: Boxes) -> None:
    boxes.put(script=boxes.far_end(REAL))
    here, _ = made_by(tmp_path, "here", boxes)
    there, told = made_by(tmp_path, "there", boxes, "ssh://box")
    both, _ = made_by(tmp_path, "both", boxes, "local", "ssh://box")
    assert "worker on box: ready, with cpu" in told
    for name in NAMES:
        assert all(np.array_equal(one, other) for one, other in zip(here[name], there[name], strict=True)), name
        assert all(np.array_equal(one, other) for one, other in zip(here[name], both[name], strict=True)), name


@pytest.mark.thorough
def test_prompts_wait_in_their_inbox_while_no_machine_is_reached_and_the_status_says_why(tmp_path: Path, boxes: Boxes) -> None:
    daemon = InPlaces(tmp_path / "there", boxes, ["ssh://box"])
    try:
        daemon.start()
        daemon.drop("inbox/1-text", "cat.txt", "---\nseed: 1\n---\na red cat\n")
        wait_until(
            lambda: "no machine that computes is reached" in daemon.status(), seconds=120, what="the stage says why it rests"
        )
        assert "the worker on box is away since 20" in daemon.status()
        assert "No route to host" in daemon.status()
        assert (daemon.spool / "inbox/1-text/cat.txt").exists()
        boxes.put(script=boxes.far_end(REAL))
        daemon.found("pictures/cat.*.png", seconds=240)
        wait_until(lambda: "box is away" not in daemon.status())
        assert list(daemon.spool.glob("failed/*/*")) == []
        assert daemon.stop() == 0
    finally:
        daemon.close()
