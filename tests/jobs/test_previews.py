"""Previews: a glance at each kind of artifact, and the page over them."""

from dataclasses import replace

import numpy as np
import pytest

import tiffsd
from daemon.jobs.previews import preview_image
from daemon.settings.resources import resource
from tests.artifacts import latents
from training.scenes import draw, random_scene


def picture() -> tiffsd.Artifact:
    pixels = np.zeros((600, 300, 3), np.float32)
    pixels[:300, :, 0] = 1.5
    header = tiffsd.Header(kind=tiffsd.Kind.PICTURE, id=tiffsd.new_id(), layout=tiffsd.Layout.RGB, size=pixels.shape)
    return tiffsd.Artifact(header, {"picture": pixels})


def test_a_picture_is_shown_smaller_and_clipped() -> None:
    image = preview_image(picture())
    assert image.size == (128, 256)
    assert image.getpixel((5, 5)) == (255, 0, 0)


def test_latents_are_shown_in_colours_one_block_a_latent() -> None:
    image = preview_image(latents(height=16, width=32))
    assert image.mode == "RGB"
    assert image.size == (256, 128)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_latents_of_the_embedded_model_are_shown_in_the_colours_of_its_pictures() -> None:
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(resource("models/demo") / "vae", torch_dtype=torch.float32)
    scene = np.asarray(draw(random_scene(10_000_001)))  # none that the map was fitted to
    pixels = torch.tensor(scene).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        mean = vae.encode(pixels).latent_dist.mean[0].numpy()
    made = latents()
    shown = tiffsd.preview.preview(replace(made, tensors={"latents": mean}))
    blocks = scene.reshape(16, 8, 16, 8, 3).mean(axis=(1, 3))
    assert np.abs(shown - blocks).mean() < 2
    elsewhere = replace(made, header=replace(made.header, recipe={}), tensors={"latents": mean})
    assert np.abs(tiffsd.preview.preview(elsewhere) - blocks).mean() > 20


def married_to(channels: int, **widths: int) -> tiffsd.Artifact:
    made = latents(channels=channels)
    beside = {name: np.zeros((77, width) if name == "prompt_embeds" else width, np.float32) for name, width in widths.items()}
    return replace(made, header=replace(made.header, recipe={}), tensors={"latents": made.tensors["latents"], **beside})


def test_the_map_of_colours_is_chosen_by_the_model_then_by_the_embeddings_width() -> None:
    preview = tiffsd.preview
    chosen = {
        "the embedded model": (latents(), preview.DEMO),
        "SD 1": (married_to(4, prompt_embeds=768), preview.SD1),
        "without an embedding": (married_to(4), preview.SD1),
        "SDXL": (married_to(4, prompt_embeds=2048, pooled_prompt_embeds=1280), preview.SDXL),
        "its refiner": (married_to(4, prompt_embeds=1280, pooled_prompt_embeds=1280), preview.SDXL),
        "SD 3": (married_to(16, prompt_embeds=4096, pooled_prompt_embeds=2048), preview.SD3),
        "Flux": (married_to(16, prompt_embeds=4096, pooled_prompt_embeds=768), preview.FLUX),
        "sixteen channels of somebody": (married_to(16), None),
        "a picture": (picture(), None),
    }
    assert {name: preview.colours_of(artifact) for name, (artifact, _) in chosen.items()} == {
        name: colours for name, (_, colours) in chosen.items()
    }


@pytest.mark.parametrize(("name", "channels"), [("DEMO", 4), ("SD1", 4), ("SDXL", 4), ("SD3", 16), ("FLUX", 16)])
def test_a_map_of_colours_has_a_row_for_each_channel_and_makes_no_latents_gray(name: str, channels: int) -> None:
    colours = getattr(tiffsd.preview, name)
    factors = np.array(colours.factors)
    assert factors.shape == (channels, 3)
    # Unit noise must neither saturate nor vanish: what is seen of it lies well within black and white.
    spread = np.sqrt((factors**2).sum(axis=0))
    assert ((spread > 0.1) & (spread < 1.2)).all()
    assert (np.abs(colours.bias) < 0.5).all()


def test_half_done_latents_are_shown_as_bright_as_they_are_painted() -> None:
    unit = latents(state=tiffsd.State.PARTIAL)
    noisy = latents(state=tiffsd.State.PARTIAL, sigma=3.0)
    noisy = replace(noisy, tensors={"latents": unit.tensors["latents"] * np.float32(np.sqrt(10))})
    assert np.abs(tiffsd.preview.preview(noisy).astype(int) - tiffsd.preview.preview(unit)).max() <= 1


def test_latents_of_channels_without_colours_are_shown_as_their_canvas() -> None:
    made = latents(channels=16)
    assert preview_image(made).size == (256, 256)
    shown = tiffsd.preview.canvas(replace(made, header=replace(made.header, layout=tiffsd.Layout.PAGES)))
    assert shown.shape == (16 * 16, 16, 3)
    level = np.clip(0.5 + made.tensors["latents"][15, 0, 0] / 8, 0, 1) * 255
    assert shown[15 * 16, 0, 0] == round(float(level))


def test_an_embedding_is_shown_as_its_canvas() -> None:
    made = latents()
    size = (77, 77, 128)
    header = tiffsd.Header(kind=tiffsd.Kind.EMBEDDING, id=tiffsd.new_id(), layout=tiffsd.Layout.STRIP, size=size)
    tensors = {name: made.tensors[name] for name in ("prompt_embeds", "negative_prompt_embeds")}
    assert preview_image(tiffsd.Artifact(header, tensors)).size == (128, 154)
