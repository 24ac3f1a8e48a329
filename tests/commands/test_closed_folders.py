"""A configuration that names models in a folder which the user of the daemon may not enter, as a home is under a service."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.models.there import closed_above, why_not_seen
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

LIKE_ANYBODY = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
NAMING = """models:
  demo: {{path: builtin}}
  mine: {{path: {0}/model}}
vaes: {{own: {0}/vae.safetensors}}
adapters: {{loras: {0}/loras, textual_inversions: {0}/words}}
"""


class LikeAnybody(RunningDaemon):
    """A daemon without root's rights."""

    before = LIKE_ANYBODY


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder with a model in it, which nobody without root's rights may enter."""
    folder = tmp_path / "home"
    (folder / "model").mkdir(parents=True)
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.parametrize(("words", "code"), [(["check-config"], 1), (["models"], 1), (["once"], 0)])
def test_the_folder_that_is_closed_is_named_and_nothing_ends_by_it(
    tmp_path: Path, closed: Path, words: list[str], code: int
) -> None:
    (tmp_path / "config.yaml").write_text(NAMING.format(closed))
    command = [*LIKE_ANYBODY, sys.executable, "-m", "daemon", *words]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert found.returncode == code, found.stderr
    assert " ".join((found.stdout + found.stderr).split()).count(f"{closed} may not be entered") == 4


@pytest.mark.thorough
@pytest.mark.slow
def test_a_running_daemon_says_so_at_a_reload_and_works_on(tmp_path: Path, closed: Path) -> None:
    (tmp_path / "daemon").mkdir()
    daemon = LikeAnybody(tmp_path / "daemon")
    daemon.start()
    try:
        daemon.config.write_text(daemon.config.read_text() + f"vaes: {{own: {closed}/vae.safetensors}}\n")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: f"{closed} may not be entered" in daemon.log(), what="the daemon says which folder is closed")
        daemon.drop("inbox/1-text", "hen.txt", "---\nsteps: 1\n---\na hen")
        daemon.found("pictures/hen*.png")
    finally:
        daemon.stop()


def test_where_all_folders_may_be_entered_nothing_is_said_of_them(tmp_path: Path) -> None:
    assert closed_above(tmp_path / "nothing" / "here") is None
    assert why_not_seen(tmp_path / "nothing") is None
