"""The review gate: the ways of a file between the inbox of its stage and hold/, its companions with it."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from daemon import names
from daemon.errors import NotThere
from daemon.inbox import grouping
from daemon.layout import HOLD, INBOX
from daemon.spool.filesystem import Filesystem
from daemon.spool.transitions import Transitions
from daemon.stages import APPLY_ENDINGS, STAGES


def release(transitions: Transitions, fs: Filesystem, path: Path, inboxes: Mapping[str, str]) -> Path:
    """Move a file from hold/ to its inbox; the new path. Raises NotThere."""
    if path.parent.parent != transitions.root / HOLD or path.parent.name not in inboxes.values():
        raise NotThere(f"{path} is not in a hold folder of this spool; name a file such as hold/2-diffuse/cat.tiff.")
    companions = _companions(fs, path, inboxes)
    # Who approves the file wants more than its paint to be applied.
    signs = [name for name in companions if name.lower().endswith(APPLY_ENDINGS)]
    for sign in [path.with_name(name) for name in signs]:
        with suppress(FileNotFoundError):
            if fs.lstat(sign).st_size == 0:  # what somebody has written into one stays
                fs.unlink(sign)
    # A painted proof may have gone ahead; then the one that lies here is another.
    ahead = set(fs.list(transitions.root / INBOX / path.parent.name))
    companions = [name for name in companions if name not in signs and not (names.is_proof(name) and name in ahead)]
    # The file last: it must not start without them.
    return _moved(transitions, fs, path, transitions.root / INBOX, [*companions, path.name])


def move_to_hold(transitions: Transitions, fs: Filesystem, path: Path, inboxes: Mapping[str, str]) -> Path:
    """Move a file that waits in an inbox to hold/; the new path. Raises NotThere."""
    if path.parent.parent != transitions.root / INBOX or path.parent.name not in inboxes.values():
        raise NotThere(f"{path} is not in an inbox of this spool; name a file such as inbox/2-diffuse/cat.tiff.")
    return _moved(transitions, fs, path, transitions.root / HOLD, [path.name, *_companions(fs, path, inboxes)])


def _companions(fs: Filesystem, path: Path, inboxes: Mapping[str, str]) -> list[str]:
    (stage,) = [STAGES[name] for name, folder in inboxes.items() if folder == path.parent.name]
    return grouping.companions(stage, path.name, sorted(fs.list(path.parent)))


def _moved(transitions: Transitions, fs: Filesystem, path: Path, kind: Path, files: list[str]) -> Path:
    stem, target = names.stem_of(path.name), kind / path.parent.name
    number = transitions.free_number((target / name for name in files), stem)
    moved = {name: transitions.move(path.parent / name, target, name, number=number, stem=stem) for name in files}
    fs.fsync_folder(target, "hold: the file and its companions")
    if (found := moved[path.name]) is None:
        raise NotThere(f"{path} is not there; `tiffsd status` says where files wait.")
    return found
