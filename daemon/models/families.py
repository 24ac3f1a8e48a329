"""The families of models as a table: the pipeline class of each, and the class of each of its components.

The class named in a model's `model_index.json` decides the family. SD1 and SD2 differ in their configurations only and
are one row; SDXL, SD3 and Flux are further rows."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One row: `components` maps each component (its subfolder in the model) to the library and class that load it."""

    name: str
    pipeline: str
    components: Mapping[str, tuple[str, str]]


STABLE_DIFFUSION = Family(
    "stable diffusion 1 or 2",
    "StableDiffusionPipeline",
    {
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
    },
)

FAMILIES: Mapping[str, Family] = {
    "StableDiffusionPipeline": STABLE_DIFFUSION,
    "StableDiffusionImg2ImgPipeline": STABLE_DIFFUSION,
}
