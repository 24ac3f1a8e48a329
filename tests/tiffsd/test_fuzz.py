"""The fuzzer finds nothing, and would: a reader that crashes, hangs, eats memory or raises anything else is found out."""

import ctypes
import faulthandler
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random

import pytest

from tests import fuzz
from tests.corpus import Sample, corpus
from tests.house import REPOSITORY
from tests.mutations import WAYS

FILES, EVIL = 8, 3
Way = Callable[[bytearray, bytes, Random], None]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return corpus()


@pytest.mark.parametrize("subject", fuzz.SUBJECTS)
def test_two_thousand_damaged_files_bring_nothing_but_sentences(subject: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--of", subject, "--count", "2000", "--seed", "1"]

    found = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)

    assert found.returncode == 0, found.stdout + found.stderr
    assert "2000 files" in found.stdout


def _crash(_: bytes) -> None:
    faulthandler.disable()  # the crash is meant; its trace would be noise
    ctypes.string_at(0)


def _raise(data: bytes) -> None:
    raise KeyError(len(data))


def _eat_memory(_: bytes) -> None:
    bytearray(b"x" * (fuzz.MOST_BYTES + fuzz.MIB))


def _eat_time(_: bytes) -> None:
    ended = time.process_time() + 0.3
    while time.process_time() < ended:
        pass


@pytest.mark.parametrize(
    ("evil", "reason"),
    [
        (_crash, "ended by signal 11"),
        (_raise, "KeyError"),
        (_eat_memory, "MiB"),
        (_eat_time, "s of CPU time"),
    ],
)
def test_a_reader_that_misbehaves_is_found_out_and_the_rest_is_still_read(
    evil: Callable[[bytes], None], reason: str, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.2)

    report = _run_with(evil, samples)

    assert list(report.faults) == [EVIL]
    assert reason in report.faults[EVIL]
    assert report.outcomes["read"] >= FILES - 1


def test_a_reader_that_hangs_is_ended_and_the_rest_is_still_read(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "HANG_SECONDS", 1.0)

    report = _run_with(lambda _: time.sleep(1000), samples)

    assert "took more than 1 s" in report.faults[EVIL]
    assert report.outcomes["read"] + len(report.faults) == FILES


def _run_with(evil: Callable[[bytes], None], samples: list[Sample]) -> fuzz.Report:
    target = fuzz.damaged(samples, 1, EVIL)[0]

    def check(data: bytes, _: Sample) -> str:
        if data == target:
            evil(data)
        return "read"

    return fuzz.run(FILES, 1, check=check, samples=samples)


@pytest.mark.parametrize("way", dict.fromkeys(WAYS), ids=lambda way: way.__name__)
def test_every_way_of_damage_changes_something(way: Way, samples: list[Sample]) -> None:
    data, other = samples[0].data, samples[-1].data

    def damaged(seed: int) -> bytes:
        copy = bytearray(data)
        way(copy, other, Random(seed))
        return bytes(copy)

    assert any(damaged(seed) != data for seed in range(20))


def test_a_damaged_file_is_given_by_seed_and_number_alone(samples: list[Sample]) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--only", "3"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)

    assert found.stdout.strip() == fuzz.check(*fuzz.damaged(samples, 1, 3)), found.stderr
