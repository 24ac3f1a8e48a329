"""Everything that arrives, in every way that programs write, with file events and without: used once, whole, and not too early."""

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import tiffsd
from tests.conftest import wait_until
from tests.outside import outside, the_file
from tests.real.fast_daemon import FastDaemon, came_of, texts_of
from tests.real.programs import SFTP_SERVER, needed

TEXT = "a red house, " + "very " * 500 + "old"
# The pauses of the writers below are longer than a look at the folder, and shorter (where nobody holds the file) than these.
WATCH = {"rescan_seconds": 0.3, "settle_seconds": 0.6, "settle_unleased_seconds": 1.2, "empty_grace_seconds": 8.0}


@pytest.fixture(scope="module", params=[True, pytest.param(False, marks=pytest.mark.thorough)], ids=["inotify", "no_inotify"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastDaemon]:
    running = FastDaemon(tmp_path_factory.mktemp("daemon"), events=request.param, watch=WATCH)
    running.start()
    yield running
    assert running.stop() == 0
    assert ("no file events" in running.log()) is not request.param


def shell(script: str, target: Path, source: Path) -> None:
    subprocess.run(["sh", "-eu", "-c", script, "sh", str(target), str(source)], env=outside(), check=True)


def sftp(target: Path, source: Path) -> None:
    batch = f"put {source} {target}\n".encode()
    command = ["sftp", "-q", "-D", the_file(SFTP_SERVER), "-b", "-"]
    subprocess.run(command, input=batch, env=outside(), check=True, capture_output=True)


def rsync(target: Path, source: Path, *options: str) -> None:
    subprocess.run(["rsync", *options, str(source), str(target)], env=outside(), check=True)


# T01 T02 T03 T04 T05 T06 T07: target, and a finished file outside the inbox with the text.
WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "cp": lambda target, source: shell('cp "$2" "$1"', target, source),
    "mv": lambda target, source: shell('mv "$2" "$1"', target, source),
    "slow copy": lambda target, source: shell(
        'for n in 0 1 2 3 4 5; do dd if="$2" bs=500 skip=$n count=1 status=none; sleep 0.1; done > "$1"', target, source
    ),
    "paused writer": lambda target, source: shell('{ head -c 900 "$2"; sleep 2; tail -c +901 "$2"; } > "$1"', target, source),
    "opened again and again": lambda target, source: shell(
        ': > "$1"; for n in 0 1 2 3 4 5; do dd if="$2" bs=500 skip=$n count=1 status=none >> "$1"; sleep 0.1; done', target, source
    ),
    "empty first": lambda target, source: shell('touch "$1"; sleep 1.5; cat "$2" > "$1"', target, source),
    "temporary name": lambda target, source: shell('cat "$2" > "$1.part"; sleep 1.5; mv "$1.part" "$1"', target, source),
    "editor's save": lambda target, source: shell(
        'd=$(dirname "$1"); touch "$d/4913" "$d/.~lock.cat.txt#"; rm "$d/4913"; cat "$2" > "$d/.goutputstream-X1"; '
        'mv "$d/.goutputstream-X1" "$1"; rm "$d/.~lock.cat.txt#"',
        target,
        source,
    ),
    "saved twice": lambda target, source: shell('head -c 50 "$2" > "$1"; mv "$1" "$1~"; cat "$2" > "$1"; rm "$1~"', target, source),
    "hard link": lambda target, source: shell('ln "$2" "$1"', target, source),
    "touched": lambda target, source: shell('cat "$2" > "$1"; chmod 640 "$1"; touch "$1"; chmod 660 "$1"', target, source),
    "sftp": sftp,
    "rsync": lambda target, source: rsync(target, source),
    "rsync in place": lambda target, source: rsync(target, source, "--inplace", "--bwlimit=20"),
}
PROGRAMS = {"sftp": ("sftp", SFTP_SERVER), "rsync": ("rsync",), "rsync in place": ("rsync",)}


@pytest.fixture(scope="module")
def written(daemon: FastDaemon) -> dict[str, Future[None]]:
    """All writers at work at the same time."""
    with ThreadPoolExecutor(len(WRITERS)) as threads:
        return {writer: threads.submit(write, writer, daemon) for writer in WRITERS}


def write(writer: str, daemon: FastDaemon) -> None:
    source = daemon.folder / f"{writer}.source"
    source.write_text(TEXT)
    WRITERS[writer](daemon.spool / f"inbox/1-text/{writer}.txt", source)
    assert not source.exists() or source.read_text() == TEXT


@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_program_finished_is_used_once_and_whole(writer: str, daemon: FastDaemon, written: dict[str, Future[None]]) -> None:
    needed(*PROGRAMS.get(writer, ()))
    written[writer].result()
    came_of(daemon, writer, TEXT)


def test_nothing_is_claimed_while_a_writer_holds_it(daemon: FastDaemon) -> None:
    path = daemon.spool / "inbox/1-text/held_open.txt"
    with path.open("w") as writer:
        writer.write("a red ")
        writer.flush()
        daemon.drop("inbox/1-text", "later.txt", "a later one")
        came_of(daemon, "later", "a later one")  # which had to settle for as long
        assert path.exists()
        writer.write("house")
    came_of(daemon, "held_open", "a red house")


