"""What people and later stages do between a crash and the recovery is respected: nothing comes back, doubles or goes."""

import pytest

from tests.spool.disk import Disk
from tests.spool.meddlers import (
    MEDDLERS,
    Meddler,
    approves_what_waits,
    deletes_the_results,
    meddled_with,
    nobody,
    removes_the_folders,
    takes_the_results,
)
from tests.spool.stories import STORIES, Story


@pytest.mark.parametrize("meddler", [meddler for meddler in MEDDLERS if meddler is not nobody])
def test_meddling_before_the_recovery_ends_well(meddler: Meddler) -> None:
    assert meddled_with(STORIES["one output"], meddler).states > 120


@pytest.mark.parametrize("meddler", [takes_the_results, deletes_the_results, approves_what_waits, removes_the_folders])
def test_meddling_with_what_waits_on_hold_ends_well(meddler: Meddler) -> None:
    assert meddled_with(STORIES["applied"], meddler).states > 220


def test_a_meddler_that_nobody_was_told_of_is_found_out() -> None:
    def in_secret(story: Story, disk: Disk) -> set[bytes]:
        deletes_the_results(story, disk)
        return set()

    with pytest.raises(AssertionError, match="done without all of its outputs"):
        meddled_with(STORIES["one output"], in_secret)
