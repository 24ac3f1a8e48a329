"""Pictures and prompts from elsewhere on their way into a job: what stops it, what is noted, and what a file beside it mends."""

from pathlib import Path

import pytest

from daemon.errors import InputError
from daemon.jobs.intake.files import InputSources
from daemon.jobs.request import Request
from daemon.settings.config import Config
from tests.opening import request_for
from tests.recipes.pictures import commented, jpeg, png
from tests.recipes.specimens import NOISE, PLACES, SPECIMENS

PARAMETERS = "Steps: 8, Sampler: Euler a, CFG scale: 4, Seed: 5, RNG: CPU"
ADAPTIVE = PARAMETERS.replace("Euler a", "DPM adaptive")


def request(folder: Path, stage: str, name: str, data: bytes, **beside: str) -> Request:
    """What a stage makes of a file, and of others beside it by their endings."""
    (folder / "embeddings").mkdir(exist_ok=True)
    members = {"principal": folder / name, **{f".{ending}": folder / f"beside.{ending}" for ending in beside}}
    members["principal"].write_bytes(data)
    for ending, text in beside.items():
        (folder / f"beside.{ending}").write_text(text)
    return request_for(stage, members, InputSources(Config(), folder / "embeddings"))


@pytest.mark.parametrize("data", [*(PLACES["UserComment no code"](noise)[1] for noise in NOISE), commented("Screenshot"), jpeg()])
def test_a_photo_is_encoded_whatever_its_camera_left_in_it(data: bytes, tmp_path: Path) -> None:
    made = request(tmp_path, "encode", "photo.jpg", data)
    assert (made.encodes_text, made.settings.prompt, made.settings.strength, made.notes) == (False, None, None, ())


def test_a_jfif_is_a_jpeg(tmp_path: Path) -> None:
    assert request(tmp_path, "encode", "photo.jfif", jpeg()).tensors["picture"].shape == (32, 32, 3)


@pytest.mark.parametrize(
    "text",
    [
        f"a house AND a tree\n{PARAMETERS}",
        f"a {{red|blue}} house\n{PARAMETERS}",
        f"a <lora:fur:much> house\n{PARAMETERS}",
        f"a house\n{ADAPTIVE}",
        f"a house\n{PARAMETERS.replace('8', '9999999')}",
        f"a house\n{PARAMETERS.replace('CFG scale: 4', 'CFG scale: much')}",
        f"a house\n{PARAMETERS}, Eta: 7",
        "x" * 30_000,
    ],
)
def test_a_recipe_that_cannot_be_honoured_stops_no_picture(text: str, tmp_path: Path) -> None:
    made = request(tmp_path, "encode", "photo.png", png({"parameters": text}))
    assert (made.encodes_text, made.settings.prompt) == (False, None)
    assert [note[:32] for note in made.notes] == ["recipe in the picture ignored: p"]


@pytest.mark.parametrize("size", ["0x0", "100x100", "30000x30000"])
def test_the_size_of_a_recipe_is_of_no_concern_to_a_picture(size: str, tmp_path: Path) -> None:
    made = request(tmp_path, "encode", "photo.png", png({"parameters": f"a house\n{PARAMETERS}, Size: {size}"}))
    assert (made.settings.prompt, made.settings.width, made.settings.height) == ("a house", 32, 32)


def test_a_settings_file_mends_a_recipe_before_anything_is_refused(tmp_path: Path) -> None:
    data = png({"parameters": f"a house AND a tree\n{ADAPTIVE}, Denoising strength: 0, Hires upscale: 2"})
    beside = "prompt: a house\nscheduler: euler\nupscale_strength: 0.5"
    made = request(tmp_path, "text", "cat.png", data, yaml=beside)
    assert (made.settings.prompt, made.settings.scheduler, made.settings.seed) == ("a house", "euler", 5)
    assert (made.settings.upscale, made.settings.upscale_strength) == (2.0, 0.5)
    encoded = request(tmp_path, "encode", "cat.png", data, yaml="prompt: a house\nscheduler: euler")
    assert (encoded.settings.prompt, encoded.settings.scheduler, encoded.settings.seed) == ("a house", "euler", 5)


