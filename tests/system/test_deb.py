"""The Debian package in a machine that boots: installed, it makes a picture; removed and purged, it leaves the spool."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.house import REPOSITORY
from tests.system.box import PYTHON, Box
from tests.system.conftest import why_not
from tests.system.installed import OFFLINE
from tests.wheel import built_wheel

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

DEB, SPOOL = "/root/tiffsd.deb", "/var/lib/tiffsd"
# Where its Python comes from is not dpkg's business here: that of the tests is not Debian's.
INSTALL = OFFLINE + f"export DEBIAN_FRONTEND=noninteractive; dpkg --force-depends --install {DEB}"
PROMPT = "---\nsteps: 2\nwidth: 64\nheight: 64\n---\na red house\n"


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    (folder / "checkout").mkdir()
    wheel = built_wheel(folder / "checkout")
    subprocess.run([REPOSITORY / "debian/build.sh", sys.executable, wheel, folder], check=True, capture_output=True, cwd=folder)
    (built,) = folder.glob("*.deb")
    return built


def test_the_package_is_as_debian_wants_packages(deb: Path) -> None:
    if not shutil.which("lintian"):
        pytest.skip("lintian is not here: apt-get install lintian")
    said = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning", deb], capture_output=True, text=True)
    assert (said.stdout, said.returncode) == ("", 0)


@pytest.fixture(scope="module")
def machine(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """One that has the package's file, and in /opt/packages what pip would else fetch."""
    why_not(tmp_path_factory.mktemp("try"))
    with Box(tmp_path_factory.mktemp("box")) as box:
        box.path(DEB).write_bytes(deb.read_bytes())
        box.sh("rm -f /usr/sbin/policy-rc.d")  # by which images of containers forbid packages to start anything
        yield box


def show(machine: Box, name: str) -> str:
    return machine.run("systemctl", "show", "tiffsd", "--value", "--property", name).stdout.strip()


def pictures(machine: Box) -> list[Path]:
    return sorted(machine.path(SPOOL).glob("pictures/*.png"))


def packages_in_place(machine: Box) -> None:
    """A new environment, in which what lies in /opt/packages is installed."""
    machine.sh(f"{PYTHON}/bin/python3 -m venv /opt/tiffsd")
    (packages,) = machine.path("/opt/tiffsd/lib").glob("python*/site-packages")
    (packages / "packages.pth").write_text("/opt/packages\n")


def test_installed_it_runs_and_makes_a_picture(machine: Box) -> None:
    packages_in_place(machine)
    machine.sh(INSTALL)
    assert show(machine, "ActiveState") == "active"
    assert machine.sh("systemctl is-enabled tiffsd").strip() == "enabled"
    assert machine.sh("tiffsd --version").startswith("tiffsd ")
    machine.run("tiffsd", "status")
    machine.sh("useradd --create-home --groups tiffsd alice")
    machine.sh(f"cd ~; printf %s '{PROMPT}' > {SPOOL}/inbox/1-text/house.txt", user="alice")
    wait_until(lambda: pictures(machine), seconds=120, what="a picture")


def test_a_report_has_the_lines_of_the_journal_for_who_may_read_them(machine: Box) -> None:
    assert "text house.txt -> " in machine.sh("tiffsd report house 2>/dev/null")
    of_a_member = machine.sh("tiffsd report house 2>/dev/null", user="alice")
    assert "pictures/house." in of_a_member
    assert "none in the journal, as far as this user may read it" in of_a_member


def test_a_backup_is_brought_back_as_its_page_says(machine: Box) -> None:
    page = (REPOSITORY / "docs/backup.md").read_text().replace("sudo ", "")
    (make,) = re.findall(r"^    (tiffsd backup .*)$", page, re.MULTILINE)
    back = re.findall(r"^    (.*)$", page.partition("## The way back")[2].partition("## Upgrade")[0], re.MULTILINE)
    machine.sh(f"printf 'paused\\n' > {SPOOL}/inbox/1-text/PAUSE; printf %s '{PROMPT}' > {SPOOL}/inbox/1-text/waits.txt")
    before = machine.sh(f"cd {SPOOL}; find . -mindepth 1 -maxdepth 2 -type d -printf '%p %m %u %g\\n' | sort")
    machine.sh(f"chown alice:tiffsd {SPOOL}/inbox/1-text/waits.txt; {make} --pictures")
    machine.sh("; ".join(back))
    assert show(machine, "ActiveState") == "active"
    assert machine.sh(f"cd {SPOOL}; find . -mindepth 1 -maxdepth 2 -type d -printf '%p %m %u %g\\n' | sort") == before
    assert pictures(machine)
    machine.sh(f"rm {SPOOL}/inbox/1-text/PAUSE")
    wait_until(lambda: list(machine.path(SPOOL).glob("pictures/waits.*.png")), seconds=120, what="a picture of what waited")


def test_installed_again_it_keeps_what_the_administrator_wrote_and_starts_anew(machine: Box) -> None:
    machine.sh("echo '# mine' >> /etc/tiffsd/config.yaml")
    before = show(machine, "MainPID")
    machine.sh(INSTALL)
    assert show(machine, "ActiveState") == "active"
    assert show(machine, "MainPID") != before
    assert machine.path("/etc/tiffsd/config.yaml").read_text().endswith("# mine\n")


def test_removed_it_stops_and_leaves_the_spool_and_the_configuration(machine: Box) -> None:
    machine.sh("dpkg --remove tiffsd")
    assert show(machine, "ActiveState") == "inactive"
    assert not machine.path("/opt/tiffsd").exists()
    assert machine.path("/etc/tiffsd/config.yaml").exists()
    assert pictures(machine)


def test_what_cannot_be_fetched_is_said_and_goes_on_where_it_stopped(machine: Box) -> None:
    machine.sh("mv /etc/tiffsd/config.yaml /root/kept.yaml; printf '[global]\\nno-index = true\\n' > /etc/tiffsd/pip.conf")
    tried = machine.run("dpkg", "--force-depends", "--force-confold", "--force-confmiss", "--install", DEB, check=False)
    assert tried.returncode != 0
    assert "could not be fetched; see /etc/tiffsd/pip.conf, then run: dpkg --configure tiffsd" in tried.stderr
    (packages,) = machine.path("/opt/tiffsd/lib").glob("python*/site-packages")
    (packages / "packages.pth").write_text("/opt/packages\n")
    machine.sh(OFFLINE + "dpkg --force-depends --configure tiffsd")
    assert show(machine, "ActiveState") == "active"


def test_purged_it_leaves_nothing_but_the_spool(machine: Box) -> None:
    machine.sh("dpkg --purge tiffsd")
    left = machine.sh("ls -d /opt/tiffsd /etc/tiffsd /var/cache/tiffsd /usr/share/tiffsd /etc/systemd/system/*/tiffsd* || true")
    assert left == ""
    assert pictures(machine)
    assert machine.sh("dpkg-query --show tiffsd 2>/dev/null || true") == ""
