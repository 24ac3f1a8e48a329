"""The configurations in the package fit real models: files of full size are told apart, and every weight is found in them.

The models are built without memory for their weights, and the files have holes in the place of them.
"""

import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers

from daemon.models.checkpoints.kinds import CONFIGS, kind_of
from daemon.models.checkpoints.layouts import pieces_of
from daemon.models.checkpoints.tensors import index_of
from daemon.models.checkpoints.vocabulary import clip_tokenizer
from daemon.models.registry import Models, ModelSpec
from daemon.models.sources import source_of
from tests import originals, released
from tests.full_size import parts_of, write_holes

KINDS = {
    "stable-diffusion-1": "sd1",
    "stable-diffusion-2-epsilon": "sd2",
    "stable-diffusion-2-v": "sd2-v",
    "stable-diffusion-xl": "sdxl",
    "stable-diffusion-xl-refiner": "refiner",
    "stable-diffusion-3-medium": "sd3",
    "stable-diffusion-3.5-medium": "sd3.5",
    "stable-diffusion-3.5-large": "sd3.5",
    "flux-dev": "flux",
    "flux-schnell": "schnell",
}
# What tells Stable Diffusion 2 of the one prediction from that of the other.
BIAS = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


@pytest.mark.parametrize("configs", KINDS)
def test_a_file_of_the_real_size_is_recognized_and_whole(configs: str, tmp_path: Path) -> None:
    parts = parts_of(configs)
    weights = originals.KINDS[KINDS[configs]](parts)
    file = tmp_path / "model.safetensors"
    offsets = write_holes(weights, file)
    if BIAS in weights:
        with file.open("r+b") as stream:
            stream.seek(offsets[BIAS])
            stream.write((torch.randn(320) * (0.2 if configs == "stable-diffusion-2-v" else 0.02)).half().numpy().tobytes())

    kind, index, source = kind_of(file), index_of(file), source_of(str(file))

    assert kind.configs == configs
    components = {name: part for name, part in vars(parts).items() if part is not None}
    assert kind.components == components.keys()
    for name, part in components.items():
        shapes = {key: tuple(tensor.shape) for key, tensor in part.state_dict().items()}
        config = source.part(name).config()
        assert pieces_of(name, shapes, config, index).keys() == shapes.keys()
        assert config.items() >= json.loads((CONFIGS / configs / name / "config.json").read_text()).items()
    Models(1 << 30).grid(ModelSpec("real", str(file)))


@pytest.mark.parametrize("configs", KINDS)
def test_the_scheduler_is_configured_as_the_release_has_it(configs: str) -> None:
    assert json.loads((CONFIGS / configs / "scheduler/scheduler_config.json").read_text()) == released.SCHEDULERS[configs]


def test_what_0_1_0_shipped_is_there_for_its_pictures() -> None:
    kept = {path.parent.parent.name: json.loads(path.read_text()) for path in CONFIGS.glob("*/scheduler/*-0.1.0.json")}
    assert kept.keys() == {
        configs for configs in KINDS if configs.startswith(("stable-diffusion-1", "stable-diffusion-2", "stable-diffusion-x"))
    }
    assert {config["timestep_spacing"] for config in kept.values()} == {"leading"}


def test_the_documentation_names_every_configuration() -> None:
    page = (CONFIGS / "README.md").read_text(encoding="utf-8")
    assert [name for name in KINDS if f"`{name}`" not in page] == []
    assert [path for path in CONFIGS.glob("*/*/*.json") if f"`{path.parent.name}/{path.name}`" not in page] == []


def test_diffusers_finds_every_weight_of_flux_under_our_names() -> None:
    transformer = parts_of("flux-dev").transformer
    converted = convert_flux_transformer_checkpoint_to_diffusers(originals.transformer_flux(transformer))
    shapes = {name: weight.shape for name, weight in transformer.state_dict().items()}
    assert {name: weight.shape for name, weight in converted.items()} == shapes


# Ids that are known of CLIP, from its own tests and OpenCLIP's.
KNOWN = {
    "a photo of a cat": [49406, 320, 1125, 539, 320, 2368, 49407],
    "hello world": [49406, 3306, 1002, 49407],
    "": [49406, 49407],
}


@pytest.mark.parametrize("configs", KINDS)
def test_the_shipped_vocabulary_gives_the_ids_of_clip(configs: str) -> None:
    for path in sorted((CONFIGS / configs).glob("tokenizer*/tokenizer_config.json")):
        said = json.loads(path.read_text())
        tokenizer = clip_tokenizer(said)
        assert {text: tokenizer(text).input_ids for text in KNOWN} == KNOWN
        assert (len(tokenizer), tokenizer.model_max_length) == (49_408, 77)
        pad = 49407 if said["pad_token"] == "<|endoftext|>" else 0
        assert tokenizer("", padding="max_length").input_ids == [49406, 49407, *[pad] * 75]
