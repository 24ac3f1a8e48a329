"""The first wall, the layout: a member of the group may change what lies in the folders of the stages, and never the folders."""

import fcntl
import os
from collections.abc import Iterator

import pytest

from tests.conftest import wait_until
from tests.system.installed import CONFIG, SPOOL, Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

REFUSED = (
    *(f"mv {folder} hers" for folder in (".work", ".keep", ".trash", "inbox", "hold", "failed", "done", "pictures", "running")),
    *(f"mv {folder} hers" for folder in ("previews", "embeddings", "steps", "status.json", ".lock")),
    *(f"mv {kind}/2-diffuse {kind}/hers" for kind in ("inbox", "hold", "failed")),
    "ln -s /etc hers",
    "mkdir hers",
    "mkdir inbox/hers",
    "ln -s /etc done/hers",
    "ln -s /etc .work/hers",
    "rm -f .lock",
    "chmod 777 .lock",
    "cat .lock",
    "flock --shared --nonblock .lock true",
)
ALLOWED = (
    *(f"touch {folder}/hers; mv {folder}/hers {folder}/mine; rm {folder}/mine" for folder in ("inbox/1-text", "hold/2-diffuse")),
    *(f"mkdir {folder}/hers; rmdir {folder}/hers" for folder in ("pictures", "embeddings", "previews", "steps", "failed/1-text")),
)
HOLD = f"flock --exclusive --nonblock {SPOOL}/.alive sh -c 'touch ~/held; exec cat /tmp/end'"


@pytest.mark.parametrize("act", REFUSED)
def test_the_folders_are_not_hers_to_replace(service: Installed, act: str) -> None:
    before = sorted(os.listdir(service.spool))
    tried = service.box.run("sh", "-c", f"cd {SPOOL}; {act}", user="alice", check=False)
    assert tried.returncode != 0
    assert "ermitted" in tried.stderr or "denied" in tried.stderr
    assert sorted(os.listdir(service.spool)) == before


@pytest.mark.parametrize("act", ALLOWED)
def test_what_lies_in_them_is(service: Installed, act: str) -> None:
    service.box.sh(f"cd {SPOOL}; {act}", user="alice")


@pytest.fixture
def held(service: Installed) -> Iterator[Installed]:
    """Alice holds the lock by which members see whether a daemon runs, which she may open, and would not let go."""
    service.control("stop")
    service.box.sh("mkfifo --mode=666 /tmp/end; rm -f /home/alice/held")
    with service.box.start("sh", "-c", HOLD, user="alice") as process:
        wait_until(service.box.path("/home/alice/held").exists, what="she holds the lock")
        yield service
        service.box.sh("echo > /tmp/end; rm /tmp/end")
        process.communicate(timeout=30)


def test_a_lock_of_hers_neither_keeps_the_daemon_down_nor_holds_up_who_asks_for_the_status(held: Installed) -> None:
    held.control("start")
    assert held.show("ActiveState") == "active"
    for user in ("root", "alice"):
        assert "waiting" in held.box.run("timeout", "20", "/opt/tiffsd/bin/tiffsd", "status", "--config", CONFIG, user=user).stdout


def test_a_second_daemon_is_refused_whatever_she_holds(held: Installed) -> None:
    held.control("start")
    second = held.box.run("/opt/tiffsd/bin/tiffsd", "run", "--config", CONFIG, user="tiffsd", check=False)
    assert (second.returncode, "another" in second.stderr) == (75, True)


def test_a_lock_file_of_hers_from_before_the_upgrade_does_not_keep_the_daemon_down(service: Installed) -> None:
    service.control("stop")
    lock = service.spool / ".lock"
    service.box.sh(f"rm {SPOOL}/.lock; install -o alice -g tiffsd -m 600 /dev/null {SPOOL}/.lock")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        service.control("start")
    assert service.show("ActiveState") == "active"
    service.box.sh(f"rm -f {SPOOL}/.lock.*")
