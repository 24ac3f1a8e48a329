"""What the editors open: an artifact of every kind, state and layout, small, of a shape that shows when something is turned."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

import tiffsd
from tests import artifacts
from tiffsd import Kind, Layout, State
from tiffsd.canvas import EMBEDDING_ROWS

HEIGHT, WIDTH = 24, 32
# Wide enough that a strip without metadata is told from a mosaic.
EMBEDDING_WIDTH = 256


@dataclass(frozen=True)
class Specimen:
    """One artifact and the name it goes by."""

    name: str
    artifact: tiffsd.Artifact

    @property
    def layout(self) -> Layout:
        return self.artifact.header.layout

    @property
    def pages(self) -> int:
        return self.artifact.header.size[0] if self.layout is Layout.PAGES else 1


@cache
def specimens() -> tuple[Specimen, ...]:
    """Every kind, state and layout, in the order of the table's columns."""
    latents = [_latents(channels, state) for channels in (4, 16) for state in State]
    four, sixteen = latents[2], latents[5]
    return (
        *latents,
        Specimen("embedding", _embedding()),
        _laid_out(four, Layout.PAGES),
        _laid_out(sixteen, Layout.PAGES),
        _laid_out(four, Layout.RGBA),
        Specimen("picture", _picture(np.float32)),
        Specimen("picture of halves", _picture(np.float16)),
    )


def first_of_layout() -> list[Specimen]:
    """One of each layout, for edits that make no difference between kinds."""
    return list({specimen.layout: specimen for specimen in reversed(specimens())}.values())


def _latents(channels: int, state: State) -> Specimen:
    """Married latents as the denoisers of SD1 and SDXL (4 channels) or SD3 and Flux (16) see them."""
    half_done: dict[str, Any] = {"sigma": 3.25, "step": 12, "steps": 30} if state is State.PARTIAL else {}
    made = artifacts.latents(channels=channels, height=HEIGHT, width=WIDTH, state=state, seed=channels, **half_done)
    x = made.tensors["latents"]
    if state is State.FINAL:
        x = (np.cumsum(x, axis=2) / 3).astype(np.float32)  # neighbours know of each other, as in a picture
    if half_done:
        x = (x * np.sqrt(half_done["sigma"] ** 2 + 1)).astype(np.float32)
    # Brighter than white and darker than black, also where sigma scales; final latents so much that, by their standard deviation,
    # they could be raw results of the prototype.
    x[0, 0, :3], x[-1, -1, -3:] = (40.5, -40.5) if state is State.FINAL else (20.0, -20.0)
    more = {"pooled_prompt_embeds": np.random.default_rng(channels).standard_normal(64).astype(np.float32)}
    if half_done:
        more["scheduler.derivative"] = x * np.float32(0.5)
    header = replace(made.header, recipe={**made.header.recipe, "width": WIDTH * 8, "height": HEIGHT * 8})
    return Specimen(f"{state}, {channels} channels", tiffsd.Artifact(header, {**made.tensors, **more, "latents": x}))


def _laid_out(specimen: Specimen, layout: Layout) -> Specimen:
    made = specimen.artifact
    header = replace(made.header, layout=layout, id=tiffsd.new_id())
    return Specimen(f"{specimen.name}, {layout}", replace(made, header=header))


def _embedding() -> tiffsd.Artifact:
    rows = np.random.default_rng(77).standard_normal((2, 77, EMBEDDING_WIDTH)).astype(np.float32)
    tensors = dict(zip(EMBEDDING_ROWS, rows, strict=True))
    tensors["prompt_embeds"][0, :2] = 28.0, -28.0  # the first token of CLIP is far from all others
    header = tiffsd.Header(
        Kind.EMBEDDING, tiffsd.new_id(), Layout.STRIP, (77, 77, EMBEDDING_WIDTH), recipe={"prompt": "a red house, \N{SNOWMAN}"}
    )
    return tiffsd.Artifact(header, tensors)


def _picture(dtype: type[np.floating[Any]]) -> tiffsd.Artifact:
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[: HEIGHT * 2, : WIDTH * 2] / (WIDTH * 2)
    picture = np.stack([rows, columns, 1 - rows], axis=-1) + rng.normal(0, 0.02, (HEIGHT * 2, WIDTH * 2, 3))
    header = tiffsd.Header(Kind.PICTURE, tiffsd.new_id(), Layout.RGB, picture.shape, recipe={"prompt": "a red house", "seed": 1})
    return tiffsd.Artifact(header, {"picture": picture.astype(dtype)})
