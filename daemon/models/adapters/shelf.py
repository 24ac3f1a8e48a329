"""Which adapters a folder holds. One is called by the name of its file without the ending, whatever that is made of; or as ComfyUI
does it, with subfolders before it and the ending behind. It is looked up among those that are there, and is never a path."""

import difflib
from pathlib import Path

from daemon.errors import InputError
from daemon.models.there import is_folder

SUFFIXES = (".safetensors", ".pt", ".bin")
"""The endings of their files; of several that share a name the first of these counts, and before it the higher folder."""

MOST_NAMED = 10
"""How many are named in a sentence."""


def shelved(folder: Path | None) -> dict[str, Path]:
    """Return the adapters of a folder and its subfolders, by name; none where there is no folder."""
    if folder is None:
        return {}
    return {path.stem: path for path in reversed(_files(folder))}


def _files(folder: Path) -> list[Path]:
    """The files of adapters, of those with one name first the one that counts; none where no folder is seen."""
    if not is_folder(folder):
        return []
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    visible = [path for path in found if not path.name.startswith(".")]
    return sorted(visible, key=lambda path: (path.stem, len(path.parts), SUFFIXES.index(path.suffix.lower()), path))


def _by_its_place(name: str, folder: Path) -> Path | None:
    """The adapter that ComfyUI calls so: by subfolders, of any system, and ending."""
    wanted = name.replace("\\", "/")
    for path in _files(folder):
        place = path.relative_to(folder)
        if wanted in (place.name, place.as_posix(), place.with_suffix("").as_posix()):
            return path
    return None


def adapter_path(name: str, folder: Path | None, what: str, key: str) -> Path:
    """Return the adapter of this name; `what` it is, and the `key` of config.yaml for its folder, are for the sentence.

    Raises InputError where there is none."""
    if folder is None:
        raise InputError(f"the {what} {name!r} is asked for, and config.yaml names no folder of them; set {key}")
    known = shelved(folder)
    if (found := known.get(name) or _by_its_place(name, folder)) is not None:
        return found
    if not is_folder(folder):
        raise InputError(f"the {what} {name!r} is asked for, and there is no folder {folder}; correct {key} in config.yaml")
    near = difflib.get_close_matches(name, known, n=1)
    others = sorted(known)[:MOST_NAMED] + ["..."] * (len(known) > MOST_NAMED)
    meant = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(others) or 'none'}"
    raise InputError(f"there is no {what} named {name!r} in {folder}; {meant}")
