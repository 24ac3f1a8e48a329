"""Settings that stand in a prompt without the lines of --- around them: they would be read as words, which nobody can mean."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from daemon.errors import InputError
from daemon.settings.checking import by_their_names, checked
from daemon.settings.plain_yaml import parse_yaml
from daemon.settings.vocabulary import REGISTRY

LINE = re.compile(r"(?P<key>[A-Za-z][\w -]{0,30}):[ \t]+(?P<value>\S.*)")
OPTION = re.compile(r"(?<!\S)--(?P<key>[a-z][\w-]{1,30})[ =](?P<value>[^\s-]\S{0,60})")
MOST_LINES = 100
LONGEST_VALUE = 100
# Any words can be their values: alone they are none.
FREE = frozenset({"model", "vae", "embedding", "save_embedding", "mask", "name"})
OF_WORDS = frozenset({"prompt", "negative_prompt"})


def settings_without_fence(text: str) -> str | None:
    """The first line or option of a text that is a setting with a value that it can have; None where there is none."""
    return next(_found(text), None)


def has_settings(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object has settings of ours, and is not the picture itself told in JSON: words such as model can be either."""
    return any(_is_setting(key, str(value)) for key, value in record.items())


def _found(text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.strip().split("\n", MOST_LINES)[:MOST_LINES]]
    for line in lines:
        said = LINE.fullmatch(line)
        if said and not line.startswith("Negative prompt:") and _is_setting(said["key"], said["value"]):
            yield line
    for said in OPTION.finditer(text):
        if _is_setting(said["key"], said["value"]):
            yield said[0]


def _is_setting(key: str, value: str) -> bool:
    name = next(iter(by_their_names({key: value}, "")))
    if name not in REGISTRY or name in FREE:
        return False
    if name in OF_WORDS:
        return True
    if len(value) > LONGEST_VALUE:
        return False
    try:
        checked(parse_yaml(f"{name}: {value}", ""), "")
    except InputError:
        return False
    return True
