"""Files: what is written is read again, pictures of other programs too, and neither costs much."""

import base64
import io
import os
import timeit
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tifffile
from PIL import Image, ImageOps

import tiffsd
from benchmarks.files import CountingFile
from tests.file_samples import (
    LAYOUTS,
    RECIPE,
    embedding,
    equal,
    married,
    normal,
    picture,
    written,
)
from tiffsd import Artifact, Header, Kind, Layout


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
        (lambda a: replace(a, tensors=a.tensors | {"mask": np.array([["yes"]])}), tiffsd.BadValues),
        (lambda a: replace(a, tensors=a.tensors | {"prompt_embeds": normal(1, 77, 32)}), tiffsd.BadShape),
        (lambda a: replace(a, tensors=a.tensors | {"prompt_embeds": normal(77, 33)}), tiffsd.BadShape),
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


def zeros(kind: Kind, layout: Layout, *size: int) -> Artifact:
    """An artifact that takes no memory."""
    return Artifact(Header(kind, "3f9a1c2e", layout, size), {str(kind): np.broadcast_to(np.float32(0), size)})


@pytest.mark.parametrize(
    ("artifact", "sentence"),
    [
        (zeros(Kind.LATENTS, Layout.MOSAIC, 4, 1, 40_000), "a canvas of 80000x2"),
        (zeros(Kind.PICTURE, Layout.RGB, 1, 70_000, 3), "a canvas of 70000x1"),
        (zeros(Kind.LATENTS, Layout.PAGES, 4, 4096, 2049), "33,570,816 samples"),
        (zeros(Kind.PICTURE, Layout.RGB, 16_384, 8192, 3), "402,653,184 samples"),
    ],
)
def test_what_is_too_large_to_be_read_is_not_written(artifact: Artifact, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(tiffsd.TooLarge, match=sentence):
        tiffsd.write(tmp_path / "cat.tiff", artifact)
    assert os.listdir(tmp_path) == []


def test_texts_that_are_too_long_to_be_read_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = replace(married().header, recipe={"prompt": "x" * 17_000_000})
    with pytest.raises(tiffsd.TooLarge, match="in tag 65000, and at most 2097152 are read"):
        tiffsd.write(tmp_path / "cat.tiff", replace(married(), header=header))
    monkeypatch.setattr("tiffsd.content.LARGEST_TENSORS_BYTES", 5000)
    with pytest.raises(tiffsd.TooLarge, match="in tag 65001, and at most 5000 are read"):
        tiffsd.write(tmp_path / "cat.tiff", married())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("tensors", "error"),
    [
        ({"prompt_embeds": normal(3, 5), "negative_prompt_embeds": normal(3, 6)}, tiffsd.BadShape),
        ({"prompt_embeds": np.float32(1)[...]}, tiffsd.BadShape),
        ({"prompt_embeds": normal(3, 5), "negative_prompt_embeds": normal(3, 5), "latents": normal(4, 8, 8)}, tiffsd.WrongKind),
    ],
)
def test_an_embedding_that_is_none_is_not_written(tensors: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    header = Header(Kind.EMBEDDING, "3f9a1c2e", Layout.STRIP, (3, 3, 5))
    with pytest.raises(error, match="artifact 3f9a1c2e"):
        tiffsd.write(tmp_path / "cat.tiff", Artifact(header, tensors))


def test_a_canvas_in_double_precision_is_stored_in_the_formats_own(tmp_path: Path) -> None:
    double = replace(married(), tensors={**married().tensors, "latents": normal(4, 8, 12).astype(np.float64) / 3})
    tiffsd.write(tmp_path / "cat.tiff", double)
    with tifffile.TiffFile(tmp_path / "cat.tiff") as tiff:
        stored = safetensors.numpy.load(base64.b64decode(tiff.pages[0].tags[65001].value))
    assert stored["latents"].dtype == np.float32
    found = tiffsd.read(tmp_path / "cat.tiff")
    np.testing.assert_array_equal(found.tensors["latents"], double.tensors["latents"].astype(np.float32))
    assert found.painted == 0


def test_the_error_names_the_file_that_was_asked_for_and_not_the_temporary_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere/cat\.tiff"):
        tiffsd.write(tmp_path / "nowhere/cat.tiff", married())
    for folder in (tmp_path, ".", "/"):
        with pytest.raises(IsADirectoryError, match="is a folder, and a file is to be written"):
            tiffsd.write(folder, married())


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


# Pictures


@pytest.mark.parametrize("pages", [2, 5])
def test_a_picture_of_several_pages_is_refused(pages: int, tmp_path: Path) -> None:
    path = tmp_path / "layers.tiff"
    tifffile.imwrite(path, np.zeros((pages, 16, 24, 3), np.uint8), photometric="rgb", metadata=None)
    with pytest.raises(tiffsd.BadShape, match=rf"layers\.tiff has {pages} pages, and a picture has one; merge the layers"):
        tiffsd.read(path, expect=Kind.PICTURE)


def test_the_thumbnail_of_a_picture_is_no_page_of_it(tmp_path: Path) -> None:
    path = tmp_path / "photo.tiff"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.full((16, 24, 3), 255, np.uint8), photometric="rgb", metadata=None)
        tiff.write(np.zeros((4, 6, 3), np.uint8), photometric="rgb", metadata=None, subfiletype=1)
    assert tiffsd.read(path).tensors["picture"].shape == (16, 24, 3)


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
    alpha = pixels[..., 3:] / full if shape[-1] == 4 else 1  # what nobody sees there is no part of it, as in a PNG
    np.testing.assert_allclose(found.tensors["picture"], alpha * wanted / full + 1 - alpha, atol=1e-7)
    assert found.notes == (("transparent parts were laid on white",) if shape[-1] == 4 else ())


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


@pytest.mark.parametrize("change", ["nothing", "a value", "the record", "no tensors"])
def test_two_files_have_the_same_tensors_or_not(change: str, tmp_path: Path) -> None:
    one, other = written(married(), tmp_path / "one.tiff"), tmp_path / "other.tiff"
    changed = {
        "nothing": married(),
        "a value": replace(married(), tensors={**married().tensors, "latents": married().tensors["latents"] + 1}),
        "the record": replace(married(), header=replace(married().header, recipe={})),
        "no tensors": picture(),
    }[change]
    tiffsd.write(other, changed)
    assert tiffsd.same_tensors(one, other) == (change in ("nothing", "the record"))


# What it costs


def test_inspect_and_find_id_read_a_few_kilobytes_of_a_large_artifact(tmp_path: Path) -> None:
    header = Header(Kind.LATENTS, "3f9a1c2e", Layout.MOSAIC, (16, 512, 512), recipe=RECIPE)
    tensors = {"latents": normal(16, 512, 512), "scheduler.before": normal(16, 512, 512)}
    path = written(Artifact(header, tensors), tmp_path / "cat.tiff")
    assert path.stat().st_size > 58 * 2**20
    for verb in (tiffsd.inspect, tiffsd.find_id):
        with CountingFile(path) as file:
            seconds = min(timeit.repeat(lambda: verb(file), number=1, repeat=7))  # noqa: B023 - called at once
        assert file.bytes_read < 7 * 2**16
        assert seconds < 0.02
