"""How this environment gets a package more, or what an extra of pyproject.toml asks for: by its pip, or by uv where it has none."""

import re
import shlex
import sys
from pathlib import Path


def installing(*words: str) -> str:
    """The command that installs packages here, as it is typed."""
    return " ".join([*_installer(), *map(shlex.quote, words)])


def adding(extra: str) -> str:
    """The command that installs what an extra of tiffsd asks for."""
    return installing(*packages_of(extra))


def packages_of(extra: str) -> list[str]:
    """What an extra of tiffsd asks for, by what is installed: there may be no package index that knows tiffsd."""
    from importlib.metadata import requires  # what is asked for once, where something is lacking, is not loaded by everybody

    return [line.partition(";")[0].strip() for line in requires("tiffsd") or () if re.search(rf"extra == .{extra}.", line)]


def _installer() -> list[str]:
    from importlib.util import find_spec

    pip = Path(sys.prefix, "bin/pip")
    if pip.exists():
        return [str(pip), "install"]
    return [sys.executable, "-m", "pip", "install"] if find_spec("pip") else ["uv", "pip", "install", "--python", sys.executable]
