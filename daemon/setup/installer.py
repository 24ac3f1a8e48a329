"""How this environment gets a package more: by its pip, or by uv where it has none."""

import re
import shlex
import sys
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path


def installing(*words: str) -> str:
    """The command that installs packages here, as it is typed."""
    return " ".join([*_installer(), *map(shlex.quote, words)])


def packages_of(extra: str) -> list[str]:
    """What an extra of tiffsd asks for, by what is installed: there may be no package index that knows tiffsd."""
    return [line.partition(";")[0].strip() for line in requires("tiffsd") or () if re.search(rf"extra == .{extra}.", line)]


def _installer() -> list[str]:
    pip = Path(sys.prefix, "bin/pip")
    if pip.exists():
        return [str(pip), "install"]
    return [sys.executable, "-m", "pip", "install"] if find_spec("pip") else ["uv", "pip", "install", "--python", sys.executable]
