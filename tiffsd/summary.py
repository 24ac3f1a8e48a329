"""An artifact in a few lines for people, or as plain values for programs: what it is, how it was made, what it holds."""

import json
from collections.abc import Iterator
from typing import Any

from tiffsd.artifact import Artifact
from tiffsd.difference import channels
from tiffsd.header import Header, render
from tiffsd.region import extent
from tiffsd.shown import shown
from tiffsd.spec import Kind


def describe(artifact: Artifact) -> str:
    """An artifact -> lines of plain text, in which a prompt or a note cannot begin a line of its own."""
    return "\n".join(map(shown, [*_header_lines(artifact.header), *_content_lines(artifact)]))


def headline(artifact: Artifact) -> str:
    """An artifact in a few words: "latents, noise, 512x512 pixels, with their embedding"."""
    header = artifact.header
    if header.kind is Kind.EMBEDDING:
        return f"an embedding of {header.size[0]} + {header.size[1]} tokens, {header.size[2]} wide"
    whole = extent(header)
    words = [header.kind, *([header.state] if header.state else []), f"{whole.width}x{whole.height} pixels"]
    return ", ".join([*words, *(["with their embedding"] if artifact.married else [])])


def outline(artifact: Artifact) -> dict[str, Any]:
    """An artifact -> JSON values: the keys of its record, and "tensors", "statistics", "painted" and "notes".

    "tensors" gives dtype and shape of each, "statistics" those of each channel, "notes" what reading noticed. Raises BadHeader
    where the record cannot be written as JSON.
    """
    tensors = {name: {"dtype": str(tensor.dtype), "shape": list(tensor.shape)} for name, tensor in artifact.tensors.items()}
    record: dict[str, Any] = json.loads(render(artifact.header)[1])
    return record | {
        "tensors": tensors,
        "statistics": statistics(artifact),
        "painted": artifact.painted,
        "notes": list(artifact.notes),
    }


def statistics(artifact: Artifact) -> dict[str, dict[str, float]]:
    """Of each channel of the canvas, by its name, "mean", "deviation" (standard), "least" and "largest", in its own units."""
    return {
        name: {"mean": float(c.mean()), "deviation": float(c.std()), "least": float(c.min()), "largest": float(c.max())}
        for name, c in channels(artifact)
    }


def _header_lines(header: Header) -> Iterator[str]:
    yield f"{header.kind} {header.id}, layout {header.layout}, size {' x '.join(map(str, header.size))}"
    if header.parent:
        yield f"  made from {header.parent}"
    if header.state:
        yield f"  state {header.state}" + (f", step {header.step} of {header.steps}" if header.step is not None else "")
    if header.sigma is not None:
        yield f"  sigma {header.sigma:g}"
    for key, value in header.recipe.items():
        yield f"  {key}: {json.dumps(value, ensure_ascii=False)}"
    for entry in header.history:
        yield f"  history: {json.dumps(entry, ensure_ascii=False)}"


def _content_lines(artifact: Artifact) -> Iterator[str]:
    if artifact.of_vae:
        yield "  units of their VAE, not of the denoiser: `tiffsd convert` brings them there, told of which model they are"
    for name, tensor in artifact.tensors.items():
        yield f"  {name}: {tensor.dtype} {list(tensor.shape)}"
    for name, of in statistics(artifact).items():
        spread = f"mean {of['mean']:.4f}, deviation {of['deviation']:.4f}, from {of['least']:.4f} to {of['largest']:.4f}"
        yield f"  {name}: {spread}"
    if artifact.told_painted:
        yield f"  {artifact.told_painted}"
    for note in artifact.notes:
        yield f"  note: {note}"
