"""Hooks: a command per event, with a private copy and the facts; what it does or fails to do changes nothing else."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.jobs.hooks import WAITING_AT_MOST, Hooks
from daemon.settings.config import HookOptions
from tests.conftest import wait_until

TELL = 'env | grep ^TIFFSD_ | sort > "$1"; cat "$TIFFSD_FILE" >> "$1"'


def shell(script: str, *words: str) -> list[str]:
    return ["/bin/sh", "-c", script, "hook", *words]


@contextmanager
def hooks_in(spool: Path, *, seconds: float = 60.0, **commands: list[str]) -> Iterator[Hooks]:
    options = HookOptions(seconds=seconds, **commands)
    hooks = Hooks(spool, lambda: options, lambda: None)
    yield hooks
    hooks.close()


def ended(hooks: Hooks) -> None:
    wait_until(lambda: not hooks.busy(), what="all hooks have ended")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "spool/pictures/cat.0a1b2c3d.png"
    path.parent.mkdir(parents=True)
    path.write_text("pixels")
    return path


def test_a_hook_gets_the_facts_and_a_private_copy(tmp_path: Path, picture: Path) -> None:
    with hooks_in(tmp_path / "spool", done=shell(TELL, str(tmp_path / "told"))) as hooks:
        hooks.published("decode", "cat.txt", [picture.with_suffix(".tiff"), picture])
        ended(hooks)
        assert hooks.complaints() == ()
    told = dict(line.split("=", 1) for line in (tmp_path / "told").read_text().splitlines() if "=" in line)
    assert told["TIFFSD_EVENT"] == "done"
    assert told["TIFFSD_STAGE"] == "decode"
    assert told["TIFFSD_NAME"] == "cat.txt"
    assert told["TIFFSD_PLACE"] == str(picture)
    assert told["TIFFSD_SPOOL"] == str(tmp_path / "spool")
    assert Path(told["TIFFSD_FILE"]).name == picture.name
    assert told["TIFFSD_FILE"] != str(picture)
    assert not Path(told["TIFFSD_FILE"]).exists(), "the copy goes with the hook"
    assert (tmp_path / "told").read_text().endswith("pixels")


def test_names_and_paths_are_told_to_the_byte_and_the_sentence_as_one_line(tmp_path: Path) -> None:
    name = "cat\n\x1b[2J" + os.fsdecode(b"\xff") + ".txt"
    folder = tmp_path / "spool/failed/1-text/cat.0a1b2c3d"
    folder.mkdir(parents=True)
    (folder / name).write_text("a cat")
    tell = 'printf "%s|" "$TIFFSD_NAME" "$TIFFSD_PLACE" "$TIFFSD_REASON" > "$1"; cat "$TIFFSD_FILE" >> "$1"'
    with hooks_in(tmp_path / "spool", failed=shell(tell, str(tmp_path / "told"))) as hooks:
        hooks.failed("text", name, folder, "It says 'a\n\x1b[2J\u202e\0\ud800'.")
        ended(hooks)
        assert hooks.complaints() == ()
    told = os.fsdecode((tmp_path / "told").read_bytes()).split("|")
    assert told == [name, str(folder / name), "It says 'a\\n\\x1b[2J\\u202e\\x00\\ud800'.", "a cat"]


def test_a_hook_that_ruins_its_copy_does_not_touch_the_file(tmp_path: Path, picture: Path) -> None:
    with hooks_in(tmp_path / "spool", done=shell('echo ruined > "$TIFFSD_FILE"; rm "$TIFFSD_FILE"')) as hooks:
        hooks.published("decode", "cat.txt", [picture])
        ended(hooks)
        assert hooks.complaints() == ()
    assert picture.read_text() == "pixels"


def test_only_what_people_look_at_is_told(tmp_path: Path) -> None:
    held = tmp_path / "hold/2-diffuse/cat.0a1b2c3d.tiff"
    kept, passed_on = tmp_path / ".keep/cat.0a1b2c3d.tiff", tmp_path / "inbox/3-decode/cat.0a1b2c3e.tiff"
    for path in (held, kept, passed_on):
        path.parent.mkdir(parents=True)
        path.touch()
    log = shell('echo "$TIFFSD_EVENT $TIFFSD_PLACE" >> "$1"', str(tmp_path / "told"))
    with hooks_in(tmp_path, done=log, review=log) as hooks:
        hooks.published("text", "cat.txt", [kept, held, passed_on])
        ended(hooks)
    assert (tmp_path / "told").read_text() == f"review {held}\n"


def test_a_failed_job_is_told_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "failed/1-text/cat.0a1b2c3d"
    folder.mkdir(parents=True)
    (folder / "cat.txt").write_text("a cat")
    told = shell('echo "$TIFFSD_REASON" > "$1"; cat "$TIFFSD_FILE" >> "$1"', str(tmp_path / "told"))
    with hooks_in(tmp_path, failed=told) as hooks:
        hooks.failed("text", "cat.txt", folder, "cat.txt: 'stepz' is no setting")
        ended(hooks)
    assert (tmp_path / "told").read_text() == "cat.txt: 'stepz' is no setting\na cat"


def test_the_copy_is_of_the_file_that_was_told_even_if_it_is_moved_before_its_turn(tmp_path: Path, picture: Path) -> None:
    gate, told = tmp_path / "gate", tmp_path / "told"
    os.mkfifo(gate)
    script = 'test "$TIFFSD_NAME" = first && cat "$1"; cat "$TIFFSD_FILE" > "$2"'
    with hooks_in(tmp_path / "spool", done=shell(script, str(gate), str(told))) as hooks:
        hooks.published("decode", "first", [picture])
        hooks.published("decode", "second", [picture])
        picture.rename(picture.with_name("moved.png"))
        picture.write_text("another picture")
        gate.write_text("")
        ended(hooks)
    assert told.read_text() == "pixels"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/no/such/program"], "No such file"),
        (["/dev/null"], "Permission denied"),
        (shell("echo what went wrong >&2; exit 3"), "ended with code 3: what went wrong"),
        (shell("kill -9 0"), "ended with signal 9"),
        (["a\0b"], "null byte"),
    ],
)
def test_a_hook_that_fails_is_named_and_the_next_one_is_called(
    tmp_path: Path, picture: Path, caplog: pytest.LogCaptureFixture, command: list[str], words: str
) -> None:
    with hooks_in(tmp_path / "spool", done=command, failed=shell('touch "$1"', str(tmp_path / "next"))) as hooks:
        hooks.published("decode", "cat.txt", [picture])
        hooks.failed("text", "dog.txt", tmp_path / "spool", "no dog")
        ended(hooks)
        (complaint,) = hooks.complaints()
    assert complaint.startswith("the hook 'done'")
    assert words in complaint
    assert "cat.txt" in complaint
    assert words in caplog.text
    assert (tmp_path / "next").exists()


def test_a_failure_is_forgotten_when_the_hook_succeeds_again(tmp_path: Path, picture: Path) -> None:
    with hooks_in(tmp_path / "spool", done=shell('test -e "$1"', str(tmp_path / "mended"))) as hooks:
        hooks.published("decode", "cat.txt", [picture])
        ended(hooks)
        assert len(hooks.complaints()) == 1
        (tmp_path / "mended").touch()
        hooks.published("decode", "cat.txt", [picture])
        ended(hooks)
        assert hooks.complaints() == ()


def test_a_hook_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path, picture: Path) -> None:
    script = 'sleep 1000 & echo $! > "$1.part"; mv "$1.part" "$1"; wait'
    with hooks_in(tmp_path / "spool", seconds=0.5, done=shell(script, str(tmp_path / "child"))) as hooks:
        hooks.published("decode", "cat.txt", [picture])
        ended(hooks)
        assert "was killed after 0.5 s" in hooks.complaints()[0]
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: is_gone(child), what="the hook's child is gone")


def test_what_a_hook_leaves_running_ends_with_it_and_holds_up_nothing(tmp_path: Path, picture: Path) -> None:
    with hooks_in(tmp_path / "spool", done=shell('sleep 1000 & echo $! > "$1"', str(tmp_path / "child"))) as hooks:
        started = time.monotonic()
        hooks.published("decode", "cat.txt", [picture])
        ended(hooks)
        assert time.monotonic() - started < 30
        assert hooks.complaints() == ()
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: is_gone(child), what="the hook's child is gone")


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_of_a_hook_that_talks_without_end_only_the_last_words_are_kept(tmp_path: Path, picture: Path) -> None:
    script = "head -c 20000000 /dev/zero | tr '\\0' x; echo the end; exit 3"
    with hooks_in(tmp_path / "spool", done=shell(script)) as hooks:
        hooks.published("decode", "cat.txt", [picture])
        ended(hooks)
        (complaint,) = hooks.complaints()
    assert "the end" in complaint
    assert len(complaint) < 1000


def test_hooks_hold_up_nobody_and_only_so_many_wait(tmp_path: Path, picture: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with hooks_in(tmp_path / "spool", done=shell("sleep 1000")) as hooks:
        for _ in range(WAITING_AT_MOST + 5):
            hooks.published("decode", "cat.txt", [picture])
        assert "wait already" in hooks.complaints()[0]
        started = time.monotonic()
    assert time.monotonic() - started < 10, "closing kills the hook that runs and forgets the others"
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_hook_cannot_speak_to_systemd_for_the_daemon(tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    with hooks_in(tmp_path / "spool", done=shell('test -z "$NOTIFY_SOCKET"')) as hooks:
        hooks.published("decode", "cat.txt", [picture])
        ended(hooks)
        assert hooks.complaints() == ()


def test_without_a_command_nothing_is_started(tmp_path: Path, picture: Path) -> None:
    threads = threading.active_count()
    with hooks_in(tmp_path / "spool") as hooks:
        hooks.published("decode", "cat.txt", [picture])
        assert not hooks.busy()
        assert threading.active_count() == threads


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd"), os.mkdir])
def test_what_is_no_file_is_not_opened_and_the_hook_is_called_all_the_same(tmp_path: Path, make: Callable[[Path], None]) -> None:
    folder = tmp_path / "failed/1-text/pipe.0a1b2c3d"
    folder.mkdir(parents=True)
    make(folder / "pipe.txt")
    with hooks_in(tmp_path, failed=shell('echo "file=$TIFFSD_FILE" > "$1"', str(tmp_path / "told"))) as hooks:
        hooks.failed("text", "pipe.txt", folder, "pipe.txt is a FIFO")
        ended(hooks)
    assert (tmp_path / "told").read_text() == "file=\n"
