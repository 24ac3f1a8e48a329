"""A mask beside a picture goes with it; one of another name is waited for where the settings or the prompt name it."""

from pathlib import Path

import pytest

from daemon.inbox.inbox import Inbox, Scan
from daemon.jobs.probe import stated_mask
from daemon.stages import STAGES


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    settle = {"settle_seconds": 1.0, "settle_unleased_seconds": 1.0, "empty_grace_seconds": 10.0}
    return Inbox(STAGES["encode"], tmp_path, **settle, pair_patience_seconds=3600.0, stated_mask=stated_mask)


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
    ):
        (tmp_path / "cat.yaml").write_text(text)
        assert stated_mask(tmp_path / "cat.yaml") == found, text
    assert stated_mask(tmp_path / "nothing.yaml") is None
