"""Glances at a picture in the making: the estimate of the finished latents, from the loop to the folder of previews."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tiffsd
from daemon.jobs.previews import LivePreview
from daemon.models.registry import Models
from daemon.stages import diffuse
from tests import tiny
from tests.parts import STEPS, quiet, settings, start

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "epsilon": tiny.stable_diffusion(root / "epsilon", version=1),
        "v": tiny.stable_diffusion(root / "v", version=2),
        "flow": tiny.flux(root / "flow"),
    }


def watched(models: Models, folder: Path, **more: Any) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
    """The estimates by step, and the finished latents."""
    estimates: dict[int, torch.Tensor] = {}

    def progress(step: int, steps: int, estimate: torch.Tensor | None = None, /) -> None:
        assert steps == STEPS
        if estimate is not None:
            estimates[step] = estimate

    chosen = settings(folder, **more)
    out, _ = diffuse.run(models, start(models, chosen), chosen, progress)
    return estimates, out["latents"]


@pytest.mark.parametrize(
    ("kind", "scheduler"),
    [
        *(
            (kind, name)
            for kind in ("epsilon", "v")
            for name in ("ddim", "euler", "dpmpp_2m_karras", "unipc", "pndm", "heun", "dpm2_a")
        ),
        ("flow", "flow_euler"),
    ],
)
def test_the_estimate_of_a_step_is_what_end_at_gives_there(
    models: Models, folders: dict[str, Path], kind: str, scheduler: str
) -> None:
    estimates, finished = watched(models, folders[kind], scheduler=scheduler, preview_every=2)
    assert list(estimates) == list(range(2, STEPS, 2))
    assert all(estimate.shape == finished.shape for estimate in estimates.values())
    for step, estimate in estimates.items():
        _, ended = watched(models, folders[kind], scheduler=scheduler, end_at=step)
        torch.testing.assert_close(estimate, ended, rtol=1e-4, atol=1e-4)


def test_half_done_latents_come_with_the_finished_ones_as_the_loop_sees_them(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["flow"], scheduler="flow_euler")
    stopped, _ = diffuse.run(models, start(models, chosen), {**chosen, "stop_at": 3, "dump_every": 2}, quiet)
    for name, step in (("estimate", 3), ("steps.2.estimate", 2)):
        _, ended = watched(models, folders["flow"], scheduler="flow_euler", end_at=step)
        torch.testing.assert_close(stopped[name], ended, rtol=1e-4, atol=1e-4)


def test_watching_changes_no_bit_and_nobody_watches_unasked(models: Models, folders: dict[str, Path]) -> None:
    estimates, finished = watched(models, folders["epsilon"], scheduler="euler_a", preview_every=1)
    assert list(estimates) == list(range(1, STEPS))
    unseen, same = watched(models, folders["epsilon"], scheduler="euler_a")
    assert unseen == {}
    assert torch.equal(finished, same)


def test_a_running_jobs_picture_is_there_as_long_as_it_runs(tmp_path: Path) -> None:
    (tmp_path / "previews").mkdir()
    live = LivePreview(tmp_path, "cat.3f9a1c2e", {"prompt_embeds": np.zeros((77, 768), np.float32)}, model="sd15")
    live.show(np.zeros((4, 16, 32), np.float32))
    path = tmp_path / "previews" / "cat.3f9a1c2e.png"
    with Image.open(path) as image:
        assert image.size == (256, 128)
        assert image.getpixel((0, 0)) == (128, 128, 128)
    colourful = np.full((4, 16, 32), 1.0, np.float32)
    live.show(colourful)
    with Image.open(path) as image:
        expected = (np.array(tiffsd.preview.SD1.factors).sum(axis=0) / 2 + 0.5) * 255
        assert np.abs(np.array(image.getpixel((0, 0))) - expected).max() <= 1
    live.end()
    assert not path.exists()


def test_a_glance_that_cannot_be_written_costs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    live = LivePreview(tmp_path / "gone", "cat.3f9a1c2e", {}, model="sd15")
    live.show(np.zeros((4, 8, 8), np.float32))
    live.end()
    assert "no preview of cat.3f9a1c2e" in caplog.text
