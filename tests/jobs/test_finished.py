"""Paint on a finished picture: what was painted is made anew, and beyond its soft edge the picture is the old one to the bit."""

import itertools
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import Files, InputSources
from daemon.jobs.intake.finished import SOFT_EDGE
from daemon.jobs.intake.readers import read_request
from daemon.jobs.named import opened
from daemon.jobs.request import Request
from daemon.models.registry import Models
from daemon.pictures.forms import levels8
from daemon.settings.config import Config
from daemon.settings.resources import resource
from daemon.stages.late_start import DRAWN_OVER
from daemon.stages.loop import BLOCKS, FINISHED
from tests.jobs.chain import Chain
from tests.stages.test_inpainting import MAKERS
from tests.thorough import mostly_thorough

pytestmark = [pytest.mark.usefixtures("fixed_threads"), pytest.mark.timeout(400)]

PROMPT, SEED = "a red house in a meadow at sunset", 7
SIDE, BLOCK = 128, 8
FORMS = {"png": True, "tiff": True, "jpeg": 95, "webp": "lossless"}
MOON, MOONLIGHT = (84, 12, 108, 36), (235, 235, 255)
Levels = NDArray[np.uint8]


@dataclass
class Workshop:
    """The stages one after the other, in one folder, with the originals that are kept there."""

    chain: Chain
    folder: Path
    notes: str = ""

    def made(self, stage: str, principal: Path, words: str = "") -> dict[str, Path]:
        """What becomes of a file: the finished picture in each form, by its ending."""
        before = self._pictures()
        members = {"principal": principal}
        if words:
            members[".yaml"] = self.folder / "words.yaml"
            members[".yaml"].write_text(words, encoding="utf-8")
        seen, self.notes = self.chain.run(stage, members)
        assert not [step for step in seen if isinstance(step, tuple) and isinstance(step[1], str)], "a stage refused it"
        return {path.suffix: path for path in self._pictures() - before}

    def read(self, principal: Path, words: str = "") -> Request:
        """The request that a picture becomes in the encode stage."""
        members = {"principal": principal}
        if words:
            members[".yaml"] = self.folder / "words.yaml"
            members[".yaml"].write_text(words, encoding="utf-8")
        with opened(members) as files:
            names = {role: path.name for role, path in members.items()}
            return read_request("encode", Files(files, names), InputSources(self.chain.config, self.folder, self.chain.keep))

    def _pictures(self) -> set[Path]:
        return set((self.folder / "pictures").glob("*"))


def workshop(folder: Path, loaded: Models, **changes: Any) -> Workshop:
    config = Config.model_validate({"folder": folder, "pictures": FORMS, "compute": {"threads": 1}, **changes})
    return Workshop(Chain(config, loaded, folder, folder / "embeddings", folder / "keep"), folder)


