"""What people can look up of the settings: one row of each, as plain values, and the page docs/settings.md made of them.

python -m daemon.settings.reference > docs/settings.md
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, get_args

from daemon.settings.values import SEEDS
from daemon.settings.vocabulary import (
    DECODE,
    FINAL,
    INPUT_KINDS,
    NOISE,
    PARTIAL,
    PAST,
    PAST_PHOTO,
    PHOTO,
    REGISTRY,
    TEXT,
    Settings,
    kind_of,
)

KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
OTHER_KINDS = {"stop_at": "whole number, or a list of them", "hold": "text, or a list of them", "loras": "names with numbers"}
BOUNDS = {"ge": "from", "gt": "above", "le": "up to", "lt": "below"}
COLUMNS = {TEXT: "prompt", PHOTO: "encode", NOISE: "noise", PARTIAL: "half-done", FINAL: "finished", DECODE: "decode"}
INVERTED = {PAST: "invert latents", PAST_PHOTO: "invert a picture"}
PAGE = """# Settings

Every setting by its name, as it may stand in the lines between `---` of a prompt, in a settings file `NAME.yaml`, and under
`defaults:` in config.yaml; those with an option may be given on the command line. This page is made of the program's own registry
(`tiffsd settings`, with `--json` for programs); what a stage cannot use is never dropped in silence, but named in a note.

| setting | what it is | value | does nothing at | A1111 | other names |
|---|---|---|---|---|---|
{rows}

## Where each counts

A setting counts for the stage that a file is dropped into, or for one that follows. *noise*, *half-done* and *finished* are latents
dropped into `inbox/2-diffuse`.

| setting | {input_kinds} |
|---|{lines}|
{marks}
"""


@dataclass(frozen=True)
class Row:
    """One setting; `least` and `most` are bounds as people read them, `counts` some of INPUT_KINDS."""

    name: str
    help: str
    kind: str
    least: str | None
    most: str | None
    neutral: Any
    infotext: str | None
    option: str | None
    aliases: tuple[str, ...]
    counts: tuple[str, ...]

    @property
    def value(self) -> str:
        """Kind and range in words."""
        bounds = [bound for bound in (self.least, self.most) if bound]
        return ", ".join([self.kind, *bounds])


def rows() -> Iterator[Row]:
    """All settings, in the order of the registry."""
    for name, setting in REGISTRY.items():
        least, most = _range(name)
        counts = tuple(input_kind for input_kind in INPUT_KINDS if input_kind in setting.counts)
        kind = OTHER_KINDS.get(name) or KINDS[kind_of(name)]
        yield Row(name, setting.help, kind, least, most, setting.neutral, setting.infotext, setting.option, setting.aliases, counts)


def as_json() -> list[dict[str, Any]]:
    """The rows for programs."""
    return [asdict(row) for row in rows()]


def page() -> str:
    """The whole of docs/settings.md."""
    input_kinds = {**COLUMNS, **INVERTED}
    table = [
        f"| `{row.name}` | {row.help} | {row.value} | {_cell(row.neutral)} | {row.infotext or ''} | {_names(row.aliases)} |"
        for row in rows()
    ]
    marks = [
        f"| `{row.name}` | {' | '.join('x' if input_kind in row.counts else '' for input_kind in input_kinds)} |" for row in rows()
    ]
    return PAGE.format(
        rows="\n".join(table),
        input_kinds=" | ".join(input_kinds.values()),
        lines="|".join("---" for _ in input_kinds),
        marks="\n".join(marks),
    )


def _range(name: str) -> tuple[str | None, str | None]:
    said = {bound: value for bound in BOUNDS for place in _constraints(name) if (value := getattr(place, bound, None)) is not None}
    large = {SEEDS: "2^64", -SEEDS: "-2^64"}
    words = {bound: f"{BOUNDS[bound]} {large.get(value, value)}" for bound, value in said.items()}
    return words.get("ge", words.get("gt")), words.get("le", words.get("lt"))


def _constraints(name: str) -> Iterator[Any]:
    """The bounds of a field, those of its kind included."""
    field = Settings.model_fields[name]
    kinds = [said for kind in get_args(field.annotation) for said in getattr(kind, "__metadata__", ())]
    for said in [*field.metadata, *kinds]:
        yield from getattr(said, "metadata", (said,))


def _cell(value: Any) -> str:
    return "" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _names(aliases: tuple[str, ...]) -> str:
    return ", ".join(f"`{alias}`" for alias in aliases)


if __name__ == "__main__":
    sys.stdout.write(page())
