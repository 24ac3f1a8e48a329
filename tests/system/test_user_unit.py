"""The unit for one person, in the service manager of one person."""

import shlex

import pytest

from tests.conftest import wait_until
from tests.system.box import Box
from tests.system.installed import Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

# What a login does: a manager for bob, and his folder in /run.
LOGIN = """
systemd-run --quiet --unit=login-of-bob --uid=bob --service-type=notify --setenv=XDG_RUNTIME_DIR=/run/bob --setenv=HOME=/home/bob
    --property=RuntimeDirectory=bob --property=Delegate=yes --property=WorkingDirectory=~ /lib/systemd/systemd --user
"""
SET_UP = """
mkdir -p ~/.local/share
cp -r /opt/tiffsd ~/.local/share/tiffsd
~/.local/share/tiffsd/bin/python -m daemon init ~/tiffsd
sed -i 's/threads: null/threads: 1/; s/steps: 20/steps: 3/' ~/tiffsd/config.yaml
~/.local/share/tiffsd/bin/python -m daemon service install --user --yes
"""


def as_bob(box: Box, script: str) -> str:
    return box.sh(f"export XDG_RUNTIME_DIR=/run/bob; cd ~; {script}", user="bob")


def test_one_person_runs_it_without_root(installed: Installed) -> None:
    box, home = installed.box, installed.box.path("/home/bob")
    box.run(*shlex.split(LOGIN))

    as_bob(box, SET_UP)
    assert "0 waiting" in as_bob(box, "systemctl --user status tiffsd")
    as_bob(box, "echo 'a red house in a meadow at sunset' > tiffsd/spool/inbox/1-text/mine.txt")

    wait_until(lambda: list(home.glob("tiffsd/spool/pictures/mine.*.png")), seconds=100, what="the picture")
    as_bob(box, "systemctl --user stop tiffsd")
    assert as_bob(box, "systemctl --user show tiffsd --value --property=Result").strip() == "success"
