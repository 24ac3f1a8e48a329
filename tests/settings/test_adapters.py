"""Adapters as the front process knows them: folders, names, settings, recipes; no model, no torch."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import tiffsd
from daemon.commands.models import list_models
from daemon.errors import InputError
from daemon.jobs.intake.files import InputSources
from daemon.jobs.request import Request, stage_settings
from daemon.models.adapters.shelf import adapter_path, shelved
from daemon.settings.config import Config, read_config
from daemon.settings.infotext import render_infotext
from daemon.settings.prompts import parse_prompt
from tests.adapters import kohya, written
from tests.artifacts import latents
from tests.opening import request_for

Read = Callable[..., Request]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with two LoRAs and two textual inversions, which are empty files."""
    for folder, names in (("loras", ["fur.safetensors", "sub/ink.pt"]), ("words", ["toy.safetensors", "style.v2.bin"])):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "config.yaml").write_text("adapters: {loras: loras, textual_inversions: words}\n")
    return read_config(tmp_path / "config.yaml")


@pytest.fixture
def read(tmp_path: Path, config: Config) -> Read:
    def read_file(stage: str, name: str, content: object, *, beside: str = "", config: Config = config) -> Request:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        else:
            tiffsd.write(path, content)
        members = {"principal": path}
        if beside:
            members[".yaml"] = path.with_suffix(".yaml")
            members[".yaml"].write_text(beside)
        return request_for(stage, members, InputSources(config, tmp_path / "embeddings"))

    return read_file


