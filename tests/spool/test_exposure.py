"""Who could replace the folders of a spool, and the command that mends it."""

import os
import shlex
import subprocess
from collections.abc import Collection
from pathlib import Path

import pytest

from daemon.spool import exposure
from daemon.spool.spool import Spool
from tests.spool.stories import FOLDERS

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")


def alice(_group: int, _trusted: Collection[int]) -> list[str]:
    return ["alice"]


def nobody(_group: int, _trusted: Collection[int]) -> list[str]:
    return []


def complaints(root: Path, members: exposure.Members = alice) -> list[str]:
    return exposure.complaints(root, FOLDERS.values(), members=members)


def mend(sentence: str) -> None:
    """Do what the sentence says."""
    subprocess.run(shlex.split(sentence.split("`")[1]), check=True)


def test_a_spool_as_it_is_made_has_nothing_to_complain_of_whatever_the_umask(worlds: Path) -> None:
    before = os.umask(0o002)
    try:
        Spool(worlds / "new", FOLDERS).create()
    finally:
        os.umask(before)
    assert complaints(worlds / "new") == []


@pytest.mark.parametrize("folder", [".", "inbox", "failed", "done", "inbox/.."])
def test_a_folder_that_the_group_may_write_in_is_named_and_its_command_mends_it(root: Path, folder: str) -> None:
    (root / folder).chmod(0o2775)
    (sentence,) = complaints(root)
    assert sentence.startswith("alice can replace folders of the daemon's")
    assert f"chmod g-w {(root / folder).resolve()}`" in sentence
    mend(sentence)
    assert complaints(root) == []


def test_folders_of_members_are_theirs_to_write_in(root: Path) -> None:
    for folder in ("inbox/1-text", "pictures", "running"):
        (root / folder).chmod(0o2770)
    assert complaints(root) == []


def test_a_group_with_nobody_else_in_it_is_no_danger(root: Path) -> None:
    root.chmod(0o2770)
    assert complaints(root, nobody) == []


def test_everybody_is_a_danger_wherever_the_spool_lies(worlds: Path) -> None:
    above = worlds / "above"
    Spool(above / "spool", FOLDERS).create()
    above.chmod(0o777)
    (sentence,) = complaints(above / "spool", nobody)
    assert sentence.startswith("everybody can replace")
    mend(sentence)
    assert complaints(above / "spool", nobody) == []


def test_in_a_sticky_folder_nobody_replaces_what_is_anothers(worlds: Path) -> None:
    above = worlds / "above"
    Spool(above / "spool", FOLDERS).create()
    above.chmod(0o1777)
    assert complaints(above / "spool") == []


def test_the_spool_is_looked_at_where_its_link_leads(worlds: Path) -> None:
    above = worlds / "above"
    Spool(above / "spool", FOLDERS).create()
    (worlds / "link").symlink_to(above / "spool")
    above.chmod(0o777)
    assert len(complaints(worlds / "link", nobody)) == 1


def test_an_access_control_list_lets_in_more_than_the_group(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.chmod(0o2770)
    monkeypatch.setattr(os, "listxattr", lambda path: ["system.posix_acl_access"] * (path == root.resolve()))
    (sentence,) = complaints(root, nobody)
    assert sentence.startswith("somebody in an access control list")


@needs_root
def test_a_folder_above_that_is_somebodys_is_said(worlds: Path) -> None:
    above = worlds / "above"
    Spool(above / "spool", FOLDERS).create()
    os.chown(above, 4321, -1)
    (sentence,) = complaints(above / "spool")
    assert sentence.startswith(f"{above.resolve()} belongs to 4321")
    mend(sentence)
    assert complaints(above / "spool") == []


def test_many_members_are_counted(root: Path) -> None:
    root.chmod(0o2770)
    (sentence,) = complaints(root, lambda _group, _trusted: ["alice", "bob", "carol", "dan", "eve"])
    assert sentence.startswith("alice, bob, carol and 2 others can")


def test_the_members_of_a_group_are_those_of_the_system_but_the_trusted() -> None:
    assert exposure.members_beside(0, {0}) == [] or os.geteuid() != 0
    assert "root" in exposure.members_beside(0, set())
    assert exposure.members_beside(987654, set()) == []
