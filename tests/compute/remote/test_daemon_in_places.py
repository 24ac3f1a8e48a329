"""The daemon with workers in several places makes the pictures that it makes by itself."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiffsd
from tests.compute.remote.boxes import REAL, Boxes
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

    def nodes(self) -> dict[str, str]:
        """The state of each place."""
        workers = json.loads((self.spool / "status.json").read_text())["worker"]["workers"]
        return {one["node"]: one["state"] for one in workers}


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
