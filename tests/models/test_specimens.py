"""Every file is either right or refused: what `tiffsd models` says of each specimen, against the classes on the meta device.

Whether a file can be run is found here apart from the daemon: its header, converted by diffusers, must have the names and shapes
of the component's class, and nothing else."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import pytest
import torch
from diffusers.loaders import single_file_utils as theirs

from daemon.commands.models import Listed
from daemon.models.families import FAMILIES
from daemon.models.families.family import T5
from tests.full_size import parts_of
from tests.models import specimen_table
from tests.models.specimens import SPECIMENS, component
from tests.originals import UNET, Weights

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(300)]

Shapes = Mapping[str, tuple[int, ...]]
PIPELINES = {
    **dict.fromkeys(("stable-diffusion-1", "stable-diffusion-2-epsilon"), "StableDiffusionPipeline"),
    **{"stable-diffusion-xl": "StableDiffusionXLPipeline", "stable-diffusion-xl-refiner": "StableDiffusionXLImg2ImgPipeline"},
    **dict.fromkeys(
        ("stable-diffusion-3-medium", "stable-diffusion-3.5-medium", "stable-diffusion-3.5-large"), "StableDiffusion3Pipeline"
    ),
    **dict.fromkeys(("flux-dev", "flux-schnell"), "FluxPipeline"),
}
"""The kinds of models that run and differ in names or shapes: Stable Diffusion 2 has the same whatever it predicts."""
TEXT_PREFIXES = {
    "text_encoder": (
        *("cond_stage_model.transformer.", "cond_stage_model.model.", "conditioner.embedders.0.transformer."),
        "text_encoders.clip_l.transformer.",
    ),
    "text_encoder_2": (
        *("conditioner.embedders.1.model.", "conditioner.embedders.0.model.", "text_encoders.clip_g.transformer."),
        "text_encoders.t5xxl.transformer.",
    ),
    "text_encoder_3": ("text_encoders.t5xxl.transformer.",),
}
VAE_PREFIXES = ("first_stage_model.", "vae.")
# What stands in files beside the weights of their components.
BESIDE_ALL = re.compile(
    r"alphas_cumprod|model_ema\..*|v_pred|ztsnr|scaled_fp8|.*\.(scale_weight|weight_scale|input_scale|comfy_quant)"
)
BESIDE_TEXT = re.compile(r".*(position_ids|logit_scale)")


NUMBERS = {
    **{"unet-diffusers": 859_520_964, "sd1-fp16": 859_520_964, "sd2-base": 865_910_724, "xl-base": 2_567_463_684},
    **{"flux-dev": 11_901_408_320, "flux-schnell": 11_891_178_560, "qwen-image": 20_430_401_088, "z-image": 6_154_908_736},
    **{"vae": 83_653_863, "t5-xxl": 4_762_310_656},
}
"""How many numbers the released files have, as people who counted them say in public repositories; of whole models the denoiser."""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Listed]:
    return specimen_table.listed(tmp_path_factory.mktemp("specimens"))


@functools.cache
def unet(configs: str, channels: int, guidance: int | None) -> Any:
    """The class of a UNet on the meta device, for inpainting or for a consistency model where the file says so."""
    config = {**component(configs, "unet").config, "in_channels": channels, "time_cond_proj_dim": guidance}
    del config["_use_default_values"]
    with torch.device("meta"):
        return diffusers.UNet2DConditionModel.from_config(config)


@functools.cache
def transformer(configs: str, double_blocks: int) -> Any:
    """The class of a transformer on the meta device; of Flux there are some with fewer double blocks."""
    whole = parts_of(configs).transformer
    if double_blocks in (0, whole.config.get("num_layers")):
        return whole
    config = {**whole.config, "num_layers": double_blocks}
    del config["_use_default_values"]
    with torch.device("meta"):
        return type(whole).from_config(config)


def shapes_of(weights: Mapping[str, torch.Tensor], tied: str = "") -> Shapes:
    return {name.removeprefix("text_model."): tuple(it.shape) for name, it in weights.items() if name != tied}


def same(part: Any, converted: Weights, tied: str = "") -> bool:
    return shapes_of(part.state_dict(), tied) == shapes_of(converted, tied)


def numbers(weights: Mapping[str, torch.Tensor]) -> int:
    return sum(weight.numel() for weight in weights.values())


def behind(prefix: str, header: Mapping[str, torch.Tensor]) -> Weights:
    return {name.removeprefix(prefix): weight for name, weight in header.items() if name.startswith(prefix)}


def denoiser_fits(configs: str, denoiser: Weights) -> bool:
    """Whether all of these weights, and nothing else, are those of the denoiser of a kind."""
    parts = parts_of(configs)
    try:
        if getattr(parts, "unet", None) is not None:
            part, converted = unet_and_converted(configs, denoiser)
        else:
            part = transformer(configs, len({name.split(".")[1] for name in denoiser if name.startswith("double_blocks.")}))
            convert: Callable[..., Weights] = (
                theirs.convert_flux_transformer_checkpoint_to_diffusers
                if configs.startswith("flux")
                else theirs.convert_sd3_transformer_checkpoint_to_diffusers
            )
            converted = convert(dict(denoiser))
    except (KeyError, IndexError, AttributeError, RuntimeError, TypeError):
        return False  # diffusers' way to say that it is another layout
    return same(part, converted) and numbers(denoiser) == numbers(converted)


def unet_and_converted(configs: str, denoiser: Weights) -> tuple[Any, Weights]:
    condition = denoiser.get("time_embed.cond_proj.weight")
    channels = denoiser["input_blocks.0.0.weight"].shape[1]
    part = unet(configs, channels if channels == 9 else 4, None if condition is None else condition.shape[1])
    converted = theirs.convert_ldm_unet_checkpoint({f"{UNET}.{name}": it for name, it in denoiser.items()}, part.config)
    if condition is not None:
        converted["time_embedding.cond_proj.weight"] = condition
    return part, converted


def vae_fits(part: Any, vae: Weights) -> bool:
    converted = theirs.convert_ldm_vae_checkpoint({f"vae.{name}": weight for name, weight in vae.items()}, part.config)
    return same(part, converted) and numbers(vae) == numbers(converted)


def text_encoder_fits(part: Any, prefix: str, text: Weights) -> bool:
    text = {name: weight for name, weight in text.items() if not BESIDE_TEXT.fullmatch(name)}
    if prefix.endswith("model."):
        converted = theirs.convert_open_clip_checkpoint(part, {f"{prefix}{name}": weight for name, weight in text.items()}, prefix)
        known = shapes_of(part.state_dict())
        # Stable Diffusion 2 takes the layer before the last, without a projection.
        return {name: shape for name, shape in shapes_of(converted).items() if name in known or "proj" not in name} == known
    return same(part, text, tied="encoder.embed_tokens.weight")


def derived(header: Mapping[str, torch.Tensor]) -> tuple[str, set[str]] | None:
    """The kind of model that a file is by its names and shapes, and the components that are whole in it; None where it is none."""
    header = {name: weight for name, weight in header.items() if not BESIDE_ALL.fullmatch(name)}
    prefixed = any(name.startswith(UNET) for name in header)
    denoiser = behind(f"{UNET}.", header) if prefixed else dict(header)
    others = {name: weight for name, weight in header.items() if prefixed and not name.startswith(UNET)}
    kind = next((configs for configs in PIPELINES if denoiser_fits(configs, denoiser)), None)
    if kind is None:
        return None
    found, taken = {"unet" if getattr(parts_of(kind), "unet", None) is not None else "transformer"}, tuple[str, ...]()
    for name, prefix in [
        *((name, prefix) for name, prefixes in TEXT_PREFIXES.items() for prefix in prefixes),
        *(("vae", prefix) for prefix in VAE_PREFIXES),
    ]:
        part, weights = getattr(parts_of(kind), name, None), behind(prefix, others)
        if (
            part is not None
            and weights
            and (vae_fits(part, weights) if name == "vae" else text_encoder_fits(part, prefix, weights))
        ):
            found.add(name)
            taken = (*taken, prefix)
    return (kind, found) if all(name.startswith(taken) for name in others) else None


def expected_faults(kind: str, found: set[str]) -> list[str]:
    """What a file of a model that runs lacks to be whole."""
    family = FAMILIES[PIPELINES[kind]]
    wanted = {name for name, part in vars(parts_of(kind)).items() if part is not None}
    spared = {name for name in family.optional if family.components[name] == T5}
    words = [f"the vocabulary of the T5 of .*{name[-1]}" for name in sorted(found) if family.components[name] == T5]
    return [*(f".*holds no {name}:" for name in sorted(wanted - found - spared)), *words]


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_file_is_ready_exactly_when_its_header_is_that_of_the_classes(said: Mapping[str, Listed], name: str) -> None:
    specimen, entry = SPECIMENS[name], said[name]
    found = derived(specimen.make())
    assert (found is None) == (specimen.called is not None)
    if found is None:
        assert specimen.called in entry.faults[-1].replace(entry.path, "")
        assert entry.family is None or "lacks" in specimen.called
        return
    assert entry.family == FAMILIES[PIPELINES[found[0]]].name
    expected = expected_faults(*found)
    assert len(entry.faults) == len(expected), entry.faults
    assert [pattern for pattern in expected if not any(re.match(pattern, fault) for fault in entry.faults)] == []


@pytest.mark.parametrize("name", NUMBERS)
def test_a_specimen_has_as_many_numbers_as_the_release(name: str) -> None:
    made = SPECIMENS[name].make()
    assert numbers(behind(f"{UNET}.", made) or made) == NUMBERS[name]


def test_the_table_says_what_the_command_says(said: Mapping[str, Listed]) -> None:
    assert specimen_table.table(said).split("\n") == specimen_table.written().split("\n"), (
        "run python -m tests.models.specimen_table"
    )
