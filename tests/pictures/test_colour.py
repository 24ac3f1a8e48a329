"""Colours of photos -> sRGB, against littlecms as Pillow has it, and finer than its 8 bits."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from daemon.pictures.code_points import D65, PRIMARIES, profile_of
from daemon.pictures.colour import srgb_profile, to_srgb
from daemon.pictures.photos import Photo, read_photo
from tests.opening import opening
from tests.tiffs_by_hand import tiff_of
from tiffsd.inks import Space
from tiffsd.profile import profile
from tiffsd.spec import Layout

D50 = (0.34567, 0.35850)
PROPHOTO = (0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
ADOBE = profile_of((0.64, 0.33, 0.21, 0.71, 0.15, 0.06), D65, 2.19921875)
P3 = profile_of(PRIMARIES[12], D65, None)
PROFILES = {
    "Adobe RGB": ADOBE,
    "Display P3": P3,
    "ProPhoto": profile_of(PROPHOTO, D50, 1.8),
    "linear": profile_of(PRIMARIES[1], D65, 1.0),
}
GRAY_GAMMA = imagecodecs.cms_profile("gray", gamma=2.2)
COLOURS = np.random.default_rng(7).integers(0, 256, (32, 48, 3), np.uint8)


def read(path: Path) -> Photo:
    return opening(read_photo, path, path.name, size=(None, None), limit=10**6)


def by_pillow(image: Image.Image, profile: bytes, flags: int = 0) -> np.ndarray:
    """What ImageCms makes of it, within its 8 bits."""
    source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    made = ImageCms.profileToProfile(
        image, source, srgb, renderingIntent=1, outputMode="RGB", flags=flags | ImageCms.Flags.NOOPTIMIZE
    )
    return np.asarray(made) / 255


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tif", "avif"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_photo_in_a_wide_space_is_what_littlecms_makes_of_it(name: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{form}"
    options: dict[str, Any] = {"webp": {"lossless": True}, "jpg": {"quality": 95}, "avif": {"quality": 95}}.get(form, {})
    Image.fromarray(COLOURS).save(path, icc_profile=PROFILES[name], **options)
    with Image.open(path) as image:
        wanted = by_pillow(image.convert("RGB"), PROFILES[name])
    photo = read(path)
    np.testing.assert_allclose(photo.pixels, wanted, atol=1.01 / 255)
    assert photo.notes[0] == "brought to sRGB from its colour profile (RGB built-in)"


@pytest.mark.parametrize("form", ["png", "tif"])
def test_what_is_srgb_stays_the_same_to_the_bit_and_nothing_is_said(form: str, tmp_path: Path) -> None:
    for number, srgb in enumerate((None, srgb_profile(), profile(Layout.RGB, "01234567"), profile_of(PRIMARIES[1], D65, None))):
        path = tmp_path / f"{number}.{form}"
        Image.fromarray(COLOURS).save(path, **({"icc_profile": srgb} if srgb else {}))
        photo = read(path)
        np.testing.assert_array_equal(photo.pixels, COLOURS.astype(np.float32) / np.float32(255))
        assert photo.notes == ()


def srgb_of(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.clip(linear, 0, None) ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_linear_light_of_16_bits_or_floats_is_not_crushed_to_8(kind: type, tmp_path: Path) -> None:
    ramp = np.linspace(0, 0.05, 16 * 64).reshape(16, 64, 1).repeat(3, axis=2)
    stored = ramp.astype(np.float32) if kind is np.float32 else np.rint(ramp * 65_535).astype(np.uint16)
    path = tmp_path / "linear.tif"
    tifffile.imwrite(path, stored, photometric="rgb", iccprofile=PROFILES["linear"], metadata=None)
    exact = srgb_of(stored.astype(np.float64) / (1 if kind is np.float32 else 65_535))
    np.testing.assert_allclose(read(path).pixels, exact, atol=3e-4)


def test_light_beyond_white_is_white_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "bright.tif"
    light = np.full((16, 16, 3), 0.2, np.float32)
    light[:8] = 4
    tifffile.imwrite(path, light, photometric="rgb", iccprofile=PROFILES["linear"], metadata=None)
    photo = read(path)
    np.testing.assert_allclose(photo.pixels[:8], 1, atol=1e-3)
    assert "50.0 % of its pixels have colours that sRGB has not; the nearest were taken" in photo.notes


def test_a_large_tiff_of_gray_floats_is_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "gray.tif"
    light = np.linspace(0, 1, 2464 * 2000, dtype=np.float32).reshape(2464, 2000)
    tifffile.imwrite(path, light, photometric="minisblack", metadata=None)
    photo = opening(read_photo, path, path.name, size=(None, None), limit=2**20, area=2**14)
    assert photo.pixels.shape == (144, 112, 3)
    np.testing.assert_allclose(photo.pixels[..., 0].mean(), 0.5, atol=0.01)


@pytest.mark.parametrize("form", ["png", "tif", "jpg"])
def test_gray_is_read_by_its_own_profile_and_stays_gray(form: str, tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = tmp_path / f"gray.{form}"
    Image.fromarray(levels).save(path, icc_profile=GRAY_GAMMA, **({"quality": 100} if form == "jpg" else {}))
    photo = read(path)
    np.testing.assert_allclose(photo.pixels[..., 0], srgb_of((levels / 255) ** 2.2), atol=(1.5 if form == "jpg" else 0.2) / 255)
    np.testing.assert_array_equal(photo.pixels[..., 0], photo.pixels[..., 2])


def cmyk_profile() -> bytes:
    """A profile of inks with a table of two points for each (ICC.1, lut8Type): what (1 - c) (1 - k) gives, and a tint."""
    corners = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    light = (1 - corners[:, :3]) * (1 - corners[:, 3:]) * 0.9 + 0.05
    lab = np.stack(
        [light.mean(axis=1) * 255, 128 + 60 * (light[:, 0] - light[:, 1]), 128 + 60 * (light[:, 1] - light[:, 2])], axis=1
    )
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65_536 if k % 4 == 0 else 0 for k in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + np.rint(lab).astype(np.uint8).tobytes() + ramp * 3
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63_190, 65_536, 54_061)
    tags, body, at = b"", b"", 128 + 4 + 12 * 3
    for name, data in ((b"desc", text), (b"wtpt", white), (b"A2B0", table)):
        tags += struct.pack(">4sII", name, at + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    content = struct.pack(">I", 3) + tags + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(content), b"\0" * 4, 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + content


@pytest.mark.parametrize("form", ["jpg", "tif"])
def test_inks_are_mixed_by_their_profile(form: str, tmp_path: Path) -> None:
    inks = np.random.default_rng(2).integers(0, 256, (16, 16, 4), np.uint8)
    path = tmp_path / f"print.{form}"
    made = cmyk_profile()
    if form == "tif":
        path.write_bytes(tiff_of(inks, 8, photometric=5, profile=made))
    else:
        Image.frombytes("CMYK", (16, 16), inks.tobytes()).save(path, icc_profile=made, quality=100)
    with Image.open(path) as image:
        wanted = by_pillow(image, made, flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
    photo = read(path)
    np.testing.assert_allclose(photo.pixels, wanted, atol=1.6 / 255)
    assert photo.notes[0] == "brought to sRGB from its colour profile (inks)"


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (b"no profile" * 30, "its colour profile cannot be used (cannot open profile from string); it was taken as sRGB"),
        (ADOBE[:300], "its colour profile cannot be used (cmsCreateTransform returned NULL); it was taken as sRGB"),
        (GRAY_GAMMA, "its colour profile (gray built-in) is one of GRAY in a picture of RGB; it was taken as sRGB"),
    ],
    ids=["junk", "broken off", "another space"],
)
def test_a_profile_that_cannot_be_used_is_said_and_the_picture_taken_as_srgb(made: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(COLOURS).save(path, icc_profile=made)
    photo = read(path)
    np.testing.assert_array_equal(photo.pixels, COLOURS.astype(np.float32) / np.float32(255))
    assert photo.notes == (sentence,)


def png(*chunks: tuple[bytes, bytes], depth: int = 8, pixels: np.ndarray = COLOURS, kind: int = 2) -> bytes:
    """A PNG with these chunks before its pixels."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in (pixels if depth == 8 else pixels.astype(">u2")))
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    said = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in said]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


