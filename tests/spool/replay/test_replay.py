"""A power cut on a real filesystem loses, doubles and tears nothing, and a sync that this takes is missed when it is gone."""

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from daemon.spool.ordering import LEFT_OUT
from tests.spool.replay import guest
from tests.spool.replay.cuts import WHOLE, Cut, cuts
from tests.spool.replay.kinds import IN_ORDER, KINDS, OUT_OF_ORDER
from tests.spool.replay.log import SECTOR, Entry, read

in_a_guest = [
    pytest.mark.thorough,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(guest.missing()), reason=guest.missing() or ""),
]


def entry(sector: int, letter: str, **what: Any) -> Entry:
    return Entry(sector, letter.encode() * SECTOR, **what)


def written(cut: Cut) -> str:
    return "".join(chr(cut.image.sectors[number][0]) for number in sorted(cut.image.sectors))


def test_what_no_flush_made_safe_may_be_lost_and_what_one_did_is_there() -> None:
    log = [entry(0, "a"), entry(1, "b"), entry(2, "c", flush=True), entry(3, "d")]
    assert {written(cut) for cut in cuts(log)} == {"", "a", "b", "ab", "abc", "abcd", "abd"}


def test_a_write_with_fua_is_there_once_it_is_over() -> None:
    log = [entry(0, "a"), entry(1, "b", fua=True), Entry(0, b"", mark="after it")]
    assert {written(cut) for cut in cuts(log) if cut.mark} == {"ab", "b"}


def test_of_a_long_write_half_may_be_there_and_of_a_block_all_or_nothing() -> None:
    assert {len(cut.image.sectors) for cut in cuts([Entry(0, b"x" * 2 * WHOLE)])} == {0, WHOLE // SECTOR, 2 * WHOLE // SECTOR}
    assert {len(cut.image.sectors) for cut in cuts([Entry(0, b"x" * WHOLE)])} == {0, WHOLE // SECTOR}


def test_disks_with_the_same_content_have_the_same_key_whatever_was_written_before() -> None:
    first, *_, last = cuts([entry(0, "a"), entry(0, "b"), entry(1, "c", flush=True)])
    straight = list(cuts([entry(0, "b"), entry(1, "c")]))
    assert last.image.key in {cut.image.key for cut in straight}
    assert first.image.key != last.image.key


def test_a_log_of_the_kernel_is_read(tmp_path: Path) -> None:
    def head(sector: int, sectors: int, flags: int, mark: bytes = b"") -> bytes:
        return (struct.pack("<QQQQ", sector, sectors, flags, len(mark)) + mark).ljust(SECTOR, b"\0")

    entries = [
        head(7, 1, 1 | 2) + b"x" * SECTOR,
        head(0, 0, 1),
        head(9, 1, 4),
        head(0, 0, 8, b"a mark"),
        head(0, 0, 8, b"dm-log-writes-end"),
    ]
    path = tmp_path / "log"
    path.write_bytes(struct.pack("<QQQI", 0x6A736677736872, 1, len(entries), SECTOR).ljust(SECTOR, b"\0") + b"".join(entries))
    assert list(read(path)) == [
        Entry(7, b"x" * SECTOR, flush=True, fua=True),
        Entry(0, b"", flush=True),
        Entry(9, bytes(SECTOR)),
        Entry(0, b"", mark="a mark"),
    ]
    path.write_bytes(bytes(SECTOR))
    with pytest.raises(ValueError, match="no log of dm-log-writes"):
        list(read(path))


@pytest.fixture(scope="module")
def kernel() -> None:
    try:
        guest.fetch()
    except subprocess.CalledProcessError:
        pytest.skip(f"apt-get cannot fetch {guest.PACKAGE} here")


def asked(*questions: tuple[Any, ...]) -> list[dict[str, Any]]:
    return list(guest.answers(questions))


class TestInAGuest:
    """What takes a kernel of its own."""

    pytestmark = in_a_guest

    @pytest.mark.usefixtures("kernel")
    def test_ordered_is_refused_where_the_order_of_changes_is_not_kept_and_nowhere_else(self) -> None:
        told = asked(*(("refused", kind) for kind in KINDS))
        assert {kind: one["why"] for kind, one in zip(KINDS, told, strict=True)} == {
            name: kind.refused for name, kind in KINDS.items()
        }

    @pytest.mark.usefixtures("kernel")
    @pytest.mark.parametrize("kind", IN_ORDER)
    def test_every_cut_ends_well_without_what_the_order_of_changes_saves(self, kind: str) -> None:
        for told in asked(*(("replayed", kind, "one output", sorted(LEFT_OUT), busy) for busy in (False, True))):
            assert told["bad"] == []
            assert told["spools"] > 5

    @pytest.mark.usefixtures("kernel")
    @pytest.mark.parametrize("kind", IN_ORDER)
    def test_a_missing_sync_is_noticed(self, kind: str) -> None:
        for site, busy in (("output: content", True), ("attempt.json: its place", False)):
            (told,) = asked(("replayed", kind, "one output", [*LEFT_OUT, site], busy))
            assert told["bad"], site

    @pytest.mark.usefixtures("kernel")
    @pytest.mark.parametrize("story", ["one output", "pair and settings"])
    def test_on_btrfs_a_cut_within_a_rename_leaves_one_name(self, story: str) -> None:
        told = asked(*(("replayed", "btrfs", story, [], busy) for busy in (False, True)))
        assert [bad for one in told for bad in one["bad"]] == []

    @pytest.mark.usefixtures("kernel")
    def test_where_ordered_is_refused_a_cut_would_double_an_output(self) -> None:
        (told,) = asked(("replayed", OUT_OF_ORDER, "one output", sorted(LEFT_OUT), True))
        assert any("is published 2 times" in bad for bad in told["bad"])
