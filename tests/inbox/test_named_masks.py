"""A mask beside a picture goes with it; one of another name is waited for where the settings or the prompt name it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.beneath import Beneath
from daemon.inbox.inbox import Inbox, Scan
from daemon.inbox.ranking import BUDGET_SECONDS
from daemon.jobs.probe import Probe
from daemon.stages import STAGES
from tests.leases import leased


def read_mask(path: Path) -> str | None:
    return Probe(Beneath(path.parent), lambda: 20_000).read(path).mask


def inbox_of(folder: Path, read_mask: Callable[[Path], str | None], read_priority: Callable[[Path], int] = lambda _: 0) -> Inbox:
    settle = {"settle_seconds": 1.0, "settle_unleased_seconds": 1.0, "empty_grace_seconds": 10.0}
    return Inbox(STAGES["encode"], folder, **settle, pair_patience_seconds=3600.0, read_priority=read_priority, read_mask=read_mask)


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return inbox_of(tmp_path, read_mask)


def settled(inbox: Inbox, now: float) -> Scan:
    inbox.scan(now)
    return inbox.scan(now + 1.0)


def members(scan: Scan) -> list[list[str]]:
    return [sorted(member.path.name for member in drop.members) for drop in scan.ready]


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def test_a_mask_of_the_pictures_name_needs_no_naming(tmp_path: Path, inbox: Inbox) -> None:
    write(tmp_path, cat__png="picture", cat_mask__png="mask", cat__txt="a cat")
    assert members(settled(inbox, 100.0)) == [["cat.png", "cat.txt", "cat_mask.png"]]


@pytest.mark.parametrize(
    ("name", "text"),
    [("cat.yaml", 'strength: 0.6\nmask: "big_mask.png"  # both ears\n'), ("cat.txt", "---\nmask: big_mask.png\n---\na cat\n")],
)
def test_a_mask_that_is_named_is_waited_for(tmp_path: Path, inbox: Inbox, name: str, text: str) -> None:
    write(tmp_path, cat__png="picture")
    (tmp_path / name).write_text(text)
    scan = settled(inbox, 100.0)
    assert [(one.name, one.reason) for one in scan.waiting] == [("cat.png", "waits for big_mask.png")]
    write(tmp_path, big_mask__png="mask")
    scan = settled(inbox, 110.0)
    assert members(scan) == [sorted(["cat.png", name, "big_mask.png"])]
    assert not scan.waiting


@pytest.mark.parametrize("priority", [0, 5])
def test_settings_that_another_program_holds_are_waited_for_with_all_that_they_say(tmp_path: Path, priority: int) -> None:
    probe = Probe(Beneath(tmp_path), lambda: 20_000)
    inbox = inbox_of(tmp_path, lambda path: probe.read(path).mask, lambda path: probe.read(path).priority)
    write(tmp_path, dog__png="picture", cat__png="picture", big_mask__png="mask")
    write(tmp_path, cat__yaml=f"mask: big_mask.png\npriority: {priority}")
    with leased(tmp_path / "cat.yaml"):
        scan = settled(inbox, 100.0)
        assert members(scan) == [["dog.png"]]
        assert next((one.name, one.reason) for one in scan.waiting) == ("cat.png", "cat.yaml is still being written")
        assert not scan.unread, "a look for its sake would be in vain"
    ours, dogs = ["big_mask.png", "cat.png", "cat.yaml"], ["dog.png"]
    assert members(inbox.scan(102.0)) == ([ours, dogs] if priority else sorted([ours, dogs], key=lambda names: names == ours))


def test_a_drop_whose_mask_never_comes_is_given_up_with_a_sentence(tmp_path: Path, inbox: Inbox) -> None:
    write(tmp_path, cat__png="picture", cat__yaml="mask: big_mask.png\n")
    settled(inbox, 100.0)
    (refusal,) = settled(inbox, 4000.0).refused
    assert "cat.png waited 1 hours for big_mask.png, which did not come" in refusal.sentence


def test_one_mask_serves_one_picture(tmp_path: Path, inbox: Inbox) -> None:
    write(tmp_path, cat__png="picture", cat__yaml="mask: dog_mask.png\n", dog__png="picture", dog_mask__png="mask")
    scan = settled(inbox, 100.0)
    assert members(scan) == [["dog.png", "dog_mask.png"]]
    assert [one.reason for one in scan.waiting] == ["waits for dog_mask.png"]


def test_a_mask_that_two_pictures_name_serves_the_first(tmp_path: Path, inbox: Inbox) -> None:
    write(tmp_path, cat__png="picture", cat__yaml="mask: big_mask.png\n", big_mask__png="mask")
    write(tmp_path, dog__png="picture", dog__yaml="mask: big_mask.png\n")
    scan = settled(inbox, 100.0)
    assert len(members(scan)) == 1
    assert "big_mask.png" in members(scan)[0]
    assert [one.reason for one in scan.waiting] == ["waits for big_mask.png"]


def test_settings_that_change_their_mind_are_read_again(tmp_path: Path, inbox: Inbox) -> None:
    write(tmp_path, cat__png="picture", cat__yaml="mask: big_mask.png\n")
    settled(inbox, 100.0)
    write(tmp_path, cat__yaml="strength: 0.5\n")
    assert members(settled(inbox, 110.0)) == [["cat.png", "cat.yaml"]]


def test_only_names_of_masks_are_looked_for(tmp_path: Path) -> None:
    for text, found in (
        ("mask: a b_mask.png", "a b_mask.png"),
        ("mask: 'x_mask.png'\r\n", "x_mask.png"),
        ("mask: ../x_mask.png", None),
        ("mask: x.png", None),
        ("mask:", None),
        ("# mask: x_mask.png", None),
        ('{"mask": "x_mask.png"}', "x_mask.png"),
        ("{strength: 0.5, mask: x_mask.png}", "x_mask.png"),
        ("'mask' : x_mask.png", "x_mask.png"),
        ("? mask\n: >-\n  x_mask.png", "x_mask.png"),
        (f"negative_prompt: {'dog ' * 2000}\nmask: x_mask.png", "x_mask.png"),
        ("mask: [x_mask.png]", None),
        (f"mask: x_mask.png\nnegative_prompt: {'dog ' * 20_000}", None),
    ):
        (tmp_path / "cat.yaml").write_text(text)
        assert read_mask(tmp_path / "cat.yaml") == found, text
    assert read_mask(tmp_path / "nothing.yaml") is None


def test_masks_are_read_for_a_moment_of_each_scan_and_whose_settings_are_unread_waits(tmp_path: Path) -> None:
    read: list[str] = []

    def slowly(path: Path) -> str | None:
        read.append(path.stem)
        deadline = time.monotonic() + BUDGET_SECONDS / 4
        while time.monotonic() < deadline:
            pass
        return "big_mask.png" if path.stem == "p7" else None

    for number in range(40):
        write(tmp_path, **{f"p{number}__png": "picture", f"p{number}__yaml": "strength: 0.5\n"})
    inbox = inbox_of(tmp_path, slowly, read_priority=lambda path: 5 if path.stem == "p39" else 0)
    inbox.scan(100.0)
    scan = inbox.scan(101.0)
    assert 0 < len(read) < 30
    assert read[0] == "p39", "it is next to be claimed"
    assert scan.unread
    assert {drop.stem for drop in scan.ready} <= set(read)
    assert sum(one.reason.endswith("are still to be read") for one in scan.waiting) == 40 - len(read)
    while scan.unread:
        scan = inbox.scan(102.0)
    assert sorted(read) == sorted(f"p{number}" for number in range(40)), "each file is read once"
    assert len(scan.ready) == 39
    assert [(one.name, one.reason) for one in scan.waiting] == [("p7.png", "waits for big_mask.png")]


def test_three_hundred_hostile_settings_files_cost_a_scan_less_than_a_second(tmp_path: Path) -> None:
    probe = Probe(Beneath(tmp_path), lambda: 20_000)
    for number in range(300):
        write(tmp_path, **{f"p{number}__png": "picture", f"p{number}__yaml": "mask:" + "\t" * 2000 + "a" * 2000 + '""'})
    write(tmp_path, PAUSE="")
    inbox = inbox_of(tmp_path, lambda path: probe.read(path).mask, lambda path: probe.read(path).priority)
    unread = True
    while unread:
        started = time.process_time()
        scan = inbox.scan(100.0)
        assert time.process_time() - started < 1.0
        assert len(scan.waiting) == 300
        unread = scan.unread
