"""Models in one file under the names of their original releases, without a network: to the bit what their folder gives."""

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file

from daemon.errors import InputError, ModelMissing
from daemon.models.checkpoints.tensors import index_of
from daemon.models.registry import Models, ModelSpec
from daemon.models.schedulers import RECIPES
from daemon.models.scheduling import Chosen, scheduler_with_timesteps
from daemon.stages import decode, diffuse
from tests import originals, tiny
from tests.parts import NEGATIVE, PROMPT, SIZE, embeddings, generator, loaded, quiet, settings, start
from tests.thorough import mostly_thorough

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]

ALL = ["safetensors", "zip", "legacy"]
FORMS = {
    **{"sd1": ALL, "sd2": ALL, "sd2-v": ALL, "sdxl": ALL, "refiner": ["safetensors", "zip"]},
    **{kind: ["safetensors"] for kind in ("sd3", "sd3.5", "sd3-without-t5", "flux", "schnell")},
}
MATRIX = [(kind, form) for kind, forms in FORMS.items() for form in forms]


class Specimens:
    """The folders, their configurations without weights, the files, and what the folders give, each made once."""

    def __init__(self, root: Path) -> None:
        self.root, self.models = root, Models(1 << 31)
        self.folder = functools.cache(lambda kind: originals.folder(root / kind, kind))
        self.weights = functools.cache(lambda kind: originals.weights(self.folder(kind), kind))
        self.expected = functools.cache(lambda kind: self.given(self.folder(kind)))

    def configurations(self, kind: str) -> Path:
        # The folders have the schedulers of the releases, and of the file counts what is shipped.
        return originals.configurations(self.folder(kind), self.root / f"{kind}-configurations", "scheduler")

    def file(self, kind: str, form: str) -> Path:
        path = self.root / f"{kind}-{form}.{'safetensors' if form == 'safetensors' else 'ckpt'}"
        return path if path.exists() else originals.write(self.weights(kind), path, form)

    def given(self, path: Path, **model: Any) -> dict[str, torch.Tensor]:
        """Embeddings, latents and picture."""
        chosen = settings(path, scheduler=None, steps=2)
        chosen["model"] |= model
        tensors = start(self.models, chosen)
        denoised, _ = diffuse.run(self.models, tensors, chosen, quiet)
        picture, _ = decode.run(self.models, denoised, chosen, quiet)
        return {**tensors, "denoised": denoised["latents"], **picture}


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> Specimens:
    return Specimens(tmp_path_factory.mktemp("single"))


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)] == []


@pytest.mark.parametrize(
    ("kind", "form"), mostly_thorough(MATRIX, always=lambda kind, form: kind == "sd1" or form == "safetensors")
)
def test_a_single_file_gives_what_the_folder_gives(specimens: Specimens, kind: str, form: str) -> None:
    found = specimens.given(specimens.file(kind, form), parts=str(specimens.configurations(kind)))
    assert_same(found, specimens.expected(kind))


def schedule(specimens: Specimens, model: ModelSpec, name: str) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """All that a scheduler goes by."""
    models, steps = specimens.models, 5
    told = {"family": models.family(model), "denoiser": models.denoiser_config(model), "size": (8, 8), "device": "cpu"}
    scheduler = scheduler_with_timesteps(Chosen(name), models.config(model, "scheduler"), steps, **told)
    tables = [value for value in vars(scheduler).values() if isinstance(value, torch.Tensor)]
    return {key: value for key, value in scheduler.config.items() if not key.startswith("_")}, tables


