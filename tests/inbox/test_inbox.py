"""The inbox: which files are ready, which are refused and with which sentence, which wait and for what."""

import mmap
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon import lease
from daemon.beneath import Beneath
from daemon.inbox.arrivals import Arrivals
from daemon.inbox.grouping import PRINCIPAL, Mark, group_into_drops
from daemon.inbox.inbox import AT_ONCE, Drop, Inbox, Scan
from daemon.inbox.telling_names import is_temporary
from daemon.stages import STAGES
from tests.leases import leased

SETTLE, UNLEASED, GRACE, UNLEASED_GRACE, PATIENCE = 1.0, 5.0, 10.0, 50.0, 36_000.0


@pytest.fixture(autouse=True)
def _ignored_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


MakeInbox = Callable[[str], Inbox]


@pytest.fixture
def inbox_of(tmp_path: Path) -> MakeInbox:
    def make(stage: str) -> Inbox:
        return Inbox(
            STAGES[stage],
            tmp_path,
            settle_seconds=SETTLE,
            settle_unleased_seconds=UNLEASED,
            empty_grace_seconds=GRACE,
            empty_grace_unleased_seconds=UNLEASED_GRACE,
            pair_patience_seconds=PATIENCE,
        )

    return make


def drop(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"content")


def settled(inbox: Inbox, *, after: float = SETTLE) -> Scan:
    inbox.scan(100.0)
    return inbox.scan(100.0 + after)


def roles(found: Drop) -> dict[str, str]:
    return {member.role: member.path.name for member in found.members}


def ready(scan: Scan) -> list[dict[str, str]]:
    return [roles(found) for found in scan.ready]


def waiting(scan: Scan) -> dict[str, str]:
    return {one.name: one.reason for one in scan.waiting}


# -- when a file is ready ---------------------------------------------------------------------------------------------------------


