"""The units in systemd/: systemd itself finds nothing wrong with them, and they are as closed as the README says.

The programs that they start are not installed where the tests run: a copy is judged whose ExecStart= names another one,
and the path that was replaced is checked as text.
"""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from daemon.cli import app
from daemon.errors import DaemonError
from daemon.layout import folders
from daemon.service.startup import START_SECONDS
from daemon.stages import STAGES
from tests.outside import outside
from tests.real.programs import needed

UNITS = Path(__file__).parent.parent / "systemd"
PROGRAM = re.compile(r"^ExecStart=(\S+)", re.MULTILINE)
EXPOSURE_LIMIT = 1.5
# What workers on other machines cost: a network, and nothing else.
DROP_IN = "tiffsd-ssh.conf"
EXPOSURE_LIMIT_WITH_IT = 2.3


def startable_copy(name: str, folder: Path) -> Path:
    """A copy of a unit whose program exists here; all else is the same."""
    text = (UNITS / name).read_text()
    copy = folder / name
    copy.write_text(PROGRAM.sub(f"ExecStart={shutil.which('true')}", text))
    return copy


def with_drop_in(folder: Path) -> Path:
    """A copy of the unit that has the drop-in for workers on other machines; verify and security read it beside the unit."""
    (folder / "tiffsd.service.d").mkdir()
    shutil.copy(UNITS / DROP_IN, folder / "tiffsd.service.d/ssh.conf")
    return startable_copy("tiffsd.service", folder)


def exposure(unit: Path) -> float:
    """How exposed a unit is, as systemd reckons."""
    result = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", result.stdout)
    assert found is not None, result.stdout + result.stderr
    return float(found[1])


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, env=outside(**environment))


def settings(name: str) -> list[tuple[str, str]]:
    """Each line `key=value` of a unit, in order."""
    lines = (line.partition("=") for line in (UNITS / name).read_text().splitlines() if line and line[0] not in "#[")
    return [(key, value) for key, _, value in lines]


@pytest.mark.parametrize(
    ("name", "manager"), [("tiffsd.service", "--system"), ("tiffsd-web.service", "--system"), ("tiffsd-user.service", "--user")]
)
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, manager: str, tmp_path: Path) -> None:
    needed("systemd-analyze")
    unit = startable_copy(name, tmp_path)

    result = run("systemd-analyze", manager, "verify", "--man=no", unit, XDG_RUNTIME_DIR=str(tmp_path))

    assert name not in result.stderr, result.stderr
    assert result.returncode == 0, result.stderr


def test_systemd_would_have_said_what_is_wrong_with_a_unit(tmp_path: Path) -> None:
    needed("systemd-analyze")
    unit = startable_copy("tiffsd.service", tmp_path)
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSecs=30"))

    result = run("systemd-analyze", "--system", "verify", "--man=no", unit)

    assert "WatchdogSecs" in result.stderr


@pytest.mark.parametrize("name", ["tiffsd.service", "tiffsd-web.service"])
def test_a_system_unit_is_hardly_exposed(name: str, tmp_path: Path) -> None:
    needed("systemd-analyze")

    assert exposure(startable_copy(name, tmp_path)) <= EXPOSURE_LIMIT


def test_systemd_finds_nothing_wrong_with_the_drop_in_for_other_machines(tmp_path: Path) -> None:
    needed("systemd-analyze")
    unit = with_drop_in(tmp_path)

    result = run("systemd-analyze", "--system", "verify", "--man=no", unit)

    assert (result.returncode, "ssh.conf" in result.stderr) == (0, False), result.stderr
    broken = tmp_path / "tiffsd.service.d/ssh.conf"
    broken.write_text(broken.read_text().replace("PrivateNetwork=", "PrivateNetworks="))
    assert "PrivateNetworks" in run("systemd-analyze", "--system", "verify", "--man=no", unit).stderr


