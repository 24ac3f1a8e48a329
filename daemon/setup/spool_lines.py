"""How systemd-tmpfiles sets up a spool that a group shares, as text for /etc/tmpfiles.d."""

from daemon import layout
from daemon.errors import DaemonError
from daemon.stages import STAGES

HEAD = """\
# A spool that a group shares, made before the first start, and mended where an older version laid it out; see tmpfiles.d(5).
# Printed by `tiffsd tmpfiles`, which does the same for a spool elsewhere.
#
# Members of the group drop, edit, approve, cancel and take away in the folders of 2770. Those of 2750 hold only such folders: who
# could write there could put folders of his own in their place. Those of 0700 are the daemon's: no hand belongs into a running job.
# Set-gid: what anybody puts in belongs to the group, so every member may move it on. The default ACL is for those whose umask is
# 022 or 077: what they create is still open to the group, and the daemon can read it. A file that is *moved* in from the same file
# system keeps its owner and mode; `chgrp {group} FILE; chmod g+rw FILE` first, or copy.
# A folder made later (by the daemon, or for a new stage) inherits set-gid and list."""


def spool_lines(folder: str, *, user: str = "tiffsd", group: str = "tiffsd") -> str:
    """The text for a spool in `folder`. Raises DaemonError for what cannot stand in such a line."""
    root = folder.rstrip("/")
    if not root.startswith("/"):
        raise DaemonError(f"{folder}: the path of the spool must begin with /, and be more than that")
    for word in (root, user, group):
        if any(sign.isspace() or sign == "%" for sign in word):
            raise DaemonError(f"{word}: a name in a line for systemd-tmpfiles may have neither spaces nor % in it; use another one")
    lines = layout.tmpfiles(root, [stage.folder for stage in STAGES.values()], user=user, group=group)
    return "".join(f"{line}\n" for line in (HEAD.format(group=group), *lines))
