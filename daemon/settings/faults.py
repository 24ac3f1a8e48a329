"""What pydantic finds wrong with what people wrote, in words for people: the key, its line, what it must be, what was found."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Place = tuple[str | int, ...]
"""The keys, and the numbers in lists, that lead to a value."""
Lines = Mapping[Place, int]
"""The lines of the keys, from 1."""

LONGEST_FOUND = 80  # characters
PASSWORD = re.compile(r"(?<=://)([^/@:'\"]*):[^'\"]*@")  # in an address: logs are read by more people than a configuration
BLOCK = "must be a block of lines 'key: value'"
REASONS: Mapping[str, str] = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "path_type": "must be the path of a file or a folder",
    "list_type": "must be a list in brackets, [one, two]",
    "dict_type": BLOCK,
    "mapping_type": BLOCK,
    "model_type": BLOCK,
    "model_attributes_type": BLOCK,
    "literal_error": "must be {expected}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must not be empty",
}
# What is said of a key within a block of settings names that key first.
SETTINGS = "settings"
WITHIN = re.compile(rf"{SETTINGS}: '(?P<key>[^']+)':? (?P<reason>.*)", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """One fault: the value's place, and a sentence without the file."""

    place: Place
    sentence: str

    def in_line(self, lines: Lines) -> str:
        """The sentence, with the line of the key, or of the nearest one above it that stands in the file."""
        place = self.place
        while place and place not in lines:
            place = place[:-1]
        return f"line {lines[place]}: {self.sentence}" if place else self.sentence


def faults_of(error: ValidationError, said: Any, model: type[BaseModel]) -> list[Fault]:
    """All faults that were found in what was `said`, one for each place, in the order of the model's keys."""
    found: dict[Place, Fault] = {}
    meant: set[Place] = set()
    for fault in error.errors():
        place = _place(fault["loc"], said, missing=fault["type"] == "missing")
        found.setdefault(place, _fault(place, fault, model))
        if fault["type"] == "extra_forbidden":
            meant.update((*place[:-1], key) for key in _nearest(str(place[-1]), known_keys(model, place[:-1])))
    # A key that is missing because it is written otherwise is one fault.
    return [fault for fault in found.values() if fault.place not in meant]


def _fault(place: Place, fault: Mapping[str, Any], model: type[BaseModel]) -> Fault:
    if fault["type"] == "extra_forbidden":
        return Fault(place, f"'{dotted(place)}' is no key{_instead(str(place[-1]), known_keys(model, place[:-1]))}")
    within = WITHIN.fullmatch(reason_of(fault))
    if within:
        place = (*place, within["key"])
        return Fault(place, f"'{dotted(place)}' {within['reason']}")
    return Fault(place, f"'{dotted(place)}' {reason_of(fault)}{_found(fault['input'])}")


def reason_of(fault: Mapping[str, Any]) -> str:
    """What a value must be, of one of pydantic's errors."""
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    known = REASONS.get(fault["type"])
    bounds = {
        name: int(value) if value == round(value) else value for name, value in fault.get("ctx", {}).items() if _is_number(value)
    }
    return known.format(**{**fault.get("ctx", {}), **bounds}) if known else str(fault["msg"]).replace("Input should", "must", 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def dotted(place: Place) -> str:
    """A place as people name it: limits.steps."""
    return ".".join(map(str, place))


def known_keys(model: Any, place: Place) -> list[str]:
    """The keys that a block at this place may have."""
    for part in place:
        model = next(_inner(model, part), None)
    found = next(_models(model), None)
    return [name for name in found.model_fields if name != "folder"] if found else []


def _inner(kind: Any, part: str | int) -> Iterator[Any]:
    for found in _models(kind):
        if part in found.model_fields:
            yield found.model_fields[str(part)].annotation
    for found in _unwrapped(kind):
        if getattr(found, "__origin__", None) is dict:
            yield get_args(found)[1]


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    return (found for found in _unwrapped(kind) if isinstance(found, type) and issubclass(found, BaseModel))


def _unwrapped(kind: Any) -> Iterator[Any]:
    """A type, and those within its unions and annotations."""
    yield kind
    if getattr(kind, "__origin__", None) is not dict:
        for inner in get_args(kind):
            yield from _unwrapped(inner)


def _place(loc: Place, said: Any, *, missing: bool) -> Place:
    """Where a fault is in what was said: pydantic names the kinds that it tried on the way, too."""
    place: list[str | int] = []
    for part in loc:
        if isinstance(said, Mapping | list) and part in (said if isinstance(said, Mapping) else range(len(said))):
            said = said[part]  # type: ignore[index]
            place.append(part)
        elif missing and part == loc[-1]:
            place.append(part)
    return tuple(place)


def _found(value: Any) -> str:
    """The value, where it is short enough to be of use."""
    shown = PASSWORD.sub(r"\1:...@", repr(value))
    return "" if isinstance(value, Mapping) else f" (found {shown:.{LONGEST_FOUND}})"


def _instead(key: str, known: list[str]) -> str:
    near = _nearest(key, known)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f"; known here are {', '.join(known)}" if known else ""


def _nearest(key: str, known: list[str]) -> list[str]:
    return difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.6)
