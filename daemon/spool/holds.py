"""The review gate: the ways of a file between the inbox of its stage and hold/, its companions with it."""

from collections.abc import Mapping
from pathlib import Path

from daemon import names
from daemon.errors import NotThere
from daemon.inbox.grouping import companions
from daemon.layout import HOLD, INBOX
from daemon.spool.filesystem import Filesystem
from daemon.spool.transitions import Transitions
from daemon.stages import STAGES


def release(transitions: Transitions, fs: Filesystem, path: Path, inboxes: Mapping[str, str]) -> Path:
    """Move a file from hold/ to its inbox; the new path. Raises NotThere."""
    if path.parent.parent != transitions.root / HOLD or path.parent.name not in inboxes.values():
        raise NotThere(f"{path} is not in a hold folder of this spool; name a file such as hold/2-diffuse/cat.tiff.")
    # The file last: it must not start without them.
    return _moved(transitions, fs, path, transitions.root / INBOX, [*_companions(fs, path, inboxes), path.name])


def move_to_hold(transitions: Transitions, fs: Filesystem, path: Path, inboxes: Mapping[str, str]) -> Path:
    """Move a file that waits in an inbox to hold/; the new path. Raises NotThere."""
    if path.parent.parent != transitions.root / INBOX or path.parent.name not in inboxes.values():
        raise NotThere(f"{path} is not in an inbox of this spool; name a file such as inbox/2-diffuse/cat.tiff.")
    return _moved(transitions, fs, path, transitions.root / HOLD, [path.name, *_companions(fs, path, inboxes)])


def _companions(fs: Filesystem, path: Path, inboxes: Mapping[str, str]) -> list[str]:
    (stage,) = [STAGES[name] for name, folder in inboxes.items() if folder == path.parent.name]
    return companions(stage, path.name, sorted(fs.list(path.parent)))


def _moved(transitions: Transitions, fs: Filesystem, path: Path, kind: Path, files: list[str]) -> Path:
    stem, target = names.stem_of(path.name), kind / path.parent.name
    number = transitions.free_number(target, files, stem)
    moved = {name: transitions.move(path.parent / name, target, name, number=number, stem=stem) for name in files}
    fs.fsync_folder(target, "hold: the file and its companions")
    if (found := moved[path.name]) is None:
        raise NotThere(f"{path} is not there; `tiffsd status` says where files wait.")
    return found
