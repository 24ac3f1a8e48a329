"""The order of the operations of one job, call by call: what makes it safe, for people to read."""

import re
from pathlib import Path
from typing import Any

from tests.spool.disk import OpenFile
from tests.spool.stories import STORIES, TODAY, live

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