P3_CODE_POINTS, SRGB_CODE_POINTS = b"\x0c\x0d\0\1", b"\x01\x0d\0\1"
LINEAR, USUAL_GAMMA = struct.pack(">I", 100_000), struct.pack(">I", 45_455)
ICC_ADOBE = b"adobe\0\0" + zlib.compress(ADOBE)


@pytest.mark.parametrize(
    ("chunks", "meant"),
    [
        ([(b"cICP", P3_CODE_POINTS)], P3),
        ([(b"cICP", P3_CODE_POINTS), (b"iCCP", ICC_ADOBE)], P3),
        ([(b"cICP", SRGB_CODE_POINTS), (b"iCCP", ICC_ADOBE)], None),
        ([(b"iCCP", ICC_ADOBE), (b"gAMA", LINEAR)], ADOBE),
        ([(b"gAMA", LINEAR)], PROFILES["linear"]),
        ([(b"gAMA", LINEAR), (b"sRGB", b"\0")], None),
        ([(b"gAMA", USUAL_GAMMA)], None),
        ([(b"gAMA", USUAL_GAMMA), (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))], P3),
    ],
)
def test_what_a_png_says_of_its_colours_counts_in_the_order_of_its_specification(
    chunks: list[tuple[bytes, bytes]], meant: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(*chunks))
    unit = COLOURS.astype(np.float32) / np.float32(255)
    wanted = unit if meant is None else to_srgb(unit, Space.RGB, meant)[0]
    np.testing.assert_allclose(read(path).pixels, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("chunk", "sentence"),
    [
        (
            (b"cICP", b"\x63\x0d\0\1"),
            "its colours are of the code points 99 and 13, which are not known here; it was taken as sRGB",
        ),
        ((b"gAMA", struct.pack(">I", 1)), "its gamma of 1e-05 is none that pictures have; it was taken as sRGB"),
    ],
)
def test_what_is_not_known_is_said(chunk: tuple[bytes, bytes], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(chunk))
    assert read(path).notes == (sentence,)


