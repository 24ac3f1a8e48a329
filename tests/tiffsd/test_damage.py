"""Damage and malice: what is broken or made to do harm is refused with a sentence, before it costs memory; the rest is read."""

import base64
import io
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.numpy import save

import tiffsd
from tests.artifacts import file_of
from tests.corpus import artifacts, normal
from tests.mutations import Entry, Tiff
from tiffsd import Artifact, Kind

MIB = 2**20
MOSAIC, _, PAGES, RGBA, STRIP, PICTURE, _ = artifacts()
WIDTH, LENGTH, BITS, COMPRESSION, OFFSETS, SAMPLES, ROWS, COUNTS, FORMAT = 256, 257, 258, 259, 273, 277, 278, 279, 339
Damage = Callable[[bytearray], None]


def damaged(artifact: Artifact, *damages: Damage) -> io.BytesIO:
    data = bytearray(file_of(artifact))
    for damage in damages:
        damage(data)
    return io.BytesIO(data)


def tag(data: bytearray, code: int) -> Entry:
    return next(entry for entry in Tiff(data).entries if entry.code == code)


def number(code: int, value: int) -> Damage:
    """Set the value of a tag of one number."""

    def damage(data: bytearray) -> None:
        entry = tag(data, code)
        struct.pack_into({3: "<H", 4: "<I"}[entry.kind], data, entry.value_at, value)

    return damage


def count(code: int, value: int) -> Damage:
    return lambda data: struct.pack_into("<I", data, tag(data, code).place + 4, value)


def text(code: int, change: Callable[[bytes], bytes]) -> Damage:
    """Change a text without changing its length."""

    def damage(data: bytearray) -> None:
        entry = tag(data, code)
        end = entry.value_at + entry.count - 1  # a zero byte ends it
        data[entry.value_at : end] = change(bytes(data[entry.value_at : end]))[: entry.count - 1].ljust(entry.count - 1)

    return damage


def chained(page: int, to: int) -> Damage:
    """Let a page be followed by another page."""

    def damage(data: bytearray) -> None:
        tiff = Tiff(data)
        struct.pack_into("<I", data, tiff.links[page + 1], tiff.pages[to])

    return damage


@contextmanager
def at_most(size: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def refused(file: io.BytesIO, error: type[Exception], sentence: str, **options: Any) -> None:
    """It is refused with this sentence, and at most two megabytes were allocated until then."""
    with at_most(2 * MIB), pytest.raises(error, match=rf"^cat\.tiff .*{sentence}"):
        tiffsd.read(file, name="cat.tiff", **options)


# Structure


@pytest.mark.parametrize(("page", "to"), [(0, 0), (3, 0), (2, 1)])
def test_pages_that_form_a_loop_are_refused(page: int, to: int) -> None:
    refused(damaged(PAGES, chained(page, to)), tiffsd.Truncated, "chain of pages leads back to itself")


def test_more_pages_than_any_artifact_has_are_refused() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        for _ in range(257):
            tiff.write(np.zeros((2, 2), np.float32), metadata=None, contiguous=False)
    refused(file, tiffsd.TooLarge, "more than 256 pages")


@pytest.mark.parametrize("code", [OFFSETS, COUNTS, BITS, 330])
def test_a_tag_of_very_many_numbers_is_refused_before_they_are_read(code: int) -> None:
    data = bytearray(file_of(MOSAIC))
    entry = tag(data, 305)
    struct.pack_into("<HHII", data, entry.place, code, 4, 3 * MIB, 8)
    refused(io.BytesIO(data + bytes(13 * MIB)), tiffsd.TooLarge, rf"3145728 values in tag {code}")


def test_a_description_of_many_megabytes_is_refused_before_it_is_read() -> None:
    data = bytearray(file_of(MOSAIC))
    count(270, 20 * MIB)(data)
    refused(io.BytesIO(data + bytes(20 * MIB)), tiffsd.TooLarge, "values in tag 270")


def test_a_page_of_very_many_tags_is_refused() -> None:
    data = bytearray(file_of(MOSAIC))
    struct.pack_into("<H", data, Tiff(data).pages[0], 5000)
    refused(io.BytesIO(data), tiffsd.Truncated, "5000 tags")


@pytest.mark.parametrize("offset", [2**32 - 1, 2**31, 10**7])
def test_pixels_beyond_the_end_of_the_file_are_refused(offset: int) -> None:
    refused(damaged(MOSAIC, number(OFFSETS, offset)), tiffsd.Truncated, "is cut off")


def test_pixels_of_no_place_or_no_length_are_refused() -> None:
    for code in (OFFSETS, COUNTS):
        refused(damaged(MOSAIC, number(code, 0)), tiffsd.Truncated, "is cut off")


def test_strips_that_overlap_to_be_more_than_the_file_are_refused() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((512, 64, 3), np.float32), photometric="rgb", rowsperstrip=1, metadata=None)
    data = bytearray(file.getvalue())
    start = struct.unpack_from("<I", data, tag(data, OFFSETS).value_at)[0]
    struct.pack_into("<512I", data, tag(data, OFFSETS).value_at, *[start] * 512)
    refused(io.BytesIO(data[: start + 2000]), tiffsd.Truncated, "some overlap")


