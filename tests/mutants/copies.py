"""Copies of the working tree in which mutants are tried, each with a process that runs pytest there."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue

from daemon.compute.process import SAME_BITS
from tests.mutants.mutant import REPOSITORY, Mutant, mutated
from tests.mutants.warm import HUNG

PASSED, FAILED, LONGEST_SECONDS = 0, 1, 600
PYTEST = (
    "-q",
    "-x",
    "-m",
    "not system and not emulated",
    "-p",
    "no:cacheprovider",
    "-n",
    "0",
    "-o",
    "timeout=300",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
# A copy is compiled once, and what is compiled holds by what its source says: its time is too coarse for a change of a moment.
COMPILE = ("-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "daemon", "tiffsd", "training", "tests")
# The libraries are loaded before the conftest of the tests can say this.
BEFORE_LIBRARIES = {"HF_HUB_OFFLINE": "1", **SAME_BITS}


class Copy:
    """One copy, for one caller at a time."""

    def __init__(self, folder: Path, process: "subprocess.Popen[str]") -> None:
        self._folder, self._process = folder, process

    def pytest(self, tests: Iterable[str]) -> tuple[int, str]:
        """How pytest ends on these tests, and what it says; one that hangs has failed."""
        # Of its own: pytest clears away what sessions of before have left, and stumbles over one that does the same.
        arguments = [*PYTEST, f"--basetemp={self._folder}.tmp", *tests]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "seconds": LONGEST_SECONDS}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return FAILED if answer["code"] == HUNG else int(answer["code"]), str(answer["said"])

    @contextmanager
    def with_mutant(self, mutant: Mutant) -> Iterator[None]:
        """The copy with the fault in it, within the block."""
        texts = mutated(self._folder, mutant)
        before = {path: path.read_text(encoding="utf-8") for path in texts}
        try:
            for path, text in texts.items():
                path.write_text(text, encoding="utf-8")
            yield
        finally:
            for path, text in before.items():
                path.write_text(text, encoding="utf-8")


@contextmanager
def copies(folder: Path, number: int) -> "Iterator[SimpleQueue[Copy]]":
    """So many copies of the working tree as it is, to be taken and put back."""
    free: SimpleQueue[Copy] = SimpleQueue()
    with ExitStack() as stack:
        for name in map(str, range(max(1, number))):
            _copy_into(folder / name)
            free.put(Copy(folder / name, stack.enter_context(_warm(folder / name))))
        yield free


def _copy_into(target: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, check=True)
    for file in (os.fsdecode(name) for name in listed.stdout.split(b"\0") if name):
        if (source := REPOSITORY / file).is_file():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / file)
    subprocess.run([sys.executable, *COMPILE], cwd=target, check=True)


@contextmanager
def _warm(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    environment = {**BEFORE_LIBRARIES, **os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "ignore", str(folder / "tests/mutants/warm.py")]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()
