"""The short form of the kill fuzz; `python -m tests.real.kills` is the long one."""

from pathlib import Path

import pytest

from tests.real.kills import fuzz


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_prompts_survive_kills_at_random_moments_each_once(tmp_path: Path) -> None:
    figures = fuzz(tmp_path / "daemon", jobs=40, kills=8, seed=7)
    assert figures.caught > 2
