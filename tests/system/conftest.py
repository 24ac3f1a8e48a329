"""One box for the whole run, with tiffsd installed in it; where this machine cannot have one, a skip says why."""

import os
from collections.abc import Iterator

import pytest

from tests.system.box import Box, missing, why_impossible
from tests.system.installed import Installed


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    if packages := missing():
        sentence = f"a program is missing here: apt-get install {' '.join(packages)}"
        pytest.fail(f"{sentence}; .ci/run should have done it") if _on_ci() else pytest.skip(sentence)
    if reason := why_impossible(tmp_path_factory.mktemp("try")):
        pytest.skip(f"NOT TESTED, the service in a real systemd: {reason}")
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
def service(installed: Installed) -> Installed:
    """The service with the tests' configuration, started, whatever the test before has left of it."""
    before = installed.box.path("/etc/tiffsd/config.yaml").read_text()
    installed.configure()
    installed.box.run("systemctl", "reset-failed", "tiffsd", check=False)
    unchanged = before == installed.box.path("/etc/tiffsd/config.yaml").read_text()
    installed.control("start" if unchanged else "restart")
    return installed
