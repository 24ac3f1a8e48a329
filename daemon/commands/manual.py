"""The command that shows the documents where somebody works: a page of docs/, a section of one, or the help of a command."""

import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from daemon.errors import InputError, Kind

FIRST = "troubleshooting"  # the page whose sections are meant where others have one of the same name
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def _topics(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    root = context.find_root().command
    topics = [*Kind, *_pages(), *(root.list_commands(context) if isinstance(root, click.Group) else ())]
    return [CompletionItem(topic) for topic in dict.fromkeys(topics) if topic.startswith(incomplete)]


@click.command("help")
@click.argument("topic", required=False, shell_complete=_topics)
@click.pass_context
def help_(context: click.Context, topic: str | None) -> None:
    """Read the documents: a page, a section of one, or what a command takes; without TOPIC, which pages there are.

    TOPIC is the name of a page (painting), of a section (refused, as error.txt names it; service.md#backup), or of a command.

    Example: tiffsd help refused
    """
    if topic is None:
        for name, page in _pages().items():
            click.echo(f"{name:<18} {_title(_text(page))}")
        return
    root = context.find_root()
    command = root.command.get_command(context, topic) if isinstance(root.command, click.Group) else None
    if command is not None:
        with click.Context(command, info_name=topic, parent=root) as asked:
            click.echo(command.get_help(asked))
        if topic in _pages():
            click.echo(f"\nThere is a page of this name too: tiffsd help docs/{topic}.md")
        return
    _show(_found(topic))


def _pages() -> dict[str, Path]:
    from daemon.settings.resources import resource

    return {path.stem: path for path in sorted(resource("docs").glob("*.md"))}


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _found(topic: str) -> str:
    """The text of a page or of a section. Raises InputError where there is none of that name."""
    pages = _pages()
    page, _, anchor = topic.removeprefix("docs/").replace(".md", "").lower().partition("#")
    if page in pages:
        text = _text(pages[page])
        return _sections(text).get(anchor) or _missing(topic, _sections(text)) if anchor else text
    name = (anchor or page).strip().replace(" ", "-")
    texts = [pages[FIRST], *(path for stem, path in pages.items() if stem != FIRST)]
    sections = [_sections(_text(path)) for path in texts]
    return next((found[name] for found in sections if name in found), "") or _missing(topic, [*pages, *Kind, *sections[0]])


def _missing(topic: str, names: Iterable[str]) -> NoReturn:
    alike = difflib.get_close_matches(topic.lower(), list(names), n=1)
    meant = f" (did you mean {alike[0]}?)" if alike else ""
    raise InputError(f"there is no page, section or command named {topic!r}{meant}; `tiffsd help` lists the pages")


def _sections(text: str) -> dict[str, str]:
    """The sections of a page by their anchors, each with those below it."""
    headings = list(_headings(text))
    found: dict[str, str] = {}
    for number, (start, depth, title) in enumerate(headings):
        end = next((later for later, below, _ in headings[number + 1 :] if below <= depth), len(text))
        found.setdefault(re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-"), text[start:end].rstrip() + "\n")
    return found


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Where the headings of a page are, how deep, and their words; a comment of a shell in a fenced block is none."""
    fenced = [found.span() for found in _FENCED.finditer(text)]
    for found in _HEADING.finditer(text):
        if not any(start <= found.start() < end for start, end in fenced):
            yield found.start(), len(found[1]), found[2]


def _title(text: str) -> str:
    return next((title for _, _, title in _headings(text)), "")


def _show(text: str) -> None:
    """As it is for a program; on a terminal set for reading."""
    if not sys.stdout.isatty():
        click.echo(text, nl=not text.endswith("\n"))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text, hyperlinks=False))
