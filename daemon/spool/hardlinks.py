"""Whether the kernel lets people give other people's files a second name, which the daemon would take for theirs."""

import stat
from collections.abc import Iterable
from pathlib import Path

from daemon.spool.filesystem import Filesystem

PROTECTED = Path("/proc/sys/fs/protected_hardlinks")


def unprotected_links(fs: Filesystem, folders: Iterable[Path]) -> str | None:
    """The sentence on a kernel that does, where others than the daemon may write into one of these folders; None elsewhere."""
    try:
        found = fs.read(PROTECTED).decode("ascii", "replace").strip()
    except OSError:
        return None  # no such kernel, or one that does not say
    if found != "0" or not any(_is_shared(fs, folder) for folder in folders):
        return None
    return (
        f"{PROTECTED} is 0, and 1 is expected: whoever may write into the spool can put files there that she may not read, under a "
        "second name; run `sysctl fs.protected_hardlinks=1`, and see sysctl.d(5) for the next boot"
    )


def _is_shared(fs: Filesystem, folder: Path) -> bool:
    return bool(fs.lstat(folder).st_mode & (stat.S_IWGRP | stat.S_IWOTH))