@pytest.mark.parametrize("sub", [0, 8, 12, 10**6, 2**32 - 1])
def test_a_subifd_that_leads_anywhere_changes_nothing(sub: int) -> None:
    data = bytearray(file_of(MOSAIC))
    struct.pack_into("<HHII", data, tag(data, 305).place, 330, 4, 1, sub)
    assert tiffsd.read(io.BytesIO(data)).notes == ()


def test_tags_that_pillow_copied_with_dangling_offsets_change_nothing() -> None:
    data = bytearray(file_of(replace(MOSAIC, header=replace(MOSAIC.header, sigma=None))))
    struct.pack_into("<HHII", data, tag(data, 305).place, 330, 13, 1, 8)
    copy = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(copy, format="TIFF", tiffinfo=image.tag_v2)
    copy.seek(0)
    with tifffile.TiffFile(copy) as tiff:
        assert 330 in tiff.pages[0].tags, "Pillow copied what no longer leads anywhere"
    found = tiffsd.read(copy)
    np.testing.assert_array_equal(found.tensors["latents"], MOSAIC.tensors["latents"])


@pytest.mark.parametrize("code", [305, 282, 34675, 65000, 65001])
def test_a_tag_that_leads_nowhere_is_as_good_as_none(code: int) -> None:
    data = bytearray(file_of(MOSAIC))
    struct.pack_into("<II", data, tag(data, code).place + 4, 500, 2**31)
    found = tiffsd.read(io.BytesIO(data))
    np.testing.assert_allclose(found.tensors["latents"], MOSAIC.tensors["latents"], atol=1e-4)
    assert found.header.id == "3f9a1c2e"


# Sizes and samples


@pytest.mark.parametrize(("width", "length"), [(65_537, 8), (8, 2**31), (0, 8), (8, 0)])
def test_sides_beyond_the_limits_are_refused(width: int, length: int) -> None:
    refused(damaged(MOSAIC, number(WIDTH, width), number(LENGTH, length)), tiffsd.TooLarge, "sides of 1 to 65536 are read")


def test_more_samples_than_any_artifact_has_are_refused() -> None:
    for artifact in (MOSAIC, STRIP, PICTURE):
        huge = damaged(artifact, number(WIDTH, 65_536), number(LENGTH, 65_536), number(ROWS, 65_536))
        refused(huge, tiffsd.TooLarge, "samples, and .* of at most")


def test_a_size_that_the_bytes_cannot_hold_is_refused() -> None:
    refused(damaged(MOSAIC, number(WIDTH, 5000), number(LENGTH, 5000)), tiffsd.Truncated, "is cut off")


@pytest.mark.parametrize(
    ("kind", "bits", "sentence"),
    [
        (6, 64, "64 bits per channel"),
        (3, 7, "7 bits per channel"),
        (2, 32, "32-bit whole"),
        (3, 16, "pixels from|NaN"),
    ],
)
def test_samples_of_other_kinds_are_refused(kind: int, bits: int, sentence: str) -> None:
    refused(damaged(MOSAIC, number(FORMAT, kind), number(BITS, bits)), tiffsd.TiffsdError, f"({sentence})")


def test_channels_of_different_depths_are_refused() -> None:
    data = bytearray(file_of(PICTURE))
    struct.pack_into("<3H", data, tag(data, BITS).value_at, 5, 6, 5)
    struct.pack_into("<3H", data, tag(data, FORMAT).value_at, 1, 1, 1)
    refused(io.BytesIO(data), tiffsd.BadValues, "6 bits per channel")