def test_a_folder_and_its_subfolders_are_known_by_the_names_of_their_files(tmp_path: Path) -> None:
    for name in (
        "a.safetensors",
        "b.PT",
        "sub/c.bin",
        "sub/a.safetensors",
        "a.pt",
        "readme.txt",
        ".hidden.safetensors",
        "d e.v1.pt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {name: str(path.relative_to(tmp_path)) for name, path in shelved(tmp_path).items()}
    assert found == {"a": "a.safetensors", "b": "b.PT", "c": "sub/c.bin", "d e.v1": "d e.v1.pt"}
    assert shelved(None) == shelved(tmp_path / "nowhere") == {}


def test_a_name_that_is_not_there_is_refused_with_the_way_out(tmp_path: Path) -> None:
    for name in ("fur.safetensors", "ink.pt"):
        (tmp_path / name).touch()
    for folder, name, words in (
        (tmp_path, "furr", "there is no LoRA named 'furr' in .*; did you mean 'fur'"),
        (tmp_path, "x", "there is no LoRA named 'x' in .*; there are: fur, ink"),
        (tmp_path / "gone", "fur", "there is no folder .*gone; correct adapters.loras"),
        (None, "fur", "config.yaml names no folder of them; set adapters.loras"),
        (tmp_path, "../fur", "there is no LoRA named"),
    ):
        with pytest.raises(InputError, match=words):
            adapter_path(name, folder, "LoRA", "adapters.loras")


def test_loras_of_a_prompt_go_to_the_stage_by_path_and_into_the_recipe_by_name(read: Read, config: Config, tmp_path: Path) -> None:
    request = read("text", "cat.txt", "---\nloras: {ink: [0.2, 0.4]}\n---\na cat <lora:fur:0.8>")
    assert (request.recipe["prompt"], request.recipe["loras"]) == ("a cat", {"ink": [0.2, 0.4], "fur": 0.8})
    settings = stage_settings(request, config)
    assert settings["prompt"] == "a cat"
    assert settings["loras"] == [
        {"name": "ink", "path": str(tmp_path / "loras/sub/ink.pt"), "text": 0.2, "denoiser": 0.4},
        {"name": "fur", "path": str(tmp_path / "loras/fur.safetensors"), "text": 0.8, "denoiser": 0.8},
    ]


def test_textual_inversions_go_to_the_stage_where_a_prompt_names_them(read: Read, config: Config, tmp_path: Path) -> None:
    toy, style = str(tmp_path / "words/toy.safetensors"), str(tmp_path / "words/style.v2.bin")
    for prompt, expected in (
        ("a cat", {}),
        ("a (TOY:1.2) cat", {"toy": toy}),
        ("a <style.v2> embedding:toy", {"style.v2": style, "toy": toy}),
        ("a cat\nNegative prompt: toy\nSteps: 3, Seed: 1, Size: 64x64", {"toy": toy}),
        ("toys", {}),
    ):
        assert stage_settings(read("text", "cat.txt", prompt), config)["textual_inversions"] == expected, prompt


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a cat <lora:furr:1>", "no LoRA named 'furr' in .* did you mean 'fur'"),
        ("a cat embedding:toys", "no textual inversion named 'toys' in .* did you mean 'toy'"),
    ],
)
def test_a_missing_adapter_fails_before_anything_is_computed(read: Read, config: Config, prompt: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        stage_settings(read("text", "cat.txt", prompt), config)


@pytest.mark.parametrize("prompt", ["a cat <lora:../fur:1>", "a cat <lora:/etc/passwd:1>", "---\nloras: {../fur: 1}\n---\na cat"])
def test_a_path_out_of_the_folder_names_nothing(read: Read, config: Config, prompt: str) -> None:
    with pytest.raises(InputError, match="there is no LoRA named"):
        stage_settings(read("text", "cat.txt", prompt), config)


def test_a_name_that_nobody_can_see_is_refused(read: Read) -> None:
    with pytest.raises(InputError, match="is not the name of a file: use up to 250 characters that can be seen"):
        read("text", "cat.txt", '---\nloras: {"fur\\e[1m": 1}\n---\na cat')


@pytest.mark.parametrize(
    "name", ["ink (v2)", "it's [fur], really", "cats & dogs @home", "毛", "sub/ink", "sub\\ink.pt", "fur.safetensors"]
)
def test_every_lora_that_is_listed_can_be_called(read: Read, config: Config, tmp_path: Path, name: str) -> None:
    if "ink" not in name or "(" in name:
        (tmp_path / "loras" / f"{name.removesuffix('.safetensors')}.safetensors").touch()
    (lora,) = stage_settings(read("text", "cat.txt", f"a cat <lora:{name}:0.5>"), config)["loras"]
    assert Path(lora["path"]).is_file()
    assert Path(lora["path"]).stem == name.replace("\\", "/").removeprefix("sub/").removesuffix(".pt").removesuffix(".safetensors")


@pytest.mark.parametrize("name", ["bad (hand)", "it's [bad], really", "cats & dogs @home"])
def test_every_textual_inversion_that_is_listed_can_be_called(read: Read, config: Config, tmp_path: Path, name: str) -> None:
    path = tmp_path / "words" / f"{name}.safetensors"
    path.touch()
    said = re.sub(r"([()\[\]])", r"\\\1", name)  # brackets that are no weights, as everywhere in a prompt
    settings = stage_settings(read("text", "cat.txt", f"a cat, {said}, at noon"), config)
    assert settings["textual_inversions"] == {name: str(path)}


@pytest.mark.parametrize("weight", ["strong", "[1, 2, 3]", "1000", "[1, 1e9]", ".nan", "true"])
def test_a_weight_that_is_none_is_refused(read: Read, weight: str) -> None:
    with pytest.raises(InputError, match=r"'loras\.fur' is not the weight of a LoRA"):
        read("text", "cat.txt", f"---\nloras: {{fur: {weight}}}\n---\na cat")


def test_the_loop_takes_the_loras_of_the_latents_and_decoding_none(read: Read, config: Config) -> None:
    artifact = latents(recipe={"prompt": "a cat", "model": "demo", "seed": 1, "steps": 4, "loras": {"fur": 0.5}})
    diffused = read("diffuse", "cat.tiff", artifact)
    assert stage_settings(diffused, config)["loras"][0]["denoiser"] == 0.5
    assert not diffused.encodes_text
    changed = read("diffuse", "cat.tiff", artifact, beside="loras: {fur: 0.75}")
    assert stage_settings(changed, config)["loras"][0]["denoiser"] == 0.75
    assert changed.encodes_text
    assert changed.recipe["loras"] == {"fur": 0.75}
    decoded = read("decode", "cat.tiff", artifact)
    assert stage_settings(decoded, Config())["loras"] == []


def test_an_inversion_of_latents_takes_their_loras(read: Read, config: Config) -> None:
    recipe = {"prompt": "a cat", "model": "demo", "seed": 1, "steps": 4, "loras": {"fur": 0.5}}
    request = read("invert", "cat.tiff", latents(recipe=recipe, state=tiffsd.State.FINAL))
    assert not request.encodes_text
    assert stage_settings(request, config)["loras"][0]["denoiser"] == 0.5
    assert request.recipe["loras"] == {"fur": 0.5}


def test_a_recipe_says_that_there_were_no_loras(read: Read, config: Config) -> None:
    """Otherwise defaults of tomorrow would change a recipe of today."""
    plain = read("text", "cat.txt", "a cat").recipe
    assert plain["loras"] == {}
    later = config.model_copy(update={"defaults": {**config.defaults, "loras": {"fur": 1.0}}})
    assert read("text", "cat.txt", "a cat", config=later).settings.loras == {"fur": 1.0}
    artifact = latents(recipe={**plain, "prompt": "a cat"})
    assert read("diffuse", "cat.tiff", artifact, config=later).settings.loras == {}


@pytest.mark.parametrize("loras", [{"fur": 0.8}, {"fur": 1, "ink v2": [0.5, -1.25]}])
def test_loras_survive_an_infotext(loras: dict[str, Any]) -> None:
    recipe = {"prompt": "a (red:1.2) cat", "steps": 4, "seed": 1, "width": 64, "height": 64, "rng": "cpu", "loras": loras}
    assert parse_prompt(render_infotext(recipe, "1").encode(), "cat.png", characters=1000).settings == recipe


def test_an_infotext_from_elsewhere_runs_without_the_loras_that_are_not_here(tmp_path: Path, config: Config) -> None:
    info = PngInfo()
    info.add_text("parameters", "a cat <lora:fur:1> <lora:gone:1>\nSteps: 4, Seed: 1, Size: 64x64, RNG: CPU, Lora hashes: x")
    Image.new("RGB", (64, 64)).save(tmp_path / "there.png", pnginfo=info)
    request = request_for("text", {"principal": tmp_path / "there.png"}, InputSources(config, tmp_path / "embeddings"))
    assert request.settings.loras == {"fur": 1.0}
    assert "LoRA 'gone' of the recipe ignored: it is not in the folder" in " ".join(request.notes)


def test_the_list_of_models_names_adapters_and_what_is_wrong_with_them(tmp_path: Path, config: Config) -> None:
    layers = {"down_blocks.0": (torch.zeros(4, 8), torch.zeros(8, 4))}
    written(tmp_path / "loras/fur.safetensors", kohya("lora_unet_", layers))
    written(tmp_path / "loras/sub/ink.pt", {"lora_unet_x.hada_w1_a": torch.zeros(2, 2)})
    written(tmp_path / "words/toy.safetensors", {"toy": torch.zeros(1, 8)})
    listed = {entry.name: entry for entry in list_models(config)}
    assert (listed["fur"].kind, listed["fur"].size_bytes, listed["fur"].dtypes, listed["fur"].faults) == ("lora", 260, ("F32",), ())
    assert listed["ink"].faults == ("the LoRA 'ink' is a LoHa, which cannot be used; use one of up and down matrices",)
    assert (listed["toy"].kind, listed["toy"].faults) == ("textual inversion", ())
    assert "no file of weights" in listed["style.v2"].faults[0]
    gone = config.model_copy(update={"adapters": config.adapters.model_copy(update={"loras": Path("gone")})})
    assert [entry.faults for entry in list_models(gone) if entry.name == "adapters.loras"] == [
        (f"there is no folder {tmp_path / 'gone'}",)
    ]
