"""Previews: a glance at each kind of artifact, and the page over them."""

from pathlib import Path

import numpy as np
from PIL import Image

import tiffsd
from daemon.previews import preview_image, write_index, write_preview
from tests.artifacts import latents


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


def test_an_embedding_is_shown_as_its_canvas() -> None:
    made = latents()
    size = (77, 77, 128)
    header = tiffsd.Header(kind=tiffsd.Kind.EMBEDDING, id=tiffsd.new_id(), layout=tiffsd.Layout.STRIP, size=size)
    tensors = {name: made.tensors[name] for name in ("prompt_embeds", "negative_prompt_embeds")}
    assert preview_image(tiffsd.Artifact(header, tensors)).size == (128, 154)


def test_the_page_shows_the_newest_first_and_escapes_names(tmp_path: Path) -> None:
    (tmp_path / "previews").mkdir()
    first = write_preview(tmp_path, latents(), stem="a")
    second = write_preview(tmp_path, latents(), stem="<b>")
    first.touch()
    write_index(tmp_path)
    page = (tmp_path / "previews/index.html").read_text()
    assert page.index(first.name) < page.index("&lt;b&gt;")
    assert "<b>" not in page
    with Image.open(second) as image:
        image.verify()
