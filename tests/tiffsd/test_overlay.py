"""The picture of before that goes along with latents under a mask: what survives an editor, and what painting opens of its mask."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiffsd
from tests.artifacts import file_of, latents
from tiffsd import State, edit
from tiffsd.artifact import reconcile
from tiffsd.canvas import Canvas, paint
from tiffsd.overlay import OVERLAY, OVERLAY_LATENTS, OVERLAY_MASK, OVERLAYS, PAINTED, levels_of, opened_where

RIGHT_HALF = np.repeat(np.uint8([0, 255]), 64)[None].repeat(128, axis=0)


def masked(state: State = State.FINAL, **more: np.ndarray) -> tiffsd.Artifact:
    """Latents of 16x16, for a picture of 128x128, under a mask that is white to the right."""
    made = latents(state=state)
    overlay = np.random.default_rng(1).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return replace(made, tensors={**made.tensors, OVERLAY: overlay, OVERLAY_MASK: RIGHT_HALF, **more})


def painted_on(artifact: tiffsd.Artifact, *places: tuple[int, int]) -> Canvas:
    """The canvas with white dots on the first channel."""
    planes = paint(artifact.tensors["latents"], artifact.header).copy()
    for row, column in places:
        planes[0, row, column] = 1.0
    return Canvas(planes)


def opened(*places: tuple[int, int]) -> np.ndarray:
    mask = RIGHT_HALF.copy()
    for row, column in places:
        mask[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 255
    return mask


def read_again(artifact: tiffsd.Artifact, canvas: Canvas) -> tiffsd.Artifact:
    return reconcile(artifact.header, canvas, artifact.tensors, name="cat.tiff")


def test_painting_where_the_mask_is_black_opens_it_there() -> None:
    before = masked()
    after = read_again(before, painted_on(before, (2, 3), (15, 0)))
    np.testing.assert_array_equal(after.tensors[OVERLAY_MASK], opened((2, 3), (15, 0)))
    np.testing.assert_array_equal(after.tensors[OVERLAY], before.tensors[OVERLAY])
    assert PAINTED in after.notes


def test_painting_where_it_is_white_changes_nothing_of_it() -> None:
    before = masked()
    after = read_again(before, painted_on(before, (2, 12)))
    assert after.painted == 1
    np.testing.assert_array_equal(after.tensors[OVERLAY_MASK], RIGHT_HALF)
    assert PAINTED not in after.notes


def test_what_is_painted_on_half_done_latents_gives_way_in_the_loop_and_opens_nothing() -> None:
    before = masked(State.PARTIAL)
    after = read_again(before, painted_on(before, (2, 3)))
    np.testing.assert_array_equal(after.tensors[OVERLAY_MASK], RIGHT_HALF)


def test_what_an_editor_dropped_comes_back_from_the_original_and_is_opened_too() -> None:
    before = masked()
    bare = tiffsd.Artifact(before.header, {"latents": before.tensors["latents"]}, canvas=painted_on(before, (2, 3)))
    after = tiffsd.repair(bare, before)
    np.testing.assert_array_equal(after.tensors[OVERLAY_MASK], opened((2, 3)))
    np.testing.assert_array_equal(after.tensors[OVERLAY], before.tensors[OVERLAY])


def test_pages_of_another_size_lose_all_of_it() -> None:
    before = masked(mask=np.ones((16, 16), np.float32))
    header = replace(before.header, layout=tiffsd.Layout.PAGES)
    after = read_again(replace(before, header=header), Canvas(paint(before.tensors["latents"], header)[:, :8, 4:12]))
    assert after.tensors["latents"].shape == (4, 8, 8)
    assert not {"mask", *OVERLAYS} & after.tensors.keys()
    assert "the mask has the size of before and was dropped" in after.notes


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    before = masked()
    (tmp_path / "cat.tiff").write_bytes(file_of(before))
    after = tiffsd.read(tmp_path / "cat.tiff")
    for name in (OVERLAY, OVERLAY_MASK):
        np.testing.assert_array_equal(after.tensors[name], before.tensors[name])
        assert after.tensors[name].dtype == np.uint8


def test_a_crop_cuts_it_to_the_pixel_and_what_is_at_the_size_of_latents_by_the_grid() -> None:
    before = masked()
    before = replace(before, tensors={**before.tensors, OVERLAY_LATENTS: before.tensors["latents"] + 1})
    after = edit.crop(before, tiffsd.Region(48, 32, left=40, top=16))
    np.testing.assert_array_equal(after.tensors[OVERLAY], before.tensors[OVERLAY][16:48, 40:88])
    np.testing.assert_array_equal(after.tensors[OVERLAY_MASK], RIGHT_HALF[16:48, 40:88])
    np.testing.assert_array_equal(after.tensors[OVERLAY_LATENTS], after.tensors["latents"] + 1)


def test_what_a_script_changes_is_opened_as_what_is_painted() -> None:
    before = masked()
    dark = replace(before, tensors={**before.tensors, "latents": before.tensors["latents"] - 1})
    after = edit.paste(dark, into=before, left=16, top=32, region=tiffsd.Region(8, 8))
    np.testing.assert_array_equal(after.tensors[OVERLAY_MASK], opened((4, 2)))
    assert PAINTED in after.header.history[-1]["notes"]


@pytest.mark.parametrize("mask", [np.zeros((5, 5), np.uint8), np.zeros((128, 128), np.float32)])
def test_a_mask_that_does_not_fit_is_left_alone(mask: np.ndarray) -> None:
    assert opened_where({OVERLAY_MASK: mask}, np.ones((16, 16), bool))[OVERLAY_MASK] is mask


def test_black_is_0_and_white_is_255_and_what_lies_between_is_the_nearest() -> None:
    assert levels_of(np.float32([[0, 0.5, 1, 2, -1]])).tolist() == [[0, 128, 255, 255, 0]]
