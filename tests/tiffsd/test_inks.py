"""Pictures in TIFF by the bits, palettes and inks that their tags state, against the exact value of each level."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import tiffsd
from tests.tiffs_by_hand import tiff_of

# Without a table in between, which is coarse in the dark.
EXACTLY = ImageCms.Flags.NOOPTIMIZE
WHITE_IS_ZERO, GRAY, RGB, PALETTE, CMYK, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 8, 9


def read(data: bytes) -> np.ndarray:
    return tiffsd.read(io.BytesIO(data), expect=tiffsd.Kind.PICTURE, name="photo.tif").tensors["picture"]


def levels(bits: int, samples: int) -> np.ndarray:
    """Levels (3, 5, samples) from 0 to the largest."""
    made = np.linspace(0, 2**bits - 1, 15 * samples).round().astype(np.uint64)
    made[-1] = 2**bits - 1
    return made.reshape(3, 5, samples)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", range(1, 33))
def test_every_depth_is_read_by_its_bits_and_not_by_its_container(bits: int, order: str) -> None:
    for samples, photometric in ((1, GRAY), (3, RGB)):
        made = levels(bits, samples)
        exact = (made.astype(np.float64) / (2**bits - 1)).astype(np.float32)
        picture = read(tiff_of(made, bits, photometric=photometric, order=order))
        np.testing.assert_array_equal(picture, np.broadcast_to(exact, picture.shape))


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16, 24])
def test_where_white_is_zero_it_is_white(bits: int) -> None:
    made = levels(bits, 1)
    exact = 1 - (made / (2**bits - 1))
    np.testing.assert_allclose(read(tiff_of(made, bits, photometric=WHITE_IS_ZERO))[..., :1], exact, atol=1e-7)


@pytest.mark.parametrize("scale", [1, 256, 257], ids=["8 bits", "8 bits in the upper half", "16 bits"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_gives_its_colours(bits: int, scale: int) -> None:
    colours = np.random.default_rng(bits).integers(0, 256, (3, 2**bits))
    colours[0, 0] = 255
    made = levels(bits, 1)
    picture = read(tiff_of(made, bits, photometric=PALETTE, palette=[int(v) for v in (colours * scale).ravel()]))
    np.testing.assert_array_equal(picture, (colours.T[made[..., 0].astype(int)] / 255).astype(np.float32))


def test_a_palette_that_is_missing_is_refused() -> None:
    with pytest.raises(tiffsd.TiffsdError, match=r"photo\.tif has colours of a palette, and the palette is missing or too short"):
        read(tiff_of(levels(8, 1), 8, photometric=PALETTE))


@pytest.mark.parametrize("palette", [[1, 2], [1, 2, 3, 4]])
def test_a_palette_of_no_three_colours_is_refused(palette: list[int]) -> None:
    with pytest.raises(tiffsd.TiffsdError, match="the palette is missing or too short"):
        read(tiff_of(levels(8, 1), 8, photometric=PALETTE, palette=palette))


def test_inks_without_a_profile_are_mixed_plainly_and_that_is_said() -> None:
    made = levels(8, 4)
    artifact = tiffsd.read(io.BytesIO(tiff_of(made, 8, photometric=CMYK)), expect=tiffsd.Kind.PICTURE)
    unit = made / 255
    np.testing.assert_allclose(artifact.tensors["picture"], (1 - unit[..., :3]) * (1 - unit[..., 3:]), atol=1e-6)
    assert artifact.notes == ("its inks (CMYK) were mixed plainly, without a profile",)


def lab_of(colours: np.ndarray) -> np.ndarray:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB", 1)
    return np.asarray(ImageCms.applyTransform(Image.fromarray(colours), to_lab))


def test_lab_of_8_bits_is_what_littlecms_makes_of_it() -> None:
    colours = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    lab = lab_of(colours)
    to_rgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB", 1, EXACTLY)
    wanted = np.asarray(ImageCms.applyTransform(Image.frombytes("LAB", (16, 16), lab.tobytes()), to_rgb)) / 255
    for photometric, moved in ((CIELAB, 0), (ICCLAB, 128)):
        stored = lab.astype(int)
        stored[..., 1:] = (stored[..., 1:] + moved) % 256
        np.testing.assert_allclose(read(tiff_of(stored, 8, photometric=photometric)), wanted, atol=1.5 / 255)


def test_lab_of_16_bits_is_finer() -> None:
    gray = np.linspace(0, 65_535, 15).round().astype(int).reshape(3, 5)
    lab = np.stack([gray, np.zeros_like(gray), np.zeros_like(gray)], axis=2)
    picture = read(tiff_of(lab, 16, photometric=CIELAB))
    light = gray / 65_535 * 100
    y = np.where(light > 8, ((light + 16) / 116) ** 3, light / (24389 / 27))
    srgb = np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(picture, np.repeat(srgb[..., None], 3, axis=2), atol=1e-4)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "raw"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_a_fax_is_read(compression: str, photometric: int) -> None:
    drawn = np.random.default_rng(5).random((16, 24)) > 0.5
    file = io.BytesIO()
    image = Image.fromarray(drawn)
    image.save(file, "TIFF", compression=compression, tiffinfo={262: photometric})
    wanted = np.asarray(Image.open(file)).astype(np.float32)
    np.testing.assert_array_equal(read(file.getvalue())[..., 0], wanted)


@pytest.mark.parametrize(
    ("photometric", "samples", "sentence"),
    [
        (6, 3, "has colours of type YCBCR, which are not read; convert it to RGB"),
        (10, 3, "has colours of type ITULAB, which are not read; convert it to RGB"),
        (32803, 1, "holds raw data of a camera, which are no picture yet; develop it"),
        (CMYK, 3, "has 3 channels of uint8, and a picture has 1 to 4 channels"),
    ],
)
def test_what_is_not_read_is_refused_in_words_for_it(photometric: int, samples: int, sentence: str) -> None:
    with pytest.raises(tiffsd.TiffsdError, match=sentence):
        read(tiff_of(levels(8, samples), 8, photometric=photometric))


def test_latents_of_other_bits_are_refused_and_not_read_too_dark() -> None:
    data: Any = tiff_of(levels(12, 1).repeat(4, axis=0), 12, photometric=GRAY)
    with pytest.raises(tiffsd.BadValues, match="has 12 bits per channel, and 8, 16 or 32"):
        tiffsd.read(io.BytesIO(data), expect=tiffsd.Kind.LATENTS)
