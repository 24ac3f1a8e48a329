"""Programs that some of these tests need. A missing one skips its tests, but not in CI: there it is a failure."""

import os
import shutil

import pytest


def needed(*programs: str, root: bool = False) -> None:
    """Skip the test, or fail it in CI, where one of the programs, or root, is missing."""
    missing = [program for program in programs if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing and os.environ.get("TIFFSD_CI") == "1":
        pytest.fail(f"CI must have {', '.join(missing)}")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if root and os.geteuid() != 0:
        pytest.skip("needs root")
