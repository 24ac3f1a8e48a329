"""Recipes of every structure: each key is honoured or named, and no text that nobody labelled becomes a prompt."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.settings.config import Config
from daemon.settings.infotext_lines import has_parameters
from daemon.settings.recipe import Prompt
from tests.recipes import table
from tests.recipes.pictures import png
from tests.recipes.reading import configured, recipe_by_the_child, recipe_of
from tests.recipes.specimens import COMFYUI, COMMENTS, NOISE, PLACES, SPECIMENS, Specimen

READ = {name: specimen for name, specimen in SPECIMENS.items() if specimen.read}
CASES = Path(__file__).resolve().parents[3] / "shared/cases"
# Inputs of what is noted as a whole, of what only shows, and those with the value that they have by themselves.
SAY_NOTHING = {
    *("filename_prefix", "batch_size", "denoise", "weight_dtype", "control_net_name", "clip_name1", "clip_name2"),
}
NO_RECIPE = ("r06_none.png", "r36_screenshot.jpg", "r38_le_noparams.jpg")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


def said(found: Prompt) -> tuple[Mapping[str, Any], tuple[str, ...], Mapping[str, str], tuple[str, ...]]:
    return found.settings, found.notes, found.faults, found.inversions


def read(specimen: Specimen, record: Mapping[str, Any], config: Config) -> Prompt:
    return recipe_of(specimen.wrap(record), f"x{specimen.ending}", config)


def test_the_table_of_the_tests_is_what_is_read(config: Config) -> None:
    assert table.written() == table.table(config), "python -m tests.recipes.table"


@pytest.mark.parametrize("name", READ)
def test_the_recipe_of_every_structure_is_read(name: str, config: Config) -> None:
    found = read(READ[name], READ[name].record, config)
    assert str(found.settings["prompt"]).startswith("a ")
    assert (found.settings["seed"], found.settings["steps"]) == (5, 8)
    assert {"prompt", "seed", "steps"} <= found.of_recipe
    assert not found.faults


@pytest.mark.parametrize("name", [name for name in SPECIMENS if name not in READ])
def test_a_form_that_is_not_read_is_told_by_name(name: str, config: Config) -> None:
    found = read(SPECIMENS[name], SPECIMENS[name].record, config)
    assert (found.settings, len(found.notes)) == ({}, 1)


@pytest.mark.parametrize("name", READ)
def test_each_key_of_a_recipe_is_honoured_or_named(name: str, config: Config) -> None:
    specimen = READ[name]
    whole = said(read(specimen, specimen.record, config))
    lost = [key for key, less in _without_each_key(specimen) if said(read(specimen, less, config)) == whole]
    assert sorted(lost) == sorted(set(specimen.silent) & set(lost)), "left out, nothing changes: honour it, or name it"


@pytest.mark.parametrize("name", [name for name in READ if not name.startswith(("comfyui", "easy"))])
def test_a_key_of_tomorrow_is_named(name: str, config: Config) -> None:
    specimen = READ[name]
    found = read(specimen, {**specimen.record, "Wonder": 57}, config)
    assert [note for note in found.notes if "onder" in note and "57" in note]


def test_a_node_of_tomorrow_is_named(config: Config) -> None:
    graph = {**COMFYUI, "3": {**COMFYUI["3"], "inputs": {**COMFYUI["3"]["inputs"], "model": ["99", 0]}}}
    graph["99"] = {"class_type": "Wonder", "inputs": {"model": ["10", 0]}}
    found = read(READ["comfyui"], graph, config)
    assert found.settings["model"] == "demo"
    assert "the node 'Wonder' of the workflow ignored: tiffsd has nothing like it" in found.notes


@pytest.mark.parametrize("name", ["comfyui", "comfyui-flux"])
def test_each_input_of_a_node_is_honoured_or_named(name: str, config: Config) -> None:
    specimen = READ[name]
    whole = said(read(specimen, specimen.record, config))
    for number, node in specimen.record.items():
        for key in [key for key, value in node["inputs"].items() if not isinstance(value, list) and key not in SAY_NOTHING]:
            less = {**node, "inputs": {other: value for other, value in node["inputs"].items() if other != key}}
            assert said(read(specimen, {**specimen.record, number: less}, config)) != whole, (node, key)


def test_the_child_reads_the_same(config: Config) -> None:
    for specimen in (SPECIMENS["a1111"], SPECIMENS["comfyui"], SPECIMENS["comfyui-two"], SPECIMENS["novelai-alpha"]):
        data, name = specimen.wrap(specimen.record), f"x{specimen.ending}"
        assert recipe_by_the_child(data, name, config) == recipe_of(data, name, config)


def _without_each_key(specimen: Specimen) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in specimen.record:
        # By these the form is told.
        if key not in ("Steps", "num_inference_steps"):
            yield key, {other: value for other, value in specimen.record.items() if other != key}


@pytest.mark.parametrize("place", PLACES)
def test_no_text_that_nobody_labelled_becomes_a_prompt(place: str, config: Config) -> None:
    for words in (*(comment.encode() for comment in COMMENTS), *NOISE):
        ending, data = PLACES[place](words)
        assert recipe_of(data, f"x{ending}", config).settings == {}, words


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_no_comment_in_utf_16_becomes_one_either(order: str, config: Config) -> None:
    for comment in (*COMMENTS, "红房子在日落的草地上", "красный дом: закат"):
        ending, data = PLACES["UserComment UNICODE"](comment.encode(order))
        assert recipe_of(data, f"x{ending}", config).settings == {}, comment


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le", "utf-8"])
@pytest.mark.parametrize(
    "words", ["a red house", "红房子在日落的草地上", "красный дом", "家 🏠", "慢慢慢慢慢慢慢慢慢慢慢慢慢慢慢慢慢慢慢慢"]
)
def test_of_the_decodings_of_a_comment_the_one_that_is_text_counts(words: str, order: str, config: Config) -> None:
    ending, data = PLACES["UserComment UNICODE"](f"{words}\nSteps: 8, Sampler: Euler, Seed: 5".encode(order))
    assert recipe_of(data, f"x{ending}", config).settings["prompt"] == words


@pytest.mark.parametrize("place", ["UserComment ASCII", "UserComment no code", "UserComment nothing", "ImageDescription"])
@pytest.mark.parametrize(
    ("words", "code"), [("ein rotes Haus, schön", "latin-1"), ("“café” … 5 €", "cp1252"), ("a\x8dé", "latin-1")]
)
def test_a_recipe_in_the_letters_of_old_programs_is_read(words: str, code: str, place: str, config: Config) -> None:
    ending, data = PLACES[place](f"{words}\nSteps: 8, Sampler: Euler, Seed: 5".encode(code))
    found = recipe_of(data, f"x{ending}", config).settings
    # What is no letter in either is no text.
    assert found.get("prompt") == (words if words.isprintable() or "Image" in place else None)
    assert recipe_of(PLACES[place](words.encode(code))[1], f"x{ending}", config).settings == {}


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le", "utf-8"])
def test_a_comment_that_is_text_in_either_order_is_that_which_is_a_recipe(order: str, config: Config) -> None:
    # Without blanks and breaks the wrong order is text too, of other scripts.
    record = json.dumps({"sui_image_params": {"prompt": "house", "seed": 5}}, separators=(",", ":"))
    ending, data = PLACES["UserComment UNICODE"](record.encode(order))
    assert recipe_of(data, f"x{ending}", config).settings["prompt"] == "house"


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases lie in a folder beside the repository")
@pytest.mark.parametrize("path", sorted(CASES.glob("recipes/*")) if CASES.is_dir() else [], ids=lambda path: path.name)
def test_the_recipes_of_the_cases_are_read(path: Path, config: Config) -> None:
    found = recipe_by_the_child(path.read_bytes(), path.name, config)
    assert ("prompt" in found.settings) == (path.name not in NO_RECIPE)
    assert not has_parameters(str(found.settings))


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases lie in a folder beside the repository")
@pytest.mark.parametrize("path", sorted(CASES.glob("photos/*")) if CASES.is_dir() else [], ids=lambda path: path.name)
def test_the_photos_of_the_cases_have_no_recipe(path: Path, config: Config) -> None:
    found = recipe_by_the_child(path.read_bytes(), path.name, config)
    assert (found.settings, found.notes) == ({}, ())


HOSTILE = {
    "brackets": "[" * 100_000,
    "objects": '{"a":' * 100_000,
    "a long number": '{"seed": ' + "9" * 100_000 + "}",
    "a loop of nodes": json.dumps({"3": {"class_type": "KSampler", "inputs": {"latent_image": ["3", 0], "seed": ["3", 0]}}}),
    "nodes that are none": json.dumps(
        {"3": {"class_type": ["KSampler"], "inputs": 5}, "4": {"class_type": "KSampler", "inputs": []}}
    ),
    "values that are none": json.dumps({"sui_image_params": {"prompt": [], "seed": {}, "loras": {"a": 1}, "steps": [1]}}),
    "no number": '{"sui_image_params": {"prompt": "a", "seed": NaN, "steps": Infinity, "cfgscale": -Infinity}}',
    "half a character": '{"sui_image_params": {"prompt": "\\ud800", "model": "\\udfff", "loras": ["\\ud800"]}}',
    "words without end": json.dumps(
        {"sui_image_params": {"prompt": "a", "seed": "y" * 90_000, "loras": ["x" * 90_000] * 5, "z" * 90_000: "\n\x1b[2J" * 9_000}}
    ),
    "a name in a thousand folders": json.dumps({"sui_image_params": {"prompt": "a", "model": "../" * 1000 + "etc/passwd"}}),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("keyword", ["parameters", "prompt", "invokeai_metadata", "sd-metadata", "Comment"])
def test_a_hostile_record_is_a_sentence_or_no_recipe(name: str, keyword: str, config: Config) -> None:
    texts = {keyword: HOSTILE[name], **({"Software": "NovelAI"} if keyword == "Comment" else {})}
    found = recipe_of(png(texts), "x.png", config)
    assert all("\n" not in note and len(note) < 400 for note in (*found.notes, *found.faults.values()))


def test_what_a_child_says_of_words_without_end_is_bounded(config: Config) -> None:
    found = recipe_by_the_child(png({"parameters": HOSTILE["words without end"]}), "x.png", config)
    assert found.settings["prompt"] == "a"
    assert len(found.settings["seed"]) == 200
    assert all(note.isprintable() and len(note) < 400 for note in found.notes)
