"""The order of the operations of one job, call by call: what makes it safe, for people to read."""

import re
from pathlib import Path
from typing import Any

import pytest

from daemon.spool.spool import Spool
from tests.spool.disk import ROOT, Disk, OpenFile
from tests.spool.stories import FOLDERS, SIGNED, STORIES, TODAY, live

CHANGES = ("mkdir", "rename", "fsync_folder", "rmdir", "unlink .trash", "unlink .work/J/entrusted")


def _calls(name: str, way: str = "finish") -> list[str]:
    """What a life asks of the disk, each operation with its paths; J is the job."""
    disk = STORIES[name].world()
    calls: list[str] = []

    def note(operation: str, args: tuple[Any, ...]) -> None:
        paths = [arg.name if isinstance(arg, OpenFile) else str(arg) for arg in args if isinstance(arg, Path | OpenFile)]
        calls.append(re.sub(r"\d{8}T\d{6}Z-\d{6}-[0-9a-f]{8}", "J", " ".join([operation, *paths])).replace("/spool/", ""))

    disk.before = note
    live(STORIES[name], disk, way=way)
    return calls


def test_calls_come_in_the_order_that_makes_a_job_safe() -> None:
    changes = [call for call in _calls("one output") if call.startswith(CHANGES)]
    assert changes[:-6] == [
        # C1, C2: the job and who it is
        "mkdir .work/J",
        "fsync_folder .work",
        "mkdir .work/J/in",
        "rename .work/J/.claim.json.part .work/J/claim.json",
        "fsync_folder .work/J",
        # C3, C4: the claim
        "rename inbox/2-diffuse/cat.tiff .work/J/in/cat.tiff",
        "fsync_folder .work/J/in",
        "fsync_folder inbox/2-diffuse",
        # R1, R2: counted before anything is computed
        "rename .work/J/.attempt.json.part .work/J/attempt.json",
        "fsync_folder .work/J",
        "mkdir .work/J/out",
        # read without harm and given to the worker; come back from it
        "rename .work/J/.entrusted.json.part .work/J/entrusted.json",
        "unlink .work/J/entrusted.json",
        # S1, S2, S3: outputs, then the commit
        "rename_noreplace .work/J/out/.output0.part .work/J/out/output0",
        "fsync_folder .work/J/out",
        "fsync_folder .work/J",
        "rename .work/J/.commit.json.part .work/J/commit.json",
        "fsync_folder .work/J",
        # P1, P2: published
        "rename_noreplace .work/J/out/output0 pictures/cat.00000001.tiff",
        "fsync_folder pictures",
        "fsync_folder .work/J/out",
        # A1, A2, A3: archived, cleared away
        f"mkdir done/{TODAY}",
        "fsync_folder done",
        f"rename_noreplace .work/J/in/cat.tiff done/{TODAY}/cat.tiff",
        f"fsync_folder done/{TODAY}",
        "fsync_folder .work/J/in",
        "rename .work/J .trash/J",
        "fsync_folder .trash",
        "fsync_folder .work",
    ]
    # A3: the empty folders first, they are the proof that nothing is left
    assert [call.split()[0] for call in changes[-6:]] == ["rmdir", "rmdir", "unlink", "unlink", "unlink", "rmdir"]


def test_content_is_durable_before_its_name() -> None:
    calls = _calls("pair and settings")
    # The note that a worker has the job need not outlive the machine.
    renames = [(number, call.split()) for number, call in enumerate(calls) if call.startswith("rename") and ".part " in call]
    named = [rename for rename in renames if "entrusted" not in rename[1][1]]
    assert len(named) == 5
    for number, (_operation, part, _name) in named:
        assert f"fsync {part}" in calls[:number]


def test_what_goes_back_goes_after_its_companions_so_that_it_does_not_start_without_them() -> None:
    calls = _calls("given back", way="give back")
    inbox = "inbox/2-diffuse"
    returned = [call.rsplit(f" {inbox}/", 1)[1] for call in calls if call.startswith("rename_noreplace") and f" {inbox}/" in call]
    assert returned == ["cat.yaml", "cat_prompt.tiff", "cat_latent.tiff"]


def test_latents_leave_hold_after_what_lies_beside_them_and_come_back_after_it() -> None:
    moved = [call.split() for call in _calls("applied, given back", way="give back") if call.startswith("rename")]
    taken = [source for _, source, target in moved if target.startswith(".work/J/in/")]
    back = [target for _, _, target in moved if target.startswith(("hold/", "inbox/"))]
    assert sorted(taken) == sorted(back) == sorted(f"hold/2-diffuse/{name}" for name in SIGNED)
    assert taken[-1] == back[-1] == "hold/2-diffuse/cat.3f9a1c2e.tiff"


FAILED = ["fail.json: content", "fail.json: its place", "error.txt: content", "error.json: content", "fail: the reports"]
CLEARED = ["wipe: out/", "discard: the job in .trash/", "discard: .work/ that it left"]


@pytest.mark.parametrize(
    ("name", "ways", "synced"),
    [
        ("failing", ["fail"], [*FAILED, "fail: the members in failed/", *CLEARED]),
        (
            "given back",
            ["give back"],
            ["give back: the decision", "give back: the members in their inbox", "give back: back.N that they left", *CLEARED],
        ),
        ("failed and retried", ["fail", "retry"], ["retry: the members in their inbox"]),
        ("hold", ["finish", "release"], ["hold: the file and its companions"]),
    ],
)
def test_every_other_end_of_a_job_is_durable_step_by_step(name: str, ways: list[str], synced: list[str]) -> None:
    disk = STORIES[name].world()
    sites: list[str] = []
    for way in ways:
        sites = []
        disk.before = lambda operation, args, sites=sites: sites.append(args[1]) if operation.startswith("fsync") else None
        live(STORIES[name], disk, way=way)
    first = 0 if len(ways) > 1 else sites.index("output: content" if "output: content" in sites else "attempt.json: its place") + 1
    assert sites[first:][: len(synced)] == synced


def test_what_is_released_goes_after_its_companions() -> None:
    disk, moved = Disk(), list[str]()
    spool = Spool(ROOT, FOLDERS, fs=disk)
    spool.create()
    for name in ("cat.tiff", "cat.yaml", "cat.txt"):
        disk.put(f"hold/2-diffuse/{name}", b"content")
    disk.before = lambda operation, args: moved.append(args[1].name) if operation == "rename_noreplace" else None
    spool.release_hold(ROOT / "hold/2-diffuse/cat.tiff")
    assert sorted(moved[:-1]) == ["cat.txt", "cat.yaml"]
    assert moved[-1] == "cat.tiff"
