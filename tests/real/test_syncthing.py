"""A spool that Syncthing brings to a person's machine and back: two real ones, with the settings and the list of docs/shares.md.

The one at the spool runs as another user than the daemon, which may ask for leases on its files (CAP_LEASE), or may not.
"""

import os

import pytest

from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon, came_of, says, stages_of
from tests.real.host import ALICE, GROUP, Host
from tests.real.syncthings import Syncthing


@pytest.fixture(scope="module")
def far(host: Host) -> Syncthing:
    """The Syncthing of a person, in whose folder the tests drop."""
    mine = host.folder / "mine"
    mine.mkdir()
    os.chown(mine, ALICE, GROUP)
    near, far = Syncthing(host, "near", host.spool), Syncthing(host, "far", mine)
    near.start(far)
    far.start(near)
    wait_until(lambda: (mine / "inbox/1-text").is_dir() and far.in_sync(), what="the folders are there")
    return far


@pytest.fixture
def daemon(serving: FastDaemon) -> FastDaemon:
    return serving


def test_a_drop_is_used_once_and_vanishes_where_it_was_dropped(daemon: FastDaemon, far: Syncthing) -> None:
    drop = far.folder / "inbox/1-text/vanishing.txt"
    drop.write_text("a vanishing house")
    came_of(daemon, "vanishing", "a vanishing house")
    wait_until(lambda: not drop.exists(), what="it has gone there, too")
    wait_until(lambda: list(far.folder.glob("hold/2-diffuse/vanishing.*.tiff")), what="its result is there")
    assert not list(far.folder.glob(".work")) + list(far.folder.glob("running"))


def test_a_move_at_the_persons_machine_approves_and_the_picture_comes_there(daemon: FastDaemon, far: Syncthing) -> None:
    (far.folder / "inbox/1-text/approved.txt").write_text("an approved house")
    (held,) = wait_until(lambda: list(far.folder.glob("hold/2-diffuse/approved.*.tiff")), what="it is there to be approved")
    held.rename(far.folder / "inbox/2-diffuse" / held.name)
    wait_until(lambda: list(far.folder.glob("pictures/approved.*.png")), what="its picture is there")
    assert len(list(daemon.spool.glob(f"done/*/{held.name}"))) == 1
    assert len(list(daemon.spool.glob("pictures/approved.*.png"))) == 1
    assert not list(daemon.spool.glob("*/*/approved.*.sync-conflict*"))


def test_what_two_people_save_at_once_waits_with_a_sentence_and_is_drawn_once(daemon: FastDaemon, far: Syncthing) -> None:
    (far.folder / "inbox/1-text/PAUSE").touch()
    says(daemon, "text", "paused", True)
    (far.folder / "inbox/1-text/both.txt").write_text("a house")
    near_file = daemon.spool / "inbox/1-text/both.txt"
    wait_until(near_file.exists, what="it is at the spool, too")
    wait_until(far.in_sync, what="both know of it")
    far.pause(True)
    near_file.write_text("a house, saved at the spool")
    (far.folder / "inbox/1-text/both.txt").write_text("a house, saved far away")
    far.scan()
    far.pause(False)
    inbox = daemon.spool / "inbox/1-text"
    (copy,) = wait_until(lambda: list(inbox.glob("both.sync-conflict-*.txt")), what="Syncthing keeps a copy")
    (far.folder / "inbox/1-text/PAUSE").unlink()
    (used,) = daemon.found("done/*/both.txt")
    assert {used.read_text(), copy.read_text()} == {"a house, saved at the spool", "a house, saved far away"}
    told = f"{copy.name}: is a copy that a sync program made because both.txt was changed in two places at once"
    wait_until(lambda: any(word.startswith(told) for word in stages_of(daemon)["text"]["waits"]), what="it is told of")
    assert len(list(daemon.spool.glob("hold/2-diffuse/both.*.tiff"))) == 1
    copy.unlink()


def test_of_what_was_used_nothing_is_left_to_be_reverted(daemon: FastDaemon, far: Syncthing) -> None:
    drop = far.folder / "inbox/1-text/reverted.txt"
    drop.write_text("a reverted house")
    came_of(daemon, "reverted", "a reverted house")
    wait_until(lambda: not drop.exists(), what="it has gone there, too")
    for change in ("revert", "override"):
        far.ask(f"db/{change}?folder=tiffsd", method="POST")
    far.scan()
    wait_until(far.in_sync, what="it is done")
    assert not drop.exists()
    came_of(daemon, "reverted", "a reverted house")
