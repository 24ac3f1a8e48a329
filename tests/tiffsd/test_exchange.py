"""Section 12 of the format: OpenEXR and latents of ComfyUI, written, read, edited, damaged."""

import io
import json
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from safetensors.torch import load as load_in_torch

import tiffsd
from tests.artifacts import embedding, half_done, latents, picture
from tiffsd.exr_file import write_exr
from tiffsd.latent_file import SCALINGS, Scaling, scaled, write_latent
from tiffsd.light import between_primaries, to_light, to_srgb

RNG = np.random.default_rng(5)
LIGHT = RNG.random((24, 40)).astype(np.float32)
COLOURS = {name: RNG.random((24, 40)).astype(np.float32) for name in "RGB"}
DISPLAY_P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329)


def exr_of(artifact: tiffsd.Artifact, layout: tiffsd.Layout | None = None) -> bytes:
    file = io.BytesIO()
    write_exr(file, artifact if layout is None else replace(artifact, header=replace(artifact.header, layout=layout)))
    return file.getvalue()


def exr_with(channels: Mapping[str, NDArray[Any]], **header: Any) -> bytes:
    """A file of another program."""
    file = io.BytesIO()
    words = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(words, dict(channels), num_threads=0).write(file)
    return file.getvalue()


def read(data: bytes, name: str = "it.exr", **how: Any) -> tiffsd.Artifact:
    return tiffsd.read(io.BytesIO(data), name=name, **how)


def edited(data: bytes, change: Callable[[dict[str, NDArray[Any]]], None], *, keeps: Sequence[str] = ()) -> bytes:
    """A file as an editor saves it again: other pixels, and of the attributes those that it keeps."""
    opened = OpenEXR.File(io.BytesIO(data), separate_channels=True, num_threads=0)
    channels = {name: channel.pixels.copy() for name, channel in opened.channels().items()}
    change(channels)
    return exr_with(channels, **{name: opened.header()[name] for name in keeps})


# --- OpenEXR: what is written comes back


@pytest.mark.parametrize("layout", [tiffsd.Layout.PAGES, tiffsd.Layout.MOSAIC])
@pytest.mark.parametrize("made", [latents(), latents(channels=16), half_done()], ids=["noise", "16 channels", "half-done"])
def test_latents_come_back_from_openexr_with_all_that_was_in_them(made: tiffsd.Artifact, layout: tiffsd.Layout) -> None:
    found = read(exr_of(made, layout))
    assert found.header == replace(made.header, layout=layout)
    assert (found.painted, found.notes) == (0, ())
    assert found.tensors.keys() == made.tensors.keys()
    assert all(np.array_equal(found.tensors[name], made.tensors[name]) for name in made.tensors)


def test_an_embedding_comes_back_from_openexr() -> None:
    made = embedding()
    found = read(exr_of(made))
    assert found.header == made.header
    assert all(np.array_equal(found.tensors[name], made.tensors[name]) for name in made.tensors)


def test_a_picture_comes_back_from_openexr_within_the_error_that_the_format_states() -> None:
    made = picture(200, 300)
    values = made.tensors["picture"] * 6 - 2
    made = replace(made, tensors={"picture": values})
    found = read(exr_of(made))
    assert found.header == made.header
    error = np.abs(found.tensors["picture"].astype(np.float64) - values) / np.maximum(1, np.abs(values))
    assert error.max() <= 2**-23
    assert (found.tensors["picture"] == values).mean() > 0.8


def test_a_picture_of_half_floats_comes_back_within_three_digits() -> None:
    made = picture(dtype=np.float16)
    data = exr_of(made)
    channels = OpenEXR.File(io.BytesIO(data), separate_channels=True, num_threads=0).channels()
    assert {name: channel.pixels.dtype for name, channel in channels.items()} == dict.fromkeys("BGR", np.float16)
    assert np.abs(read(data).tensors["picture"] - made.tensors["picture"].astype(np.float32)).max() <= 2**-10


