"""Damage valid files and read them: only a TiffsdError may come of it, soon, and without much memory.

    python -m tests.fuzz --count 200000 --seed 1                  artifacts
    python -m tests.fuzz --of pictures --count 200000 --seed 1    those of other programs, with their recipes; also: prompts,
                                      canvases (as editors save them), exchange (OpenEXR, ComfyUI's latents)

Each file is given by seed and number alone (`--only NUMBER` tries one again). Files are read in a forked process, as the library
does it, with the codecs inside: a crash of that process, its time and its memory are watched from outside, the file at fault is
saved, and a fresh process goes on behind it.
"""

import argparse
import io
import json
import logging
import mmap
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import tiffsd
from tests import fuzz_dropped
from tests.corpus import Sample, canvases, corpus, exchanged
from tests.mutations import mutate

MIB = 2**20
MOST_BYTES = 256 * MIB
MOST_SECONDS = 2.0
# Of the wall clock, which also counts what other programs take: a file that hangs is ended after this long.
HANG_SECONDS = 30.0
HARNESS_FAULT = 70

Check = Callable[[bytes, Sample], str]


@dataclass
class Report:
    """What came of a run: how often which outcome, the worst figures, and the numbers of the files at fault with the reason."""

    count: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    most_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)

    def add(self, number: int, outcome: str, seconds: float, peak: int, fault: str) -> None:
        self.outcomes[outcome] += 1
        self.slowest, self.most_bytes = max(self.slowest, seconds), max(self.most_bytes, peak)
        if fault:
            self.faults[number] = fault

    def lines(self) -> Iterator[str]:
        yield f"{self.count} files in {self.seconds:.1f} s: {self.count / max(self.seconds, 1e-9):.0f} a second"
        yield f"slowest file {self.slowest:.3f} s of CPU time, most memory {self.most_bytes / MIB:.1f} MiB above the start"
        yield ", ".join(f"{outcome} {count}" for outcome, count in self.outcomes.most_common())
        yield from (f"FAULT {number}: {reason}" for number, reason in sorted(self.faults.items()))
        yield f"{len(self.faults)} faults"


def damaged(samples: Sequence[Sample], seed: int, number: int) -> tuple[bytes, Sample]:
    """The file of this seed and number, and the sample it was made of."""
    random = Random(f"{seed} {number}")
    sample, other = random.choice(samples), random.choice(samples)
    return mutate(sample.data, other.data, random), sample


def check(data: bytes, sample: Sample) -> str:
    """Read, inspect, repair and identify one file; the name of the outcome. Anything but a TiffsdError is let through."""
    tiffsd.find_id(io.BytesIO(data), sample.name)
    try:
        tiffsd.inspect(io.BytesIO(data), name=sample.name)
        artifact = tiffsd.read(io.BytesIO(data), name=sample.name)
    except tiffsd.TiffsdError as error:
        _check_sentence(str(error))
        return type(error).__name__
    for note in artifact.notes:
        _check_sentence(note)
    try:
        artifact = tiffsd.repair(artifact, sample.original, name=sample.name)
    except tiffsd.TiffsdError as error:
        _check_sentence(str(error))
        return f"read, not repaired ({type(error).__name__})"
    assert artifact.header.size == _size(artifact), "the header's size is not that of the tensors"
    return "read" if not artifact.notes else "read, with notes"


def _check_sentence(sentence: str) -> None:
    assert len(sentence) < 1000, sentence
    assert "\n" not in sentence, sentence
    assert "\x1b" not in sentence, sentence


def _size(artifact: tiffsd.Artifact) -> tuple[int, ...]:
    tensors = artifact.tensors
    if artifact.header.kind is not tiffsd.Kind.EMBEDDING:
        return tensors[artifact.header.kind].shape
    halves = [tensors.get(name) for name in ("prompt_embeds", "negative_prompt_embeds")]
    rows = [0 if half is None else len(half) for half in halves]
    return (*rows, next(half.shape[1] for half in halves if half is not None))


def run(count: int, seed: int, *, check: Check = check, samples: Sequence[Sample] | None = None) -> Report:
    """Check so many files, in a process that is replaced when a file ends it."""
    samples = corpus() if samples is None else samples
    report, started, number = Report(), time.monotonic(), 0
    while number < count:
        number = _run_shard(range(number, count), seed, check, samples, report)
    report.count, report.seconds = count, time.monotonic() - started
    return report


