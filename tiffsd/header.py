"""Metadata of an artifact: JSON text in two tags <-> a frozen dataclass.

The essentials go into the ImageDescription, which most editors keep; the full record into a private tag, which few do.
What may be in them, and what is refused, is section 4 of `tiffsd/spec.py`.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from tiffsd.spec import (
    ID_PATTERN,
    LARGEST_SIGMA,
    LAYOUTS,
    MOST_CHANNELS,
    MOST_MARKS,
    MOST_NESTED,
    VERSION,
    BadHeader,
    Kind,
    Layout,
    NewerFormat,
    State,
)

ESSENTIALS = ("tiffsd", "kind", "id", "layout", "size", "state", "sigma", "step", "steps")
REST = ("parent", "recipe", "history", "software")

MARKS = (b",", b":", b"[", b"{")
_MARK_OR_TEXT = re.compile(rb'[,:\[{]|"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET_OR_TEXT = re.compile(rb'[\[\]{}]|"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_ID_IN_NAME = re.compile(r"\.([0-9a-f]{8})(?![0-9a-zA-Z])")
_Member = TypeVar("_Member", Kind, Layout, State)


@dataclass(frozen=True)
class Header:
    """What an artifact says of itself; `size` is (C, h, w) of latents, (T, U, D) of an embedding, (H, W, 3) of a picture.

    T and U are the rows of prompt_embeds and negative_prompt_embeds. `sigma` is that of half-done latents of a sigma-scaled
    scheduler, `step` of `steps` how far the loop got. `extra` holds keys of the record that this version does not know.
    """

    kind: Kind
    id: str
    layout: Layout
    size: tuple[int, ...]
    parent: str | None = None
    state: State | None = None
    sigma: float | None = None
    step: int | None = None
    steps: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    software: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    version: int = VERSION


def new_id() -> str:
    """An id for a new artifact: 8 hexadecimal digits in lower case, from the random numbers of the system."""
    return os.urandom(4).hex()


def id_in_name(name: str) -> str | None:
    """The id in a file name STEM.ID.EXT, also behind what editors append ("cat.3f9a1c2e-2.tiff"); the last of several, or None."""
    found = _ID_IN_NAME.findall(name)
    return found[-1] if found else None


def render(header: Header) -> tuple[str, str]:
    """Header -> (essentials, full record), each one line of ASCII JSON, for ImageDescription and tag 65000.

    Raises BadHeader if it cannot be written so, or could not be read again; NaN and infinity cannot.
    """
    record = _record(header)
    essentials = {key: record[key] for key in ESSENTIALS if key in record}
    try:
        texts = tuple(json.dumps(r, allow_nan=False, separators=(",", ":")) for r in (essentials, record))
    except (TypeError, ValueError) as error:
        raise BadHeader(f"the metadata of artifact {header.id} cannot be written as JSON: {error}") from error
    header_from(json.loads(texts[1]), name=f"artifact {header.id}")
    return texts[0], texts[1]


def parse(text: str | bytes | None) -> dict[str, Any] | None:
    """The record in a tag's text, or None where there is none: other text, broken JSON, no version."""
    if not text:
        return None
    try:
        if _depth(text) > MOST_NESTED:  # how deep json can go is another number in each Python
            return None
        record = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "tiffsd" in record else None


def _depth(text: str | bytes) -> int:
    """How many objects and lists of JSON lie within each other."""
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if data.count(b"[") + data.count(b"{") <= MOST_NESTED:
        return 0
    deep = deepest = 0
    for found in _BRACKET_OR_TEXT.finditer(data):
        deep += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        deepest = max(deep, deepest)
    return deepest


def marks_in(text: str | bytes) -> int:
    """How many marks of JSON (, : [ and {) stand between its texts: about as many values come of it. Of more than the limit not all
    are counted."""
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if sum(map(data.count, MARKS)) <= MOST_MARKS:
        return sum(map(data.count, MARKS))
    between = (found for found in _MARK_OR_TEXT.finditer(data) if found[0] in MARKS)
    return sum(1 for _ in islice(between, MOST_MARKS + 1))


def header_from(record: Mapping[str, Any], *, name: str) -> Header:
    """A parsed record -> Header; keys that this version does not know go into `extra`; `name` is the file's, for errors.

    Raises BadHeader where a key that must be there is not, or is of another type or range; NewerFormat for a later version.
    """
    _check_version(record, name)
    kind = _member(Kind, record, "kind", name)
    header = Header(
        kind=kind,
        id=_id(record, "id", name),
        layout=_member(Layout, record, "layout", name),
        size=_size(record, name),
        parent=_id(record, "parent", name) if record.get("parent") is not None else None,
        state=_member(State, record, "state", name) if record.get("state") is not None else None,
        sigma=_sigma(record, name),
        step=_count(record, "step", name),
        steps=_count(record, "steps", name),
        recipe=_typed(record, "recipe", dict, name) or {},
        history=_history(record, name),
        software=_typed(record, "software", dict, name) or {},
        extra={key: value for key, value in record.items() if key not in (*ESSENTIALS, *REST)},
    )
    _check_together(header, name)
    return header