def test_a_picture_that_is_too_bright_for_half_floats_is_refused() -> None:
    made = picture(dtype=np.float16)
    bright = replace(made, tensors={"picture": made.tensors["picture"] * 0 + np.float16(200)})
    with pytest.raises(tiffsd.BadValues, match="write it as float32"):
        exr_of(bright)


def test_an_openexr_file_says_what_its_channels_are_to_programs_and_people() -> None:
    made = latents()
    header = OpenEXR.File(io.BytesIO(exr_of(made, tiffsd.Layout.PAGES)), num_threads=0).header()
    assert [channel.name for channel in header["channels"]] == [f"channel {k}.Y" for k in range(4)]
    assert header["comments"].startswith(f"TIFFSD latents {made.header.id}")
    assert header["comments"].endswith("pixel = 0.5 + x / 8")
    assert json.loads(header["tiffsd"])["recipe"] == made.header.recipe
    assert "sqrt(sigma^2 + 1)" in OpenEXR.File(io.BytesIO(exr_of(half_done(sigma=2.0))), num_threads=0).header()["comments"]


def test_layout_rgba_which_would_be_transparency_is_not_written() -> None:
    with pytest.raises(tiffsd.BadShape, match="use pages or mosaic"):
        exr_of(latents(), tiffsd.Layout.RGBA)


def test_the_header_and_the_id_are_known_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    made = latents()
    data = exr_of(made, tiffsd.Layout.PAGES)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    assert tiffsd.inspect(io.BytesIO(data), name="it.exr").id == made.header.id
    assert tiffsd.find_id(io.BytesIO(data), "it.exr") == made.header.id
    with pytest.raises(tiffsd.NotTiffsd, match=r"it\.exr: OpenEXR files need .*pip install OpenEXR"):
        read(data)
    with pytest.raises(tiffsd.NotTiffsd, match="need the package OpenEXR"):
        exr_of(made)


# --- OpenEXR: what editors make of latents


def _white_square(channels: dict[str, NDArray[Any]]) -> None:
    channels["channel 2.Y"][3:6, 3:6] = 1


@pytest.mark.parametrize("keeps", [["tiffsd", "tiffsdTensors"], ["tiffsd"], []], ids=["all", "the record", "nothing"])
def test_what_was_painted_on_a_channel_counts_and_all_else_stays_exact(keeps: list[str]) -> None:
    made = latents(state=tiffsd.State.FINAL)
    data = edited(exr_of(made, tiffsd.Layout.PAGES), _white_square, keeps=keeps)
    found = tiffsd.repair(read(data, f"cat.{made.header.id}.exr"), made)
    assert (found.painted, found.header.recipe) == (9, made.header.recipe)
    expected = made.tensors["latents"].copy()
    expected[2, 3:6, 3:6] = 4
    assert np.array_equal(found.tensors["latents"], expected)
    assert np.array_equal(found.tensors["prompt_embeds"], made.tensors["prompt_embeds"])


@pytest.mark.parametrize(
    "name", ["channel_{}.Y", "ViewLayer.channel {}.V", "channel{}", "latents.{}", "latent {}.R", "rgba/Channel {}.Y"]
)
def test_channels_are_known_by_the_names_that_programs_give_them(name: str) -> None:
    made = latents(channels=16, height=8, width=8)
    planes = made.tensors["latents"] / 8 + np.float32(0.5)
    data = exr_with({name.format(k): plane for k, plane in enumerate(planes)})
    assert tiffsd.inspect(io.BytesIO(data), name="it.exr").size == (16, 8, 8)
    found = read(data)
    assert np.abs(found.tensors["latents"] - made.tensors["latents"]).max() < 1e-6
    assert "16 gray pages were taken as channels" in found.notes


