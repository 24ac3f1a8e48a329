"""Small forms of benchmarks/spool.py with generous bounds: a machine that does other things must not fail them."""

import statistics
from pathlib import Path

import pytest

from benchmarks.spool import backlog, idle_share, latencies


@pytest.mark.thorough
@pytest.mark.slow
def test_a_drop_is_claimed_soon_after_it_settled(tmp_path: Path) -> None:
    found = latencies(tmp_path / "daemon", drops=40)
    assert len(found) == 40
    assert min(found) > 0  # never before
    assert statistics.median(found) < 0.3


@pytest.mark.thorough
@pytest.mark.slow
def test_many_waiting_files_cost_little(tmp_path: Path) -> None:
    few = backlog(tmp_path / "few", files=300, jobs=60)
    many = backlog(tmp_path / "many", files=20_000, jobs=60)
    assert many.start_seconds < few.start_seconds + 10
    assert many.peak_megabytes < few.peak_megabytes + 40
    assert many.job_milliseconds < 2 * few.job_milliseconds


@pytest.mark.thorough
@pytest.mark.slow
def test_held_files_cost_nothing(tmp_path: Path) -> None:
    assert idle_share(tmp_path / "daemon", held=1000, seconds=6) < 0.1, "what a waking costs hangs on the machine"
