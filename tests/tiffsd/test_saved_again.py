"""Editing with programs that know nothing of TIFFSD: painted where they painted, exact everywhere else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageSequence

import tiffsd
from tests.file_samples import (
    LAYOUTS,
    Array,
    as_double,
    as_half,
    as_integers,
    as_quantised_floats,
    as_rgb,
    as_rgba,
    as_wide_integers,
    embedding,
    equal,
    married,
    normal,
    resave,
    with_alpha,
    written,
)
from tiffsd import Artifact, Kind, Layout


def test_a_rectangle_painted_with_pillow_comes_back_painted_and_all_else_exact(tmp_path: Path) -> None:
    original = replace(married(), header=replace(married().header, sigma=None))
    with Image.open(written(original, tmp_path / "cat.tiff")) as image:
        assert image.mode == "F"
        image.paste(0.75, (2, 1, 6, 4))
        image.save(tmp_path / "painted.tiff")

    edited = tiffsd.read(tmp_path / "painted.tiff", expect=Kind.LATENTS)
    assert edited.header.id == tiffsd.find_id(tmp_path / "painted.tiff") == "3f9a1c2e", "the ICC profile carries it"
    repaired = tiffsd.repair(edited, original)

    expected = original.tensors["latents"].copy()
    expected[0, 1:4, 2:6] = 2.0
    np.testing.assert_array_equal(repaired.tensors["latents"], expected)
    assert repaired.painted == 12
    assert repaired.header == original.header
    np.testing.assert_array_equal(repaired.tensors["prompt_embeds"], original.tensors["prompt_embeds"])
    assert not any(name.startswith("scheduler.") for name in repaired.tensors)
    assert "restored from the original 3f9a1c2e" in repaired.notes[0]
    assert "12 of 384" in repaired.notes[1]


@pytest.mark.parametrize("layout", [Layout.MOSAIC, Layout.PAGES])
def test_saved_by_pillow_without_painting_everything_is_exact_again(layout: Layout, tmp_path: Path) -> None:
    original = married(layout=layout)
    with Image.open(written(original, tmp_path / "cat.tiff")) as image:
        first, *others = (page.copy() for page in ImageSequence.Iterator(image))
        first.save(tmp_path / "saved.tiff", save_all=True, append_images=others)
    repaired = tiffsd.repair(tiffsd.read(tmp_path / "saved.tiff"), original)
    equal(repaired, original)
    assert repaired.painted == 0


def test_painting_in_place_keeps_the_rest_of_a_married_file(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    pixels = tifffile.memmap(path, page=0, mode="r+")
    pixels[8:10, 12:15] = 1.0  # channel 2: second row, first column of the mosaic
    pixels.flush()
    del pixels
    found = tiffsd.read(path)
    latents = married().tensors["latents"].copy()
    latents[2, 0:2, 0:3] = latents[3, 0:2, 0:3] = 0
    assert found.painted == 6
    changed = found.tensors["latents"] != married().tensors["latents"]
    assert changed.sum() == 6
    assert changed[3, 0:2, 0:3].all()
    assert "generator_state" in found.tensors
    assert "scheduler.step_index" not in found.tensors
    assert found.header == married().header


def test_what_was_painted_and_written_again_stays_painted(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    pixels = tifffile.memmap(path, page=0, mode="r+")
    pixels[:4, :4] = 1.0
    pixels.flush()
    del pixels
    found = tiffsd.read(path)
    again = tiffsd.read(written(replace(found, header=replace(found.header, id="00000002", parent="3f9a1c2e")), path))
    np.testing.assert_array_equal(again.tensors["latents"], found.tensors["latents"])
    assert again.painted == 0


CODINGS = [
    {"byteorder": ">"},
    {"bigtiff": True},
    {"rowsperstrip": 3},
    {"tile": (16, 16)},
    *({"compression": name} for name in ("packbits", "lzw", "zlib", "zstd", "lzma")),
    {"compression": "zlib", "predictor": 3},
    {"compression": "lzw", "predictor": 3, "byteorder": ">", "tile": (16, 16)},
]


@pytest.mark.parametrize("coding", CODINGS, ids=lambda c: "-".join(f"{k}{v}" for k, v in c.items()))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_lossless_coding_is_read(layout: Layout, coding: dict[str, Any], tmp_path: Path) -> None:
    original = married(layout=layout)
    path = resave(written(original, tmp_path / "cat.tiff"), tmp_path / "saved.tiff", **coding)
    equal(tiffsd.repair(tiffsd.read(path), original), original)


EDITORS = [with_alpha, as_rgb, as_rgba, as_integers, as_wide_integers, as_quantised_floats, as_double, as_half]


@pytest.mark.parametrize("edit", EDITORS, ids=lambda e: e.__name__)
@pytest.mark.parametrize("layout", [Layout.MOSAIC, Layout.PAGES])
def test_everything_is_exact_again_after_what_editors_do_to_pixels(
    layout: Layout, edit: Callable[[Array], Array], tmp_path: Path
) -> None:
    original = married(layout=layout)
    path = resave(written(original, tmp_path / "cat.tiff"), tmp_path / "saved.tiff", edit=edit)
    equal(tiffsd.repair(tiffsd.read(path), original), original)


def test_an_embedding_survives_sixteen_bits_although_it_reaches_far_beyond_black_and_white(tmp_path: Path) -> None:
    original = embedding()
    path = resave(written(original, tmp_path / "cat.tiff"), tmp_path / "saved.tiff", edit=as_integers)
    equal(tiffsd.repair(tiffsd.read(path, expect=Kind.EMBEDDING), original), original)


def test_the_predictor_for_integers_is_undone_on_floats(tmp_path: Path) -> None:
    original = married()
    with Image.open(written(original, tmp_path / "cat.tiff")) as image:
        image.save(tmp_path / "saved.tiff", compression="tiff_adobe_deflate", tiffinfo={317: 2})
    equal(tiffsd.repair(tiffsd.read(tmp_path / "saved.tiff"), original), original)


def test_a_planar_rgba_file_is_read(tmp_path: Path) -> None:
    original = married(layout=Layout.RGBA)
    path = resave(
        written(original, tmp_path / "cat.tiff"), tmp_path / "saved.tiff",
        edit=lambda a: np.moveaxis(a, -1, 0), photometric="rgb", planarconfig="separate", extrasamples=["unspecified"],
    )  # fmt: skip
    equal(tiffsd.repair(tiffsd.read(path), original), original)


def test_thumbnails_are_skipped(tmp_path: Path) -> None:
    original = married(layout=Layout.PAGES)
    with tifffile.TiffFile(written(original, tmp_path / "cat.tiff")) as tiff:
        pages, description = [page.asarray() for page in tiff.pages], tiff.pages[0].description
    with tifffile.TiffWriter(tmp_path / "gimp.tiff") as tiff:
        for index, page in enumerate(pages):
            tiff.write(page, photometric="minisblack", subfiletype=2, description=description, metadata=None)
            if index == 0:
                tiff.write(np.zeros((4, 4, 3), np.uint8), photometric="rgb", subfiletype=1, metadata=None)
    equal(tiffsd.repair(tiffsd.read(tmp_path / "gimp.tiff"), original), original)


def test_pages_that_were_reordered_are_put_back_by_their_names(tmp_path: Path) -> None:
    original = married(layout=Layout.PAGES)
    with tifffile.TiffFile(written(original, tmp_path / "cat.tiff")) as tiff:
        pages = [(page.asarray(), page.tags[285].value) for page in tiff.pages]
        description = tiff.pages[0].description
    with tifffile.TiffWriter(tmp_path / "gimp.tiff") as tiff:
        for page, title in reversed(pages):
            tags = [(285, 2, 0, title, False)]
            tiff.write(page, photometric="minisblack", description=description, metadata=None, extratags=tags)
    equal(tiffsd.repair(tiffsd.read(tmp_path / "gimp.tiff"), original), original)


def test_cropped_pages_count_as_painted_and_lose_what_no_longer_fits(tmp_path: Path) -> None:
    original = married(layout=Layout.PAGES)
    path = resave(written(original, tmp_path / "cat.tiff"), tmp_path / "cropped.tiff", edit=lambda a: a[2:6, 3:9])
    repaired = tiffsd.repair(tiffsd.read(path), original)
    assert repaired.header.size == (4, 4, 6)
    assert (repaired.header.recipe["width"], repaired.header.recipe["height"]) == (48, 32)
    assert repaired.painted == 96
    np.testing.assert_allclose(repaired.tensors["latents"], original.tensors["latents"][:, 2:6, 3:9], atol=1e-5)
    assert {"prompt_embeds", "generator_state"} <= set(repaired.tensors)
    assert not {"mask", "scheduler.step_index"} & set(repaired.tensors)
    equal(tiffsd.read(written(repaired, tmp_path / "again.tiff")), repaired)


def test_cropped_pages_that_lost_their_record_alone_are_given_one_of_their_size(tmp_path: Path) -> None:
    original = married(layout=Layout.PAGES)
    with tifffile.TiffFile(written(original, tmp_path / "cat.tiff")) as tiff:
        tensors, description = tiff.pages[0].tags[65001].value, tiff.pages[0].description
        pages = [page.asarray()[2:6, 3:9] for page in tiff.pages]
    with tifffile.TiffWriter(tmp_path / "cropped.tiff") as tiff:
        for page in pages:
            tags = [(65001, 2, 0, tensors, True)]
            tiff.write(page, photometric="minisblack", description=description, metadata=None, extratags=tags, contiguous=False)
    repaired = tiffsd.repair(tiffsd.read(tmp_path / "cropped.tiff"), original)
    assert repaired.header.size == repaired.tensors["latents"].shape == (4, 4, 6)
    assert (repaired.header.recipe["width"], repaired.header.recipe["height"]) == (48, 32)


def test_pages_that_a_python_tool_joined_into_one_are_recognised(tmp_path: Path) -> None:
    original = replace(married(layout=Layout.PAGES), header=replace(married(layout=Layout.PAGES).header, sigma=None))
    stack = tifffile.imread(written(original, tmp_path / "cat.tiff"), key=range(4))
    tifffile.imwrite(tmp_path / "joined.3f9a1c2e.tiff", stack, photometric="rgb", planarconfig="separate")
    found = tiffsd.read(tmp_path / "joined.3f9a1c2e.tiff", expect=Kind.LATENTS)
    np.testing.assert_allclose(found.tensors["latents"], original.tensors["latents"], atol=1e-6)
    equal(tiffsd.repair(found, original), original)


def test_a_record_of_another_artifact_is_ignored(tmp_path: Path) -> None:
    one = written(married(), tmp_path / "one.tiff")
    two = written(replace(married(), header=replace(married().header, id="22222222", recipe={"seed": 2})), tmp_path / "two.tiff")
    with tifffile.TiffFile(two, mode="r+") as tiff, tifffile.TiffFile(one) as other:
        tiff.pages[0].tags[270].overwrite(other.pages[0].description)
    found = tiffsd.read(two)
    assert found.header.id == "3f9a1c2e"
    assert found.header.recipe == {}
    assert set(found.tensors) == {"latents"}
    assert "the full record belongs to artifact '22222222'" in found.notes[0]
    assert "the exact tensors were ignored" in found.notes[1]
    repaired = tiffsd.repair(found, married())
    equal(repaired, married())


def test_damaged_exact_tensors_are_ignored_and_said(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags[65001]
        tag.overwrite(tag.value[:-40])
    found = tiffsd.read(path)
    assert "the exact tensors were ignored, they are damaged" in found.notes[0]
    np.testing.assert_allclose(found.tensors["latents"], married().tensors["latents"], atol=1e-5)
    equal(tiffsd.repair(found, married()), married())


def test_repair_refuses_an_original_of_another_kind_or_size(tmp_path: Path) -> None:
    with Image.open(written(married(), tmp_path / "cat.tiff")) as image:
        image.save(tmp_path / "saved.tiff")
    edited = tiffsd.read(tmp_path / "saved.tiff")
    with pytest.raises(tiffsd.WrongKind, match=r"saved\.tiff holds latents, and the original 3f9a1c2e an embedding"):
        tiffsd.repair(edited, embedding(), name="saved.tiff")
    larger = Artifact(replace(married().header, size=(4, 9, 12)), {"latents": normal(4, 9, 12)})
    with pytest.raises(tiffsd.BadShape, match=r"saved\.tiff has 1 plane of 24x16 and should have 1 plane of 24x18"):
        tiffsd.repair(edited, larger, name="saved.tiff")
