"""Pictures of earlier versions are made again as those versions made them, and say so; new ones are made as the releases say."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import tiffsd
from daemon.jobs.recipes import read_recipe
from daemon.pictures.software import made_elsewhere
from daemon.settings.config import Config
from tests.jobs.kept.keep import ASKED, HERE, PICTURES, Told, chain
from tests.opening import opening
from tests.thorough import mostly_thorough

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]

KEPT = sorted(HERE.glob("*.png"))
SINGLE_FILE = "the scheduler is configured as tiffsd 0.1.0 did it for a model in one file (timestep_spacing leading)"
HALF_A_STEP = "end_at takes the estimate from the first half of step 3, as tiffsd 0.1.0 did"
NOTHING = "as_of ignored: tiffsd 0.1.0 made of this what this version makes"
# The schedule of XL was as released but for what Euler and LMS do not take.
NOTES = {
    **{"sd1": [SINGLE_FILE], "sd1-end_at": [SINGLE_FILE, HALF_A_STEP], "sd2": [SINGLE_FILE], "sd2-v": [SINGLE_FILE]},
    **{"sdxl": [NOTHING], "sdxl-ddim": [SINGLE_FILE], "refiner": [NOTHING]},
}
OTHERWISE = [name for name, notes in NOTES.items() if notes != [NOTHING]]
# Another processor, or other versions of the libraries, may differ in the last bits of a value, so in a level.
LEVELS = 1


@pytest.fixture(scope="module")
def chain_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Told]:
    """What runs a model of a kind in one file."""
    return functools.cache(lambda kind: chain(kind, tmp_path_factory.mktemp(kind)))


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def infotext(picture: Path) -> str:
    with Image.open(picture) as image:
        return str(image.info["parameters"])


def header(picture: Path) -> tiffsd.Header:
    return tiffsd.inspect(picture.with_suffix(".tiff"))


def notes(picture: Path) -> list[str]:
    return [note for entry in header(picture).history for note in entry.get("notes", [])]


def prompt(folder: Path, said: Mapping[str, Any]) -> Path:
    file = folder / "cat.txt"
    file.write_text("\n".join(["---", *(f"{key}: {value}" for key, value in said.items()), "---", "a red cat", ""]))
    return file


def distance(one: Path, other: Path) -> int:
    return int(np.abs(pixels(one).astype(int) - pixels(other)).max())


def test_a_picture_of_each_kind_is_kept() -> None:
    assert [path.stem for path in KEPT] == sorted(f"{name}-0.1.0" for name in PICTURES)
    assert sum(path.stat().st_size for path in KEPT) < 40_000


@pytest.mark.parametrize("name", mostly_thorough(PICTURES, always=("sd1", "sd1-end_at", "sd2-v").__contains__))
def test_a_picture_of_an_earlier_version_is_made_again_to_the_bit_and_says_how(
    name: str, chain_of: Callable[[str], Told], tmp_path: Path
) -> None:
    kind, _ = PICTURES[name]
    kept = HERE / f"{name}-0.1.0.png"
    again = chain_of(kind).picture(kept)
    recorded = opening(read_recipe, kept, kept.name, Config(folder=tmp_path)).software
    elsewhere = made_elsewhere("this picture was", recorded, header(again).software)
    assert recorded["tiffsd"] == "0.1.0"
    assert distance(again, kept) <= (LEVELS if elsewhere else 0)
    said = [note for note in notes(again) if any(note.startswith(start) for start in (SINGLE_FILE, HALF_A_STEP, NOTHING))]
    assert [next(start for start in NOTES[name] if note.startswith(start)) for note in said] == NOTES[name]
    assert header(again).recipe["as_of"] == "0.1.0"

    assert distance(chain_of(kind).picture(again), again) == 0


def test_an_infotext_says_of_which_version_it_is_too(chain_of: Callable[[str], Told], tmp_path: Path) -> None:
    kept, file = HERE / "sd1-0.1.0.png", tmp_path / "words.txt"
    again = chain_of("sd1").picture(kept)
    for picture in (kept, again):
        file.write_text(infotext(picture))
        assert distance(chain_of("sd1").picture(file), again) == 0
    assert "Version: tiffsd 0.1.0" in infotext(kept)
    assert "As of: 0.1.0" in infotext(again)


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_new_picture_of_the_same_recipe_is_another_one_with_nothing_to_say(
    name: str, chain_of: Callable[[str], Told], tmp_path: Path
) -> None:
    kind, asked = PICTURES[name]
    new = chain_of(kind).picture(prompt(tmp_path, {**ASKED, **asked}))
    old = chain_of(kind).picture(prompt(tmp_path, {**ASKED, **asked, "as_of": "0.1.0"}))
    assert distance(old, HERE / f"{name}-0.1.0.png") <= LEVELS < distance(new, old)
    assert not any("0.1.0" in note for note in notes(new))
    assert "as_of" not in header(new).recipe
    assert distance(chain_of(kind).picture(new), new) == 0


def test_the_history_says_how_the_timesteps_were_spaced(chain_of: Callable[[str], Told], tmp_path: Path) -> None:
    new = chain_of("sd1").picture(prompt(tmp_path, {**ASKED, "scheduler": "euler"}))
    for picture, spacing in ((new, "linspace"), (chain_of("sd1").picture(HERE / "sd1-0.1.0.png"), "leading")):
        (loop,) = (entry for entry in header(picture).history if entry["stage"] == "diffuse")
        assert loop["timestep_spacing"] == spacing


def test_a_model_that_is_a_folder_now_counts_as_it_says_itself(tmp_path: Path) -> None:
    folder = chain("sd1", tmp_path, single=False)
    again = folder.picture(HERE / "sd1-0.1.0.png")
    new = folder.picture(prompt(tmp_path, {**ASKED, "scheduler": "euler"}))
    assert distance(again, new) == 0
    assert NOTHING in notes(again)


def as_left_by_0_1_0(latents: Path) -> Path:
    """Latents whose loop an earlier version ran, which did not know of `as_of`."""
    artifact = tiffsd.read(latents)
    recipe = {key: value for key, value in artifact.header.recipe.items() if key != "as_of"}
    software = {**artifact.header.software, "tiffsd": "0.1.0"}
    target = latents.with_stem(f"left_{latents.stem}")
    tiffsd.write(target, replace(artifact, header=replace(artifact.header, recipe=recipe, software=software)))
    return target


def test_half_done_and_finished_latents_of_an_earlier_version_go_on_as_they_began(
    chain_of: Callable[[str], Told], tmp_path: Path
) -> None:
    running = chain_of("sd1")
    said = {**ASKED, "scheduler": "euler", "as_of": "0.1.0"}
    noise = running.made("text", {"principal": prompt(tmp_path, {**said, "stop_at": 3})})["inbox/2-diffuse"]
    half = running.made("diffuse", {"principal": noise})["hold/2-diffuse"]
    finished = running.made("diffuse", {"principal": as_left_by_0_1_0(half)})["inbox/3-decode"]
    assert tiffsd.inspect(finished).recipe["as_of"] == "0.1.0"
    running.made("decode", {"principal": as_left_by_0_1_0(finished)})
    picture = max((running.folder / "pictures").glob("*.png"), key=lambda path: path.stat().st_mtime_ns)
    assert header(picture).recipe["as_of"] == "0.1.0"
    assert distance(picture, running.picture(HERE / "sd1-0.1.0.png")) == 0
    assert distance(running.picture(picture), picture) == 0