def test_layers_with_an_opaque_alpha_and_gray_in_three_colours_are_gray() -> None:
    planes = latents().tensors["latents"] / 8 + np.float32(0.5)
    one = np.ones((16, 16), np.float32)
    krita = exr_with({f"channel {k}.{c}": plane for k, plane in enumerate(planes) for c, plane in (("Y", plane), ("A", one))})
    colours = exr_with({f"channel {k}.{c}": plane for k, plane in enumerate(planes) for c in "RGB"})
    assert np.array_equal(read(krita).tensors["latents"], read(colours).tensors["latents"])
    holed = exr_with({f"channel {k}.{c}": v for k, plane in enumerate(planes) for c, v in (("Y", plane), ("A", one / 2))})
    with pytest.raises(tiffsd.BadValues, match="transparent in places"):
        read(holed)


def test_a_data_window_that_a_program_cut_to_what_is_not_black_leaves_the_size() -> None:
    made = latents(state=tiffsd.State.FINAL)
    planes = made.tensors["latents"] / 8 + np.float32(0.5)
    windows = {
        "dataWindow": (np.array([2, 4], np.int32), np.array([15, 15], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([15, 15], np.int32)),
    }
    data = exr_with({f"channel {k}.Y": plane[4:, 2:].copy() for k, plane in enumerate(planes)}, **windows)
    found = read(data).tensors["latents"]
    assert found.shape == (4, 16, 16)
    assert np.array_equal(found[:, :4], np.full((4, 4, 16), -4, np.float32))
    assert np.abs(found[:, 4:, 2:] - made.tensors["latents"][:, 4:, 2:]).max() < 1e-6


@pytest.mark.parametrize("codec", ["B44", "B44A", "DWAA", "DWAB", "PXR24"])
def test_latents_that_were_coded_with_loss_are_refused(codec: str) -> None:
    kind = np.float16 if codec.startswith("B44") else np.float32
    planes = {f"channel {k}.Y": plane.astype(kind) for k, plane in enumerate(latents().tensors["latents"] / 8 + 0.5)}
    data = exr_with(planes, compression=getattr(OpenEXR, f"{codec}_COMPRESSION"))
    with pytest.raises(tiffsd.BadValues, match=f"compressed with {codec}, which changes values"):
        read(data)


def test_whole_numbers_are_no_latents() -> None:
    with pytest.raises(tiffsd.BadValues, match="whole numbers"):
        read(exr_with({f"channel {k}.Y": np.ones((8, 8), np.uint32) for k in range(4)}))


# --- OpenEXR: pictures


@pytest.mark.parametrize(("light", "srgb"), [(0.0, 0.0), (0.002, 0.02584), (0.214041, 0.5), (1.0, 1.0), (4.0, 1.82479)])
def test_light_becomes_srgb_below_black_and_above_white_too(light: float, srgb: float) -> None:
    values = np.array([light, -light], np.float32)
    assert np.allclose(to_srgb(values), [srgb, -srgb], atol=1e-5)
    assert np.allclose(to_light(to_srgb(values)), values, rtol=1e-6)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("codec", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "HTJ2K32", "ZSTD"])
def test_pictures_are_read_whatever_codes_them(codec: str, tiled: bool) -> None:
    header: dict[str, Any] = {"compression": getattr(OpenEXR, f"{codec}_COMPRESSION", OpenEXR.ZIP_COMPRESSION)}
    if tiled:
        tiles = OpenEXR.TileDescription()
        tiles.xSize, tiles.ySize, tiles.mode = 16, 16, OpenEXR.ONE_LEVEL
        header |= {"type": OpenEXR.tiledimage, "tiles": tiles}
    found = read(exr_with(COLOURS, **header)).tensors["picture"]
    assert np.abs(found - to_srgb(np.stack(list(COLOURS.values()), axis=2))).max() < 1e-4


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint32])
def test_numbers_of_each_type_are_what_they_say(kind: type) -> None:
    ones = {name: np.ones((9, 9), kind) for name in "RGB"}
    assert np.array_equal(read(exr_with(ones)).tensors["picture"], np.ones((9, 9, 3), np.float32))


def test_gray_is_a_picture_and_where_latents_are_expected_a_mosaic() -> None:
    data = exr_with({"Y": LIGHT})
    assert np.array_equal(read(data).tensors["picture"], np.repeat(to_srgb(LIGHT)[..., None], 3, axis=2))
    assert read(data, expect=tiffsd.Kind.LATENTS).header.size == (4, 12, 20)