def test_the_drop_in_opens_a_network_and_nothing_else(tmp_path: Path) -> None:
    needed("systemd-analyze")

    assert EXPOSURE_LIMIT < exposure(with_drop_in(tmp_path)) <= EXPOSURE_LIMIT_WITH_IT
    assert settings(DROP_IN) == [
        ("PrivateNetwork", "no"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6"),
        ("LoadCredential", "ssh_key:/etc/tiffsd/ssh_key"),
    ]


def test_ssh_gets_the_key_that_systemd_hands_the_service() -> None:
    name = dict(settings(DROP_IN))["LoadCredential"].partition(":")[0]
    lines = [line.split() for line in (UNITS / "tiffsd.ssh_config").read_text().splitlines() if line.startswith("    ")]

    assert ["IdentityFile", f"/run/credentials/tiffsd.service/{name}"] in lines


def test_the_units_start_the_installed_program_with_its_configuration() -> None:
    system = dict(settings("tiffsd.service"))
    user = dict(settings("tiffsd-user.service"))

    assert system["ExecStart"] == "/opt/tiffsd/bin/tiffsd run --config /etc/tiffsd/config.yaml"
    assert dict(settings("tiffsd-web.service"))["ExecStart"] == "/opt/tiffsd/bin/tiffsd web --config /etc/tiffsd/config.yaml"
    assert user["ExecStart"].startswith("%h/")
    assert user["ExecStart"].endswith("/bin/tiffsd run --config %h/tiffsd/config.yaml")


@pytest.mark.parametrize("name", ["tiffsd.service", "tiffsd-user.service"])
def test_a_unit_supervises_what_the_daemon_promises(name: str) -> None:
    unit = dict(settings(name))

    assert unit["Type"] == "notify"
    assert unit["Restart"] == "always"
    assert unit["RestartPreventExitStatus"] == "2"
    assert unit["OOMPolicy"] == "continue"
    assert int(unit["WatchdogSec"]) >= 10
    assert int(unit["TimeoutStopSec"]) > 30
    assert int(unit["TimeoutStartSec"]) == START_SECONDS


def test_torch_may_compile_its_kernels_under_the_system_unit() -> None:
    assert "MemoryDenyWriteExecute" not in dict(settings("tiffsd.service"))


@pytest.mark.parametrize("name", ["tiffsd.service", "tiffsd-web.service", "tiffsd-user.service", DROP_IN])
def test_every_setting_of_a_unit_stands_under_its_reason(name: str) -> None:
    plain = {"Description", "ExecStart"}  # say themselves why they are there
    second = {"After", "StartLimitBurst", "Group", "StateDirectoryMode"}  # share the reason of the line before
    unexplained = []
    previous = ""
    for line in (UNITS / name).read_text().splitlines():
        key = line.partition("=")[0]
        row = key in second or key == previous.partition("=")[0] or (key[:7] == previous[:7] == "Protect")
        if line and line[0] not in "#[" and key not in plain and not previous.startswith("#") and not row:
            unexplained.append(line)
        previous = line

    assert unexplained == []


def test_members_of_the_group_can_work_in_the_folders_that_tmpfiles_makes(tmp_path: Path) -> None:
    needed("systemd-tmpfiles")
    spool = tmp_path / "spool"
    text = (UNITS / "tiffsd.tmpfiles").read_text()
    here = text.replace("/var/lib/tiffsd", str(spool)).replace("tiffsd tiffsd", f"{os.getuid()} {os.getgid()}")
    (tmp_path / "tiffsd.conf").write_text(here)

    result = run("systemd-tmpfiles", "--create", tmp_path / "tiffsd.conf")

    assert result.returncode == 0, result.stderr
    modes = {str(path.relative_to(spool)): stat.S_IMODE(path.stat().st_mode) for path in (spool, *spool.rglob("*"))}
    assert modes == {folder.path: folder.writers.value for folder in folders(stage.folder for stage in STAGES.values())}


def test_the_lines_for_tmpfiles_are_those_that_the_command_prints() -> None:
    said = CliRunner().invoke(app, ["tmpfiles"], catch_exceptions=False)
    assert said.output == (UNITS / "tiffsd.tmpfiles").read_text()


def test_a_spool_elsewhere_has_lines_of_its_own() -> None:
    said = CliRunner().invoke(app, ["tmpfiles", "/data/x/", "--user", "me", "--group", "us"], catch_exceptions=False)
    lines = [line.split() for line in said.output.splitlines() if not line.startswith("#")]
    assert {line[1] for line in lines} >= {"/data/x", "/data/x/inbox/1-text", "/data/x/.lock"}
    assert all(line[3:5] == ["me", "us"] for line in lines if line[0] == "d")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["data"], "must begin with /"),
        (["/"], "must begin with /"),
        (["/a b"], "neither spaces"),
        (["/x", "--group", "domain users"], "neither"),
    ],
)
def test_what_cannot_stand_in_a_line_for_tmpfiles_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(DaemonError, match=sentence):
        CliRunner().invoke(app, ["tmpfiles", *words], catch_exceptions=False)


def test_the_user_and_the_units_agree_on_their_names() -> None:
    unit = dict(settings("tiffsd.service"))
    user = (UNITS / "tiffsd.sysusers").read_text().splitlines()[-1].split()
    lines = [line.split() for line in (UNITS / "tiffsd.tmpfiles").read_text().splitlines() if line[:1] in ("d", "a")]

    assert user[:2] == ["u", unit["User"]] == ["u", unit["Group"]]
    assert user[-1] == f"/var/lib/{unit['StateDirectory']}"
    assert all(line[1].startswith(f"/var/lib/{unit['StateDirectory']}") for line in lines)
    assert lines[0][2] == unit["StateDirectoryMode"]


def test_the_page_is_served_by_a_member_of_the_group_who_is_not_the_daemon() -> None:
    unit, daemons = dict(settings("tiffsd-web.service")), dict(settings("tiffsd.service"))
    users = [line.split()[:2] for line in (UNITS / "tiffsd.sysusers").read_text().splitlines() if line[0] != "#"]

    assert unit["Group"] == daemons["Group"]
    assert unit["User"] != daemons["User"]
    assert [["u", unit["User"]], ["u", daemons["User"]]] == users
    assert unit["CapabilityBoundingSet"] == ""
    assert "AmbientCapabilities" not in unit


def test_files_can_be_moved_within_what_the_page_may_write() -> None:
    unit, daemons = settings("tiffsd-web.service"), dict(settings("tiffsd.service"))

    # Each path is a mount of its own to the service, and nothing is renamed from one to another.
    assert [value for key, value in unit if key == "ReadWritePaths"] == [f"-/var/lib/{daemons['StateDirectory']}"]
    assert dict(unit)["UMask"] == daemons["UMask"]


def test_the_page_reaches_and_is_reached_by_this_machine_alone() -> None:
    unit = dict(settings("tiffsd-web.service"))

    assert (unit["IPAddressDeny"], unit["IPAddressAllow"]) == ("any", "localhost")
    assert "--host" not in unit["ExecStart"]
