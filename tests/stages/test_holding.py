"""Paint that is held: through stops, under a mask, upon paint that is held already, from noise on; and put in without the loop."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.errors import InputError
from daemon.models.registry import Models
from daemon.stages import apply, decode, diffuse
from daemon.stages.loop import BLOCKS, ESTIMATE, HELD, HELD_LATENTS, HELD_MASK, HELD_NOISE, PAINTED, SHOWN
from tests import tiny
from tests.parts import STEPS, Tensors, embeddings, quiet, settings, start, through_numpy

HALF, LATER = 2, 4
LOOPS = [
    *(("sd1", name) for name in ("ddim", "euler", "euler_a", "dpmpp_2m", "heun", "pndm")),
    ("sd3", "flow_euler"),
    ("flux", "flow_euler"),
]
MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sd1-inpainting": lambda path: tiny.stable_diffusion(path, inpainting=True),
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}
ROOM = {"memory_bytes": 10**9, "scratch": "."}

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp("models") / name for name in MAKERS}
    for name, path in made.items():
        MAKERS[name](path)
    return made


def paint_on(models: Models, chosen: dict[str, Any], clean: torch.Tensor, rows: slice, columns: slice) -> Tensors:
    """A picture of these finished latents with a red rectangle on it over rows and columns of blocks."""
    shown, _ = decode.run(models, {"latents": clean}, chosen, quiet)
    picture = (shown["picture"].clamp(0, 1) * 255).round() / 255
    painted, factor = picture.clone(), picture.shape[0] // clean.shape[1]
    blocks = torch.zeros(clean.shape[1:], dtype=torch.bool)
    blocks[rows, columns] = True
    painted[blocks.repeat_interleave(factor, 0).repeat_interleave(factor, 1)] = torch.tensor([1.0, 0.0, 0.0])
    return {SHOWN: picture, PAINTED: painted, BLOCKS: blocks}


class Half:
    """Half-done latents of a loop, and a person who paints on their proof."""

    def __init__(self, models: Models, folder: Path, name: str, **more: Any) -> None:
        self.models, self.chosen = models, settings(folder, scheduler=name, room=ROOM, **more)
        self.begun = start(models, self.chosen)
        self.tensors, _ = diffuse.run(models, self.begun, {**self.chosen, "stop_at": HALF}, quiet)

    def painted(self, tensors: Tensors | None = None, rows: slice = slice(1, 3), columns: slice = slice(1, 4)) -> Tensors:
        tensors = self.tensors if tensors is None else tensors
        return {**tensors, **paint_on(self.models, self.chosen, tensors[ESTIMATE], rows, columns)}

    def on(self, tensors: Mapping[str, torch.Tensor], step: int = HALF, **more: Any) -> tuple[Tensors, Any]:
        """Go on from a step, with what a file holds of it."""
        given = through_numpy(tensors) | embeddings(self.begun)
        return diffuse.run(self.models, given, {**self.chosen, "state": "partial", "step": step, **more}, quiet)

    def applied(self, tensors: Mapping[str, torch.Tensor], step: int = HALF, **more: Any) -> tuple[Tensors, Any]:
        return apply.run(self.models, through_numpy(tensors), {**self.chosen, "state": "partial", "step": step, **more}, quiet)


@pytest.fixture
def half(models: Models, folders: dict[str, Path]) -> Half:
    return Half(models, folders["sd1"], "euler")


@pytest.mark.parametrize(("family", "name"), LOOPS)
def test_held_paint_is_held_on_after_a_stop_to_the_bit(models: Models, folders: dict[str, Path], family: str, name: str) -> None:
    half = Half(models, folders[family], name)
    whole, facts = half.on(half.painted(), dump_every=2, paint_hold=0.999)
    stopped, of_stop = half.on(half.painted(), stop_at=LATER, paint_hold=0.999)
    assert stopped.keys() >= {*HELD}
    assert any("is held, also when the loop goes on" in note for note in of_stop["notes"])
    held = stopped[HELD_MASK]
    assert torch.equal(stopped[ESTIMATE][:, held], stopped[HELD_LATENTS][:, held])
    rest, said = half.on(stopped, LATER, paint_hold=0.999)
    assert torch.equal(rest["latents"], whole["latents"])
    assert any("was held until step" in note for note in said["notes"])
    assert (facts["painted_blocks"], facts["paint_hold"], said["paint_hold"]) == (6, 0.999, 0.999)
    assert not rest.keys() & {*HELD}
    dumped = {key.removeprefix(f"steps.{LATER}."): tensor for key, tensor in whole.items() if key.startswith(f"steps.{LATER}.")}
    for name, tensor in stopped.items():
        assert torch.equal(dumped[name], tensor), name
    again, _ = half.on({name: tensor for name, tensor in stopped.items() if name not in HELD}, LATER)
    assert not torch.equal(again["latents"], whole["latents"])


@pytest.mark.parametrize(("family", "name"), LOOPS)
def test_applied_paint_goes_on_as_paint_that_the_loop_was_given(
    models: Models, folders: dict[str, Path], family: str, name: str
) -> None:
    half = Half(models, folders[family], name)
    whole, _ = half.on(half.painted())
    applied, facts = half.applied(half.painted())
    rest, _ = half.on(applied)
    assert torch.equal(rest["latents"], whole["latents"])
    blocks = half.painted()[BLOCKS]
    assert torch.equal(applied["latents"][:, ~blocks], half.tensors["latents"][:, ~blocks])
    assert torch.equal(applied[HELD_MASK], blocks)
    assert not applied.keys() & {SHOWN, PAINTED, BLOCKS}
    assert torch.equal(applied[ESTIMATE][:, blocks], applied[HELD_LATENTS][:, blocks])
    assert torch.equal(applied[ESTIMATE][:, ~blocks], half.tensors[ESTIMATE][:, ~blocks])
    assert [key for key in applied if key.startswith("scheduler.")] == []
    assert torch.equal(applied["generator_state"], half.tensors["generator_state"])
    _, stopped = half.on(half.tensors, stop_at=LATER)
    _, there = half.applied({**half.tensors, **half.painted()}, HALF)
    assert (facts["state"], facts["step"], facts["steps"], facts["painted_blocks"]) == ("partial", HALF, STEPS, 6)
    assert (facts["sigma"] is None) == (stopped["sigma"] is None)
    assert there["sigma"] == facts["sigma"]


def test_applied_half_done_latents_are_as_noisy_as_they_were(half: Half) -> None:
    _, stopped = diffuse.run(half.models, half.begun, {**half.chosen, "stop_at": HALF}, quiet)
    _, facts = half.applied(half.painted())
    assert facts["sigma"] == stopped["sigma"] > 0


@pytest.mark.parametrize(("family", "name"), LOOPS)
@pytest.mark.parametrize("influence", [None, 0.8])
def test_noise_is_half_done_latents_before_the_first_step(
    models: Models, folders: dict[str, Path], family: str, name: str, influence: float | None
) -> None:
    half = Half(models, folders[family], name, latent_influence=influence)
    shown = half.on(half.tensors)[0]["latents"]
    painted = {**half.begun, ESTIMATE: shown, **paint_on(models, half.chosen, shown, slice(1, 3), slice(1, 4))}
    whole, facts = diffuse.run(models, painted, half.chosen, quiet)
    applied, said = apply.run(models, through_numpy(painted), half.chosen, quiet)
    rest, _ = diffuse.run(models, through_numpy(applied), half.chosen, quiet)
    assert (said["state"], said["sigma"], "step" in said) == ("noise", None, False)
    torch.testing.assert_close(rest["latents"], whole["latents"], rtol=0, atol=1e-5)
    blocks = painted[BLOCKS]
    assert torch.equal(applied["latents"][:, ~blocks], half.begun["latents"][:, ~blocks])
    assert facts["painted_blocks"] == 6
    # Unit noise that holds all of a finished picture would not be noise any more.
    assert float((applied["latents"] - half.begun["latents"]).abs().max()) < 0.2 * float((applied[HELD_LATENTS]).abs().max())


def test_noise_begins_with_the_paint_at_the_level_of_the_first_step(models: Models, folders: dict[str, Path]) -> None:
    half = Half(models, folders["sd1"], "euler")
    shown = half.on(half.tensors)[0]["latents"]
    painted = {**half.begun, ESTIMATE: shown, **paint_on(models, half.chosen, shown, slice(1, 3), slice(1, 4))}
    applied, _ = apply.run(models, painted, half.chosen, quiet)
    # Of Euler the loop begins with noise times sqrt(sigma^2 + 1), and finished latents are in it as they are.
    sigma = diffuse.run(models, half.begun, {**half.chosen, "stop_at": 1}, quiet)[1]["sigma"]
    assert sigma > 1
    difference = (applied[HELD_LATENTS] - shown)[:, painted[BLOCKS]]
    moved = (applied["latents"] - half.begun["latents"])[:, painted[BLOCKS]]
    scale = float((difference / moved).median())
    torch.testing.assert_close(moved * scale, difference, rtol=1e-3, atol=1e-3)
    assert scale > sigma


def test_finished_latents_with_paint_are_finished_latents(models: Models, half: Half) -> None:
    finished = half.on(half.tensors)[0]["latents"]
    painted = {"latents": finished, **half.begun, **paint_on(models, half.chosen, finished, slice(1, 3), slice(1, 4))}
    painted["latents"] = finished
    chosen = {**half.chosen, "state": "final", "step": STEPS, "strength": 0.5}
    applied, facts = apply.run(models, painted, chosen, quiet)
    assert (facts["state"], facts["sigma"], facts["step"], facts["steps"]) == ("final", None, STEPS, STEPS)
    assert not applied.keys() & {*HELD}
    one, _ = decode.run(models, {name: painted[name] for name in ("latents", SHOWN, PAINTED, BLOCKS)}, chosen, quiet)
    other, _ = decode.run(models, {"latents": applied["latents"]}, chosen, quiet)
    assert torch.equal(one["picture"], other["picture"])
    for more in ({}, {"enlarged": 1.5, "strength": 0.4}):
        whole, _ = diffuse.run(models, painted, {**chosen, **more}, quiet)
        rest, _ = diffuse.run(models, applied, {**chosen, **more}, quiet)
        assert torch.equal(rest["latents"], whole["latents"])


def test_paint_hold_says_how_long(half: Half) -> None:
    painted = half.painted()
    blocks = painted[BLOCKS]
    made = {until: half.on(painted, **({} if until is None else {"paint_hold": until})) for until in (0.0, None, 0.98, 1.0)}
    assert torch.equal(made[None][0]["latents"], made[0.98][0]["latents"])
    applied, _ = half.applied(painted)
    assert torch.equal(made[1.0][0]["latents"][:, blocks], applied[HELD_LATENTS][:, blocks])
    errors = [float((made[until][0]["latents"] - applied[HELD_LATENTS])[:, blocks].abs().mean()) for until in (0.0, 0.98, 1.0)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[1] > errors[2]
    assert made[1.0][1]["paint_hold"] == 1.0
    assert "what was painted (6 blocks) was held until step 7 of 7 (paint_hold 1)" in made[1.0][1]["notes"]
    assert "what was painted (6 blocks) was put in, and not held (paint_hold 0)" in made[0.0][1]["notes"]
    assert "painted on its proof: 6 of 64 blocks (9%)" in made[0.0][1]["notes"]


def test_nothing_is_held_where_nothing_was_painted(half: Half) -> None:
    plain, facts = half.on(half.tensors)
    asked, said = half.on(half.tensors, paint_hold=0.5)
    assert torch.equal(plain["latents"], asked["latents"])
    assert "paint_hold" not in facts
    assert "paint_hold" not in said
    assert "paint_hold ignored: no paint is held at these steps" in said["notes"]
    assert not any("paint" in note for note in facts["notes"])
    _, stopped = half.on(half.tensors, paint_hold=0.5, stop_at=LATER)
    assert not any("paint_hold" in note for note in stopped["notes"])


def test_new_paint_lies_over_what_is_held(half: Half) -> None:
    stopped, _ = half.on(half.painted(rows=slice(1, 3), columns=slice(1, 4)), stop_at=LATER, paint_hold=1.0)
    applied, _ = half.applied(half.painted(stopped, rows=slice(2, 5), columns=slice(1, 2)), LATER)
    old, new = stopped[HELD_MASK], torch.zeros(8, 8, dtype=torch.bool)
    new[2:5, 1] = True
    assert torch.equal(applied[HELD_MASK], old | new)
    kept = old & ~new
    for name in (HELD_LATENTS, HELD_NOISE):
        assert torch.equal(applied[name][:, kept], stopped[name][:, kept])
        assert float(applied[name][:, ~(old | new)].abs().max()) == 0
    assert bool((applied[HELD_LATENTS] != stopped[HELD_LATENTS])[:, new].any(dim=0).all())
    made, _ = half.on(applied, LATER, paint_hold=1.0)
    held = applied[HELD_MASK]
    assert torch.equal(made["latents"][:, held], applied[HELD_LATENTS][:, held])


@pytest.mark.parametrize("family", ["sd1", "sd1-inpainting"])
def test_under_a_mask_both_count(models: Models, folders: dict[str, Path], family: str) -> None:
    chosen = settings(folders[family], scheduler="euler", room=ROOM)
    begun = start(models, chosen)
    mask = torch.zeros(8, 8)
    mask[:, 4:] = 1  # anew on the right; the paint lies on both sides
    given = {**begun, "mask": mask, "masked_image_latents": begun["latents"] * 0.5}
    said = {**chosen, "state": "final", "strength": 1.0}
    half, _ = diffuse.run(models, given, {**said, "stop_at": HALF}, quiet)
    painted = {**half, "mask": half["mask"], **paint_on(models, chosen, half[ESTIMATE], slice(2, 4), slice(2, 6))}
    going_on = {**chosen, "state": "partial", "step": HALF}
    plain, _ = diffuse.run(models, half | embeddings(begun), going_on, quiet)
    whole, facts = diffuse.run(models, painted | embeddings(begun), going_on, quiet)
    applied, _ = apply.run(models, painted, going_on, quiet)
    rest, _ = diffuse.run(models, applied | embeddings(begun), going_on, quiet)
    assert torch.equal(rest["latents"], whole["latents"])
    assert not any("gives way" in note for note in facts["notes"])
    blocks = painted[BLOCKS]
    name = "image_latents" if family == "sd1" else "masked_image_latents"
    moved = (applied[name] != half[name]).any(dim=0)
    assert torch.equal(moved, blocks if family == "sd1" else blocks & (mask == 0))
    if family == "sd1":
        black = mask == 0
        assert torch.equal(whole["latents"][:, black & ~blocks], plain["latents"][:, black & ~blocks])
        torch.testing.assert_close(whole["latents"][:, black & blocks], applied[name][:, black & blocks])


def test_paint_is_seen_over_the_picture_of_before(models: Models, half: Half) -> None:
    finished = half.on(half.tensors)[0]["latents"]
    before = torch.full((64, 64, 3), 0.25)
    over = {"latents": finished, "overlay": before, "overlay_mask": torch.zeros(64, 64, dtype=torch.uint8)}
    painted = {**over, **paint_on(models, half.chosen, finished, slice(1, 3), slice(1, 4))}
    chosen = {**half.chosen, "state": "final", "step": STEPS}
    seen, facts = decode.run(models, painted, chosen, quiet)
    applied, _ = apply.run(models, painted, chosen, quiet)
    then, _ = decode.run(models, applied, chosen, quiet)
    assert torch.equal(seen["picture"], then["picture"])
    blocks = painted[BLOCKS].repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert torch.equal(seen["picture"][~blocks], before[~blocks])
    assert not torch.equal(seen["picture"][blocks], before[blocks])
    assert facts["painted_blocks"] == 6


def test_paint_that_is_not_whole_is_refused(half: Half) -> None:
    applied, _ = half.applied(half.painted())
    for torn in ({**applied, HELD_NOISE: applied[HELD_NOISE][:, :4]}, {k: v for k, v in applied.items() if k != HELD_NOISE}):
        with pytest.raises(InputError, match="of it held_noise is missing or of another size"):
            half.on(torn)


def test_a_held_mask_of_nothing_holds_nothing(half: Half) -> None:
    applied, _ = half.applied(half.painted())
    nothing = {**applied, HELD_MASK: torch.zeros_like(applied[HELD_MASK])}
    made, facts = half.on(nothing)
    plain, _ = half.on({name: tensor for name, tensor in applied.items() if name not in HELD})
    assert torch.equal(made["latents"], plain["latents"])
    assert "paint_hold" not in facts


def test_without_paint_there_is_nothing_to_apply(half: Half) -> None:
    with pytest.raises(InputError, match="nothing was painted on the proof of these latents"):
        half.applied(half.tensors)
