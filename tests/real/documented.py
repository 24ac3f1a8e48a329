"""What docs/shares.md prints, taken out of it, so that the tests use the very words that people copy."""

import re

from tests.house import REPOSITORY

PAGE = REPOSITORY / "docs/shares.md"
# A block begins with ``` and the language, then the name of what it is.
_BLOCK = re.compile(r"^```\w+ (?P<name>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """Each named block of the page: its name -> its text."""
    return {found["name"]: found["text"] for found in _BLOCK.finditer(PAGE.read_text(encoding="utf-8"))}


def printed(name: str, **changes: str) -> str:
    """The block of a name; each change is of something that it must contain, by the names of `PLACES`."""
    text = blocks()[name]
    for key, value in changes.items():
        assert PLACES[key] in text, f"{name} says nothing of {PLACES[key]}"
        text = text.replace(PLACES[key], value)
    return text


# What the page calls the places that every reader has elsewhere.
PLACES = {"spool": "/var/lib/tiffsd", "mine": "/home/alice"}
