"""Inpainting by parts: bit-equal to diffusers' pipelines under a mask of black and white, and what a gray one does.

Through the stages encode and diffuse, as the daemon runs them; the pipelines round gray masks to black and white.
"""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from daemon.errors import InputError
from daemon.models.masking import hardened
from daemon.models.registry import Models
from daemon.stages import decode, diffuse, encode
from tests import tiny
from tests.parts import (
    NEGATIVE,
    PROMPT,
    SIZE,
    STEPS,
    embeddings,
    generator,
    one_piece,
    quiet,
    settings,
    start,
    through_numpy,
    unpacked,
)

Tensors = dict[str, torch.Tensor]
MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sd1-inpainting": lambda path: tiny.stable_diffusion(path, inpainting=True),
    "sd2": lambda path: tiny.stable_diffusion(path, version=2),
    "sdxl": tiny.stable_diffusion_xl,
    "sdxl-inpainting": lambda path: tiny.stable_diffusion_xl(path, inpainting=True),
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}
PIPELINES = {
    "sd1": (diffusers.StableDiffusionInpaintPipeline, ["ddim", "euler", "euler_a", "heun", "dpmpp_2m_karras", "unipc", "pndm"]),
    "sd1-inpainting": (diffusers.StableDiffusionInpaintPipeline, ["ddim", "euler_a", "heun"]),
    "sd2": (diffusers.StableDiffusionInpaintPipeline, ["ddim", "dpmpp_2m_sde"]),
    "sdxl": (diffusers.StableDiffusionXLInpaintPipeline, ["euler", "euler_a", "dpmpp_2m"]),
    "sdxl-inpainting": (diffusers.StableDiffusionXLInpaintPipeline, ["euler_a"]),
    "sd3": (diffusers.StableDiffusion3InpaintPipeline, ["flow_euler"]),
    "flux": (diffusers.FluxInpaintPipeline, ["flow_euler"]),
}
CASES = [(family, name, strength) for family, (_, names) in PIPELINES.items() for name in names for strength in (0.6, 1.0)]

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


def photo() -> torch.Tensor:
    return torch.rand((SIZE, SIZE, 3), generator=torch.Generator().manual_seed(1))


def mask() -> torch.Tensor:
    """Of the picture's size, with an edge that falls inside of a latent pixel."""
    white = torch.zeros(SIZE, SIZE)
    white[13:51, 20:] = 1
    return white


def begun(models: Models, chosen: dict[str, Any], drawn: torch.Tensor) -> Tensors:
    encoded, _ = encode.run(models, {"picture": photo(), "mask": drawn}, chosen, quiet)
    return embeddings(start(models, chosen)) | through_numpy(encoded)


def inpainted(models: Models, chosen: dict[str, Any], drawn: torch.Tensor) -> torch.Tensor:
    out, _ = diffuse.run(models, begun(models, chosen, drawn), {**chosen, "state": "final"}, quiet)
    return out["latents"]


@pytest.mark.parametrize(("family", "name", "strength"), CASES)
def test_it_is_bit_equal_to_the_pipelines_of_each_family(
    models: Models, folders: dict[str, Path], family: str, name: str, strength: float
) -> None:
    ours = inpainted(models, settings(folders[family], scheduler=name, strength=strength), mask())
    # This one of their pipelines does not correct the default of DDIM, which is for models of pixels, as the others do.
    corrected = {"clip_sample": False} if name == "ddim" else {}
    pipe = one_piece(folders[family], name, PIPELINES[family][0], **corrected)
    picture = photo().permute(2, 0, 1)[None]
    prompts = {"prompt": PROMPT} | ({} if family == "flux" else {"negative_prompt": NEGATIVE})
    size = {"width": SIZE, "height": SIZE}
    whole = pipe(
        **prompts,
        **size,
        image=picture,
        mask_image=mask()[None, None],
        strength=strength,
        num_inference_steps=STEPS,
        guidance_scale=5.0,
        generator=generator(),
        output_type="latent",
    ).images
    assert float((ours - unpacked(whole)).abs().max()) == 0.0


def test_the_picture_is_that_of_the_pipeline_too(models: Models, folders: dict[str, Path]) -> None:
    for family, name in (("sd1", "euler_a"), ("sdxl-inpainting", "euler")):
        chosen = settings(folders[family], scheduler=name, strength=0.7)
        ours, _ = decode.run(models, {"latents": inpainted(models, chosen, mask())}, chosen, quiet)
        whole = one_piece(folders[family], name, PIPELINES[family][0])(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            image=photo().permute(2, 0, 1)[None],
            mask_image=mask()[None, None],
            width=SIZE,
            height=SIZE,
            strength=0.7,
            num_inference_steps=STEPS,
            guidance_scale=5.0,
            generator=generator(),
            output_type="np",
        ).images[0]
        np.testing.assert_array_equal(ours["picture"].clamp(0, 1).numpy(), whole)


