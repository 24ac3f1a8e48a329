"""Each family by parts against diffusers in one piece, on tiny models of the real classes: maximum difference 0."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from daemon.errors import InputError, ModelMissing
from daemon.models.registry import Models, ModelSpec
from daemon.stages import decode, diffuse, encode, text
from tests import tiny
from tests.parts import NEGATIVE, PROMPT, SIZE, STEPS, embeddings, generator, one_piece, quiet, settings, start, unpacked

MAKERS: dict[str, Callable[[Path], Path]] = {
    "sd1": tiny.stable_diffusion,
    "sd2": lambda path: tiny.stable_diffusion(path, version=2),
    "sd2-zero-snr": lambda path: tiny.stable_diffusion(path, version=2, zero_snr=True),
    "sdxl": tiny.stable_diffusion_xl,
    "refiner": lambda path: tiny.stable_diffusion_xl(path, refiner=True),
    "sd3": tiny.stable_diffusion_3,
    "sd3-without-t5": lambda path: tiny.stable_diffusion_3(path, with_t5=False),
    "sd3-dynamic": lambda path: tiny.stable_diffusion_3(path, dynamic=True),
    "flux": tiny.flux,
    "schnell": lambda path: tiny.flux(path, schnell=True),
}
NOISE = ["ddim", "euler", "euler_a", "dpmpp_2m_karras", "dpmpp_2m_sgm_uniform", "unipc", "pndm", "heun_beta"]
FLOW = ["flow_euler", "flow_euler_karras", "flow_euler_exponential", "flow_euler_beta"]
SCHEDULERS = {
    "sd1": NOISE,
    "sd2": ["ddim", "euler", "dpmpp_2m_karras"],
    "sd2-zero-snr": ["ddim", "euler", "euler_a"],
    "sdxl": NOISE,
    "sd3": [*FLOW, "flow_heun", "flow_dpmpp_2m", "flow_unipc"],
    "sd3-without-t5": [],
    "sd3-dynamic": ["flow_euler"],
    "flux": FLOW,
    "schnell": ["flow_euler"],
}
PAIRS = [(family, name) for family, names in SCHEDULERS.items() for name in (None, *names)]
# The noise predictors that diffusers has for flow matching must be told the shift of the schedule.
LEAN = {"flow_dpmpp_2m": {"flow_shift": 3.0}, "flow_unipc": {"flow_shift": 3.0}}


pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


def words(family: str) -> dict[str, str]:
    return {"prompt": PROMPT} if family in ("flux", "schnell") else {"prompt": PROMPT, "negative_prompt": NEGATIVE}


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_by_parts_is_bit_equal_to_one_piece(models: Models, folders: dict[str, Path], family: str, name: str | None) -> None:
    chosen = settings(folders[family], scheduler=name, **({} if "negative_prompt" in words(family) else {"negative_prompt": ""}))
    denoised, facts = diffuse.run(models, start(models, chosen), chosen, quiet)
    picture, _ = decode.run(models, denoised, chosen, quiet)
    pipe = one_piece(folders[family], name, **LEAN.get(name or "", {}))
    call = {**words(family), "num_inference_steps": STEPS, "guidance_scale": 5.0, "width": SIZE, "height": SIZE}
    latents = pipe(**call, generator=generator(), output_type="latent").images
    whole = pipe(**call, generator=generator(), output_type="pt").images[0]
    assert torch.equal(denoised["latents"], unpacked(latents))
    assert torch.equal(picture["picture"].clamp(0, 1), whole.permute(1, 2, 0))
    flows = family.startswith(("sd3", "flux", "schnell"))
    spacing = {} if flows else {key: value for key, value in pipe.scheduler.config.items() if key == "timestep_spacing"}
    eta = {"eta": 0.0} if not flows and "eta" in inspect.signature(pipe.scheduler.step).parameters else {}
    assert facts == {"state": "final", "sigma": None, "step": STEPS, "steps": STEPS, "notes": [], **spacing, **eta}


def changed_model(chosen: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {**chosen, "model": {**chosen["model"], **model}}


@pytest.mark.parametrize(
    ("family", "name", "knobs"),
    [
        ("sdxl", "ddim", {"guidance_rescale": 0.7, "eta": 0.5}),
        ("sdxl", "euler", {"guidance_scale": 1.0}),
        ("sd3", "flow_euler", {"guidance_scale": 1.0}),
        ("flux", "flow_euler", {"guidance_scale": 1.0}),
    ],
)
def test_the_knobs_are_those_of_the_pipeline(
    models: Models, folders: dict[str, Path], family: str, name: str, knobs: dict[str, float]
) -> None:
    chosen = settings(folders[family], scheduler=name, **knobs)
    denoised, _ = diffuse.run(models, start(models, chosen), chosen, quiet)
    call = {"num_inference_steps": STEPS, "guidance_scale": 5.0, "width": SIZE, "height": SIZE, **words(family), **knobs}
    latents = one_piece(folders[family], name)(**call, generator=generator(), output_type="latent").images
    assert torch.equal(denoised["latents"], unpacked(latents))


IMAGE_TO_IMAGE = {
    "sd1": (diffusers.StableDiffusionImg2ImgPipeline, ["ddim", "euler", "euler_a", "heun", "dpmpp_2m_karras", "unipc", "pndm"]),
    "sdxl": (diffusers.StableDiffusionXLImg2ImgPipeline, ["ddim", "euler_a", "dpmpp_2m_sde"]),
    "refiner": (diffusers.StableDiffusionXLImg2ImgPipeline, ["euler", "heun"]),
    "sd3": (diffusers.StableDiffusion3Img2ImgPipeline, ["flow_euler", "flow_heun"]),
    "flux": (diffusers.FluxImg2ImgPipeline, ["flow_euler", "flow_euler_karras"]),
}


@pytest.mark.parametrize(
    ("family", "name", "strength"),
    [(family, name, 0.6) for family, (_, names) in IMAGE_TO_IMAGE.items() for name in names]
    + [(family, names[0], 1.0) for family, (_, names) in IMAGE_TO_IMAGE.items()],
)
def test_image_to_image_is_bit_equal_to_the_pipeline(
    models: Models, folders: dict[str, Path], family: str, name: str, strength: float
) -> None:
    chosen = settings(folders[family], scheduler=name, strength=strength, state="final")
    picture = torch.rand((SIZE, SIZE, 3), generator=torch.Generator("cpu").manual_seed(1))
    encoded, _ = encode.run(models, {"picture": picture}, chosen, quiet)
    denoised, _ = diffuse.run(models, encoded | embeddings(start(models, chosen)), chosen, quiet)
    pipe = one_piece(folders[family], name, IMAGE_TO_IMAGE[family][0])
    size = {"width": SIZE, "height": SIZE} if family in ("sd3", "flux") else {}
    call = {**words(family), "num_inference_steps": STEPS, "guidance_scale": 5.0, "strength": strength, **size}
    latents = pipe(image=picture.permute(2, 0, 1)[None], **call, generator=generator(), output_type="latent").images
    assert torch.equal(denoised["latents"], unpacked(latents))


@pytest.mark.parametrize("name", ["euler", "ddim", "dpmpp_2m_karras"])
def test_the_refiner_takes_over_in_the_middle_as_in_diffusers(models: Models, folders: dict[str, Path], name: str) -> None:
    chosen = settings(folders["sdxl"], scheduler=name, steps=10)
    half, facts = diffuse.run(models, start(models, chosen), {**chosen, "stop_at": 8}, quiet)
    refining = changed_model({**chosen, "state": facts["state"], "step": facts["step"]}, name="fine", path=str(folders["refiner"]))
    refined, ended = diffuse.run(models, half | embeddings(start(models, refining)), refining, quiet)
    base, refiner = one_piece(folders["sdxl"], name), one_piece(folders["refiner"], name)
    call = {**words("sdxl"), "num_inference_steps": 10, "guidance_scale": 5.0, "output_type": "latent"}
    base.scheduler.set_timesteps(10)
    cut = 1 - (float(base.scheduler.timesteps[8]) + 1) / 1000
    middle = base(**call, generator=generator(), width=SIZE, height=SIZE, denoising_end=cut).images
    latents = refiner(**call, generator=generator(), image=middle, denoising_start=cut).images
    assert torch.equal(half["latents"], middle[0])
    assert torch.equal(refined["latents"], latents[0])
    assert ended["notes"] == ["the latents go on with another model than 'tiny', so the solver starts afresh at step 8"]


def test_the_refiner_takes_an_aesthetic_score(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["refiner"], scheduler="euler")
    tensors = start(models, chosen)
    usual, same, other = (
        diffuse.run(models, tensors, {**chosen, **more}, quiet)[0]["latents"]
        for more in ({}, {"aesthetic_score": 6.0}, {"aesthetic_score": 2.0})
    )
    assert torch.equal(usual, same)
    assert not torch.equal(usual, other)


def test_an_empty_negative_prompt_is_what_the_model_was_trained_with(models: Models, folders: dict[str, Path]) -> None:
    for family, zeros in (("sd1", False), ("sdxl", True), ("refiner", False), ("sd3", False)):
        out = start(models, settings(folders[family], negative_prompt=""))
        assert bool((out["negative_prompt_embeds"] == 0).all()) == zeros, family
        pipe = one_piece(folders[family])
        more = {"prompt_2": None, "prompt_3": None} if family == "sd3" else {"num_images_per_prompt": 1}
        with torch.no_grad():
            whole = pipe.encode_prompt(prompt=PROMPT, device="cpu", do_classifier_free_guidance=True, **more)
        assert torch.equal(out["negative_prompt_embeds"], whole[1][0]), family


@pytest.mark.parametrize("family", ["sdxl", "refiner", "sd3"])
def test_clip_skip_counts_from_the_layer_that_the_model_was_trained_with(
    models: Models, folders: dict[str, Path], family: str
) -> None:
    pipe = one_piece(folders[family])
    more = {"prompt_2": None, "prompt_3": None} if family == "sd3" else {}
    for skip in (1, 2):
        out = start(models, settings(folders[family], clip_skip=skip))
        with torch.no_grad():
            whole = pipe.encode_prompt(prompt=PROMPT, device="cpu", do_classifier_free_guidance=False, clip_skip=skip - 1, **more)
        assert torch.equal(out["prompt_embeds"], whole[0][0])
        assert torch.equal(out["pooled_prompt_embeds"], whole[2][0])
    with pytest.raises(InputError, match="clip_skip 4 leaves nothing of the text encoder, which has 3 layers"):
        start(models, settings(folders[family], clip_skip=4))


def test_what_a_family_does_not_know_is_ignored_and_said(models: Models, folders: dict[str, Path]) -> None:
    for_flux, for_3 = settings(folders["flux"], scheduler=None, clip_skip=2), settings(folders["sd3"], scheduler=None)
    _, facts = text.run(models, {}, for_flux, quiet)
    assert facts["notes"] == [f"{what} ignored: Flux does not support it" for what in ("negative_prompt", "clip_skip")]
    _, facts = diffuse.run(models, start(models, for_3), {**for_3, "guidance_rescale": 0.7}, quiet)
    assert facts["notes"] == ["guidance_rescale ignored: Stable Diffusion 3 does not support it"]


def test_a_deleted_t5_is_a_missing_one(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    whole = tiny.stable_diffusion_3(tmp_path / "sd3")
    for name in ("text_encoder_3", "tokenizer_3"):
        (whole / name).rename(tmp_path / name)
    bare = start(models, settings(whole))
    assert torch.equal(bare["prompt_embeds"], start(models, settings(folders["sd3-without-t5"]))["prompt_embeds"])
    assert bare["prompt_embeds"].shape == (77 + 256, 32)


def test_the_words_that_a_t5_did_not_see_are_named(models: Models, folders: dict[str, Path]) -> None:
    for family, words, whom in (("sdxl", 600, ""), ("sd3-without-t5", 600, ""), ("sd3", 300, "model's T5"), ("flux", 600, "model")):
        long = "cat " * words + "red dog"
        _, facts = text.run(models, {}, settings(folders[family], prompt=long, negative_prompt=""), quiet)
        assert len(facts["notes"]) == bool(whom), family
        for note in facts["notes"]:
            assert note.startswith(f"the prompt is too long for the {whom}, which did not see the end of it")
            assert "red dog" in note or "dog" in note


def test_embeddings_and_latents_of_another_family_are_refused(models: Models, folders: dict[str, Path]) -> None:
    made = {family: start(models, settings(folders[family])) for family in ("sd1", "sdxl", "sd3", "flux")}
    for family, own in made.items():
        chosen = settings(folders[family], scheduler=None)
        for other, theirs in made.items():
            if other != family:
                with pytest.raises(
                    InputError, match=r"with the same model|comes without|make it anew|the model they were made with"
                ):
                    diffuse.run(models, own | embeddings(theirs) if other != "sd1" else theirs, chosen, quiet)
    bare = {key: tensor for key, tensor in made["sdxl"].items() if key != "pooled_prompt_embeds"}
    with pytest.raises(InputError, match=r"comes without its pooled part \(pooled_prompt_embeds\)"):
        diffuse.run(models, bare, settings(folders["sdxl"]), quiet)
    with pytest.raises(InputError, match=r"takes a pooled part of width 24"):
        diffuse.run(models, made["sdxl"] | {"pooled_prompt_embeds": torch.zeros(7)}, settings(folders["sdxl"]), quiet)
    with pytest.raises(InputError, match=r"\(Flux\) takes 16 channels"):
        diffuse.run(models, made["flux"] | {"latents": torch.zeros(4, 8, 8)}, settings(folders["flux"], scheduler=None), quiet)


def test_sizes_off_the_grid_of_a_family_are_refused(models: Models, folders: dict[str, Path]) -> None:
    for family in ("sd3", "flux"):
        with pytest.raises(InputError, match="multiples of 16"):
            start(models, settings(folders[family], width=72))
        with pytest.raises(InputError, match="multiples of 16: crop it to 64 x 64"):
            encode.run(models, {"picture": torch.zeros(64, 72, 3)}, settings(folders[family]), quiet)
        odd = start(models, settings(folders[family])) | {"latents": torch.zeros(16, 8, 7)}
        with pytest.raises(InputError, match="multiples of 2; crop them"):
            diffuse.run(models, odd, settings(folders[family], scheduler=None), quiet)


def test_schedulers_of_the_other_kind_are_refused(models: Models, folders: dict[str, Path]) -> None:
    for family, name, words in (
        ("flux", "euler_a", "Flux takes those of flow matching: flow_euler"),
        ("sdxl", "flow_euler", "Stable Diffusion XL takes those of noise prediction: ddim"),
    ):
        chosen = settings(folders[family], scheduler=name)
        with pytest.raises(InputError, match=f"'{name}' does not fit this model; {words}"):
            diffuse.run(models, start(models, chosen), chosen, quiet)


def test_without_a_size_the_familys_own_is_taken(models: Models, folders: dict[str, Path]) -> None:
    for family, side in (("sdxl", 64), ("sd3", 64), ("flux", 1024)):
        _, facts = text.run(models, {}, settings(folders[family], width=None, height=None), quiet)
        assert (facts["width"], facts["height"]) == (side, side)


def test_the_prediction_type_of_the_configuration_wins(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    told = tiny.stable_diffusion(tmp_path / "sd2", version=2)
    config = told / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace('"v_prediction"', '"epsilon"'))
    right, wrong = settings(folders["sd2"], scheduler="euler"), settings(told, scheduler="euler")
    expected, _ = diffuse.run(models, start(models, right), right, quiet)
    mistaken, _ = diffuse.run(models, start(models, wrong), wrong, quiet)
    put_right = changed_model(wrong, prediction_type="v_prediction")
    mended, _ = diffuse.run(models, start(models, put_right), put_right, quiet)
    assert torch.equal(mended["latents"], expected["latents"])
    assert not torch.equal(mistaken["latents"], expected["latents"])


def test_a_vae_that_does_not_stand_float16_runs_in_float32(models: Models, folders: dict[str, Path]) -> None:
    for family, dtype in (("sdxl", torch.float32), ("sd1", torch.float16), ("sd3", torch.float16)):
        model = ModelSpec("tiny", str(folders[family]), dtype="float16")
        assert models.vae(model).dtype is dtype, family
    chosen = settings(folders["sdxl"])
    latents = {"latents": torch.randn((4, 8, 8), generator=generator()).half().float()}
    exact, _ = decode.run(models, latents, chosen, quiet)
    half, facts = decode.run(models, latents, changed_model(chosen, dtype="float16"), quiet)
    assert torch.equal(exact["picture"], half["picture"])
    assert not facts["notes"]


def test_a_vae_that_overflows_in_float16_is_run_again_in_float32(models: Models, tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "hot")
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    for layer in (vae.decoder.conv_in, vae.encoder.conv_in):
        layer.weight.data.mul_(60_000)
    vae.save_pretrained(folder / "vae")
    chosen = settings(folder)
    latents, picture = {"latents": torch.randn((4, 8, 8), generator=generator())}, {"picture": torch.rand(64, 64, 3)}
    for stage, tensors, result in ((decode, latents, "picture"), (encode, picture, "latents")):
        whole, _ = stage.run(models, tensors, chosen, quiet)
        half, facts = stage.run(models, tensors, changed_model(chosen, dtype="float16"), quiet)
        assert facts["notes"] == ["the VAE overflowed in float16 and was run in float32"]
        assert torch.allclose(half[result], whole[result], atol=1e-2)


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_runs_through_all_stages(models: Models, folders: dict[str, Path], family: str, dtype: str) -> None:
    chosen = changed_model(settings(folders[family], scheduler=None), dtype=dtype)
    denoised, _ = diffuse.run(models, start(models, chosen), chosen, quiet)
    picture, _ = decode.run(models, denoised, chosen, quiet)
    assert picture["picture"].shape == (SIZE, SIZE, 3)


def test_parts_are_shared_by_jobs_that_differ_in_another_part(models: Models, folders: dict[str, Path]) -> None:
    model = ModelSpec("tiny", str(folders["sd1"]))
    other = ModelSpec("again", str(folders["sd1"]), vae=str(folders["sd2"]), prediction_type="epsilon")
    assert models.component(model, "unet") is models.component(other, "unet")
    assert models.component(model, "vae") is not models.component(other, "vae")


def test_a_scheduler_that_cannot_start_from_pure_noise_is_named(models: Models, folders: dict[str, Path]) -> None:
    for name, can in (("heun", False), ("ddim", True), ("euler_a", True)):
        chosen = settings(folders["sd2-zero-snr"], scheduler=name)
        _, facts = diffuse.run(models, start(models, chosen), chosen, quiet)
        assert any("trained down to pure noise" in note for note in facts["notes"]) != can


def test_a_device_that_is_not_there_is_named(folders: dict[str, Path]) -> None:
    with pytest.raises(ModelMissing, match="is to run on 'cuda:99', and torch finds no such device"):
        Models(1 << 30).component(ModelSpec("tiny", str(folders["sd1"]), device="cuda:99"), "vae")
