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
    mask = opening(read_mask, path, path.name, limit=PLENTY)
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


def test_a_mask_alone_makes_all_of_what_it_covers_anew(tmp_path: Path) -> None:
    request = asked(tmp_path, "encode", principal=picture(64, 64), mask=drawn(64, 64), yaml="prompt: a cat\nmask: cat_mask.png")
    assert request.settings.strength == 1.0
    assert "mask" not in request.recipe
    assert "no strength was given for image-to-image; 1.0 is used" in request.notes


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cat_mask.png: the mask is 32x64, and the picture 70x64; make it of the same size"):
        asked(tmp_path, "encode", principal=picture(70, 64), mask=drawn(32, 64), yaml="prompt: a cat")
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
    with pytest.raises(InputError, match=rf"the mask is 9x9, and the picture of the latents {8 * columns}x{8 * rows}; make it so"):
        asked(tmp_path, "diffuse", artifact=artifact, mask=drawn(9, 9), yaml=said)
