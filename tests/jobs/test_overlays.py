"""What a mask leaves black comes back to the bit: through encode, diffuse and decode, for every family, for whatever picture is
dropped, in every form that a finished one has."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

import tiffsd
from daemon.models.registry import Models
from daemon.pictures.code_points import D65, profile_of
from daemon.pictures.forms import levels8, levels16
from daemon.pictures.photos import read_photo
from daemon.settings.config import Config
from daemon.stages import MASK_ENDING
from tests.jobs.chain import Chain
from tests.opening import opening
from tests.stages.test_inpainting import MAKERS
from tests.thorough import mostly_thorough
from tiffsd import edit
from tiffsd.overlay import OVERLAY, OVERLAY_LATENTS, OVERLAY_MASK, PAINTED

pytestmark = [pytest.mark.usefixtures("fixed_threads"), pytest.mark.timeout(400)]

SIDE = 64
SCHEDULERS = {"sd3": "flow_euler", "flux": "flow_euler"}
COLOURS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
HARD = np.zeros((SIDE, SIDE), np.uint8)
HARD[16:40, 24:] = 255
OUTSIDE = HARD == 0
WIDE = profile_of((0.64, 0.33, 0.21, 0.71, 0.15, 0.06), D65, 2.19921875)
SAID = {"prompt": "a red cat", "steps": 3, "seed": 1}


class Bench:
    """One model, and the stages one after the other on a dropped picture and its mask."""

    def __init__(self, model: Path, family: str, models: Models, folder: Path, **pictures: Any) -> None:
        defaults = {
            "model": "tiny",
            "guidance_scale": 2.0,
            "scheduler": SCHEDULERS.get(family, "ddim"),
            "width": SIDE,
            "height": SIDE,
        }
        forms = {"png": True, "tiff": True, "jpeg": 95, "webp": "lossless", **pictures}
        config = {"folder": folder, "models": {"tiny": {"path": str(model)}}, "defaults": defaults, "pictures": forms}
        self.config = Config.model_validate({**config, "compute": {"threads": 1}})
        self.chain, self.folder = Chain(self.config, models, folder, folder / "embeddings"), folder
        self.notes = ""

    def encoded(self, photo: Path, mask: NDArray[np.uint8] | None = HARD, **said: Any) -> Path:
        """Latents of a picture and its mask; where no size is said, they wait for the loop."""
        return self._next("encode", photo, mask, {**SAID, **said})

    def diffused(self, latents: Path, mask: NDArray[np.uint8] | None = None, **said: Any) -> Path:
        return self._next("diffuse", latents, mask, said)

    def decoded(self, latents: Path, **said: Any) -> dict[str, Path]:
        """The finished picture in each form, by its ending."""
        before = set((self.folder / "pictures").glob("*"))
        self._next("decode", latents, None, said)
        return {path.suffix: path for path in set((self.folder / "pictures").glob("*")) - before}

    def made(self, photo: Path, mask: NDArray[np.uint8] | None = HARD, **said: Any) -> dict[str, Path]:
        return self.decoded(self.diffused(self.encoded(photo, mask, **said)))

    def _next(self, stage: str, principal: Path, mask: NDArray[np.uint8] | None, said: Mapping[str, Any]) -> Path:
        members = {"principal": principal}
        if said:
            members[".yaml"] = self.folder / "said.yaml"
            members[".yaml"].write_text(yaml.safe_dump(dict(said)), encoding="utf-8")
        if mask is not None:
            members[MASK_ENDING] = self.folder / "some_mask.png"
            Image.fromarray(mask).save(members[MASK_ENDING])
        outputs, notes, _ = self.chain._stage(stage, members)
        self.notes = "\n".join(notes)
        written = [path for place, path in self.chain._written(outputs) if not place.startswith(".")]
        return written[-1]


@pytest.fixture(scope="module")
def bench(folders: dict[str, Path], models: Models, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(folders["sd1"], "sd1", models, tmp_path_factory.mktemp("bench"))


def dropped(folder: Path, colours: NDArray[Any] = COLOURS, name: str = "photo.png") -> Path:
    Image.fromarray(colours).save(folder / name)
    return folder / name


def values(path: Path) -> NDArray[Any]:
    return tiffsd.read(path).tensors["picture"]


def levels(path: Path) -> NDArray[Any]:
    found: NDArray[Any] = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return found[..., ::-1]


@pytest.mark.parametrize("family", mostly_thorough(MAKERS, always=("sd1", "flux").__contains__))
def test_outside_of_a_hard_mask_every_family_gives_the_picture_back_to_the_bit(
    folders: dict[str, Path], models: Models, tmp_path: Path, family: str
) -> None:
    bench = Bench(folders[family], family, models, tmp_path)
    files = bench.made(dropped(tmp_path))
    assert "77% of the picture is that of before, to the bit" in bench.notes
    for suffix in (".png", ".webp"):
        np.testing.assert_array_equal(levels(files[suffix])[OUTSIDE], COLOURS[OUTSIDE])
    np.testing.assert_array_equal(values(files[".tiff"])[OUTSIDE], (COLOURS / np.float32(255))[OUTSIDE])
    assert (np.abs(values(files[".tiff"]) - COLOURS / np.float32(255))[~OUTSIDE].max(axis=-1) > 0.01).mean() > 0.9


def test_a_lossy_form_has_in_blocks_outside_of_the_mask_what_it_makes_of_the_picture_itself(bench: Bench, tmp_path: Path) -> None:
    files = bench.made(dropped(tmp_path))
    Image.fromarray(COLOURS).save(tmp_path / "same.jpg", quality=95, subsampling="4:4:4")
    # The mask ends on the blocks of 8x8 pixels that a JPEG codes by themselves.
    np.testing.assert_array_equal(levels(files[".jpg"])[OUTSIDE], levels(tmp_path / "same.jpg")[OUTSIDE])


def test_pictures_of_16_bits_and_of_half_floats_have_the_nearest_of_what_was_there(
    folders: dict[str, Path], models: Models, tmp_path: Path
) -> None:
    files = Bench(folders["sd1"], "sd1", models, tmp_path, png=16, tiff="float16").made(dropped(tmp_path))
    np.testing.assert_array_equal(levels(files[".png"])[OUTSIDE], COLOURS[OUTSIDE].astype(np.uint16) * 257)
    np.testing.assert_array_equal(values(files[".tiff"])[OUTSIDE], (COLOURS / np.float32(255)).astype(np.float16)[OUTSIDE])


def deep_png(folder: Path) -> Path:
    cv2.imwrite(str(folder / "deep.png"), np.random.default_rng(1).integers(0, 65536, (SIDE, SIDE, 3), dtype=np.uint16))
    return folder / "deep.png"


def unclamped_tiff(folder: Path) -> Path:
    pixels = np.random.default_rng(2).normal(0.5, 0.6, (SIDE, SIDE, 3)).astype(np.float32)
    header = tiffsd.Header(tiffsd.Kind.PICTURE, tiffsd.new_id(), tiffsd.Layout.RGB, pixels.shape)
    tiffsd.write(folder / "floats.tiff", tiffsd.Artifact(header, {"picture": pixels}))
    return folder / "floats.tiff"


def wide(folder: Path) -> Path:
    Image.fromarray(COLOURS).save(folder / "wide.png", icc_profile=WIDE)
    return folder / "wide.png"


FORMS: Mapping[str, tuple[Callable[[Path], Path], type]] = {
    "PNG of 8 bits": (dropped, np.uint8),
    "PNG of 16 bits": (deep_png, np.uint16),
    "gray": (lambda folder: dropped(folder, COLOURS[..., 0]), np.uint8),
    "JPEG": (lambda folder: dropped(folder, name="photo.jpg"), np.uint8),
    "WebP": (lambda folder: dropped(folder, name="photo.webp"), np.uint8),
    "TIFF of 8 bits": (lambda folder: dropped(folder, name="photo.tif"), np.uint8),
    "TIFF of floats beyond black and white": (unclamped_tiff, np.float32),
    "a wide space, brought to sRGB": (wide, np.float32),
}


@pytest.mark.parametrize(
    "form", mostly_thorough(FORMS, always=("WebP", "TIFF of 8 bits", "TIFF of floats beyond black and white").__contains__)
)
def test_whatever_is_dropped_comes_back_in_the_numbers_that_it_has(bench: Bench, tmp_path: Path, form: str) -> None:
    drop, kind = FORMS[form]
    photo = drop(tmp_path)
    before = opening(read_photo, photo, photo.name, size=(None, None), limit=10**6).pixels
    encoded = bench.encoded(photo)
    assert tiffsd.read(encoded).tensors[OVERLAY].dtype == kind
    files = bench.decoded(bench.diffused(encoded))
    np.testing.assert_array_equal(values(files[".tiff"])[OUTSIDE], before[OUTSIDE])
    np.testing.assert_array_equal(levels(files[".png"])[OUTSIDE], levels8(before)[OUTSIDE])


def test_a_picture_that_is_trimmed_or_scaled_comes_back_as_it_was_fitted(bench: Bench, tmp_path: Path) -> None:
    large = np.random.default_rng(3).integers(0, 256, (100, 96, 3), dtype=np.uint8)
    mask = np.zeros((100, 96), np.uint8)
    mask[50:, :48] = 255
    photo = dropped(tmp_path, large)
    for said in ({}, {"width": 64, "height": 48}):
        size = said.get("width"), said.get("height")
        before = opening(read_photo, photo, photo.name, size=size, limit=10**6).pixels
        files = bench.made(photo, mask, **said)
        found = values(files[".tiff"])
        # A pixel on the edge is of both.
        outside = np.ones(found.shape[:2], bool)
        outside[found.shape[0] // 2 - 3 :, : found.shape[1] // 2 + 3] = False
        np.testing.assert_array_equal(found[outside], before[outside])
        np.testing.assert_array_equal(levels(files[".png"])[outside], levels8(before)[outside])
    trimmed = large[2:98]  # to 96 rows
    np.testing.assert_array_equal(levels(bench.made(photo, mask)[".png"])[:46], trimmed[:46])


def test_what_is_not_transparent_comes_back_and_soft_edges_have_no_white_in_them(bench: Bench, tmp_path: Path) -> None:
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = (40, 20, 10), 255
    pixels[:, 32:, 3] = 0
    pixels[:, 24:32, 3] = np.arange(248, -8, -32)
    photo = dropped(tmp_path, pixels)
    encoded = bench.encoded(photo, None)
    overlay = tiffsd.read(encoded).tensors[OVERLAY]
    assert np.abs(overlay[:, :31].astype(int) - (40, 20, 10)).max() <= 2  # white would be 255
    files = bench.decoded(bench.diffused(encoded))
    np.testing.assert_array_equal(levels(files[".png"])[:, :24], pixels[:, :24, :3])


def test_only_the_band_that_mask_blur_grows_outward_differs(bench: Bench, tmp_path: Path) -> None:
    half = bench.diffused(bench.encoded(dropped(tmp_path)))
    bare = values(bench.decoded(half, overlay=False)[".tiff"])
    sharp, soft = (values(bench.decoded(half, mask_blur=pixels)[".tiff"]) for pixels in (0, 5))
    before = COLOURS / np.float32(255)
    part = np.clip(1 - (24 - np.arange(SIDE)) / 6, 0, 1)[:, None]  # in a row in the middle, whose mask begins at 24
    np.testing.assert_allclose(soft[28], part * bare[28] + (1 - part) * before[28], atol=1e-6)
    np.testing.assert_array_equal(sharp[~OUTSIDE], bare[~OUTSIDE])
    np.testing.assert_array_equal(soft[~OUTSIDE], bare[~OUTSIDE])
    near = np.zeros((SIDE, SIDE), bool)
    near[16 - 5 : 40 + 5, 24 - 5 :] = True
    np.testing.assert_array_equal(soft[~near], before[~near])
    assert (soft[16 - 5, 40] != before[16 - 5, 40]).any()


def test_a_gray_mask_is_laid_over_by_its_part(bench: Bench, tmp_path: Path) -> None:
    gray = HARD // 255 * np.uint8(128)
    half = bench.diffused(bench.encoded(dropped(tmp_path), gray))
    bare, laid = (values(bench.decoded(half, overlay=said)[".tiff"]) for said in (False, True))
    part = (gray / np.float32(255))[..., None]
    np.testing.assert_allclose(laid, part * bare + (1 - part) * COLOURS / np.float32(255), atol=1e-6)


def test_without_overlay_nothing_goes_along_and_the_picture_is_as_the_vae_decodes_it(bench: Bench, tmp_path: Path) -> None:
    encoded = bench.encoded(dropped(tmp_path), overlay=False)
    assert not {OVERLAY, OVERLAY_MASK} & tiffsd.read(encoded).tensors.keys()
    bare = bench.decoded(bench.diffused(encoded))
    assert bench.notes == ""
    same = bench.decoded(bench.diffused(bench.encoded(dropped(tmp_path))), overlay=False)
    np.testing.assert_array_equal(values(bare[".tiff"]), values(same[".tiff"]))
    assert (levels(bare[".png"]) != COLOURS)[OUTSIDE].any(axis=-1).mean() > 0.5


def test_what_was_said_of_it_goes_into_the_recipe(bench: Bench, tmp_path: Path) -> None:
    files = bench.made(dropped(tmp_path), mask_blur=3)
    assert tiffsd.read(files[".tiff"]).header.recipe["mask_blur"] == 3
    assert "Mask blur: 3," in Image.open(files[".png"]).text["parameters"]
    assert "Mask blur" not in Image.open(bench.made(dropped(tmp_path))[".png"]).text["parameters"]


def test_half_done_latents_carry_it_on_and_are_shown_as_they_are(bench: Bench, tmp_path: Path) -> None:
    half = bench.diffused(bench.encoded(dropped(tmp_path)), stop_at=2, dump_every=1)
    dumps = list((bench.folder / "steps").glob("*.tiff"))
    for path in (half, *dumps):
        files = bench.decoded(bench.diffused(path))
        np.testing.assert_array_equal(levels(files[".png"])[OUTSIDE], COLOURS[OUTSIDE])
    assert dumps
    shown = bench.decoded(half)
    assert "the picture of before is left out: half-done latents are shown as they are" in bench.notes
    assert (levels(shown[".png"]) != COLOURS)[OUTSIDE].any()


def painted(path: Path, folder: Path) -> Path:
    """The file as an editor leaves it that painted one value of the latents, outside of the mask."""
    artifact = tiffsd.read(path)
    data = bytearray(path.read_bytes())
    canvas = tiffsd.canvas.paint(artifact.tensors["latents"], artifact.header)[0]
    place = bytes(data).rindex(canvas.astype("<f4").tobytes())
    canvas[6, 1] = 0.9  # of the first channel
    data[place : place + canvas.nbytes] = canvas.astype("<f4").tobytes()
    (folder / path.name).write_bytes(bytes(data))
    return folder / path.name


@pytest.mark.parametrize("when", ["before the loop", "after the loop"])
def test_what_was_painted_outside_of_the_mask_is_seen(bench: Bench, tmp_path: Path, when: str) -> None:
    encoded = bench.encoded(dropped(tmp_path))
    if when == "before the loop":
        final = bench.diffused(painted(encoded, tmp_path))
        assert PAINTED in bench.notes
        files = bench.decoded(final)
    else:
        files = bench.decoded(painted(bench.diffused(encoded), tmp_path))
        assert PAINTED in bench.notes
    block = np.zeros((SIDE, SIDE), bool)
    block[48:56, 8:16] = True
    found = levels(files[".png"])
    np.testing.assert_array_equal(found[OUTSIDE & ~block], COLOURS[OUTSIDE & ~block])
    assert (found != COLOURS)[block].any(axis=-1).mean() > 0.5


def test_a_mask_instead_of_one_that_did_nothing_yet_counts_alone_and_a_further_one_too(bench: Bench, tmp_path: Path) -> None:
    other = np.zeros((SIDE, SIDE), np.uint8)
    other[48:, :16] = 255
    encoded = bench.encoded(dropped(tmp_path))
    instead = bench.decoded(bench.diffused(encoded, other))
    np.testing.assert_array_equal(levels(instead[".png"])[other == 0], COLOURS[other == 0])
    further = bench.decoded(bench.diffused(bench.diffused(encoded), other, strength=0.9))
    outside = OUTSIDE & (other == 0)
    np.testing.assert_array_equal(levels(further[".png"])[outside], COLOURS[outside])
    assert (levels(further[".png"]) != COLOURS)[~OUTSIDE].any(axis=-1).mean() > 0.5


@pytest.mark.parametrize("unit", [1, 8])
def test_a_mask_beside_finished_latents_leaves_the_picture_of_these(bench: Bench, tmp_path: Path, unit: int) -> None:
    (tmp_path / "cat.txt").write_text("a green car", encoding="utf-8")
    noise = bench._next("text", tmp_path / "cat.txt", None, {"steps": 3})
    first = bench.diffused(noise)
    before = bench.decoded(first)
    second = bench.diffused(first, HARD[::unit, ::unit], strength=0.9)
    assert OVERLAY_LATENTS in tiffsd.read(second).tensors
    after = bench.decoded(second)
    for suffix, read in ((".png", levels), (".tiff", values)):
        np.testing.assert_array_equal(read(after[suffix])[OUTSIDE], read(before[suffix])[OUTSIDE])
        assert (read(after[suffix]) != read(before[suffix]))[~OUTSIDE].any(axis=-1).mean() > 0.5


def test_a_mask_beside_latents_of_a_photo_that_is_not_in_their_file_says_so(bench: Bench, tmp_path: Path) -> None:
    encoded = bench.encoded(dropped(tmp_path), None)
    bench.diffused(encoded, HARD)
    assert "the picture that these latents were encoded from is not in their file: what the mask leaves black" in bench.notes


def test_where_all_is_made_anew_nothing_comes_back_and_that_is_said(bench: Bench, tmp_path: Path) -> None:
    final = bench.diffused(bench.encoded(dropped(tmp_path)))
    again = bench.diffused(final, strength=0.9)
    assert "no mask lies beside these latents, so all of the picture is made anew, and nothing of the one of before" in bench.notes
    assert OVERLAY_MASK not in tiffsd.read(again).tensors
    bench.diffused(final, HARD, upscale=1.5)
    assert "the picture becomes larger than the one of before: what the mask leaves black" in bench.notes


def without(path: Path, folder: Path, *names: str) -> Path:
    artifact = tiffsd.read(path)
    tensors = {name: tensor for name, tensor in artifact.tensors.items() if name not in names}
    tiffsd.write(folder / path.name, replace(artifact, tensors=tensors))
    return folder / path.name


def test_where_the_picture_of_before_is_gone_it_is_said_and_the_rest_is_made(bench: Bench, tmp_path: Path) -> None:
    gone = "the picture of before is not in the file of these latents, which are under a mask: what the mask leaves black"
    encoded = bench.encoded(dropped(tmp_path))
    bench.diffused(without(encoded, tmp_path, OVERLAY, OVERLAY_MASK))
    assert gone in bench.notes
    final = bench.diffused(encoded)
    files = bench.decoded(without(final, tmp_path, OVERLAY, OVERLAY_MASK))
    assert gone in bench.notes
    assert (levels(files[".png"]) != COLOURS)[OUTSIDE].any()
    bench.decoded(without(final, tmp_path, OVERLAY))
    assert "the picture of before that goes along with the latents is not there, so that nothing of it comes back" in bench.notes


def test_a_cropped_file_has_the_part_of_the_picture_that_it_stands_for(bench: Bench, tmp_path: Path) -> None:
    final = bench.diffused(bench.encoded(dropped(tmp_path)))
    cut = edit.crop(tiffsd.read(final), tiffsd.Region(48, 32, left=8, top=32))
    tiffsd.write(tmp_path / "cut.tiff", cut)
    found = levels(bench.decoded(tmp_path / "cut.tiff")[".png"])
    np.testing.assert_array_equal(found[OUTSIDE[32:, 8:56]], COLOURS[32:, 8:56][OUTSIDE[32:, 8:56]])


def test_what_was_pasted_outside_of_the_mask_is_seen(bench: Bench, tmp_path: Path) -> None:
    final = tiffsd.read(bench.diffused(bench.encoded(dropped(tmp_path))))
    pasted = edit.paste(edit.crop(final, tiffsd.Region(16, 16, left=32, top=16)), into=final, left=0, top=0)
    assert PAINTED in pasted.header.history[-1]["notes"]
    opened = pasted.tensors[OVERLAY_MASK]
    assert opened[:16, :16].min() == 255
    np.testing.assert_array_equal(opened[16:], final.tensors[OVERLAY_MASK][16:])


def test_what_is_said_of_a_picture_of_before_that_is_not_there_is_named(bench: Bench, tmp_path: Path) -> None:
    encoded = bench.encoded(dropped(tmp_path), None, mask_blur=4, overlay=True)
    assert "mask_blur ignored: there is no mask" in bench.notes
    assert "overlay ignored: there is no mask" in bench.notes
    bench.decoded(bench.diffused(encoded), mask_blur=4)
    assert "mask_blur ignored: no picture of before goes along with these latents" in bench.notes
    bench.encoded(dropped(tmp_path), mask_blur=4, overlay=False)
    assert "mask_blur ignored: `overlay` is false" in bench.notes


def test_a_mask_blur_in_the_recipe_of_a_dropped_picture_is_not_repeated(bench: Bench, tmp_path: Path) -> None:
    made = bench.made(dropped(tmp_path), mask_blur=7)[".png"]
    again = bench.made(made)
    np.testing.assert_array_equal(levels(again[".png"])[OUTSIDE], levels(made)[OUTSIDE])


def test_levels_of_16_bits_are_those_of_the_file(bench: Bench, tmp_path: Path) -> None:
    photo = deep_png(tmp_path)
    files = bench.made(photo)
    np.testing.assert_array_equal(levels16(values(files[".tiff"]))[OUTSIDE], levels(photo)[OUTSIDE])