@pytest.mark.parametrize("kind", mostly_thorough(FORMS, always=lambda kind: kind in ("sd1", "flux")))
def test_every_sampler_has_the_schedule_of_the_folder(specimens: Specimens, kind: str) -> None:
    folder = ModelSpec("folder", str(specimens.folder(kind)))
    file = ModelSpec("file", str(specimens.file(kind, "safetensors")), parts=str(specimens.configurations(kind)))
    for name, recipe in RECIPES.items():
        if recipe.flow != specimens.models.family(file).flow or ("KDPM2" in recipe.class_name and recipe.spacing):
            continue  # these take a second each to build, and have the configuration of the plain ones
        (options, tables), (expected, theirs) = (schedule(specimens, model, name) for model in (file, folder))
        assert options == expected, name
        assert len(tables) == len(theirs) > 0
        torch.testing.assert_close(tables, theirs, rtol=0, atol=0, equal_nan=True, msg=name)  # DPM2 has one that it does not use


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.spacing is None and not recipe.flow])
def test_every_sampler_gives_the_latents_of_the_folder(specimens: Specimens, name: str) -> None:
    file, folder = specimens.file("sd1", "safetensors"), specimens.folder("sd1")
    made = []
    for path, more in ((file, {"parts": str(specimens.configurations("sd1"))}), (folder, {})):
        chosen = settings(path, scheduler=name, steps=3)
        chosen["model"] |= more
        made.append(diffuse.run(specimens.models, start(specimens.models, chosen), chosen, quiet)[0]["latents"])
    assert torch.equal(*made)


def component(specimens: Specimens, model: ModelSpec, name: str) -> dict[str, torch.Tensor]:
    return dict(specimens.models.component(model, name).state_dict())


# Of Flux diffusers can read the real width only: test_shipped_configurations lets it.
@pytest.mark.parametrize("kind", ["sd1", "sd2-v", "sdxl", "refiner", "sd3", "sd3.5"])
def test_diffusers_reads_the_same_weights_out_of_the_file(specimens: Specimens, kind: str) -> None:
    folder, file = specimens.folder(kind), specimens.file(kind, "safetensors")
    model = ModelSpec("tiny", str(file), parts=str(specimens.configurations(kind)))
    classes = {"vae": diffusers.AutoencoderKL, specimens.models.family(model).denoiser: None}
    for name in classes:
        cls = type(specimens.models.component(model, name))
        theirs = cls.from_single_file(str(file), config=str(folder), subfolder=name, local_files_only=True)
        assert_same(component(specimens, model, name), dict(theirs.state_dict()))


@pytest.mark.parametrize("form", ["safetensors", "zip"])
def test_diffusers_gives_the_same_picture_of_the_file(specimens: Specimens, form: str) -> None:
    file, expected = specimens.file("sd1", form), specimens.expected("sd1")
    pipe = diffusers.StableDiffusionPipeline.from_single_file(
        str(file), config=str(specimens.folder("sd1")), local_files_only=True, safety_checker=None
    )
    pipe.set_progress_bar_config(disable=True)
    words = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "num_inference_steps": 2, "guidance_scale": 5.0}
    latents = pipe(**words, width=SIZE, height=SIZE, generator=generator(), output_type="latent").images
    assert torch.equal(latents[0], expected["denoised"])