# Levels of 16 bits and the light that they are in cd/m2 on a screen, after SMPTE ST 2084 and ITU-R BT.2100 (HLG: 1000 cd/m2).
LIGHTS = {"PQ": (16, [(0, 0.0), (19_641, 10.0), (33_289, 100.0), (38_055, 203.0), (49_271, 1000.0)]),
          "HLG": (18, [(0, 0.0), (32_768, 50.7), (49_151, 203.0), (65_535, 1000.0)])}  # fmt: skip


@pytest.mark.parametrize("name", LIGHTS)
def test_light_of_high_dynamic_range_is_white_from_that_of_paper_on(name: str, tmp_path: Path) -> None:
    transfer, levels = LIGHTS[name]
    path = tmp_path / "photo.png"
    pixels = (
        np.array([level for level, _ in levels], np.uint16)[None, :, None].repeat(3, axis=2).repeat(16, axis=0).repeat(8, axis=1)
    )
    path.write_bytes(png((b"cICP", bytes([9, transfer, 0, 1])), depth=16, pixels=pixels))
    linear = np.minimum(np.array([light for _, light in levels]) / 203, 1)
    wanted = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    photo = read(path)
    np.testing.assert_allclose(photo.pixels[4, 4::8, 1], wanted, atol=0.004)
    assert photo.notes[0].startswith(f"it is of high dynamic range ({name}): what is brighter than the white of paper")


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("alpha", [False, True])
def test_an_avif_of_more_than_8_bits_keeps_them(bits: int, alpha: bool, tmp_path: Path) -> None:
    full = (1 << bits) - 1
    deep = np.random.default_rng(1).integers(0, full + 1, (16, 24, 3 + alpha), np.uint16)
    if alpha:
        deep[..., 3] = full
    path = tmp_path / "deep.avif"
    path.write_bytes(imagecodecs.avif_encode(deep, level=100, bitspersample=bits))
    np.testing.assert_allclose(read(path).pixels, deep[..., :3] / full, atol=1e-6)


def test_a_heic_of_10_bits_keeps_them(tmp_path: Path) -> None:
    plugin = pytest.importorskip("pillow_heif")
    deep = np.linspace(0, 1023, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint16)
    picture = plugin.from_bytes(mode="RGB;16", size=(64, 64), data=(deep << 6).tobytes())
    picture.save(tmp_path / "deep.heic", quality=-1)
    found = read(tmp_path / "deep.heic").pixels
    np.testing.assert_allclose(found, deep / 1023, atol=2 / 1023)
    assert len(np.unique(found)) > 900, "8 bits would have 256 levels"


def test_a_png_of_16_bits_keeps_them(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 65_536, (16, 24, 3), np.uint16)
    path = tmp_path / "deep.png"
    path.write_bytes(png(depth=16, pixels=deep))
    np.testing.assert_array_equal(read(path).pixels, deep.astype(np.float32) / np.float32(65_535))


def test_a_transparent_png_of_16_bits_is_laid_on_white(tmp_path: Path) -> None:
    deep = np.random.default_rng(1).integers(0, 65_536, (16, 24, 4), np.uint16)
    path = tmp_path / "deep.png"
    path.write_bytes(png(depth=16, pixels=deep, kind=6))
    unit = deep / 65_535
    photo = read(path)
    np.testing.assert_allclose(photo.pixels, unit[..., :3] * unit[..., 3:] + 1 - unit[..., 3:], atol=1e-6)
    assert photo.notes == ("transparent parts were laid on white",)