def test_a_settings_file_mends_a_prompt_file_too(tmp_path: Path) -> None:
    made = request(tmp_path, "text", "cat.txt", f"a house\n{ADAPTIVE}".encode(), yaml="scheduler: euler")
    assert (made.settings.prompt, made.settings.scheduler) == ("a house", "euler")
    said = request(tmp_path, "text", "empty.txt", b"", yaml="prompt: a house")
    assert said.settings.prompt == "a house"
    beside = request(tmp_path, "encode", "photo.png", png({}), txt=f"a house\n{ADAPTIVE}", yaml="scheduler: euler")
    assert (beside.settings.prompt, beside.settings.scheduler) == ("a house", "euler")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"a house\n{ADAPTIVE}", "dpmpp_2m_karras does much the same"),
        (f"a house AND a tree\n{PARAMETERS}", "AND"),
        ("", "no prompt"),
    ],
)
def test_what_nothing_mends_is_refused_as_before(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        request(tmp_path, "text", "cat.txt", text.encode(), yaml="seed: 5")
    with pytest.raises(InputError, match=words):
        request(tmp_path, "encode", "photo.png", png({}), txt=text)


def test_a_model_that_only_another_machine_has_is_noted_wherever_the_recipe_stands(tmp_path: Path) -> None:
    text = f"a house <lora:fur:1>\n{PARAMETERS}, Model: dreamy, VAE: fine"
    wanted = [
        "the recipe's model 'dreamy' is not in config.yaml; the default is used instead",
        "the recipe's vae 'fine' is not in config.yaml; the default is used instead",
        "LoRA 'fur' of the recipe ignored: it is not in the folder of adapters.loras in config.yaml",
    ]
    assert list(request(tmp_path, "text", "cat.txt", text.encode()).notes) == wanted
    assert list(request(tmp_path, "text", "cat.png", png({"parameters": text})).notes) == wanted
    beside = request(tmp_path, "encode", "photo.png", png({}), txt=text).notes
    assert {f"beside.txt: {note}" for note in wanted} <= set(beside)


def test_what_a_person_said_is_not_taken_for_a_recipe(tmp_path: Path) -> None:
    made = request(tmp_path, "text", "cat.txt", f"---\nmodel: mine\n---\na house\n{PARAMETERS}, Model: dreamy".encode())
    assert (made.settings.model, made.notes) == ("mine", ())


def test_every_key_that_is_not_honoured_is_named_beside_a_picture_too(tmp_path: Path) -> None:
    text = f'a house\n{PARAMETERS}, ADetailer model: face, ControlNet 0: "Module: canny", Hires upscale: 2, Hires prompt: "a dog"'
    notes = " ".join(request(tmp_path, "encode", "photo.png", png({}), txt=text).notes)
    assert all(f"beside.txt: '{key}: " in notes for key in ("ADetailer model", "ControlNet 0", "Hires prompt"))


def test_a_picture_whose_form_is_not_read_says_who_made_it(tmp_path: Path) -> None:
    specimen = SPECIMENS["comfyui-two"]
    data = specimen.wrap(specimen.record)
    assert "made by ComfyUI, whose recipe is not read" in request(tmp_path, "encode", "photo.png", data).notes[0]
    for stage, words in (
        ("text", "there is no recipe in this picture .*made by ComfyUI"),
        ("invert", "its prompt is needed.*ComfyUI"),
    ):
        with pytest.raises(InputError, match=words):
            request(tmp_path, stage, "photo.png", data)


@pytest.mark.parametrize(("name", "data"), [("cat.md", b"a house"), ("cat.json", b'{"prompt": "a house"}')])
def test_prompts_have_other_endings_too(name: str, data: bytes, tmp_path: Path) -> None:
    assert request(tmp_path, "text", name, data).settings.prompt == "a house"


@pytest.mark.parametrize("stage", ["encode", "invert"])
@pytest.mark.parametrize(("ending", "text"), [("txt", "a house"), ("md", "a house"), ("json", '{"prompt": "a house", "steps": 3}')])
def test_prompts_beside_a_picture_have_other_endings_too(ending: str, text: str, stage: str, tmp_path: Path) -> None:
    made = request(tmp_path, stage, "photo.png", png({}), **{ending: text})
    assert (made.settings.prompt, made.encodes_text) == ("a house", True)
    assert ending != "json" or made.settings.steps == 3


def test_a_json_file_beside_a_picture_may_be_settings_alone(tmp_path: Path) -> None:
    assert request(tmp_path, "encode", "photo.png", png({}), json='{"seed": 3}').settings.seed == 3
    with pytest.raises(InputError, match=r"beside\.json: 'colour' is no setting"):
        request(tmp_path, "encode", "photo.png", png({}), json='{"colour": "red"}')


def test_two_prompts_beside_a_picture_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"photo\.png: beside\.txt and beside\.md both say what it is to show"):
        request(tmp_path, "encode", "photo.png", png({}), txt="a house", md="a tree")
