"""Paint that is held, through files: what a stop writes goes on as if there had been none, and says what was held."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiffsd
from daemon.jobs.intake.files import InputSources
from daemon.jobs.request import StageCall, apply_call
from daemon.models.registry import Models
from daemon.settings.config import Config
from daemon.stages.loop import BLOCKS, ESTIMATE, HELD, HELD_MASK, PAINTED, SHOWN
from tests.jobs.chain import Chain
from tests.opening import request_for

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]

PROMPT = "---\nsteps: 6\nstop_at: [2, 4]\nseed: 1\nscheduler: {}\n---\na red house by the sea"
HALF, DONE, STEPS = "hold/2-diffuse", "inbox/3-decode", "steps"


def painted(chain: Chain, file: Path) -> Path:
    """A file of half-done latents with paint in them, as it is after somebody asked for it."""
    request = request_for("diffuse", {"principal": file}, InputSources(chain.config, chain.embeddings))
    assert request.source is not None
    latents, call = request.tensors["latents"], apply_call(request, chain.config)
    shown = chain._call(StageCall("decode", {"latents": latents}, call.settings))[0]["picture"].clip(0, 1)
    blocks = np.zeros(latents.shape[1:], bool)
    blocks[4:9, 5:12] = True
    paint = np.where(blocks.repeat(8, 0).repeat(8, 1)[..., None], np.float32([0.9, 0.1, 0.1]), shown)
    given = {**request.tensors, ESTIMATE: latents, SHOWN: shown, PAINTED: paint, BLOCKS: blocks}
    tensors, facts = chain._call(replace(call, tensors=given))
    header = replace(request.source.header, id=tiffsd.new_id())
    assert (facts["state"], facts["step"], facts["sigma"]) == (header.state, header.step, header.sigma)
    tiffsd.write(file.with_name("painted.tiff"), tiffsd.Artifact(header, {k: v for k, v in tensors.items() if k != ESTIMATE}))
    return file.with_name("painted.tiff")


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_a_file_that_stops_again_holds_its_paint_on(models: Models, tmp_path: Path, scheduler: str) -> None:
    chain, prompt, beside = Chain(Config(), models, tmp_path, tmp_path), tmp_path / "cat.txt", tmp_path / "cat.yaml"
    prompt.write_text(PROMPT.format(scheduler), encoding="utf-8")
    beside.write_text("stop_at: 6\ndump_every: 4\n", encoding="utf-8")
    noise = chain.made("text", {"principal": prompt})["inbox/2-diffuse"]
    half = painted(chain, chain.made("diffuse", {"principal": noise})[HALF])
    in_one_go = chain.made("diffuse", {"principal": half, ".yaml": beside})
    stopped = chain.made("diffuse", {"principal": half})[HALF]
    whole, rest = (tiffsd.read(path) for path in (in_one_go[DONE], chain.made("diffuse", {"principal": stopped})[DONE]))
    np.testing.assert_array_equal(rest.tensors["latents"], whole.tensors["latents"])

    later, dumped = tiffsd.read(stopped), tiffsd.read(in_one_go[STEPS])
    assert (later.header.step, later.tensors[HELD_MASK].sum()) == (4, 35)
    for name in HELD:
        np.testing.assert_array_equal(later.tensors[name], dumped.tensors[name])
    assert not rest.tensors.keys() & {*HELD}
    assert later.header.recipe["paint_hold"] == whole.header.recipe["paint_hold"] == 0.98
    notes = whole.header.history[-1]["notes"]
    assert any(note.startswith("what was painted (35 blocks) was held until step") for note in notes)


def test_what_is_painted_by_hand_over_held_paint_counts(models: Models, tmp_path: Path) -> None:
    chain, prompt = Chain(Config(), models, tmp_path, tmp_path), tmp_path / "cat.txt"
    prompt.write_text(PROMPT.format("ddim").replace("[2, 4]", "[2, 3]"), encoding="utf-8")
    noise = chain.made("text", {"principal": prompt})["inbox/2-diffuse"]
    half = tiffsd.read(painted(chain, chain.made("diffuse", {"principal": noise})[HALF]))
    changed = half.tensors["latents"].copy()
    changed[:, 4, 5] += 1
    by_hand = tiffsd.edit.paste(replace(half, tensors={**half.tensors, "latents": changed}), half, left=0, top=0)
    tiffsd.write(tmp_path / "hand.tiff", by_hand)
    request = request_for("diffuse", {"principal": tmp_path / "hand.tiff"}, InputSources(chain.config, chain.embeddings))
    assert request.tensors[HELD_MASK].sum() == 34
    stopped = tiffsd.read(chain.made("diffuse", {"principal": tmp_path / "hand.tiff"})[HALF])
    assert not stopped.tensors[HELD_MASK][4, 5]
    assert stopped.tensors[HELD_MASK].sum() == 34
