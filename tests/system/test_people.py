"""Who may do what in the folders of the service: members of its group nearly all, others nothing."""

import os
from pathlib import Path

import pytest

import tiffsd
from tests.conftest import wait_until
from tests.system.installed import SPOOL, Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

HELD = "---\nhold: diffuse\nseed: 5\n---\na yellow balloon by the sea at noon"
EDIT = """
import sys, tiffsd
artifact = tiffsd.read(sys.argv[1])
artifact.tensors["latents"][0, 4:8, 4:8] *= -1
tiffsd.write(sys.argv[2], artifact)
"""


def held(service: Installed, stem: str) -> Path:
    """Latents of that stem on hold; the path is the one inside."""
    service.drop("inbox/1-text", f"{stem}.txt", HELD)
    (found,) = service.found(f"hold/2-diffuse/{stem}.*.tiff")
    return Path(SPOOL, found.relative_to(service.spool))


@pytest.mark.parametrize("umask", ["022", "077"])
def test_what_a_member_drops_is_taken_at_once_whatever_her_umask(service: Installed, umask: str) -> None:
    service.drop("inbox/1-text", f"umask{umask}.txt", HELD, umask=umask)

    (path,) = service.found(f"hold/2-diffuse/umask{umask}.*.tiff")

    inside = Path(SPOOL, path.relative_to(service.spool))
    assert service.box.sh(f"stat --format='%U %G %a' {inside}") == "tiffsd tiffsd 660\n"
    path.unlink()


def test_what_a_member_still_writes_is_left_alone(service: Installed) -> None:
    name = f"{SPOOL}/inbox/1-text/slow.txt"
    service.box.sh("mkfifo --mode=666 /tmp/go")
    with service.box.start("sh", "-c", f"exec >{name}; echo '{HELD}'; cat /tmp/go", user="alice") as writer:
        wait_until((service.spool / "inbox/1-text/slow.txt").exists, what="the file")
        # A file that came later and is taken shows that this one was looked at meanwhile, and left.
        other = held(service, "quick")
        assert (service.spool / "inbox/1-text/slow.txt").exists()
        service.box.sh("echo ' in the rain' > /tmp/go")
        assert writer.wait(timeout=30) == 0

    (path,) = service.found("hold/2-diffuse/slow.*.tiff")
    assert tiffsd.inspect(path).recipe["prompt"].endswith("in the rain")
    for left_over in (path, service.box.path(str(other))):
        left_over.unlink()


@pytest.mark.parametrize("way", ["cat {new} > {held}", "mv {new} {held}"])
def test_a_member_edits_a_held_file_and_moves_it_on(service: Installed, way: str) -> None:
    stem = way.partition(" ")[0]
    path = held(service, stem)
    new = f"{path.parent}/.{stem}.new"

    service.box.run("/opt/tiffsd/bin/python", "-c", EDIT, path, new, user="alice")
    service.box.sh(f"{way.format(new=new, held=path)}; mv {path} {SPOOL}/inbox/2-diffuse/", user="alice")

    (picture,) = service.found(f"pictures/{stem}.*.tiff")
    notes = [note for entry in tiffsd.inspect(picture).history for note in entry.get("notes", [])]
    assert any("16 of 1024 values" in note for note in notes)


def test_a_member_cancels_and_tries_again_what_failed(service: Installed) -> None:
    service.drop("inbox/1-text", "wrong.txt", "---\nsteps: many\n---\na red house")
    (failed,) = service.found("failed/1-text/wrong.*/wrong.txt")
    inside = Path(SPOOL, failed.relative_to(service.spool))

    service.box.sh(f"sed -i 's/many/1000/' {inside}; mv {inside} {SPOOL}/inbox/1-text/", user="alice")
    running = service.running("wrong")
    service.box.sh(f"rm {SPOOL}/running/{running.name}", user="alice")

    wait_until(lambda: not any((service.spool / ".work").iterdir()), what="the end of the job")
    assert not list(service.spool.glob("inbox/*/wrong.*"))


def test_a_file_that_the_daemon_may_not_read_stays_and_holds_up_nobody(service: Installed) -> None:
    private = f"{SPOOL}/inbox/1-text/private.txt"
    service.box.sh(f"umask 077; echo '{HELD}' > ~/private.txt; mv ~/private.txt {private}", user="alice")
    other = held(service, "public")

    status = service.spool / "status.json"
    wait_until(lambda: "private.txt" in status.read_text(), what="a word about the file in the status")
    service.box.sh(f"chgrp tiffsd {private}; chmod g+rw {private}", user="alice")

    (path,) = service.found("hold/2-diffuse/private.*.tiff")
    for left_over in (path, service.box.path(str(other))):
        left_over.unlink()


def test_others_can_neither_look_nor_drop(service: Installed) -> None:
    for attempt in (f"ls {SPOOL}", f"cat {SPOOL}/status.txt", f"echo a > {SPOOL}/inbox/1-text/bob.txt", f"rm {SPOOL}/running/x"):
        assert service.box.run("sh", "-c", attempt, user="bob", check=False).returncode != 0, attempt
    assert not (service.spool / "inbox/1-text/bob.txt").exists()


def test_not_even_members_reach_into_the_middle_of_a_job(service: Installed) -> None:
    for folder in (".work", ".keep", ".trash"):
        assert service.box.run("ls", f"{SPOOL}/{folder}", user="alice", check=False).returncode != 0
    assert os.listdir(service.spool / ".work") == []