def test_file_is_ready_when_it_stood_still_for_the_settle_time(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    inbox = inbox_of("text")
    first = inbox.scan(100.0)
    assert first.ready == []
    assert waiting(first) == {"cat.txt": "cat.txt changed a moment ago"}
    assert first.due == 101.0
    assert inbox.scan(100.9).ready == []
    (found,) = inbox.scan(101.0).ready
    assert found.stem == "cat"
    assert found.principal.role == PRINCIPAL
    assert found.principal.path == tmp_path / "cat.txt"


def test_change_starts_the_settle_time_again(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    inbox = inbox_of("text")
    inbox.scan(100.0)
    (tmp_path / "cat.txt").write_bytes(b"a longer content")
    assert inbox.scan(101.0).due == 102.0
    assert ready(inbox.scan(102.0)) == [{PRINCIPAL: "cat.txt"}]


def test_change_that_hides_behind_the_same_size_and_mtime_is_seen(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    before = (tmp_path / "cat.txt").stat()
    inbox = inbox_of("text")
    assert settled(inbox).ready
    while (tmp_path / "cat.txt").stat().st_ctime_ns == before.st_ctime_ns:
        (tmp_path / "cat.txt").write_bytes(b"CONTENT")
        os.utime(tmp_path / "cat.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert inbox.scan(102.0).ready == []


def test_rename_is_not_a_new_arrival(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "first.txt")
    inbox = inbox_of("text")
    inbox.scan(100.0)
    drop(tmp_path, "second.txt")
    inbox.scan(101.0)
    (tmp_path / "first.txt").rename(tmp_path / "zzz.txt")
    inbox.scan(102.0)
    assert ready(inbox.scan(103.0)) == [{PRINCIPAL: "zzz.txt"}, {PRINCIPAL: "second.txt"}]


def test_ready_files_come_in_order_of_arrival(tmp_path: Path, inbox_of: MakeInbox) -> None:
    inbox = inbox_of("text")
    for now, name in enumerate(["c.txt", "a.txt", "b.txt"]):
        drop(tmp_path, name)
        inbox.scan(100.0 + now)
    assert [found.stem for found in inbox.scan(110.0).ready] == ["c", "a", "b"]


def test_files_that_one_look_finds_come_in_the_order_in_which_they_were_made(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "b.txt")
    first = (tmp_path / "b.txt").stat().st_ctime_ns
    drop(tmp_path, "a.txt")
    while (tmp_path / "a.txt").stat().st_ctime_ns == first:  # the clock of the filesystem has steps
        (tmp_path / "a.txt").touch()
    assert [found.stem for found in settled(inbox_of("text")).ready] == ["b", "a"]


def test_open_writer_keeps_a_file_waiting(tmp_path: Path, inbox_of: MakeInbox) -> None:
    inbox = inbox_of("text")
    with (tmp_path / "cat.txt").open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        scan = settled(inbox, after=60)
        assert waiting(scan) == {"cat.txt": "cat.txt is still being written"}
        assert scan.due is None
    assert inbox.scan(160.5).ready == []
    assert inbox.scan(161.0).ready


def test_live_shared_mapping_keeps_a_file_waiting(tmp_path: Path, inbox_of: MakeInbox) -> None:
    with (tmp_path / "cat.txt").open("w+b") as file:
        file.write(b"x" * 4096)
        file.flush()
        mapping = mmap.mmap(file.fileno(), 4096)
    assert waiting(settled(inbox_of("text"))) == {"cat.txt": "cat.txt is still being written"}
    mapping.close()


def test_a_lease_that_another_program_holds_keeps_a_file_waiting(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt", "dog.txt")
    inbox = inbox_of("text")
    with leased(tmp_path / "cat.txt"):
        scan = settled(inbox)
        assert ready(scan) == [{PRINCIPAL: "dog.txt"}]
        assert waiting(scan) == {"cat.txt": "cat.txt is still being written"}
    assert [found.stem for found in inbox.scan(102.0).ready] == ["cat", "dog"]


def test_a_drop_that_is_deferred_waits_until_then_and_takes_up_no_place(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, *(f"{i:04}.txt" for i in range(AT_ONCE + 1)))
    inbox = inbox_of("text")
    for found in settled(inbox).ready:
        inbox.defer(found.principal.path.name, "e.tiff is still being written", 110.0)
    scan = inbox.scan(102.0)
    assert [found.stem for found in scan.ready] == [f"{AT_ONCE:04}"]
    assert waiting(scan)["0000.txt"] == "e.tiff is still being written"
    assert scan.due == 110.0
    assert inbox.scan(110.0).more


def test_reader_does_not_keep_a_file_waiting(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    with (tmp_path / "cat.txt").open("rb"):
        assert settled(inbox_of("text")).ready


def test_longer_settle_time_counts_where_the_system_cannot_say(tmp_path: Path, inbox_of: MakeInbox) -> None:
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    drop(tmp_path, "cat.txt")
    inbox = inbox_of("text")
    scan = settled(inbox, after=SETTLE)
    assert scan.ready == []
    assert scan.due == 100.0 + UNLEASED
    assert inbox.scan(100.0 + UNLEASED).ready


def test_lease_is_never_taken_where_sigio_would_end_the_process(tmp_path: Path) -> None:
    drop(tmp_path, "cat.txt")
    assert Beneath(tmp_path).is_being_written(tmp_path / "cat.txt") is False
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    assert Beneath(tmp_path).is_being_written(tmp_path / "cat.txt") is None


def test_lease_never_follows_a_symlink_and_never_waits_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        Beneath(tmp_path).is_being_written(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with pytest.raises(OSError, match="symbolic links"):
        Beneath(tmp_path).is_being_written(tmp_path / "link")


def test_empty_file_waits_and_is_then_refused(tmp_path: Path, inbox_of: MakeInbox) -> None:
    (tmp_path / "cat.txt").touch()
    inbox = inbox_of("text")
    scan = settled(inbox)
    assert waiting(scan) == {"cat.txt": "cat.txt is empty so far"}
    assert scan.due == 100.0 + GRACE
    (refusal,) = inbox.scan(100.0 + GRACE).refused
    assert refusal.sentence == "cat.txt is empty (0 bytes); save it again, or copy it again."


def test_an_empty_file_waits_longer_where_the_system_cannot_say(tmp_path: Path, inbox_of: MakeInbox) -> None:
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    (tmp_path / "cat.txt").touch()
    inbox = inbox_of("text")
    assert settled(inbox, after=GRACE).due == 100.0 + UNLEASED_GRACE
    assert waiting(inbox.scan(99.0 + UNLEASED_GRACE)) == {"cat.txt": "cat.txt is empty so far"}
    assert inbox.scan(100.0 + UNLEASED_GRACE).refused


@pytest.mark.parametrize("name", ["New Text Document.txt", "cat.part"])
@pytest.mark.parametrize("leases", [True, False])
def test_the_grace_of_an_empty_file_counts_from_its_last_rename(
    name: str, leases: bool, tmp_path: Path, inbox_of: MakeInbox
) -> None:
    if not leases:
        signal.signal(signal.SIGIO, signal.SIG_DFL)
    grace = GRACE if leases else UNLEASED_GRACE
    (tmp_path / name).touch()
    inbox = inbox_of("text")
    settled(inbox)
    (tmp_path / name).rename(tmp_path / "cat.txt")
    inbox.scan(99.0 + grace)
    inbox.scan(100.0 + 1.5 * grace)
    assert inbox.scan(98.0 + 2 * grace).refused == []
    drop(tmp_path, "cat.txt")  # it took the person so long to type it
    inbox.scan(98.5 + 2 * grace)
    assert ready(inbox.scan(98.5 + 2 * grace + UNLEASED)) == [{PRINCIPAL: "cat.txt"}]


@pytest.mark.parametrize("content", [b"\0" * 12, b"\0" * 100_000, b"II*\0 the first part" + b"\0" * 5000])
def test_what_ends_in_zero_bytes_waits_longer_where_the_system_cannot_say(
    content: bytes, tmp_path: Path, inbox_of: MakeInbox
) -> None:
    (tmp_path / "cat.txt").write_bytes(content)
    assert settled(inbox_of("text")).ready  # nobody writes it, says the system
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    inbox = inbox_of("text")
    scan = settled(inbox, after=UNLEASED)
    assert waiting(scan) == {"cat.txt": "cat.txt ends in zero bytes so far, as a file does that is still being copied"}
    assert scan.due == 100.0 + UNLEASED_GRACE
    assert inbox.scan(100.0 + UNLEASED_GRACE).ready


@pytest.mark.parametrize("content", ["a cat\n".encode("utf-16"), "a cat\n".encode("utf-32"), b"a cat" + b"\0" * 15])
def test_a_few_zero_bytes_at_the_end_are_content(content: bytes, tmp_path: Path, inbox_of: MakeInbox) -> None:
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    (tmp_path / "cat.txt").write_bytes(content)
    assert settled(inbox_of("text"), after=UNLEASED).ready


def test_empty_file_that_is_filled_in_time_is_a_drop(tmp_path: Path, inbox_of: MakeInbox) -> None:
    (tmp_path / "cat.txt").touch()
    inbox = inbox_of("text")
    settled(inbox)
    drop(tmp_path, "cat.txt")
    inbox.scan(105.0)
    assert inbox.scan(106.0).ready


def test_empty_companion_goes_along_after_the_grace(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    (tmp_path / "cat.yaml").touch()
    inbox = inbox_of("text")
    assert waiting(settled(inbox)) == {"cat.txt": "cat.yaml is empty so far"}
    assert ready(inbox.scan(100.0 + GRACE)) == [{PRINCIPAL: "cat.txt", ".yaml": "cat.yaml"}]


def test_hardlinked_file_is_a_drop(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    (tmp_path / "dog.txt").hardlink_to(tmp_path / "cat.txt")
    inbox = inbox_of("text")
    inbox.scan(99.0)
    assert sorted(found.stem for found in settled(inbox, after=2 * SETTLE).ready) == ["cat", "dog"]


def test_a_second_name_of_a_file_that_not_everybody_may_read_is_refused(tmp_path: Path, inbox_of: MakeInbox) -> None:
    (tmp_path / "elsewhere").mkdir()
    drop(tmp_path / "elsewhere", "diary.txt", "poem.txt")
    (tmp_path / "elsewhere/diary.txt").chmod(0o600)
    (tmp_path / "elsewhere/poem.txt").chmod(0o644)
    for name in ("diary.txt", "poem.txt"):
        (tmp_path / name).hardlink_to(tmp_path / "elsewhere" / name)
    scan = settled(inbox_of("text"))
    assert ready(scan) == [{PRINCIPAL: "poem.txt"}]
    (refusal,) = scan.refused
    assert refusal.sentence.startswith("diary.txt is a second name of a file that not everybody may read; copy the file itself")


def test_file_that_is_taken_away_is_forgotten(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    inbox = inbox_of("text")
    inbox.scan(100.0)
    (tmp_path / "cat.txt").unlink()
    assert inbox.scan(200.0) == Scan()


def test_missing_inbox_is_an_error_of_its_own(tmp_path: Path, inbox_of: MakeInbox) -> None:
    inbox = inbox_of("text")
    tmp_path.rmdir()
    with pytest.raises(FileNotFoundError):
        inbox.scan(100.0)


# -- what is refused --------------------------------------------------------------------------------------------------------------


def sentences(scan: Scan) -> list[str]:
    return [refusal.sentence for refusal in scan.refused]


def test_symlink_is_refused_and_not_followed(tmp_path: Path, inbox_of: MakeInbox) -> None:
    (tmp_path / "cat.txt").symlink_to("/etc/shadow")
    assert sentences(settled(inbox_of("text"))) == [
        "cat.txt is a symbolic link, and only files can be used; copy the file itself into inbox/1-text."
    ]


def test_fifo_socket_and_device_are_refused_and_not_opened(tmp_path: Path, inbox_of: MakeInbox) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.txt"))
        found = sentences(settled(inbox_of("text")))
    assert found == [
        "pipe.txt is a FIFO, and only files can be used; copy the file itself into inbox/1-text.",
        "socket.txt is a socket, and only files can be used; copy the file itself into inbox/1-text.",
    ]


def test_symlinked_companion_refuses_the_whole_drop(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    (tmp_path / "cat.yaml").symlink_to("/etc/passwd")
    (refusal,) = settled(inbox_of("text")).refused
    assert roles(refusal.drop) == {PRINCIPAL: "cat.txt", ".yaml": "cat.yaml"}
    assert refusal.sentence.startswith("cat.yaml is a symbolic link")


def test_file_of_another_stage_is_sent_there(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    assert sentences(settled(inbox_of("decode"))) == [
        "cat.txt is a .txt file, and the decode stage takes .tif .tiff .exr .latent; move it to inbox/1-text."
    ]


def test_picture_in_the_diffuse_inbox_is_sent_to_encode(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "Cat.PNG")
    assert sentences(settled(inbox_of("diffuse"))) == [
        "Cat.PNG is a .png file, and the diffuse stage takes .tif .tiff .exr .latent; move it to inbox/encode."
    ]


def test_unknown_extension_is_refused_only_when_no_program_may_rename_it_any_more(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.tiff-x7f3", "noise")
    inbox = inbox_of("decode")
    scan = settled(inbox)
    assert set(waiting(scan)) == {"cat.tiff-x7f3", "noise"}
    assert sorted(sentences(inbox.scan(100.0 + UNLEASED))) == [
        "cat.tiff-x7f3 ends in .tiff-x7f3, and the decode stage takes .tif .tiff .exr .latent; save it as one of these.",
        "noise has no extension, and the decode stage takes .tif .tiff .exr .latent; save it as one of these.",
    ]


def test_sentences_stay_on_one_line(tmp_path: Path, inbox_of: MakeInbox) -> None:
    (tmp_path / "two\nlines.txt").symlink_to("x")
    assert sentences(settled(inbox_of("text")))[0].startswith("two\\nlines.txt is a symbolic link")


# -- what is left alone -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *(".cat.tiff.AbC123", ".goutputstream-X1", "._cat.tiff", ".nfs0001", ".~lock.cat.txt#", "cat.tiff~", "#cat.txt#", "4913"),
        *(
            "cat.tiff.part",
            "cat.CRDOWNLOAD",
            "cat.tiff.filepart",
            "~$cat.txt",
            "~syncthing~cat.tmp",
            "cat.swp",
            "Thumbs.db",
            "@eaDir",
        ),
    ],
)
def test_temporary_names_are_never_drops(name: str, tmp_path: Path, inbox_of: MakeInbox) -> None:
    assert is_temporary(name)
    drop(tmp_path, name)
    assert settled(inbox_of("text"), after=60) == Scan()


HOUSEKEEPING = [
    *("cat.tiff~", "cat.xcf", "Cat.KRA", "cat.tiff.xmp", "cat.txt:Zone.Identifier", "cat.txt\uf03aZone.Identifier", "Icon\r"),
    *("cat.tiff@SynoEAStream", "cat.txt.sb-1a2b3c4d-AbCdEf", "Thumbs.db", "desktop.ini", "#recycle", "$RECYCLE.BIN"),
    *("._cat.tiff", ".DS_Store", "@eaDir", ".stfolder", ".stignore", ".stversions", ".~lock.cat.txt#", "~$cat.txt", "lost+found"),
]


@pytest.mark.parametrize("name", HOUSEKEEPING)
def test_what_programs_keep_for_themselves_is_no_drop_and_never_worth_a_word(
    name: str, tmp_path: Path, inbox_of: MakeInbox
) -> None:
    assert is_temporary(name)
    drop(tmp_path, name)
    assert settled(inbox_of("text"), after=100_000) == Scan()


@pytest.mark.parametrize(
    "name",
    [
        *("cat.txt", "icon.txt", "cat.sb-1.txt", "zone.identifier.txt"),
        *("#1 cat.txt", "a~b.txt", "parts.txt", "tmp.txt", "\N{CAT}.txt", "armed_conflict.txt", "holding.txt", "a pause.txt"),
    ],
)
def test_ordinary_names_are_drops(name: str, tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, name)
    assert ready(settled(inbox_of("text"))) == [{PRINCIPAL: name}]


def test_temporary_file_that_stays_is_mentioned(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt.part")
    assert waiting(settled(inbox_of("text"), after=3600)) == {
        "cat.txt.part": "has the name of a temporary file; rename it if it is meant to be used"
    }


def test_folders_are_left_alone_and_mentioned(tmp_path: Path, inbox_of: MakeInbox) -> None:
    (tmp_path / "holiday.txt").mkdir()
    drop(tmp_path / "holiday.txt", "cat.txt")
    scan = settled(inbox_of("text"))
    assert (scan.ready, scan.refused) == ([], [])
    assert waiting(scan) == {"holiday.txt": "is a folder; move the files in it here one by one"}


def test_signs_for_people_are_never_drops(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "README.txt", "README", "Readme.md", "PAUSE")
    assert settled(inbox_of("text")) == Scan(paused=True)


@pytest.mark.parametrize("name", ["HOLD", "hold.txt", "Hold.txt.txt"])
def test_a_sign_of_the_gate_in_an_inbox_is_no_drop_and_is_sent_where_it_counts(
    name: str, tmp_path: Path, inbox_of: MakeInbox
) -> None:
    drop(tmp_path, name)
    scan = settled(inbox_of("text"))
    assert (scan.ready, scan.refused, scan.paused) == ([], [], False)
    said = "is the sign HOLD, which counts in hold/1-text; move it there, or rename it if it is meant to be used"
    assert waiting(scan) == {name: said}


CONFLICTS = {
    "cat.sync-conflict-20261130-120000-ABCDEF7.txt": "cat.txt",
    "cat.3f9a1c2e.sync-conflict-20261130-120000-ABCDEF7.tiff": "cat.3f9a1c2e.tiff",
    "cat (conflicted copy 2026-11-30 120000).txt": "cat.txt",
    "cat (Alice's conflicted copy 2026-11-30).txt": "cat.txt",
    "cat_conflict-20261130-120000.txt": "cat.txt",
    "cat (SFConflict alice@example.org 2026-11-30-12-00-00).txt": "cat.txt",
    "cat_BOX_Nov-30-120000-2026_Conflict.txt": "cat_BOX.txt",
    "cat.conflict1.txt": "cat.txt",
    "cat.txt.conflict2": "cat.txt",
}


@pytest.mark.parametrize(("name", "original"), CONFLICTS.items())
def test_a_copy_of_a_conflict_waits_with_a_sentence_and_the_file_itself_is_used(
    name: str, original: str, tmp_path: Path, inbox_of: MakeInbox
) -> None:
    drop(tmp_path, name, "cat.txt")
    scan = settled(inbox_of("text"), after=100_000)
    assert ready(scan) == [{PRINCIPAL: "cat.txt"}]
    assert scan.refused == []
    assert waiting(scan) == {
        name: f"is a copy that a sync program made because {original} was changed in two places at once; "
        "compare the two, and rename the copy if it is meant to be used, or delete it"
    }


def test_the_settings_in_a_copy_of_a_conflict_are_nobodys(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.tiff", "cat.sync-conflict-20261130-120000-ABCDEF7.yaml")
    assert ready(settled(inbox_of("diffuse"))) == [{PRINCIPAL: "cat.tiff"}]


@pytest.mark.parametrize("sign", ["PAUSE", "PAUSE.txt", "pause", "Pause.txt", "pause.TXT", "PAUSE.txt.txt"])
def test_pause_stops_the_stage_until_it_is_removed(sign: str, tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, sign, "cat.txt")
    (tmp_path / "dog.txt").symlink_to("x")
    inbox = inbox_of("text")
    scan = settled(inbox)
    assert scan.paused
    assert (scan.ready, scan.refused) == ([], [])
    assert waiting(scan) == {name: "is ready, but the stage is paused" for name in ("cat.txt", "dog.txt")}
    (tmp_path / sign).unlink()
    after = inbox.scan(102.0)
    assert not after.paused
    assert len(after.ready) == len(after.refused) == 1


# -- what belongs together --------------------------------------------------------------------------------------------------------


def grouped(stage: str, *names: str) -> tuple[list[dict[str, str]], list[str]]:
    groups, alone = group_into_drops(STAGES[stage], names)
    return [found.roles for found in groups], alone


def test_halves_wait_for_each_other_visibly(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat_latent.tiff")
    inbox = inbox_of("diffuse")
    scan = settled(inbox, after=7200)
    assert scan.ready == []
    assert waiting(scan) == {"cat_latent.tiff": "waits for cat_prompt.tiff"}
    drop(tmp_path, "cat_prompt.tiff")
    inbox.scan(8000.0)
    (found,) = inbox.scan(8001.0).ready
    assert found.stem == "cat"
    assert roles(found) == {PRINCIPAL: "cat_latent.tiff", "_prompt": "cat_prompt.tiff"}


def test_half_that_waited_too_long_is_refused_with_what_lies_beside_it(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat_latent.tiff", "cat.yaml")
    inbox = inbox_of("diffuse")
    inbox.scan(100.0)
    assert waiting(inbox.scan(99.0 + PATIENCE)) == {"cat_latent.tiff": "waits for cat_prompt.tiff"}
    (refusal,) = inbox.scan(100.0 + PATIENCE).refused
    assert roles(refusal.drop) == {PRINCIPAL: "cat_latent.tiff", ".yaml": "cat.yaml"}
    assert refusal.sentence == "cat_latent.tiff waited 10 hours for cat_prompt.tiff, which did not come; drop both to try again."


@pytest.mark.parametrize("order", [1, -1])
def test_halves_come_in_any_order(order: int) -> None:
    names = ["cat_state1.tif", "cat_textstate1.tif"][::order]
    assert grouped("diffuse", *names) == ([{PRINCIPAL: "cat_state1.tif", "_textstate1": "cat_textstate1.tif"}], [])


def test_embedding_half_alone_waits_for_its_latents() -> None:
    (found,), _alone = group_into_drops(STAGES["diffuse"], ["cat_prompt.tiff"])
    assert found.missing == "cat_latent.tiff"


def test_two_latents_with_one_embedding_serve_the_first() -> None:
    groups, _alone = group_into_drops(STAGES["diffuse"], ["cat_latent.tif", "cat_latent.tiff", "cat_prompt.tiff"])
    assert [(found.principal, found.missing) for found in groups] == [
        ("cat_latent.tif", None),
        ("cat_latent.tiff", "cat_prompt.tiff"),
    ]


def test_two_pairs_of_one_name_are_two_drops() -> None:
    names = ["cat_latent.tif", "cat_latent.tiff", "cat_prompt.tif", "cat_prompt.tiff"]
    assert grouped("diffuse", *names) == (
        [{PRINCIPAL: "cat_latent.tif", "_prompt": "cat_prompt.tif"}, {PRINCIPAL: "cat_latent.tiff", "_prompt": "cat_prompt.tiff"}],
        [],
    )


def test_half_that_is_not_settled_keeps_the_other_waiting(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat_latent.tiff")
    inbox = inbox_of("diffuse")
    inbox.scan(100.0)
    drop(tmp_path, "cat_prompt.tiff")
    scan = inbox.scan(105.0)
    assert waiting(scan) == {"cat_latent.tiff": "cat_prompt.tiff changed a moment ago"}
    assert scan.due == 106.0


def test_settings_belong_to_the_file_of_the_same_stem() -> None:
    assert grouped("decode", "cat.tiff", "dog.tiff", "cat.yaml", "dog.YML") == (
        [{PRINCIPAL: "cat.tiff", ".yaml": "cat.yaml"}, {PRINCIPAL: "dog.tiff", ".yml": "dog.YML"}],
        [],
    )


def test_settings_match_the_stem_as_dropped_before_the_stem_without_id() -> None:
    assert grouped("decode", "cat.aaaaaaaa.tiff", "cat.bbbbbbbb.tiff", "cat.bbbbbbbb.yaml", "cat.yaml") == (
        [
            {PRINCIPAL: "cat.aaaaaaaa.tiff", ".yaml": "cat.yaml"},
            {PRINCIPAL: "cat.bbbbbbbb.tiff", ".yaml": "cat.bbbbbbbb.yaml"},
        ],
        [],
    )


def test_settings_go_to_the_file_of_their_very_name_before_an_earlier_one_with_an_id() -> None:
    assert grouped("decode", "cat.aaaaaaaa.tiff", "cat.tiff", "cat.yaml") == (
        [{PRINCIPAL: "cat.aaaaaaaa.tiff"}, {PRINCIPAL: "cat.tiff", ".yaml": "cat.yaml"}],
        [],
    )


def test_a_name_that_is_only_an_ending_is_a_file_of_its_own(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "_neg.txt")
    scan = settled(inbox_of("text"))
    assert ready(scan) == [{PRINCIPAL: "_neg.txt"}]
    assert waiting(scan) == {}


def test_a_half_that_is_only_an_ending_is_a_file_of_its_own(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "_latent.tiff")
    assert ready(settled(inbox_of("diffuse"))) == [{PRINCIPAL: "_latent.tiff"}]


def test_a_second_companion_of_one_kind_waits_and_takes_the_place_of_none() -> None:
    assert grouped("decode", "cat.aaaaaaaa.tiff", "cat.aaaaaaaa.yaml", "cat.yaml") == (
        [{PRINCIPAL: "cat.aaaaaaaa.tiff", ".yaml": "cat.aaaaaaaa.yaml"}],
        ["cat.yaml"],
    )


def test_companion_alone_waits_visibly_and_never_starts_a_job(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.yaml", "dog_neg.txt")
    scan = settled(inbox_of("text"), after=7200)
    assert (scan.ready, scan.refused) == ([], [])
    assert waiting(scan) == {
        "cat.yaml": "waits for the file it belongs to, cat.txt for example",
        "dog_neg.txt": "waits for the file it belongs to, dog.txt for example",
    }


def test_prompt_pair_of_the_text_stage() -> None:
    (found,), alone = group_into_drops(STAGES["text"], ["cat_prompt.txt", "cat_neg.txt", "cat.yaml"])
    assert found.stem == "cat"
    assert found.roles == {PRINCIPAL: "cat_prompt.txt", "_neg.txt": "cat_neg.txt", ".yaml": "cat.yaml"}
    assert alone == []


def test_plain_prompt_has_its_own_negative() -> None:
    assert grouped("text", "cat.txt", "cat_neg.txt") == ([{PRINCIPAL: "cat.txt", "_neg.txt": "cat_neg.txt"}], [])


def test_text_beside_a_picture_is_its_prompt() -> None:
    assert grouped("encode", "cat.png", "cat.txt", "cat_neg.txt", "cat_mask.png") == (
        [{PRINCIPAL: "cat.png", ".txt": "cat.txt", "_neg.txt": "cat_neg.txt", "_mask.png": "cat_mask.png"}],
        [],
    )
    assert grouped("encode", "cat.png", "cat_prompt.txt") == ([{PRINCIPAL: "cat.png", ".txt": "cat_prompt.txt"}], [])


def test_companions_of_a_pair() -> None:
    assert grouped("diffuse", "cat.yaml", "cat_latent.tiff", "cat_prompt.tiff", "cat_mask.png") == (
        [{PRINCIPAL: "cat_latent.tiff", "_prompt": "cat_prompt.tiff", ".yaml": "cat.yaml", "_mask.png": "cat_mask.png"}],
        [],
    )


def test_companion_is_given_once() -> None:
    assert grouped("encode", "cat.png", "cat.jpg", "cat.txt") == (
        [{PRINCIPAL: "cat.png", ".txt": "cat.txt"}, {PRINCIPAL: "cat.jpg"}],
        [],
    )


@pytest.mark.parametrize(("kind", "means"), [("nfs4", None), ("cifs", None), ("fuse.sshfs", True), ("ext4", True)])
def test_a_refused_lease_says_nothing_where_the_server_gives_leases_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, means: bool | None
) -> None:
    with mounted_as(kind, tmp_path, monkeypatch), (tmp_path / "cat.txt").open("wb"):
        assert Beneath(tmp_path).is_being_written(tmp_path / "cat.txt") is means


@pytest.mark.parametrize(("kind", "means"), [("nfs4", None), ("cifs", None), ("fuse.sshfs", None), ("fuse", None), ("ext4", False)])
def test_a_granted_lease_is_believed_only_where_nobody_writes_from_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, means: bool | None
) -> None:
    drop(tmp_path, "cat.txt")
    with mounted_as(kind, tmp_path, monkeypatch):
        assert Beneath(tmp_path).is_being_written(tmp_path / "cat.txt") is means


@pytest.mark.parametrize(("kind", "keeps"), [("ext4", True), ("fuse.sshfs", False), ("nfs4", False), ("vfat", False)])
def test_owners_are_believed_only_where_the_filesystem_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, keeps: bool
) -> None:
    with mounted_as(kind, tmp_path, monkeypatch):
        assert lease.keeps_owners(tmp_path.stat().st_dev) is keeps


@contextmanager
def mounted_as(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within the block the list of mounts calls the filesystem of a folder one of this kind."""
    device, mounts = folder.stat().st_dev, folder / "mountinfo"
    mounts.write_text(f"36 35 {os.major(device)}:{os.minor(device)} / {folder} rw - {kind} server:/spool rw\n")
    monkeypatch.setattr(lease, "MOUNTS", mounts)
    lease._type_of.cache_clear()
    lease.keeps_owners.cache_clear()
    try:
        yield
    finally:
        lease._type_of.cache_clear()
    lease.keeps_owners.cache_clear()


# -- many files -------------------------------------------------------------------------------------------------------------------


def test_claims_are_served_from_the_scan_a_part_at_a_time(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, *(f"{i:04}.txt" for i in range(AT_ONCE + 3)))
    inbox = inbox_of("text")
    scan = settled(inbox)
    assert [found.stem for found in scan.ready] == [f"{i:04}" for i in range(AT_ONCE)]
    assert scan.more
    for found in scan.ready:
        found.principal.path.unlink()
    rest = inbox.scan(102.0)
    assert [found.stem for found in rest.ready] == [f"{i:04}" for i in range(AT_ONCE, AT_ONCE + 3)]
    assert not rest.more


def test_waiting_files_are_not_examined_again_until_they_are_offered(
    tmp_path: Path, inbox_of: MakeInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path, *(f"{i:04}.txt" for i in range(3 * AT_ONCE)))
    inbox = inbox_of("text")
    settled(inbox)
    examined: list[object] = []
    look_at = Arrivals.examined
    monkeypatch.setattr(Arrivals, "examined", lambda self, name, now: (examined.append(name), look_at(self, name, now))[1])
    monkeypatch.setattr(lease, "is_being_written", lambda *_, **__: pytest.fail("what is known to be free needs no second lease"))
    inbox.scan(200.0)
    assert len(examined) == AT_ONCE


def test_a_drop_that_waits_is_judged_once_and_offered_as_it_is_until_something_of_it_changes(
    tmp_path: Path, inbox_of: MakeInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path, "cat.txt", "dog.txt", "dog.yaml")
    inbox = inbox_of("text")
    cat, dog = settled(inbox).ready
    judged: list[str] = []
    judge = Inbox._refusal_sentence
    monkeypatch.setattr(
        Inbox, "_refusal_sentence", lambda self, found, *given: (judged.append(found.principal), judge(self, found, *given))[1]
    )
    again = inbox.scan(200.0).ready
    assert (again[0] is cat, again[1] is dog, judged) == (True, True, [])
    (tmp_path / "dog.yaml").write_bytes(b"other settings")
    drop(tmp_path, "cat_neg.txt")
    assert inbox.scan(201.0).ready == []
    more, changed = inbox.scan(202.0).ready
    assert [member.path.name for member in more.members] == ["cat.txt", "cat_neg.txt"]
    assert [member.mark[2] for member in changed.members] == [len(b"content"), len(b"other settings")]
    assert judged == ["dog.txt", "cat.txt", "dog.txt"], "what has changed is first waited for"


def test_file_that_changed_while_it_waited_settles_again_before_it_is_offered(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, "cat.txt")
    inbox = inbox_of("text")
    assert settled(inbox).ready
    (tmp_path / "cat.txt").write_bytes(b"painted")
    scan = inbox.scan(200.0)
    assert scan.ready == []
    assert scan.due == 200.0 + SETTLE
    (found,) = inbox.scan(200.0 + SETTLE).ready
    assert found.principal.mark[2] == len(b"painted")


def test_ten_thousand_waiting_files_are_cheap(tmp_path: Path, inbox_of: MakeInbox) -> None:
    drop(tmp_path, *(f"{i:05}.3f9a1c2e.txt" for i in range(10_000)))
    inbox = inbox_of("text")
    settled(inbox)
    before = time.process_time()
    for now in range(10):
        inbox.scan(200.0 + now)
    assert time.process_time() - before < 1.0


def test_a_result_of_the_daemons_own_need_not_stand_still(tmp_path: Path) -> None:
    own: set[Mark] = set()
    times = {"settle_seconds": SETTLE, "settle_unleased_seconds": UNLEASED, "empty_grace_seconds": 9.0}
    inbox = Inbox(STAGES["diffuse"], tmp_path, is_own=own.__contains__, **times)
    path = tmp_path / "cat.0a1b2c3d.tiff"
    path.write_bytes(b"whole")
    assert inbox.scan(0.0).ready == []
    st = path.stat()
    own.add((st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns))
    with path.open("ab"):
        assert inbox.scan(0.01).ready == [], "a writer is looked for all the same"
    assert [drop.stem for drop in inbox.scan(0.02).ready] == ["cat"]
    path.write_bytes(b"and somebody wrote into it")
    assert inbox.scan(0.03).ready == []
