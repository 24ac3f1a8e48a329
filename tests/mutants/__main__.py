"""Each fault of the tables, put into a copy of this repository: the tests beside it must fail. `python -m tests.mutants`.

First the named tests run as they are, and must pass; then each mutant alone. What survives is named at the end, with the command
that shows it. Words choose: `python -m tests.mutants lease steps` tries those that say one of them, or whose file does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from tests.mutants import MUTANTS
from tests.mutants.mutant import REPOSITORY, Mutant, mutated

FAILED, LONGEST_SECONDS = 1, 600
PYTEST = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n", "0", "-o", "timeout=100")
# A copy is compiled once, and what is compiled holds by what its source says: its time is too coarse for a change of a moment.
COMPILE = ("-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "daemon", "tiffsd", "training", "tests")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try them, and say of each how it ended; 1 where one survived or could not be tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="try only mutants that say one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time (default: 2)")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if _is_meant(mutant, options.words)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, _copies(Path(folder), options.jobs) as copies:
        failing = _failing_without(chosen, copies)
        ended = list(_tried([mutant for mutant in chosen if not failing.intersection(mutant.named)], copies))
    left = [mutant for mutant, end in ended if end != "caught"]
    for test in sorted(failing):
        _say(f"FAILS without a mutant, which shows nothing: {test}")
    for mutant in left:
        _say(f"SURVIVED: {mutant.wrong}\n  {mutant.file}: {mutant.old!r} -> {mutant.new!r}\n  pytest {' '.join(mutant.named)}")
    _say(f"{len(ended)} mutants, {len(left)} survived; {time.monotonic() - began:.0f} s")
    return 1 if left or failing or not ended else 0


def _is_meant(mutant: Mutant, words: Sequence[str]) -> bool:
    said = f"{mutant.wrong} {mutant.file}".lower()
    return not words or any(word.lower() in said for word in words)


@contextmanager
def _copies(folder: Path, jobs: int) -> Iterator["SimpleQueue[Path]"]:
    """Copies of the working tree as it is, one for each job, to be taken and put back."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, check=True)
    files = [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(max(1, jobs)):
        copy = folder / str(number)
        for file in files:
            if (source := REPOSITORY / file).is_file():
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copy / file)
        subprocess.run([sys.executable, *COMPILE], cwd=copy, check=True)
        copies.put(copy)
    yield copies


def _failing_without(chosen: Iterable[Mutant], copies: "SimpleQueue[Path]") -> set[str]:
    """Those of the named tests that fail as the program is."""
    named = sorted({test for mutant in chosen for test in mutant.named})
    files = {test.partition("::")[0] for test in named}
    parts = [[test for test in named if test.startswith(f"{file}::") or test == file] for file in sorted(files)]
    with ThreadPoolExecutor(max(1, copies.qsize())) as pool:
        return {test for failing in pool.map(lambda tests: _failing(tests, copies), parts) for test in failing}


def _failing(tests: Sequence[str], copies: "SimpleQueue[Path]") -> list[str]:
    copy = copies.get()
    try:
        if _pytest(copy, tests)[0] == 0:
            return []
        return [test for test in tests if _pytest(copy, [test])[0] != 0]
    finally:
        copies.put(copy)


def _tried(chosen: Sequence[Mutant], copies: "SimpleQueue[Path]") -> Iterator[tuple[Mutant, str]]:
    with ThreadPoolExecutor(max(1, copies.qsize())) as pool:
        for mutant, (end, seconds) in zip(chosen, pool.map(lambda mutant: _try(mutant, copies), chosen), strict=True):
            _say(f"{end:8} {seconds:5.1f} s  {mutant.wrong}")
            yield mutant, end


def _try(mutant: Mutant, copies: "SimpleQueue[Path]") -> tuple[str, float]:
    copy, began = copies.get(), time.monotonic()
    texts = mutated(copy, mutant)
    before = {path: path.read_text(encoding="utf-8") for path in texts}
    try:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        code, words = _pytest(copy, mutant.named)
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
        copies.put(copy)
    if code not in (0, FAILED):
        _say(f"pytest ended with {code} on {mutant.wrong}:\n{words[-2000:]}")
    return {0: "SURVIVED", FAILED: "caught"}.get(code, "BROKEN"), time.monotonic() - began


def _pytest(copy: Path, tests: Iterable[str]) -> tuple[int, str]:
    """How pytest ends on these tests in a copy, and what it says; who hangs beyond the longest time has failed."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *PYTEST, *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return FAILED, "it did not end"
    return done.returncode, done.stdout + done.stderr


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
