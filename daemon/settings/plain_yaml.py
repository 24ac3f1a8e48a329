"""YAML as plain values, without tags and aliases; the only place that imports yaml.

Apart from `config.py`, because a command that asks only for one key must not wait until all of the configuration is checked.
"""

from pathlib import Path
from typing import Any

import yaml

from daemon.errors import ConfigError, InputError


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping with text keys, as plain values. Raises InputError; tags and aliases (bombs) are refused."""
    try:
        values = yaml.load(text, Loader=_PlainLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{where}: this is not valid YAML: {problem:.300} (text with a colon needs quotes)") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{where}: expected lines of the form 'key: value', found {type(values).__name__}")
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a configuration, unchecked. Raises ConfigError with one sentence that names the file and the way out."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; write one with `tiffsd init`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from error
    except InputError as error:
        raise ConfigError(str(error)) from error


def folder_beside(folder: Path, path: Path) -> Path:
    """A folder that a configuration in `folder` names: a relative path starts there. Raises ConfigError where it cannot be one."""
    try:
        return (folder / path.expanduser()).resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise ConfigError(f"{str(path)!r} cannot be a folder ({error}); write the path of one") from error


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed here")
        return super().compose_node(parent, index)
