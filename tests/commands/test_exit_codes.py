"""What the exit code of the real command line says: whose fault it was, on real full disks, with real limits and real daemons."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.house import REPOSITORY
from tests.outside import outside
from tests.real.disk import SmallDisk
from tests.real.fast_daemon import FastDaemon
from tests.real.programs import needs_mounting
from tests.running_daemon import RunningDaemon

DONE, AT_FAULT, SET_UP, NO_DAEMON, MACHINE, INTERRUPTED = 0, 1, 2, 3, 75, 130


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    needs_mounting()
    with SmallDisk(tmp_path / "disk", megabytes=2, inodes=400) as small:
        yield small


def home_with(folder: Path, spool: object) -> Path:
    """A folder with a configuration whose spool is not made yet."""
    (folder / "config.yaml").write_text(f"spool: {spool}\n")
    return folder


def ended(home: Path, *words: str, before: Sequence[str] = ()) -> tuple[int, str]:
    """The exit code of a command, and the one line that it complained with."""
    command = [*before, sys.executable, "-m", "daemon", *words]
    result = subprocess.run(command, cwd=home, env=os.environ, capture_output=True, text=True, timeout=100, check=False)
    assert "Traceback" not in result.stderr
    return result.returncode, result.stderr


def test_the_page_on_the_service_explains_every_code() -> None:
    codes = re.findall(r"^\| (\d+) \| ", (REPOSITORY / "docs/service.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert list(map(int, codes)) == [DONE, AT_FAULT, SET_UP, NO_DAEMON, MACHINE, INTERRUPTED]


# --- the machine


def test_a_full_disk_is_the_machines_fault(disk: SmallDisk, tmp_path: Path) -> None:
    home = home_with(tmp_path, disk.place / "spool")
    disk.fill(pages_left=0)
    code, said = ended(home, "once")
    assert code == MACHINE
    assert "No space left on device; free some space there (`df -h`)" in said
    disk.free()
    assert ended(home, "once")[0] == DONE


def test_a_disk_without_inodes_is_the_machines_fault(disk: SmallDisk, tmp_path: Path) -> None:
    disk.use_up_names(left=0)
    code, said = ended(home_with(tmp_path, disk.place / "spool"), "once")
    assert code == MACHINE
    assert "free some inodes there" in said


@pytest.mark.parametrize("is_made", [True, False])
def test_a_read_only_disk_is_the_machines_fault(disk: SmallDisk, tmp_path: Path, is_made: bool) -> None:
    home = home_with(tmp_path, disk.place / "spool")
    if is_made:
        assert ended(home, "once")[0] == DONE
    subprocess.run(["mount", "-o", "remount,ro", disk.place], env=outside(), check=True)
    code, said = ended(home, "once")
    assert code == MACHINE
    assert "Read-only file system; mount it writable" in said


def test_too_few_files_that_may_be_open_are_the_machines_fault(tmp_path: Path) -> None:
    home = home_with(tmp_path, "spool")
    ends: dict[int, str] = {}
    # The folders at the top are kept open. With a few more the start goes well, and then no inbox can be read.
    for few in (5, *range(16, 28)):
        code, said = ended(home, "once", before=["sh", "-c", f'ulimit -n {few}; exec "$@"', "sh"])
        assert code in (AT_FAULT, MACHINE)
        ends.setdefault(code, said)
        if AT_FAULT in ends:
            break
    met, unread = ends[MACHINE], ends[AT_FAULT]
    assert "text: its inbox cannot be read" in unread
    assert "Too many open files; let the daemon have more open files: LimitNOFILE= of its service, or `ulimit -n`" in met


def test_a_configuration_that_the_machine_cannot_read_is_the_machines_fault(tmp_path: Path) -> None:
    # Memory of a process at an address that nothing lies at: the kernel answers EIO.
    home_with(tmp_path, "spool")
    code, said = ended(tmp_path, "once", "--config", "/proc/self/mem")
    assert code == MACHINE
    assert said.startswith(f"tiffsd: /proc/self/mem cannot be read: {os.strerror(errno.EIO)}; the disk")


def test_another_daemon_ends_the_second_one_at_once_and_is_named(tmp_path: Path) -> None:
    daemon = FastDaemon(tmp_path)
    pid = daemon.start()
    try:
        for command in ("run", "once"):
            code, said = ended(tmp_path, command)
            assert code == MACHINE
            assert f"A daemon already runs on {daemon.spool} (process {pid})" in " ".join(said.split())
    finally:
        daemon.close()


def test_output_that_finds_no_room_is_the_machines_fault(tmp_path: Path) -> None:
    code, said = ended(tmp_path, "tmpfiles", before=["sh", "-c", '"$@" > /dev/full', "sh"])
    assert code == MACHINE
    assert "free some space there" in said


# --- the wait at the start


def test_a_start_waits_for_room_asks_systemd_for_time_and_says_so_once(disk: SmallDisk, tmp_path: Path) -> None:
    daemon = FastDaemon(tmp_path / "daemon", spool=disk.place / "spool")
    daemon.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
    disk.use_up_names(left=0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(daemon.environment["NOTIFY_SOCKET"])
        systemd.settimeout(60)
        pid = daemon.launch()
        try:
            for _ in range(4):
                status, more = systemd.recv(4096).decode().splitlines()
                assert re.fullmatch(r"STATUS=cannot start yet, will retry: .* free some inodes there.*", status)
                assert more == "EXTEND_TIMEOUT_USEC=300000000"
            assert daemon.log().count("cannot start yet, will retry") == 1
            disk.free()
            while systemd.recv(4096) != b"READY=1":
                continue
            wait_until(daemon.is_watching, what="the daemon is watching")
            assert (daemon.pid(), daemon.log().count("the system error is over, starting")) == (pid, 1)
            assert daemon.stop() == DONE
        finally:
            daemon.close()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_wait_at_once_and_cleanly(disk: SmallDisk, tmp_path: Path, end: signal.Signals) -> None:
    daemon = FastDaemon(tmp_path / "daemon", spool=disk.place / "spool", before=["env", "--default-signal=INT"])
    disk.use_up_names(left=0)
    daemon.launch()
    assert daemon.process is not None
    try:
        wait_until(lambda: "cannot start yet, will retry" in daemon.log(), what="it waits")
        daemon.process.send_signal(end)
        assert daemon.process.wait(timeout=5) == DONE
    finally:
        daemon.close()


# --- the set-up, and usage


def test_a_file_in_the_place_of_the_spool_is_a_fault_of_the_set_up(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    code, said = ended(home_with(tmp_path, "spool"), "run")
    assert code == SET_UP
    assert "a file stands in its way" in " ".join(said.split())


def test_a_spool_that_may_not_be_made_is_a_fault_of_the_set_up(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    like_anybody = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    code, said = ended(home_with(tmp_path, "closed/spool"), "run", before=like_anybody)
    assert code == SET_UP
    assert "give it to the daemon's user" in said


@pytest.mark.parametrize("words", [["nonsense"], ["once", "--nonsense"], ["release"], []])
def test_words_that_are_no_command_are_usage(tmp_path: Path, words: list[str]) -> None:
    code, said = ended(tmp_path, *words)
    assert code == SET_UP
    assert said.startswith("Usage: ")


def test_a_missing_or_wrong_configuration_is_a_fault_of_the_set_up(tmp_path: Path) -> None:
    missing = ["once", "--config", "none.yaml"]
    assert ended(tmp_path, *missing)[0] == SET_UP
    (tmp_path / "config.yaml").write_text("nonsense: true\n")
    assert ended(tmp_path, "run")[0] == SET_UP


# --- what was named, jobs, and the status


@pytest.mark.parametrize(
    "words",
    [["release", "no.tiff"], ["retry", "no.5d01aa7c"], ["cancel", "no.5d01aa7c"], ["pause", "nothing"], ["show", "no.tiff"]],
)
def test_what_is_not_there_could_not_be_done(tmp_path: Path, words: list[str]) -> None:
    ended(tmp_path, "init")
    code, said = ended(tmp_path, *words)
    assert code == AT_FAULT
    assert said.count("\n") == 1


def test_a_folder_that_is_no_failed_job_could_not_be_tried_again(tmp_path: Path) -> None:
    ended(tmp_path, "init")
    code, said = ended(tmp_path, "retry", str(tmp_path))
    assert code == AT_FAULT
    assert "is not a failed job" in said


def test_the_status_says_by_its_code_whether_a_daemon_runs(tmp_path: Path) -> None:
    daemon = FastDaemon(tmp_path)
    for words in (["status"], ["status", "--json"]):
        assert ended(tmp_path, *words) == (NO_DAEMON, "")
    daemon.start()
    try:
        for words in (["status"], ["status", "--json"]):
            assert ended(tmp_path, *words) == (DONE, "")
    finally:
        daemon.close()


ONCE = {
    "nothing to do": ({}, DONE),
    "failed": ({"cat.txt": "---\nstepz: 1\n---\na cat"}, AT_FAULT),
    "half of a pair": ({"cat_neg.txt": "a dog"}, AT_FAULT),
    "paused": ({"PAUSE": "", "cat.txt": "---\nstepz: 1\n---\na cat"}, DONE),
}


@pytest.mark.parametrize("case", ONCE)
def test_once_says_by_its_code_whether_all_was_done(tmp_path: Path, case: str) -> None:
    files, code = ONCE[case]
    daemon = RunningDaemon(tmp_path)
    for name, text in files.items():
        daemon.drop("inbox/1-text", name, text)
    assert ended(tmp_path, "once")[0] == code


@pytest.mark.slow
def test_what_once_puts_on_hold_counts_as_done(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    daemon.drop("inbox/1-text", "cat.txt", "---\nhold: diffuse\n---\na cat")
    assert ended(tmp_path, "once")[0] == DONE
    assert len(list(daemon.spool.glob("hold/2-diffuse/cat.*.tiff"))) == 1


# --- pipes and Ctrl-C


@pytest.mark.parametrize("words", [["--help"], ["status"], ["tmpfiles"], ["models"]])
def test_a_reader_that_has_gone_away_costs_no_traceback(tmp_path: Path, words: list[str]) -> None:
    ended(tmp_path, "init")
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as gone:
        command = [sys.executable, "-m", "daemon", *words]
        result = subprocess.run(command, cwd=tmp_path, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (AT_FAULT, "")


def test_ctrl_c_at_the_start_costs_no_traceback(tmp_path: Path) -> None:
    # A configuration that nobody writes to the end: the command waits for it before any of its own handlers is there.
    fifo = tmp_path / "config.yaml"
    os.mkfifo(fifo)
    command = ["env", "--default-signal=INT", sys.executable, "-m", "daemon", "once", "--config", str(fifo)]
    # The FIFO opens when the command reads it.
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process, fifo.open("w"):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (INTERRUPTED, "")