def test_transparent_parts_are_laid_on_white_in_light() -> None:
    alpha = np.full((24, 40), 0.25, np.float32)
    data = exr_with({**{name: colour * alpha for name, colour in COLOURS.items()}, "A": alpha})
    found = read(data, alpha=True)
    over_white = np.stack(list(COLOURS.values()), axis=2) * np.float32(0.25) + np.float32(0.75)
    assert np.abs(found.tensors["picture"] - to_srgb(over_white)).max() < 1e-6
    assert np.array_equal(found.tensors["alpha"], alpha)
    assert "transparent parts were laid on white" in found.notes
    opaque = read(exr_with({**COLOURS, "A": np.ones((24, 40), np.float32)}), alpha=True)
    assert (opaque.notes, "alpha" in opaque.tensors) == ((), False)


def test_other_primaries_are_brought_to_those_of_srgb() -> None:
    red = {name: np.full((9, 9), name == "R", np.float32) for name in "RGB"}
    found = read(exr_with(red, chromaticities=DISPLAY_P3))
    # Pure red of Display P3, in extended sRGB (CSS Color 4 has 1.093, -0.227, -0.150).
    assert np.allclose(found.tensors["picture"][0, 0], [1.0930, -0.2267, -0.1501], atol=2e-3)
    assert "brought to sRGB from the primaries" in found.notes[0]


def test_primaries_that_differ_by_rounding_are_the_same_and_white_stays_white() -> None:
    rec_709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
    assert between_primaries(tuple(x + 1e-5 for x in rec_709), rec_709) is None
    aces = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    matrix = between_primaries(aces, rec_709)
    assert matrix is not None
    assert np.allclose(matrix @ np.ones(3), 1, atol=1e-6)
    with pytest.raises(tiffsd.BadValues, match="chromaticities that cannot be used"):
        read(exr_with(COLOURS, chromaticities=(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3127, 0.329)))


def test_the_picture_is_the_display_window() -> None:
    windows = {
        "dataWindow": (np.array([-4, 2], np.int32), np.array([35, 25], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([19, 29], np.int32)),
    }
    data = exr_with(COLOURS, **windows)
    found = read(data)
    assert tiffsd.inspect(io.BytesIO(data), name="it.exr").size == found.header.size == (30, 20, 3)
    assert not found.tensors["picture"][:2].any()
    assert np.array_equal(found.tensors["picture"][2:26, :, 0], to_srgb(COLOURS["R"])[:, 4:24])
    assert "its pixels are 40x24 at -4+2" in found.notes[0]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("ViewLayer.Combined.{}", "ViewLayer.DiffCol.{}"), "ViewLayer.Combined"),
        (("beauty.{}", "depth.Z"), "beauty"),
        (("{}", "beauty.{}"), ""),
    ],
)
def test_of_layers_the_one_that_is_the_picture_is_taken(names: tuple[str, ...], taken: str) -> None:
    first, second = (name if "{}" in name else f"{name}" for name in names)
    channels = {first.format(c): COLOURS[c] for c in "RGB"} | {second.format(c): LIGHT for c in ("RGB" if "{}" in second else "Z")}
    found = read(exr_with(channels))
    assert np.array_equal(found.tensors["picture"][..., 1], to_srgb(COLOURS["G"]))
    assert ("".join(found.notes) == f"of its layers {taken!r} was taken") is bool(taken)


def test_of_several_parts_the_picture_is_read() -> None:
    file = io.BytesIO()
    depth = OpenEXR.Part({"name": "depth", "type": OpenEXR.scanlineimage}, {"Z": LIGHT})
    colours = OpenEXR.Part({"name": "rgba", "type": OpenEXR.scanlineimage}, dict(COLOURS))
    OpenEXR.File([depth, colours], num_threads=0).write(file)
    assert np.array_equal(read(file.getvalue()).tensors["picture"][..., 2], to_srgb(COLOURS["B"]))


