"""The page docs/command-line.md and the man page tiffsd.1, made of the commands themselves.

python -m tests.docs.command_line > docs/command-line.md
python -m tests.docs.command_line --man > tiffsd.1
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import version

import click

from daemon.cli import app
from tiffsd.commands import HELP

WIDTH = 100
PAGE = """# The command line

Every command with its help, as `tiffsd COMMAND --help` prints it. What the exit codes say:
[The service](service.md#what-an-exit-code-says). `python -m tiffsd` has the commands on files alone, without the daemon. This page
is made of the program: `python -m tests.docs.command_line > docs/command-line.md`.

`tiffsd completion bash`, or `zsh` or `fish`, prints what lets your shell complete commands, stages and names. `make docs` writes
the man page `tiffsd.1`; read it with `man ./tiffsd.1`.

{contents}

{commands}
"""
MAN = """.TH TIFFSD 1 "" "tiffsd {version}" "User Commands"
.SH NAME
tiffsd \\- {name}
.SH SYNOPSIS
.B tiffsd
.I COMMAND
[OPTIONS] [ARGUMENTS]
.SH DESCRIPTION
{description}
.SH COMMANDS
{commands}
.SH EXIT STATUS
{exits}
.SH FILES
.TP
config.yaml
The configuration: here, then in ~/.config/tiffsd, then that of the service.
.SH SEE ALSO
The documents, as text in docs/ of the source, as a site by `make docs`.
"""
DESCRIPTION = (
    "A headless daemon watches one inbox folder for each stage of the pipeline. Drop a prompt, and a picture comes out at the other"
    " end; between any two stages the state of the pipeline lies in a folder as a TIFF file that people open in an image editor,"
    " change by hand, and drop back."
)


def commands(group: click.Group = app, above: tuple[str, ...] = ("tiffsd",)) -> Iterator[tuple[str, click.Command, click.Context]]:
    """All commands by the words that call them, those of groups after their group."""
    parent = click.Context(group, info_name=above[-1], **HELP)
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is None or command.hidden:
            continue
        words = (*above, name)
        context = click.Context(command, info_name=" ".join(words), terminal_width=WIDTH, max_content_width=WIDTH, **HELP)
        yield " ".join(words), command, context
        if isinstance(command, click.Group):
            yield from commands(command, words)


def page() -> str:
    """The whole of docs/command-line.md."""
    found = list(commands())
    contents = "\n".join(f"* [`{words}`](#{_anchor(words)}): {_sentence(command)}" for words, command, _ in found)
    sections = "\n\n".join(f"## {words}\n\n```text\n{context.get_help()}\n```" for words, _, context in found)
    return PAGE.format(contents=contents, commands=sections)


def man() -> str:
    """The man page, in the language of man(7)."""
    help_of_all = "\n".join(f".SS {_troff(words)}\n.nf\n{_troff(context.get_help())}\n.fi" for words, _, context in commands())
    return MAN.format(
        version=version("tiffsd"),
        name=_troff(str(app.help).rstrip(".")),
        description=_troff(DESCRIPTION),
        commands=help_of_all,
        exits=_troff(str(app.epilog).removeprefix("Exit codes: ")),
    )


def _anchor(words: str) -> str:
    return words.replace(" ", "-")


def _sentence(command: click.Command) -> str:
    """The first sentence of a command's help, on one line."""
    words = " ".join(str(command.help).partition("\n\n")[0].split())
    return re.sub(r"([<>])", r"\\\1", words)


def _troff(text: str) -> str:
    """Plain text, of which nothing is taken for a command of man(7)."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in escaped.splitlines())


if __name__ == "__main__":
    sys.stdout.write(man() if sys.argv[1:] == ["--man"] else page())