@pytest.mark.parametrize("samples", [0, 257, 65_535])
def test_an_absurd_number_of_channels_is_refused(samples: int) -> None:
    refused(damaged(PICTURE, number(SAMPLES, samples)), tiffsd.TiffsdError, "")


# Bombs


def compressed(pixels: bytes, *, code: int, width: int, length: int) -> io.BytesIO:
    """A gray float32 page of this size with these compressed bytes in one strip."""
    tags = [(WIDTH, width), (LENGTH, length), (BITS, 32), (COMPRESSION, code), (262, 1), (OFFSETS, 200), (SAMPLES, 1),
            (ROWS, length), (COUNTS, len(pixels)), (FORMAT, 3)]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, value) for t, value in tags) + bytes(4)
    return io.BytesIO((b"II*\0\x08\0\0\0" + directory).ljust(200, b"\0") + pixels)


@pytest.mark.parametrize(
    ("code", "encode"),
    [(8, zlib.compress), (5, imagecodecs.lzw_encode), (32773, imagecodecs.packbits_encode)],
    ids=["deflate", "lzw", "packbits"],
)
def test_few_bytes_that_would_have_to_be_millions_of_pixels_are_refused(code: int, encode: Callable[[bytes], bytes]) -> None:
    bomb = compressed(encode(bytes(4096)), code=code, width=5000, length=5000)
    refused(bomb, tiffsd.Truncated, "compressed bytes cannot hold 100000000 bytes", expect=Kind.LATENTS)


@pytest.mark.parametrize(
    ("code", "encode"),
    [(8, zlib.compress), (50000, imagecodecs.zstd_encode), (34925, imagecodecs.lzma_encode)],
    ids=["deflate", "zstd", "lzma"],
)
def test_more_bytes_than_the_size_says_are_not_unpacked(code: int, encode: Callable[[bytes], bytes]) -> None:
    bomb = compressed(encode(bytes(64 * MIB)), code=code, width=16, length=16)
    with at_most(2 * MIB), suppress(tiffsd.Truncated):
        assert tiffsd.read(bomb, name="cat.tiff", expect=Kind.LATENTS).tensors["latents"].shape == (4, 8, 8)


# Metadata and tensors


def test_a_broken_full_record_leaves_the_essentials() -> None:
    found = tiffsd.read(damaged(MOSAIC, text(65000, lambda old: old[:-9] + b"{{")))
    assert (found.header.id, found.header.recipe) == ("3f9a1c2e", {})
    np.testing.assert_array_equal(found.tensors["latents"], MOSAIC.tensors["latents"])


def test_a_broken_description_leaves_the_full_record_and_is_said() -> None:
    found = tiffsd.read(damaged(MOSAIC, text(270, lambda old: old[:-9] + b"{{")))
    assert found.header == MOSAIC.header
    assert found.notes[0] == "the ImageDescription is damaged and was ignored"


def test_where_both_records_are_broken_the_canvas_is_read_as_any_gray_page() -> None:
    found = tiffsd.read(damaged(MOSAIC, *(text(code, lambda old: old[:-9] + b"{{") for code in (270, 65000))), expect=Kind.LATENTS)
    assert found.header.id == "3f9a1c2e", "the profile has it"
    assert set(found.tensors) == {"latents"}
    assert any("without metadata" in note for note in found.notes)


@pytest.mark.parametrize("identity", [b"../../..", b"3F9A1C2E", b"3f9a1c2", b"3f9a1c2g", b"", b"\\u0000b"])
def test_an_id_that_is_none_is_refused_and_never_found(identity: bytes) -> None:
    file = damaged(MOSAIC, *(text(code, lambda old: old.replace(b"3f9a1c2e", identity)) for code in (270, 65000)))
    refused(file, tiffsd.BadHeader, '"id"')
    assert tiffsd.find_id(file, "cat.0000000a.tiff") == "0000000a"


def test_a_record_nested_without_end_is_no_record() -> None:
    found = tiffsd.read(damaged(MOSAIC, text(65000, lambda old: b"[" * len(old))))
    assert found.header.recipe == {}


