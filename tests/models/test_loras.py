"""LoRAs in the weights of components: those that diffusers and peft fuse from the same file, and what is refused."""

import copy
import functools
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from accelerate import init_empty_weights

from daemon.errors import InputError
from daemon.models.adapters.layers import layers_of
from daemon.models.adapters.loras import Lora
from daemon.models.checkpoints.kinds import CONFIGS
from daemon.models.registry import Models, ModelSpec
from daemon.stages import decode, diffuse, text
from tests import tiny
from tests.adapters import ATTENTION, CONVOLUTIONS, kohya, matrices, peft, text_layers, written
from tests.parts import SIZE, STEPS, generator, quiet, settings, start, unpacked

MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sdxl": tiny.stable_diffusion_xl,
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}
SINGLE = (".add_q_proj", ".add_k_proj", ".add_v_proj", ".to_add_out", ".proj_mlp", ".norm1.linear", ".norm.linear")
File = Mapping[str, torch.Tensor]
Maker = Callable[[Any], File]

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


@functools.cache
def pipeline(folder: Path) -> Any:
    """The pipeline of a model, which is to stay as it is."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def with_loras(folder: Path, *loras: Lora) -> Any:
    """The pipeline with LoRAs fused into it by diffusers and peft, each with its weight in the denoiser."""
    pipe = copy.deepcopy(pipeline(folder))
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        for number, lora in enumerate(loras):
            file = Path(lora.path)
            pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=f"a{number}", local_files_only=True)
    active = sorted({name for names in pipe.get_list_adapters().values() for name in names})
    pipe.set_adapters(active, [loras[int(name[1:])].denoiser for name in active])
    pipe.fuse_lora(components=[name for name in components(pipe) if name in pipe.get_list_adapters()])
    pipe.unload_lora_weights()
    return pipe


def components(pipe: Any) -> list[str]:
    names = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")
    return [name for name in names if getattr(pipe, name, None) is not None]


def weights(part: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in part.named_parameters()}


def ours(models: Models, folder: Path, *loras: Lora) -> dict[str, dict[str, torch.Tensor]]:
    model = ModelSpec("tiny", str(folder))
    return {name: weights(models.component(model, name, loras)) for name in components(pipeline(folder))}


def theirs(folder: Path, *loras: Lora) -> dict[str, dict[str, torch.Tensor]]:
    pipe = with_loras(folder, *loras)
    return {name: weights(getattr(pipe, name)) for name in components(pipe)}


def apart(some: Mapping[str, Mapping[str, torch.Tensor]], others: Mapping[str, Mapping[str, torch.Tensor]]) -> float:
    """The largest difference between the weights of models."""
    return max(float((weight - others[name][key]).abs().max()) for name, part in some.items() for key, weight in part.items())


def of_sgm(layer: str) -> str:
    """A layer of the tiny SDXL as the original release calls it."""
    places = {"down_blocks.0.attentions.0": "input_blocks.1.1", "mid_block.attentions.0": "middle_block.1"}
    return next((new + layer.removeprefix(old) for old, new in places.items() if layer.startswith(old)), layer)


def in_release(pipe: Any) -> File:
    layers = matrices(pipe.unet, ATTENTION)
    return kohya("lora_unet_", {name: both for name, both in layers.items() if of_sgm(name) != name}, named=of_sgm)


def of_processors(layers: Any) -> File:
    """As diffusers wrote LoRAs when they were processors of attention."""
    file = {}
    for name, both in layers.items():
        attention, layer = name.split(".attn", 1)
        number, place = layer.split(".", 1)
        key = f"unet.{attention}.attn{number}.processor.{place.removesuffix('.0')}_lora"
        file |= {f"{key}.down.weight": both[0], f"{key}.up.weight": both[1]}
    return file


ATTENDING = (".to_q", ".to_k", ".to_v", ".to_out.0")
FILES: dict[str, tuple[str, Maker]] = {
    "kohya": (
        "sd1",
        lambda pipe: {
            **kohya("lora_unet_", matrices(pipe.unet, ATTENTION + CONVOLUTIONS)),
            **kohya("lora_te_", text_layers(pipe.text_encoder)),
        },
    ),
    "kohya-without-alpha": ("sd1", lambda pipe: kohya("lora_te_", text_layers(pipe.text_encoder), alpha=None)),
    "peft": (
        "sd1",
        lambda pipe: {**peft("unet.", matrices(pipe.unet, ATTENTION)), **peft("text_encoder.", text_layers(pipe.text_encoder))},
    ),
    "old-diffusers": ("sd1", lambda pipe: peft("unet.", matrices(pipe.unet, ATTENTION), "lora.down", "lora.up")),
    "processors": ("sd1", lambda pipe: of_processors(matrices(pipe.unet, ATTENDING))),
    "kohya-xl": (
        "sdxl",
        lambda pipe: {
            **kohya("lora_unet_", matrices(pipe.unet, ATTENTION)),
            **kohya("lora_te1_", text_layers(pipe.text_encoder)),
            **kohya("lora_te2_", text_layers(pipe.text_encoder_2, seed=1)),
        },
    ),
    "release-xl": ("sdxl", in_release),
    "peft-xl": (
        "sdxl",
        lambda pipe: {**peft("unet.", matrices(pipe.unet, ATTENTION)), **peft("text_encoder_2.", text_layers(pipe.text_encoder_2))},
    ),
    "peft-3": ("sd3", lambda pipe: peft("transformer.", matrices(pipe.transformer, ATTENTION + SINGLE))),
    "peft-flux": (
        "flux",
        lambda pipe: {
            **peft("transformer.", matrices(pipe.transformer, ATTENTION + SINGLE)),
            **peft("text_encoder.", text_layers(pipe.text_encoder)),
        },
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_lora_changes_the_weights_that_diffusers_fuses(
    models: Models, folders: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    family, make = FILES[kind]
    folder = folders[family]
    file = written(tmp_path / "fur.safetensors", make(pipeline(folder)))
    lora = Lora("fur", str(file), 0.7, 0.7)
    changed = ours(models, folder, lora)
    assert apart(changed, theirs(folder, lora)) == 0
    assert apart(changed, ours(models, folder)) > 0.001


def test_several_loras_add_up(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    pipe = pipeline(folders["sd1"])
    made = [
        {
            **kohya("lora_unet_", matrices(pipe.unet, ATTENTION, seed=seed)),
            **kohya("lora_te_", text_layers(pipe.text_encoder, seed=seed)),
        }
        for seed in (1, 2)
    ]
    files = [written(tmp_path / f"{number}.safetensors", file) for number, file in enumerate(made)]
    both = [
        Lora(f"{number}", str(file), weight, weight) for number, (file, weight) in enumerate(zip(files, (0.5, -1.25), strict=True))
    ]
    assert apart(ours(models, folders["sd1"], *both), theirs(folders["sd1"], *both)) == 0


def test_the_weights_of_text_encoders_and_denoiser_are_their_own(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    pipe = pipeline(folders["sd1"])
    layers, words = matrices(pipe.unet, ATTENTION), text_layers(pipe.text_encoder)
    file = str(written(tmp_path / "a.safetensors", {**kohya("lora_unet_", layers), **kohya("lora_te_", words)}))
    mixed = ours(models, folders["sd1"], Lora("a", file, 0.5, 0.25))
    for name, weight in (("text_encoder", 0.5), ("unet", 0.25)):
        assert apart({name: mixed[name]}, theirs(folders["sd1"], Lora("a", file, weight, weight))) == 0


def test_without_loras_not_a_bit_is_changed_before_between_and_after(
    models: Models, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = folders["sd1"]
    pipe = pipeline(folder)
    file = str(written(tmp_path / "a.safetensors", kohya("lora_unet_", matrices(pipe.unet, ATTENTION))))
    first, second = Lora("a", file, 1.0, 1.0), Lora("a", file, 1.0, 0.5)
    plain = {name: weights(getattr(pipe, name)) for name in components(pipe)}
    seen = [ours(models, folder, *loras) for loras in ((), (first,), (second,), (), (first,))]
    assert apart(seen[0], plain) == apart(seen[3], plain) == 0
    assert apart(seen[1], seen[4]) == 0
    assert apart(seen[1], seen[2]) > 0


def test_a_component_that_was_given_out_never_changes(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    model, pipe = ModelSpec("tiny", str(folders["sd1"])), pipeline(folders["sd1"])
    file = str(written(tmp_path / "a.safetensors", kohya("lora_unet_", matrices(pipe.unet, ATTENTION))))
    given = models.component(model, "unet")
    models.component(model, "unet", (Lora("a", file),))
    assert apart({"unet": weights(given)}, {"unet": weights(pipe.unet)}) == 0


def test_a_lora_that_leaves_a_component_alone_does_not_load_it_again(
    models: Models, folders: dict[str, Path], tmp_path: Path
) -> None:
    model, pipe = ModelSpec("tiny", str(folders["sd1"])), pipeline(folders["sd1"])
    file = str(written(tmp_path / "a.safetensors", kohya("lora_unet_", matrices(pipe.unet, ATTENTION))))
    lora, off = Lora("a", file), Lora("a", file, 0.0, 0.0)
    assert models.component(model, "text_encoder", (lora,)) is models.component(model, "text_encoder")
    assert models.component(model, "unet", (off,)) is models.component(model, "unet")
    assert models.component(model, "unet", (lora,)) is models.component(model, "unet", (lora,))


def test_a_file_that_was_replaced_is_read_again(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    pipe = pipeline(folders["sd1"])
    lora = Lora("a", str(tmp_path / "a.safetensors"))
    found = []
    for rank in (2, 4):
        written(Path(lora.path), kohya("lora_unet_", matrices(pipe.unet, ATTENTION, rank=rank)))
        found.append(ours(models, folders["sd1"], lora))
    assert apart(*found) > 0


def test_a_text_lora_without_out_proj_is_merged_whole(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    """diffusers leaves q_proj out of such a file without a word."""
    pipe = pipeline(folders["sd1"])
    layers = {name: both for name, both in text_layers(pipe.text_encoder).items() if name.endswith((".q_proj", ".fc1"))}
    file = written(tmp_path / "a.safetensors", kohya("lora_te_", layers, alpha=2.0))
    plain, merged = weights(pipe.text_encoder), ours(models, folders["sd1"], Lora("a", str(file)))["text_encoder"]
    changed = {name for name, weight in merged.items() if not torch.equal(weight, plain[name])}
    assert changed == {f"{name.removeprefix('text_model.')}.weight" for name in layers}
    for name, (down, up) in layers.items():
        weight = f"{name.removeprefix('text_model.')}.weight"
        assert torch.equal(merged[weight], plain[weight] + (up @ down) * (2.0 / 4))


IN_RELEASES = {
    ("stable-diffusion-xl", "unet", diffusers.UNet2DConditionModel): {
        "input_blocks_4_1_transformer_blocks_0_attn1_to_q": ["down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"],
        "output_blocks_2_2_conv": ["up_blocks.0.upsamplers.0.conv"],
        "input_blocks_1_0_in_layers_2": ["down_blocks.0.resnets.0.conv1"],
        "middle_block_1_proj_in": ["mid_block.attentions.0.proj_in"],
        "down_blocks_1_attentions_0_proj_in": ["down_blocks.1.attentions.0.proj_in"],
        "label_emb_0_0": ["add_embedding.linear_1"],
    },
    ("flux-dev", "transformer", diffusers.FluxTransformer2DModel): {
        "double_blocks_18_txt_attn_qkv": [f"transformer_blocks.18.attn.add_{letter}_proj" for letter in "kqv"],
        "single_blocks_37_linear2": ["single_transformer_blocks.37.proj_out"],
        "final_layer_linear": ["proj_out"],
    },
}


@pytest.mark.parametrize("release", IN_RELEASES, ids=lambda release: release[0])
def test_the_layers_of_full_size_models_are_known_by_the_names_of_their_releases(release: tuple[str, str, Any]) -> None:
    folder, component, cls = release
    config = json.loads((CONFIGS / folder / component / "config.json").read_text())
    with init_empty_weights():
        layers = layers_of(cls.from_config(config), component)
    for name, meant in IN_RELEASES[release].items():
        assert sorted(layers[name]) == [f"{layer}.weight" for layer in meant], name


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_matrices_that_the_release_keeps_in_one_are_parted(
    models: Models, folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    pipe, random = pipeline(folders[family]), torch.Generator().manual_seed(0)
    width = pipe.transformer.transformer_blocks[0].attn.to_q.weight.shape[1]
    rows = {
        "double_blocks_0_img_attn_qkv": 3 * width,
        "single_blocks_0_linear1": 7 * width,
        "final_layer_adaLN_modulation_1": 2 * width,
    }
    rows = rows if family == "flux" else {"joint_blocks_0_context_block_attn_qkv": 3 * width}
    layers = {
        name: (torch.randn(4, width, generator=random), torch.randn(count, 4, generator=random)) for name, count in rows.items()
    }
    file = written(tmp_path / "a.safetensors", kohya("lora_unet_", layers, alpha=4.0))
    merged, plain = ours(models, folders[family], Lora("a", str(file)))["transformer"], weights(pipe.transformer)
    places = {
        "double_blocks_0_img_attn_qkv": [f"transformer_blocks.0.attn.to_{letter}" for letter in "qkv"],
        "single_blocks_0_linear1": [
            f"single_transformer_blocks.0.{name}" for name in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
        ],
        "joint_blocks_0_context_block_attn_qkv": [f"transformer_blocks.0.attn.add_{letter}_proj" for letter in "qkv"],
        "final_layer_adaLN_modulation_1": ["norm_out.linear"],
    }
    for name, (down, up) in layers.items():
        wanted = up @ down
        if name.startswith("final"):
            # Shift and scale stand in the other order.
            wanted = torch.cat([*reversed(wanted.chunk(2))])
        added = torch.cat([merged[f"{place}.weight"] - plain[f"{place}.weight"] for place in places[name]])
        assert torch.allclose(added, wanted, atol=1e-5), name


@pytest.mark.parametrize("prefix", ["lora_te2_", "lora_te3_"])
def test_a_t5_is_changed_too(models: Models, folders: dict[str, Path], tmp_path: Path, prefix: str) -> None:
    pipe = pipeline(folders["flux"])
    layers = matrices(pipe.text_encoder_2, (".q", ".wi", ".wo"))
    merged = ours(models, folders["flux"], Lora("a", str(written(tmp_path / "a.safetensors", kohya(prefix, layers, alpha=2.0)))))
    for name, (down, up) in layers.items():
        plain = pipe.text_encoder_2.get_submodule(name).weight
        assert torch.equal(merged["text_encoder_2"][f"{name}.weight"], plain + (up @ down) * 0.5)


def test_convolutions_taken_apart_three_times_are_put_together(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    pipe, random = pipeline(folders["sd1"]), torch.Generator().manual_seed(0)
    layer = pipe.unet.down_blocks[0].resnets[0].conv1
    out, into = layer.weight.shape[:2]
    down, mid, up = (torch.randn(shape, generator=random) for shape in ((4, into, 1, 1), (4, 4, 3, 3), (out, 4, 1, 1)))
    key = "lora_unet_down_blocks_0_resnets_0_conv1"
    file = {
        f"{key}.lora_down.weight": down,
        f"{key}.lora_mid.weight": mid,
        f"{key}.lora_up.weight": up,
        f"{key}.alpha": torch.tensor(2.0),
    }
    merged = ours(models, folders["sd1"], Lora("a", str(written(tmp_path / "a.safetensors", file))))["unet"]
    picture = torch.randn((1, into, 8, 8), generator=random)
    through = torch.nn.functional.conv2d(picture, down)
    through = torch.nn.functional.conv2d(torch.nn.functional.conv2d(through, mid, padding=1), up)
    added = merged["down_blocks.0.resnets.0.conv1.weight"] - layer.weight
    assert torch.allclose(torch.nn.functional.conv2d(picture, added, padding=1), through * 0.5, atol=1e-3)


def test_the_alpha_that_peft_writes_beside_the_matrices_counts(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    pipe = pipeline(folders["sd1"])
    said = {
        "unet.r": 4,
        "unet.lora_alpha": 16,
        "unet.alpha_pattern": {"mid_block.attentions.0.proj_in": 8},
        "unet.rank_pattern": {},
    }
    said |= {"unet.target_modules": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]}
    layers = peft("unet.", matrices(pipe.unet, ATTENTION))
    file = written(tmp_path / "a.safetensors", layers, {"format": "pt", "lora_adapter_metadata": json.dumps(said)})
    lora = Lora("a", str(file))
    merged = ours(models, folders["sd1"], lora)
    assert apart(merged, theirs(folders["sd1"], lora)) == 0
    other = written(tmp_path / "b.safetensors", layers)
    assert apart(merged, ours(models, folders["sd1"], Lora("b", str(other)))) > 0


def test_files_of_torch_are_read_too(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    file = kohya("lora_unet_", matrices(pipeline(folders["sd1"]).unet, ATTENTION))
    found = [ours(models, folders["sd1"], Lora("a", str(written(tmp_path / name, file)))) for name in ("a.safetensors", "a.pt")]
    assert apart(*found) == 0


def test_half_precision_is_rounded_once(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    pipe = copy.deepcopy(pipeline(folders["sd1"])).to(torch.bfloat16)  # both begin with the same weights
    pipe.save_pretrained(tmp_path / "half")
    loras = [
        Lora(name, str(written(tmp_path / f"{name}.safetensors", kohya("lora_unet_", matrices(pipe.unet, ATTENTION, seed=seed)))))
        for seed, name in enumerate("ab")
    ]
    model = ModelSpec("tiny", str(tmp_path / "half"), dtype="bfloat16")
    whole, half = ours(models, tmp_path / "half", *loras)["unet"], weights(models.component(model, "unet", tuple(loras)))
    for name, weight in half.items():
        assert weight.dtype is torch.bfloat16
        assert torch.equal(weight, whole[name].bfloat16()), name


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_picture_with_a_lora_is_that_of_diffusers(models: Models, folders: dict[str, Path], tmp_path: Path, family: str) -> None:
    pipe = pipeline(folders[family])
    texts = (
        {"lora_te_": pipe.text_encoder} if family == "sd1" else {"lora_te1_": pipe.text_encoder, "lora_te2_": pipe.text_encoder_2}
    )
    file = written(
        tmp_path / "a.safetensors",
        {
            **kohya("lora_unet_", matrices(pipe.unet, ATTENTION)),
            **{key: tensor for prefix, encoder in texts.items() for key, tensor in kohya(prefix, text_layers(encoder)).items()},
        },
    )
    chosen = settings(folders[family], scheduler=None, loras=[{"name": "a", "path": str(file), "text": 0.8, "denoiser": 0.8}])
    denoised, _ = diffuse.run(models, start(models, chosen), chosen, quiet)
    pipe = with_loras(folders[family], Lora("a", str(file), 0.8, 0.8))
    call = {"prompt": chosen["prompt"], "negative_prompt": chosen["negative_prompt"], "num_inference_steps": STEPS}
    whole = pipe(**call, guidance_scale=5.0, width=SIZE, height=SIZE, generator=generator(), output_type="latent").images
    assert torch.equal(denoised["latents"], unpacked(whole))
    assert torch.isfinite(decode.run(models, denoised, chosen, quiet)[0]["picture"]).all()


Change = Callable[[dict[str, torch.Tensor]], None]


def one_key(file: dict[str, torch.Tensor], ending: str) -> str:
    return next(key for key in file if key.endswith(ending))


def one_layer(file: dict[str, torch.Tensor]) -> str:
    return one_key(file, ".alpha").removesuffix(".alpha").removeprefix("lora_unet_")


def renamed(old: str, new: str) -> Change:
    def change(file: dict[str, torch.Tensor]) -> None:
        key = one_key(file, old)
        file[key.removesuffix(old) + new] = file.pop(key)

    return change


def reshaped(ending: str, *shape: int) -> Change:
    def change(file: dict[str, torch.Tensor]) -> None:
        file[one_key(file, ending)] = torch.zeros(shape)

    return change


def without(ending: str) -> Change:
    def change(file: dict[str, torch.Tensor]) -> None:
        del file[one_key(file, ending)]

    return change


def spoiled(file: dict[str, torch.Tensor]) -> None:
    file[one_key(file, ".lora_up.weight")][0, 0] = torch.nan


REFUSED: dict[str, tuple[Change, list[str]]] = {
    "loha": (renamed(".lora_down.weight", ".hada_w1_a"), ["is a LoHa, which cannot be used"]),
    "lokr": (renamed(".lora_down.weight", ".lokr_w1"), ["is a LoKr"]),
    "dora": (renamed(".alpha", ".dora_scale"), ["is a DoRA"]),
    "whole layers": (renamed(".alpha", ".diff_b"), ["with whole layers in it"]),
    "unknown": (renamed(".lora_down.weight", ".strange"), ["holds 'lora_unet_", ".strange', which is no matrix"]),
    "unknown part": (
        lambda file: file.update({f"rotary_net.x.lora_{role}.weight": torch.zeros(4, 4) for role in ("down", "up")}),
        ["changes 'rotary_net.x', which is in no model that can be run here"],
    ),
    "foreign layer": (
        lambda file: file.update(
            {f"lora_unet_nowhere.lora_{role}.weight": torch.zeros(4, 4) for role in ("down", "up")},
        ),
        ["does not fit the model 'tiny'", "'nowhere', which the model does not have"],
    ),
    "foreign part": (
        lambda file: file.update({f"lora_te2_x.lora_{role}.weight": torch.zeros(4, 4) for role in ("down", "up")}),
        ["does not fit", "a text_encoder_2, and Stable Diffusion 1 or 2 has none", "or none (`loras: {}`)"],
    ),
    "other width": (reshaped(".lora_down.weight", 4, 7), ["does not fit", "(8, 7)", "(8, 8)"]),
    "other rank": (reshaped(".lora_down.weight", 5, 8), ["is damaged", "(8, 4) and (5, 8)"]),
    "twice": (
        lambda file: file.update({f"unet.{one_layer(file)}.lora_A.weight": torch.zeros(4, 8)}),
        ["twice, under 'lora_unet_", "and 'unet."],
    ),
    "half": (without(".lora_up.weight"), ["only one of the two matrices"]),
    "not finite": (spoiled, ["not finite"]),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_applied(
    models: Models, folders: dict[str, Path], tmp_path: Path, fault: str
) -> None:
    change, words = REFUSED[fault]
    pipe = pipeline(folders["sd1"])
    file = kohya("lora_unet_", matrices(pipe.unet, (".attn1.to_q",)))
    change(file)
    chosen = settings(folders["sd1"], loras=[{"name": "fur", "path": str(written(tmp_path / "fur.safetensors", file))}])
    with pytest.raises(InputError) as refusal:
        diffuse.run(models, start(models, chosen), chosen, quiet)
    assert str(refusal.value).startswith("the LoRA 'fur' ")
    for word in words:
        assert word in str(refusal.value)
    assert apart(ours(models, folders["sd1"]), {name: weights(getattr(pipe, name)) for name in components(pipe)}) == 0


def test_a_lora_of_another_family_is_refused(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    for made, used in (("sdxl", "sd1"), ("sd1", "sdxl"), ("sd1", "flux"), ("flux", "sd3")):
        pipe = pipeline(folders[made])
        denoiser = getattr(pipe, components(pipe)[0])
        file = written(tmp_path / f"{made}.safetensors", kohya("lora_unet_", matrices(denoiser, ATTENTION)))
        chosen = settings(folders[used], loras=[{"name": "fur", "path": str(file)}], scheduler=None)
        with pytest.raises(InputError, match=r"the LoRA 'fur' does not fit the model 'tiny'"):
            diffuse.run(models, start(models, chosen), chosen, quiet)


def test_no_lora_and_damaged_ones_are_refused(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    whole = written(tmp_path / "a.safetensors", kohya("lora_unet_", matrices(pipeline(folders["sd1"]).unet, ATTENTION)))
    for content, words in (
        (b"", "cannot be used"),
        (whole.read_bytes()[:-9], "cut off"),
        (b"\x80\x02cos\nsystem\n", "refused|cannot be"),
    ):
        path = tmp_path / "fur.safetensors"
        path.write_bytes(content)
        chosen = settings(folders["sd1"], loras=[{"name": "fur", "path": str(path)}])
        with pytest.raises(InputError, match=f"the LoRA 'fur' .*{words}"):
            text.run(models, {}, chosen, quiet)