def test_temporary_names_are_left_where_they_are(daemon: FastDaemon) -> None:
    names = [".cat.txt.AbC123", "cat.txt.crdownload", "cat.txt~", ".syncthing.cat.txt.tmp", "#cat.txt#", "cat.txt.filepart"]
    for name in names:
        daemon.drop("inbox/1-text", name, "not yet")
    daemon.drop("inbox/1-text", "after_them.txt", "a house")
    came_of(daemon, "after_them", "a house")
    for name in names:
        (daemon.spool / "inbox/1-text" / name).unlink()  # still there, each


def test_the_same_name_and_the_same_words_again_are_jobs_of_their_own(daemon: FastDaemon) -> None:
    daemon.drop("inbox/1-text", "twice.txt", "the first")
    daemon.found("done/*/twice.txt")
    daemon.drop("inbox/1-text", "twice.txt", "the second")
    came_of(daemon, "twice", "the first", "the second")
    daemon.drop("inbox/1-text", "same_a.txt", "the same")
    daemon.drop("inbox/1-text", "same_b.txt", "the same")
    came_of(daemon, "same_a", "the same")
    came_of(daemon, "same_b", "the same")


def test_what_is_taken_away_before_it_is_ready_leaves_no_trace(daemon: FastDaemon) -> None:
    path = daemon.drop("inbox/1-text", "regretted.txt", "no")
    path.unlink()
    daemon.drop("inbox/1-text", "wanted.txt", "yes")
    came_of(daemon, "wanted", "yes")
    assert not [path for path in daemon.spool.rglob("*regretted*")]


def test_a_folder_is_left_alone_and_what_is_in_it_too(daemon: FastDaemon) -> None:
    folder = daemon.spool / "inbox/1-text/holiday"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/cat.txt").write_text("inside")
    daemon.drop("inbox/1-text", "beside_it.txt", "outside")
    came_of(daemon, "beside_it", "outside")
    (folder / "deep/cat.txt").rename(daemon.spool / "inbox/1-text/moved_out.txt")
    came_of(daemon, "moved_out", "inside")


NAMES = [
    *("spaces in it.txt", "two\nlines.txt", "-rf.txt", "%s %(x)d.txt", "{stem} ${HOME} $(id).txt", "\N{CAT}.TXT"),
    *("con.txt", "dot.in.name.txt", "x" * 251 + ".txt", "quote'\".txt", os.fsdecode(b"latin-\xe9\xff.txt")),
]


def test_every_name_is_only_a_name(daemon: FastDaemon) -> None:
    before = len(list(daemon.spool.glob("done/*/*")))
    made = len(list(daemon.spool.glob("hold/2-diffuse/*.tiff")))
    for number, name in enumerate(NAMES):
        daemon.drop("inbox/1-text", name, f"name number {number}")
    daemon.found("done/*/*", count=before + len(NAMES))
    results = daemon.found("hold/2-diffuse/*.tiff", count=made + len(NAMES))
    prompts = [tiffsd.inspect(path).recipe["prompt"] for path in results]
    assert {f"name number {number}" for number in range(len(NAMES))} <= set(prompts)
    archived = {path.name for path in daemon.spool.glob("done/*/*")}
    assert set(NAMES) <= archived
    assert not [line for line in daemon.log().splitlines() if line.startswith("lines")]
    assert all(len(os.fsencode(path.name)) <= 255 for path in results)


@pytest.mark.parametrize(("names", "stem"), [("portable", "why_"), ("kept", "why?")])
def test_results_have_names_that_shares_take_unless_the_configuration_keeps_them(names: str, stem: str, tmp_path: Path) -> None:
    running = FastDaemon(tmp_path / "daemon", names=names)
    running.start()
    running.drop("inbox/1-text", "why?.txt", "a house")
    (result,) = running.found("hold/2-diffuse/*.tiff")
    assert result.name.startswith(f"{stem}.")
    assert running.found("done/*/why?.txt"), "what was dropped keeps its name"
    assert running.stop() == 0


def test_saves_in_the_moment_of_the_claim_are_used_whole(daemon: FastDaemon) -> None:
    """A writer saves by rename while the daemon claims: each content that is used is one that was saved, and the last one is."""
    target = daemon.spool / "inbox/1-text/busy.txt"
    saved: list[str] = []
    rng, due = random.Random(1), 0.0

    def save() -> bool:
        nonlocal due
        if time.monotonic() < due:
            return False
        due = time.monotonic() + WATCH["settle_seconds"] * rng.uniform(0.9, 1.4)
        saved.append(f"version {len(saved)} " + "x" * 3000)
        daemon.drop("inbox/1-text", target.name, saved[-1])
        return len(texts_of(daemon, "busy")) >= 2

    wait_until(save, what="two of the versions are claimed")
    last = saved[-1]
    wait_until(lambda: last in texts_of(daemon, "busy"), what="the last version is used")
    used = texts_of(daemon, "busy")
    assert len(used) == len(set(used))
    assert set(used) <= set(saved)
    came_of(daemon, "busy", *used)
