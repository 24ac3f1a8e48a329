"""Programs that some of these tests need. A missing one skips its tests, but not in CI: there it is a failure.

What the machine lets nobody do, as in many a container, skips them everywhere: no program that is installed would help.
"""

import os
import subprocess

import pytest

from tests.outside import is_here, outside

# It is of another package than the client, and lies elsewhere in each distribution.
SFTP_SERVER = "/usr/lib*/*ssh/sftp-server"
FORBIDDEN = ("Operation not permitted", "Permission denied", "Read-only file system")


def needed(*parts: str, root: bool = False) -> None:
    """Skip the test, or fail it in CI, where a command, a file (an absolute path, a pattern), or root is missing."""
    missing = [part for part in parts if not is_here(part)]
    if missing and os.environ.get("TIFFSD_CI") == "1":
        pytest.fail(f"CI must have {', '.join(missing)}")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if root and os.geteuid() != 0:
        pytest.skip("needs root")


def needs_mounting() -> None:
    """Skip the test where nothing can be mounted."""
    needed("mount", "umount", "unshare", root=True)
    skip_where_forbidden("unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt")


def skip_where_forbidden(*trial: str) -> None:
    """Skip the test where the machine does not let a command do its work."""
    tried = subprocess.run(trial, capture_output=True, text=True, timeout=60, env=outside(LC_ALL="C"))
    if tried.returncode != 0:
        skip_if_forbidden(tried.stderr)
        pytest.fail(f"{' '.join(trial)}: {tried.stderr}")


def skip_if_forbidden(said: str) -> None:
    """Skip the test where a program complains that the machine does not let it."""
    if any(words in said for words in FORBIDDEN):
        pytest.skip(f"this machine does not let it: {said.strip()}")
