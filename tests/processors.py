"""The tests of exactness on every processor that this one can pretend to be: `python -m tests.processors`.

Each run gives the libraries other instructions, or another number of threads, and what the parts of models give must still be equal
to the bit; one is as far from what is usual as it goes. The last run emulates an AMD, on which MKL takes another way than on an
Intel. --short is for CI; other arguments go to pytest.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PRETENCES: Sequence[Mapping[str, str]] = [
    {"MKL_CBWR": "AVX2"},
    {"MKL_CBWR": "AVX512"},
    {"MKL_CBWR": "COMPATIBLE"},
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"TIFFSD_TEST_THREADS": "2"},
]
FARTHEST = {"MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "TIFFSD_TEST_THREADS": "2"}
# What fell at an AMD.
SHORT = (
    "tests/compute/test_same_bits.py",
    "tests/models/test_single_files.py",
    "tests/models/test_loras.py",
    "tests/jobs/test_batching.py",
)
PARTS = (*SHORT, "tests/models/test_families.py", "tests/models/test_textual_inversions.py", "tests/stages/test_stages.py")
PARALLEL = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile")


def main(arguments: Sequence[str]) -> int:
    """Run them all, and say of each how it ended; 1 where one failed."""
    short = "--short" in arguments
    given = [argument for argument in arguments if argument != "--short"]
    exact = ["-m", "exact and not emulated" + " and not thorough" * short, *PARALLEL]
    pretences, files = ([FARTHEST], SHORT) if short else ([*PRETENCES, FARTHEST], PARTS)
    runs = [*((pretence, [*exact, *files]) for pretence in pretences), ({}, ["-m", "emulated"])]
    ended = {_named(pretence): _run(pretence, [*words, *given]) for pretence, words in runs}
    sys.stdout.writelines(f"{'passed' if code == 0 else 'FAILED'}  {name}\n" for name, code in ended.items())
    return 1 if any(ended.values()) else 0


def _named(pretence: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in pretence.items()) or "an emulated AMD"


def _run(pretence: Mapping[str, str], words: Sequence[str]) -> int:
    sys.stdout.write(f"{_named(pretence)}\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=REPOSITORY, env={**os.environ, **pretence}).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
