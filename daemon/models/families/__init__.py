"""The families of models: what sets them apart stands here, and the stages ask it; nothing here imports torch.

The class named in a model's `model_index.json` decides the family."""

from collections.abc import Mapping

from daemon.models.families.family import Family
from daemon.models.families.flux import FLUX
from daemon.models.families.stable_diffusion import STABLE_DIFFUSION
from daemon.models.families.stable_diffusion_3 import STABLE_DIFFUSION_3
from daemon.models.families.stable_diffusion_xl import STABLE_DIFFUSION_XL

FAMILIES: Mapping[str, Family] = {
    "StableDiffusionPipeline": STABLE_DIFFUSION,
    "StableDiffusionImg2ImgPipeline": STABLE_DIFFUSION,
    "StableDiffusionInpaintPipeline": STABLE_DIFFUSION,
    "StableDiffusionXLPipeline": STABLE_DIFFUSION_XL,
    "StableDiffusionXLImg2ImgPipeline": STABLE_DIFFUSION_XL,
    "StableDiffusionXLInpaintPipeline": STABLE_DIFFUSION_XL,
    "StableDiffusion3Pipeline": STABLE_DIFFUSION_3,
    "StableDiffusion3Img2ImgPipeline": STABLE_DIFFUSION_3,
    "StableDiffusion3InpaintPipeline": STABLE_DIFFUSION_3,
    "FluxPipeline": FLUX,
    "FluxImg2ImgPipeline": FLUX,
    "FluxInpaintPipeline": FLUX,
}

__all__ = ["FAMILIES", "Family"]