@pytest.mark.parametrize(
    ("channels", "sentence"),
    [
        (
            {"left.R": LIGHT, "left.G": LIGHT, "left.B": LIGHT, "right.R": LIGHT, "right.G": LIGHT, "right.B": LIGHT},
            "2 pictures in it",
        ),
        ({"Z": LIGHT, "N.X": LIGHT, "N.Y2": LIGHT}, "no channels R, G and B, nor Y .*'Z'"),
        ({"Y": LIGHT, "RY": LIGHT, "BY": LIGHT}, "luminance and chroma"),
        ({name: LIGHT * np.float32("nan") for name in "RGB"}, "not numbers"),
        ({name: LIGHT * np.float32("inf") for name in "RGB"}, "not numbers"),
    ],
)
def test_what_is_no_picture_is_refused_by_the_name_of_what_it_is(channels: dict[str, NDArray[Any]], sentence: str) -> None:
    with pytest.raises(tiffsd.TiffsdError, match=f"it.exr has .*{sentence}|it.exr has {sentence}"):
        read(exr_with(channels))


def test_deep_pixels_and_channels_of_half_the_size_are_refused() -> None:
    deep = bytearray(exr_with(dict(COLOURS)))
    deep[5] |= 0x08
    with pytest.raises(tiffsd.BadShape, match="has deep pixels"):
        read(bytes(deep))
    halved = exr_with(dict(COLOURS))
    place = halved.index(b"B\0" + struct.pack("<iB3xii", 2, 0, 1, 1)) + 2 + 8
    with pytest.raises(tiffsd.BadShape, match="channels of half the size"):
        read(halved[:place] + struct.pack("<ii", 2, 2) + halved[place + 8 :])


