"""A daemon of the near of two machines, whose workers are on the far one, and what came of its prompts."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tiffsd
from daemon.jobs.running import read_running
from tests.conftest import THREADS
from tests.real.hosts import ADDRESS, Hosts
from tests.running_daemon import RunningDaemon

Pictures = dict[str, np.ndarray]


class FarDaemon(RunningDaemon):
    """`places` are those under `workers`; by default one alone, on the far machine."""

    def __init__(self, folder: Path, hosts: Hosts, *, places: Sequence[str] = (ADDRESS,), **changes: object) -> None:
        folder.mkdir(exist_ok=True)
        self.before = hosts.before
        self.surroundings = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        compute = {"threads": THREADS, "workers": list(places), **hosts.compute}
        super().__init__(folder, compute=compute, **changes)

    def node(self, name: str = "gpu-box") -> dict[str, Any]:
        """What the status says of a machine."""
        said = json.loads((self.spool / "status.json").read_text(encoding="utf-8"))["worker"]["workers"]
        return next(one for one in said if one["node"] == name)

    def step(self, stem: str) -> int:
        """The step that the loop of a prompt has done, 0 where it does not run."""
        return next((job.step for job in read_running(self.spool) if job.stage == "diffuse" and job.name.startswith(f"{stem}.")), 0)


def pictures_of(spool: Path) -> Pictures:
    """The pixels of each finished picture, by its stem."""
    found: Pictures = {}
    for path in sorted((spool / "pictures").glob("*.png")):
        with Image.open(path) as image:
            found[path.name.split(".")[0]] = np.asarray(image)
    return found


def made_once(spool: Path, stems: Sequence[str]) -> None:
    """Assert that each prompt has become one picture, that all lie in done/, and that nothing has failed or is left."""
    made = Counter(path.name.split(".")[0] for path in (spool / "pictures").glob("*.png"))
    assert made == dict.fromkeys(stems, 1)
    assert sorted(path.name for path in spool.glob("done/*/*.txt")) == sorted(f"{stem}.txt" for stem in stems)
    assert [str(path.relative_to(spool)) for path in spool.glob("failed/*/*")] == []
    assert list(spool.glob("inbox/*/*")) == []


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    """The tensors in a TIFFSD file."""
    return dict(tiffsd.read(path).tensors)
