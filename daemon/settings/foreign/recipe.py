"""What the recipe of another program says, under the names of our settings; and how a record is translated key by key.

Nothing but the standard library: these readers run in the child that reads what people drop.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.names import shown

LONGEST_VALUE = 200  # characters of all but prompts
LONGEST_SHOWN = 80
MOST_NOTES = 60
MOST_LORAS = 50
SAYS_NOTHING: tuple[Any, ...] = (None, "", False, 0, "0", "None", "none", [], {}, "[]", "{}")
WHOLE = ("seed", "steps", "width", "height", "clip_skip", "start_at", "end_at", "upscale_steps")
DECIMAL = ("guidance_scale", "guidance_rescale", "strength", "eta", "upscale", "upscale_strength")
WORDS = ("prompt", "negative_prompt")
_AND = re.compile(r"(?<!\\)\bAND\b")
ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".gguf", ".sft", ".bin")


@dataclass(frozen=True)
class Foreign:
    """The recipe of a program: its settings under our names, unchecked, with samplers as that program names them.

    `unread` is the sentence on one that is not read; `said` is empty then.
    """

    program: str
    said: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unread: str | None = None


def not_read(program: str, why: str) -> Foreign:
    """The answer for a form that is known and not read."""
    return Foreign(program, unread=f"this picture was made by {program}, whose recipe is not read: {why}")


def ignored(key: str, value: object) -> str:
    """The sentence on a key that is not honoured."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{shown(key[:LONGEST_SHOWN])}: {shown(said[:LONGEST_SHOWN])}' of the recipe ignored: tiffsd has no such setting"


def made(program: str, said: Mapping[str, Any], notes: Collection[str]) -> Foreign:
    """A recipe with values of the kinds that our settings have, within bounds."""
    kept = {key: kind for key, value in said.items() if (kind := _kind(key, value)) is not None}
    return Foreign(program, kept, tuple(dict.fromkeys(notes))[:MOST_NOTES])


def translated(
    record: Mapping[str, Any], names: Mapping[str, str], silent: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The settings that a record says under `names`, theirs to ours, and a note on each other key that says something.

    `silent` keys repeat what others say, or what the picture itself shows."""
    said: dict[str, Any] = {}
    notes = []
    for key, value in record.items():
        if key in names:
            said[names[key]] = value
        elif key not in silent and value not in SAYS_NOTHING:
            notes.append(ignored(str(key), value))
    return said, notes


def parsed(text: str) -> dict[str, Any] | None:
    """A text as a JSON object; None where it is none."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        # Some programs write NaN, which is no JSON; as a word it says no number.
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def file_name(value: object) -> str | None:
    """A model by its name: without folders, and without the ending of its file."""
    if not isinstance(value, str):
        return None
    name = value.replace("\\", "/").rsplit("/", 1)[-1].strip()
    return next((name[: -len(end)] for end in ENDINGS if name.lower().endswith(end)), name)[:LONGEST_VALUE] or None


def loras(named: Collection[tuple[object, object]]) -> dict[str, float | list[float]]:
    """LoRAs by name, with their weights; those that are no names or numbers are left out."""
    found: dict[str, float | list[float]] = {}
    for name, weight in list(named)[:MOST_LORAS]:
        said = weight if isinstance(weight, list) else [weight]
        numbers = [number for one in said if (number := _number(one, float)) is not None]
        if (plain := file_name(name)) and len(numbers) == len(said) in (1, 2):
            found[plain] = numbers[0] if len(set(numbers)) == 1 else numbers
    return found


def _kind(key: str, value: object) -> Any:
    if key in WHOLE or key in DECIMAL:
        number = _number(value, int if key in WHOLE else float)
        if number is None and isinstance(value, str):
            return value[:LONGEST_VALUE]
        return value if number is None and isinstance(value, (int, float)) else number
    if isinstance(value, str):
        # Only to A1111 it is more than a word.
        return _AND.sub(r"\\AND", value) if key in WORDS else value[:LONGEST_VALUE]
    return value if key == "loras" and value else None


def _number(value: object, kind: Callable[[Any], Any]) -> Any:
    """The number that a value is, or says; None for another."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = kind(value)
        return number if kind is not int or not isinstance(value, float) or number == value else None
    except (ValueError, OverflowError):
        return None
