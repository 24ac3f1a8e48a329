"""Entries added to the text of a config.yaml: new lines at their places, and everything else stays to the byte.

Nothing is left to luck: what comes out is read again, and must be what stood there with these entries and nothing else."""

import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.errors import ConfigError, InputError
from daemon.settings.config import BUILTIN, examined
from daemon.settings.plain_yaml import parse_with_lines

_PLAIN = re.compile(r"[A-Za-z/][\w./+-]*(?: [\w./+-]+)*", re.ASCII)
_WORDS = re.compile(r"(?i)true|false|yes|no|on|off|null|y|n")
_BREAK = re.compile(r"\r\n|\r|\n|\Z")
_NO_VALUE = r"(?:[ \t]*(?:null|Null|NULL|~))?(?=[ \t]*(?:[\r\n]|#|[,}]|\Z))"


@dataclass(frozen=True)
class Entries:
    """What is added: models and VAEs by name, and the folders of adapters by the key under `adapters`."""

    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vaes: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, str] = field(default_factory=dict)

    def by_section(self) -> dict[str, Mapping[str, Any]]:
        """The entries that there are, by the key at the top of config.yaml."""
        every: dict[str, Mapping[str, Any]] = {"models": self.models, "vaes": self.vaes, "adapters": self.adapters}
        return {section: entries for section, entries in every.items() if entries}


def lines_of(entries: Entries, notes: Mapping[str, str]) -> list[str]:
    """The entries as lines of a configuration that has none of these sections; `notes` are comments, by name."""
    lines = []
    for section, named in entries.by_section().items():
        lines.append(f"{section}:")
        for name, value in named.items():
            lines.append(_line("  ", name, value) + (f"  # {notes[name]}" if name in notes else ""))
    return lines


def with_entries(text: str, entries: Entries, where: str) -> str:
    """The text of a configuration with entries that it does not have. Raises ConfigError where it is written as nobody foresaw."""
    before = parse_with_lines(text, where).values
    wanted, after = _merged(before, entries), text
    for section, named in entries.by_section().items():
        for name, value in named.items():
            after = _with_entry(after, section, name, value, where)
    try:
        found = parse_with_lines(after, where).values
    except InputError:
        found = {}
    if found != wanted:
        raise ConfigError(f"{where} is written so that lines cannot be added safely; put those there that --find prints")
    return after


def add_to(path: Path, entries: Entries) -> None:
    """Add entries to a configuration: at once or not at all, with its mode and owner.

    Raises ConfigError, and changes nothing then."""
    real = path.resolve()
    text = with_entries(real.read_bytes().decode(), entries, str(path))
    before = real.stat()
    with tempfile.NamedTemporaryFile("wb", dir=real.parent, prefix=f".{real.name}.", suffix=".yaml", delete=False) as file:
        try:
            file.write(text.encode())
            file.flush()
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            os.fsync(file.fileno())
            if faults := examined(Path(file.name))[1]:
                raise ConfigError(f"{path} stays as it is, because with these lines: {faults[0]}")
            Path(file.name).replace(real)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _merged(values: Mapping[str, Any], entries: Entries) -> dict[str, Any]:
    merged = dict(values)
    for section, named in entries.by_section().items():
        merged[section] = {**_made_with(section, values), **(values.get(section) or {}), **named}
    return merged


def _made_with(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a new section begins with: where no models are named the embedded one is there, and it must stay."""
    return {"demo": {"path": BUILTIN}} if section == "models" and section not in values else {}


def _with_entry(text: str, section: str, name: str, value: Any, where: str) -> str:
    parsed = parse_with_lines(text, where)
    starts = _starts(text)
    if section not in parsed.values:
        first = [_line("  ", known, said) for known, said in _made_with(section, parsed.values).items()]
        return _appended(text, [f"{section}:", *first, _line("  ", name, value)])
    start = starts[parsed.lines[section,] - 1]
    if name in (parsed.values[section] or {}):  # a folder of adapters that is null
        start = starts[parsed.lines[section, name] - 1]
        key = re.compile(rf"({re.escape(name)}[\"']?[ \t]*:){_NO_VALUE}")
        return text[:start] + key.sub(lambda found: f"{found[1]} {_rendered(value)}", text[start:], count=1)
    colon = text.index(":", start) + 1
    value_at = colon + len(text[colon:]) - len(text[colon:].lstrip(" \t"))
    if text[value_at : value_at + 1] == "{":
        return _in_brackets(text, value_at + 1, name, value)
    return _in_block(text, colon, _line("", name, value))


def _in_block(text: str, colon: int, line: str) -> str:
    """The text with a line behind the last of the block that begins after the colon, as far in as the first of it."""
    end = at = _end_of_line(text, colon)
    indent = ""
    while at < len(text):
        words = text[at : _end_of_line(text, at)]
        content = words.strip()
        if content and not content.startswith("#"):
            if not words.startswith(" "):
                break
            indent = indent or words[: len(words) - len(words.lstrip(" "))]
            end = at + len(words)
        at += len(words)
    newline = _newline(text)
    before = text[:end] if text[:end].endswith(("\n", "\r")) else text[:end] + newline
    return f"{before}{indent or '  '}{line}{newline}{text[end:]}"


def _in_brackets(text: str, opened: int, name: str, value: Any) -> str:
    """The text with an entry before the bracket that closes the one before `opened`; of empty ones a block is made."""
    close = _closing(text, opened)
    inner = text[opened:close]
    if inner.strip(" "):
        kept = inner.rstrip()
        comma = "" if kept.endswith(",") else ","
        return f"{text[: opened + len(kept)]}{comma} {_line('', name, value)}{text[opened + len(kept) :]}"
    end, newline = _end_of_line(text, close + 1), _newline(text)
    rest = text[close + 1 : end].rstrip("\r\n")
    return f"{text[: opened - 1].rstrip(' ')}{rest}{newline}{_line('  ', name, value)}{newline}{text[end:]}"


def _closing(text: str, opened: int) -> int:
    """Where the bracket closes that was opened before; words in quotes are passed over. The end where it does not."""
    depth = 1
    for found in re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[{}]|(?<=\s)#[^\n]*").finditer(text, opened):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if not depth:
            return found.start()
    return len(text)


def _appended(text: str, lines: list[str]) -> str:
    newline = _newline(text)
    begun = text if not text or text.endswith(("\n", "\r")) else text + newline
    return begun + newline * bool(begun) + "".join(line + newline for line in lines)


def _end_of_line(text: str, at: int) -> int:
    """The offset behind the line break that comes first."""
    found = _BREAK.search(text, at)
    return found.end() if found else len(text)


def _starts(text: str) -> list[int]:
    """Where each line begins, as YAML counts them."""
    return [0, *(found.end() for found in re.finditer("\r\n|[\n\r\x85\u2028\u2029]", text))]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _line(indent: str, name: str, value: Any) -> str:
    return f"{indent}{_rendered(name)}: {_rendered(value)}"


def _rendered(value: Any) -> str:
    """A value on one line; text without quotes where that cannot be taken for anything else."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(_line("", key, said) for key, said in value.items()) + "}"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _WORDS.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
