"""The wheel as it is built for people, from a copy, so that nothing is left in the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.house import REPOSITORY

SOURCES = ("tiffsd", "daemon", "systemd", "docs", "config.yaml", "pyproject.toml", "setup.py", "README.md", "LICENSE")


def built_wheel(copy: Path) -> Path:
    """The wheel, built in an empty folder."""
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    succeed(sys.executable, "-m", "build", "--wheel", "--no-isolation", cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def succeed(*command: object, cwd: Path) -> str:
    """Run it without anything of the checkout in the environment, and give back what it said."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**environment, "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
