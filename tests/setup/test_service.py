"""`tiffsd service`: what it writes and runs is told first, done once, and taken back, and nothing else is touched."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from daemon.cli import SET_UP, app, main
from daemon.errors import ConfigError, DaemonError
from daemon.settings.config import read_config
from daemon.setup import obstacles, service, steps
from daemon.setup.service import Places, install_steps, of_machine, of_person, spool_of, uninstall_steps
from daemon.setup.steps import Run, do, told
from tests.test_units import UNITS

PROGRAM = Path("/srv/tiffsd/bin/tiffsd")


class Machine:
    """A machine whose /etc is a folder, and whose commands are only written down; `failing` are words that fail."""

    def __init__(self, folder: Path) -> None:
        self.etc = folder / "etc"
        self.places = of_machine(self.etc)
        self.ran: list[str] = []
        self.failing: tuple[str, ...] = ()

    def run(self, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        self.ran.append(" ".join(words))
        fails = any(word in self.failing for word in words)
        return subprocess.CompletedProcess(words, int(fails), "", "it is broken\nsee there\n" if fails else "")

    def install(self, spool: Path | None = None, *, web: bool = False, active: bool = False, program: Path = PROGRAM) -> list[str]:
        found = install_steps(self.places, program, spool_of(self.places, spool), web=web, active=active)
        lines = [line for step in found for line in told(step)]
        for step in found:
            do(step, self.run)
        return lines

    def uninstall(self) -> None:
        for step in uninstall_steps(self.places, purge=False, spool=service.SPOOL):
            do(step, self.run)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.etc)) for path in self.etc.rglob("*") if path.is_file()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


WRITTEN = {"sysusers.d/tiffsd.conf", "tmpfiles.d/tiffsd.conf", "tiffsd/config.yaml", "systemd/system/tiffsd.service"}


def test_all_that_is_told_is_done_and_nothing_else(machine: Machine) -> None:
    lines = machine.install()
    assert machine.files() == WRITTEN
    written = {line.split()[1].rstrip(":") for line in lines if line.startswith("  write")}
    assert written == {str(machine.etc / name) for name in WRITTEN}
    assert [line.removeprefix("  run      ") for line in lines if line.startswith("  run")] == machine.ran
    assert [line.split()[0] for line in machine.ran] == ["systemd-sysusers", "systemd-tmpfiles", "systemctl", "systemctl"]
    assert machine.ran[-1] == "systemctl enable --now tiffsd"


def test_the_unit_is_the_one_of_the_repository_with_the_path_of_this_program(machine: Machine) -> None:
    machine.install(web=True)
    for name in ("tiffsd.service", "tiffsd-web.service"):
        mark, _, text = (machine.etc / "systemd/system" / name).read_text().partition("\n")
        assert mark.startswith("# Written by `tiffsd service install`")
        assert text == (UNITS / name).read_text().replace("/opt/tiffsd/bin/", "/srv/tiffsd/bin/")
    assert machine.ran[-1] == "systemctl enable --now tiffsd tiffsd-web"


def test_the_configuration_names_the_spool_and_is_the_shipped_one_otherwise(machine: Machine) -> None:
    machine.install()
    shipped = (UNITS.parent / "config.yaml").read_text()
    assert machine.places.config.read_text() == shipped.replace("spool: spool", "spool: '/var/lib/tiffsd'")
    assert read_config(machine.places.config).spool_folder == Path("/var/lib/tiffsd")


def test_all_may_read_what_is_written_whatever_the_umask(machine: Machine) -> None:
    before = os.umask(0o077)
    try:
        machine.install()
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in machine.etc.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert {stat.S_IMODE(path.stat().st_mode) for path in machine.etc.rglob("*") if path.is_dir()} == {0o755}


def test_a_second_time_nothing_is_written(machine: Machine) -> None:
    machine.install()
    before = {path: path.stat().st_mtime_ns for path in machine.etc.rglob("*")}
    lines = machine.install()
    assert {path: path.stat().st_mtime_ns for path in machine.etc.rglob("*")} == before
    assert [line.split()[0] for line in lines if "run" not in line.split()[0]] == ["leave"] * 4


def test_an_upgrade_shows_what_differs_and_starts_the_service_anew(machine: Machine) -> None:
    machine.install()
    machine.places.config.write_text("spool: /var/lib/tiffsd\n")
    lines = machine.install(program=Path("/opt/new/bin/tiffsd"), active=True)
    assert any(line.strip() == "-ExecStart=/srv/tiffsd/bin/tiffsd run --config /etc/tiffsd/config.yaml" for line in lines)
    assert any(line.strip() == "+ExecStart=/opt/new/bin/tiffsd run --config /etc/tiffsd/config.yaml" for line in lines)
    assert machine.ran[-2:] == ["systemctl enable tiffsd", "systemctl restart tiffsd"]
    assert machine.places.config.read_text() == "spool: /var/lib/tiffsd\n"
    assert machine.files() == WRITTEN


def test_what_a_hand_has_changed_is_kept_beside_it(machine: Machine) -> None:
    machine.install()
    unit = machine.etc / "systemd/system/tiffsd.service"
    unit.write_text(unit.read_text() + "# mine\n")
    lines = machine.install()
    assert any("kept as tiffsd.service.old" in line for line in lines)
    assert unit.with_name("tiffsd.service.old").read_text().endswith("# mine\n")
    assert not unit.read_text().endswith("# mine\n")


def test_a_spool_elsewhere_is_open_to_the_units_and_made_by_tmpfiles(machine: Machine) -> None:
    machine.install(Path("/data/tiffsd"), web=True)
    for name in ("tiffsd", "tiffsd-web"):
        drop_in = (machine.etc / f"systemd/system/{name}.service.d/spool.conf").read_text()
        assert "\nReadWritePaths=/data/tiffsd\n" in drop_in
        assert "\nRequiresMountsFor=/data/tiffsd\n" in drop_in
    assert "d  /data/tiffsd/inbox/1-text " in (machine.etc / "tmpfiles.d/tiffsd.conf").read_text()
    assert read_config(machine.places.config).spool_folder == Path("/data/tiffsd")
    # Where the configuration has the usual one again, the units may no longer write elsewhere.
    machine.places.config.write_text("spool: /var/lib/tiffsd\n")
    machine.install()
    assert not (machine.etc / "systemd/system/tiffsd.service.d/spool.conf").exists()


def test_a_spool_that_the_configuration_does_not_have_is_refused(machine: Machine) -> None:
    machine.install()
    with pytest.raises(ConfigError, match=r"says that the spool is /var/lib/tiffsd; change `spool` there"):
        spool_of(machine.places, Path("/data/tiffsd"))
    assert spool_of(machine.places, Path("/var/lib/tiffsd")) == Path("/var/lib/tiffsd")


def test_uninstalling_takes_back_what_install_wrote_and_nothing_else(machine: Machine) -> None:
    machine.install(Path("/data/tiffsd"), web=True)
    mine = machine.etc / "systemd/system/tiffsd.service.d/mine.conf"
    mine.write_text("[Service]\nNice=5\n")
    (machine.etc / "tmpfiles.d/tiffsd.conf").write_text("# written by hand\n")
    machine.ran.clear()
    machine.uninstall()
    assert machine.files() == {"tiffsd/config.yaml", "tmpfiles.d/tiffsd.conf", "systemd/system/tiffsd.service.d/mine.conf"}
    expected = ["disable --now tiffsd-web", "disable --now tiffsd", "daemon-reload"]
    assert machine.ran == [f"systemctl {words}" for words in expected]


def test_where_nothing_was_installed_nothing_is_taken_back(machine: Machine) -> None:
    assert uninstall_steps(machine.places, purge=False, spool=service.SPOOL) == []


@pytest.mark.parametrize("is_spool", [True, False])
def test_a_purge_deletes_the_spool_where_it_is_one(machine: Machine, tmp_path: Path, is_spool: bool) -> None:
    spool = tmp_path / "data"
    for kind in ("inbox", "hold", "failed") if is_spool else ("letters",):
        (spool / kind).mkdir(parents=True)
    machine.install(spool)
    *_, last = uninstall_steps(machine.places, purge=True, spool=spool)
    assert isinstance(last, Run)
    assert last.words[:4] == ("rm", "--recursive", "--one-file-system", "--")
    assert (str(spool) in last.words) == is_spool
    assert str(machine.places.config) in last.words


def test_a_person_has_two_files_and_no_root(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.places = of_person(tmp_path / "home", {})
    machine.install()
    home = tmp_path / "home"
    assert {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()} == {
        ".config/systemd/user/tiffsd.service",
        "tiffsd/config.yaml",
    }
    assert (home / "tiffsd/config.yaml").read_text() == (UNITS.parent / "config.yaml").read_text()
    unit = (home / ".config/systemd/user/tiffsd.service").read_text()
    assert "\nExecStart=/srv/tiffsd/bin/tiffsd run --config %h/tiffsd/config.yaml\n" in unit
    assert machine.ran == ["systemctl --user daemon-reload", "systemctl --user enable --now tiffsd"]
    assert of_person(home, {"XDG_CONFIG_HOME": "/x"}).units == Path("/x/systemd/user")


def test_a_person_may_have_the_configuration_elsewhere_and_it_stays_so(tmp_path: Path) -> None:
    machine, home = Machine(tmp_path), tmp_path / "home"
    machine.places = of_person(home, {}, home / "sd/config.yaml")
    machine.install()
    unit = (home / ".config/systemd/user/tiffsd.service").read_text()
    assert f"\nExecStart=/srv/tiffsd/bin/tiffsd run --config {home}/sd/config.yaml\n" in unit
    assert f"\nWorkingDirectory={home}/sd\n" in unit
    assert of_person(home, {}).config == home / "sd/config.yaml"
    assert of_person(tmp_path, {}).config == tmp_path / "tiffsd/config.yaml"


def test_a_page_that_is_there_is_brought_along_without_being_named(here: Machine) -> None:
    typed("install", "--yes", "--web")
    here.ran.clear()
    typed("install", "--yes")
    assert here.ran[-1] == "systemctl enable --now tiffsd tiffsd-web"


def test_a_command_that_fails_is_a_sentence_that_says_how_to_go_on(machine: Machine) -> None:
    machine.failing = ("enable",)
    with pytest.raises(DaemonError, match=r"`systemctl enable --now tiffsd` failed: it is broken see there; what was done before"):
        machine.install()
    with pytest.raises(DaemonError, match="there is no systemd-nothing"):
        do(Run(("systemd-nothing",)), steps.on_this_machine)


# --- as it is typed


@pytest.fixture
def here(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The made-up machine for the command itself: systemd runs there, and we are root."""
    monkeypatch.setattr(obstacles, "SYSTEMD", tmp_path)
    monkeypatch.setattr(obstacles, "HIDDEN", (tmp_path / "hidden",))
    monkeypatch.setattr(obstacles, "PACKAGED", ())
    monkeypatch.setattr(obstacles, "_closed", lambda _place: [])
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(service, "of_machine", lambda: machine.places)
    monkeypatch.setattr(steps, "on_this_machine", machine.run)
    machine.failing = ("is-active",)
    return machine


