"""SHA-256 of the files of models: of a sample and of all, counted once, and again when a file was changed."""

import hashlib
import itertools
import json
import os
import threading
from pathlib import Path

import pytest

from daemon.compute.remote import fingerprints as module
from daemon.compute.remote.cache import cache_folder
from daemon.compute.remote.fingerprints import BLOCK, BLOCKS, Fingerprints
from daemon.errors import ModelMissing
from tests.compute.remote.machines import later

LARGE = 9 << 20


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.safetensors"
    path.write_bytes(os.urandom(LARGE))
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that were read to their end."""
    sizes: list[int] = []

    def count(descriptor: int, size: int) -> str:
        sizes.append(size)
        return module.count_full(descriptor, size)

    monkeypatch.setattr(module, "COUNTS", {**module.COUNTS, "full": count})
    return sizes


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def offset_between_blocks(size: int) -> int:
    starts = [number * (size - BLOCK) // BLOCKS for number in range(BLOCKS + 1)]
    gaps = [start for start, following in itertools.pairwise(starts) if following - start > BLOCK]
    return gaps[0] + BLOCK


def test_the_full_fingerprint_is_the_sha_256_of_the_file(large: Path) -> None:
    assert Fingerprints().full(large) == hashlib.sha256(large.read_bytes()).hexdigest()


def test_a_sample_sees_the_header_the_end_and_the_size_and_not_what_lies_between(large: Path) -> None:
    fingerprints = Fingerprints()
    sampled, full = fingerprints.sampled(large), fingerprints.full(large)
    flip(large, offset_between_blocks(LARGE))
    assert fingerprints.sampled(large) == sampled
    assert fingerprints.full(large) != full
    for offset in (0, BLOCK - 1, LARGE - 1):
        before = fingerprints.sampled(large)
        flip(large, offset)
        assert fingerprints.sampled(large) != before
    os.truncate(large, LARGE - 1)
    assert fingerprints.sampled(large) != sampled


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK * (BLOCKS + 1)])
def test_of_a_small_file_the_sample_is_all_of_it(size: int, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_bytes(bytes(size))
    assert Fingerprints().sampled(path) == hashlib.sha256(f"{size}\n".encode() + bytes(size)).hexdigest()


def test_a_file_is_counted_once_and_after_a_restart_not_at_all(large: Path, tmp_path: Path, counted: list[int]) -> None:
    kept = tmp_path / "cache" / "fingerprints.json"
    first = Fingerprints(kept, now=later)
    digest = first.full(large)
    assert (first.full(large), counted) == (digest, [LARGE])
    first.save()
    assert (Fingerprints(kept, now=later).full(large), counted) == (digest, [LARGE])


def test_a_change_that_sets_size_and_time_back_is_noticed(large: Path, counted: list[int]) -> None:
    fingerprints = Fingerprints(now=later)
    before, digest = large.stat(), fingerprints.full(large)
    while large.stat().st_ctime_ns == before.st_ctime_ns:  # until the clock of the filesystem has gone on
        large.write_bytes(os.urandom(LARGE))
        os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (large.stat().st_mtime_ns, large.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert fingerprints.full(large) == hashlib.sha256(large.read_bytes()).hexdigest() != digest
    assert len(counted) == 2


def test_what_was_changed_just_now_is_not_remembered(large: Path, counted: list[int]) -> None:
    fingerprints = Fingerprints()
    fingerprints.full(large)
    fingerprints.full(large)
    assert len(counted) == 2


def test_who_asks_for_the_same_file_at_the_same_time_waits_for_the_first(
    large: Path, monkeypatch: pytest.MonkeyPatch, counted: list[int]
) -> None:
    fingerprints, count, inside = Fingerprints(now=later), module.COUNTS["full"], threading.Event()
    others_wait = threading.Event()

    def slowly(descriptor: int, size: int) -> str:
        inside.set()
        assert others_wait.wait(60)
        return count(descriptor, size)

    monkeypatch.setattr(module, "COUNTS", {**module.COUNTS, "full": slowly})
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(fingerprints.full(large))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert inside.wait(60)
    others_wait.set()
    for thread in threads:
        thread.join()
    assert counted == [LARGE]
    assert len(found) == 4
    assert len({*found}) == 1


def test_a_file_that_changes_while_it_is_counted_is_counted_again(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, times = module.COUNTS["full"], [0]

    def interrupted(descriptor: int, size: int) -> str:
        digest = count(descriptor, size)
        if not times[0]:
            large.write_bytes(bytes(LARGE + 1))
        times[0] += 1
        return digest

    monkeypatch.setattr(module, "COUNTS", {**module.COUNTS, "full": interrupted})
    assert Fingerprints().full(large) == hashlib.sha256(bytes(LARGE + 1)).hexdigest()


def test_a_file_that_is_written_all_the_time_is_refused(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int, size: int) -> str:
        os.truncate(large, size + 1)
        return "0" * 64

    monkeypatch.setattr(module, "COUNTS", {**module.COUNTS, "full": interrupted})
    with pytest.raises(ModelMissing, match="is changed while it is read"):
        Fingerprints().full(large)


@pytest.mark.parametrize("what", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_refused_and_not_waited_for(what: str, tmp_path: Path) -> None:
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    with pytest.raises(ModelMissing, match="cannot be read"):
        Fingerprints().full(path)


DAMAGED = {
    "nothing": b"",
    "half": b'{"1:2:3:4:5": {"full": "ab',
    "a list": b"[1, 2]",
    "deep": b"[" * 100_000,
    "bytes": b"\xff\xfe\x00",
    "other keys": b'{"x": {"full": "' + b"0" * 64 + b'"}, "1:2:3:4:5": 7, "1:2:3:4:6": {"full": 7}, "1:2:3:4:7": {"half": "0"}}',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_of_fingerprints_means_only_counting_again(damage: str, large: Path, tmp_path: Path) -> None:
    kept = tmp_path / "fingerprints.json"
    kept.write_bytes(DAMAGED[damage])
    fingerprints = Fingerprints(kept, now=later)
    assert fingerprints.full(large) == hashlib.sha256(large.read_bytes()).hexdigest()
    fingerprints.save()
    assert len(json.loads(kept.read_bytes())) == 1


def test_the_file_of_fingerprints_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    kept = tmp_path / "kept.json"
    fingerprints = Fingerprints(kept, now=later)
    for number in range(5):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(bytes([number]))
        fingerprints.full(path)
    fingerprints.save()
    assert len(json.loads(kept.read_bytes())) == 3


def test_a_folder_that_cannot_be_written_to_is_no_reason_to_stop(large: Path, tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_bytes(b"")
    fingerprints = Fingerprints(tmp_path / "in-the-way" / "kept.json", now=later)
    fingerprints.full(large)
    fingerprints.save()


def test_the_cache_is_where_systemd_says_or_where_the_user_keeps_hers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    assert cache_folder({"CACHE_DIRECTORY": "/var/cache/tiffsd:/var/cache/other"}) == Path("/var/cache/tiffsd")
    assert cache_folder({"XDG_CACHE_HOME": "/fast"}) == Path("/fast/tiffsd")
    assert cache_folder({}) == Path("/home/anna/.cache/tiffsd")
