"""All benchmarks but eight, one table: `python -m benchmarks`, or some of them: `python -m benchmarks files start`.

Each module of this folder that has `figures` runs in a process of its own, so that one that fails hides no other. With --save what
was measured is kept in benchmarks/results.json, and the table of docs/benchmarks.md is made of it; --page makes that table anew and
measures nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, row
from benchmarks.machine import machine
from benchmarks.report import Results, read_results, with_block, write_results

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs/benchmarks.md"
MOST_SECONDS = 1200.0
# They need root, a GPU, or much time and disk.
WHERE_NAMED = {"fairness", "gpu", "loading", "machines", "noise_of_cuda", "paint", "quantized", "same_bits"}


def modules() -> list[str]:
    """The names of all benchmarks, those too that run only where they are named."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef figures(" in path.read_text(encoding="utf-8"))


def measured(name: str) -> tuple[list[Figure], str | None]:
    """The figures of one module, also those before it failed; and how it failed, if it did."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as lines:
        try:
            words = [sys.executable, "-m", f"benchmarks.{name}", "--json", lines.name]
            done = subprocess.run(words, cwd=FOLDER.parent, timeout=MOST_SECONDS, stdout=subprocess.DEVNULL)
            fault = f"{name} ended with {done.returncode}" if done.returncode else None
        except subprocess.TimeoutExpired:
            fault = f"{name} took more than {MOST_SECONDS:.0f} s"
        return [Figure.of(json.loads(line)) for line in lines], fault


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where a module failed, 0 also where a target was missed: the table says so."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    left_out = ", ".join(sorted(WHERE_NAMED))
    parser.add_argument("names", nargs="*", help=f"modules of benchmarks/; where none is named, all but {left_out}")
    parser.add_argument("--save", action="store_true", help="keep the results, and renew the table of docs/benchmarks.md")
    parser.add_argument("--page", action="store_true", help="renew that table from the kept results alone")
    given = parser.parse_args(arguments)
    if strangers := sorted(set(given.names) - set(modules())):
        parser.error(f"{', '.join(strangers)}: no such benchmark; there are {', '.join(modules())}")
    results = Results({}) if given.page else _run(given.names or [name for name in modules() if name not in WHERE_NAMED])
    faults = [fault for module in results.modules.values() if (fault := module.fault)]
    if given.save or given.page:
        kept = read_results().merged(results)
        write_results(kept)
        PAGE.write_text(with_block(PAGE.read_text(encoding="utf-8"), kept), encoding="utf-8")
    return 1 if faults else 0


def _run(names: Sequence[str]) -> Results:
    started, results = time.monotonic(), Results({})
    here = machine()
    sys.stdout.write(f"{here}\n")
    for name in names:
        sys.stderr.write(f"{(time.monotonic() - started) / 60:4.1f} min  {name} ...\n")
        figures, fault = measured(name)
        results = results.merged(Results.of(name, here, figures, fault))
    for figure in results.figures():
        sys.stdout.write(f"{row(figure)}\n")
    for module in results.modules.values():
        sys.stdout.write(f"FAILED: {module.fault}; what it said stands above\n" if module.fault else "")
    sys.stdout.write(f"{(time.monotonic() - started) / 60:.1f} minutes\n")
    return results


if __name__ == "__main__":
    raise SystemExit(main())
