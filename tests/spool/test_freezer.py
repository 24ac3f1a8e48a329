"""The program that freezes a spool at a release works with the code as it is between releases, too."""

from pathlib import Path

import pytest

from daemon.layout import RECENT
from tests.spool.frozen import deaths
from tests.spool.frozen.freeze import made, pack
from tests.spool.frozen.mortal import OPERATIONS, End
from tests.spool.frozen.people import prompt
from tests.spool.frozen.thaw import Tree, tree
from tests.spool.frozen.workshop import Workshop, same_each_time

JOB_RECORDS = {"claim.json", "attempt.json", "entrusted.json", "commit.json", "fail.json"}


def small_spool(root: Path) -> Tree:
    """A spool of jobs that need no worker."""
    with same_each_time():
        workshop = Workshop(root)
        try:
            workshop.drop("inbox/1-text/counted.txt", prompt())
            workshop.die("text", "counted", deaths.BEFORE_IT_IS_COUNTED)
            workshop.drop("inbox/1-text/begun.txt", prompt())
            workshop.die("text", "begun", deaths.WHILE_IT_IS_READ)
            deaths.while_failing(workshop)
        finally:
            workshop.close()
    return {name: digest for name, digest in tree(root).items() if name != RECENT}  # which knows files by inode and time


def test_a_spool_is_made_and_is_the_same_each_time(worlds: Path) -> None:
    first, second = (small_spool(worlds / name) for name in ("first", "second"))
    assert first == second
    records = {Path(name).name for name in first if name.startswith(".work/")} & JOB_RECORDS
    assert records == {"claim.json", "attempt.json", "fail.json"}


def test_every_death_is_at_a_call_that_the_spool_can_make() -> None:
    ends = {name: end for name, end in vars(deaths).items() if isinstance(end, End)}
    assert [name for name, end in ends.items() if end.operation not in OPERATIONS] == []


@pytest.mark.slow
@pytest.mark.thorough
def test_a_whole_spool_is_made_and_is_small(worlds: Path) -> None:
    spool = made(worlds / "spool")
    pack(spool, worlds / "spool.tar.xz")
    assert {path.name for path in spool.glob(".work/*/*.json")} == JOB_RECORDS
    assert (worlds / "spool.tar.xz").stat().st_size < 300_000
