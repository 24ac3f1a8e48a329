"""The program's own reading of a file, another reader's, and in what they differ."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import tiffsd

Answer = Mapping[str, Any]
Read = Callable[[str, str | None], Answer]

SHOWN = 10
LAB = 2.0**-10  # the one thing that the text leaves to the reader
SAID = ("kind", "id", "layout", "state", "painted")


def loaded(path: Path) -> Read:
    """The function `read` of a module."""
    spec = importlib.util.spec_from_file_location("reader_from_the_text", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    read: Read = module.read
    return read


def by_the_program(path: str, original: str | None = None) -> Answer:
    """What tiffsd reads, as another reader would say it."""
    try:
        kept = None if original is None else tiffsd.read(original)
        artifact = tiffsd.read(path, expect=kept and kept.header.kind)
        if kept is not None:
            artifact = tiffsd.repair(artifact, kept)
    except tiffsd.TiffsdError as error:
        return {"refused": True, "why": str(error)}
    header = artifact.header
    carried = tiffsd.find_id(path) is not None or original is not None
    return {
        "refused": False,
        "kind": header.kind.value,
        "id": header.id if carried else None,
        "layout": header.layout.value,
        "state": header.state and header.state.value,
        "painted": artifact.painted,
        "tensors": artifact.tensors,
    }


def compared(read: Read, folder: Path) -> dict[str, list[str]]:
    """The sort of each disagreement -> the files, each with what the two said."""
    found: dict[str, list[str]] = {}
    for name in json.loads((folder / "index.json").read_text()):
        original = folder / "originals" / name
        beside = str(original) if original.exists() else None
        program = by_the_program(str(folder / name), beside)
        try:
            other = read(str(folder / name), beside)
        except Exception as error:  # noqa: BLE001 - whatever a reader raises is its answer
            other = {"refused": True, "why": f"crash: {type(error).__name__}: {error}"}
        sort, detail = difference(program, other, tolerance=LAB if "_lab" in name else 0.0) or (None, "")
        if sort:
            found.setdefault(sort, []).append(f"{name}: {detail}")
    return found


def difference(program: Answer, other: Answer, *, tolerance: float = 0.0) -> tuple[str, str] | None:
    """In what two answers differ, first of all, and how; None where they agree."""
    if program["refused"] is not bool(other["refused"]):
        why = str(program.get("why") or other.get("why"))[:200]
        return ("only the program refuses" if program["refused"] else "only the reader refuses"), why
    if program["refused"]:
        return None
    for key in SAID:
        if program[key] != other[key]:
            return key, f"the program says {program[key]!r}, the reader {other[key]!r}"
    mine, theirs = program["tensors"], other["tensors"]
    if set(mine) != set(theirs):
        return "names of tensors", f"the program has {sorted(mine)}, the reader {sorted(theirs)}"
    pairs = ((name, np.asarray(mine[name]), np.asarray(theirs[name])) for name in sorted(mine))
    return next((found for pair in pairs if (found := _unlike(*pair, tolerance=tolerance))), None)


def _unlike(name: str, mine: np.ndarray, theirs: np.ndarray, *, tolerance: float) -> tuple[str, str] | None:
    if (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
        return "type or shape", f"{name} is {mine.dtype}{mine.shape} to the program and {theirs.dtype}{theirs.shape} to the reader"
    if mine.tobytes() == theirs.tobytes() or (tolerance and np.abs(mine - theirs).max() <= tolerance):
        return None
    apart = np.ravel(mine) != np.ravel(theirs)
    if not apart.any():
        return "bits", f"{name} differs in signs of zero or in NaN"
    first = int(np.argmax(apart))
    values = f"{np.ravel(mine)[first]!r} and {np.ravel(theirs)[first]!r}"
    return "bits", f"{np.count_nonzero(apart)} of {mine.size} values of {name}, the first {values}"


def report(found: Mapping[str, list[str]]) -> str:
    """What `compared` found, for people."""
    lines = [f"{sum(map(len, found.values()))} disagreements"]
    for sort, files in sorted(found.items(), key=lambda item: -len(item[1])):
        lines += [f"{sort}: {len(files)}", *(f"    {line}" for line in files[:SHOWN])]
    return "\n".join(lines) + "\n"
