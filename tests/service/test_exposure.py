"""Who could replace the folders of a spool, and the command that mends it."""

import os
import shlex
import subprocess
from collections.abc import Collection
from pathlib import Path

import pytest

from daemon.service import exposure
from daemon.spool.spool import Spool
from tests.spool.stories import FOLDERS

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")


def alice(_group: int, _trusted: Collection[int]) -> list[str]:
    return ["alice"]


def nobody(_group: int, _trusted: Collection[int]) -> list[str]:
    return []


def complaints(root: Path, members: exposure.Members = alice) -> list[str]:
    return exposure.complaints(root, FOLDERS.values(), members=members)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Spool(tmp_path / "spool", FOLDERS).create()
    return tmp_path / "spool"


def mend(sentence: str) -> None:
    """Do what the sentence says."""
    subprocess.run(shlex.split(sentence.split("`")[1]), check=True)


def test_a_spool_as_it_is_made_has_nothing_to_complain_of_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        Spool(tmp_path / "new", FOLDERS).create()
    finally:
        os.umask(before)
    assert complaints(tmp_path / "new") == []


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


def test_everybody_is_a_danger_wherever_the_spool_lies(tmp_path: Path) -> None:
    above = tmp_path / "above"
    Spool(above / "spool", FOLDERS).create()
    above.chmod(0o777)
    (sentence,) = complaints(above / "spool", nobody)
    assert sentence.startswith("everybody can replace")
    mend(sentence)
    assert complaints(above / "spool", nobody) == []


def test_in_a_sticky_folder_nobody_replaces_what_is_anothers(tmp_path: Path) -> None:
    above = tmp_path / "above"
    Spool(above / "spool", FOLDERS).create()
    above.chmod(0o1777)
    assert complaints(above / "spool") == []


def test_the_spool_is_looked_at_where_its_link_leads(tmp_path: Path) -> None:
    above = tmp_path / "above"
    Spool(above / "spool", FOLDERS).create()
    (tmp_path / "link").symlink_to(above / "spool")
    above.chmod(0o777)
    assert len(complaints(tmp_path / "link", nobody)) == 1


def test_an_access_control_list_lets_in_more_than_the_group(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.chmod(0o2770)
    monkeypatch.setattr(os, "listxattr", lambda path: ["system.posix_acl_access"] * (path == root.resolve()))
    (sentence,) = complaints(root, nobody)
    assert sentence.startswith("somebody in an access control list")


@needs_root
def test_a_folder_above_that_is_somebodys_is_said(tmp_path: Path) -> None:
    above = tmp_path / "above"
    Spool(above / "spool", FOLDERS).create()
    os.chown(above, 4321, -1)
    (sentence,) = complaints(above / "spool")
    assert sentence == f"{above.resolve()} belongs to 4321, who can replace what lies in it; put the spool elsewhere"


@needs_root
def test_a_folder_of_the_daemons_that_is_somebodys_is_given_back_by_the_command(root: Path) -> None:
    os.chown(root / "inbox", 4321, -1)
    (sentence,) = complaints(root)
    mend(sentence)
    assert complaints(root) == []


@needs_root
def test_whom_a_container_does_not_know_is_not_complained_of(root: Path) -> None:
    os.chown(root.parent, 65534, 65534)
    root.parent.chmod(0o775)
    assert complaints(root) == []


def test_many_members_are_counted(root: Path) -> None:
    root.chmod(0o2770)
    (sentence,) = complaints(root, lambda _group, _trusted: ["alice", "bob", "carol", "dan", "eve"])
    assert sentence.startswith("alice, bob, carol and 2 others can")


def test_the_members_of_a_group_are_those_of_the_system_but_the_trusted() -> None:
    assert exposure.members_beside(0, {0}) == [] or os.geteuid() != 0
    assert "root" in exposure.members_beside(0, set())
    assert exposure.members_beside(987654, set()) == []