@pytest.fixture(scope="module")
def shop(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return workshop(tmp_path_factory.mktemp("shop"), models)


@pytest.fixture(scope="module")
def house(shop: Workshop) -> dict[str, Path]:
    """A finished picture in each form."""
    return finished(shop, f"---\nseed: {SEED}\n---\n{PROMPT}\n")


def finished(shop: Workshop, prompt: str) -> dict[str, Path]:
    (shop.folder / "house.txt").write_text(prompt, encoding="utf-8")
    return shop.made("text", shop.folder / "house.txt")


def levels(path: Path) -> Levels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def values(path: Path) -> NDArray[np.float32]:
    return tiffsd.read(path).tensors["picture"]


def moon(image: Image.Image) -> None:
    ImageDraw.Draw(image).ellipse(MOON, fill=MOONLIGHT)


def stroke(image: Image.Image) -> None:
    ImageDraw.Draw(image).line((20, 100, 60, 108), fill=(255, 255, 255), width=2)


PAINTS: Mapping[str, Callable[[Image.Image], None]] = {"a moon": moon, "a stroke of two pixels": stroke}


def painted(picture: Path, target: Path, paint: Callable[[Image.Image], None] = moon, **options: Any) -> Path:
    """A picture as an editor leaves it that knows nothing of recipes."""
    image = Image.fromarray(levels(picture))
    paint(image)
    image.save(target, **options)
    return target


def touched(before: Levels, after: Levels) -> NDArray[np.bool_]:
    """Blocks (h, w) in which a pixel is another one."""
    changed = (before != after).any(axis=2)
    blocks: NDArray[np.bool_] = changed.reshape(SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK).any(axis=(1, 3))
    return blocks


def far_from(blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels (H, W) beyond the soft edge around blocks, by the rows and the columns."""
    near = np.zeros((SIDE, SIDE), bool)
    for row, column in np.argwhere(blocks):
        top, left = row * BLOCK, column * BLOCK
        near[max(top - SOFT_EDGE, 0) : top + BLOCK + SOFT_EDGE, max(left - SOFT_EDGE, 0) : left + BLOCK + SOFT_EDGE] = True
    return ~near


@pytest.mark.parametrize(
    "words",
    mostly_thorough(
        ["", "strength: 0", "strength: 0.5", "prompt: a red house in a meadow at night"], always=lambda words: not words
    ),
)
@pytest.mark.parametrize("paint", PAINTS)
def test_beyond_the_paint_and_its_edge_the_picture_is_the_old_one_to_the_bit(
    shop: Workshop, house: dict[str, Path], tmp_path: Path, paint: str, words: str
) -> None:
    dropped = painted(house[".png"], tmp_path / house[".png"].name, PAINTS[paint])
    made = shop.made("encode", dropped, words)
    blocks = touched(levels(house[".png"]), levels(dropped))
    outside = far_from(blocks)
    assert outside.mean() > 0.5
    np.testing.assert_array_equal(levels(made[".png"])[outside], levels(house[".png"])[outside])
    np.testing.assert_array_equal(levels(made[".webp"])[outside], levels(house[".webp"])[outside])
    np.testing.assert_array_equal(values(made[".tiff"])[outside], values(house[".tiff"])[outside])
    assert (values(made[".tiff"]) != values(house[".tiff"]))[np.kron(blocks, np.ones((BLOCK, BLOCK), bool))].any(
        axis=1
    ).mean() > 0.9
    assert f"{blocks.sum()} of {blocks.size} blocks of 8x8 pixels" in shop.notes


@pytest.mark.parametrize("words", ["hold: diffuse", "{strength: 0, hold: decode}"])
def test_the_latents_that_nobody_painted_are_those_of_the_picture(
    shop: Workshop, house: dict[str, Path], tmp_path: Path, words: str
) -> None:
    dropped = painted(house[".png"], tmp_path / house[".png"].name)
    (tmp_path / "words.yaml").write_text(words, encoding="utf-8")
    made = shop.chain.made("encode", {"principal": dropped, ".yaml": tmp_path / "words.yaml"})
    (held,) = (path for place, path in made.items() if place.startswith("hold"))
    own = tiffsd.read(shop.folder / "keep" / house[".tiff"].name).tensors["latents"]
    latents, blocks = tiffsd.read(held).tensors["latents"], touched(levels(house[".png"]), levels(dropped))
    np.testing.assert_array_equal(latents[:, ~blocks], own[:, ~blocks])
    assert (latents != own)[:, blocks].mean() > 0.99


@pytest.mark.parametrize(
    ("suffix", "colours", "options"),
    [(".png", 256, {}), (".png", 64, {}), (".tiff", 0, {"compression": "jpeg", "quality": 95})],
    ids=["a palette", "a small palette", "JPEG in a TIFF"],
)
def test_what_a_form_that_seems_lossless_took_away_of_the_colours_is_no_paint(
    shop: Workshop, house: dict[str, Path], tmp_path: Path, suffix: str, colours: int, options: dict[str, Any]
) -> None:
    image = Image.fromarray(levels(house[".png"]))
    moon(image)
    saved = image.quantize(colours) if colours else image
    dropped = tmp_path / f"{house['.png'].stem}{suffix}"
    saved.save(dropped, **options)
    made = shop.made("encode", dropped, "strength: 0")
    far = far_from(touched(levels(house[".png"]), np.asarray(image)))
    same = (levels(made[".png"]) == levels(house[".png"])).all(axis=2)
    # A block around the paint may count as painted too: there the colours of both lie in one block.
    assert same[far].mean() > 0.85


def inside() -> NDArray[np.bool_]:
    """The pixels well within the moon."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    left, top, right, bottom = MOON
    return np.asarray((columns - (left + right) / 2) ** 2 + (rows - (top + bottom) / 2) ** 2 < ((right - left) / 2 - 3) ** 2)


def test_what_was_painted_is_seen_and_the_nearer_the_less_is_made_anew(
    shop: Workshop, house: dict[str, Path], tmp_path: Path
) -> None:
    dropped = painted(house[".png"], tmp_path / house[".png"].name)

    def error(picture: Path) -> float:
        return float(np.abs(levels(picture)[inside()].astype(float) - MOONLIGHT).mean() / 255)

    before = error(house[".png"])
    as_it_is, by_itself, much = (
        error(shop.made("encode", dropped, words)[".png"]) for words in ("strength: 0", "", "strength: 0.9")
    )
    assert as_it_is < 0.15 * before
    assert as_it_is <= by_itself < 0.5 * before
    assert by_itself < much


STANDS = "of what was painted stands in the latents, under noise"


def test_where_nobody_says_a_strength_the_loop_begins_where_paint_stays_and_says_so(
    shop: Workshop, house: dict[str, Path], tmp_path: Path
) -> None:
    dropped = painted(house[".png"], tmp_path / house[".png"].name)
    assert tiffsd.inspect(shop.made("encode", dropped)[".tiff"]).recipe["strength"] == 0.3
    assert f"the loop begins at step 14 of 20 (strength 0.3), where 96% {STANDS}; {DRAWN_OVER}" in shop.notes
    shop.made("encode", dropped, "scheduler: ddim")
    assert f"the loop begins at step 18 of 20 (strength 0.1), where 97% {STANDS}; {DRAWN_OVER}" in shop.notes
    shop.made("encode", dropped, "{scheduler: ddim_sgm_uniform, steps: 4}")
    assert f"{STANDS} (more steps than 4 would leave more); {DRAWN_OVER}" in shop.notes


def test_thin_strokes_are_told_of(shop: Workshop, house: dict[str, Path], tmp_path: Path) -> None:
    thin = "of the blocks that it touches: what is thinner than about 4 pixels, such as lines and letters, mostly does not outlive"
    for name, said in (("a stroke of two pixels", True), ("a moon", False)):
        notes = shop.read(painted(house[".png"], tmp_path / house[".png"].name, PAINTS[name])).notes
        assert any(thin in note for note in notes) == said


LOSSY = [(".jpg", quality) for quality in (75, 90, 95)] + [(".webp", 80), (".webp", 95)]


@pytest.mark.parametrize(("suffix", "quality"), mostly_thorough(LOSSY, always=lambda _, quality: quality < 90))
@pytest.mark.parametrize("form", mostly_thorough([".png", ".jpg"], always=lambda form: form == ".png"))
def test_in_a_picture_that_was_saved_again_with_losses_the_paint_alone_is_found(
    shop: Workshop, house: dict[str, Path], tmp_path: Path, form: str, suffix: str, quality: int
) -> None:
    dropped = painted(house[form], tmp_path / f"{house[form].stem}{suffix}", quality=quality)
    exact = Image.fromarray(levels(house[form]))
    moon(exact)
    blocks = touched(levels(house[form]), np.asarray(exact))
    found = shop.read(dropped).tensors[BLOCKS].astype(bool)
    assert (found >= blocks).all()
    rows, columns = np.nonzero(blocks)
    around = np.zeros_like(blocks)
    around[max(rows.min() - 2, 0) : rows.max() + 3, max(columns.min() - 2, 0) : columns.max() + 3] = True
    assert not found[~around].any()


@pytest.mark.parametrize(("suffix", "quality"), mostly_thorough(LOSSY, always=lambda _, quality: quality < 90))
@pytest.mark.parametrize("form", mostly_thorough([".png", ".jpg"], always=lambda form: form == ".png"))
def test_in_a_picture_that_was_only_saved_again_with_losses_nothing_is_found(
    shop: Workshop, house: dict[str, Path], tmp_path: Path, form: str, suffix: str, quality: int
) -> None:
    dropped = tmp_path / f"{house[form].stem}{suffix}"
    Image.fromarray(levels(house[form])).save(dropped, quality=quality)
    request = shop.read(dropped, f"prompt: {PROMPT}")
    assert BLOCKS not in request.tensors
    assert "nothing was painted on it since it was finished as" in "\n".join(request.notes)


@pytest.mark.parametrize("paint", [moon, stroke, None])
def test_paint_on_a_published_jpeg_is_found_where_a_program_decodes_it_a_little_otherwise(
    shop: Workshop, house: dict[str, Path], tmp_path: Path, paint: Callable[[Image.Image], None] | None
) -> None:
    otherwise = np.random.default_rng(0).integers(-3, 4, (SIDE, SIDE, 3))
    before = (levels(house[".jpg"]) + otherwise).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(before)
    if paint is not None:
        paint(image)
    image.save(tmp_path / house[".png"].name)
    found = shop.read(tmp_path / house[".png"].name).tensors.get(BLOCKS, np.zeros((SIDE // BLOCK, SIDE // BLOCK)))
    np.testing.assert_array_equal(found, touched(before, np.asarray(image)))


@pytest.mark.parametrize("quality", mostly_thorough([75, 90, 95], always=lambda quality: quality == 75))
def test_paint_in_a_jpeg_leaves_the_rest_to_the_bit_too(
    shop: Workshop, house: dict[str, Path], tmp_path: Path, quality: int
) -> None:
    dropped = painted(house[".png"], tmp_path / f"{house['.png'].stem}.jpg", quality=quality)
    found = shop.read(dropped).tensors[BLOCKS].astype(bool)
    made = shop.made("encode", dropped)
    outside = far_from(found)
    np.testing.assert_array_equal(values(made[".tiff"])[outside], values(house[".tiff"])[outside])
    np.testing.assert_array_equal(levels(made[".png"])[outside], levels(house[".png"])[outside])


def test_a_stroke_of_two_pixels_is_found_in_a_jpeg(shop: Workshop, house: dict[str, Path], tmp_path: Path) -> None:
    for quality in (75, 90, 95):
        dropped = painted(house[".png"], tmp_path / f"{house['.png'].stem}.jpg", stroke, quality=quality)
        blocks = touched(levels(house[".png"]), levels(painted(house[".png"], tmp_path / "exact.png", stroke)))
        assert (shop.read(dropped).tensors[BLOCKS].astype(bool) >= blocks).mean() > 0.99


def painted_png(house: dict[str, Path], target: Path) -> Path:
    """Saved under any name by an editor that keeps the texts of a PNG."""
    with Image.open(house[".png"]) as image:
        image.load()
        info = image.info
    texts = Image.fromarray(levels(house[".png"]))
    moon(texts)
    words = PngInfo()
    for key in ("parameters", "tiffsd"):
        words.add_text(key, info[key])
    texts.save(target, pnginfo=words)
    return target


def float_levels(path: Path) -> NDArray[np.float32]:
    """The values of a TIFF of any bits, 0..1."""
    pixels = tifffile.imread(path)
    return np.asarray(pixels if pixels.dtype == np.float32 else pixels / np.iinfo(pixels.dtype).max, np.float32)


def painted_tiff(house: dict[str, Path], target: Path, kind: type = np.float32) -> Path:
    """A float TIFF as an editor leaves it, in floats or in 16 or 8 bits; the stem of its name tells what it is."""
    artifact = tiffsd.read(house[".tiff"])
    pixels = artifact.tensors["picture"].copy()
    rows, columns = np.mgrid[:SIDE, :SIDE]
    left, top, right, bottom = MOON
    disc = (columns - (left + right) / 2) ** 2 + (rows - (top + bottom) / 2) ** 2 < ((right - left) / 2) ** 2
    pixels[disc] = np.asarray(MOONLIGHT) / 255
    whole = pixels if kind is np.float32 else (np.clip(pixels, 0, 1) * np.iinfo(kind).max).round().astype(kind)
    tifffile.imwrite(target, whole, photometric="rgb")
    return target


def test_it_is_found_by_its_recipe_under_any_name(shop: Workshop, house: dict[str, Path], tmp_path: Path) -> None:
    assert BLOCKS in shop.read(painted_png(house, tmp_path / "sunset over my house.png")).tensors


def test_it_is_found_by_its_name_where_an_editor_took_the_recipe_out(
    shop: Workshop, house: dict[str, Path], tmp_path: Path
) -> None:
    request = shop.read(painted(house[".png"], tmp_path / house[".png"].name))
    assert BLOCKS in request.tensors
    assert (request.settings.prompt, request.settings.seed) == (PROMPT, SEED)
    other = shop.read(painted(house[".png"], tmp_path / house[".png"].name), "prompt: a blue tree")
    assert (other.settings.prompt, other.settings.seed) == ("a blue tree", SEED)


def test_under_another_name_and_without_a_recipe_it_is_any_picture(shop: Workshop, house: dict[str, Path], tmp_path: Path) -> None:
    request = shop.read(painted(house[".png"], tmp_path / "sunset.png"))
    assert BLOCKS not in request.tensors
    assert request.settings.prompt is None


@pytest.mark.parametrize("kind", mostly_thorough([np.float32, np.uint16, np.uint8], always=lambda kind: kind is np.uint16))
def test_it_is_found_in_a_tiff_of_any_bits(shop: Workshop, house: dict[str, Path], tmp_path: Path, kind: type) -> None:
    dropped = painted_tiff(house, tmp_path / house[".tiff"].name, kind)
    found = shop.read(dropped).tensors[BLOCKS].astype(bool)
    np.testing.assert_array_equal(found, touched(levels8(values(house[".tiff"])), levels8(float_levels(dropped))))
    made = shop.made("encode", dropped)
    np.testing.assert_array_equal(values(made[".tiff"])[far_from(found)], values(house[".tiff"])[far_from(found)])


def test_what_was_saved_in_place_is_compared_with_what_was_finished(shop: Workshop, tmp_path: Path) -> None:
    files = finished(shop, f"---\nseed: 8\n---\n{PROMPT}\n")
    before = {suffix: path.read_bytes() for suffix, path in files.items()}
    old = levels(files[".png"])
    painted(files[".png"], files[".png"])
    files[".tiff"].write_bytes(b"")
    made = shop.made("encode", Path(shutil.copy(files[".png"], tmp_path / files[".png"].name)))
    outside = far_from(touched(old, levels(files[".png"])))
    np.testing.assert_array_equal(levels(made[".png"])[outside], old[outside])
    exact = tiffsd.read(BytesIO(before[".tiff"])).tensors["picture"]
    np.testing.assert_array_equal(values(made[".tiff"])[outside], exact[outside])


def test_the_next_picture_can_be_painted_on_again(shop: Workshop, house: dict[str, Path], tmp_path: Path) -> None:
    first = shop.made("encode", painted(house[".png"], tmp_path / house[".png"].name))
    second = shop.made("encode", painted(first[".png"], tmp_path / first[".png"].name, stroke))
    outside = far_from(touched(levels(first[".png"]), levels(painted(first[".png"], tmp_path / "exact.png", stroke))))
    np.testing.assert_array_equal(values(second[".tiff"])[outside], values(first[".tiff"])[outside])


def test_the_history_says_that_it_was_painted_and_the_recipe_that_it_cannot_repeat_it(
    shop: Workshop, house: dict[str, Path], tmp_path: Path
) -> None:
    made = shop.made("encode", painted(house[".png"], tmp_path / house[".png"].name))
    header = tiffsd.inspect(made[".tiff"])
    assert [entry["stage"] for entry in header.history] == ["text", "diffuse", "decode", "encode", "diffuse", "decode"]
    assert header.history[3]["painted"] == 15
    assert tiffsd.inspect(house[".tiff"]).id in header.history[3]["notes"][0]
    shop.chain.run("text", {"principal": made[".png"]})
    with opened({"principal": made[".png"]}) as files:
        notes = read_request(
            "text", Files(files, {"principal": made[".png"].name}), InputSources(shop.chain.config, tmp_path)
        ).notes
    assert "this picture was painted on after it was finished: the recipe does not repeat that" in notes
    assert not any("came from another picture" in note for note in notes)


def test_an_unpainted_picture_is_taken_as_ever(shop: Workshop, house: dict[str, Path], models: Models, tmp_path: Path) -> None:
    forgetful = workshop(tmp_path, models)
    forgetful.chain.keep = None
    for suffix in (".png", ".tiff", ".jpg", ".webp"):
        now, ever = shop.read(house[suffix]), forgetful.read(house[suffix])
        assert now.settings == ever.settings
        assert now.recipe == ever.recipe
        assert now.tensors.keys() == ever.tensors.keys()
        np.testing.assert_array_equal(now.tensors["picture"], ever.tensors["picture"])
        told = f"nothing was painted on it since it was finished as {tiffsd.inspect(house['.tiff']).id}"
        assert [note for note in now.notes if note not in ever.notes] == [told]


def test_one_that_is_another_picture_by_now_is_taken_as_any_other_and_says_so(
    shop: Workshop, house: dict[str, Path], tmp_path: Path
) -> None:
    name = house[".png"].name

    def noted(change: Callable[[Image.Image], Image.Image]) -> str:
        change(Image.fromarray(levels(house[".png"]))).save(tmp_path / name)
        request = shop.read(tmp_path / name)
        assert not {BLOCKS, FINISHED} & request.tensors.keys()
        assert (request.settings.prompt, request.settings.strength) == (PROMPT, 0.6)
        return "\n".join(request.notes)

    assert "with 128x128 pixels and has 64x64 now, so all of it is taken as any other" in noted(
        lambda image: image.resize((64, 64))
    )
    assert "with 128x128 pixels and has 120x128 now" in noted(lambda image: image.crop((8, 0, 128, 128)))
    Image.fromarray(levels(house[".png"])).save(tmp_path / "gif.gif")
    shutil.copy(tmp_path / "gif.gif", tmp_path / f"{house['.png'].stem}.gif")
    assert "has 256 colours now" in "\n".join(shop.read(tmp_path / f"{house['.png'].stem}.gif").notes)
    much = noted(lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert "which is more than paint on it, so all of it is taken as any other picture" in much
    assert "lay NAME_mask.png beside it" in much


def test_transparent_parts_and_a_mask_beside_it_say_what_is_made_anew(
    shop: Workshop, house: dict[str, Path], tmp_path: Path
) -> None:
    image = Image.fromarray(levels(house[".png"])).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 40, 40))
    image.save(tmp_path / house[".png"].name)
    request = shop.read(tmp_path / house[".png"].name)
    assert FINISHED not in request.tensors
    assert request.settings.strength == 1.0
    assert "are transparent: these are made anew" in "\n".join(request.notes)


def test_where_nothing_is_kept_of_it_that_is_said(house: dict[str, Path], models: Models, tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    forgetful = workshop(tmp_path, models)
    request = forgetful.read(painted_png(house, tmp_path / "sunset.png"))
    assert BLOCKS not in request.tensors
    identity = tiffsd.inspect(house[".tiff"]).id
    assert f"no finished picture {identity} is kept (any more), so all of it is taken as any other picture" in request.notes[-1]


def test_strength_0_is_for_paint_alone(shop: Workshop, house: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"with strength 0 nothing is made anew, .*; nothing was painted on it since .*; give a stre"
    ):
        shop.read(house[".png"], "strength: 0")
    Image.fromarray(levels(house[".png"])).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match="which is for a finished picture that was painted on; give a strength above 0"):
        shop.read(tmp_path / "photo.png", "{strength: 0, prompt: a cat}")


def test_with_another_model_all_of_it_is_encoded_anew_and_the_rest_still_comes_back(
    house: dict[str, Path], shop: Workshop, models: Models, tmp_path: Path
) -> None:
    shutil.copytree(shop.folder / "keep", tmp_path / "keep")
    other = workshop(tmp_path, models, models={"other": {"path": str(resource("models/demo"))}})
    dropped = painted(house[".png"], tmp_path / house[".png"].name)
    made = other.made("encode", dropped, "model: other")
    assert "its own latents are of another model or VAE, or were not kept, so all of it is encoded anew" in other.notes
    outside = far_from(touched(levels(house[".png"]), levels(dropped)))
    np.testing.assert_array_equal(values(made[".tiff"])[outside], values(house[".tiff"])[outside])


def test_without_a_prompt_the_paint_is_taken_as_it_is(shop: Workshop, house: dict[str, Path], tmp_path: Path) -> None:
    bare = finished_without_prompt(shop, house, tmp_path)
    dropped = painted(bare[".png"], tmp_path / bare[".png"].name)
    made = shop.made("encode", dropped)
    assert "there is no prompt to make anew by what was painted: it is taken as it is" in shop.notes
    outside = far_from(touched(levels(bare[".png"]), levels(dropped)))
    np.testing.assert_array_equal(values(made[".tiff"])[outside], values(bare[".tiff"])[outside])


def finished_without_prompt(shop: Workshop, house: dict[str, Path], folder: Path) -> dict[str, Path]:
    Image.fromarray(levels(house[".png"])).save(folder / "photo.png")
    return shop.made("encode", folder / "photo.png")


SCHEDULERS = {"sd3": "flow_euler", "flux": "flow_euler"}


@pytest.mark.parametrize("family", MAKERS)
def test_paint_leaves_the_rest_of_pictures_of_every_family(
    folders: dict[str, Path], models: Models, tmp_path: Path, family: str
) -> None:
    said = {"model": "tiny", "scheduler": SCHEDULERS.get(family, "ddim"), "width": SIDE, "height": SIDE, "guidance_scale": 2.0}
    shop = workshop(tmp_path, models, models={"tiny": {"path": str(folders[family])}}, defaults={**said, "steps": 4})
    # A picture of an inpainting model can only come of another one.
    photo, mask = tmp_path / "photo.png", tmp_path / "photo_mask.png"
    Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB").save(photo)
    Image.new("L", (SIDE, SIDE), 255).save(mask)
    words = tmp_path / "photo.yaml"
    words.write_text(yaml.safe_dump({"prompt": "a cat", "seed": 1, "strength": 0.9}), encoding="utf-8")
    shop.chain.run("encode", {"principal": photo, ".yaml": words, "_mask.png": mask})
    first = {path.suffix: path for path in (tmp_path / "pictures").glob("*")}
    for words_beside in ("", "strength: 0"):
        dropped = painted(first[".png"], tmp_path / first[".png"].name)
        made = shop.made("encode", dropped, words_beside)
        outside = far_from(touched(levels(first[".png"]), levels(dropped)))
        np.testing.assert_array_equal(values(made[".tiff"])[outside], values(first[".tiff"])[outside])
        np.testing.assert_array_equal(levels(made[".png"])[outside], levels(first[".png"])[outside])


def test_what_is_kept_is_no_link_to_what_is_published(house: dict[str, Path], shop: Workshop) -> None:
    kept = [shop.folder / "keep" / path.name for path in (house[".tiff"], house[".jpg"])]
    assert all(not one.samefile(path) for one, path in itertools.product(kept, house.values()))
    latents = tiffsd.read(kept[0]).tensors["latents"]
    assert latents.shape == (4, SIDE // BLOCK, SIDE // BLOCK)
