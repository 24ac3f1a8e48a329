"""A spool that Syncthing brings to a person's machine and back: two real ones, with the settings and the list of docs/shares.md.

The one at the spool runs as another user than the daemon, which may ask for leases on its files (CAP_LEASE), or may not.
"""

import os
from collections.abc import Iterator
from datetime import date

import pytest

from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon, came_of, says, stages_of, texts_of
from tests.real.host import ALICE, GROUP, WATCH, Host
from tests.real.syncthings import Syncthing


@pytest.fixture(scope="module")
def near(host: Host) -> Syncthing:
    """The Syncthing at the spool."""
    return Syncthing(host, "near", host.spool)


@pytest.fixture(scope="module")
def far(host: Host, near: Syncthing) -> Syncthing:
    """The Syncthing of a person, in whose folder the tests drop."""
    mine = host.folder / "mine"
    mine.mkdir()
    os.chown(mine, ALICE, GROUP)
    far = Syncthing(host, "far", mine)
    near.start(far)
    far.start(near)
    wait_until(lambda: (mine / "inbox/1-text").is_dir() and far.in_sync(), what="the folders are there")
    return far


@pytest.fixture(scope="module")
def daemon(host: Host, leases: bool) -> Iterator[FastDaemon]:
    """The daemon at the spool. Syncthing sets the time of a file after it has renamed it, on a busy machine a second later."""
    running = host.daemon(leases=leases, watch={**WATCH, "settle_unleased_seconds": 2.0})
    yield running
    assert running.stop() == 0


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


@pytest.mark.parametrize("looks", ["at once", "when the system tells it"])
def test_what_is_moved_back_at_the_persons_machine_runs_again(daemon: FastDaemon, far: Syncthing, looks: str) -> None:
    stem, text = f"moved back {looks}", f"a house that is moved back {looks}"
    (far.folder / f"inbox/1-text/{stem}.txt").write_text(text)
    (used,) = wait_until(lambda: list(far.folder.glob(f"done/*/{stem}.txt")), what="it lies in done/ there, too")
    used.rename(far.folder / f"inbox/1-text/{stem}.txt")
    if looks == "at once":
        far.scan()
    results = daemon.found(f"hold/2-diffuse/{stem}.*.tiff", count=2)
    assert len(results) == 2
    wait_until(lambda: texts_of(daemon, stem) == [text], what="it was used again")


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


# -- where one side only sends, or only receives -----------------------------------------------------------------------------------


@pytest.fixture
def one_way(near: Syncthing, far: Syncthing) -> Iterator[None]:
    """What both have is the same before a side is turned, and again afterwards."""
    are_the_same(near, far)
    yield
    for side in (near, far):
        side.turn("sendreceive")
        side.ignore("stignore")
    are_the_same(near, far)


def are_the_same(near: Syncthing, far: Syncthing) -> None:
    for side in (near, far):
        side.scan()
    wait_until(lambda: near.in_sync() and far.in_sync(), what="both have the same")


def used(daemon: FastDaemon, far: Syncthing, *stems: str) -> set[str]:
    """Drop prompts far away and let them be used; where they lay at the spool and lie now, by their paths in the folder."""
    for stem in stems:
        (far.folder / f"inbox/1-text/{stem}.txt").write_text(stem)
    far.scan()
    for stem in stems:
        came_of(daemon, stem, stem)
    return {f"inbox/1-text/{stem}.txt" for stem in stems} | {
        path.relative_to(daemon.spool).as_posix() for stem in stems for path in daemon.spool.glob(f"done/*/{stem}.txt")
    }


