"""Retention: what is over its time or size goes, what somebody may still need stays."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

import tiffsd
from daemon.beneath import Beneath
from daemon.jobs.probe import read_ids
from daemon.service.retention import FIRST_SWEEP_SECONDS, Retention
from daemon.settings.config import RetentionLimit, RetentionLimits
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.artifacts import latents
from tests.conftest import wait_until
from tests.leases import leased

DAY = 86400.0
NOW = datetime(2026, 11, 22, 12, 0).timestamp()
FOR_EVER = {name: RetentionLimit() for name in RetentionLimits.model_fields}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Spool(tmp_path, {stage.name: stage.folder for stage in STAGES.values()}).create()
    return tmp_path


def retention(root: Path, fs: Filesystem | None = None, **limits: RetentionLimit) -> Retention:
    kept = RetentionLimits(**(FOR_EVER | limits))
    return Retention(root, fs or Filesystem(root), limits=lambda: kept, ids=partial(read_ids, Beneath(root)))


def aged(path: Path, days: float, content: bytes = b"x") -> Path:
    """A file that was last written so many days before NOW."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (NOW - days * DAY,) * 2)
    return path


def an_artifact(path: Path) -> None:
    artifact = latents()
    tiffsd.write(path, replace(artifact, header=replace(artifact.header, id="0a1b2c3d")))


def failed(root: Path, name: str, days: float) -> Path:
    folder = root / "failed/1-text" / name
    aged(folder / "cat.txt", days)
    aged(folder / "error.json", days)
    aged(folder / "results/half.tiff", days)
    os.utime(folder, (NOW - days * DAY,) * 2)
    return folder


def test_used_inputs_go_by_the_day_of_their_folder_whatever_their_own_times_say(root: Path) -> None:
    old = aged(root / "done/2026-08-20/old.txt", days=0)
    new = aged(root / "done/2026-11-21/new.txt", days=5000)
    mine = aged(root / "done/my own/old.txt", days=5000)
    retention(root, done=RetentionLimit(days=90)).sweep(NOW)
    assert not old.exists()
    assert not old.parent.exists()
    assert new.exists()
    assert mine.exists()


def test_what_programs_put_beside_results_is_not_theirs_to_lose(root: Path) -> None:
    kept = [aged(root / f"{folder}/.stfolder/mark.txt", days=900) for folder in ("failed/1-text", "previews", "steps")]
    kept.append(aged(root / "previews/.stignore", days=900))
    for path in kept:
        os.utime(path.parent, (NOW - 900 * DAY,) * 2)
    old = aged(root / "previews/cat.png", days=900)
    days = RetentionLimit(days=1)
    retention(root, failed=days, previews=days, steps=days).sweep(NOW)
    assert all(path.exists() for path in kept)
    assert not old.exists()


def test_what_is_left_of_a_failed_job_whose_file_waits_again_goes_after_a_day(root: Path) -> None:
    aged(root / "inbox/1-text/cat.txt", days=0)
    facts = b'{"stem": "cat", "files": {"principal": "cat.txt"}}'
    for name, days in (("cat.0a1b2c3d", 2.0), ("cat.0a1b2c3e", 0.5)):
        folder = aged(root / f"failed/1-text/{name}/error.txt", days=days).parent
        aged(folder / "error.json", days, facts)
        os.utime(folder, (NOW - days * DAY,) * 2)
    failed(root, "dog.0a1b2c3f", days=2)
    retention(root).sweep(NOW)
    assert sorted(path.name for path in (root / "failed/1-text").iterdir()) == ["cat.0a1b2c3e", "dog.0a1b2c3f"]


