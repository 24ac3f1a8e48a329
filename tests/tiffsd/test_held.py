"""Paint that the loop holds of half-done latents: what survives an editor, and where it is let go of."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiffsd
from tests.artifacts import file_of, latents
from tiffsd import State, edit
from tiffsd.artifact import check, reconcile
from tiffsd.canvas import Canvas, paint
from tiffsd.held import HELD, HELD_LATENTS, HELD_MASK, HELD_NOISE, RELEASED, released_where
from tiffsd.latent_file import SCALINGS, write_latent
from tiffsd.region import Region

BLOCKS = np.zeros((16, 16), bool)
BLOCKS[2:5, 3:9] = True


def held(**more: np.ndarray) -> tiffsd.Artifact:
    """Half-done latents of 16x16 that hold paint in 18 blocks."""
    made = latents(state=State.PARTIAL, step=8, steps=20, sigma=1.5)
    noise = np.random.default_rng(1).standard_normal((2, 4, 16, 16)).astype(np.float32) * BLOCKS
    return replace(made, tensors={**made.tensors, HELD_MASK: BLOCKS, HELD_LATENTS: noise[0], HELD_NOISE: noise[1], **more})


def painted_on(artifact: tiffsd.Artifact, *places: tuple[int, int]) -> Canvas:
    """The canvas with white dots on the first channel."""
    planes = paint(artifact.tensors["latents"], artifact.header).copy()
    for row, column in places:
        planes[0, row, column] = 1.0
    return Canvas(planes)


def read_again(artifact: tiffsd.Artifact, canvas: Canvas) -> tiffsd.Artifact:
    return reconcile(artifact.header, canvas, artifact.tensors, name="cat.tiff")


def let_go(*places: tuple[int, int]) -> np.ndarray:
    mask = BLOCKS.copy()
    for place in places:
        mask[place] = False
    return mask


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    before = held()
    tiffsd.write(tmp_path / "half.tiff", before)
    after = tiffsd.read(tmp_path / "half.tiff")
    for name in HELD:
        np.testing.assert_array_equal(after.tensors[name], before.tensors[name])
        assert after.tensors[name].dtype == before.tensors[name].dtype
    assert after.notes == ()


def test_what_is_painted_by_hand_is_not_held() -> None:
    before = held()
    after = read_again(before, painted_on(before, (2, 3), (10, 10)))
    np.testing.assert_array_equal(after.tensors[HELD_MASK], let_go((2, 3)))
    for name in (HELD_LATENTS, HELD_NOISE):
        np.testing.assert_array_equal(after.tensors[name], before.tensors[name])
    assert RELEASED in after.notes


def test_paint_beside_what_is_held_changes_nothing_of_it() -> None:
    before = held()
    after = read_again(before, painted_on(before, (10, 10)))
    np.testing.assert_array_equal(after.tensors[HELD_MASK], BLOCKS)
    assert (after.painted, RELEASED in after.notes) == (1, False)


def test_a_mask_of_shares_keeps_them_where_nothing_was_painted() -> None:
    before = held(**{HELD_MASK: BLOCKS * np.float32(0.5)})
    after = read_again(before, painted_on(before, (3, 4)))
    np.testing.assert_array_equal(after.tensors[HELD_MASK], let_go((3, 4)) * np.float32(0.5))
    assert after.tensors[HELD_MASK].dtype == np.float32


def test_what_an_editor_dropped_comes_back_from_the_original() -> None:
    before = held()
    bare = tiffsd.Artifact(before.header, {"latents": before.tensors["latents"]}, canvas=painted_on(before, (4, 8)))
    after = tiffsd.repair(bare, before)
    np.testing.assert_array_equal(after.tensors[HELD_MASK], let_go((4, 8)))
    np.testing.assert_array_equal(after.tensors[HELD_NOISE], before.tensors[HELD_NOISE])


def test_pages_of_another_size_lose_all_of_it() -> None:
    before = held()
    paged = replace(before, header=replace(before.header, layout=tiffsd.Layout.PAGES))
    canvas = Canvas(paint(paged.tensors["latents"], paged.header)[:, :8])
    after = read_again(paged, canvas)
    assert not after.tensors.keys() & {*HELD}
    assert "the paint that the loop held has the size of before and was dropped" in after.notes


def test_a_crop_cuts_it_by_the_grid() -> None:
    after = edit.crop(held(), Region(64, 48, left=16, top=8))
    np.testing.assert_array_equal(after.tensors[HELD_MASK], BLOCKS[1:7, 2:10])
    np.testing.assert_array_equal(after.tensors[HELD_NOISE], held().tensors[HELD_NOISE][:, 1:7, 2:10])


def test_what_a_script_changes_is_let_go_of_too() -> None:
    before = held()
    other = latents(state=State.PARTIAL, step=8, steps=20, sigma=1.5, seed=9)
    after = edit.paste(other, before, left=24, top=16, region=Region(16, 8))
    np.testing.assert_array_equal(after.tensors[HELD_MASK], let_go((2, 3), (2, 4)))
    assert RELEASED in after.header.history[-1]["notes"]
    np.testing.assert_array_equal(edit.with_settings(before, {"hold": "decode"}).tensors[HELD_MASK], BLOCKS)


def test_comfyui_that_paints_is_a_hand_that_paints() -> None:
    before, file = held(), io.BytesIO()
    write_latent(file, before, SCALINGS["sd1"])
    written = bytearray(file.getvalue())
    length = int.from_bytes(written[:8], "little")
    place = 8 + length + json.loads(written[8 : 8 + length])["latent_tensor"]["data_offsets"][0] + 4 * (2 * 16 + 3)
    unchanged = tiffsd.read(io.BytesIO(written), name="half.latent")
    written[place : place + 4] = np.float32(9).tobytes()
    after = tiffsd.read(io.BytesIO(written), name="half.latent")
    np.testing.assert_array_equal(unchanged.tensors[HELD_MASK], BLOCKS)
    assert after.painted == 1
    np.testing.assert_array_equal(after.tensors[HELD_MASK], let_go((2, 3)))


@pytest.mark.parametrize("mask", [np.ones((3, 5), bool), np.zeros((16, 16), bool)])
def test_a_mask_that_does_not_fit_or_holds_nothing_is_left_alone(mask: np.ndarray) -> None:
    assert released_where({HELD_MASK: mask}, np.ones((16, 16), bool))[HELD_MASK] is mask


def test_ranks_are_checked_before_it_is_written() -> None:
    with pytest.raises(tiffsd.BadShape, match="held_mask"):
        check(held(**{HELD_MASK: BLOCKS[None]}))
    assert file_of(held()) is not None
