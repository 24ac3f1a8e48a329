"""`priority:` decides who is claimed first; order of arrival decides the rest. It is read cheaply, and nothing waits for it."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tiffsd
from daemon.beneath import Beneath
from daemon.inbox.inbox import AT_ONCE, Inbox
from daemon.inbox.ranking import AGING_SECONDS, BUDGET_SECONDS
from daemon.jobs.probe import Probe, read_ids
from daemon.stages import STAGES
from tests.artifacts import latents


def urgent_artifact(path: Path) -> None:
    artifact = latents()
    tiffsd.write(path, replace(artifact, header=replace(artifact.header, id="0a1b2c3d", recipe={"priority": 7})))


def read_priority(path: Path) -> int:
    return Probe(Beneath(path.parent), lambda: 20_000).read(path).priority


STATED: list[tuple[str, str | bytes, int]] = [
    ("cat.txt", "---\npriority: 5\n---\na cat", 5),
    ("cat.txt", "---\r\nsteps: 3\r\npriority:  -20  # later\r\n---\r\na cat", -20),
    ("cat.TXT", b"\xef\xbb\xbf---\npriority: +9\n---\na cat", 9),
    ("cat.txt", "a cat\npriority: 5", 0),
    ("cat.txt", "---\npriority: 5\na cat without an end", 0),
    ("cat.txt", "---\nsteps: 3\n---\npriority: 5", 0),
    ("cat.txt", "---\npriority: high\n---\na cat", 0),
    ("cat.txt", "---\npriority: 999\n---\na cat", 100),
    ("cat.yaml", "steps: 3\npriority: 5\n", 5),
    ("cat.yaml", '{"priority": 5}', 5),
    ("cat.yaml", "'priority' : 0x0a", 10),
    ("cat.yaml", "priority: 5.0", 0),
    ("cat.yaml", "priority: true", 0),
    ("cat.yaml", "priority: 5\nmask: [", 0),
    ("cat.txt", f"---\nnegative_prompt: {'dog ' * 2000}\npriority : 10\n---\na cat", 10),
    ("cat.txt", f"---\npriority: 5\n---\n{'a cat ' * 20_000}", 0),
    ("cat.yml", "deep:\n  priority: 5\n", 0),
    ("cat.txt", b"\xff\xfe\x00\x00", 0),
    ("cat.png", "priority: 5", 0),
    ("cat.tiff", "no picture", 0),
]


@pytest.mark.parametrize(("name", "content", "priority"), STATED)
def test_a_file_states_its_priority_where_settings_stand(tmp_path: Path, name: str, content: str | bytes, priority: int) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert read_priority(path) == priority


def test_an_artifact_states_the_priority_and_the_id_in_its_record(tmp_path: Path) -> None:
    urgent_artifact(tmp_path / "cat.ffffffff.tiff")
    assert read_priority(tmp_path / "cat.ffffffff.tiff") == 7
    assert read_ids(Beneath(tmp_path), tmp_path / "cat.ffffffff.tiff") == {"0a1b2c3d", "ffffffff"}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd"), lambda _: None])
def test_what_is_no_file_states_nothing_and_blocks_nothing(tmp_path: Path, make: Callable[[Path], None]) -> None:
    for name in ("x.txt", "x.tiff"):
        make(tmp_path / name)
        assert read_priority(tmp_path / name) == 0
    assert read_ids(Beneath(tmp_path), tmp_path / "x.txt") == set()
    assert read_ids(Beneath(tmp_path), tmp_path / "x.tiff") == {"x"}, "its name is known without a look"


def inbox_of(folder: Path, stage: str = "text", read_priority: Callable[[Path], int] = read_priority) -> Inbox:
    return Inbox(
        STAGES[stage], folder, settle_seconds=0.0, settle_unleased_seconds=0.0, empty_grace_seconds=0.0, read_priority=read_priority
    )


def ready(inbox: Inbox) -> list[str]:
    return [drop.principal.path.name for drop in inbox.scan(time.monotonic()).ready]


def prompt(folder: Path, name: str, priority: int | None = None) -> Path:
    path = folder / f"{name}.txt"
    path.write_text(f"---\npriority: {priority}\n---\na cat" if priority is not None else "a cat")
    return path


def test_higher_priorities_come_first_and_arrival_decides_between_equals(tmp_path: Path) -> None:
    inbox = inbox_of(tmp_path)
    order = []
    for name, priority in (("a", None), ("b", 5), ("c", -1), ("d", None), ("e", 5), ("f", 9)):
        prompt(tmp_path, name, priority)
        order = ready(inbox)
    assert order == ["f.txt", "b.txt", "e.txt", "a.txt", "d.txt", "c.txt"]


def test_the_settings_file_beside_it_counts_before_the_prompt_itself(tmp_path: Path) -> None:
    inbox = inbox_of(tmp_path)
    prompt(tmp_path, "a", 50)
    prompt(tmp_path, "b", 1)
    assert ready(inbox) == ["a.txt", "b.txt"]
    (tmp_path / "b.yaml").write_text("priority: 60\n")
    assert ready(inbox) == ["b.txt", "a.txt"]
    (tmp_path / "b.yaml").unlink()
    assert ready(inbox) == ["a.txt", "b.txt"]


def test_a_file_that_is_saved_anew_has_its_new_priority(tmp_path: Path) -> None:
    inbox = inbox_of(tmp_path)
    prompt(tmp_path, "a")
    prompt(tmp_path, "b")
    assert ready(inbox) == ["a.txt", "b.txt"]
    for priority, order in ((3, ["b.txt", "a.txt"]), (-3, ["a.txt", "b.txt"])):
        prompt(tmp_path, "b", priority)
        ready(inbox)  # a file that was settled is seen to have changed when it is looked at to be offered
        assert ready(inbox) == order


def test_an_artifact_inherits_the_priority_of_its_prompt(tmp_path: Path) -> None:
    tiffsd.write(tmp_path / "a.tiff", latents())
    inbox = inbox_of(tmp_path, "diffuse")
    assert ready(inbox) == ["a.tiff"]
    urgent_artifact(tmp_path / "b.tiff")
    assert ready(inbox) == ["b.tiff", "a.tiff"]


def test_reading_priorities_takes_only_a_moment_of_each_scan_and_the_newest_file_is_read_first(tmp_path: Path) -> None:
    read: list[str] = []

    def slowly(path: Path) -> int:
        read.append(path.stem)
        deadline = time.monotonic() + BUDGET_SECONDS / 4
        while time.monotonic() < deadline:
            pass
        return 9 if path.stem == "urgent" else 0

    for number in range(40):
        prompt(tmp_path, f"old{number}")
    inbox = inbox_of(tmp_path, read_priority=slowly)
    scan = inbox.scan(time.monotonic())
    assert len(read) < 20
    assert scan.unread, "the others are read at the next look, which comes soon"
    prompt(tmp_path, "urgent")
    assert ready(inbox)[0] == "urgent.txt"
    while inbox.scan(time.monotonic()).unread:
        pass
    assert sorted(read) == sorted([*(f"old{number}" for number in range(40)), "urgent"]), "each file is read once"


def owned_by_name(folder: Path) -> Inbox:
    """An inbox whose files belong to whom their names begin with."""
    owners = {path.stat().st_ino: path.name.partition("-")[0] for path in folder.iterdir()}
    return Inbox(
        STAGES["text"],
        folder,
        settle_seconds=0,
        settle_unleased_seconds=0,
        empty_grace_seconds=0,
        read_priority=read_priority,
        owner_of=lambda st: {"alice": 1000, "bob": 1001}[owners[st.st_ino]],
    )


def test_one_look_sees_files_of_every_owner_however_many_another_has(tmp_path: Path) -> None:
    for number in range(AT_ONCE + 10):
        prompt(tmp_path, f"alice-{number:03}", 100)
    prompt(tmp_path, "bob-1")
    prompt(tmp_path, "bob-2", 5)
    inbox = owned_by_name(tmp_path)
    while (scan := inbox.scan(0.0)).unread:
        pass
    assert [(found.principal.path.stem, found.owner, found.priority) for found in scan.ready[:5]] == [
        ("alice-000", 1000, 100),
        ("bob-2", 1001, 5),
        ("alice-001", 1000, 100),
        ("bob-1", 1001, 0),
        ("alice-002", 1000, 100),
    ]


def test_a_file_moves_up_while_it_waits_but_not_before_those_of_other_owners(tmp_path: Path) -> None:
    prompt(tmp_path, "alice-old")
    inbox = inbox_of(tmp_path)
    inbox.scan(0.0)
    later = 3 * AGING_SECONDS + 1
    for priority in (2, 3, 4):
        prompt(tmp_path, f"alice-{priority}", priority)
    scan = inbox.scan(later)
    assert [found.principal.path.stem for found in scan.ready] == ["alice-4", "alice-old", "alice-3", "alice-2"]
    assert [found.priority for found in scan.ready] == [4, 0, 3, 2], "between owners counts what the files say"


def test_no_file_is_more_urgent_than_the_limit(tmp_path: Path) -> None:
    prompt(tmp_path, "first", 7)
    prompt(tmp_path, "second", 100)
    times = {"settle_seconds": 0, "settle_unleased_seconds": 0, "empty_grace_seconds": 0}
    bounded = Inbox(STAGES["text"], tmp_path, read_priority=read_priority, most_urgent=lambda: 5, **times)
    assert [(found.principal.path.stem, found.priority) for found in bounded.scan(0.0).ready] == [("first", 5), ("second", 5)]
