"""What a region may be copied from: latents that wait or were dumped, and finished pictures, of the same size; the newest first."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import NotThere
from daemon.layout import HOLD, PICTURES, STEPS
from daemon.names import shown
from daemon.pictures.repainting import size_of_png
from daemon.web import held_files
from daemon.web.painter_state import HEAD_BYTES

# Each file is read at its beginning, and there may be thousands.
MOST_LOOKED_AT, MOST_TOLD = 400, 100

Size = tuple[int, ...]


def sources_of(root: Path, path: Path) -> list[dict[str, Any]]:
    """What fits latents: each with its `path`, its `name`, and whether it has a `picture` and `latents` of their size."""
    values, sides = _latents_size(root, path), _sides(root, held_files.picture_of(path))
    found: list[dict[str, Any]] = []
    for place in _newest(root):
        if len(found) == MOST_TOLD:
            break
        if place == path:
            continue
        has_latents = place.parent.name != PICTURES and values is not None and _latents_size(root, place) == values
        has_picture = sides is not None and _sides(root, held_files.picture_of(place)) == sides
        if has_latents or has_picture:
            where = place.relative_to(root).as_posix()
            found.append({"path": where, "name": shown(where), "picture": has_picture, "latents": has_latents})
    return found


def _newest(root: Path) -> list[Path]:
    beneath, found = Beneath(root), list[tuple[int, Path]]()
    for folder in (*(f"{HOLD}/{name}" for name in held_files.PAINTABLE), PICTURES, STEPS):
        for place in _allowed(root, root / folder):
            with suppress(OSError):
                found.append((beneath.lstat(place).st_mtime_ns, place))
    return [place for _, place in sorted(found, reverse=True)[:MOST_LOOKED_AT]]


def _allowed(root: Path, folder: Path) -> Iterator[Path]:
    names = list[str]()
    with suppress(OSError):
        names = Beneath(root).names(folder)
    for name in names:
        with suppress(NotThere):
            if name.isprintable():
                yield held_files.source(root, folder / name)


def _latents_size(root: Path, path: Path) -> Size | None:
    try:
        with held_files.opened(root, path) as file:
            header = tiffsd.inspect(file, name=path.name)
    except (NotThere, OSError, tiffsd.TiffsdError):
        return None
    return header.size if header.kind is tiffsd.Kind.LATENTS else None


def _sides(root: Path, path: Path) -> Size | None:
    try:
        with held_files.opened(root, path) as file:
            size = size_of_png(file.read(HEAD_BYTES))
    except (NotThere, OSError):
        return None
    return (size.width, size.height) if size and size.plain else None
