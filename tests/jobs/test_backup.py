"""A backup of a spool in which a daemon works is as good as a crash: all that was begun ends once where it is restored."""

import errno
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from click.testing import CliRunner

from daemon.beneath import Beneath
from daemon.cli import app
from daemon.errors import DaemonError, InUse, MachineError, SpoolError
from daemon.jobs import backup
from daemon.jobs.backup import back_up
from daemon.names import stem_of
from daemon.spool.spool import Spool
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon
from tests.spool.frozen.thaw import BOOTS, recovered, unpacked
from tests.spool.test_frozen import ARCHIVES

JOBS = 20
PROMPT = "---\nsteps: 1\nwidth: 64\nheight: 64\n{}---\na red house {}\n"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    root = tmp_path / "spool"
    Spool(root, {"text": "1-text", "diffuse": "2-diffuse"}).create()
    return root


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_it_holds_what_waits_and_what_runs_and_not_what_is_made_again(spool: Path, tmp_path: Path) -> None:
    for place in (
        "inbox/1-text/cat.txt",
        "hold/2-diffuse/a.tiff",
        "pictures/cat.png",
        "previews/a.png",
        "running/a.txt",
        ".owners",
    ):
        (spool / place).write_text(place)
    job = spool / ".work/20261130T120000Z-000001-0a1b2c3d"
    for place in ("in/dog.txt", "out/undecided.tiff", "claim.json"):
        (job / place).parent.mkdir(parents=True, exist_ok=True)
        (job / place).write_text(place)
    (spool / "inbox/1-text/cat.txt").chmod(0o640)
    os.utime(spool / "inbox/1-text/cat.txt", ns=(1, 10**18 + 1))

    copied = back_up(spool, tmp_path / "there")
    work = f".work/{job.name}"
    expected = {"inbox/1-text/cat.txt", "hold/2-diffuse/a.tiff", ".owners", f"{work}/in/dog.txt", f"{work}/claim.json"}
    assert files(tmp_path / "there").keys() == expected
    assert copied.files == len(expected)
    assert (tmp_path / "there" / work / "out").is_dir()
    found = (tmp_path / "there/inbox/1-text/cat.txt").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o640, 10**18 + 1)
    folders = {path.relative_to(spool): stat.S_IMODE(path.stat().st_mode) for path in spool.glob("**/") if path != spool}
    assert {place: stat.S_IMODE((tmp_path / "there" / place).stat().st_mode) for place in folders} == folders
    assert (tmp_path / "there").stat().st_mode == spool.stat().st_mode
    back_up(spool, tmp_path / "with-pictures", pictures=True)
    assert "pictures/cat.png" in files(tmp_path / "with-pictures")


def test_the_outputs_of_a_job_that_is_decided_are_in_it(spool: Path, tmp_path: Path) -> None:
    job = spool / ".work/20261130T120000Z-000001-0a1b2c3d"
    (job / "out").mkdir(parents=True)
    (job / "out/done.tiff").write_text("done")
    (job / "commit.json").write_text("{}")
    back_up(spool, tmp_path / "there")
    assert f".work/{job.name}/out/done.tiff" in files(tmp_path / "there")


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name)
@pytest.mark.parametrize("when", BOOTS)
def test_a_spool_with_jobs_in_every_state_recovers_from_its_backup_as_it_would_itself(
    when: str, archive: Path, tmp_path: Path
) -> None:
    root = unpacked(archive, tmp_path)
    back_up(root, tmp_path / "there", pictures=True)
    itself, copy = recovered(root, BOOTS[when]), recovered(tmp_path / "there", BOOTS[when])
    assert copy | {"tree": {}} == itself | {"tree": {}}
    copied = (*backup.COPIED, "pictures", *backup.READ_AT_ONCE)
    made_again = re.compile(r"\.work/[^/]+/out/")
    expected = {name: bits for name, bits in itself["tree"].items() if name.split("/")[0] in copied and not made_again.match(name)}
    assert copy["tree"] == expected


@pytest.fixture
def meddled(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[Path, Path]]]:
    """The renames that happen in the middle of each look, of the next one first."""
    renames: list[list[tuple[Path, Path]]] = []
    below = backup._below

    def meddling(beneath: Beneath, folder: Path) -> Iterator[tuple[str, backup.Seen]]:
        if folder.name == "hold" and renames:
            for source, target in renames.pop(0):
                source.rename(target)
        yield from below(beneath, folder)

    monkeypatch.setattr(backup, "_below", meddling)
    return renames


def test_what_moves_while_it_is_looked_at_is_there_once(
    spool: Path, tmp_path: Path, meddled: list[list[tuple[Path, Path]]]
) -> None:
    inbox, hold = spool / "inbox/1-text", spool / "hold/1-text"
    for name in ("forth.txt", "stays.txt"):
        (inbox / name).write_text(name)
    (hold / "back.txt").write_text("back.txt")
    meddled += [[], [(hold / "back.txt", inbox / "back.txt"), (inbox / "forth.txt", hold / "forth.txt")]]
    back_up(spool, tmp_path / "there")
    assert files(tmp_path / "there") == {
        "hold/1-text/forth.txt": "forth.txt",
        "inbox/1-text/back.txt": "back.txt",
        "inbox/1-text/stays.txt": "stays.txt",
    }


