"""rclone, which comes back to a file after closing it, and copies once more, over a long way to a real sshd.

The daemon may not ask for leases on files of others: nobody tells it that a file is still open.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.outside import outside
from tests.real.documented import printed
from tests.real.fast_daemon import FastDaemon, came_of
from tests.real.host import WATCH, Host
from tests.real.programs import needed
from tests.real.ssh import Ssh

# One way; what is done after closing comes three times as late as the daemon of the first tests waits.
FAR_SECONDS = 0.3
SETS_TIME = ("set_modtime = false\n",)
COMPARES = ("disable_hashcheck = true\n", " --ignore-checksum")


@pytest.fixture
def returning_rclone() -> None:
    """An rclone that comes back to a file under its name: from 1.63 on it writes another one first, and renames."""
    needed("rclone")
    said = subprocess.run(["rclone", "version"], env=outside(), capture_output=True, text=True, check=True).stdout
    found = re.match(r"rclone v(\d+)\.(\d+)", said)
    assert found, said
    if (int(found[1]), int(found[2])) >= (1, 63):
        pytest.skip("this rclone renames when it is done")


@pytest.fixture(scope="module")
def leases() -> bool:
    return False


@pytest.fixture
def daemon(serving: FastDaemon) -> FastDaemon:
    return serving


@pytest.fixture(scope="module")
def ssh(host: Host) -> Iterator[Ssh]:
    with Ssh(host, seconds=FAR_SECONDS) as ssh:
        yield ssh


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.usefixtures("returning_rclone")
@pytest.mark.parametrize("left_out", [SETS_TIME, COMPARES], ids=["set_modtime", "both of the checksum"])
def test_each_of_what_is_printed_for_rclone_is_needed(
    left_out: tuple[str, ...], daemon: FastDaemon, ssh: Ssh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / f"prompts/without {len(left_out)}.txt").write_text("a house")
    monkeypatch.setattr("tests.real.ssh.printed", without(*left_out))
    assert "ERROR" in ssh.person("rclone", tmp_path, check=False)
    daemon.found(f"done/*/without {len(left_out)}.txt")


@pytest.mark.slow
@pytest.mark.usefixtures("returning_rclone")
def test_rclone_as_it_is_by_default_makes_one_picture_where_the_inbox_waits_for_it(
    host: Host, daemon: FastDaemon, ssh: Ssh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert daemon.stop() == 0
    waits = {"diffuse": {"hold": True}, "text": {"settle_seconds": 3.0}}
    patient = host.daemon(leases=False, name="patient", stages=waits)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/by default.txt").write_text("a house by default")
    monkeypatch.setattr("tests.real.ssh.printed", without(*SETS_TIME, *COMPARES))
    said = ssh.person("rclone", tmp_path)
    came_of(patient, "by default", "a house by default")
    assert "ERROR" not in said
    assert patient.stop() == 0


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.usefixtures("returning_rclone")
def test_rclone_as_it_is_by_default_and_an_inbox_that_does_not_wait_make_one_picture_too(
    host: Host, daemon: FastDaemon, ssh: Ssh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert daemon.stop() == 0
    # A lease tells this one when the file is closed; a copy that comes again is waited for until its time is set.
    hasty = host.daemon(leases=True, name="hasty", watch={**WATCH, "settle_unleased_seconds": 5.0})
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/again and again.txt").write_text("a house, again and again")
    monkeypatch.setattr("tests.real.ssh.printed", without(*SETS_TIME, *COMPARES))
    said = ssh.person("rclone", tmp_path, check=False)
    assert "file does not exist" in said, "it comes back to a file that has been taken"
    came_of(hasty, "again and again", "a house, again and again")
    hasty.drop("inbox/1-text", "after it.txt", "after it")
    came_of(hasty, "after it", "after it")
    came_of(hasty, "again and again", "a house, again and again")
    assert hasty.stop() == 0


def without(*left_out: str) -> Callable[..., str]:
    """What docs/shares.md prints, but for some words."""

    def printed_without(name: str, **changes: str) -> str:
        text = printed(name, **changes)
        for words in left_out:
            text = text.replace(words, "")
        return text

    return printed_without
