"""The pages that people read, their headings as both a forge and mkdocs call them, their links, and what stands in their blocks."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.house import REPOSITORY

PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
# They are made of the program, and what stands in their blocks is no example.
MADE = ("command-line.md", "format.md", "settings.md")
BLOCK = re.compile(r"(?:(?<=\n\n)|\A)(?:    .*\n(?:\n(?=    ))?)+")


def named(path: Path) -> str:
    """A page by its place in the repository."""
    return path.relative_to(REPOSITORY).as_posix()


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """What its headings are called in an address."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(path: Path) -> Iterator[tuple[Path, str]]:
    """The files of the repository that a page links to, each with its anchor, which may be empty."""
    for address in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if not re.match(r"[a-z]+:", address):
            place, _, anchor = address.partition("#")
            yield (path.parent / place).resolve() if place else path, anchor


def blocks(path: Path) -> Iterator[str]:
    """The indented blocks of a page, without their indentation."""
    for block in BLOCK.findall(prose(path)):
        yield re.sub(r"^    ", "", block, flags=re.MULTILINE)
