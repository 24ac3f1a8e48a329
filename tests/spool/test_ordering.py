"""Which filesystem is known to keep the order of changes, and what `durability: ordered` leaves out there."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from daemon.spool import ordering
from daemon.spool.filesystem import Filesystem
from daemon.spool.ordering import SPARED, why_unordered
from daemon.spool.spool import Spool
from tests.spool.real import claim_one, complete, drop
from tests.spool.stories import FOLDERS

COMMITS = "fc stats:\n{} commits\n{} ineligible\n7 numblks\n0us avg_commit_time\n"


class On(Filesystem):
    """A filesystem of which the system says something else than it is; None is said with an error."""

    def __init__(self, root: Path, kind: str, **files: str | None) -> None:
        super().__init__(root)
        st = root.stat()
        number = f"{os.major(st.st_dev)}:{os.minor(st.st_dev)}"
        self.said: dict[str, str | None] = {
            "/proc/self/mountinfo": f"1 0 0:1 / /elsewhere rw - proc proc rw\n27 1 {number} / / rw - {kind} /dev/disk rw\n",
            f"/sys/dev/block/{number}/uevent": "MAJOR=254\nDEVNAME=dm-0\nDEVTYPE=disk\n",
            **{f"/{name}": text for name, text in files.items()},
        }

    def read(self, path: Path) -> bytes:
        text = self.said.get(str(path))
        if text is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return text.encode()


def ext4(root: Path, journal: str, commits: str | None) -> On:
    return On(root, "ext4", **{"sys/fs/ext4/dm-0/journal_task": journal, "proc/fs/ext4/dm-0/fc_info": commits})


def test_xfs_and_ext4_with_its_journal_and_without_fast_commits_keep_the_order(root: Path) -> None:
    before = sorted(os.listdir(root))
    for fs in (On(root, "xfs"), ext4(root, "312\n", COMMITS.format(0, 0)), ext4(root, "312\n", None)):
        assert why_unordered(fs, root) is None
    assert sorted(os.listdir(root)) == before


@pytest.mark.parametrize(
    ("kind", "journal", "commits", "why"),
    [
        ("ext4", "312\n", COMMITS.format(3, 0), "its ext4 makes fast commits"),
        ("ext4", "312\n", COMMITS.format(0, 1), "its ext4 makes fast commits"),
        ("ext4", "<none>\n", COMMITS.format(0, 0), "its ext4 has no journal"),
        ("btrfs", None, None, "it lies on btrfs"),
        ("ext4", None, None, "it cannot be told what it lies on (No such file or directory)"),
    ],
)
def test_any_other_is_not_known_to(kind: str, journal: str | None, commits: str | None, why: str, root: Path) -> None:
    fs = On(root, kind, **{"sys/fs/ext4/dm-0/journal_task": journal, "proc/fs/ext4/dm-0/fc_info": commits})
    assert why_unordered(fs, root) == why


def test_one_that_the_system_does_not_list_is_not_known_to(root: Path) -> None:
    fs = On(root, "xfs")
    fs.said["/proc/self/mountinfo"] = ""
    assert why_unordered(fs, root) == "it lies on a filesystem that cannot be told"


def test_btrfs_is_named_though_its_number_is_not_in_the_list(root: Path) -> None:
    fs = On(root, "xfs")
    at = str(root.resolve()).replace(" ", "\\040")
    fs.said["/proc/self/mountinfo"] = f"1 0 0:1 / / rw - ext4 disk rw\n2 1 0:99 / {at} rw - btrfs disk rw\n"
    assert why_unordered(fs, root) == "it lies on btrfs"


def test_the_question_is_asked_again_after_a_crash(root: Path) -> None:
    (root / ordering.PROBE).touch()
    assert why_unordered(ext4(root, "312\n", COMMITS.format(0, 0)), root) is None
    assert not (root / ordering.PROBE).exists()


def test_in_order_a_job_waits_for_no_folder_that_was_left_or_for_records_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    class Noting(Filesystem):
        def fsync(self, file: Any, what: str) -> None:
            synced.append(what)
            super().fsync(file, what)

    fs = Noting(root)
    spool = Spool(root, FOLDERS, fs=fs)
    monkeypatch.setattr(fs._beneath, "fsync_folder", lambda folder: synced.append(folder.parent.name))

    def synced_by_a_job(name: str) -> list[str]:
        synced.clear()
        drop(root, name)
        complete(spool, claim_one(spool))
        return list(synced)

    monkeypatch.setattr(ordering, "why_unordered", lambda *_: "it lies on btrfs")
    assert spool.spare_syncs(trusts_order=True) == "it lies on btrfs"
    synced_by_a_job("ape.tiff")  # which makes the folder of the day
    all_of_them = len(synced_by_a_job("dog.tiff"))
    assert all_of_them > 15
    monkeypatch.setattr(ordering, "why_unordered", lambda *_: None)
    assert spool.spare_syncs(trusts_order=False) is None
    assert len(synced_by_a_job("cow.tiff")) == all_of_them - len(SPARED)
    assert spool.spare_syncs(trusts_order=True) is None
    records = [["claim.json: content", ".work"], ["attempt.json: content", ".work"], ["commit.json: content", ".work"]]
    assert synced_by_a_job("cat.tiff") == [*records[0], *records[1], "output: content", *records[2]]
