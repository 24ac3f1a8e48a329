"""`tiffsd doctor` says what there is, and one line of advice on each thing that is not as it should be."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from daemon.cli import app
from daemon.settings.config import examined
from daemon.setup import doctor, look_at_devices, look_at_machine, look_at_spool, service
from daemon.setup.findings import Finding, State
from daemon.setup.look_at_config import look_at_config
from daemon.setup.look_at_devices import Cards
from daemon.setup.look_at_spool import Mount, mount_of
from daemon.setup.torch_here import Device, Torch, torch_here
from tests.house import REPOSITORY

CPU = {"processor": "a processor", "instruction_set": "AVX2", "threads": "2"}
ON_CPU = Torch(version="2.13.0+cpu", cpu=CPU)
ON_CUDA = Torch(version="2.13.0+cu126", cuda="12.6", cpu=CPU)
CARD = Device("NVIDIA RTX 3060", "sm_86", 11 * 10**9, 12 * 10**9)
RUNS = replace(ON_CUDA, devices=(CARD,), made_for=("sm_80", "sm_90"))
NVIDIA = Cards(("NVIDIA RTX 3060",), "550.54.14")


@pytest.fixture(scope="module")
def torch() -> Torch:
    """What the process says that loads torch."""
    return torch_here()


def at(state: State, findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.state is state]


def test_the_torch_that_is_here_is_told_by_a_process_of_its_own(torch: Torch) -> None:
    from importlib.metadata import version

    assert torch.error is None
    assert torch.version.partition("+")[0] == version("torch").partition("+")[0]
    assert torch.cpu["instruction_set"]


def test_a_torch_that_cannot_be_loaded_is_a_fault_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    paths = os.pathsep.join((str(tmp_path), str(REPOSITORY)))
    monkeypatch.setattr("daemon.setup.torch_here.surroundings", lambda: {**os.environ, "PYTHONPATH": paths})
    broken = torch_here()
    assert broken.error == "ImportError: libcudart.so.12: cannot open shared object file"
    (found,) = look_at_devices.look_at_devices(broken, Cards(), {})
    assert found.state is State.FAULT
    assert found.said == f"it cannot be loaded: {broken.error}"
    assert "install --force-reinstall torch`" in (found.advice or "")


# What torch there is, which cards, which devices the configuration wants -> the states, and words of the last thing that is said.
DEVICES: dict[str, tuple[Torch, Cards, dict[str, str], str, str]] = {
    "no card": (ON_CPU, Cards(), {"compute.device": "cpu"}, "ok ok", "none"),
    "a torch for the CPU": (ON_CPU, NVIDIA, {}, "ok note", "torch --index-url https://download.pytorch.org/whl/cu126`"),
    "with a driver of CUDA 13": (ON_CPU, replace(NVIDIA, driver="580.65"), {}, "ok note", "/whl/cu130`"),
    "with a driver of CUDA 12.8": (ON_CPU, replace(NVIDIA, driver="572.1"), {}, "ok note", "/whl/cu128`"),
    "with a driver that nobody takes": (ON_CPU, replace(NVIDIA, driver="470.1"), {}, "ok note", "install 525 or later"),
    "with a driver that is not told": (replace(ON_CPU), replace(NVIDIA, driver="?"), {}, "ok note", "/whl/cu126`"),
    "no driver": (ON_CPU, Cards(("an NVIDIA card",)), {}, "ok note", "install the driver"),
    "a torch that finds none": (ON_CUDA, NVIDIA, {}, "ok note", "renew the driver, or take the torch for this one"),
    "an AMD card": (ON_CPU, Cards(amd=True), {}, "ok note", "install torch for ROCm"),
    "it runs": (RUNS, NVIDIA, {"compute.device": "cuda"}, "ok ok", "NVIDIA RTX 3060, sm_86, 12.0 GB, 11.0 free"),
    "nobody uses it": (RUNS, NVIDIA, {"compute.device": "cpu"}, "ok ok note", "set `device: cuda` under `compute`"),
    "a card that this torch does not know": (
        replace(RUNS, made_for=("sm_90", "compute_90")),
        NVIDIA,
        {"compute.device": "cuda"},
        "ok fault",
        "take another build of torch",
    ),
    "code that is made there": (replace(RUNS, made_for=("compute_80",)), NVIDIA, {"compute.device": "cuda"}, "ok ok", "sm_86"),
    "a small one": (replace(RUNS, devices=(replace(CARD, total_bytes=2 * 10**9),)), NVIDIA, {}, "ok note", "`dtype: float16`"),
    "a device that is not there": (RUNS, NVIDIA, {"stages.decode.device": "cuda:1"}, "ok ok fault", "set it to cpu, or see"),
    "none of what is wanted": (ON_CPU, Cards(), {"compute.device": "cuda"}, "ok ok fault", "set it to cpu, or see"),
    "Apple's": (replace(ON_CPU, mps=True), Cards(), {"compute.device": "mps"}, "ok ok", "Apple's (mps)"),
}


@pytest.mark.parametrize("case", DEVICES)
def test_torch_and_the_cards_are_told_together_with_the_way_to_the_right_one(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, cards, wanted, states, words = DEVICES[case]
    monkeypatch.setattr(look_at_devices, "_there", lambda _place: False)
    found = [*look_at_devices.look_at_devices(torch, cards, wanted, environ={})]
    assert " ".join(finding.state for finding in found) == states
    assert words in (found[-1].advice or found[-1].said)


def test_cards_that_are_hidden_are_said_to_be() -> None:
    (found,) = at(State.NOTE, look_at_devices.look_at_devices(ON_CUDA, NVIDIA, {}, environ={"CUDA_VISIBLE_DEVICES": ""}))
    assert "hidden by CUDA_VISIBLE_DEVICES" in found.said


def test_cards_are_found_by_the_driver_or_on_the_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "pci/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030000\n")
    monkeypatch.setattr(look_at_devices, "PCI", tmp_path / "pci")
    monkeypatch.setattr(look_at_devices, "SMI", ("there-is-no-such-program",))
    monkeypatch.setattr(look_at_devices, "DRIVER_VERSION", tmp_path / "version")
    monkeypatch.setattr(look_at_devices, "AMD_DRIVER", tmp_path / "kfd")
    assert look_at_devices.cards_here() == Cards(("an NVIDIA card",), None)
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n")
    assert look_at_devices.cards_here().driver == "550.54.14"
    listed = "NVIDIA H200, 570.1\nNVIDIA H200, 570.1"
    monkeypatch.setattr(look_at_devices, "SMI", (sys.executable, "-c", f"print({listed!r})"))
    assert look_at_devices.cards_here() == Cards(("NVIDIA H200", "NVIDIA H200"), "570.1")


# What is mounted, and what is said of it.
MOUNTS = {
    Mount("ext4", frozenset({"rw"})): (State.OK, "a local disk, renames are in order"),
    Mount("xfs", frozenset({"ro"})): (State.FAULT, "mounted read-only"),
    Mount("overlay", frozenset({"rw"})): (State.NOTE, "may go with the container"),
    Mount("tmpfs", frozenset({"rw"})): (State.NOTE, "it lies in memory"),
    Mount("nfs4", frozenset({"rw"})): (State.NOTE, "who writes on another machine is not seen"),
    Mount("cifs", frozenset({"rw"})): (State.NOTE, "who writes on another machine is not seen"),
    Mount("fuse.sshfs", frozenset({"rw"})): (State.NOTE, "renames may not be in order after a crash"),
    Mount("vfat", frozenset({"rw"})): (State.NOTE, "no owners and no permissions"),
    Mount("unheard-of", frozenset({"rw"})): (State.OK, "on unheard-of"),
}


@pytest.mark.parametrize("mount", MOUNTS, ids=lambda mount: mount.type)
def test_a_filesystem_is_named_with_what_it_promises(mount: Mount, tmp_path: Path) -> None:
    state, words = MOUNTS[mount]
    (found,) = look_at_spool._of_filesystem(tmp_path, mount)
    assert (found.state, words in found.said) == (state, True), found


def test_the_mount_of_a_folder_is_the_nearest_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    near = str(tmp_path / "with space").replace(" ", "\\040")
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:3 / {near} rw,noatime - nfs4 server:/x ro,hard\n")
    (tmp_path / "with space/spool").mkdir(parents=True)
    monkeypatch.setattr(look_at_spool, "MOUNTS", mounts)
    assert mount_of(tmp_path) == Mount("ext4", frozenset({"rw"}))
    assert mount_of(tmp_path / "with space/spool") == Mount("nfs4", frozenset({"rw", "noatime", "ro", "hard"}))


@pytest.mark.parametrize(
    ("free", "state"), [(100 * 10**9, State.OK), (3 * 10**9, State.NOTE), (10**8, State.FAULT)], ids=["much", "little", "none"]
)
def test_room_is_told_before_it_is_gone(free: int, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": free}))
    (found,) = look_at_spool._of_room(tmp_path)
    assert found.state is state


def test_memory_is_what_a_control_group_leaves_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       32000000 kB\nMemAvailable:   16000000 kB\n")
    (tmp_path / "max").write_text("max\n")
    monkeypatch.setattr(look_at_machine, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(look_at_machine, "LIMITS", (tmp_path / "max",))
    assert [found.said for found in look_at_machine.look_at_memory()] == ["32.8 GB, 16.4 free"]
    (tmp_path / "max").write_text("2000000000\n")
    (found,) = look_at_machine.look_at_memory()
    assert (found.state, found.said) == (State.NOTE, "32.8 GB, 16.4 free, at most 2.0 for this program")


def test_few_watches_come_with_the_line_that_raises_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_at_machine, "INOTIFY", tmp_path)
    (found,) = look_at_machine.look_at_watches(24)
    assert "has no inotify" in found.said
    for name, number in (("max_user_instances", 128), ("max_user_watches", 65536)):
        (tmp_path / name).write_text(f"{number}\n")
    assert at(State.OK, look_at_machine.look_at_watches(24))
    (tmp_path / "max_user_watches").write_text("20\n")
    (found,) = look_at_machine.look_at_watches(24)
    assert (found.state, "sysctl fs.inotify" in (found.advice or "")) == (State.NOTE, True)
    (tmp_path / "max_user_watches").write_text("65536\n")
    monkeypatch.setattr(look_at_machine, "_one_more_instance", lambda: False)
    (found,) = look_at_machine.look_at_watches(24)
    assert "none is left" in found.said


def test_a_right_to_leases_on_files_of_others_matters_where_a_group_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_at_machine, "_lease_on_a_file_in", lambda _folder: False)
    monkeypatch.setattr(look_at_machine, "_has", lambda _capability: False)
    states = [
        found.state
        for shared, served in ((False, False), (True, True), (True, False))
        for found in look_at_machine.look_at_leases(tmp_path, shared=shared, served=served)
    ]
    assert states == [State.OK, State.OK, State.NOTE]
    monkeypatch.setattr(look_at_machine, "_lease_on_a_file_in", lambda _folder: None)
    (found,) = look_at_machine.look_at_leases(tmp_path, shared=False, served=False)
    assert "not on this filesystem" in found.said


def test_asking_for_a_lease_leaves_nothing_behind(tmp_path: Path) -> None:
    assert look_at_machine._lease_on_a_file_in(tmp_path) in (False, None)
    assert [*tmp_path.iterdir()] == []


def test_what_is_wrong_with_a_configuration_is_split_from_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("models: {demo: {path: builtin}, far: {path: nowhere}}\nhooks: {done: [no-such-program]}\n")
    config, faults = examined(path)
    found = at(State.FAULT, look_at_config(path, config, faults))
    assert [finding.about for finding in found] == ["config.yaml"] * 2
    assert found[0].said == f"line 1: 'models.far.path' is {tmp_path}/nowhere, and nothing is there"
    assert found[0].advice == "name the folder or the file, from this file on"
    path.write_text("spol: x\n")
    (wrong,) = look_at_config(path, *examined(path))
    assert wrong.said.startswith("line 1: 'spol' is no key")
    assert wrong.advice


# --- as it is typed


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool with a configuration, on a machine with a torch for the CPU and no service."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "torch_here", lambda: ON_CPU)
    monkeypatch.setattr(doctor, "cards_here", lambda: NVIDIA)
    monkeypatch.setattr(doctor, "of_machine", lambda: service.of_machine(tmp_path / "etc"))
    monkeypatch.setattr(doctor, "PACKAGED", ())
    monkeypatch.setattr(doctor, "of_person", lambda _home, _environ: service.of_person(tmp_path / "nobody", {}))
    CliRunner().invoke(app, ["init"], catch_exceptions=False)
    return tmp_path


def typed(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["doctor", *words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def said_of(about: str, result: Result) -> dict[str, str]:
    (found,) = [finding for finding in json.loads(result.stdout) if finding["about"] == about]
    return dict(found)


def test_all_fits_into_eighty_columns_and_notes_are_no_fault(home: Path) -> None:
    lines = typed().stdout.splitlines()
    assert max(map(len, [line for line in lines if "https://" not in line and str(home) not in line])) <= 80
    assert [line for line in lines if line.startswith("note   GPU")]
    assert lines[-1].startswith("0 at fault, ")


@pytest.mark.usefixtures("home")
def test_programs_get_the_same() -> None:
    found = json.loads(typed("--json").stdout)
    assert {finding["state"] for finding in found} <= {"ok", "note"}
    abouts = [finding["about"] for finding in found]
    wanted = (
        "tiffsd",
        "extras",
        "torch",
        "GPU",
        "processor",
        "memory",
        "watches",
        "config.yaml",
        "models",
        "spool",
        "room",
        "folders",
    )
    assert [about for about in abouts if about in wanted] == [*wanted]
    assert all(finding["advice"] for finding in found if finding["state"] != "ok")


def test_a_fault_is_an_exit_code(home: Path) -> None:
    (home / "config.yaml").write_text("models: {demo: {path: builtin}, far: {path: nowhere}}\n")
    assert "fault  config.yaml" in typed(code=1).stdout


@pytest.mark.usefixtures("home")
def test_without_a_configuration_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.commands.USUAL_CONFIGS", (Path("nothing.yaml"),))
    found = said_of("config.yaml", typed("--json"))
    assert (found["state"], "there is no configuration" in found["said"]) == ("note", True)


def test_a_spool_with_a_folder_that_lacks_is_a_fault(home: Path) -> None:
    (home / "spool/inbox/1-text").rmdir()
    found = said_of("folders", typed("--json", code=1))
    assert "1-text" in found["advice"]


def test_a_service_that_runs_another_program_is_named(home: Path) -> None:
    unit = home / "etc/systemd/system/tiffsd.service"
    unit.parent.mkdir(parents=True)
    assert said_of("service", typed("--json"))["state"] == "ok"
    unit.write_text(f"[Service]\nExecStart={sys.executable} run\n")
    found = said_of("service", typed("--json"))
    assert found["said"].startswith(f"it runs {sys.executable}, and this is ")
    unit.write_text("[Service]\nExecStart=/nowhere/tiffsd run\n")
    assert "which is not there" in said_of("service", typed("--json"))["said"]


def test_torch_is_not_loaded_by_who_asks(home: Path) -> None:
    code = "import sys; from daemon.cli import app; app(['doctor'], standalone_mode=False); print('loaded', 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=home, timeout=100)
    assert done.stdout.splitlines()[-1] == "loaded False", done.stdout + done.stderr