def test_what_moves_after_the_look_is_found_by_its_number(spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (spool / "inbox/1-text/cat.txt").write_text("cat")
    (spool / "hold/1-text/dog.txt").write_text("dog")
    (spool / "hold/1-text/gone.txt").write_text("gone")
    make_folders = backup._make_folders

    def moving(look: backup.Look, part: Path) -> None:
        make_folders(look, part)
        (spool / "inbox/1-text/cat.txt").rename(spool / "done/cat.txt")
        (spool / "hold/1-text/gone.txt").unlink()
        (spool / "inbox/1-text/cat.txt").write_text("another cat")

    monkeypatch.setattr(backup, "_make_folders", moving)
    copied = back_up(spool, tmp_path / "there")
    assert files(tmp_path / "there") == {"inbox/1-text/cat.txt": "cat", "hold/1-text/dog.txt": "dog"}
    assert copied.left_out == ["hold/1-text/gone.txt"]


def test_a_file_that_another_program_has_a_lease_on_is_waited_for(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("let-go.txt", "kept.txt"):
        (spool / "inbox/1-text" / name).write_text(name)
    plain, looks = Beneath.plain, Counter[str]()

    def leased(beneath: Beneath, path: Path) -> BinaryIO:
        looks[path.name] += 1
        if path.name == "kept.txt" or looks[path.name] < 3:
            raise InUse(errno.EWOULDBLOCK, "in use", str(path))
        return plain(beneath, path)

    monkeypatch.setattr(Beneath, "plain", leased)
    monkeypatch.setattr(backup, "LEASE_SECONDS", 0.0)
    assert back_up(spool, tmp_path / "there").left_out == ["inbox/1-text/kept.txt"]
    assert files(tmp_path / "there") == {"inbox/1-text/let-go.txt": "let-go.txt"}


def test_links_and_pipes_are_left_out_and_named(spool: Path, tmp_path: Path) -> None:
    (spool / "inbox/1-text/link.txt").symlink_to("/etc/passwd")
    os.mkfifo(spool / "inbox/1-text/pipe.txt")
    assert sorted(back_up(spool, tmp_path / "there").left_out) == ["inbox/1-text/link.txt", "inbox/1-text/pipe.txt"]
    assert files(tmp_path / "there") == {}


def test_a_spool_that_never_stands_still_is_the_machines_affair(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(range(1000))
    monkeypatch.setattr(backup, "_looked", lambda *_: backup.Look({str(next(looks)): None}))
    times = iter(range(0, 100_000, 10))
    with pytest.raises(MachineError, match="tiffsd pause"):
        back_up(spool, tmp_path / "there", clock=lambda: next(times))
    assert not list(tmp_path.glob("there*"))


def test_what_cannot_be_a_place_for_it_is_refused_and_left_as_it_is(spool: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    for target, sentence in ((spool / "x", "in the spool itself"), (tmp_path / "full", "nothing is overwritten")):
        with pytest.raises(DaemonError, match=sentence):
            back_up(spool, target)
    with pytest.raises(SpoolError, match="no spool"):
        back_up(tmp_path / "full", tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "spool"]


def ended(root: Path) -> Counter[str]:
    """What came of the jobs: how often each is where it was to come to."""
    return Counter(stem_of(path.name) for pattern in ("pictures/*.png", "hold/2-diffuse/*.tiff") for path in root.glob(pattern))


@pytest.mark.thorough
@pytest.mark.slow
def test_backups_while_a_daemon_works_end_every_job_once_where_they_are_restored(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    daemon = RunningDaemon(tmp_path / "first", previews=False, proofs={"when": "never"}, pictures={"tiff": False})
    for number in range(JOBS):
        daemon.drop("inbox/1-text", f"job{number}.txt", PROMPT.format("hold: diffuse\n" * (number % 5 > 0), number))
    daemon.start()
    backups = []
    for done in (1, 5, 9):
        wait_until(lambda done=done: sum(ended(daemon.spool).values()) >= done, what=f"{done} jobs are at their end")
        said = CliRunner().invoke(app, ["backup", str(tmp_path / f"backup-{done}"), "--pictures", "-c", str(daemon.config)])
        assert said.exit_code == 0, said.output
        backups.append(tmp_path / f"backup-{done}")
    daemon.kill()
    restored = [folder for folder in backups if any((folder / "spool/.work").iterdir())][-1]
    shutil.copy(daemon.config, restored / "config.yaml")
    assert RunningDaemon.command(daemon, "once", "-c", str(restored)).returncode == 0

    root = restored / "spool"
    assert ended(root) == {f"job{number}": 1 for number in range(JOBS)}
    assert not list(root.glob("failed/*/*")) + list(root.glob(".work/*"))
    assert Counter(path.name for path in root.glob("done/*/*.txt")) == {f"job{number}.txt": 1 for number in range(JOBS)}
