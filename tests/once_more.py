"""Run the few tests that failed once more, alone: `python -m tests.once_more`, right after a run of pytest that failed.

Three files of tests run at a time beside browsers and servers, and a machine of CI is often busy, so that one of eleven thousand
may meet a bound of time that it keeps otherwise. A fault of the program fails twice. What passes only the second time is named,
so that it is mended too; more than a few are not tried, because that is no accident. Exits with 0 where all of them passed.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")  # pytest's own list of the last run, by their names
MOST = 3


def main() -> int:
    """Run what failed, and say how it ended; the exit code is 0 only where there was something, and all of it passed."""
    try:
        names = list(json.loads(FAILED.read_text()))
    except (OSError, ValueError):
        names = []
    if reason := why_not(names):
        say(f"\nNothing is run once more: {reason}.")
        return 1
    say(f"\nOnce more, alone: {', '.join(names)}")
    code = subprocess.run([sys.executable, "-m", "pytest", "-m", "", "-p", "no:cacheprovider", *names], check=False).returncode
    for name in names:
        say(f"{'PASSED ONLY ALONE' if code == 0 else 'AMONG THOSE THAT FAILED TWICE'}: {name}")
    return code


def say(line: str) -> None:
    """Say it before what a process says that is started next."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def why_not(names: Sequence[str]) -> str:
    """Why these are not run once more; empty where they are."""
    if not names:
        return "pytest has told of no test that failed"
    if any("::" not in name for name in names):
        return "a file of tests could not be read"
    if len(names) > MOST:
        return f"{len(names)} tests failed, which is no accident"
    return ""


if __name__ == "__main__":
    sys.exit(main())
