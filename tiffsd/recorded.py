"""Files with metadata: the pages of a canvas, the header and the exact tensors -> an artifact. `tiffsd/bare.py` has those without.

Sections 4 to 6 of `tiffsd/spec.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tiffsd.artifact import Artifact, reconcile
from tiffsd.content import check_marks
from tiffsd.curves import Curve
from tiffsd.exact import Exact
from tiffsd.header import Header, parse
from tiffsd.layers import settled
from tiffsd.pixels import Page, to_canvas
from tiffsd.spec import NOUNS, Kind, Layout, WrongKind


def read_recorded(pages: Sequence[Page], header: Header, found: Exact, curves: Sequence[Curve] = (), *, name: str) -> Artifact:
    """Pages of latents or of an embedding with metadata -> Artifact; the errors of `layers`, `pixels` and `canvas` apply."""
    pages, notes = settled(pages, header, name=name, curved=bool(curves))
    canvas = to_canvas(pages, header.kind, name=name, raw=header.layout is Layout.RGBA, curves=curves)
    canvas = replace(canvas, notes=(*notes, *canvas.notes))
    exact, note = found
    artifact = reconcile(header, canvas, exact, name=name)
    if note:
        artifact = replace(artifact, canvas=canvas, notes=(note, *artifact.notes))
    return artifact


def parse_record(text: str | bytes | None, code: int | str, name: str) -> dict[str, Any] | None:
    """The record in a text of metadata, bounded; None where it is none. Raises TooLarge; `code` is where it stands."""
    if text and b"tiffsd" in (text.encode() if isinstance(text, str) else text):
        check_marks(text, code, name)
        return parse(text)
    return None


def check_expected(kind: Kind, expect: Kind | None, name: str) -> None:
    """Raise WrongKind where another kind is expected than the file holds."""
    if expect is not None and kind is not expect:
        raise WrongKind(
            f"{name} holds {NOUNS[kind]}, and this place takes {NOUNS[expect]}; use it where {NOUNS[kind]} can be taken"
        )
