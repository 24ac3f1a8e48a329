"""Photos beyond the limit, which are brought to the size of the pictures of the model that makes them anew."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daemon.jobs.intake.files import InputSources
from daemon.settings.config import Config
from tests.opening import request_for


def config_of(folder: Path) -> Config:
    large = {"path": str(folder / "large"), "defaults": {"width": 256, "height": 256}}
    return Config.model_validate({"limits": {"pixels": 100_000}, "models": {**Config().models, "large": large}})


@pytest.mark.parametrize("stage", ["encode", "invert"])
@pytest.mark.parametrize(
    ("said", "beside", "size"),
    [
        (None, "prompt: a cat", (144, 112)),
        (None, "prompt: a cat\nmodel: large", (288, 224)),
        ("a cat\nSteps: 4, Seed: 1, Model: large", "steps: 5", (288, 224)),
        ("a cat\nSteps: 4, Seed: 1, Model: large", "model: demo", (144, 112)),
        ("a cat\nSteps: 4, Seed: 1, Model: large", "width: 64\nheight: 64", (64, 64)),
    ],
)
def test_a_large_photo_gets_the_size_of_the_model_that_is_meant(
    stage: str, said: str | None, beside: str, size: tuple[int, int], tmp_path: Path
) -> None:
    options: dict[str, Any] = {}
    if said is not None:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("parameters", said)
    Image.new("RGB", (400, 300)).save(tmp_path / "cat.png", **options)
    (tmp_path / "cat.yaml").write_text(beside)
    members = {"principal": tmp_path / "cat.png", ".yaml": tmp_path / "cat.yaml"}
    request = request_for(stage, members, InputSources(config_of(tmp_path), tmp_path))
    assert (request.settings.width, request.settings.height) == size
    assert request.tensors["picture"].shape == (size[1], size[0], 3)
