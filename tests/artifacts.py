"""Artifacts for tests, small and without a model."""

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tiffsd

# The width of the embedded model's embeddings.
WIDTH = 128


def latents(
    *, channels: int = 4, height: int = 16, width: int = 16, state: tiffsd.State = tiffsd.State.NOISE, seed: int = 0, **header: Any
) -> tiffsd.Artifact:
    """Married latents of the embedded model's shape."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[Any]] = {
        "latents": rng.standard_normal((channels, height, width)).astype(np.float32),
        "prompt_embeds": rng.standard_normal((77, WIDTH)).astype(np.float32),
        "negative_prompt_embeds": rng.standard_normal((77, WIDTH)).astype(np.float32),
    }
    recipe: Mapping[str, Any] = {"prompt": "a red house", "negative_prompt": "", "model": "demo", "seed": 1}
    fields = {"recipe": recipe, **header}
    return tiffsd.Artifact(
        tiffsd.Header(
            kind=tiffsd.Kind.LATENTS,
            id=tiffsd.new_id(),
            layout=tiffsd.Layout.MOSAIC,
            size=(channels, height, width),
            state=state,
            **fields,
        ),
        tensors,
    )


def embedding(*, seed: int = 0, **header: Any) -> tiffsd.Artifact:
    """An embedding of the embedded model's shape, with a pooled one that no canvas shows."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[Any]] = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {
            "prompt_embeds": (77, WIDTH),
            "negative_prompt_embeds": (77, WIDTH),
            "pooled_prompt_embeds": (WIDTH,),
        }.items()
    }
    fields = {"recipe": {"prompt": "a red house", "negative_prompt": ""}, **header}
    kind, layout = tiffsd.Kind.EMBEDDING, tiffsd.Layout.STRIP
    return tiffsd.Artifact(tiffsd.Header(kind=kind, id=tiffsd.new_id(), layout=layout, size=(77, 77, WIDTH), **fields), tensors)


def file_of(artifact: tiffsd.Artifact, layout: tiffsd.Layout | None = None) -> bytes:
    """The bytes of an artifact's file."""
    file = io.BytesIO()
    tiffsd.write(file, artifact, layout=layout)
    return file.getvalue()


def unmarried(artifact: tiffsd.Artifact) -> tiffsd.Artifact:
    """The same without its embedding and without a recipe."""
    return replace(
        artifact, tensors={"latents": artifact.tensors["latents"]}, header=replace(artifact.header, recipe={}, id=tiffsd.new_id())
    )