def are_told_and_wait(daemon: FastDaemon, *stems: str, came: str) -> None:
    """Wait until each prompt is told of as the same drop, and nothing new has come of it, while what came later is used."""
    for stem in stems:
        said = f"text {stem}.txt: not run again: it is the same file as done/{date.today():%Y-%m-%d}/{stem}.txt, {came}"
        wait_until(lambda said=said: daemon.log().count(said) == 1, what=f"{stem} is told of")
        waits = f"{stem}.txt: is the same file as done/"
        wait_until(lambda waits=waits: any(waits in word for word in stages_of(daemon)["text"]["waits"]), what="it waits")
    later = f"after {stems[0]}"
    daemon.drop("inbox/1-text", f"{later}.txt", later)
    came_of(daemon, later, later)
    for stem in stems:
        assert (daemon.spool / f"inbox/1-text/{stem}.txt").read_text() == stem
        assert len(list(daemon.spool.glob(f".keep/{stem}.*"))) == 1, "what was made of it is kept, and it was made once"


@pytest.mark.usefixtures("one_way")
def test_what_revert_brings_back_is_told_of_as_the_same_drop_and_runs_when_it_is_touched(
    daemon: FastDaemon, near: Syncthing, far: Syncthing
) -> None:
    near.turn("receiveonly")
    stems = [f"brought back {number}" for number in (1, 2, 3)]
    changes = used(daemon, far, *stems)
    near.scan()
    wait_until(lambda: near.changed() >= changes, what="Syncthing knows what the daemon has done")
    near.press("revert")
    wait_until(lambda: not list(daemon.spool.glob("*/*/brought back *.tiff")), what="what the daemon made is taken away")
    are_told_and_wait(daemon, *stems, came="brought back after that was taken away")
    assert not list(daemon.spool.glob("done/*/brought back *"))
    (far.folder / f"inbox/1-text/{stems[0]}.txt").touch()
    far.scan()
    came_of(daemon, stems[0], stems[0])


@pytest.mark.usefixtures("one_way")
def test_override_at_the_person_is_a_move_out_of_done_and_what_was_used_runs_again(
    daemon: FastDaemon, near: Syncthing, far: Syncthing
) -> None:
    far.turn("sendonly")
    changes = used(daemon, far, "overridden")
    near.scan()
    wait_until(lambda: far.needs() >= changes, what="Syncthing knows what the daemon has done")
    far.press("override")
    wait_until(lambda: len(list(daemon.spool.glob(".keep/overridden.*"))) == 2, what="it has run again")
    came_of(daemon, "overridden", "overridden")


@pytest.mark.usefixtures("one_way", "daemon")
def test_override_at_a_spool_that_only_sends_deletes_what_was_dropped(near: Syncthing, far: Syncthing) -> None:
    near.turn("sendonly")
    drop = far.folder / "inbox/1-text/unwanted.txt"
    drop.write_text("a house that nobody gets")
    far.scan()
    wait_until(lambda: "inbox/1-text/unwanted.txt" in near.needs(), what="the spool has heard of it")
    near.press("override")
    wait_until(lambda: not drop.exists(), what="it is deleted")
    assert not list(near.folder.glob("*/*/unwanted*"))


@pytest.mark.usefixtures("one_way")
@pytest.mark.parametrize("button", ["revert", "override"])
def test_with_the_list_for_one_way_nothing_is_lost_and_nothing_runs_again(
    daemon: FastDaemon, near: Syncthing, far: Syncthing, button: str
) -> None:
    for side in (near, far):
        side.ignore("stignore-one-way")
    if button == "revert":
        near.turn("receiveonly")
    else:
        far.turn("sendonly")
    stems = [f"one way {button} {number}" for number in (1, 2, 3)]
    used(daemon, far, *stems)
    near.scan()
    drops = {f"inbox/1-text/{stem}.txt" for stem in stems}
    wait_until(lambda: (near.changed() if button == "revert" else far.needs()) >= drops, what="Syncthing knows what is gone")
    (near if button == "revert" else far).press(button)
    are_told_and_wait(daemon, *stems, came="and goes to done/")
    for stem in stems:
        came_of(daemon, stem, stem)
    assert not list(far.folder.glob(f"*/*/one way {button}*.tiff"))
