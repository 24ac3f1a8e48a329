"""YAML as plain values, without tags, aliases and directives, within limits; the only place that imports yaml.

What plain words stand for is what YAML 1.2 says: 017 is seventeen, and 12:30:45 and 2001-01-01 are text; but yes, no, on and off
are truths, as in YAML 1.1, because people write `hold: yes`.

Values are made of the parser's events one by one: its own loaders take the square of the time for brackets in brackets, and end the
process where these are deep enough. Apart from `config.py`, because a command that asks only for one key must not wait until all of
the configuration is checked.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from daemon.errors import ConfigError, InputError
from daemon.machine import sorted_out

LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the parser in C, where PyYAML was built with it
DEEPEST = 32  # lists and mappings in each other
MOST_VALUES = 10_000
LONGEST_NUMBER = 100  # characters; what is longer is text
TRUTHS = {
    form: truth
    for word, truth in {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.items()
    for form in (word, word.capitalize(), word.upper())
}
QUOTES = "text with a colon, or that begins with @, `, % or *, needs quotes"
TABS = "a tab is no indentation, use spaces"
NOTHING = ("", "~", "null", "Null", "NULL")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BEYOND = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# A name that begins with a field, `name: {stem}-{seed}`: for YAML the brace begins a mapping, and nobody means one.
_NAME_WITH_FIELDS = re.compile(r"^([ \t]*name[ \t]*:[ \t]+)(\{\w*\}[^\n#\"\\]*?)([ \t]*(?:[ \t]#[^\n]*)?)$", re.MULTILINE)
# Parsing very many of them takes the square of their time, before the first event.
_DIRECTIVE = re.compile("(?:\\A\ufeff*|[\r\n\x85\u2028\u2029])%")


@dataclass(frozen=True)
class Parsed:
    """The values of a text, and the lines of its keys and of words in lists, from 1, by the keys and numbers that lead to them."""

    values: dict[str, Any]
    lines: dict[tuple[str | int, ...], int]


def parse_yaml(text: str, where: str, *, first_line: int = 1) -> dict[str, Any]:
    """A YAML mapping with text keys, as plain values; `first_line` is the line of the file in which the text begins.

    Raises InputError, also for tags, aliases, and what is beyond the limits."""
    return parse_with_lines(text, where, first_line=first_line).values


def parse_with_lines(text: str, where: str, *, first_line: int = 1) -> Parsed:
    """The same with the lines of its keys."""
    try:
        document, values = _read(text, first_line)
    except _SaidTwice as error:
        raise InputError(f"{where}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where}: {_problem(error, text, first_line)}") from error
    if values is None:
        return Parsed({}, {})
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected lines of the form 'key: value', found {_KINDS.get(type(values), 'a number')}")
    return Parsed(values, document.lines)


_KINDS = {str: "text alone", list: "a list", bool: "true or false alone"}


def _problem(error: Exception, text: str, first_line: int) -> str:
    """What the parser does not like, where, and what is often meant."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"this is not valid YAML: {' '.join(str(error).split()):.300}"
    words = " ".join(filter(None, [getattr(error, "context", None), getattr(error, "problem", None)]))
    tells = f"line {mark.line + first_line}, column {mark.column + 1}: this is not valid YAML: {words:.300}"
    if isinstance(error, _Refused):
        return tells
    return f"{tells} ({TABS if text[mark.index : mark.index + 1] == chr(9) else QUOTES})"


