"""When the inboxes are scanned: at once where something happens, else seldom, and before a long backlog goes on."""

import pytest

from daemon.service.scan_pace import CLAIMS_PER_SCAN, COALESCE_SECONDS, LEARNING_SECONDS, ScanPace


def scanned(
    now: float, *, took: float = 0.0, workers: int = 1, unread: bool = False, dues: tuple[float | None, ...] = ()
) -> ScanPace:
    """The pace after a scan that took so many seconds."""
    clock = [0.0]
    pace = ScanPace(workers, clock=lambda: clock[0])
    pace.begin()
    clock[0] += took
    pace.end(now, rescan_seconds=60.0, dues=dues, unread=unread)
    return pace


def test_a_scan_is_due_at_the_start_then_when_its_time_has_come() -> None:
    assert ScanPace(1).is_due(0.0)
    pace = scanned(100.0)
    assert not pace.is_due(159.9)
    assert pace.is_due(160.0)


def test_what_happens_in_a_folder_asks_for_a_scan_and_much_of_it_at_once_for_one() -> None:
    pace = scanned(100.0)
    pace.wanted.set()
    assert not pace.is_due(100.0)
    assert pace.is_due(100.0 + COALESCE_SECONDS)
    assert pace.begin(), "it has news"
    assert not pace.begin(), "which it has only once"


@pytest.mark.parametrize(
    ("unread", "dues", "due"), [(False, (None,), 160.0), (False, (None, 130.0, 110.0), 110.0), (True, (), 100.0 + LEARNING_SECONDS)]
)
def test_files_that_are_due_or_were_not_read_yet_bring_the_next_scan_on(
    unread: bool, dues: tuple[float | None, ...], due: float
) -> None:
    assert scanned(100.0, unread=unread, dues=dues).moments() == [due]


def test_what_has_to_wait_brings_the_next_scan_on_and_never_puts_it_off() -> None:
    pace = scanned(100.0)
    pace.by(120.0)
    pace.by(130.0)
    assert pace.moments() == [120.0]


@pytest.mark.parametrize(("workers", "claims"), [(1, CLAIMS_PER_SCAN), (8, 8)])
def test_who_comes_anew_is_seen_before_a_long_backlog_goes_on(workers: int, claims: int) -> None:
    pace = scanned(100.0, workers=workers)
    pace.note_claims(claims)
    assert not pace.comes_first(100.0), "nothing has come"
    pace.wanted.set()
    assert pace.comes_first(100.0)
    assert pace.is_due(100.0)


def test_a_dear_scan_is_not_repeated_for_who_comes_anew() -> None:
    pace = scanned(100.0, took=1.0)
    pace.wanted.set()
    pace.note_claims(1000)
    assert not pace.comes_first(100.0)
    assert not pace.is_due(119.9)
    assert pace.is_due(120.0)
