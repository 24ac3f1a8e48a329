"""Another engine behind the real service, made up from the contract: no file of the program is touched for it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import tiffsd
from daemon.compute.protocol import Engine, EngineOptions
from daemon.errors import ClusterLost, ComputeLost, NodeLost, WorkerDied
from daemon.service.service import Service
from tests import tiny
from tests.parts import PROMPT, SEED, SIZE, STEPS, generator, one_piece
from tests.service.test_service import config_of
from tests.service.toy_engines import Here, Losing

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]

GUIDANCE = 5.0
WORDS = f"---\nseed: {SEED}\nsteps: {STEPS}\nscheduler: ddim\nguidance_scale: {GUIDANCE}\n---\n{PROMPT}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("models") / "tiny", version=2)


@pytest.fixture
def served(folder: Path, tmp_path: Path) -> Callable[[Engine], Path]:
    """A function that lets a daemon with an engine work off one prompt, and gives its spool."""

    def serve(engine: Engine) -> Path:
        models = {"tiny": {"path": str(folder), "defaults": {"width": SIZE, "height": SIZE}}}
        config = config_of(tmp_path, models=models, defaults={"model": "tiny"}, previews={"enabled": False})
        service = Service(config, engine=engine)
        service.spool.create()
        (service.spool.root / "inbox/1-text/cat.txt").write_text(WORDS)
        service.run_once()
        return service.spool.root

    return serve


def test_an_engine_that_computes_in_this_process_makes_the_picture_of_the_pipeline_in_one_piece(
    served: Callable[[Engine], Path], folder: Path
) -> None:
    engines: list[Here] = []

    def engine(options: EngineOptions) -> Here:
        engines.append(Here(options))
        return engines[0]

    (picture,) = served(engine).glob("pictures/cat.*.tiff")
    assert engines[0].stages == ["text", "diffuse", "decode"]
    assert engines[0].ticks > 2
    whole = one_piece(folder, "ddim")(
        PROMPT,
        width=SIZE,
        height=SIZE,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=generator(),
        output_type="pt",
    ).images[0]
    found = torch.from_numpy(np.array(tiffsd.read(picture).tensors["picture"]))
    assert float((found.clamp(0, 1) - whole.permute(1, 2, 0)).abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("losses", "fate"),
    [
        ([WorkerDied("it died")], "pictures/cat.*.png"),
        ([WorkerDied("it died"), WorkerDied("it died")], "failed/1-text/cat.*/error.txt"),
        ([NodeLost("the machine is gone")], "inbox/1-text/cat.txt"),
        ([ClusterLost("no machine answers")], "inbox/1-text/cat.txt"),
    ],
    ids=["died", "died twice", "node", "cluster"],
)
def test_of_a_loss_the_kind_decides_what_becomes_of_the_file(
    losses: list[ComputeLost], fate: str, served: Callable[[Engine], Path]
) -> None:
    spool = served(partial(Losing, losses=losses))
    assert len(list(spool.glob(fate))) == 1
    assert len(list(spool.glob("inbox/*/cat*")) + list(spool.glob("failed/*/*")) + list(spool.glob("pictures/*.png"))) == 1
