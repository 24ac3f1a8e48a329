"""The two machines that other tests stand on are two machines: reached by ssh alone, cut off, switched off, and back."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.real.hosts import Hosts

pytestmark = pytest.mark.slow


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts() as hosts:
        yield hosts


def test_the_far_machine_is_reached_by_ssh_and_is_another_one(hosts: Hosts) -> None:
    assert hosts.reach("echo", "$HOME", "$USER").split() == [str(hosts.home), "box", "reached"]
    assert hosts.reach("readlink", "/proc/self/ns/net").split()[0] != str(Path("/proc/self/ns/net").readlink())
    # The cable is the only way out of it.
    assert {line.split()[0] for line in hosts.reach("cat", "/proc/net/route").splitlines()[1:-1]} == {"cable"}


def test_a_cable_that_is_cut_lets_nothing_through_until_it_is_mended(hosts: Hosts) -> None:
    hosts.cut()
    assert hosts.reach("true") == ""
    hosts.mend()
    assert hosts.reach("true") == "reached\n"


def test_a_slow_cable_lets_less_through_until_it_need_not(hosts: Hosts) -> None:
    hosts.slow("8mbit")
    before, began = hosts.carried(), time.monotonic()
    command = [*hosts.before, "ssh", "-F", str(hosts.ssh_config), "box@gpu-box", "wc", "-c"]
    assert subprocess.run(command, input=bytes(1_500_000), capture_output=True, check=True).stdout == b"1500000\n"
    assert time.monotonic() - began > 1.0
    assert 1_500_000 < hosts.carried() - before < 1_800_000
    hosts.hurry()
    assert hosts.reach("true") == "reached\n"


def test_a_machine_without_power_runs_nothing_and_comes_back(hosts: Hosts) -> None:
    command = [*hosts.before, "ssh", "-F", str(hosts.ssh_config), "box@gpu-box", "echo", "begun;", "exec", "sleep", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as there:
        assert there.stdout is not None
        assert there.stdout.readline() == "begun\n"
        wait_until(lambda: "sleep 1000" in hosts.programs(), what="the shell there has become what it was to begin")
        hosts.kill()
        assert hosts.programs() == []
        assert hosts.reach("true") == ""
        assert there.poll() is None, "nobody has told it"
        there.kill()
    hosts.boot()
    assert hosts.reach("true") == "reached\n"
    assert "sleep 1000" not in hosts.programs()


def test_nothing_is_left_of_them() -> None:
    with Hosts() as hosts:
        folder = hosts.folder
        assert hosts.reach("true") == "reached\n"
    assert not folder.exists()
    names = subprocess.run(["ps", "-e", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert str(folder) not in names