def typed(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["service", *words], input=answer, catch_exceptions=False)


def fault(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """The sentence with which the whole program ends, by the code for a set-up."""
    monkeypatch.setattr(sys, "argv", ["tiffsd", "service", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == SET_UP
    return capsys.readouterr().err.strip()


def test_install_says_what_it_did_and_what_to_do_now(here: Machine) -> None:
    said = typed("install", "--yes").output
    assert "  write    " in said
    assert "usermod -aG tiffsd NAME" in said
    assert said.endswith("Drop a prompt into /var/lib/tiffsd/inbox/1-text\n")
    assert here.files() == WRITTEN


def test_a_dry_run_says_the_same_and_does_nothing(here: Machine) -> None:
    assert "  write    " in typed("install", "--dry-run").output
    assert here.files() == set()


def test_it_asks_first(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _self: True, raising=False)
    declined = typed("install", answer="n\n")
    assert (declined.exit_code, here.files()) == (1, set())
    assert "Nothing was changed." in declined.output
    assert typed("install", answer="y\n").exit_code == 0
    assert here.files() == WRITTEN


def test_where_nobody_can_be_asked_yes_must_be_said(
    here: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fault(capsys, monkeypatch, "install").startswith("tiffsd: there is no terminal to ask on")
    assert here.files() == set()


OBSTACLES: dict[str, tuple[Callable[[pytest.MonkeyPatch, Path], object], tuple[str, ...], str]] = {
    "no systemd": (
        lambda patch, folder: patch.setattr(obstacles, "SYSTEMD", folder / "nothing"),
        (),
        "systemd does not run on this machine",
    ),
    "not root": (lambda patch, _: patch.setattr("os.geteuid", lambda: 1000), (), "the service of the machine is root's: `sudo /"),
    "sudo for oneself": (lambda patch, _: patch.setenv("SUDO_USER", "alice"), ("--user",), "sudo makes that root"),
    "program in a home": (
        lambda patch, _: patch.setattr(obstacles, "HIDDEN", (Path(sys.prefix).parent,)),
        (),
        "which the sandbox of the service hides",
    ),
    "program in a closed folder": (
        lambda patch, _: patch.setattr(obstacles, "_closed", lambda _place: [Path("/secret")]),
        (),
        "only its owner may enter /secret",
    ),
    "a package of the system": (
        lambda patch, folder: patch.setattr(obstacles, "PACKAGED", (folder,)),
        (),
        "a package of this system has made it a service already",
    ),
    "spool in a home": (lambda _, __: None, ("--spool", "hidden/spool"), "sees nothing; choose a folder elsewhere"),
    "spool with a space": (lambda _, __: None, ("--spool", "/data/my spool"), "neither spaces"),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_what_is_in_the_way_is_one_sentence_and_nothing_is_changed(
    case: str, here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_in_the_way, words, sentence = OBSTACLES[case]
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.chdir(tmp_path)
    put_in_the_way(monkeypatch, tmp_path)
    said = fault(capsys, monkeypatch, "install", "--yes", *words)
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert here.files() == set()


def test_the_page_says_what_it_lacks_and_how_to_get_it() -> None:
    (said,) = obstacles._of_page(known=lambda _name: None)
    assert re.search(r"run `\S+ (-m pip )?install 'starlette>=[\d.]+' 'uvicorn>=[\d.]+'`, then this again", said)
    assert list(obstacles._of_page(known=lambda name: name)) == []


def test_a_configuration_that_is_wrong_is_said_before_anything_is_changed(
    here: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here.places.config.parent.mkdir(parents=True)
    here.places.config.write_text("spol: x\n")
    assert "'spol' is no key (did you mean 'spool'?)" in fault(capsys, monkeypatch, "install", "--yes")
    assert here.files() == {"tiffsd/config.yaml"}


def test_a_model_in_a_home_is_named_with_the_lines_that_open_it(here: Machine, tmp_path: Path) -> None:
    (tmp_path / "hidden/xl").mkdir(parents=True)
    here.places.config.parent.mkdir(parents=True)
    models = f"models: {{xl: {{path: {tmp_path}/hidden/xl}}}}\ndefaults: {{model: xl}}\n"
    here.places.config.write_text("spool: /var/lib/tiffsd\n" + models)
    said = typed("install", "--yes").output
    assert f"models.xl is {tmp_path}/hidden/xl, which the sandbox of the service hides: `systemctl edit tiffsd`" in said


def test_uninstall_says_what_stays(here: Machine) -> None:
    typed("install", "--yes")
    said = typed("uninstall", "--yes").output
    assert f"stays: {here.places.config}" in said
    assert here.files() == {"tiffsd/config.yaml"}
    assert "nothing here that `tiffsd service install` wrote" in typed("uninstall", "--yes").output


def test_a_wrong_configuration_keeps_nobody_from_uninstalling_but_from_a_purge(here: Machine) -> None:
    typed("install", "--yes")
    here.places.config.write_text("spol: x\n")
    with pytest.raises(ConfigError):
        typed("uninstall", "--yes", "--purge")
    assert typed("uninstall", "--yes").exit_code == 0
    assert here.files() == {"tiffsd/config.yaml"}


def test_the_page_of_a_person_is_no_service() -> None:
    assert "run `tiffsd web`" in typed("install", "--user", "--web").output
    assert "that of the machine has /etc/tiffsd/config.yaml" in typed("install", "-c", "x").output


def test_places_say_whose_they_are() -> None:
    assert not of_machine().of_one_person
    assert of_machine() == Places(Path("/etc/tiffsd/config.yaml"), Path("/etc/systemd/system"), Path("/etc"))
