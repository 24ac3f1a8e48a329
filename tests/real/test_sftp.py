"""People who reach a spool by ssh: rclone over a long way, rsync and sshfs, with the commands that docs/shares.md prints.

The daemon is another user than the owners of the files: once it may ask for leases on them (CAP_LEASE), once it may not.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.outside import outside
from tests.real.fast_daemon import FastDaemon, came_of, stages_of, texts_of
from tests.real.host import ALICE, Host
from tests.real.programs import needed
from tests.real.ssh import Ssh

# One way, and longer than a file must stand still where a lease is granted: what is done after closing comes when it is too late.
FAR_SECONDS = 0.06


@pytest.fixture(scope="module")
def ssh(host: Host) -> Iterator[Ssh]:
    with Ssh(host, seconds=FAR_SECONDS) as ssh:
        yield ssh


@pytest.fixture
def daemon(serving: FastDaemon) -> FastDaemon:
    return serving


def prompts(folder: Path, *stems: str) -> Path:
    """Alice's own machine, with prompts to be moved to the spool: each says its name."""
    (folder / "prompts").mkdir()
    for stem in stems:
        (folder / f"prompts/{stem}.txt").write_text(f"a house, {stem}")
    return folder


def came_once(daemon: FastDaemon, *stems: str) -> None:
    for stem in stems:
        came_of(daemon, stem, f"a house, {stem}")


def test_what_rclone_moves_over_a_long_way_is_used_once(ssh: Ssh, daemon: FastDaemon, tmp_path: Path) -> None:
    needed("rclone")
    stems = ["rclone"]
    said = ssh.person("rclone", prompts(tmp_path, *stems))
    came_once(daemon, *stems)
    assert not [line for line in said.splitlines() if "ERROR" in line]
    assert not list((tmp_path / "prompts").iterdir())


def test_what_rsync_moves_is_used_once(ssh: Ssh, daemon: FastDaemon, tmp_path: Path) -> None:
    needed("rsync")
    stems = ["rsync one", "rsync two"]
    ssh.person("rsync", prompts(tmp_path, *stems))
    came_once(daemon, *stems)
    assert not list((tmp_path / "prompts").iterdir())


def test_what_is_copied_through_sshfs_is_used_and_what_nobody_else_may_read_is_told_of(
    ssh: Ssh, daemon: FastDaemon, tmp_path: Path
) -> None:
    with ssh.mounted(tmp_path / "tiffsd") as here:
        (here / "inbox/1-text/sshfs.txt").write_text("a house, sshfs")
        came_once(daemon, "sshfs")
        source = tmp_path / "secret.txt"
        source.write_text("a house, secret")
        source.chmod(0o600)
        os.chown(source, 4711, 4711)
        # That it cannot keep the owner it says, and leaves the mode.
        copy = ["cp", "-p", str(source), str(here / "inbox/1-text/secret.txt")]
        subprocess.run(copy, env=outside(), capture_output=True, check=False)
        there = daemon.spool / "inbox/1-text/secret.txt"
        assert (there.stat().st_uid, there.stat().st_mode & 0o777) == (ALICE, 0o600)
        sentence = "secret.txt: cannot be opened by the daemon (Permission denied); let its group read it"
        wait_until(lambda: sentence in stages_of(daemon)["text"]["waits"], what="it says why it waits")
        assert texts_of(daemon, "secret") == []
        with suppress(FileNotFoundError):  # taken before the answer is back
            (here / "inbox/1-text/secret.txt").chmod(0o660)
        came_once(daemon, "secret")