def test_what_is_left_of_a_failed_job_whose_file_is_nowhere_any_more_goes_soon(root: Path) -> None:
    for name in ("cat", "dog"):
        folder = aged(root / f"failed/1-text/{name}.0a1b2c3d/error.txt", days=0.1).parent
        aged(folder / "error.json", 0.1, b'{"stem": "%s", "files": {"principal": "%s.txt"}}' % (name.encode(), name.encode()))
        os.utime(folder, (NOW - 0.1 * DAY,) * 2)
    aged(root / "inbox/1-text/dog.txt", days=0)
    retention(root).sweep(NOW)
    assert [path.name for path in (root / "failed/1-text").iterdir()] == ["dog.0a1b2c3d"]


def test_a_used_input_stays_for_all_of_its_days(root: Path) -> None:
    path = aged(root / "done/2026-11-12/cat.txt", days=0)
    # The day ended at the midnight that began the 13th, 9.5 days ago.
    retention(root, done=RetentionLimit(days=9.6)).sweep(NOW)
    assert path.exists()
    retention(root, done=RetentionLimit(days=9.4)).sweep(NOW)
    assert not path.exists()


def test_failed_jobs_go_whole_and_nothing_stays_of_them(root: Path) -> None:
    old, new = failed(root, "cat.0a1b2c3d", days=200), failed(root, "dog.0a1b2c3e", days=100)
    note = aged(root / "failed/1-text/note of mine.txt", days=5000)
    retention(root, failed=RetentionLimit(days=180)).sweep(NOW)
    assert not old.exists()
    assert sorted(path.name for path in new.iterdir()) == ["cat.txt", "error.json", "results"]
    assert note.exists()
    assert not list((root / ".trash").iterdir())


def test_what_a_crash_leaves_of_a_failed_job_goes_at_the_next_start(root: Path) -> None:
    class Crash(Filesystem):
        def unlink(self, path: Path) -> None:
            if path.name == "error.json":
                raise KeyboardInterrupt
            super().unlink(path)

    failed(root, "cat.0a1b2c3d", days=200)
    with pytest.raises(KeyboardInterrupt):
        retention(root, Crash(root), failed=RetentionLimit(days=180)).sweep(NOW)
    assert list((root / ".trash").iterdir())
    Spool(root, {stage.name: stage.folder for stage in STAGES.values()}).recover()
    assert not list((root / ".trash").iterdir())


def test_a_failed_job_that_somebody_is_putting_right_stays(root: Path) -> None:
    class Person(Filesystem):
        """Saves a file in the failed folder between the look and the deletion."""

        def rename_noreplace(self, source: Path, target: Path) -> None:
            raise AssertionError(f"{source} was taken away to {target} from under a person")

        def lstat(self, path: Path) -> os.stat_result:
            st = super().lstat(path)
            if path == folder and not (folder / "cat.yaml").exists():
                (folder / "cat.yaml").write_text("steps: 3")
            return st

    folder = failed(root, "cat.0a1b2c3d", days=200)
    retention(root, Person(root), failed=RetentionLimit(days=180)).sweep(NOW)
    assert (folder / "cat.txt").exists()


def test_previews_and_steps_go_by_their_age_and_so_does_the_index_of_older_versions(root: Path) -> None:
    old, new = aged(root / "previews/a.png", 40), aged(root / "previews/b.png", 20)
    index = aged(root / "previews/index.html", 4000)
    step, folder = aged(root / "steps/a.tiff", 40), aged(root / "steps/cat/1.tiff", 40)
    os.utime(folder.parent, (NOW - 40 * DAY,) * 2)
    retention(root, previews=RetentionLimit(days=30), steps=RetentionLimit(days=30)).sweep(NOW)
    assert (old.exists(), new.exists(), index.exists()) == (False, True, False)
    assert not step.exists()
    assert not folder.parent.exists()


def test_a_folder_that_is_too_large_loses_its_oldest(root: Path) -> None:
    sizes = [aged(root / f"previews/{days}.png", days, b"x" * 1000) for days in (3, 1, 2)]
    retention(root, previews=RetentionLimit(gb=2000 / 1e9)).sweep(NOW)
    assert [path.exists() for path in sizes] == [False, True, True]


