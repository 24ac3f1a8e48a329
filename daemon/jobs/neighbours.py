"""What lies beside a file and belongs to it, sorted as the inbox of a stage would sort the folder; nothing is claimed."""

from pathlib import Path

from daemon.inbox.arrivals import is_temporary
from daemon.inbox.grouping import Group, expected, group, is_tied, related, single
from daemon.inbox.named_masks import with_named
from daemon.jobs.probe import stated_mask
from daemon.stages import Stage

__all__ = ["expected", "group_of", "is_tied"]


def group_of(stage: Stage, path: Path) -> Group | None:
    """The group that the file belongs to; None for a companion of nothing that is there."""
    files = [entry for entry in path.parent.iterdir() if entry.is_file() and not is_temporary(entry.name)]
    names = [entry.name for entry in sorted(files, key=lambda entry: entry.stat().st_mtime_ns)]
    tied = [name for name in names if is_tied(stage, name)]
    groups, _ = group(stage, related(stage, names, tied))
    groups, _ = with_named(stage, groups, names, lambda name: stated_mask(path.with_name(name)))
    ours = (found for found in groups if path.name in found.roles.values())
    return next(ours, None if is_tied(stage, path.name) else single(stage, path.name))
