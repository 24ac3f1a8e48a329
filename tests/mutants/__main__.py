"""Each fault of the tables, put into a copy of this repository: the tests beside it must fail. `python -m tests.mutants`.

First the named tests run as they are, and must pass; then each mutant alone. What survives is named at the end, with the tests that
let it through. Words choose: `python -m tests.mutants lease steps` tries those that say one of them, or whose file does.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants import MUTANTS
from tests.mutants.copies import FAILED, PASSED, Copy, copies
from tests.mutants.mutant import Mutant

Copies = SimpleQueue[Copy]
CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "BROKEN"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try them, and say of each how it ended; 1 where one survived or could not be tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="try only mutants that say one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time (default: 2)")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if is_meant(mutant, options.words)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, copies(Path(folder), options.jobs) as free:
        failing = _failing_without(chosen, free)
        ended = list(_tried([mutant for mutant in chosen if not failing.intersection(mutant.named)], free))
    left = [mutant for mutant, end in ended if end != CAUGHT]
    for test in sorted(failing):
        _say(f"FAILS without a mutant, which shows nothing: {test}")
    for mutant in left:
        _say(f"SURVIVED: {mutant.wrong}\n  {mutant.file}: {mutant.old!r} -> {mutant.new!r}\n  pytest {' '.join(mutant.named)}")
    _say(f"{len(ended)} mutants, {len(left)} survived; {time.monotonic() - began:.0f} s")
    return 1 if left or failing or not ended else 0


def is_meant(mutant: Mutant, words: Sequence[str]) -> bool:
    """Whether a mutant says one of these words; without words each is meant."""
    said = f"{mutant.wrong} {mutant.file}".lower()
    return not words or any(word.lower() in said for word in words)


def _failing_without(chosen: Iterable[Mutant], free: Copies) -> set[str]:
    """Those of the named tests that fail as the program is."""
    named = sorted({test for mutant in chosen for test in mutant.named})
    files = sorted({test.partition("::")[0] for test in named})
    parts = [[test for test in named if test.partition("::")[0] == file] for file in files]
    with ThreadPoolExecutor(max(1, free.qsize())) as pool:
        return {test for failing in pool.map(lambda tests: _failing(tests, free), parts) for test in failing}


def _failing(tests: Sequence[str], free: Copies) -> list[str]:
    copy = free.get()
    try:
        if copy.pytest(tests)[0] == PASSED:
            return []
        return [test for test in tests if copy.pytest([test])[0] != PASSED]
    finally:
        free.put(copy)


def _tried(chosen: Sequence[Mutant], free: Copies) -> Iterator[tuple[Mutant, str]]:
    with ThreadPoolExecutor(max(1, free.qsize())) as pool:
        for mutant, (end, seconds) in zip(chosen, pool.map(lambda mutant: _try(mutant, free), chosen), strict=True):
            _say(f"{end:8} {seconds:5.1f} s  {mutant.wrong}")
            yield mutant, end


def _try(mutant: Mutant, free: Copies) -> tuple[str, float]:
    copy, began = free.get(), time.monotonic()
    try:
        with copy.with_mutant(mutant):
            code, said = copy.pytest(mutant.named)
    finally:
        free.put(copy)
    if code not in (PASSED, FAILED):
        _say(f"pytest ended with {code} on {mutant.wrong}:\n{said[-2000:]}")
    return {PASSED: SURVIVED, FAILED: CAUGHT}.get(code, BROKEN), time.monotonic() - began


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
