"""OpenEXR files and latents of ComfyUI in the inboxes: what they become, what is told, and what `tiffsd check` foretells."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import InputError
from daemon.jobs.explain import explain
from daemon.jobs.intake.files import OF_VAE, InputSources
from daemon.jobs.probe import NOTHING, Probe, read_ids
from daemon.jobs.request import Request, stage_settings
from daemon.service.misplaced import Misplaced
from daemon.settings.config import Config
from daemon.stages import STAGES
from tests.artifacts import latents, picture
from tests.opening import request_for
from tests.tiffsd.test_exchange import edited, exr_of, exr_with, save_latent
from tiffsd.latent_file import SCALINGS, write_latent

FINAL = tiffsd.State.FINAL
GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            **{"seed": 5, "steps": 8, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
            **{"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]},
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "demo.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red house", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "rain", "clip": ["4", 1]}},
    "8": {"class_type": "SaveLatent", "inputs": {"samples": ["3", 0], "filename_prefix": "x"}},
}
SAMPLES = np.random.default_rng(1).standard_normal((1, 4, 16, 16)).astype(np.float32) * 5


@pytest.fixture
def sources(tmp_path: Path) -> InputSources:
    (tmp_path / "spool/.keep").mkdir(parents=True)
    (tmp_path / "spool/embeddings").mkdir()
    config = Config.model_validate({"folder": tmp_path})
    return InputSources(config, tmp_path / "spool/embeddings", tmp_path / "spool/.keep")


def dropped(stage: str, name: str, data: bytes, sources: InputSources, **beside: str) -> Request:
    """The request for a file, and for settings beside it by their ending."""
    folder = sources.embeddings.parent
    (folder / name).write_bytes(data)
    members = {"principal": folder / name}
    for ending, text in beside.items():
        path = (folder / name).with_suffix(f".{ending}")
        path.write_text(text)
        members[f".{ending}"] = path
    return request_for(stage, members, sources)


def foretold(name: str, data: bytes, sources: InputSources) -> dict[str, tuple[bool, str]]:
    folder = sources.embeddings.parent.parent / "desk"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    said = explain(folder / name, sources.config)
    return {sentence.partition(":")[0]: (is_used, sentence) for is_used, sentence in said}


def written(artifact: tiffsd.Artifact) -> bytes:
    file = io.BytesIO()
    write_latent(file, artifact, SCALINGS["sd1"])
    return file.getvalue()


@pytest.mark.parametrize("stage", ["diffuse", "decode", "invert"])
@pytest.mark.parametrize("form", ["exr", "latent"])
def test_latents_that_were_written_here_are_those_that_they_were(stage: str, form: str, sources: InputSources) -> None:
    made = latents(state=FINAL)
    data = exr_of(made, tiffsd.Layout.PAGES) if form == "exr" else written(made)
    request = dropped(stage, f"cat.{form}", data, sources, yaml="strength: 0.5" if stage == "diffuse" else "seed: 1")
    assert request.source is not None
    assert (request.source.header.id, request.source.painted) == (made.header.id, 0)
    assert np.array_equal(request.tensors["latents"], made.tensors["latents"])
    assert stage_settings(request, sources.config)["of_vae"] is False


@pytest.mark.parametrize("suffix", ["exr", "EXR"])
def test_what_an_editor_lost_comes_from_the_original_by_the_id_in_the_name(suffix: str, sources: InputSources) -> None:
    made = latents(state=FINAL)
    assert sources.keep is not None
    tiffsd.write(sources.keep / f"cat.{made.header.id}.tiff", made)

    def paint(channels: dict[str, Any]) -> None:
        channels["channel 1.Y"][:2, :2] = 0

    data = edited(exr_of(made, tiffsd.Layout.PAGES), paint)
    request = dropped("decode", f"cat.{made.header.id}.{suffix}", data, sources)
    assert request.source is not None
    assert request.source.painted == 4
    expected = made.tensors["latents"].copy()
    expected[1, :2, :2] = -4
    assert np.array_equal(request.tensors["latents"], expected)
    assert request.recipe["prompt"] == "a red house"


def test_a_mosaic_that_an_editor_exported_is_taken_by_the_id_in_its_name(sources: InputSources) -> None:
    made = latents(state=FINAL)
    assert sources.keep is not None
    tiffsd.write(sources.keep / f"cat.{made.header.id}.tiff", made)
    gimp = edited(exr_of(made, tiffsd.Layout.MOSAIC), lambda _: None)
    for stage in ("decode", "invert"):
        request = dropped(stage, f"cat.{made.header.id}.exr", gimp, sources)
        assert np.array_equal(request.tensors["latents"], made.tensors["latents"])
    with pytest.raises(InputError, match=f"has the name of latents {made.header.id}.*move it to inbox/2-diffuse"):
        dropped("encode", f"cat.{made.header.id}.exr", gimp, sources)
    said = foretold(f"cat.{made.header.id}.exr", gimp, sources)
    assert said["inbox/3-decode"][0]
    assert said["inbox/invert"][0]
    assert not said["inbox/encode"][0]


def test_latents_of_comfyui_go_to_the_stage_in_the_units_of_their_vae_with_the_recipe_of_their_graph(sources: InputSources) -> None:
    data = save_latent(SAMPLES, prompt=json.dumps(GRAPH), workflow="{}")
    request = dropped("decode", "ComfyUI_00001_.latent", data, sources)
    assert np.array_equal(request.tensors["latents"], SAMPLES[0])
    assert stage_settings(request, sources.config)["of_vae"] is True
    assert (request.recipe["prompt"], request.recipe["seed"], request.settings.model) == ("a red house", 5, "demo")
    assert OF_VAE in request.notes
    assert (request.settings.width, request.settings.height) == (128, 128)


def test_with_a_strength_they_are_made_anew_by_the_prompt_that_was_in_them(sources: InputSources) -> None:
    data = save_latent(SAMPLES, prompt=json.dumps(GRAPH))
    request = dropped("diffuse", "a.latent", data, sources, yaml="strength: 0.5")
    assert request.encodes_text
    assert (request.settings.strength, request.settings.prompt, request.settings.steps) == (0.5, "a red house", 8)
    with pytest.raises(InputError, match="these latents are finished"):
        dropped("diffuse", "b.latent", data, sources)


def test_without_a_graph_the_prompt_beside_them_counts_and_without_one_a_sentence_asks_for_it(sources: InputSources) -> None:
    request = dropped("diffuse", "a.latent", save_latent(SAMPLES), sources, yaml="{strength: 0.5, prompt: a cat}")
    assert (request.settings.prompt, request.encodes_text) == ("a cat", True)
    with pytest.raises(InputError, match=r"these latents have no embedding, .*drop the prompt as b\.txt beside them"):
        dropped("diffuse", "b.latent", save_latent(SAMPLES), sources, yaml="strength: 0.5")


def test_a_graph_that_cannot_be_honoured_stops_no_latents(sources: InputSources) -> None:
    broken = {**GRAPH, "3": {**GRAPH["3"], "inputs": {**GRAPH["3"]["inputs"], "steps": 10**9}}}
    request = dropped("decode", "a.latent", save_latent(SAMPLES, prompt=json.dumps(broken)), sources)
    assert np.array_equal(request.tensors["latents"], SAMPLES[0])
    assert any("recipe in the picture ignored" in note for note in request.notes)


def test_a_picture_in_openexr_is_encoded_and_its_recipe_repeated(sources: InputSources) -> None:
    made = picture(64, 64)
    request = dropped("encode", "a.exr", exr_of(made), sources)
    assert np.abs(request.tensors["picture"] - made.tensors["picture"]).max() < 1e-6
    assert request.settings.prompt == "a red house"
    assert dropped("text", "b.exr", exr_of(made), sources).settings.prompt == "a red house"
    with pytest.raises(InputError, match="there is no recipe in this picture"):
        dropped("text", "c.exr", exr_with({name: np.ones((64, 64), np.float32) for name in "RGB"}), sources)


def test_check_says_what_each_inbox_would_do(sources: InputSources) -> None:
    final = foretold("a.latent", save_latent(SAMPLES), sources)
    assert final["inbox/3-decode"][0]
    assert "128x128 pixels, model demo" in final["inbox/3-decode"][1]
    assert not final["inbox/2-diffuse"][0]
    noise = foretold("b.exr", exr_of(latents(), tiffsd.Layout.PAGES), sources)
    assert {place for place, (is_used, _) in noise.items() if is_used} == {"inbox/2-diffuse", "inbox/3-decode"}
    assert foretold("c.exr", exr_of(picture(64, 64)), sources)["inbox/encode"][0]


def test_what_lies_beside_the_inboxes_is_sent_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    for name in ("a.latent", "b.exr"):
        (tmp_path / name).write_bytes(b"x")
    found = Misplaced(tmp_path)
    found.look()
    assert sorted(sentence.partition("move it to ")[2] for sentence in found.complaints()) == [
        "inbox/2-diffuse or inbox/3-decode",
        "inbox/encode, or to inbox/1-text to repeat its recipe, or with latents to inbox/2-diffuse or inbox/3-decode",
    ]


def test_heads_and_ids_are_known_as_of_a_tiff(tmp_path: Path) -> None:
    made = latents(recipe={"prompt": "a cat", "model": "demo", "priority": 7})
    (tmp_path / "a.exr").write_bytes(exr_of(made, tiffsd.Layout.PAGES))
    (tmp_path / "a.latent").write_bytes(written(made))
    (tmp_path / "c.exr").write_bytes(b"v/1\1 and no more")
    probe = Probe(Beneath(tmp_path), lambda: 1000)
    for name in ("a.exr", "a.latent"):
        assert (probe.read(tmp_path / name).priority, probe.read(tmp_path / name).model) == (7, "demo")
        assert read_ids(Beneath(tmp_path), tmp_path / name) == {made.header.id}
    assert probe.read(tmp_path / "c.exr") == NOTHING


def test_each_stage_that_takes_latents_takes_them_in_every_form() -> None:
    for stage in ("diffuse", "decode", "invert"):
        assert {".tiff", ".exr", ".latent"} <= set(STAGES[stage].extensions)
    assert ".exr" in STAGES["encode"].extensions
    assert {stage: STAGES[stage].instead[".latent"] for stage in ("text", "encode")} == {"text": "diffuse", "encode": "decode"}
