"""A power cut at any moment loses, doubles and tears nothing; and each fsync that this takes is missed when it is gone."""

import ast
from pathlib import Path

import pytest

import daemon
from daemon.spool.ordering import LEFT_OUT, SPARED
from tests.spool.disk import ROOT, Disk
from tests.spool.power import Cut, Cuts, ordered, unordered
from tests.spool.prove import ABLATED, cuts, cuts_in_order
from tests.spool.stories import STORIES

# Without which fsync which story ends badly, where the order of changes is kept.
NEEDED_IN_ORDER = {
    "output: content": "one output",
    "claim.json: content": "one output",
    "attempt.json: content": "one output",
    "commit.json: content": "one output",
    "fail.json: content": "failing",
}
# And where every change that was not synced may be missing.
NEEDED_OUT_OF_ORDER = {
    "commit: the outputs in out/": "one output",
    "publish: the outputs in their places": "one output",
    "commit: out/ itself": "out of attempts",
    "wipe: out/": "failing",
    "archive: the members in done/": "one output",
}


@pytest.mark.parametrize("name", sorted({*ABLATED, "one output", "out of attempts", "applied", "a proof goes along"}))
def test_every_power_cut_ends_well(name: str) -> None:
    kept_in_order, loose, _ = cuts(STORIES[name], twice=False)
    assert kept_in_order > 30
    assert loose > kept_in_order


def test_a_second_power_cut_in_the_recovery_ends_well() -> None:
    assert cuts(STORIES["pair"])[2] > 30


@pytest.mark.parametrize(("site", "name"), NEEDED_IN_ORDER.items())
def test_a_missing_fsync_of_a_file_is_noticed(site: str, name: str) -> None:
    assert Cuts(STORIES[name], ordered, without=[site]).try_all().bad


@pytest.mark.parametrize(("site", "name"), NEEDED_OUT_OF_ORDER.items())
def test_a_missing_fsync_of_a_folder_is_noticed(site: str, name: str) -> None:
    assert Cuts(STORIES[name], unordered, without=[site]).try_all().bad


@pytest.mark.parametrize("name", ABLATED)
@pytest.mark.parametrize("cut", [ordered, unordered])
def test_every_power_cut_ends_well_without_what_is_spared_where_moves_are_whole(name: str, cut: Cut) -> None:
    assert Cuts(STORIES[name], cut, without=SPARED).try_all().bad == []


@pytest.mark.parametrize("name", ABLATED)
def test_every_power_cut_ends_well_without_what_the_order_of_changes_saves(name: str) -> None:
    assert Cuts(STORIES[name], ordered, without=LEFT_OUT).try_all().bad == []


def test_a_second_power_cut_ends_well_without_what_the_order_of_changes_saves() -> None:
    assert cuts_in_order(STORIES["pair"])[1] > 30


@pytest.mark.parametrize(("site", "name"), NEEDED_IN_ORDER.items())
def test_a_missing_fsync_of_a_file_is_noticed_there_too(site: str, name: str) -> None:
    assert Cuts(STORIES[name], ordered, without={*LEFT_OUT, site}).try_all().bad


def test_what_is_left_out_is_synced_by_default() -> None:
    assert Cuts(STORIES["pair and settings"], ordered).try_all().sites >= LEFT_OUT


def test_every_fsync_has_a_name_of_its_own() -> None:
    trees = [ast.parse(path.read_text()) for path in (Path(daemon.__file__).parent / "spool").glob("*.py")]
    called = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
    named = [ast.unparse(node.args[1]) for node in called if ast.unparse(node.func).endswith(("fs.fsync", "fs.fsync_folder"))]
    assert len(named) > 20
    assert len(set(named)) == len(named)


def test_a_cut_leaves_what_was_synced_and_any_of_the_rest() -> None:
    disk = Disk()
    for name in ("a", "b"):
        with disk.create(ROOT / name) as file:
            file.write(b"12")
    assert {len(contents.paths()) for contents in ordered(disk)} == {0, 1, 2}
    kept = [tuple(sorted(map(str, contents.paths()))) for contents in unordered(disk)]
    assert set(kept) == {(), ("a",), ("b",), ("a", "b")}
    assert {content for contents in unordered(disk) for content in contents.paths().values()} == {b"", b"1", b"12"}
    disk.fsync_folder(ROOT, "a and b")
    assert {len(contents.paths()) for contents in unordered(disk)} == {2}


def test_a_rename_is_never_half_done_by_a_cut() -> None:
    disk = Disk()
    disk.put("a/x", b"content")
    disk.mkdir(ROOT / "b")
    disk = Disk(disk.contents)
    disk.rename(ROOT / "a/x", ROOT / "b/y")
    for cut in (ordered, unordered):
        assert {tuple(map(str, contents.paths())) for contents in cut(disk)} == {("a/x",), ("b/y",)}
