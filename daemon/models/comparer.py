"""The process that compares the weights of models with their configurations: `comparison` runs it.

The classes of the libraries say which weights there are; they are built without memory for them, and of the files only the headers
are read."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.models.folders import is_tokenizer
from daemon.models.sources import Source, source_of
from daemon.models.unreadable import UnreadableModel


def main(asked: Path, answer: Path) -> None:
    """Answer the list of models in one file with their misfits in another."""
    models = json.loads(asked.read_text(encoding="utf-8"))
    found = [_misfits(model) for model in models]
    answer.write_text(json.dumps(found), encoding="utf-8")


def _misfits(model: Mapping[str, Any]) -> list[str]:
    source = source_of(model["path"], parts=model["parts"], vae=model["vae"])
    names = [name for name in source.family().components if not is_tokenizer(name) and source.has(name)]
    return [sentence for name in names for sentence in [_misfit(source, name)] if sentence]


def _misfit(source: Source, name: str) -> str | None:
    try:
        source.part(name).check()
    except UnreadableModel as misfit:
        return str(misfit)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its {name} does not fit its configuration ({(str(error).splitlines() or [type(error).__name__])[0]})"
    return None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
