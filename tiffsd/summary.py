"""An artifact in a few lines for people: what it is, how it was made, what it holds, what reading noticed."""

import json
from collections.abc import Iterator

from tiffsd.artifact import Artifact
from tiffsd.header import Header


def describe(artifact: Artifact) -> str:
    """An artifact -> lines of plain text."""
    return "\n".join([*_header_lines(artifact.header), *_content_lines(artifact)])


def describe_header(header: Header) -> str:
    """A header alone -> lines of plain text."""
    return "\n".join(_header_lines(header))


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
    for name, tensor in artifact.tensors.items():
        yield f"  {name}: {tensor.dtype} {list(tensor.shape)}"
    if artifact.painted:
        yield f"  painted: {artifact.painted} values"
    for note in artifact.notes:
        yield f"  note: {note}"
