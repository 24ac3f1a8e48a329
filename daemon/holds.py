"""The review gate: the ways of a file between the inbox of its stage and hold/, its settings file with it."""

from collections.abc import Collection
from pathlib import Path

from daemon import names
from daemon.endings import Endings
from daemon.errors import SpoolError
from daemon.ops import Ops


def release(endings: Endings, ops: Ops, path: Path, inboxes: Collection[str]) -> Path:
    """Move a file from hold/ to its inbox; the new path. Raises SpoolError."""
    if path.parent.parent != endings.root / "hold" or path.parent.name not in inboxes:
        raise SpoolError(f"{path} is not in a hold folder of this spool; name a file such as hold/2-diffuse/cat.tiff.")
    # The file last: it must not start without its settings.
    return _moved(endings, ops, path, endings.root / "inbox", [*_settings_of(endings, path), path.name])


def put_on_hold(endings: Endings, ops: Ops, path: Path, inboxes: Collection[str]) -> Path:
    """Move a file that waits in an inbox to hold/; the new path. Raises SpoolError."""
    if path.parent.parent != endings.root / "inbox" or path.parent.name not in inboxes:
        raise SpoolError(f"{path} is not in an inbox of this spool; name a file such as inbox/2-diffuse/cat.tiff.")
    return _moved(endings, ops, path, endings.root / "hold", [path.name, *_settings_of(endings, path)])


def _settings_of(endings: Endings, path: Path) -> list[str]:
    bases = dict.fromkeys([names.base_of(path.name), names.stem_of(path.name)])
    beside = [f"{base}{ending}" for base in bases for ending in (".yaml", ".yml")]
    return [name for name in beside if endings.exists(path.parent / name)][:1]


def _moved(endings: Endings, ops: Ops, path: Path, kind: Path, files: list[str]) -> Path:
    stem, target = names.stem_of(path.name), kind / path.parent.name
    number = endings.free_number(target, files, stem)
    moved = {name: endings.move(path.parent / name, target, name, number=number, stem=stem) for name in files}
    ops.fsync_folder(target)
    if (found := moved[path.name]) is None:
        raise SpoolError(f"{path} is not there; `tiffsd status` says where files wait.")
    return found
