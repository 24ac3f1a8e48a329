"""An artifact -> a picture to glance at (H, W, 3), 8 bits, without a VAE: one pixel for each value of latents.

Latents become colours by a linear map of their channels where one is known for the family of their model. All else is shown as its
canvas, which is what an image editor shows.
"""

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
# Stable Diffusion XL: the fit that ComfyUI shows its previews by.
SDXL = Colours(
    ((0.3651, 0.4232, 0.4341), (-0.2533, -0.0042, 0.1068), (0.1076, 0.1111, -0.0362), (-0.3165, -0.2492, -0.2188)),
    (0.1084, -0.0175, -0.0011),
)
WIDTH_OF_SDXL = 2048  # both text encoders of SDXL side by side; SD1 has 768, SD2 1024


def preview(artifact: Artifact) -> Levels:
    """The artifact in colours, as near to the finished picture as a linear map comes; a picture clipped to black..white."""
    if artifact.header.kind is Kind.PICTURE:
        return _levels(artifact.tensors["picture"])
    colours = colours_of(artifact)
    if colours is None:
        return canvas(artifact)
    latents = np.moveaxis(artifact.tensors["latents"], 0, -1).astype(np.float64)
    deviation = np.sqrt((artifact.header.sigma or 0.0) ** 2 + 1)  # half-done latents are shown as they are painted
    return _levels((latents / deviation @ np.array(colours.factors) + colours.bias) / 2 + 0.5)


def canvas(artifact: Artifact) -> Levels:
    """The canvas as an image editor shows it; of several pages one below the other."""
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
    """The map for the model that made these latents: by its name, else by the width of their embedding; None for other channels."""
    latents = artifact.tensors.get("latents")
    if latents is None or len(latents) != len(SD1.factors):
        return None
    if artifact.header.recipe.get("model") == "demo":
        return DEMO
    embedding = artifact.tensors.get("prompt_embeds")
    return SDXL if embedding is not None and embedding.shape[-1] == WIDTH_OF_SDXL else SD1


def enlarged(levels: Levels, factor: int) -> Levels:
    """Each pixel as a square of `factor` x `factor`."""
    return levels.repeat(factor, axis=0).repeat(factor, axis=1)


def _levels(values: NDArray[np.floating]) -> Levels:
    levels: Levels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return levels
