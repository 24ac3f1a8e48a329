"""An artifact -> a picture to glance at (H, W, 3), 8 bits, without a VAE: one pixel for each value of latents.

Latents become colours by a linear map of their channels where one is known for the family of their model. All else is shown as its
canvas, which is what an image editor shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiffsd.artifact import Artifact
from tiffsd.canvas import canvas_tensor, paint
from tiffsd.spec import Kind, Layout

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Colours:
    """A linear map from latent channels to red, green and blue in -1..1: `factors` (C, 3) and what is added to them."""

    factors: tuple[tuple[float, float, float], ...]
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)


# Least squares from the means that the VAE of the embedded model gives to the averages over 8x8 pixels, over 512 scenes drawn by
# training/scenes.py (seeds 0..511). On 128 other scenes R^2 is 0.9995: its training asks for latents that are read linearly.
DEMO = Colours(
    ((0.0813, 0.0599, -0.3350), (-0.3732, -0.3777, 0.4732), (0.4639, 0.8582, -0.1168), (0.4996, -0.0843, 0.0199)),
    (0.1596, 0.0485, 0.0788),
)
# Stable Diffusion 1.x and 2.x: a fit published by keturn on the Hugging Face forum (2022).
SD1 = Colours(((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473)))
# Stable Diffusion XL: the fit of T. A. Vass, "Explaining the SDXL latent space" (2024), in the levels of diffusers' documentation.
SDXL = Colours(
    tuple(
        (red / 127.5, green / 127.5, blue / 127.5)
        for red, green, blue in ((60, 60, 60), (-60, -5, 10), (25, 15, -5), (-70, -50, -35))
    ),
    (150 / 127.5 - 1, 140 / 127.5 - 1, 130 / 127.5 - 1),
)
# Stable Diffusion 3.5 and Flux: the fits that InvokeAI (Apache-2.0) shows its progress by; 3 has the autoencoder of 3.5.
SD3 = Colours(
    (
        *((-0.0524, 0.0325, 0.0749), (-0.0581, 0.0076, 0.0573), (0.1614, 0.0127, -0.0377), (0.1442, 0.0846, 0.1594)),
        *((0.0489, 0.0056, -0.0669), (0.0519, 0.1922, 0.0626), (0.1539, 0.0482, 0.0710), (-0.0860, 0.0901, 0.1089)),
        *((-0.1240, -0.0677, 0.0034), (-0.0440, 0.0783, 0.0226), (0.0310, 0.0638, 0.0775), (-0.0132, 0.0855, -0.0877)),
        *((0.0646, 0.0591, 0.1326), (-0.0786, -0.0226, -0.1276), (-0.0992, -0.0801, -0.0626), (-0.0339, -0.0804, -0.0608)),
    )
)
FLUX = Colours(
    (
        *((-0.0412, 0.0149, 0.0521), (0.0056, 0.0291, 0.0768), (0.0342, -0.0681, -0.0427), (-0.0258, 0.0092, 0.0463)),
        *((0.0863, 0.0784, 0.0547), (-0.0017, 0.0402, 0.0158), (0.0501, 0.1058, 0.1152), (-0.0209, -0.0218, -0.0329)),
        *((-0.0314, 0.0083, 0.0896), (0.0851, 0.0665, -0.0472), (-0.0534, 0.0238, -0.0024), (0.0452, -0.0026, 0.0048)),
        *((0.0892, 0.0831, 0.0881), (-0.1117, -0.0304, -0.0789), (0.0027, -0.0479, -0.0043), (-0.1146, -0.0827, -0.0598)),
    )
)
# The autoencoder of a family, by how many channels its latents have and how wide the embeddings that lie beside them are.
BY_WIDTH: Mapping[tuple[int, str, int], Colours] = {
    (4, "prompt_embeds", 2048): SDXL,  # both text encoders side by side
    (4, "prompt_embeds", 1280): SDXL,  # its refiner has the second one only
    (16, "pooled_prompt_embeds", 2048): SD3,
    (16, "pooled_prompt_embeds", 768): FLUX,
}


def preview(artifact: Artifact) -> Levels:
    """The artifact as RGB (H, W, 3) of 0..255, as near to the finished picture as a linear map comes.

    Latents (C, h, w) give one pixel for each place (h, w), an embedding and latents of unknown models their canvas, a
    picture itself, clipped to black..white.
    """
    if artifact.header.kind is Kind.PICTURE:
        return _levels(artifact.tensors["picture"])
    colours = colours_of(artifact)
    if colours is None:
        return canvas(artifact)
    latents = np.moveaxis(artifact.tensors["latents"], 0, -1).astype(np.float64)
    deviation = np.sqrt((artifact.header.sigma or 0.0) ** 2 + 1)  # half-done latents are shown as they are painted
    return _levels((latents / deviation @ np.array(colours.factors) + colours.bias) / 2 + 0.5)


def canvas(artifact: Artifact) -> Levels:
    """The canvas as an image editor shows it, RGB (H, W, 3) of 0..255, clipped to black..white; pages one below the other."""
    if artifact.header.kind is Kind.PICTURE:
        return _levels(artifact.tensors["picture"])
    tensor = canvas_tensor(artifact.tensors, artifact.header.kind)
    assert tensor is not None, "an artifact has what its kind paints"
    planes = paint(tensor, artifact.header)
    if artifact.header.layout is Layout.RGBA:
        return _levels(np.moveaxis(planes[:3], 0, -1))
    gray = _levels(planes.reshape(-1, planes.shape[-1]))
    return np.repeat(gray[..., np.newaxis], 3, axis=2)


def colours_of(artifact: Artifact) -> Colours | None:
    """The map for the model that made these latents: by its name, else by the widths of their embedding; None if unknown."""
    latents = artifact.tensors.get("latents")
    if latents is None:
        return None
    channels = len(latents)
    if channels == len(DEMO.factors) and artifact.header.recipe.get("model") == "demo":
        return DEMO
    widths = ((channels, name, tensor.shape[-1]) for name, tensor in artifact.tensors.items() if name.endswith("prompt_embeds"))
    known = next((BY_WIDTH[width] for width in widths if width in BY_WIDTH), None)
    return known or (SD1 if channels == len(SD1.factors) else None)


def enlarged(levels: Levels, factor: int) -> Levels:
    """Pixels (H, W, 3) -> (H * factor, W * factor, 3): each as a square; `factor` is 1 or more."""
    return levels.repeat(factor, axis=0).repeat(factor, axis=1)


def _levels(values: NDArray[np.floating]) -> Levels:
    levels: Levels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return levels