def test_pictures_and_saved_embeddings_are_never_deleted(root: Path) -> None:
    mine = [aged(root / "pictures/cat.png", 5000), aged(root / "embeddings/cat.tiff", 5000), aged(root / "README", 5000)]
    everything = {name: RetentionLimit(days=1e-6, gb=1e-9) for name in RetentionLimits.model_fields}
    retention(root, **everything).sweep(NOW)
    assert all(path.exists() for path in mine)


def test_null_means_for_ever(root: Path) -> None:
    paths = [
        aged(root / "done/2001-01-01/a.txt", 0),
        aged(root / ".keep/a.0a1b2c3d.tiff", 9000),
        aged(root / "previews/a.png", 9000),
    ]
    retention(root).sweep(NOW)
    assert all(path.exists() for path in paths)


WAITS_AS: list[tuple[str, Callable[[Path], None]]] = [
    ("inbox/2-diffuse/cat.0a1b2c3d.tiff", Path.touch),
    ("inbox/3-decode/CAT.0a1b2c3d.TIF", Path.touch),
    ("hold/2-diffuse/cat.0a1b2c3d.tiff", Path.touch),
    ("hold/2-diffuse/renamed.tiff", an_artifact),
    ("hold/2-diffuse/cat.ffffffff.tiff", an_artifact),
    (".work/20261122T000000Z-000001-ffffffff/in/cat.0a1b2c3d.tiff", Path.touch),
    (".work/20261122T000000Z-000001-ffffffff/back.1/cat.0a1b2c3d.tiff", Path.touch),
    ("failed/2-diffuse/cat.ffffffff/cat.0a1b2c3d.tiff", Path.touch),
    ("hold/2-diffuse/later/cat.0a1b2c3d.tiff", Path.touch),
    ("hold/2-diffuse/cat.tiff", Path.touch),  # an editor dropped the id, and a person the part of the name: the stem is left
    ("embeddings/style.tiff", an_artifact),
]


@pytest.mark.parametrize(("place", "make"), WAITS_AS, ids=[place for place, _ in WAITS_AS])
def test_an_original_stays_while_its_artifact_waits_and_goes_afterwards(
    root: Path, place: str, make: Callable[[Path], None]
) -> None:
    original = aged(root / ".keep/cat.0a1b2c3d.tiff", 100)
    other = aged(root / ".keep/dog.12345678.tiff", 100)
    waiting = root / place
    waiting.parent.mkdir(parents=True, exist_ok=True)
    make(waiting)
    sweeping = retention(root, originals=RetentionLimit(days=90, gb=1e-9))
    sweeping.sweep(NOW)
    assert original.exists()
    assert not other.exists()
    waiting.unlink()
    sweeping.sweep(NOW)
    assert not original.exists()


def test_no_original_goes_while_another_program_holds_what_may_need_it(root: Path) -> None:
    original = aged(root / ".keep/cat.0a1b2c3d.tiff", 100)
    waiting = aged(root / "hold/2-diffuse/renamed.tiff", 100)
    an_artifact(waiting)
    sweeping = retention(root, originals=RetentionLimit(days=90))
    with leased(waiting):
        sweeping.sweep(NOW)
    assert original.exists()
    assert sweeping.complaints() == ()
    waiting.unlink()
    sweeping.sweep(NOW)
    assert not original.exists()


def test_originals_that_are_needed_do_not_count_as_room_that_was_made(root: Path) -> None:
    needed, old, new = (
        aged(root / f".keep/{name}.tiff", days, b"x" * 1000)
        for name, days in (("cat.0a1b2c3d", 30), ("dog.12345678", 20), ("fox.23456789", 10))
    )
    (root / "hold/2-diffuse/cat.0a1b2c3d.tiff").touch()
    retention(root, originals=RetentionLimit(gb=2000 / 1e9)).sweep(NOW)
    assert [path.exists() for path in (needed, old, new)] == [True, False, True]


