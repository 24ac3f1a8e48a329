"""The heads of artifacts: one that was read for a scan is not read again for the page."""

import os
from pathlib import Path
from typing import BinaryIO

import pytest

import tiffsd
from daemon.beneath import Beneath
from daemon.jobs import heads
from daemon.jobs.heads import Heads
from daemon.jobs.probe import Probe
from daemon.jobs.wording import wording_of
from tests.artifacts import latents


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose heads were read."""
    found: list[str] = []
    inspect = tiffsd.inspect

    def noted(file: BinaryIO, *, name: str) -> tiffsd.Header:
        found.append(name)
        return inspect(file, name=name)

    monkeypatch.setattr(tiffsd, "inspect", noted)
    return found


def test_an_artifact_that_states_a_priority_is_not_read_again_for_its_words(tmp_path: Path, read: list[str]) -> None:
    known, beneath, waiting, used = Heads(), Beneath(tmp_path), tmp_path / "cat.tiff", tmp_path / "cat-2.tiff"
    tiffsd.write(waiting, latents(recipe={"prompt": "a cat", "priority": 7}))
    assert Probe(beneath, lambda: 100, heads=known).read(waiting).priority == 7
    waiting.rename(used)
    assert wording_of(beneath, used, known).prompt == "a cat"
    assert read == ["cat.tiff"]
    tiffsd.write(used, latents(recipe={"prompt": "a black cat"}))
    assert wording_of(beneath, used, known).prompt == "a black cat"
    assert read == ["cat.tiff", "cat-2.tiff"], "another file has come to its place"


def test_only_the_latest_heads_are_remembered(tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MOST_KNOWN", 2)
    known = Heads()
    for name in ("a.tiff", "b.tiff", "c.tiff", "c.tiff", "b.tiff", "a.tiff"):
        if name not in read:
            tiffsd.write(tmp_path / name, latents())
        wording_of(Beneath(tmp_path), tmp_path / name, known)
    assert read == ["a.tiff", "b.tiff", "c.tiff", "a.tiff"]


def test_what_is_changed_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, path, inspect = Heads(), tmp_path / "cat.tiff", tiffsd.inspect
    tiffsd.write(path, latents(recipe={"prompt": "a dog"}))
    other = path.read_bytes()
    tiffsd.write(path, latents(recipe={"prompt": "a cat"}))

    def overtaken(file: BinaryIO, *, name: str) -> tiffsd.Header:
        header = inspect(file, name=name)
        path.write_bytes(other)
        os.utime(path, ns=(1, 1))
        return header

    monkeypatch.setattr(tiffsd, "inspect", overtaken)
    assert wording_of(Beneath(tmp_path), path, known).prompt == "a cat"
    assert wording_of(Beneath(tmp_path), path, known).prompt == "a dog"


def test_a_very_long_head_is_not_remembered(tmp_path: Path, read: list[str]) -> None:
    known, path = Heads(), tmp_path / "cat.tiff"
    tiffsd.write(path, latents(recipe={"prompt": "a cat", "more": list(range(heads.LONGEST_KNOWN))}))
    for _ in range(2):
        wording_of(Beneath(tmp_path), path, known)
    assert read == ["cat.tiff"] * 2