@pytest.mark.parametrize("kind", ["sd1", "sdxl", "sd3"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_in_half_precision_the_weights_are_those_of_the_folder(specimens: Specimens, kind: str, dtype: str) -> None:
    file = ModelSpec("file", str(specimens.file(kind, "safetensors")), dtype, parts=str(specimens.configurations(kind)))
    folder = ModelSpec("folder", str(specimens.folder(kind)), dtype)
    for name in ("unet" if kind != "sd3" else "transformer", "vae", "text_encoder", *["text_encoder_3"] * (kind == "sd3")):
        found, expected = component(specimens, file, name), component(specimens, folder, name)
        assert {name: tensor.dtype for name, tensor in found.items()} == {name: tensor.dtype for name, tensor in expected.items()}
        assert_same(found, expected)


def test_one_component_is_read_at_a_time(specimens: Specimens) -> None:
    file, parts = specimens.file("sdxl", "safetensors"), str(specimens.configurations("sdxl"))
    model, fresh = ModelSpec("tiny", str(file), parts=parts), Models(1 << 31)
    fresh.component(model, "vae")  # which also reads what belongs to the program
    fresh.clear()
    before = bytes_read()
    vae = fresh.component(model, "vae")
    read, needed = bytes_read() - before, sum(tensor.nbytes for tensor in vae.state_dict().values())
    around_each = 16_384 * len(vae.state_dict())
    assert needed <= read < needed + around_each < file.stat().st_size / 10


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_jobs_share_the_components_of_a_file(specimens: Specimens) -> None:
    file, parts = str(specimens.file("sd1", "zip")), str(specimens.configurations("sd1"))
    one, other = ModelSpec("one", file, parts=parts), ModelSpec("other", file, vae=file, prediction_type="epsilon", parts=parts)
    assert specimens.models.component(one, "unet") is specimens.models.component(other, "unet")
    assert specimens.models.component(other, "vae") is specimens.models.component(replace(other, name="third"), "vae")


def vae_files(specimens: Specimens, root: Path) -> dict[str, Path]:
    """The VAE of the folder of Stable Diffusion 1, as people keep it."""
    folder = specimens.folder("sd1") / "vae"
    bare = originals.vae(diffusers.AutoencoderKL.from_pretrained(folder))
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = load_file(folder / "diffusion_pytorch_model.safetensors")
    for new, name in old.items():
        renamed = {key.replace(f".{new}.", f".{name}."): weight for key, weight in renamed.items()}
    return {
        "folder": folder,
        "model": specimens.folder("sd1"),
        "bare": originals.write(bare, root / "bare.safetensors"),
        "ckpt": originals.write(bare, root / "bare.ckpt", "zip"),
        "legacy": originals.write(bare, root / "legacy.pt", "legacy"),
        "prefixed": originals.write(originals.named(bare, "first_stage_model"), root / "prefixed.safetensors"),
        "of ComfyUI": originals.write(originals.named(bare, "vae"), root / "comfy.safetensors"),
        "of a whole model": specimens.file("sd1", "safetensors"),
        "of diffusers": folder / "diffusion_pytorch_model.safetensors",
        "of old diffusers": originals.write(renamed, root / "old.safetensors"),
    }


def test_a_separate_vae_is_a_folder_or_a_file_of_any_sort(specimens: Specimens, tmp_path: Path) -> None:
    expected = dict(diffusers.AutoencoderKL.from_pretrained(specimens.folder("sd1") / "vae").state_dict())
    other = specimens.file("sd2", "safetensors"), str(specimens.configurations("sd2"))
    for sort, vae in vae_files(specimens, tmp_path).items():
        for path, parts in (other, (specimens.folder("sd2"), None)):
            model = ModelSpec("tiny", str(path), vae=str(vae), parts=parts)
            found = component(specimens, model, "vae")
            assert [name for name in expected if not torch.equal(found[name], expected[name])] == [], sort


def flux_in_parts(specimens: Specimens, root: Path) -> dict[str, str]:
    pipe = loaded(specimens.folder("flux"), diffusers.DiffusionPipeline)
    files = {name: str(originals.write(weights, root / f"{name}.safetensors")) for name, weights in originals.parts_alone(pipe)}
    return {**files, "tokenizer_2": str(specimens.folder("flux") / "tokenizer_2")}


def test_a_model_is_put_together_from_files_of_one_component_each(specimens: Specimens, tmp_path: Path) -> None:
    parts = flux_in_parts(specimens, tmp_path)
    path, vae = parts.pop("transformer"), parts.pop("vae")
    # A mapping tells no configurations, so that the tiny model is to be told in another way: as a folder behind a folder.
    bare = originals.configurations(specimens.folder("flux"), tmp_path / "bare")
    found = specimens.given(bare, parts={**parts, "transformer": path}, vae=vae)
    assert_same(found, specimens.expected("flux"))


def test_plain_eight_bits_are_read(specimens: Specimens, tmp_path: Path) -> None:
    folder, weights = (
        specimens.folder("flux"),
        originals.t5(loaded(specimens.folder("flux"), diffusers.DiffusionPipeline).text_encoder_2),
    )
    eight = {name: weight.to(torch.float8_e4m3fn) for name, weight in weights.items()}
    plain = originals.write(eight, tmp_path / "plain.safetensors")
    found = component(specimens, ModelSpec("tiny", str(folder), parts={"text_encoder_2": str(plain)}), "text_encoder_2")
    assert_same(found, {name: eight.get(name, eight["shared.weight"]).float() for name in found})


def test_an_inpainting_model_is_told_by_its_channels(specimens: Specimens, tmp_path: Path) -> None:
    weights = dict(specimens.weights("sd1"))
    first = "model.diffusion_model.input_blocks.0.0.weight"
    weights[first] = torch.randn(16, 9, 3, 3)
    model = ModelSpec("tiny", str(originals.write(weights, tmp_path / "m.safetensors")), parts=str(specimens.configurations("sd1")))
    assert specimens.models.denoiser_config(model)["in_channels"] == 9
    assert torch.equal(specimens.models.component(model, "unet").conv_in.weight, weights[first])


def test_what_a_file_lacks_comes_from_the_folder_behind_it(specimens: Specimens, tmp_path: Path) -> None:
    folder = specimens.folder("flux")
    alone = dict(originals.parts_alone(loaded(folder, diffusers.DiffusionPipeline)))["transformer"]
    file = originals.write(alone, tmp_path / "alone.safetensors")
    assert_same(specimens.given(file, parts=str(folder)), specimens.expected("flux"))


def test_a_file_counts_before_the_folder_behind_it(specimens: Specimens, tmp_path: Path) -> None:
    other = tiny.flux(tmp_path / "other", seed=7)
    assert_same(specimens.given(specimens.file("flux", "safetensors"), parts=str(other)), specimens.expected("flux"))


def test_stable_diffusion_3_can_be_told_to_do_without_its_t5(specimens: Specimens) -> None:
    folder = specimens.folder("sd3")
    bare = specimens.given(folder, parts={"text_encoder_3": None})
    assert torch.equal(bare["prompt_embeds"][77:], torch.zeros_like(bare["prompt_embeds"][77:]))
    assert torch.equal(bare["pooled_prompt_embeds"], specimens.expected("sd3")["pooled_prompt_embeds"])


def test_flux_without_t5_is_told_what_to_configure(specimens: Specimens, tmp_path: Path) -> None:
    weights = {name: tensor for name, tensor in specimens.weights("flux").items() if "t5xxl" not in name}
    model = ModelSpec("flux", str(originals.write(weights, tmp_path / "flux.safetensors")))
    with pytest.raises(ModelMissing, match=r"holds no text_encoder_2: .*`parts: \{text_encoder_2: PLACE, tokenizer_2: FOLDER\}`"):
        specimens.models.component(model, "text_encoder_2")


@pytest.mark.parametrize(("kind", "name", "spared"), [("flux", "tokenizer_2", ""), ("sd3", "tokenizer_3", "text_encoder_3: null")])
def test_the_vocabulary_of_t5_comes_from_the_user(specimens: Specimens, kind: str, name: str, spared: str) -> None:
    model = ModelSpec("tiny", str(specimens.file(kind, "safetensors")))
    with pytest.raises(ModelMissing, match=f"the vocabulary of the T5 of .* comes from you: .*{name}: FOLDER.*{spared}"):
        specimens.models.text_parts(model)


def test_what_was_predicted_is_detected_and_can_be_overridden(specimens: Specimens, tmp_path: Path) -> None:
    def scheduler(kind: str, path: Path | None = None, **options: Any) -> Any:
        return specimens.models.config(ModelSpec("tiny", str(path or specimens.file(kind, "safetensors")), **options), "scheduler")

    assert scheduler("sd2")["prediction_type"] == scheduler("sdxl")["prediction_type"] == "epsilon"
    assert scheduler("sd2-v")["prediction_type"] == "v_prediction"
    assert scheduler("sd2-v", prediction_type="epsilon")["prediction_type"] == "epsilon"
    marks = {"v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}
    file = originals.write({**specimens.weights("sdxl"), **marks}, tmp_path / "marked.safetensors")
    asked = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    assert scheduler("sdxl", file).items() >= asked.items()
    assert scheduler("sdxl", file, prediction_type="epsilon")["prediction_type"] == "epsilon"


MARKED = {
    "CosXL": ("sdxl", {"edm_vpred.sigma_max": (), "edm_vpred.sigma_min": ()}, "is a CosXL model .*, which is not supported"),
    "Playground": ("sdxl", {"edm_mean": (1, 4, 1, 1), "edm_std": (1, 4, 1, 1)}, "is a Playground model"),
    "unCLIP": ("sd2", {"model.diffusion_model.label_emb.0.0.weight": (64, 32)}, "also takes the embedding of a picture .*unCLIP"),
    "Kolors": ("sdxl", {"model.diffusion_model.encoder_hid_proj.weight": (8, 8)}, "takes the embeddings of ChatGLM .Kolors"),
    "HunyuanImage": ("flux", {"model.diffusion_model.byt5_in.fc1.weight": (8, 8)}, "is HunyuanImage, which is not supported"),
}


@pytest.mark.parametrize("name", MARKED)
def test_variants_that_cannot_run_are_refused_by_name(specimens: Specimens, name: str, tmp_path: Path) -> None:
    kind, marks, sentence = MARKED[name]
    weights = {**specimens.weights(kind), **{key: torch.ones(shape) for key, shape in marks.items()}}
    file = originals.write(weights, tmp_path / "m.safetensors")
    with pytest.raises(ModelMissing, match=f"m.safetensors .*{sentence}"):
        specimens.models.index(ModelSpec("tiny", str(file), parts=str(specimens.configurations(kind))))


STRANGERS = {
    "unet": ("sd1", "model.diffusion_model.time_embed.other.weight"),
    "text_encoder": ("sd1", "cond_stage_model.transformer.text_model.embeddings.other.weight"),
    "text_encoder_2": ("sdxl", "conditioner.embedders.1.model.adapter.weight"),
    "vae": ("sdxl", "first_stage_model.decoder.time_stack.weight"),
    "transformer": ("flux", "model.diffusion_model.double_blocks.0.img_attn.gate.weight"),
    "text_encoder_3": (
        "sd3",
        "text_encoders.t5xxl.transformer.encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight",
    ),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_weight_that_the_component_does_not_take_is_named(specimens: Specimens, name: str, tmp_path: Path) -> None:
    kind, stranger = STRANGERS[name]
    file = originals.write({**specimens.weights(kind), stranger: torch.ones(4, 4)}, tmp_path / "m.safetensors")
    model = ModelSpec("tiny", str(file), parts=str(specimens.configurations(kind)))
    sentence = f"its {name} has 1 weights that are not known of such a model .{stranger}.: it is of a variant that is not supported"
    with pytest.raises(ModelMissing, match=sentence):
        specimens.models.component(model, name)


# What real files were seen to hold beside the weights: Stable Diffusion's own, merges, those that ComfyUI saved.
BESIDE = {
    "sd1": [
        *("alphas_cumprod", "betas", "sqrt_alphas_cumprod", "logvar", "model_ema.diffusion_modelinput_blocks00weight"),
        *("cond_stage_model.transformer.text_model.embeddings.position_ids", "cond_stage_model.logit_scale"),
        *("cond_stage_model.transformer.text_projection.weight", "cond_stage_model.transformer.vision_model.pre_layrnorm.weight"),
        *(
            "first_stage_model.loss.logvar",
            "first_stage_model.loss.discriminator.main.0.weight",
            "first_stage_model.model_ema.decay",
        ),
    ],
    "sd2": ["cond_stage_model.model.logit_scale", "cond_stage_model.model.attn_mask", "cond_stage_model.model.visual.proj"],
    "sdxl": [
        *("denoiser.sigmas", "v_pred", "ztsnr", "conditioner.embedders.0.transformer.text_model.embeddings.position_ids"),
        *("conditioner.embedders.1.model.logit_scale", "conditioner.embedders.0.logit_scale"),
    ],
    "flux": [
        "text_encoders.t5xxl.transformer.spiece_model",
        "text_encoders.clip_l.logit_scale",
        "model.diffusion_model.scaled_fp8",
    ],
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_real_files_hold_besides_is_passed_over(specimens: Specimens, kind: str, tmp_path: Path) -> None:
    weights = {**specimens.weights(kind), **{name: torch.ones(3) for name in BESIDE[kind]}}
    model = ModelSpec("tiny", str(originals.write(weights, tmp_path / "m.safetensors")), parts=str(specimens.configurations(kind)))
    for name in model.source().family().components:
        if not name.startswith("tokenizer"):
            specimens.models.component(model, name)


def test_a_component_alone_may_stand_beside_others(specimens: Specimens, tmp_path: Path) -> None:
    weights, prefix = specimens.weights("sd1"), "model.diffusion_model."
    bare = {name.removeprefix(prefix): weight for name, weight in weights.items()}
    bare |= {"alphas_cumprod": torch.ones(9), "vae.decoder.conv_in.bias": torch.ones(2)}
    file = originals.write(bare, tmp_path / "bare.safetensors")
    model = ModelSpec("tiny", str(file), parts=str(specimens.configurations("sd1")))
    assert_same(component(specimens, model, "unet"), component(specimens, ModelSpec("tiny", str(specimens.folder("sd1"))), "unet"))


def test_a_consistency_model_takes_the_guidance_as_in_diffusers(specimens: Specimens, tmp_path: Path) -> None:
    folder = originals.folder(tmp_path / "lcm", "sd1")
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "time_cond_proj_dim": 16}))
    unet = diffusers.UNet2DConditionModel.from_config(json.loads(config.read_text()))
    unet.load_state_dict(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"), strict=False)
    torch.nn.init.normal_(unet.time_embedding.cond_proj.weight)
    unet.save_pretrained(folder / "unet")
    diffusers.LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1).save_pretrained(
        folder / "scheduler"
    )
    weights = originals.weights(folder, "sd1")
    assert "model.diffusion_model.time_embed.cond_proj.weight" in weights
    file = originals.write(weights, tmp_path / "lcm.safetensors")

    # What the folder says of the model that was not distilled does not count before the file.
    parts = str(specimens.configurations("sd1"))
    found = specimens.given(file, parts=parts)

    assert specimens.models.config(ModelSpec("tiny", str(file)), "scheduler")["_class_name"] == "LCMScheduler"
    assert_same(found, specimens.given(folder))
    scheduler = diffusers.LCMScheduler.from_pretrained(folder / "scheduler")
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    words = {"prompt": PROMPT, "num_inference_steps": 2, "guidance_scale": 5.0}
    theirs = pipe(**words, width=SIZE, height=SIZE, generator=generator(), output_type="latent").images
    assert torch.equal(theirs[0], found["denoised"])
    assert not torch.equal(specimens.expected("sd1")["denoised"], found["denoised"])
    chosen = settings(folder, scheduler=None, steps=1)
    _, facts = diffuse.run(specimens.models, start(specimens.models, chosen), chosen, quiet)
    assert facts["notes"] == ["negative_prompt ignored: the model was distilled to follow the guidance_scale by itself"]


def test_the_folder_of_the_base_model_does_not_make_a_refiner_a_base_model(specimens: Specimens) -> None:
    model = ModelSpec("tiny", str(specimens.file("refiner", "safetensors")), parts=str(specimens.folder("sdxl")))
    assert specimens.models.index(model)["requires_aesthetics_score"]
    assert not model.source().has("text_encoder")
    assert specimens.models.denoiser_config(model)["cross_attention_dim"] == 1280


def test_folders_of_another_family_do_not_belong_behind_a_file(specimens: Specimens) -> None:
    model = ModelSpec("tiny", str(specimens.file("sd1", "safetensors")), parts=str(specimens.folder("sdxl")))
    with pytest.raises(ModelMissing, match=r"is of Stable Diffusion 1 or 2, and .*sdxl, which `parts` names, of .* XL"):
        specimens.models.index(model)


def test_what_does_not_belong_to_the_model_of_a_file_is_refused(specimens: Specimens) -> None:
    sd1, sdxl, sd3 = (specimens.expected(kind) for kind in ("sd1", "sdxl", "sd3"))
    for kind, mine, others in (("sd1", sd1, (sdxl, sd3)), ("sdxl", sdxl, (sd1, sd3)), ("sd3", sd3, (sd1, sdxl))):
        chosen = settings(specimens.file(kind, "safetensors"), scheduler=None)
        chosen["model"] |= {"parts": str(specimens.configurations(kind))}
        for other in others:
            with pytest.raises(InputError, match=r"with the same model|comes without|make it anew|the model they were made with"):
                diffuse.run(specimens.models, {**mine, **embeddings(other)} if kind != "sd1" else other, chosen, quiet)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (
            {"lora_unet_down.lora_down.weight": (4, 8), "lora_unet_down.lora_up.weight": (8, 4)},
            "is a LoRA, no model that can be run",
        ),
        ({"first_stage_model.decoder.conv_in.weight": (4, 4)}, "is a VAE alone: name it under `vaes`"),
        ({"decoder.conv_in.weight": (4, 4)}, "is a VAE alone: name it under `vaes`"),
        ({"text_model.embeddings.token_embedding.weight": (4, 4)}, "is a text encoder alone: name it under a model's `parts`"),
        (
            {"down_blocks.0.resnets.0.conv1.weight": (4, 4)},
            "is one component of a folder in diffusers layout",
        ),
        ({"control_model.input_hint_block.0.weight": (4, 4)}, "is a ControlNet"),
        ({"emb_params": (2, 768)}, "is a textual inversion"),
        ({"model.diffusion_model.input_blocks.0.0.weight": (320, 8, 3, 3)}, "8 channels .InstructPix2Pix"),
        ({"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3)}, "takes embeddings of width 0"),
        ({"conv_first.weight": (64, 3, 3, 3)}, "is no model that can be run; supported are Stable Diffusion 1"),
    ],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(
    specimens: Specimens, weights: dict[str, tuple[int, ...]], sentence: str, tmp_path: Path
) -> None:
    file = originals.write({name: torch.zeros(shape) for name, shape in weights.items()}, tmp_path / "other.safetensors")
    with pytest.raises(ModelMissing, match=f"the model 'tiny' cannot be used: .*other.safetensors .*{sentence}"):
        specimens.models.index(ModelSpec("tiny", str(file)))


def test_a_file_without_a_component_says_which_weights_are_missing(specimens: Specimens, tmp_path: Path) -> None:
    weights = {name: tensor for name, tensor in specimens.weights("sd1").items() if ".middle_block.1." not in name}
    model = ModelSpec(
        "tiny", str(originals.write(weights, tmp_path / "cut.safetensors")), parts=str(specimens.configurations("sd1"))
    )
    with pytest.raises(ModelMissing, match=r"cut.safetensors: its unet lacks \d+ of \d+ weights \(model.diffusion_model"):
        specimens.models.component(model, "unet")


def test_a_configuration_that_does_not_fit_the_file_is_named(specimens: Specimens, tmp_path: Path) -> None:
    parts = originals.configurations(specimens.folder("sd1"), tmp_path / "parts")
    config = parts / "unet" / "config.json"
    config.write_text(config.read_text().replace("768", "512"))
    model = ModelSpec("tiny", str(specimens.file("sd1", "safetensors")), parts=str(parts))
    with pytest.raises(ModelMissing, match=r"its unet is of another size than its configuration: .* is \(16, 768\), not"):
        specimens.models.component(model, "unet")


def test_a_file_that_is_replaced_is_read_anew(specimens: Specimens, tmp_path: Path) -> None:
    file = Path(shutil.copy(specimens.file("sd1", "safetensors"), tmp_path / "m.safetensors"))
    assert "cond_stage_model.transformer.text_model.final_layer_norm.weight" in index_of(file)
    shutil.copy(specimens.file("sdxl", "safetensors"), file)
    assert specimens.models.family(ModelSpec("tiny", str(file))).name == "Stable Diffusion XL"
    assert (
        json.loads(json.dumps(specimens.models.index(ModelSpec("tiny", str(file)))))["_class_name"] == "StableDiffusionXLPipeline"
    )
