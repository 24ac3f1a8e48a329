"""Make the pictures that are kept of a version, with the code of that version:

    git worktree add ../earlier b155cc9 && cd ../earlier && python setup.py -q egg_info
    PYTHONPATH=. python ../tiffsd/tests/jobs/kept/keep.py

Everything but the table below comes from the checkout in which this runs. What is there already is not made again.
"""

import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from daemon.models.processor import computed_on
from daemon.models.registry import Models
from daemon.settings.config import Config
from tests import originals
from tests.jobs.chain import Chain

HERE = Path(__file__).parent
PICTURES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sd1": ("sd1", {"scheduler": "euler"}),
    "sd1-end_at": ("sd1", {"scheduler": "dpm2_a", "end_at": 3}),
    "sd2": ("sd2", {"scheduler": "heun"}),
    "sd2-v": ("sd2-v", {"scheduler": "dpmpp_2m"}),
    "sdxl": ("sdxl", {"scheduler": "euler"}),
    "sdxl-ddim": ("sdxl", {"scheduler": "ddim"}),
    "refiner": ("refiner", {"scheduler": "lms"}),
}
"""Of each picture the kind of its model, and what else it was asked for."""
ASKED = {"steps": 6, "guidance_scale": 5.0, "width": 32, "height": 32, "seed": 3, "negative_prompt": "a blue dog"}


class Told(Chain):
    """A chain whose results say what computed them, as those of a worker do."""

    def _call(self, *call: Any) -> Any:  # which each version gives in its own way
        made, facts = super()._call(*call)
        return made, {**facts, "software": computed_on("cpu")}

    def picture(self, file: Path) -> Path:
        """The PNG that a prompt, or a picture with a recipe, becomes."""
        noise = self.made("text", {"principal": file})["inbox/2-diffuse"]
        latents = self.made("diffuse", {"principal": noise})["inbox/3-decode"]
        self.made("decode", {"principal": latents})
        return max((self.folder / "pictures").glob("*.png"), key=lambda path: path.stat().st_mtime_ns)


def chain(kind: str, folder: Path, *, single: bool = True) -> Told:
    """What runs a model of this kind: one file, with nothing beside it that would say of the scheduler, or the folder."""
    whole = originals.folder(folder / "model", kind)
    said = {"path": str(whole)}
    if single:
        file = originals.write(originals.weights(whole, kind), folder / "model.safetensors")
        beside = originals.configurations(whole, folder / "configurations", "scheduler")
        said = {"path": str(file), "parts": str(beside)}
    config = Config.model_validate({"folder": folder, "models": {"tiny": said}, "defaults": {"model": "tiny"}})
    return Told(config, Models(1 << 30), folder / "spool", folder / "embeddings")


def main() -> None:
    """Make what is missing of the version that runs this."""
    torch.set_num_threads(1)
    for name, (kind, asked) in PICTURES.items():
        target = HERE / f"{name}-{version('tiffsd')}.png"
        if target.exists():
            continue
        with tempfile.TemporaryDirectory(prefix="tiffsd-") as folder:
            prompt = Path(folder, "cat.txt")
            head = "\n".join(f"{key}: {value}" for key, value in {**ASKED, **asked}.items())
            prompt.write_text(f"---\n{head}\n---\na red cat\n", encoding="utf-8")
            target.write_bytes(chain(kind, Path(folder)).picture(prompt).read_bytes())
        sys.stdout.write(f"{target.name}: {target.stat().st_size / 1000:.1f} kB\n")


if __name__ == "__main__":
    main()