def _record(header: Header) -> dict[str, Any]:
    known = {
        "tiffsd": header.version,
        "kind": header.kind,
        "id": header.id,
        "layout": header.layout,
        "size": list(header.size),
        "state": header.state,
        "sigma": header.sigma,
        "step": header.step,
        "steps": header.steps,
        "parent": header.parent,
        "recipe": dict(header.recipe),
        "history": [dict(entry) for entry in header.history],
        "software": dict(header.software),
    }
    extra = {key: value for key, value in header.extra.items() if key not in known}
    return {key: value for key, value in known.items() if value is not None and value not in ({}, [])} | extra


def _check_version(record: Mapping[str, Any], name: str) -> None:
    version = _whole(record, "tiffsd", name)
    if version is None or version < 1:
        raise _bad(name, "tiffsd", "a version number from 1 on", version)
    if version > VERSION:
        raise NewerFormat(
            f"{name} is written in version {version} of TIFFSD, and this program reads versions up to {VERSION}; "
            f"update tiffsd to read it"
        )


def _check_together(header: Header, name: str) -> None:
    if header.layout not in LAYOUTS[header.kind]:
        raise _bad(name, "layout", f"one of {', '.join(LAYOUTS[header.kind])} for {header.kind}", header.layout.value)
    channels = header.size[0] if header.kind is Kind.LATENTS else header.size[-1]
    if header.kind is Kind.LATENTS and channels > MOST_CHANNELS:
        raise _bad(name, "size", f"at most {MOST_CHANNELS} channels", list(header.size))
    if header.layout is Layout.RGBA and channels != 4:
        raise _bad(name, "size", "four channels for layout rgba", list(header.size))
    if header.kind is Kind.PICTURE and channels != 3:
        raise _bad(name, "size", "[height, width, 3]", list(header.size))
    if header.kind is Kind.EMBEDDING and sum(header.size[:2]) == 0:
        raise _bad(name, "size", "at least one row", list(header.size))


def _member(members: type[_Member], record: Mapping[str, Any], key: str, name: str) -> _Member:
    value = record.get(key)
    if not isinstance(value, str) or value not in set(members):
        raise _bad(name, key, f"one of {', '.join(members)}", value)
    return members(value)


def _id(record: Mapping[str, Any], key: str, name: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not ID_PATTERN.fullmatch(value):
        raise _bad(name, key, "8 hexadecimal digits", value)
    return value


def _size(record: Mapping[str, Any], name: str) -> tuple[int, ...]:
    value = record.get("size")
    whole = isinstance(value, list) and len(value) == 3 and all(type(n) is int and n >= 0 for n in value)
    least = (0, 0, 1) if record.get("kind") == Kind.EMBEDDING else (1, 1, 1)
    if not whole or any(n < low for n, low in zip(value, least, strict=True)):  # type: ignore[arg-type]
        raise _bad(name, "size", "a list of three whole numbers", value)
    return tuple(value)  # type: ignore[arg-type]


def _sigma(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get("sigma")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST_SIGMA:
        raise _bad(name, "sigma", f"a number from 0 to {LARGEST_SIGMA:g}", value)
    return float(value)


def _count(record: Mapping[str, Any], key: str, name: str) -> int | None:
    value = _whole(record, key, name)
    if value is not None and value < 0:
        raise _bad(name, key, "a whole number from 0 on", value)
    return value


def _whole(record: Mapping[str, Any], key: str, name: str) -> int | None:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | None):
        raise _bad(name, key, "a whole number", value)
    return value


def _history(record: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    entries = _typed(record, "history", list, name) or []
    if not all(isinstance(entry, dict) for entry in entries):
        raise _bad(name, "history", "a list of objects", entries)
    return tuple(entries)


def _typed(record: Mapping[str, Any], key: str, wanted: type[dict[str, Any]] | type[list[Any]], name: str) -> Any:
    value = record.get(key)
    if value is not None and not isinstance(value, wanted):
        raise _bad(name, key, "an object" if wanted is dict else "a list", value)
    return value


def _bad(name: str, key: str, wanted: str, found: object) -> BadHeader:
    return BadHeader(
        f'{name} has "{key}": {str(found)[:60]!r} in its TIFFSD metadata where {wanted} is expected; '
        f"save it again from the original, or remove the ImageDescription to have it read as a plain canvas"
    )


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    if math.isinf(float(number)):
        raise ValueError(f"{number} is no number of float64")
    return float(number)