class _Board:
    """What the child writes and the parent reads while it runs: the number of the file, and since when it is read."""

    def __init__(self) -> None:
        # One store per cell: struct would blank both before it fills them, and the parent would see a file that hangs since 1970.
        self._cells = memoryview(mmap.mmap(-1, 16)).cast("d")

    def begin(self, number: int) -> None:
        self._cells[1] = time.monotonic()
        self._cells[0] = number

    def current(self) -> tuple[int, float]:
        return int(self._cells[0]), self._cells[1]


def _run_shard(numbers: range, seed: int, check: Check, samples: Sequence[Sample], report: Report) -> int:
    """Fork, check in the child, watch it; returns the number to go on with."""
    board = _Board()
    board.begin(numbers.start)
    with tempfile.TemporaryFile() as log:
        pid = os.fork()
        if pid == 0:
            # Whatever happens in here, this process must end here and not go on as a second parent.
            try:
                _child(numbers, seed, check, samples, board, log.fileno())
                os._exit(0)
            except BaseException:  # noqa: BLE001 - see above
                traceback.print_exc()
                os._exit(HARNESS_FAULT)
        status = _watched(pid, board)
        if isinstance(status, int) and os.WIFEXITED(status) and os.WEXITSTATUS(status) == HARNESS_FAULT:
            raise RuntimeError(f"the fuzzer itself is at fault at file {board.current()[0]} of seed {seed}")
        log.seek(0)
        for line in log.read().splitlines():
            report.add(*json.loads(line))
    number = board.current()[0]
    if number == numbers.stop:
        return number
    if status:
        report.faults[number] = status if isinstance(status, str) else f"the process was ended by signal {os.WTERMSIG(status)}"
    return number + 1


def _watched(pid: int, board: _Board) -> int | str:
    """Wait for the child; its status, or words where it hung and was ended."""
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        if time.monotonic() - board.current()[1] > HANG_SECONDS:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return f"took more than {HANG_SECONDS:.0f} s"
        time.sleep(0.01)


def _child(numbers: range, seed: int, check: Check, samples: Sequence[Sample], board: _Board, log: int) -> None:
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it complains of ends in a sentence
    warnings.simplefilter("error")
    start = _peak()
    for number in numbers:
        board.begin(number)
        data, sample = damaged(samples, seed, number)
        began, fault = time.process_time(), ""
        try:
            outcome = check(data, sample)
        except BaseException as error:  # noqa: BLE001 - exactly what must not happen, so it is reported
            place = traceback.extract_tb(error.__traceback__)[-1]
            outcome, fault = "fault", f"{type(error).__name__}: {error!s:.200} ({place.name}:{place.lineno})"
        seconds, peak = time.process_time() - began, _peak() - start
        if seconds > MOST_SECONDS:
            fault = f"took {seconds:.1f} s of CPU time"
        if peak > MOST_BYTES:
            fault = f"took {peak / MIB:.0f} MiB"
        os.write(log, json.dumps([number, outcome, seconds, peak, fault]).encode() + b"\n")
        if peak > MOST_BYTES:
            return  # the peak stays: a fresh process is needed to see that of the next file
    board.begin(numbers.stop)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


SUBJECTS: Mapping[str, tuple[Callable[[], list[Sample]], Check]] = {
    "artifacts": (corpus, check),
    "canvases": (canvases, check),
    "exchange": (exchanged, check),
    "pictures": (fuzz_dropped.pictures, fuzz_dropped.check_picture),
    "prompts": (fuzz_dropped.prompts, fuzz_dropped.check_prompt),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the figures, save the files at fault; 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damage valid files and read them.")
    parser.add_argument("--of", choices=SUBJECTS, default="artifacts", help="what is damaged")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="read this one file in this process, with the traceback")
    parser.add_argument("--save", type=Path, default=Path(tempfile.gettempdir()) / "tiffsd-fuzz", help="where files at fault go")
    options = parser.parse_args(arguments)
    samples, check = SUBJECTS[options.of][0](), SUBJECTS[options.of][1]
    if options.only is not None:
        sys.stdout.write(f"{check(*damaged(samples, options.seed, options.only))}\n")
        return 0
    report = run(options.count, options.seed, check=check, samples=samples)
    for number in report.faults:
        options.save.mkdir(parents=True, exist_ok=True)
        data, sample = damaged(samples, options.seed, number)
        (options.save / f"{options.seed}-{number}{Path(sample.name).suffix}").write_bytes(data)
    sys.stdout.write("\n".join(report.lines()) + "\n")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
