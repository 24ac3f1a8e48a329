"""Photos in, PNGs out, and the recipe that rides along."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from daemon.errors import InputError
from daemon.jobs.recipes import read_recipe, unrepeatable
from daemon.pictures import sizes
from daemon.pictures.fitting import fit_for
from daemon.pictures.forms import Story, recipe_json, write_png
from daemon.pictures.photos import read_photo
from daemon.settings.config import Config
from tests.opening import opening

RECIPE = {
    "prompt": "a cat, 🐈",
    "negative_prompt": "dog",
    "model": "demo",
    "seed": 5,
    "width": 16,
    "height": 8,
    "steps": 4,
    "guidance_scale": 5.0,
    "scheduler": "ddim",
}
NO_LIMIT = 10**9


def gradient(height: int = 8, width: int = 16) -> np.ndarray:
    return np.linspace(-0.1, 1.1, height * width * 3, dtype=np.float32).reshape(height, width, 3)


def written(tmp_path: Path, picture: np.ndarray, history: tuple[dict[str, object], ...] = ()) -> Path:
    png = io.BytesIO()
    write_png(png, picture, Story(RECIPE, history, {"tiffsd": "0.2.0"}))
    path = tmp_path / "cat.png"
    path.write_bytes(png.getvalue())
    return path


def test_a_png_holds_the_levels_that_diffusers_would_write(tmp_path: Path) -> None:
    picture = gradient()
    expected = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(written(tmp_path, picture))), expected)


def test_the_recipe_comes_back_from_the_png_exactly(tmp_path: Path) -> None:
    recipe = opening(read_recipe, written(tmp_path, gradient()), "cat.png", Config())
    assert recipe.settings == RECIPE
    assert recipe.notes == ()


def test_other_programs_find_an_infotext_in_the_png(tmp_path: Path) -> None:
    text = Image.open(written(tmp_path, gradient())).text["parameters"]
    assert text.startswith("a cat, 🐈\nNegative prompt: dog\nSteps: 4, Sampler: DDIM, CFG scale: 5.0, Seed: 5, Size: 16x8")


def test_a_hand_edited_picture_says_what_its_recipe_cannot_repeat(tmp_path: Path) -> None:
    path = written(tmp_path, gradient(), ({"stage": "diffuse", "painted": 12},))
    assert any("edited by hand before diffuse" in note for note in opening(read_recipe, path, "cat.png", Config()).notes)


def test_a_picture_that_came_from_a_photo_says_so() -> None:
    assert any("came from another picture" in note for note in unrepeatable(RECIPE, [{"stage": "encode"}]))


def test_what_was_edited_by_command_is_said_by_its_name() -> None:
    history = [{"stage": "edit", "what": "crop 64x64+0+0", "painted": 9}, {"stage": "edit", "what": "set steps"}]
    assert unrepeatable(RECIPE, history) == [
        "this picture or its latents were edited (crop 64x64+0+0): the recipe does not repeat that"
    ]


def test_an_infotext_from_elsewhere_runs_without_the_model_it_names(tmp_path: Path) -> None:
    info = Image.new("RGB", (8, 8))
    path = tmp_path / "other.png"
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_text("parameters", "a dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3, Size: 512x512, Model: dreamy")
    info.save(path, pnginfo=chunks)
    recipe = opening(read_recipe, path, "other.png", Config())
    assert recipe.settings["scheduler"] == "euler_a"
    assert "model" not in recipe.settings
    assert any("dreamy" in note for note in recipe.notes)


def test_a_photo_is_trimmed_to_the_grid_around_its_middle(tmp_path: Path) -> None:
    pixels = np.arange(20 * 30 * 3, dtype=np.uint32).reshape(20, 30, 3).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    photo = opening(read_photo, path, "photo.png", size=(None, None), limit=NO_LIMIT)
    np.testing.assert_array_equal(photo.pixels, pixels[2:18, 3:27].astype(np.float32) / np.float32(255))
    assert photo.had == (30, 20)
    assert any("trimmed from 30x20 to 24x16" in note for note in photo.notes)


def test_a_photo_is_fitted_to_the_size_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (300, 200), (255, 0, 0)).save(path, quality=95)
    picture = opening(read_photo, path, "photo.jpg", size=(64, 64), limit=NO_LIMIT).pixels
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.float32
    assert picture[..., 0].min() > 0.97


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(path)
    photo = opening(read_photo, path, "logo.png", size=(None, None), limit=NO_LIMIT)
    assert photo.pixels.min() == 1.0
    assert photo.notes == ("transparent parts were laid on white",)


def test_a_picture_lying_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 8))
    exif = image.getexif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    image.save(path, exif=exif)
    assert opening(read_photo, path, "phone.jpg", size=(None, None), limit=NO_LIMIT).pixels.shape == (16, 8, 3)


def test_a_picture_beyond_what_is_decoded_is_refused_before_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.png"
    Image.new("RGB", (200, 200)).save(path)
    monkeypatch.setattr(sizes, "MOST_DECODED", 10_000)
    with pytest.raises(InputError, match=r"big.png: 200x200 is more than 10000 pixels, the most that is decoded"):
        opening(read_photo, path, "big.png", size=(None, None), limit=1000)


@pytest.mark.parametrize("form", ["jpg", "png", "tif"])
def test_a_picture_beyond_the_limit_is_brought_to_the_size_of_the_models_pictures(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"phone.{form}"
    ramp = np.repeat(np.linspace(0, 255, 400, dtype=np.uint8)[None, :, None], 300, axis=0).repeat(3, axis=2)
    Image.fromarray(ramp).save(path, **({"quality": 95} if form == "jpg" else {}))
    photo = opening(read_photo, path, path.name, size=(None, None), limit=50_000, area=128 * 128)
    assert photo.pixels.shape == (112, 144, 3)
    assert (photo.had, photo.scaled) == ((400, 300), True)
    assert photo.notes == (
        "scaled and cropped from 400x300 to 144x112, the size of the model's pictures, as it has more than 50000 pixels "
        "(limits.pixels in config.yaml); `width` and `height` beside it say another",
    )
    np.testing.assert_allclose(photo.pixels[50, :, 0], (np.arange(144) + 0.5) / 144, atol=0.02)


def test_a_picture_beyond_the_limit_is_scaled_to_the_size_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    Image.new("RGB", (400, 300)).save(path)
    photo = opening(read_photo, path, path.name, size=(64, None), limit=50_000, area=128 * 128)
    assert photo.pixels.shape == (48, 64, 3)
    assert photo.notes == ("scaled and cropped from 400x300 to 64x48",)


def test_a_phone_on_its_side_gives_an_upright_picture_also_where_it_is_made_smaller(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 300))
    image.paste((255, 255, 255), (0, 0, 400, 150))
    exif = image.getexif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    image.save(path, exif=exif)
    photo = opening(read_photo, path, path.name, size=(None, None), limit=50_000, area=128 * 128)
    assert (photo.had, photo.pixels.shape) == ((300, 400), (144, 112, 3))
    assert photo.pixels[:, 100].min() > 0.9
    assert photo.pixels[:, 10].max() < 0.1


@pytest.mark.parametrize("had", [(4000, 3000), (9000, 500), (100, 20_000), (2049, 2048), (5000, 5000)])
@pytest.mark.parametrize("area", [128 * 128, 1024 * 1024, 2048 * 2048])
def test_a_size_that_is_found_is_near_the_area_on_the_grid_and_within_the_limit(had: tuple[int, int], area: int) -> None:
    limit = 2048 * 2048
    if had[0] * had[1] <= limit:
        return
    width, height = fit_for((None, None), had, grid=8, limit=limit, area=area).wanted
    assert (width % 16, height % 16) == (0, 0)
    assert width * height <= limit
    if min(width, height) > 100:
        assert 0.8 < width * height / area < 1.2
        assert abs(width / height / (had[0] / had[1]) - 1) < 0.15


def test_a_text_file_called_png_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "no.png"
    path.write_text("hello")
    with pytest.raises(InputError, match=r"no.png: not a readable PNG, JPEG or WebP"):
        opening(read_photo, path, "no.png", size=(None, None), limit=NO_LIMIT)


def test_a_truncated_picture_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = written(tmp_path, np.random.default_rng(0).random((64, 64, 3), dtype=np.float32))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"cat.png: the picture breaks off or is damaged"):
        opening(read_photo, path, "cat.png", size=(None, None), limit=NO_LIMIT)


def test_the_recipe_of_a_truncated_picture_is_read_without_its_pixels(tmp_path: Path) -> None:
    path = written(tmp_path, np.random.default_rng(0).random((64, 64, 3), dtype=np.float32))
    path.write_bytes(path.read_bytes()[:-2000])
    assert opening(read_recipe, path, "cat.png", Config()).settings == RECIPE


def test_one_side_that_is_asked_for_keeps_the_proportion(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (1024, 768)).save(path)
    assert opening(read_photo, path, "photo.png", size=(512, None), limit=NO_LIMIT).pixels.shape == (384, 512, 3)


def test_a_size_beyond_the_limit_is_refused_also_for_a_small_photo(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (64, 2048)).save(path)
    with pytest.raises(InputError, match="more than 1000000 pixels"):
        opening(read_photo, path, "photo.png", size=(16_384, None), limit=1_000_000)


def test_a_picture_smaller_than_one_latent_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (5, 5)).save(path)
    with pytest.raises(InputError, match=r"dot\.png: 5x5 is too small"):
        opening(read_photo, path, "dot.png", size=(None, None), limit=NO_LIMIT)


def test_a_recipe_of_a_newer_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("tiffsd", recipe_json({**RECIPE, "wonder": 5}, [{"painted": 3}], {}))
    path = tmp_path / "cat.png"
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    recipe = opening(read_recipe, path, "cat.png", Config())
    assert recipe.settings == RECIPE
    assert any("wonder ignored: a setting of the recipe that this version does not know" in note for note in recipe.notes)
    assert any("edited by hand before a stage" in note for note in recipe.notes)


def test_deep_gray_keeps_its_levels_beside_a_transparent_one(tmp_path: Path) -> None:
    levels = np.array([[0, 1000, 30_000, 65_535]], np.uint16).repeat(8, axis=0).repeat(2, axis=1)
    path = tmp_path / "deep.png"
    Image.fromarray(levels).save(path, transparency=1000)
    photo = opening(read_photo, path, "deep.png", size=(None, None), limit=NO_LIMIT)
    np.testing.assert_allclose(photo.pixels[0, ::2, 0], [0, 1, 30_000 / 65_535, 1], atol=1e-6)
    assert photo.notes == ("transparent parts were laid on white",)


@pytest.mark.parametrize("least", [255, 254])
def test_an_alpha_that_nobody_sees_is_no_mask_and_changes_nothing(least: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    levels = rng.integers(0, 256, (16, 24, 4), np.uint8)
    levels[..., 3] = rng.integers(least, 256, (16, 24))
    path = tmp_path / "photo.png"
    Image.fromarray(levels).save(path)
    photo = opening(read_photo, path, path.name, size=(None, None), limit=10**6, alpha=True)
    np.testing.assert_array_equal(photo.pixels, levels[..., :3] / np.float32(255))
    assert (photo.mask, photo.notes) == (None, ())


def test_inks_without_a_profile_are_told_in_a_jpeg_too(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("CMYK", (16, 24), (10, 200, 30, 40)).save(path)
    photo = opening(read_photo, path, path.name, size=(None, None), limit=10**6)
    assert photo.notes == ("its inks (CMYK) were mixed plainly, without a profile",)


@pytest.mark.parametrize(("factor", "told"), [(1, ()), (255, ("its values go from 0 to 255, and black is 0 and white 1",))])
def test_floats_beyond_black_and_white_are_told(factor: int, told: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    levels = np.linspace(0, 1, 16 * 24 * 3, dtype=np.float32).reshape(16, 24, 3)
    tifffile.imwrite(path, levels * factor, photometric="rgb")
    notes = opening(read_photo, path, path.name, size=(None, None), limit=10**6).notes
    assert tuple(note.split(";")[0] for note in notes) == told
