"""Mask pictures that people drop -> numbers from 0, stays, to 1, is made anew."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import InputSources
from daemon.jobs.request import Request
from daemon.pictures.photos import read_mask
from daemon.settings.config import Config
from tests.artifacts import latents
from tests.opening import opening, request_for

LEVELS = np.array([[0, 64, 128, 255]], np.uint8).repeat(8, axis=0)
PLENTY = 10**6


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_every_kind_of_picture_is_read_as_gray(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "cat_mask.png"
    image = Image.fromarray(LEVELS.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(LEVELS).convert(mode)
    image.save(path)
    mask, _ = opening(read_mask, path, path.name, limit=PLENTY)
    assert (mask.shape, mask.dtype) == ((8, 4), np.float32)
    if mode == "1":
        assert set(np.unique(mask)) <= {0.0, 1.0}
    else:
        np.testing.assert_allclose(mask, LEVELS / 255, atol=1 / 255 if mode == "P" else 1e-6)


def test_transparent_parts_are_refused_because_they_mean_two_things(tmp_path: Path) -> None:
    path = tmp_path / "cat_mask.png"
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 255))
    image.putpixel((3, 3), (255, 255, 255, 0))
    image.save(path)
    with pytest.raises(InputError, match=r"cat_mask.png: the mask has transparent parts; flatten it to white"):
        opening(read_mask, path, path.name, limit=PLENTY)


def asked(folder: Path, stage: str, **files: object) -> Request:
    """A request for files by role; pictures are arrays of levels."""
    members = {}
    for role, content in files.items():
        path = folder / {"principal": "cat.png", "mask": "cat_mask.png", "yaml": "cat.yaml", "artifact": "cat.tiff"}[role]
        if isinstance(content, np.ndarray):
            Image.fromarray(content).save(path)
        elif isinstance(content, tiffsd.Artifact):
            tiffsd.write(path, content)
        else:
            path.write_text(str(content))
        members[{"mask": "_mask.png", "yaml": ".yaml", "artifact": "principal"}.get(role, role)] = path
    return request_for(stage, members, InputSources(Config(), folder))


def picture(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def drawn(width: int, height: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 255
    return mask


def test_a_mask_is_fitted_as_its_photo_is(tmp_path: Path) -> None:
    trimmed = asked(tmp_path, "encode", principal=picture(70, 64), mask=drawn(70, 64), yaml="prompt: a cat")
    assert trimmed.tensors["picture"].shape[:2] == trimmed.tensors["mask"].shape == (64, 64)
    np.testing.assert_array_equal(trimmed.tensors["mask"][0], (np.arange(3, 67) >= 35).astype(np.float32))
    scaled = asked(tmp_path, "encode", principal=picture(96, 96), mask=drawn(96, 96), yaml="prompt: a cat\nwidth: 64\nheight: 32")
    assert scaled.tensors["mask"].shape == (32, 64)
    assert (scaled.tensors["mask"].min(), scaled.tensors["mask"].max()) == (0, 1)
    ready = asked(tmp_path, "encode", principal=picture(70, 64), mask=drawn(64, 64), yaml="prompt: a cat")
    np.testing.assert_array_equal(ready.tensors["mask"], drawn(64, 64) / 255)


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (128, 112)])
def test_what_is_black_in_a_mask_is_black_where_it_is_scaled_with_its_photo(tmp_path: Path, size: tuple[int, int]) -> None:
    mask = np.zeros((96, 96), np.uint8)
    mask[30:61, 33:70] = 255
    said = "prompt: a cat\nwidth: {}\nheight: {}".format(*size)
    found = asked(tmp_path, "encode", principal=picture(96, 96), mask=mask, yaml=said).tensors["mask"]
    scale = min(96 / size[0], 96 / size[1])
    x, y = (
        np.abs((np.arange(side) + 0.5 - side / 2) * scale + 48 - middle) for side, middle in zip(size, (51.5, 45.5), strict=True)
    )
    # A pixel sees its neighbours, as wide as it is, on both sides.
    far = (y > 15.5 + 1.5 * max(scale, 1))[:, None] | (x > 18.5 + 1.5 * max(scale, 1))
    assert not found[far].any()
    assert (found[~far].max(), found[far].size > 1000) == (1, True)


def test_a_mask_alone_makes_all_of_what_it_covers_anew(tmp_path: Path) -> None:
    request = asked(tmp_path, "encode", principal=picture(64, 64), mask=drawn(64, 64), yaml="prompt: a cat\nmask: cat_mask.png")
    assert request.settings.strength == 1.0
    assert "mask" not in request.recipe
    assert "no strength was given for image-to-image; 1.0 is used" in request.notes


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the mask cat_mask.png that is named does not lie beside it; drop both together"):
        asked(tmp_path, "encode", principal=picture(64, 64), yaml="prompt: a cat\nmask: cat_mask.png")
    with pytest.raises(InputError, match=r"upscale makes the whole picture anew, and a mask says that some of it stays"):
        asked(tmp_path, "encode", principal=picture(64, 64), mask=drawn(64, 64), yaml="prompt: a cat\nupscale: 2")
    with pytest.raises(InputError, match=r"'mask' is not the name of a mask: it must end in _mask.png"):
        asked(tmp_path, "encode", principal=picture(64, 64), yaml="prompt: a cat\nmask: cat.png")


def test_a_mask_beside_latents_has_their_size_or_that_of_their_picture(tmp_path: Path) -> None:
    artifact = latents()
    _, rows, columns = artifact.tensors["latents"].shape
    said = "prompt: a cat\nstrength: 0.5"
    for size in ((columns, rows), (8 * columns, 8 * rows)):
        request = asked(tmp_path, "diffuse", artifact=artifact, mask=drawn(*size), yaml=said)
        assert request.tensors["mask"].shape == size[::-1]
    request = asked(tmp_path, "diffuse", artifact=artifact, mask=drawn(10, 9), yaml=said)
    assert request.tensors["mask"].shape == (8 * rows, 8 * columns)
    assert f"cat_mask.png: the mask was stretched from 10x9 to the picture's {8 * columns}x{8 * rows}" in request.notes


def test_a_mask_of_another_size_is_stretched_over_its_picture_and_that_is_said(tmp_path: Path) -> None:
    half = asked(tmp_path, "encode", principal=picture(128, 64), mask=drawn(64, 32), yaml="prompt: a cat")
    mask = half.tensors["mask"]
    assert mask.shape == (64, 128)
    assert (mask[:, :60].max(), mask[:, 68:].min()) == (0, 1)
    assert "cat_mask.png: the mask was stretched from 64x32 to the picture's 128x64" in half.notes
    # The left 3 of the 70 columns are trimmed, and the mask with them.
    trimmed = asked(tmp_path, "encode", principal=picture(70, 64), mask=drawn(140, 128), yaml="prompt: a cat")
    np.testing.assert_array_equal(trimmed.tensors["mask"][0] > 0.5, np.arange(3, 67) >= 35)
    scaled = asked(tmp_path, "encode", principal=picture(200, 100), mask=drawn(50, 25), yaml="prompt: a cat\nwidth: 64\nheight: 64")
    assert scaled.tensors["mask"].shape == (64, 64)
    np.testing.assert_array_equal(scaled.tensors["mask"][0, [0, 25, 38, 63]] > 0.5, [False, False, True, True])


def test_what_is_transparent_is_made_anew_and_that_is_said(tmp_path: Path) -> None:
    for form in ("png", "tif"):
        pixels = np.full((64, 70, 4), 200, np.uint8)
        pixels[..., 3] = np.where(np.arange(70) < 35, 255, 0)
        path = tmp_path / f"cat.{form}"
        Image.fromarray(pixels).save(path)
        (tmp_path / "cat.yaml").write_text("prompt: a cat")
        request = request_for("encode", {"principal": path, ".yaml": tmp_path / "cat.yaml"}, InputSources(Config(), tmp_path))
        np.testing.assert_array_equal(request.tensors["mask"][0], (np.arange(3, 67) >= 35).astype(np.float32))
        assert request.settings.strength == 1.0
        assert "the transparent parts of the picture are its mask: they are made anew, and the others stay" in request.notes


@pytest.mark.parametrize("yaml", ["", "prompt: a cat\nupscale: 2"])
def test_where_no_part_is_made_anew_what_is_transparent_is_white(tmp_path: Path, yaml: str) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:32, :, 3] = 255
    request = asked(tmp_path, "encode", principal=pixels, **({"yaml": yaml} if yaml else {}))
    assert "mask" not in request.tensors
    assert request.tensors["picture"][40:].min() == 1
    assert "transparent parts were laid on white" in request.notes


def test_a_mask_beside_wins_over_the_transparency_of_the_picture(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    request = asked(tmp_path, "encode", principal=pixels, mask=drawn(64, 64), yaml="prompt: a cat")
    np.testing.assert_array_equal(request.tensors["mask"], drawn(64, 64) / 255)


def test_a_mask_as_large_as_its_photo_goes_where_the_photo_went(tmp_path: Path) -> None:
    config = Config.model_validate({"limits": {"pixels": 20_000}})
    Image.fromarray(picture(400, 300)).save(tmp_path / "cat.png")
    Image.fromarray(drawn(400, 300)).save(tmp_path / "cat_mask.png")
    (tmp_path / "cat.yaml").write_text("prompt: a cat")
    members = {"principal": tmp_path / "cat.png", "_mask.png": tmp_path / "cat_mask.png", ".yaml": tmp_path / "cat.yaml"}
    request = request_for("encode", members, InputSources(config, tmp_path))
    assert request.tensors["picture"].shape[:2] == request.tensors["mask"].shape == (112, 144)
    assert (request.tensors["mask"][:, :70].max(), request.tensors["mask"][:, 74:].min()) < (0.01, 1.01)
    assert (request.settings.width, request.settings.height) == (144, 112)