def _read(text: str, first_line: int) -> "tuple[_Document, Any]":
    try:
        document = _Document(text, first_line)
        return document, document.values()
    except yaml.YAMLError:
        quoted = _NAME_WITH_FIELDS.sub(r'\1"\2"\3', text)
        if quoted == text:
            raise
    document = _Document(quoted, first_line)
    return document, document.values()


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a configuration, unchecked. Raises ConfigError with one sentence that names the file and the way out.

    MachineError where the machine is at fault that it cannot be read.
    """
    return read_with_lines(path).values


def read_with_lines(path: Path) -> Parsed:
    """The same with the lines of its keys."""
    try:
        with sorted_out(f"{path} cannot be read", path):
            return parse_with_lines(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; write one with `tiffsd init`") from None
    except UnicodeDecodeError as error:
        at = f"byte {error.object[error.start]:#04x} at {error.start}"
        raise ConfigError(f"{path}: cannot be read as text ({at} is not UTF-8); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except InputError as error:
        raise ConfigError(str(error)) from error


def folder_beside(folder: Path, path: Path) -> Path:
    """A folder that a configuration in `folder` names: a relative path starts there. Raises ConfigError where it cannot be one."""
    try:
        return (folder / path.expanduser()).resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise ConfigError(f"{str(path)!r} cannot be a folder ({error}); write the path of one") from error


class _SaidTwice(Exception):
    """A key is there twice: which of its values counts is not for a parser to guess."""


class _Refused(yaml.MarkedYAMLError):
    """YAML, but more than plain values."""


class _Document:
    """The one document of a text. Its methods raise _SaidTwice, YAMLError or ValueError."""

    def __init__(self, text: str, first_line: int) -> None:
        if _DIRECTIVE.search(text):
            raise yaml.YAMLError("directives (lines that begin with %) are not allowed here")
        self.lines: dict[tuple[str | int, ...], int] = {}
        self._events: Iterator[Any] = yaml.parse(text, Loader=LOADER)
        self._count, self._first_line = 0, first_line

    def values(self) -> Any:
        """The plain values of the document; None where there is none."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        values = self._value(next(self._events), ())
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise _refused(after, "there is a second document, after a line of --- or ...")
        return values

    def _value(self, event: Any, place: tuple[str | int, ...]) -> Any:
        """The value that the event begins, at a place in lists and mappings."""
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, "aliases (*name) are not allowed here")
        if event.tag is not None:
            raise _refused(event, "tags (!name) are not allowed here")
        self._count += 1
        if self._count > MOST_VALUES:
            raise _refused(event, f"there are more than {MOST_VALUES} values")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if len(place) == DEEPEST:
            raise _refused(event, f"there are more than {DEEPEST} brackets or lists in each other")
        return self._sequence(place) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(place)

    def _sequence(self, place: tuple[str | int, ...]) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            if isinstance(event, yaml.ScalarEvent):
                self.lines[*place, len(values)] = self._line(event)
            values.append(self._value(event, (*place, len(values))))
        return values

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + self._first_line

    def _mapping(self, place: tuple[str | int, ...]) -> dict[str, Any]:
        values = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, (*place, ""))
            # Not only for those who read it: numbers can be chosen so that a dict of them takes the square of its time.
            if not isinstance(key, str):
                raise _refused(event, f"the key {key!r:.60} is not text; put it in quotes")
            line = self._line(event)
            if key in values:
                kept = "keep the line that is meant, and take the other out"
                raise _SaidTwice(f"line {line}: the key {key!r:.60} is there twice; {kept}")
            self.lines[*place, key] = line
            values[key] = self._value(next(self._events), (*place, key))
        return values


def _scalar(event: Any) -> Any:
    """Text, or the number, truth or nothing that plain text stands for."""
    plain, _quoted = event.implicit
    if not plain or len(event.value) > LONGEST_NUMBER:
        return event.value
    if event.value in NOTHING:
        return None
    return TRUTHS[event.value] if event.value in TRUTHS else _number(event.value)


def _number(word: str) -> int | float | str:
    """The number that a plain word is in YAML 1.2, or the word."""
    if _WHOLE.fullmatch(word):
        return int(word)
    if _OCTAL_OR_HEX.fullmatch(word):
        return int(word, 0)
    if _FLOAT.fullmatch(word):
        return float(word)
    return float(word.replace(".", "")) if _BEYOND.fullmatch(word) else word


def _refused(event: Any, problem: str) -> _Refused:
    return _Refused(problem=problem, problem_mark=event.start_mark)
