"""The process that compares the weights of models with their configurations, and looks for devices: `comparison` runs it.

The classes of the libraries say which weights there are; they are built without memory for them, and of the files only the headers
are read."""

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from daemon.models.folders import is_tokenizer
from daemon.models.registry import has_device
from daemon.models.sources import StoredComponent, separate_vae, source_of
from daemon.models.unreadable import UnreadableModel


def main(asked: Path, answer: Path) -> None:
    """Answer the models, VAEs and devices in one file with what is wrong with them in another."""
    said = json.loads(asked.read_text(encoding="utf-8"))
    misfits = [_misfits(model) for model in said["models"]]
    missing = [device for device in said["devices"] if not has_device(device)]
    vaes = [_misfit("vae", partial(separate_vae, path)) for path in said["vaes"]]
    answer.write_text(json.dumps({"models": misfits, "vaes": vaes, "devices": missing}), encoding="utf-8")


def _misfits(model: Mapping[str, Any]) -> list[str]:
    try:
        source = source_of(model["path"], parts=model["parts"], vae=model["vae"])
        names = [name for name in source.family().components if not is_tokenizer(name) and source.has(name)]
    except UnreadableModel as fault:
        return [str(fault)]
    return [sentence for name in names for sentence in _misfit(name, partial(source.part, name))]


def _misfit(name: str, part: Callable[[], StoredComponent]) -> list[str]:
    """The sentence on a component that does not fit its configuration, if it does not."""
    try:
        part().check()
    except UnreadableModel as misfit:
        return [str(misfit)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"its {name} does not fit its configuration ({(str(error).splitlines() or [type(error).__name__])[0]})"]
    return []


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
