"""Files: what is written is read again, whatever an editor did to it in between; and what cannot be read says why."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps, ImageSequence

import tiffsd
from tiffsd import Artifact, Header, Kind, Layout, State
from tiffsd.__main__ import main

LAYOUTS = (Layout.MOSAIC, Layout.PAGES, Layout.RGBA)
RECIPE = {"prompt": "a red house", "seed": 7, "width": 96, "height": 64}
Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def married(*, layout: Layout = Layout.MOSAIC, channels: int = 4) -> Artifact:
    """Half-done latents with everything that can ride along."""
    tensors = {
        "latents": normal(channels, 8, 12),
        "prompt_embeds": normal(77, 32),
        "negative_prompt_embeds": normal(154, 32),
        "pooled_prompt_embeds": normal(48),
        "mask": normal(8, 12) > 0,
        "generator_state": np.arange(50, dtype=np.uint8),
        "scheduler.step_index": np.array(12),
        "scheduler.model_outputs.0": normal(channels, 8, 12, seed=4).astype(np.float64),
        "of_the_future": np.array([[1, 2]], np.int16),
    }
    header = Header(
        Kind.LATENTS, "3f9a1c2e", layout, (channels, 8, 12), state=State.PARTIAL, sigma=2.5, step=12, steps=30, recipe=RECIPE,
        parent="00000001", history=({"stage": "text", "id": "00000001"},), software={"tiffsd": "0.1.0"},
    )  # fmt: skip
    return Artifact(header, tensors)


def embedding() -> Artifact:
    tensors = {"prompt_embeds": 9 * normal(77, 300), "negative_prompt_embeds": normal(77, 300), "pooled_prompt_embeds": normal(40)}
    return Artifact(Header(Kind.EMBEDDING, "3f9a1c2e", Layout.STRIP, (77, 77, 300), recipe=RECIPE), tensors)


def picture() -> Artifact:
    return Artifact(Header(Kind.PICTURE, "3f9a1c2e", Layout.RGB, (6, 9, 3), recipe=RECIPE), {"picture": normal(6, 9, 3) / 4 + 0.5})


def written(artifact: Artifact, path: Path) -> Path:
    tiffsd.write(path, artifact)
    return path


def equal(found: Artifact, wanted: Artifact) -> None:
    assert found.header == wanted.header
    assert set(found.tensors) == set(wanted.tensors)
    for name, tensor in wanted.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found.tensors[name], tensor, err_msg=name)


# Writing and reading


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_married_file_comes_back_whole(layout: Layout, tmp_path: Path) -> None:
    artifact = married(layout=layout)
    found = tiffsd.read(written(artifact, tmp_path / "cat.tiff"), expect=Kind.LATENTS)
    equal(found, artifact)
    assert (found.painted, found.notes, found.canvas, found.married) == (0, (), None, True)


@pytest.mark.parametrize("layout", [Layout.MOSAIC, Layout.PAGES])
def test_sixteen_channels_come_back(layout: Layout, tmp_path: Path) -> None:
    artifact = married(layout=layout, channels=16)
    equal(tiffsd.read(written(artifact, tmp_path / "cat.tiff")), artifact)


@pytest.mark.parametrize("artifact", [embedding(), picture()], ids=["embedding", "picture"])
def test_embeddings_and_pictures_come_back(artifact: Artifact, tmp_path: Path) -> None:
    equal(tiffsd.read(written(artifact, tmp_path / "cat.tiff"), expect=artifact.header.kind), artifact)


def test_an_embedding_may_be_a_prompt_alone(tmp_path: Path) -> None:
    artifact = Artifact(Header(Kind.EMBEDDING, "3f9a1c2e", Layout.STRIP, (77, 0, 20)), {"prompt_embeds": normal(77, 20)})
    equal(tiffsd.read(written(artifact, tmp_path / "cat.tiff")), artifact)


def test_a_picture_can_be_written_in_half_floats(tmp_path: Path) -> None:
    half = picture().tensors["picture"].astype(np.float16)
    path = written(replace(picture(), tensors={"picture": half}), tmp_path / "cat.tiff")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].dtype == np.float16
    np.testing.assert_array_equal(tiffsd.read(path).tensors["picture"], half.astype(np.float32))


def test_another_layout_is_written_on_request(tmp_path: Path) -> None:
    tiffsd.write(tmp_path / "cat.tiff", married(), layout=Layout.PAGES)
    assert tiffsd.inspect(tmp_path / "cat.tiff").layout is Layout.PAGES
    with tifffile.TiffFile(tmp_path / "cat.tiff") as tiff:
        assert [page.tags[285].value for page in tiff.pages] == ["channel 0", "channel 1", "channel 2", "channel 3"]


def test_a_file_object_is_written_and_read_and_left_open() -> None:
    file = io.BytesIO()
    tiffsd.write(file, married())
    equal(tiffsd.read(file, name="cat.tiff"), married())
    assert not file.closed


def test_a_file_opened_for_writing_only_will_do(tmp_path: Path) -> None:
    with (tmp_path / "cat.tiff").open("wb") as file:
        tiffsd.write(file, married())
    equal(tiffsd.read(tmp_path / "cat.tiff"), married())


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(married(), tmp_path / "cat.tiff")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        tiffsd.write(path, embedding())
    equal(tiffsd.read(path), married())
    assert os.listdir(tmp_path) == ["cat.tiff"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda a: replace(a, tensors={}), tiffsd.BadShape),
        (lambda a: replace(a, tensors=a.tensors | {"latents": normal(4, 8, 13)}), tiffsd.BadShape),
        (lambda a: replace(a, tensors=a.tensors | {"latents": np.full((4, 8, 12), np.nan, np.float32)}), tiffsd.BadValues),
        (lambda a: replace(a, tensors=a.tensors | {"latents": np.zeros((4, 8, 12), np.int32)}), tiffsd.BadValues),
        (lambda a: replace(a, tensors=a.tensors | {"mask": np.array(["yes"])}), tiffsd.BadValues),
        (lambda a: replace(a, header=replace(a.header, id="cat")), tiffsd.BadHeader),
        (lambda a: replace(a, header=replace(a.header, layout=Layout.RGB)), tiffsd.BadHeader),
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    change: Callable[[Artifact], Artifact], error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        tiffsd.write(tmp_path / "cat.tiff", change(married()))
    assert os.listdir(tmp_path) == []


def test_inspect_reads_the_header_alone(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        start, count = page.dataoffsets[0], page.databytecounts[0]
    data[start : start + count] = np.full(count // 4, np.nan, np.float32).tobytes()
    path.write_bytes(data)
    assert tiffsd.inspect(path) == married().header
    with pytest.raises(tiffsd.BadValues):
        tiffsd.read(path)


# Editing with programs that know nothing of TIFFSD


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


def resave(source: Path, target: Path, *, edit: Callable[[Array], Array] = lambda a: a, **options: Any) -> Path:
    """What a program does that keeps the pixels and the description, and nothing else."""
    with tifffile.TiffFile(source) as tiff:
        pages = [edit(page.asarray()) for page in tiff.pages]
        description = tiff.pages[0].description
    writer = {key: options.pop(key) for key in ("bigtiff", "byteorder") if key in options}
    with tifffile.TiffWriter(target, **writer) as tiff:
        for page in pages:
            photometric = "rgb" if page.ndim == 3 and page.shape[-1] >= 3 else "minisblack"
            extra = ["unassalpha"] if page.ndim == 3 and page.shape[-1] in (2, 4) else None
            tiff.write(
                page,
                **({"photometric": photometric, "extrasamples": extra, "description": description, "metadata": None} | options),
            )
    return target


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


def with_alpha(page: Array) -> Array:
    return np.stack([page, np.ones_like(page)], axis=-1)


def as_rgb(page: Array) -> Array:
    return np.repeat(page[..., np.newaxis], 3, axis=-1)


def as_rgba(page: Array) -> Array:
    return np.concatenate([as_rgb(page), np.ones((*page.shape, 1), page.dtype)], axis=-1)


def as_integers(page: Array) -> Array:
    return np.rint(page.clip(0, 1) * 65535).astype(np.uint16)


def as_wide_integers(page: Array) -> Array:
    return as_integers(page).astype(np.uint32) * 65537


def as_quantised_floats(page: Array) -> Array:
    return (as_integers(page) / 65535).astype(np.float32)


def as_double(page: Array) -> Array:
    return page.astype(np.float64)


def as_half(page: Array) -> Array:
    return page.astype(np.float16)


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
    assert "the full record belongs to artifact 22222222" in found.notes[0]
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


# Pictures


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3), (6, 9, 4)])
def test_pictures_of_other_programs_are_read(shape: tuple[int, ...], dtype: type, tmp_path: Path) -> None:
    full = np.iinfo(dtype).max
    pixels = np.random.default_rng(1).integers(0, full, shape, dtype=dtype)
    tifffile.imwrite(tmp_path / "photo.tif", pixels, photometric="rgb" if len(shape) == 3 else "minisblack", metadata=None)
    found = tiffsd.read(tmp_path / "photo.tif", expect=Kind.PICTURE)
    assert found.header.size == (6, 9, 3)
    assert found.tensors["picture"].dtype == np.float32
    wanted = pixels[..., :3] if len(shape) == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=-1)
    np.testing.assert_allclose(found.tensors["picture"], wanted / full, atol=1e-7)
    assert bool(found.notes) == (shape[-1] == 4), "transparency is said"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(orientation: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[274] = orientation
    tags = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "photo.tif", pixels, photometric="rgb", metadata=None, extratags=tags)
    image.save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as other:
        upright = np.asarray(ImageOps.exif_transpose(other))
    found = tiffsd.read(tmp_path / "photo.tif", expect=Kind.PICTURE)
    np.testing.assert_allclose(found.tensors["picture"], upright / 255, atol=1e-7)


def test_a_jpeg_inside_a_tiff_is_a_picture_but_no_latents(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), 128, np.uint8)
    tifffile.imwrite(tmp_path / "photo.tif", pixels, photometric="rgb", compression="jpeg", metadata=None)
    np.testing.assert_allclose(tiffsd.read(tmp_path / "photo.tif", expect=Kind.PICTURE).tensors["picture"], 0.5, atol=0.01)
    with pytest.raises(tiffsd.BadValues, match=r"photo\.tif is compressed with JPEG.* without lossy compression"):
        tiffsd.read(tmp_path / "photo.tif", expect=Kind.LATENTS)


def test_a_picture_keeps_its_recipe_through_repair(tmp_path: Path) -> None:
    half_size = np.ascontiguousarray(picture().tensors["picture"][::2, ::2])
    tifffile.imwrite(tmp_path / "small.3f9a1c2e.tiff", half_size, photometric="rgb", metadata=None)
    repaired = tiffsd.repair(tiffsd.read(tmp_path / "small.3f9a1c2e.tiff"), picture())
    assert repaired.header.recipe == RECIPE
    assert repaired.header.size == (3, 5, 3)


# Ids


def test_the_id_is_found_in_the_description_then_the_profile_then_the_name(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.0000000a.tiff")
    assert tiffsd.find_id(path) == "3f9a1c2e"
    with Image.open(path) as image:
        pixels = np.asarray(image)
        image.save(tmp_path / "pillow.0000000a.tiff")
    assert tiffsd.find_id(tmp_path / "pillow.0000000a.tiff") == "3f9a1c2e"
    tifffile.imwrite(tmp_path / "bare.0000000a.tiff", pixels)
    assert tiffsd.find_id(tmp_path / "bare.0000000a.tiff") == "0000000a"
    assert tiffsd.find_id(tmp_path / "bare.0000000a.tiff", "cat.0000000b.tiff") == "0000000b"
    (tmp_path / "note.0000000c.txt").write_text("hello")
    assert tiffsd.find_id(tmp_path / "note.0000000c.txt") == "0000000c"
    assert tiffsd.find_id(io.BytesIO(b""), None) is None


# What is refused, and with which sentence


def saved(path: Path, pixels: Array, **options: Any) -> Path:
    tifffile.imwrite(path, pixels, metadata=None, **options)
    return path


RGBA: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
ALPHA: dict[str, Any] = {"extrasamples": ["unassalpha"]}
BAD_LATENTS = [
    (np.zeros((16, 16), np.uint8), {}, tiffsd.BadValues, "8-bit whole numbers, and latents need 32-bit floats.*save the original"),
    (np.zeros((16, 16, 3), np.uint8), {"photometric": "rgb"}, tiffsd.BadValues, "8-bit whole.*if this is a picture, encode it"),
    (np.arange(1024, dtype=np.uint16).reshape(16, 16, 4), RGBA, tiffsd.BadValues, "raw layout of four channels must be floats"),
    (np.zeros((16, 16), np.int16), {}, tiffsd.BadValues, "16-bit whole numbers"),
    (np.full((16, 16), np.nan, np.float32), {}, tiffsd.BadValues, "not numbers .NaN or infinity.*paint over them"),
    (np.full((16, 16), 1e300), {}, tiffsd.BadValues, "not numbers .NaN or infinity"),
    (np.float32(1e30) * normal(16, 16, 4), RGBA, tiffsd.BadValues, "a program misread the 32-bit floats"),
    (normal(16, 16, 3), {"photometric": "rgb"}, tiffsd.BadShape, "3 different channels, and latents have one gray.*go back"),
    (normal(16, 16, 5), {"photometric": "rgb"}, tiffsd.BadShape, "5 different channels"),
    (normal(16, 16, 2), ALPHA, tiffsd.BadValues, "transparent in places.*fill the transparency"),
    (normal(16, 16, 4), RGBA | {"extrasamples": ["assocalpha"]}, tiffsd.BadValues, "premultiplied alpha.*straight alpha"),
    (normal(16, 16, 4).clip(0, 1), RGBA, tiffsd.BadValues, "was clipped by an editor.*keeps 32-bit floats"),
    (normal(15, 16), {}, tiffsd.BadShape, "16x15 without metadata, and a mosaic of four channels has an even width"),
    (normal(7, 16, 16), {}, tiffsd.BadShape, "has 7 pages, and latents have 4, 8, 16, 32 channels"),
    (normal(16, 16), {"photometric": "miniswhite"}, tiffsd.BadShape, "colours of type MINISWHITE.*black is 0"),
    (normal(16, 16), {"extratags": [(274, 3, 1, 6, True)]}, tiffsd.BadShape, "marked as rotated.*rotate it back"),
    (normal(16, 16, 3), {"photometric": "cielab"}, tiffsd.BadShape, "colours of type CIELAB"),
]


@pytest.mark.parametrize(("pixels", "options", "error", "sentence"), BAD_LATENTS)
def test_bad_latents_are_refused_with_a_sentence(
    pixels: Array, options: dict[str, Any], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    planar = {"photometric": "minisblack"} | options
    with pytest.raises(error, match=rf"^cat\.tiff .*{sentence}"):
        tiffsd.read(saved(tmp_path / "cat.tiff", pixels, **planar), expect=Kind.LATENTS)


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"", tiffsd.Truncated, "is empty, and a TIFF file was expected; copy or save it again"),
        (b"II", tiffsd.NotTiffsd, "is not a TIFF file but something else; save or export it as TIFF"),
        (b"a red house", tiffsd.NotTiffsd, "is not a TIFF file"),
        (b"\x89PNG\r\n\x1a\n....", tiffsd.NotTiffsd, "but a PNG picture"),
        (b"\xff\xd8\xff\xe0........", tiffsd.NotTiffsd, "but a JPEG picture"),
        (b"II*\0", tiffsd.Truncated, "is damaged or incomplete"),
        (b"II*\0\x08\0\0\0", tiffsd.NotTiffsd, "no page"),
        (b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 99, tiffsd.Truncated, "is damaged or incomplete.*copy or save it again"),
    ],
)
def test_what_is_no_tiff_is_refused_with_a_sentence(content: bytes, error: type[Exception], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "cat.tiff").write_bytes(content)
    for verb in (tiffsd.read, tiffsd.inspect):
        with pytest.raises(error, match=rf"^cat\.tiff .*{sentence}"):
            verb(tmp_path / "cat.tiff")


def test_a_file_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = written(picture(), tmp_path / "cat.tiff")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(tiffsd.Truncated, match=r"^cat\.tiff is cut off.*wait until it is copied completely"):
        tiffsd.read(path)


def test_another_kind_than_expected_is_refused(tmp_path: Path) -> None:
    path = written(embedding(), tmp_path / "cat.tiff")
    with pytest.raises(tiffsd.WrongKind, match=r"^work\.tiff holds an embedding, and this place takes latents"):
        tiffsd.read(path, expect=Kind.LATENTS, name="work.tiff")


def tag_overwritten(path: Path, code: int, value: Any) -> Path:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags[code].overwrite(value)
    return path


def test_sizes_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    for code, value in ((256, 70_000), (277, 60_000)):
        with pytest.raises(tiffsd.TooLarge, match=r"^cat\.tiff is "):
            tiffsd.read(tag_overwritten(written(married(), path), code, value))
    vast = tag_overwritten(tag_overwritten(written(married(), path), 256, 65_536), 257, 65_536)
    with pytest.raises(tiffsd.TooLarge, match="4,294,967,296 samples"):
        tiffsd.read(vast)


def test_a_newer_version_of_the_format_is_refused(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags[270]
        tag.overwrite(tag.value.replace('"tiffsd":1', '"tiffsd":2'))
    with pytest.raises(tiffsd.NewerFormat, match=r"^cat\.tiff is written in version 2"):
        tiffsd.read(path)


def test_whatever_bytes_are_broken_only_sentences_come_out(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    artifact = replace(married(), tensors={"latents": normal(4, 8, 12)})
    sound = written(artifact, tmp_path / "cat.tiff").read_bytes()
    coded = resave(tmp_path / "cat.tiff", tmp_path / "coded.tiff", compression="zlib", predictor=3, tile=(16, 16)).read_bytes()
    for content in (sound, coded):
        for _ in range(150):
            broken = bytearray(content)
            for place in random.integers(0, min(len(broken), 700), 3):
                broken[place] = random.integers(0, 256)
            refused_or_read(bytes(broken))
        for length in random.integers(0, len(content), 50):
            refused_or_read(content[:length])


def refused_or_read(content: bytes) -> None:
    sentence = "cat.tiff "
    try:
        tiffsd.read(io.BytesIO(content), name="cat.tiff")
    except tiffsd.TiffsdError as error:
        sentence = str(error)
    assert sentence.startswith("cat.tiff ")
    assert "\n" not in sentence


# The command line


def test_show_and_check_say_what_a_file_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    assert main(["show", str(path)]) == 0
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "cat.tiff: latents 3f9a1c2e" in out
    assert 'prompt: "a red house"' in out
    assert "step 12 of 30" in out
    assert "generator_state: uint8 [50]" in out


def test_check_fails_with_the_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cat.tiff").write_bytes(b"")
    assert main(["check", str(tmp_path / "cat.tiff"), str(tmp_path / "none.tiff")]) == 1
    err = capsys.readouterr().err
    assert "cat.tiff is empty" in err
    assert "none.tiff" in err
