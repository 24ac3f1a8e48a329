"""One box for the whole run, with tiffsd installed in it; where this machine cannot have one, a skip says why."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.box import Box, missing, why_impossible
from tests.system.installed import Installed


def why_not(folder: Path) -> None:
    """Skip, and say why, where this machine can boot no box; `folder` is an empty one to try it in."""
    if packages := missing():
        sentence = f"a program is missing here: apt-get install {' '.join(packages)}"
        pytest.fail(f"{sentence}; .ci/run should have done it") if _on_ci() else pytest.skip(sentence)
    if reason := why_impossible(folder):
        pytest.skip(f"NOT TESTED, the service in a real systemd: {reason}")


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    why_not(tmp_path_factory.mktemp("try"))
    with Box(tmp_path_factory.mktemp("box")) as box:
        yield box


def _on_ci() -> bool:
    return os.environ.get("TIFFSD_CI") == "1" and os.geteuid() == 0


@pytest.fixture(scope="session")
def installed(box: Box) -> Installed:
    installed = Installed(box)
    installed.install()
    return installed


@pytest.fixture
def service(installed: Installed) -> Iterator[Installed]:
    """The service with the tests' configuration, started, and nothing that waits, whatever the test before has left of it."""
    before = installed.box.path("/etc/tiffsd/config.yaml").read_text()
    installed.configure()
    installed.box.run("systemctl", "reset-failed", "tiffsd", check=False)
    unchanged = before == installed.box.path("/etc/tiffsd/config.yaml").read_text()
    installed.control("start" if unchanged else "restart")
    yield installed
    for place in "inbox", "hold":
        for path in installed.spool.glob(f"{place}/*/*"):
            if not path.is_dir():
                path.unlink(missing_ok=True)
