"""What lies on hold while people change it: what belongs together, and what stands still."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.inbox.grouping import Drop, Mark, Member
from daemon.inbox.held import HoldFolder
from daemon.stages import STAGES
from tests.leases import leased

SETTLE, UNLEASED = 1.0, 5.0
LATENTS, PROOF = "cat.3f9a1c2e.tiff", "cat.3f9a1c2e.proof.png"


@pytest.fixture(autouse=True)
def _ignored_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@dataclass
class Own:
    """The results of this daemon, by what they are like."""

    marks: set[Mark] = field(default_factory=set)

    def is_own(self, mark: Mark) -> bool:
        return mark in self.marks


@pytest.fixture
def own() -> Own:
    return Own()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hold/2-diffuse").mkdir(parents=True)
    return tmp_path / "hold/2-diffuse"


@pytest.fixture
def held(folder: Path, own: Own) -> HoldFolder:
    return HoldFolder(STAGES["diffuse"], folder, SETTLE, UNLEASED, is_own=own.is_own, owner_of=lambda st: st.st_uid)


def _put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(name.encode())


def _roles(drop: Drop) -> dict[str, str]:
    return {member.role: member.path.name for member in drop.members}


def _mark(path: Path) -> Mark:
    st = path.lstat()
    return st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns


def _one(held: HoldFolder, now: float) -> Member:
    (found,) = held.look(now).drops
    return found.principal


def test_latents_lie_with_all_that_goes_with_them(folder: Path, held: HoldFolder) -> None:
    _put(folder, LATENTS, PROOF, "cat.yaml", "cat.3f9a1c2e.apply", "dog.tiff")
    cat, dog = sorted(held.look(0.0).drops, key=lambda drop: drop.stem)
    assert _roles(cat) == {"principal": LATENTS, ".proof.png": PROOF, ".yaml": "cat.yaml", ".apply": "cat.3f9a1c2e.apply"}
    assert _roles(dog) == {"principal": "dog.tiff"}
    assert (cat.stem, cat.owner) == ("cat", os.getuid())
    assert cat.principal == Member("principal", folder / LATENTS, _mark(folder / LATENTS))


def test_halves_are_one_drop_and_a_half_alone_is_none(folder: Path, held: HoldFolder) -> None:
    _put(folder, "cat_latent.tiff")
    assert held.look(0.0).drops == ()
    _put(folder, "cat_prompt.tiff")
    (found,) = held.look(1.0).drops
    assert _roles(found) == {"principal": "cat_latent.tiff", "_prompt": "cat_prompt.tiff"}
    (folder / "cat_latent.tiff").unlink()
    assert held.look(2.0).drops == ()


def test_a_proof_of_nothing_that_is_there_lies_alone(folder: Path, held: HoldFolder) -> None:
    _put(folder, PROOF, "cat.yaml", "dog.proof.tif")
    found = held.look(0.0)
    assert found.drops == ()
    assert sorted(member.path.name for member in found.alone) == [PROOF, "dog.proof.tif"]
    assert all(member.mark == _mark(member.path) for member in found.alone)
    _put(folder, LATENTS)
    assert [member.path.name for member in held.look(1.0).alone] == ["dog.proof.tif"]


@pytest.mark.parametrize(
    "name",
    [
        *("HOLD", "hold.txt", "README.md", ".DS_Store", "Thumbs.db", "~$cat.tiff", "cat.tiff~", ".cat.3f9a1c2e.tiff.swp"),
        *("cat.tiff.part", "cat.3f9a1c2e.proof.png.tmp", "cat.3f9a1c2e.sync-conflict-20260101-120000-ABCDEFG.tiff", "cat.xcf"),
    ],
)
def test_signs_and_what_programs_put_there_are_nobodys(name: str, folder: Path, held: HoldFolder) -> None:
    _put(folder, LATENTS)
    before = held.look(0.0)
    _put(folder, name)
    assert held.look(1.0) is before


@pytest.mark.parametrize("name", ["cat.txt", "cat.jpg", "cat.png"])
def test_a_file_that_the_stage_does_not_take_is_no_drop(name: str, folder: Path, held: HoldFolder) -> None:
    _put(folder, name)
    assert (held.look(0.0).drops, held.look(0.0).alone) == ((), ())


def test_links_folders_and_fifos_are_left_alone(folder: Path, held: HoldFolder, tmp_path: Path) -> None:
    (tmp_path / "secret.tiff").write_bytes(b"secret")
    (folder / "link.tiff").symlink_to(tmp_path / "secret.tiff")
    (folder / "folder.tiff").mkdir()
    os.mkfifo(folder / "fifo.tiff")
    assert held.look(0.0).drops == ()


def test_a_look_that_finds_nothing_changed_gives_what_the_last_one_gave(
    folder: Path, held: HoldFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(folder, LATENTS, PROOF)
    first = held.look(0.0)
    monkeypatch.setattr("daemon.inbox.held.group_into_drops", None)  # nothing is sorted anew
    assert held.look(1.0) is first
    assert held.look(1000.0) is first


def _save_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"painted and longer than before")


def _save_by_rename(path: Path) -> None:
    path.with_name(".part").write_bytes(b"painted")
    path.with_name(".part").replace(path)


def _touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("save", [_save_in_place, _save_by_rename, _touch])
def test_a_file_that_is_saved_again_is_news_and_has_to_stand_still_again(
    save: Callable[[Path], None], folder: Path, held: HoldFolder
) -> None:
    _put(folder, LATENTS, PROOF)
    first = held.look(0.0)
    member = first.drops[0].principal
    assert held.due_of(member, SETTLE) is None
    save(folder / LATENTS)
    second = held.look(10.0)
    assert second is not first
    saved = second.drops[0].principal
    assert saved.mark == _mark(folder / LATENTS) != member.mark
    assert second.drops[0].members[1] == first.drops[0].members[1], "the proof is as it was"
    assert held.due_of(saved, 10.0) == 10.0 + SETTLE
    assert held.due_of(second.drops[0].members[1], 10.0) is None
    assert held.due_of(saved, 10.0 + SETTLE) is None


def test_what_comes_and_what_goes_is_news(folder: Path, held: HoldFolder) -> None:
    assert held.look(0.0).drops == ()
    _put(folder, LATENTS)
    assert len(held.look(1.0).drops) == 1
    (folder / LATENTS).rename(folder / "bee.tiff")
    assert _one(held, 2.0).path.name == "bee.tiff"
    (folder / "bee.tiff").unlink()
    assert held.look(3.0).drops == ()


def test_a_file_stands_still_when_its_settle_time_is_over(folder: Path, held: HoldFolder) -> None:
    _put(folder, LATENTS)
    member = _one(held, 100.0)
    assert held.due_of(member, 100.0) == 100.0 + SETTLE
    assert held.due_of(member, 100.0 + SETTLE / 2) == 100.0 + SETTLE
    assert held.due_of(member, 100.0 + SETTLE) is None


def test_a_result_of_the_daemons_own_is_whole_at_once_until_somebody_saves_it(folder: Path, held: HoldFolder, own: Own) -> None:
    _put(folder, LATENTS)
    own.marks.add(_mark(folder / LATENTS))
    assert held.due_of(_one(held, 0.0), 0.0) is None
    _save_in_place(folder / LATENTS)
    assert held.due_of(_one(held, 7.0), 7.0) == 7.0 + SETTLE


def test_a_file_that_is_being_written_does_not_stand_still(folder: Path, held: HoldFolder) -> None:
    _put(folder, LATENTS)
    with (folder / LATENTS).open("r+b"):
        member = _one(held, 0.0)
        assert held.due_of(member, 3.0) == 3.0 + SETTLE
        assert held.due_of(member, 50.0) == 50.0 + SETTLE
    assert held.due_of(member, 50.5) == 50.0 + SETTLE
    assert held.due_of(member, 50.0 + SETTLE) is None


def test_a_file_on_which_another_program_holds_a_lease_does_not_stand_still(folder: Path, held: HoldFolder) -> None:
    _put(folder, LATENTS)
    member = _one(held, 0.0)
    with leased(folder / LATENTS):
        assert held.due_of(member, SETTLE) == 2 * SETTLE
    assert held.due_of(member, 2 * SETTLE) is None


def test_where_the_system_cannot_say_who_writes_a_file_has_to_stand_still_for_longer(folder: Path, held: HoldFolder) -> None:
    signal.signal(signal.SIGIO, signal.SIG_DFL)  # then no lease is asked for
    _put(folder, LATENTS)
    member = _one(held, 0.0)
    assert held.due_of(member, SETTLE) == UNLEASED
    assert held.due_of(member, UNLEASED - 0.1) == UNLEASED
    assert held.due_of(member, UNLEASED) is None


def test_a_file_that_stood_still_is_not_asked_for_again(folder: Path, held: HoldFolder) -> None:
    _put(folder, LATENTS)
    member = _one(held, 0.0)
    assert held.due_of(member, SETTLE) is None
    with (folder / LATENTS).open("r+b"):  # somebody looks at it in an editor
        held.look(2.0)
        assert held.due_of(member, 2.0) is None


def test_a_file_that_goes_between_the_look_and_the_question_stops_nobody(folder: Path, held: HoldFolder) -> None:
    _put(folder, LATENTS)
    member = _one(held, 0.0)
    (folder / LATENTS).unlink()
    assert held.due_of(member, SETTLE) == UNLEASED
    assert held.look(2.0).drops == ()
    assert held.due_of(member, 2.0) is None


def test_a_folder_that_is_away_is_told_and_what_stood_still_need_not_do_so_again(folder: Path, held: HoldFolder) -> None:
    _put(folder, LATENTS)
    member = _one(held, 0.0)
    assert held.due_of(member, SETTLE) is None
    found = held.look(1.5)
    folder.rename(folder.with_name("away"))
    with pytest.raises(FileNotFoundError):
        held.look(2.0)
    folder.with_name("away").rename(folder)
    assert held.look(3.0) is found
    assert held.due_of(member, 3.0) is None
