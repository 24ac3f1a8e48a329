"""Editing without an editor: what an edit changes, what it leaves exact, and what it says of itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tiffsd
from tests.artifacts import embedding_of, half_done, latents, picture
from tiffsd import Artifact, BadShape, BadValues, Kind, Layout, Region, State, WrongKind, edit
from tiffsd.difference import compare, heat
from tiffsd.region import parse_corner, parse_region

Edit = Callable[[Artifact], Artifact]


EDITS: dict[str, Edit] = {
    "crop": lambda a: edit.crop(a, Region(64, 48, 16, 8)),
    "paste": lambda a: edit.paste(latents(seed=9), a, left=16, top=8, region=Region(64, 64)),
    "blend": lambda a: edit.blend(a, latents(seed=9), 0.25),
    "scale": lambda a: edit.scale(a, latents=1.25),
    "marry": lambda a: edit.marry(a, embedding_of("a blue tree")),
    "split": lambda a: edit.split(a)[0],
    "set": lambda a: edit.with_settings(a, {"guidance_scale": 3.0}),
    "convert": lambda a: edit.convert(a, layout=Layout.PAGES),
}
REPAINTING = ("crop", "paste", "blend", "scale")


def edits(*names: str) -> Any:
    return pytest.mark.parametrize("name", names or EDITS)


@edits()
def test_an_edit_is_a_new_artifact_that_names_its_parent_and_says_what_was_done(name: str) -> None:
    before = half_done()
    after = EDITS[name](before)
    assert after.header.id != before.header.id
    assert after.header.parent == before.header.id
    assert after.header.history[:-1] == before.header.history
    entry = after.header.history[-1]
    assert (entry["stage"], entry["id"], str(entry["what"]).split()[0]) == ("edit", after.header.id, name)
    assert after.header.extra == before.header.extra
    assert after.header.recipe["unheard"] == [1]


@edits()
def test_an_edit_leaves_its_argument_alone_and_what_it_does_not_name_exact(name: str) -> None:
    before, twin = half_done(), half_done()
    after = EDITS[name](before)
    for tensor in before.tensors:
        np.testing.assert_array_equal(before.tensors[tensor], twin.tensors[tensor])
    kept = {"crop": {"mask", "latents"}, "paste": {"latents"}, "blend": {"latents"}, "scale": {"latents"}}.get(name, set())
    kept |= set(edit.EMBEDDING_TENSORS) if name in ("marry", "split") else set()
    for tensor in before.tensors.keys() - kept - {"scheduler.derivative"}:
        np.testing.assert_array_equal(after.tensors[tensor], before.tensors[tensor])


@edits()
def test_the_schedulers_memory_goes_exactly_where_latents_change(name: str) -> None:
    after = EDITS[name](half_done())
    assert ("scheduler.derivative" in after.tensors) == (name not in REPAINTING)
    assert ("memory" in str(after.header.history[-1].get("notes"))) == (name in REPAINTING)
    # Half-done latents began with other words: no recipe tells that.
    assert bool(after.header.history[-1].get("painted")) == (name in (*REPAINTING, "marry"))


@edits()
def test_an_edit_can_be_written_and_read_again(name: str, tmp_path: Any) -> None:
    after = EDITS[name](half_done())
    tiffsd.write(tmp_path / "cat.tiff", after)
    found = tiffsd.read(tmp_path / "cat.tiff")
    assert found.header == after.header
    assert (found.painted, found.notes) == (0, ())
    assert found.tensors.keys() == after.tensors.keys()
    for tensor in after.tensors:
        np.testing.assert_array_equal(found.tensors[tensor], after.tensors[tensor])


def test_what_was_painted_and_noticed_before_stands_in_the_edits_history() -> None:
    painted = replace(latents(), painted=5, notes=("the canvas was saved in 16-bit steps",))
    entry = edit.scale(painted, latents=2.0).header.history[-1]
    assert entry["painted"] == 5 + 4 * 16 * 16
    assert entry["notes"] == ["the canvas was saved in 16-bit steps"]


def test_an_edit_that_changes_nothing_keeps_the_schedulers_memory() -> None:
    before = half_done()
    same = edit.paste(before, before, left=0, top=0)
    assert "scheduler.derivative" in same.tensors
    assert "painted" not in same.header.history[-1]


# Crop


def test_crop_takes_the_region_in_pixels_of_the_picture() -> None:
    before = half_done()
    after = edit.crop(before, Region(64, 48, left=16, top=8))
    np.testing.assert_array_equal(after.tensors["latents"], before.tensors["latents"][:, 1:7, 2:10])
    np.testing.assert_array_equal(after.tensors["mask"], before.tensors["mask"][1:7, 2:10])
    assert after.header.size == (4, 6, 8)
    assert (after.header.recipe["width"], after.header.recipe["height"]) == (64, 48)
    assert (after.header.sigma, after.header.step, after.header.state) == (3.0, 12, State.PARTIAL)


def test_crop_cuts_what_belongs_to_a_mask() -> None:
    before = half_done()
    under = {name: before.tensors["latents"] + i for i, name in enumerate(("image_latents", "noise", "masked_image_latents"))}
    after = edit.crop(replace(before, tensors={**before.tensors, **under}), Region(64, 48, left=16, top=8))
    for name, whole in under.items():
        np.testing.assert_array_equal(after.tensors[name], whole[:, 1:7, 2:10])


def test_crop_cuts_a_mask_of_the_pictures_size_and_drops_one_of_no_size() -> None:
    plain = latents()
    large = replace(plain, tensors={**plain.tensors, "mask": np.arange(128 * 128).reshape(128, 128)})
    cut = edit.crop(large, Region(64, 48, 16, 8)).tensors["mask"]
    np.testing.assert_array_equal(cut, large.tensors["mask"][8:56, 16:80])
    odd = replace(plain, tensors={**plain.tensors, "mask": np.zeros((5, 5))})
    after = edit.crop(odd, Region(64, 64))
    assert "mask" not in after.tensors
    assert "the mask has another size" in after.header.history[-1]["notes"][0]


def test_crop_cuts_a_picture_to_the_pixel() -> None:
    before = picture()
    after = edit.crop(before, Region(7, 5, 3, 2))
    np.testing.assert_array_equal(after.tensors["picture"], before.tensors["picture"][2:7, 3:10])
    assert (after.header.size, after.header.recipe["width"]) == ((5, 7, 3), 7)


@pytest.mark.parametrize(
    ("region", "sentence"),
    [
        (Region(64, 64, 96, 0), "does not lie within"),
        (Region(0, 64), "does not lie within"),
        (Region(60, 64, 12, 0), "use 56x64+8+0"),
        (Region(4, 8), "use 8x8+0+0"),
        (Region(8, 8, -16, 0), "does not lie within"),
        (Region(8, 8, 0, -8), "does not lie within"),
        (Region(-16, 16, 32, 0), "does not lie within"),
    ],
)
def test_a_region_that_cannot_be_is_refused_with_one_that_can(region: Region, sentence: str) -> None:
    with pytest.raises(BadShape, match="region") as caught:
        edit.crop(latents(), region)
    assert sentence in str(caught.value)


def test_an_embedding_has_no_regions() -> None:
    with pytest.raises(BadShape, match="has no regions"):
        edit.crop(embedding_of("a blue tree"), Region(8, 8))


def test_regions_and_corners_are_written_as_image_programs_write_them() -> None:
    assert parse_region("64x48+16+8") == Region(64, 48, 16, 8)
    assert parse_region("64x48") == Region(64, 48, 0, 0)
    assert parse_corner("+16+8") == (16, 8)
    for text in ("64", "64x48+16", "64x48-16+0", "x", "1e3x4", "64x48+16+8 "):
        with pytest.raises(BadShape, match="such as"):
            parse_region(text)
        with pytest.raises(BadShape, match="such as"):
            parse_corner(text)


# Paste


def test_paste_puts_the_region_at_its_place_and_nothing_elsewhere() -> None:
    source, before = latents(seed=9), latents()
    after = edit.paste(source, before, left=64, top=16, region=Region(32, 24, 8, 40)).tensors["latents"]
    expected = before.tensors["latents"].copy()
    expected[:, 2:5, 8:12] = source.tensors["latents"][:, 5:8, 1:5]
    np.testing.assert_array_equal(after, expected)


def test_paste_of_a_whole_picture_keeps_the_precision_of_what_it_is_pasted_into() -> None:
    source, before = picture(8, 8), picture(dtype=np.float16)
    after = edit.paste(source, before, left=3, top=2).tensors["picture"]
    assert after.dtype == np.float16
    np.testing.assert_array_equal(after[2:10, 3:11], source.tensors["picture"].astype(np.float16))
    np.testing.assert_array_equal(after[10:], before.tensors["picture"][10:])


def test_what_is_pasted_looks_as_it_did_on_its_own_canvas() -> None:
    unit, noisy = latents(seed=9), half_done()
    after = edit.paste(unit, noisy, left=0, top=0, region=Region(64, 64)).tensors["latents"]
    np.testing.assert_allclose(after[:, :8, :8], unit.tensors["latents"][:, :8, :8] * np.sqrt(10), rtol=1e-6)


def test_what_is_seldom_meant_is_done_and_noted() -> None:
    other = latents(seed=9, state=State.FINAL, recipe={"model": "sd15"})
    notes = edit.paste(other, latents(), left=0, top=0).header.history[-1]["notes"]
    assert any("'sd15'" in note and "'demo'" in note for note in notes)
    assert any("final" in note and "noise" in note for note in notes)


@pytest.mark.parametrize(
    ("source", "error", "sentence"),
    [
        (picture(), WrongKind, "use two of one kind"),
        (latents(channels=16), BadShape, "16 channels"),
        (latents(height=32), BadShape, "does not lie within"),
    ],
)
def test_what_does_not_fit_is_not_pasted(source: Artifact, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        edit.paste(source, latents(), left=0, top=0)
    with pytest.raises(BadShape, match="does not lie within"):
        edit.paste(latents(height=8, width=8), latents(), left=-8, top=0)


# Blend


@pytest.mark.parametrize("state", [State.NOISE, State.FINAL])
def test_the_ends_of_a_blend_are_the_two_to_the_bit(state: State) -> None:
    a, b = latents(state=state), latents(seed=9, state=state)
    np.testing.assert_array_equal(edit.blend(a, b, 0.0).tensors["latents"], a.tensors["latents"])
    np.testing.assert_array_equal(edit.blend(a, b, 1.0).tensors["latents"], b.tensors["latents"])
    np.testing.assert_array_equal(edit.blend(a, a, 0.5).tensors["latents"], a.tensors["latents"])


def test_mixed_noise_stays_unit_noise_and_finished_latents_are_averaged() -> None:
    a, b = latents(height=64, width=64), latents(height=64, width=64, seed=9)
    assert edit.blend(a, b).tensors["latents"].std() == pytest.approx(1, abs=0.02)
    done = [replace(x, header=replace(x.header, state=State.FINAL)) for x in (a, b)]
    average = (a.tensors["latents"].astype(np.float64) + b.tensors["latents"]) / 2
    np.testing.assert_array_equal(edit.blend(*done).tensors["latents"], average.astype(np.float32))


def test_a_mask_of_the_pictures_size_blends_by_its_averages() -> None:
    a, b = (latents(state=State.FINAL, seed=seed) for seed in (0, 9))
    mask = np.zeros((128, 128))
    mask[:, 64:] = 1
    mask[:8, :4] = 1  # half of the first value
    after = edit.blend(a, b, mask).tensors["latents"]
    np.testing.assert_array_equal(after[:, 1:, :8], a.tensors["latents"][:, 1:, :8])
    np.testing.assert_array_equal(after[:, :, 8:], b.tensors["latents"][:, :, 8:])
    np.testing.assert_allclose(after[:, 0, 0], (a.tensors["latents"][:, 0, 0] + b.tensors["latents"][:, 0, 0]) / 2, rtol=1e-6)
    small = mask.reshape(16, 8, 16, 8).mean(axis=(1, 3))
    np.testing.assert_array_equal(edit.blend(a, b, small).tensors["latents"], after)


def test_pictures_blend_by_a_mask_too() -> None:
    a, b = picture(), picture(seed=5)
    mask = np.zeros((24, 32))
    mask[:, 16:] = 1
    after = edit.blend(a, b, mask).tensors["picture"]
    np.testing.assert_array_equal(after[:, :16], a.tensors["picture"][:, :16])
    np.testing.assert_array_equal(after[:, 16:], b.tensors["picture"][:, 16:])


def test_mixed_embeddings_have_no_words_but_say_whose_they_were() -> None:
    a, b = embedding_of("a cat"), embedding_of("a dog", seed=5)
    after = edit.blend(a, b, 0.25)
    expected = 0.75 * a.tensors["prompt_embeds"].astype(np.float64) + 0.25 * b.tensors["prompt_embeds"]
    np.testing.assert_array_equal(after.tensors["prompt_embeds"], expected.astype(np.float32))
    assert after.header.recipe == {"model": "demo"}
    assert "'a cat' and 'a dog'" in after.header.history[-1]["notes"][0]


@pytest.mark.parametrize(
    ("other", "weight", "error", "sentence"),
    [
        (latents(height=8), 0.5, BadShape, "one size"),
        (latents(seed=9), 1.5, BadValues, "within 0..1"),
        (latents(seed=9), np.nan, BadValues, "within 0..1"),
        (latents(seed=9), np.zeros((9, 9)), BadShape, "the mask is 9x9 pixels, and the picture 128x128"),
        (latents(seed=9), np.zeros((16, 16, 3)), BadShape, "the mask is"),
    ],
)
def test_what_cannot_be_mixed_is_refused(other: Artifact, weight: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        edit.blend(latents(), other, weight)


# Scale


def test_scale_multiplies_as_the_influences_of_the_prototype_do() -> None:
    before = latents()
    after = edit.scale(before, latents=1.25, prompt=0.5)
    np.testing.assert_array_equal(after.tensors["latents"], before.tensors["latents"] * np.float32(1.25))
    np.testing.assert_array_equal(after.tensors["prompt_embeds"], before.tensors["prompt_embeds"] * np.float32(0.5))
    np.testing.assert_array_equal(after.tensors["negative_prompt_embeds"], before.tensors["negative_prompt_embeds"])
    assert after.header.history[-1]["what"] == "scale latents 1.25 prompt_embeds 0.5"


def test_scale_of_a_prompt_keeps_the_schedulers_memory() -> None:
    assert "scheduler.derivative" in edit.scale(half_done(), prompt=2.0).tensors


@pytest.mark.parametrize(
    ("artifact", "factors", "error"),
    [
        (picture(), {"latents": 2.0}, WrongKind),
        (embedding_of("a blue tree"), {"latents": 2.0}, WrongKind),
        (latents(), {"latents": 101.0}, BadValues),
        (latents(), {"prompt": float("nan")}, BadValues),
    ],
)
def test_what_cannot_be_scaled_is_refused(artifact: Artifact, factors: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error):
        edit.scale(artifact, **factors)


# Marry and split


def test_split_and_marry_are_inverses() -> None:
    before = half_done()
    alone, words = edit.split(before)
    assert not alone.married
    assert words.header.kind is Kind.EMBEDDING
    assert words.header.size == (77, 77, 128)
    assert words.header.recipe == {"prompt": "a red house", "model": "demo"}
    assert (words.header.state, words.header.sigma, words.header.step, words.header.steps) == (None, None, None, None)
    again = edit.marry(alone, words)
    assert again.header.recipe == before.header.recipe
    assert again.tensors.keys() == before.tensors.keys()
    assert compare(before, again).none


def test_marry_brings_the_words_of_the_embedding() -> None:
    after = edit.marry(latents(), embedding_of("a blue tree"))
    assert (after.header.recipe["prompt"], after.header.recipe["negative_prompt"]) == ("a blue tree", "rain")
    assert after.header.history[-1]["with"] != after.header.parent


def test_marry_with_an_embedding_of_unknown_words_forgets_the_old_ones() -> None:
    after = edit.marry(latents(), embedding_of(None))
    assert not {"prompt", "negative_prompt"} & after.header.recipe.keys()
    assert after.header.recipe["model"] == "demo"


@pytest.mark.parametrize(
    "pair", [(embedding_of("a blue tree"), latents()), (latents(), picture()), (picture(), embedding_of("a blue tree"))]
)
def test_only_latents_and_an_embedding_are_married(pair: tuple[Artifact, Artifact]) -> None:
    with pytest.raises(WrongKind, match="in this order"):
        edit.marry(*pair)


def test_latents_without_an_embedding_cannot_be_split() -> None:
    with pytest.raises(WrongKind, match="only married latents"):
        edit.split(edit.split(latents())[0])


# Settings


def test_settings_are_changed_added_and_taken_out() -> None:
    after = edit.with_settings(half_done(), {"guidance_scale": 3.0, "seed": 1, "width": 128, "unheard": None})
    assert after.header.recipe["guidance_scale"] == 3.0
    assert "unheard" not in after.header.recipe
    assert after.header.history[-1]["what"] == "set guidance_scale unheard"


def test_other_words_take_the_embedding_out_so_that_they_are_encoded() -> None:
    after = edit.with_settings(half_done(), {"prompt": "a black cat"})
    assert not after.married
    assert "the daemon encodes the new ones" in after.header.history[-1]["notes"][0]
    assert edit.with_settings(half_done(), {"prompt": "a red house"}).married


def test_another_seed_counts_for_noise_that_is_added() -> None:
    assert "generator_state" not in edit.with_settings(half_done(), {"seed": 2}).tensors
    assert "generator_state" in edit.with_settings(half_done(), {"seed": 1}).tensors


@pytest.mark.parametrize(
    ("artifact", "settings", "sentence"),
    [
        (latents(), {"width": 64}, "crop it"),
        (embedding_of("a blue tree"), {"prompt": "other"}, "encode other words"),
        (half_done(), {"steps": 30}, "step 12 of 20"),
        (edit.marry(latents(), embedding_of(None)), {"negative_prompt": "fog"}, "set the prompt too"),
    ],
)
def test_what_the_artifact_itself_decides_cannot_be_set(artifact: Artifact, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadValues, match=sentence):
        edit.with_settings(artifact, settings)


# Convert


@pytest.mark.parametrize("layout", list(Layout)[:3])
def test_another_layout_holds_the_same_values(layout: Layout, tmp_path: Any) -> None:
    before = half_done()
    tiffsd.write(tmp_path / "cat.tiff", edit.convert(before, layout=layout))
    found = tiffsd.read(tmp_path / "cat.tiff")
    assert found.header.layout is layout
    assert compare(before, found).none


def test_a_picture_becomes_half_precision_and_whole_again() -> None:
    half = edit.convert(picture(), dtype="float16")
    assert half.tensors["picture"].dtype == np.float16
    assert edit.convert(half, dtype="float32").tensors["picture"].dtype == np.float32


def test_a_layout_or_precision_that_cannot_be_is_refused_with_those_that_can() -> None:
    with pytest.raises(BadShape, match="cannot be rgba; use mosaic or pages"):
        edit.convert(latents(channels=16), layout=Layout.RGBA)
    with pytest.raises(BadShape, match="use rgb"):
        edit.convert(picture(), layout=Layout.MOSAIC)
    with pytest.raises(BadValues, match="only pictures"):
        edit.convert(latents(), dtype="float16")


# Difference


def test_a_difference_counts_measures_and_shows_what_differs() -> None:
    before = half_done()
    moved = before.tensors["latents"].copy()
    moved[2, 3, 5] += 2
    moved[2, 3, 6] -= 1
    after = replace(before, tensors={**before.tensors, "latents": moved, "mask": before.tensors["mask"] + 1})
    after = edit.with_settings(after, {"guidance_scale": 3.0})
    found = compare(before, after)
    assert [channel.differ for channel in found.channels] == [0, 0, 2, 0]
    assert found.channels[2].largest == pytest.approx(2)
    assert found.channels[2].mean == pytest.approx(3 / 256)
    assert found.tensors == ("mask",)
    assert found.recipe == {"guidance_scale": (None, 3.0)}
    shown = heat(found.distance)
    assert (shown[3, 5, 0], shown[0, 0, 0]) == (255, 0)
    assert shown[3, 6, 0] == pytest.approx(128, abs=1)


def test_embeddings_and_pictures_are_compared_by_halves_and_colours() -> None:
    assert [c.name for c in compare(embedding_of("a blue tree", rows=3), embedding_of("a blue tree", rows=3)).channels] == [
        "prompt_embeds",
        "negative_prompt_embeds",
    ]
    assert compare(embedding_of("a blue tree"), embedding_of("a blue tree", seed=5)).distance.shape == (154, 128)
    assert [channel.name for channel in compare(picture(), picture(seed=5)).channels] == ["red", "green", "blue"]


def test_other_kinds_and_sizes_cannot_be_compared() -> None:
    with pytest.raises(WrongKind):
        compare(latents(), picture())
    with pytest.raises(BadShape):
        compare(latents(), latents(height=8))
