"""The short form of the soak; `python -m tests.soak` is the long one."""

from pathlib import Path

import pytest

from tests.real.programs import needs_mounting
from tests.soak import Soak


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_short_life_with_kills_edits_and_full_disks_is_exact(tmp_path: Path) -> None:
    needs_mounting()
    Soak(tmp_path, seed=5).run(seconds=12)
