"""The exported model: the bits that were trained, in float16, and as often as it is exported the same."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from daemon.settings.resources import resource
from training import text, tokenizer, unet, vae
from training.captions import WORDS
from training.export import export, scheduler

DEMO = resource("models/demo")
WEIGHTS = {
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
}
Parts = tuple[AutoencoderKL, CLIPTextModel, UNet2DConditionModel]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """Parts of the real shape that nobody trained."""
    torch.manual_seed(0)
    return vae.build(), text.build(tokenizer.build(tmp_path / "words")), unet.build()


def loaded(folder: Path) -> Parts:
    half = {"torch_dtype": torch.float16}
    return (
        AutoencoderKL.from_pretrained(folder / "vae", **half),
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float16),
        UNet2DConditionModel.from_pretrained(folder / "unet", **half),
    )


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_exported_and_loaded_again_is_to_the_bit_what_was_trained(parts: Parts, tmp_path: Path) -> None:
    trained = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    export(tmp_path / "model", *parts)
    for before, after in zip(trained, loaded(tmp_path / "model"), strict=True):
        found = after.state_dict()
        assert found.keys() == before.keys()
        for name, value in before.items():
            wanted = value.half() if value.is_floating_point() else value
            assert torch.equal(found[name], wanted), name


def test_the_shipped_model_is_exported_to_the_files_that_ship(tmp_path: Path) -> None:
    shipped = loaded(DEMO)
    export(tmp_path / "model", *shipped)
    assert all(same(one, other) for one, other in zip(shipped, loaded(tmp_path / "model"), strict=True))
    for part, name in WEIGHTS.items():
        ours, theirs = load_file(tmp_path / "model" / part / name), load_file(DEMO / part / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / "model/tokenizer" / name).read_bytes() == (DEMO / "tokenizer" / name).read_bytes()
    index, ours = (json.loads((folder / "model_index.json").read_text()) for folder in (DEMO, tmp_path / "model"))
    assert {**index, "_diffusers_version": ""} == {**ours, "_diffusers_version": ""}


def test_the_shipped_schedule_is_the_one_that_was_trained() -> None:
    assert torch.equal(DDIMScheduler.from_pretrained(DEMO / "scheduler").alphas_cumprod, scheduler().alphas_cumprod)
    assert scheduler().config.prediction_type == "v_prediction"


def test_an_export_takes_the_place_of_the_model_of_before_and_leaves_its_card(parts: Parts, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet/of_before.bin").write_text("old")
    (folder / "README.md").write_text("what it is")
    export(folder, *parts)
    assert (folder / "README.md").read_text() == "what it is"
    assert not (folder / "unet/of_before.bin").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("model")] == ["model"]


def test_each_word_of_a_caption_is_one_token_and_any_other_text_survives(tmp_path: Path) -> None:
    words = tokenizer.build(tmp_path)
    for word in WORDS:
        assert len(words(word, add_special_tokens=False).input_ids) == 1, word
    for said in ("a red house", "zebra", "a caf\u00e9", "\u732b"):
        ids = words(said, add_special_tokens=False).input_ids
        assert words.decode(ids).strip() == said
    assert isinstance(words, CLIPTokenizer)
    assert len(words("a red house", padding="max_length").input_ids) == 77