def with_smaller_copies(data: bytes, width: int, height: int, tile: int) -> bytes:
    """A file of uncompressed tiles in R, G, B floats, with copies of half, a quarter ... of its size behind it, all of them black.

    The library writes none; layout: "OpenEXR File Layout", tiles of a mip-map, rounded down."""
    mode = data.index(b"tiles\0tiledesc\0") + 15 + 4 + 8
    across, down = -(-width // tile), -(-height // tile)
    head = data[: data.index(struct.pack("<Q", first_place(data, across * down)))]
    copies = []
    level, w, h = 1, width // 2, height // 2
    while True:
        for y in range(-(-h // tile)):
            for x in range(-(-w // tile)):
                size = 12 * min(tile, w - x * tile) * min(tile, h - y * tile)
                copies.append(struct.pack("<5i", x, y, level, level, size) + bytes(size))
        if max(w, h) == 1:
            break
        level, w, h = level + 1, max(w // 2, 1), max(h // 2, 1)
    places = np.frombuffer(data, "<u8", across * down, len(head)) + 8 * len(copies)
    ends = len(data) + 8 * len(copies) + np.cumsum([0, *map(len, copies)])[:-1]
    table = np.concatenate([places, ends]).astype("<u8").tobytes()
    return head[:mode] + b"\1" + head[mode + 1 :] + table + data[len(head) + 8 * across * down :] + b"".join(copies)


def first_place(data: bytes, count: int) -> int:
    """Where the first tile lies: behind the list of so many places, which is where the list says so itself."""
    return next(k for k in range(300, len(data)) if data[k - 8 * count : k - 8 * count + 8] == struct.pack("<Q", k))


def test_of_a_picture_with_smaller_copies_the_largest_is_read() -> None:
    tiles = OpenEXR.TileDescription()
    tiles.xSize, tiles.ySize, tiles.mode = 16, 16, OpenEXR.ONE_LEVEL
    flat = exr_with(dict(COLOURS), type=OpenEXR.tiledimage, tiles=tiles, compression=OpenEXR.NO_COMPRESSION)
    found = read(with_smaller_copies(flat, 40, 24, 16)).tensors["picture"]
    assert np.array_equal(found[..., 0], to_srgb(COLOURS["R"]))


def test_lines_that_lie_from_bottom_to_top_are_read_as_they_are_meant() -> None:
    found = read(exr_with(dict(COLOURS), lineOrder=OpenEXR.DECREASING_Y)).tensors["picture"]
    assert np.array_equal(found[..., 0], to_srgb(COLOURS["R"]))


def test_pixels_that_are_no_squares_are_told() -> None:
    notes = read(exr_with(dict(COLOURS), pixelAspectRatio=2.0)).notes
    assert notes == ("its pixels are 2 times as wide as high, and were taken as squares",)


# --- OpenEXR: damaged and hostile files


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused_with_a_sentence(share: float) -> None:
    for data in (exr_of(picture(100, 100)), exr_of(latents(height=64, width=64), tiffsd.Layout.PAGES)):
        with pytest.raises(tiffsd.TiffsdError, match=r"^it\.exr "):
            read(data[: int(share * len(data))])


def test_a_list_of_places_that_leads_out_of_the_file_is_refused_as_cut_off() -> None:
    data = exr_with(dict(COLOURS))
    with pytest.raises(tiffsd.Truncated, match="is cut off: some of its 2 pieces of pixels do not lie within"):
        read(data[: len(data) - 5000])


def test_pixels_that_are_damaged_are_refused_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(exr_with({name: np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100) for name in "RGB"}))
    data[-300:-200] = bytes(100)
    with pytest.raises(tiffsd.Truncated, match="damaged or incomplete"):
        read(bytes(data))
    assert capsys.readouterr().out == ""


def _with_window(data: bytes, name: bytes, box: tuple[int, int, int, int]) -> bytes:
    place = data.index(name + b"\0box2i\0") + len(name) + 7 + 4
    return data[:place] + struct.pack("<4i", *box) + data[place + 16 :]


@pytest.mark.parametrize(
    "box", [(0, 0, 2**31 - 1, 2**31 - 1), (-(2**31), 0, 2**31 - 1, 0), (0, 0, 65535, 65535), (0, 0, -1, -1), (5, 5, 4, 9)]
)
@pytest.mark.parametrize("window", [b"dataWindow", b"displayWindow"])
def test_windows_that_nobody_has_are_refused_before_anything_is_allocated(window: bytes, box: tuple[int, int, int, int]) -> None:
    with pytest.raises((tiffsd.TooLarge, tiffsd.Truncated)):
        read(_with_window(exr_of(picture()), window, box))


def test_a_header_of_endless_attributes_is_refused_and_long_ones_are_passed_over() -> None:
    data = exr_with(dict(COLOURS), note="x" * 2**20)
    assert read(data).header.size == (24, 40, 3)
    attribute = b"a%d\0string\0" + struct.pack("<i", 2**16) + b"x" * 2**16
    for count, sentence in ((300, "bytes of attributes"), (2000, "attributes")):
        endless = data[:8] + b"".join(attribute % k for k in range(count)) + data[8:]
        with pytest.raises(tiffsd.Truncated, match=sentence):
            read(endless)


def test_a_caller_with_less_memory_says_how_much_is_read() -> None:
    with pytest.raises(tiffsd.TooLarge, match="a canvas of 768 pixels, and at most 700"):
        read(exr_of(picture(24, 32)), largest=700)


def test_random_changes_end_in_a_sentence_or_in_an_artifact() -> None:
    rng, sentences = np.random.default_rng(11), list[str]()
    specimens = [exr_of(latents(height=8, width=8), tiffsd.Layout.PAGES), exr_with(COLOURS), _latent_of(latents(height=8, width=8))]
    for turn in range(300):
        data = bytearray(specimens[turn % 3])
        for place in rng.integers(0, min(len(data), 700), 3):
            data[place] = rng.integers(0, 256)
        name = "it.latent" if turn % 3 == 2 else "it.exr"
        try:
            read(bytes(data), name)
            tiffsd.inspect(io.BytesIO(bytes(data)), name=name)
        except tiffsd.TiffsdError as error:
            sentences.append(str(error))
    assert len(sentences) > 100
    assert not any("\n" in sentence for sentence in sentences)


# --- latents of ComfyUI


def load_latent(data: bytes) -> torch.Tensor:
    """What ComfyUI's node LoadLatent makes of a file (its nodes.py, in its words)."""
    latent = load_in_torch(data)
    multiplier = 1.0 if "latent_format_version_0" in latent else 1.0 / 0.18215
    return latent["latent_tensor"].float() * multiplier


def save_latent(samples: NDArray[Any], **metadata: str) -> bytes:
    """What its node SaveLatent makes of samples."""
    return save({"latent_tensor": samples, "latent_format_version_0": np.zeros(0, np.float32)}, metadata or None)


def _latent_of(artifact: tiffsd.Artifact, scaling: Scaling = SCALINGS["flux"]) -> bytes:
    file = io.BytesIO()
    write_latent(file, artifact, scaling)
    return file.getvalue()


@pytest.mark.parametrize("family", SCALINGS)
def test_comfyui_loads_the_latents_that_are_written_in_the_units_of_the_vae(family: str) -> None:
    made, scaling = latents(channels=16, state=tiffsd.State.FINAL), SCALINGS[family]
    loaded = load_latent(_latent_of(made, scaling))
    assert loaded.shape == (1, 16, 16, 16)
    # What its sampler does with them: LatentFormat.process_in.
    processed = (loaded[0].double() - scaling.shift) * scaling.factor
    assert torch.allclose(processed, torch.from_numpy(made.tensors["latents"]).double(), atol=2e-6)


def test_latents_come_back_from_comfyuis_form_with_all_that_was_in_them() -> None:
    made = half_done()
    found = read(_latent_of(made), "cat.latent")
    assert found.header == made.header
    assert (found.painted, found.notes, found.of_vae) == (0, (), False)
    assert found.tensors.keys() == made.tensors.keys()
    assert all(np.array_equal(found.tensors[name], made.tensors[name]) for name in made.tensors)


def test_what_a_script_changed_in_a_latent_file_counts_and_all_else_stays_exact() -> None:
    made = half_done()
    data = _latent_of(made)
    head = int.from_bytes(data[:8], "little")
    place = 8 + head + json.loads(data[8 : 8 + head])["latent_tensor"]["data_offsets"][0]
    found = read(data[:place] + struct.pack("<f", 7.0) + data[place + 4 :], "cat.latent")
    expected = made.tensors["latents"].copy()
    expected[0, 0, 0] = np.float32((7.0 - 0.1159) * 0.3611)
    assert found.painted == 1
    assert np.allclose(found.tensors["latents"][0, 0, 0], expected[0, 0, 0])
    assert np.array_equal(found.tensors["latents"].ravel()[1:], expected.ravel()[1:])
    assert not any(name.startswith("scheduler.") for name in found.tensors)


def test_latents_that_comfyui_saved_are_those_of_a_vae_until_somebody_says_of_which() -> None:
    samples = RNG.standard_normal((1, 4, 8, 8)).astype(np.float32) * 5
    found = read(save_latent(samples, prompt="{}"), "ComfyUI_00001_.latent")
    assert found.of_vae
    assert found.header.state is tiffsd.State.FINAL
    assert np.array_equal(found.tensors["latents"], samples[0])
    with pytest.raises(tiffsd.BadValues, match="in the units of their VAE"):
        tiffsd.write(io.BytesIO(), found)
    brought = scaled(found, SCALINGS["sdxl"])
    assert np.allclose(brought.tensors["latents"], samples[0] * 0.13025, rtol=1e-6)
    tiffsd.write(io.BytesIO(), brought)


def test_a_file_of_an_early_comfyui_is_what_its_loader_makes_of_it() -> None:
    samples = RNG.standard_normal((1, 4, 8, 8)).astype(np.float32)
    data = save({"latent_tensor": samples})
    found = read(data, "old.latent")
    assert np.allclose(found.tensors["latents"], load_latent(data)[0].numpy(), rtol=1e-6)
    assert np.allclose(scaled(found, SCALINGS["sd1"]).tensors["latents"], samples[0], rtol=1e-6)
    assert any("early ComfyUI" in note for note in found.notes)


def test_half_precision_of_either_kind_and_one_frame_are_read() -> None:
    samples = RNG.standard_normal((1, 16, 4, 4)).astype(np.float32)
    bits = (samples.view(np.uint32) >> 16).astype(np.uint16)
    halves = save_latent(samples.astype(np.float16))
    brain = save_latent(bits).replace(b'"U16"', b'"BF16"', 1)
    brain = _resized_head(brain)
    assert np.abs(read(halves, "a.latent").tensors["latents"] - samples[0]).max() < 0.01
    assert np.abs(read(brain, "a.latent").tensors["latents"] - samples[0]).max() < 0.04
    assert read(save_latent(samples[:, :, None]), "a.latent").header.size == (16, 4, 4)


def _resized_head(data: bytes) -> bytes:
    """A safetensors file whose head was made one byte longer, with its length as it is now."""
    return (int.from_bytes(data[:8], "little") + 1).to_bytes(8, "little") + data[8:]


def test_what_else_lies_in_a_latent_file_is_told() -> None:
    tensors = {"latent_tensor": np.ones((1, 4, 4, 4), np.float32), "noise_mask": np.ones((1, 1, 32, 32), np.float32)}
    notes = read(save({**tensors, "latent_format_version_0": np.zeros(0, np.float32)}), "a.latent").notes
    assert any("noise_mask" in note and "NAME_mask.png" in note for note in notes)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"\1", "no safetensors file"),
        (bytes(100), "no safetensors file"),
        ((2**60).to_bytes(8, "little") + b"{}", "no safetensors file"),
        (b"\4\0\0\0\0\0\0\0null", "is damaged"),
        (save({"weight": np.ones(3, np.float32)}), "without latent_tensor"),
        (save_latent(np.ones((3, 4, 8, 8), np.float32)), "a batch of 3 latents"),
        (save_latent(np.ones((4, 8, 8), np.float32)), r"of shape \[4, 8, 8\]"),
        (save_latent(np.ones((1, 4, 8, 8), np.int32)), "holds I32 numbers"),
        (save_latent(np.full((1, 4, 8, 8), np.nan, np.float32)), "NaN"),
        (save_latent(np.ones((1, 4, 8, 8), np.float32))[:-5], "cut off or damaged"),
        (save_latent(np.ones((1, 129, 1, 1), np.float32)), "of shape"),
    ],
)
def test_a_latent_file_that_cannot_be_used_is_refused_by_what_is_wrong_with_it(data: bytes, sentence: str) -> None:
    with pytest.raises(tiffsd.TiffsdError, match=rf"^it\.latent .*{sentence}"):
        read(data, "it.latent")


def test_a_head_that_says_more_than_the_file_has_is_refused_before_anything_is_allocated() -> None:
    head = json.dumps({"latent_tensor": {"dtype": "F32", "shape": [1, 4, 65536, 65536], "data_offsets": [0, 2**36]}}).encode()
    with pytest.raises(tiffsd.TooLarge, match="more than are read here"):
        read(len(head).to_bytes(8, "little") + head + bytes(64), "it.latent")


def test_the_factors_that_are_known_by_name_are_those_of_the_shipped_configurations() -> None:
    configs = Path(__file__).resolve().parents[2] / "daemon/models/configs"
    folders = {"sd1": "stable-diffusion-1", "sdxl": "stable-diffusion-xl", "sd3": "stable-diffusion-3-medium", "flux": "flux-dev"}
    for family, folder in folders.items():
        config = json.loads((configs / folder / "vae/config.json").read_text())
        assert SCALINGS[family] == Scaling(config["scaling_factor"], config.get("shift_factor") or 0.0)


@pytest.mark.parametrize("factor", [0.0, float("nan"), float("inf"), 1e9])
def test_factors_of_no_vae_are_refused(factor: float) -> None:
    with pytest.raises(tiffsd.BadValues, match="those of no VAE"):
        Scaling(factor)