def test_what_somebody_else_deletes_first_is_no_complaint(root: Path) -> None:
    class Person(Filesystem):
        def unlink(self, path: Path) -> None:
            path.unlink()
            super().unlink(path)

    paths = [aged(root / "previews/a.png", 50), aged(root / "previews/b.png", 40)]
    sweeping = retention(root, Person(root), previews=RetentionLimit(days=30))
    sweeping.sweep(NOW)
    assert not any(path.exists() for path in paths)
    assert sweeping.complaints() == ()


def test_an_artifact_that_moves_back_during_the_look_still_keeps_its_original(root: Path) -> None:
    class Person(Filesystem):
        """Takes the artifact from the inbox back to hold/, which was looked at already."""

        def list(self, folder: Path) -> list[str]:
            if folder == root / "inbox/2-diffuse" and waiting.exists():
                waiting.rename(root / "hold/2-diffuse" / waiting.name)
            return super().list(folder)

    original = aged(root / ".keep/cat.0a1b2c3d.tiff", 100)
    waiting = root / "inbox/2-diffuse/cat.0a1b2c3d.tiff"
    waiting.touch()
    retention(root, Person(root), originals=RetentionLimit(days=90)).sweep(NOW)
    assert original.exists()


def test_a_new_original_is_kept_though_nothing_waits(root: Path) -> None:
    original = aged(root / ".keep/cat.0a1b2c3d.tiff", 10)
    retention(root, originals=RetentionLimit(days=90)).sweep(NOW)
    assert original.exists()


def test_symbolic_links_are_deleted_and_never_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    treasure = aged(elsewhere / "treasure", 9000)
    os.utime(elsewhere, (NOW - 9000 * DAY,) * 2)
    (root / "steps/link").symlink_to(elsewhere)
    (root / "done/2001-01-01").symlink_to(elsewhere)
    (root / "failed/link").symlink_to(elsewhere.parent)
    (root / "failed/1-text/cat.0a1b2c3d").symlink_to(elsewhere)
    folder = failed(root, "dog.0a1b2c3e", days=200)
    (folder / "link").symlink_to(treasure)
    os.utime(folder, (NOW - 200 * DAY,) * 2)
    os.utime(root / "steps/link", (NOW - 90 * DAY,) * 2, follow_symlinks=False)
    limits = {name: RetentionLimit(days=30) for name in RetentionLimits.model_fields}
    retention(root, **limits).sweep(NOW)
    assert treasure.exists()
    assert not (root / "steps/link").is_symlink()
    assert not folder.exists()


def test_what_cannot_be_deleted_is_complained_of_once_and_stops_nothing_else(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    class ReadOnly(Filesystem):
        def unlink(self, path: Path) -> None:
            if path.name == "a.png":
                raise PermissionError(1, "Operation not permitted", str(path))
            super().unlink(path)

    stays, goes = aged(root / "previews/a.png", 50), aged(root / "previews/b.png", 40)
    sweeping = retention(root, ReadOnly(root), previews=RetentionLimit(days=30))
    for _ in range(3):
        sweeping.sweep(NOW)
    assert (stays.exists(), goes.exists()) == (True, False)
    assert len([line for line in caplog.messages if "a.png" in line]) == 1
    (complaint,) = sweeping.complaints()
    assert "Operation not permitted" in complaint
    stays.unlink()
    sweeping.sweep(NOW)
    assert sweeping.complaints() == ()


def test_the_first_sweep_comes_a_while_after_the_start_and_in_a_thread(root: Path) -> None:
    old = root / "previews/a.png"
    aged(old, 40)
    sweeping = retention(root, previews=RetentionLimit(days=30))
    sweeping.tick(1000.0)
    sweeping.tick(1000.0 + FIRST_SWEEP_SECONDS - 1)
    assert old.exists()
    started = time.monotonic()
    sweeping.tick(1000.0 + FIRST_SWEEP_SECONDS)
    assert time.monotonic() - started < 1
    wait_until(lambda: not old.exists(), what="the sweep")
    sweeping.close()