@pytest.mark.parametrize(
    "prompt", ["猫 🐈 ünïcödé \U0010ffff\0\n\t\\\"' \ud800", "x" * MIB, "猫" * (MIB // 4)], ids=["odd", "long", "wide"]
)
def test_prompts_of_any_letters_and_of_a_megabyte_come_back(prompt: str) -> None:
    artifact = replace(MOSAIC, header=replace(MOSAIC.header, recipe={"prompt": prompt}))
    file = io.BytesIO(file_of(artifact))
    assert tiffsd.read(file).header.recipe["prompt"] == prompt
    assert tiffsd.inspect(file).recipe["prompt"] == prompt


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("latents", normal(4, 5, 6), "another size than the metadata says"),
        ("latents", normal(96), "their shapes contradict each other"),
        ("latents", np.full((4, 4, 6), np.nan, np.float32), "they are no finite floats"),
        ("latents", np.zeros((4, 4, 6), np.int32), "they are no finite floats"),
        ("prompt_embeds", normal(4, 9), "their shapes contradict each other"),
        ("prompt_embeds", np.float32(1), "their shapes contradict each other"),
        ("pooled_prompt_embeds", normal(4, 9), "their shapes contradict each other"),
        ("mask", normal(9), "their shapes contradict each other"),
    ],
)
def test_exact_tensors_that_contradict_each_other_are_ignored_and_said(name: str, tensor: Any, reason: str) -> None:
    found = tiffsd.read(with_tensors(MOSAIC, encoded({**MOSAIC.tensors, name: np.asarray(tensor)})))
    assert any(reason in note for note in found.notes)
    np.testing.assert_allclose(found.tensors["latents"], MOSAIC.tensors["latents"], atol=1e-4)


def test_halves_of_an_embedding_that_contradict_each_other_are_ignored_and_said() -> None:
    halves = {"prompt_embeds": normal(4, 20), "negative_prompt_embeds": normal(4, 9)}
    found = tiffsd.read(with_tensors(STRIP, encoded(halves)))
    assert any("their shapes contradict each other" in note for note in found.notes)
    np.testing.assert_allclose(found.tensors["prompt_embeds"], STRIP.tensors["prompt_embeds"], atol=1e-4)


def encoded(tensors: dict[str, Any]) -> bytes:
    return base64.b64encode(save(tensors, metadata={"id": "3f9a1c2e"}))


def with_tensors(artifact: Artifact, blob: bytes) -> io.BytesIO:
    data = bytearray(file_of(artifact))
    struct.pack_into("<II", data, tag(data, 65001).place + 4, len(blob), len(data))
    return io.BytesIO(bytes(data) + blob)


def crafted(table: dict[str, Any], numbers: bytes = bytes(384)) -> bytes:
    head = json.dumps({"__metadata__": {"id": "3f9a1c2e"}, **table}).encode()
    return base64.b64encode(struct.pack("<Q", len(head)) + head + numbers)


@pytest.mark.parametrize(
    "blob",
    [
        crafted({"latents": {"dtype": "F32", "shape": [4, 4, 6], "data_offsets": [0, 10**12]}}),
        crafted({"latents": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 384]}}),
        crafted({"latents": {"dtype": "F32", "shape": [-4, -4, 6], "data_offsets": [0, 384]}}),
        crafted({"latents": {"dtype": "F77", "shape": [4, 4, 6], "data_offsets": [0, 384]}}),
        crafted({"latents": {"dtype": "F8_E4M3", "shape": [4, 4, 24], "data_offsets": [0, 384]}}),
        crafted({"latents": {"dtype": "BF16", "shape": [4, 4, 12], "data_offsets": [0, 384]}}),
        crafted({k: {"dtype": "F32", "shape": [4, 4, 6], "data_offsets": [0, 384]} for k in ("latents", "other")}),
        base64.b64encode(struct.pack("<Q", 2**63) + b"{}"),
        base64.b64encode(b"\0" * 7),
        b"====",
        b"\xff" * 40,
        crafted({})[:-3],
    ],
)
def test_a_table_of_tensors_that_lies_is_ignored_and_said(blob: bytes) -> None:
    file = with_tensors(MOSAIC, blob)
    with at_most(2 * MIB):
        found = tiffsd.read(file)
    assert any("the exact tensors were ignored" in note or "lost its exact tensors" in note for note in found.notes)
    np.testing.assert_allclose(found.tensors["latents"], MOSAIC.tensors["latents"], atol=1e-4)
