"""The table of a spool's folders: who may write where, and the modes that say so."""

from pathlib import PurePath

import pytest

from daemon import layout
from daemon.layout import Folder, Writers, folders, mode_for

STAGES = ("1-text", "encode")


def test_what_members_may_write_in_never_holds_a_folder_of_the_table() -> None:
    by_path = {folder.path: folder for folder in folders(STAGES)}
    for folder in by_path.values():
        above = by_path[str(PurePath(folder.path).parent)]
        assert folder.path == "." or above.writers is Writers.DAEMON, folder


def test_members_write_wherever_people_drop_edit_cancel_and_take_away() -> None:
    open_to_members = {folder.path for folder in folders(["1-text"]) if folder.writers is Writers.MEMBERS}
    by_stage = {"inbox/1-text", "hold/1-text", "failed/1-text"}
    assert open_to_members == by_stage | {"embeddings", "running", "steps", "pictures", "previews"}


def test_a_folder_stands_behind_the_one_that_it_lies_in() -> None:
    seen = {"."}
    for folder in folders(STAGES)[1:]:
        assert str(PurePath(folder.path).parent) in seen
        seen.add(folder.path)


@pytest.mark.parametrize("folder", folders(STAGES), ids=lambda folder: folder.path)
def test_a_new_folder_gives_others_no_more_than_the_table_does(folder: Folder) -> None:
    assert mode_for(PurePath(folder.path)) & 0o770 == folder.writers.value & 0o770


def test_folders_that_the_table_does_not_name_are_for_members() -> None:
    assert {mode_for(PurePath(path)) for path in ("done/2026-11-29", "failed/unclear", "inbox/7-new")} == {0o777}


def test_the_lines_for_tmpfiles_give_folders_their_modes_before_their_lists() -> None:
    lines = [line.split() for line in layout.tmpfiles("/data", STAGES, user="u", group="g")]
    made = {line[1]: line[2] for line in lines if line[0] == "d"}
    assert made["/data"] == "2750"
    assert made["/data/inbox/encode"] == "2770"
    assert made["/data/.keep"] == "0700"
    assert {line[1] for line in lines if line[0] == "a+"} == made.keys() - {"/data/.work", "/data/.keep", "/data/.trash"}
    assert [line[:3] for line in lines[-2:]] == [["z", "/data/.lock", "0600"], ["z", "/data/.alive", "0640"]]