@pytest.mark.parametrize(
    ("family", "name"),
    [("sd1", "euler_a"), ("sd1", "heun"), ("sd1", "unipc"), ("sd1-inpainting", "euler_a"), ("flux", "flow_euler")],
)
def test_a_loop_with_a_mask_is_stopped_and_goes_on_bit_equal(
    models: Models, folders: dict[str, Path], family: str, name: str
) -> None:
    chosen = settings(folders[family], scheduler=name, strength=0.9)
    tensors = begun(models, chosen, mask())
    whole, _ = diffuse.run(models, tensors, {**chosen, "state": "final"}, quiet)
    for cut in (3, STEPS - 1):
        half, facts = diffuse.run(models, tensors, {**chosen, "state": "final", "stop_at": cut}, quiet)
        assert facts["state"] == "partial"
        rest, _ = diffuse.run(models, embeddings(tensors) | through_numpy(half), {**chosen, "state": "partial", "step": cut}, quiet)
        assert torch.equal(rest["latents"], whole["latents"])


def test_what_a_mask_leaves_out_stays_to_the_last_bit(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="euler", strength=1.0)
    tensors = begun(models, chosen, mask())
    out, facts = diffuse.run(models, tensors, {**chosen, "state": "final"}, quiet)
    kept = tensors["mask"] == 0
    assert torch.equal(out["latents"][:, kept], tensors["latents"][:, kept])
    assert not torch.isclose(out["latents"][:, ~kept], tensors["latents"][:, ~kept], atol=1e-3).any(dim=0).all()
    assert facts["notes"] == ["under the mask 39% of the picture is made anew"]


def test_half_gray_is_made_anew_by_an_inpainting_model() -> None:
    for gray, white in ((0.49, 0), (0.5, 1), (0.51, 1)):
        assert torch.equal(hardened(torch.full((16, 16), gray), (2, 2)), torch.full((2, 2), float(white))), gray


def test_the_grayer_a_mask_the_less_is_made_anew(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="ddim", strength=0.8)
    changes = []
    for gray in (0.05, 0.25, 0.5, 0.75, 1.0):
        tensors = begun(models, chosen, torch.full((SIZE, SIZE), gray))
        out, _ = diffuse.run(models, tensors, {**chosen, "state": "final"}, quiet)
        changes.append(float((out["latents"] - tensors["latents"]).abs().mean()))
    assert changes == sorted(changes)
    assert changes[0] < changes[-1] / 10


def test_white_everywhere_is_image_to_image_and_black_everywhere_is_refused(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="dpmpp_2m", strength=0.6)
    tensors = begun(models, chosen, torch.ones(SIZE, SIZE))
    masked, _ = diffuse.run(models, tensors, {**chosen, "state": "final"}, quiet)
    bare = {name: tensor for name, tensor in tensors.items() if name != "mask"}
    plain, _ = diffuse.run(models, bare, {**chosen, "state": "final"}, quiet)
    assert torch.equal(masked["latents"], plain["latents"])
    with pytest.raises(InputError, match="black everywhere"):
        encode.run(models, {"picture": photo(), "mask": torch.zeros(SIZE, SIZE)}, chosen, quiet)


def test_a_mask_at_the_size_of_the_latents_is_taken_too(models: Models, folders: dict[str, Path]) -> None:
    for family in ("sd1", "sd1-inpainting"):
        chosen = settings(folders[family], scheduler="ddim", strength=0.6)
        small = torch.zeros(SIZE // 8, SIZE // 8)
        small[2:6, 1:] = 1
        large = torch.from_numpy(np.kron(small.numpy(), np.ones((8, 8), np.float32)))
        assert torch.equal(inpainted(models, chosen, small), inpainted(models, chosen, large))


def test_masks_without_a_picture_and_pictures_without_a_mask_are_refused(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="ddim", strength=0.6)
    noise = start(models, chosen)
    with pytest.raises(InputError, match=r"these latents are noise; drop the picture as NAME\.png"):
        diffuse.run(models, noise | {"mask": mask()}, chosen, quiet)
    half, _ = diffuse.run(models, begun(models, chosen, mask()), {**chosen, "state": "final", "stop_at": 5}, quiet)
    torn = embeddings(noise) | half
    del torn["image_latents"]
    with pytest.raises(InputError, match=r"the picture that it lies on is missing or has another size \(image_latents\)"):
        diffuse.run(models, torn, {**chosen, "state": "partial", "step": 5}, quiet)
    needing = settings(folders["sd1-inpainting"], scheduler="ddim", strength=0.6)
    with pytest.raises(InputError, match="'tiny' is an inpainting model, and there is no mask"):
        diffuse.run(models, start(models, needing), needing, quiet)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_inpaints_too(models: Models, folders: dict[str, Path], dtype: str) -> None:
    for family in ("sd1", "sdxl-inpainting"):
        chosen = settings(folders[family], scheduler="euler_a", strength=0.8)
        chosen["model"] = {**chosen["model"], "dtype": dtype}
        assert bool(torch.isfinite(inpainted(models, chosen, mask())).all())
