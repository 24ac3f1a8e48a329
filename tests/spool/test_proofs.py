"""Proofs beside what waits: an untouched one gives way to the next, and no paint is ever written over, deleted or lost."""

import errno
import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from daemon.layout import PROOFS
from daemon.spool.filesystem import Filesystem
from daemon.spool.proofs import MOST_VERSIONS, ProofFiles, estimate_name, latents_of, version_of
from daemon.spool.spool import Spool
from tests.spool.mortal import OPERATIONS, Crash, Mortal
from tests.spool.stories import FOLDERS

ID = "3f9a1c2e"
SHOWN, NEXT, PAINT = b"the proof that was shown", b"the proof of the latents as they are now", b"the proof with paint on it"
IN_PLACE, BY_RENAME = "in place", "by a rename"

Save = Callable[[Path], None]


@pytest.fixture
def files(root: Path) -> ProofFiles:
    return ProofFiles(root, Filesystem(root))


def _latents(root: Path) -> Path:
    return root / "hold/2-diffuse/cat.3f9a1c2e.tiff"


def _place(root: Path) -> Path:
    return root / "hold/2-diffuse/cat.3f9a1c2e.proof.png"


def _show(files: ProofFiles, root: Path, png: bytes, version: str) -> bool:
    return files.show(_latents(root), ID, version, png)


def _save_in_place(path: Path) -> None:
    path.write_bytes(PAINT)


def _save_by_rename(path: Path) -> None:
    part = path.with_name(".painted.part")
    part.write_bytes(PAINT)
    part.replace(path)


SAVES: dict[str, Save] = {IN_PLACE: _save_in_place, BY_RENAME: _save_by_rename}


def _on_hold(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "hold/2-diffuse").iterdir()}


def _aside(root: Path) -> list[Path]:
    return [path for path in (root / PROOFS / "aside").rglob("*") if path.is_file()]


def _parts(root: Path) -> list[str]:
    return [path.name for path in (root / PROOFS).iterdir() if path.name.endswith(".part")]


def test_a_proof_lies_beside_its_latents_and_is_known_again(files: ProofFiles, root: Path) -> None:
    assert _show(files, root, SHOWN, "first")
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": SHOWN}
    known = files.shown_as(_place(root), ID)
    assert known is not None
    assert (known.identity, known.version, known.path.read_bytes()) == (ID, "first", SHOWN)
    assert files.kept(ID) == [known]
    assert files.kept("00000000") == []


def test_an_untouched_proof_gives_way_to_the_next_and_both_are_kept(files: ProofFiles, root: Path) -> None:
    assert _show(files, root, SHOWN, "first")
    assert _show(files, root, NEXT, "second")
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": NEXT}
    assert sorted((one.version, one.path.read_bytes()) for one in files.kept(ID)) == [("first", SHOWN), ("second", NEXT)]
    assert not _aside(root)


def test_the_same_picture_of_other_latents_is_theirs_and_stays_as_it_lies(files: ProofFiles, root: Path) -> None:
    assert _show(files, root, SHOWN, "first")
    before = _place(root).stat()
    for version in ("second", "a third", "first"):
        assert _show(files, root, SHOWN, version)
        assert [one.version for one in files.kept(ID)] == [version]
    after = _place(root).stat()
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_painted_proof_is_neither_replaced_nor_taken_away(save: Save, files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    save(_place(root))
    before = _place(root).stat()
    assert files.shown_as(_place(root), ID) is None
    assert not _show(files, root, NEXT, "second")
    assert not files.take_away(_place(root), ID)
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": PAINT}
    assert _place(root).stat().st_ctime_ns == before.st_ctime_ns, "an editor has it open"
    assert not _parts(root)


def test_an_untouched_proof_is_taken_away_also_where_it_is_gone_already(files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    assert files.take_away(_place(root), ID)
    assert not _on_hold(root)
    assert files.take_away(_place(root), ID)
    with pytest.raises(FileNotFoundError):
        files.shown_as(_place(root), ID)


def test_a_proof_of_other_latents_is_nobodys_paint(files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    shown = files.shown_as(_place(root), "00000000")
    assert shown
    assert shown.identity == ID
    assert files.take_away(_place(root), "00000000")
    assert not _on_hold(root)


def test_what_is_no_file_is_left_in_the_place_of_a_proof(files: ProofFiles, root: Path) -> None:
    _place(root).mkdir()
    assert not _show(files, root, SHOWN, "first")
    _place(root).rmdir()
    (root / "secret").write_bytes(SHOWN)
    _place(root).symlink_to(root / "secret")
    assert not _show(files, root, SHOWN, "first")
    assert not files.take_away(_place(root), ID)
    assert _place(root).is_symlink()


def test_names_as_long_as_they_may_be_have_a_proof(files: ProofFiles, root: Path) -> None:
    latents = _latents(root).with_name("c" * 241 + ".3f9a1c2e.tiff")
    assert files.show(latents, ID, "first", SHOWN)
    assert files.show(latents, ID, "second", NEXT)
    ((name, content),) = _on_hold(root).items()
    assert content == NEXT
    assert files.take_away(root / "hold/2-diffuse" / name, ID)
    assert not _on_hold(root)


class Meanwhile(Filesystem):
    """The real system, where somebody does something before one move of a file, or after it."""

    def __init__(self, root: Path, *, before: Callable[[Path, Path], None], after: Callable[[Path, Path], None]) -> None:
        super().__init__(root)
        self._before, self._after = before, after

    def rename_noreplace(self, source: Path, target: Path) -> None:
        self._before(source, target)
        super().rename_noreplace(source, target)
        self._after(source, target)


def _when_taken(root: Path, act: Callable[[], None]) -> Callable[[Path, Path], None]:
    """What is done in the moment in which a proof is moved aside."""
    return lambda source, _target: act() if source == _place(root) else None


def _never(_source: Path, _target: Path) -> None:
    return


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_paint_that_is_saved_between_the_look_and_the_move_comes_back(save: Save, files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    fs = Meanwhile(root, before=_when_taken(root, lambda: save(_place(root))), after=_never)
    assert not ProofFiles(root, fs).take_away(_place(root), ID)
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": PAINT}
    files.bring_back()
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": PAINT}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_paint_that_is_saved_before_the_next_proof_comes_stays(save: Save, files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    fs = Meanwhile(root, before=_never, after=_when_taken(root, lambda: save(_place(root))))
    assert not _show(ProofFiles(root, fs), root, NEXT, "second")
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": PAINT}
    assert not _parts(root)


def _paint_more(place: Path) -> None:
    place.write_bytes(b"more paint")


def test_paint_that_is_saved_twice_while_a_proof_is_taken_away_is_there_twice(files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    place = _place(root)
    fs = Meanwhile(
        root,
        before=_when_taken(root, lambda: _save_in_place(place)),
        after=_when_taken(root, lambda: _paint_more(place)),
    )
    assert not ProofFiles(root, fs).take_away(place, ID)
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": b"more paint", "cat-2.3f9a1c2e.proof.png": PAINT}


def test_a_proof_that_goes_between_the_look_and_the_move_makes_room(files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    fs = Meanwhile(root, before=_when_taken(root, _place(root).unlink), after=_never)
    assert _show(ProofFiles(root, fs), root, NEXT, "second")
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": NEXT}


@pytest.fixture
def _ignored_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.mark.usefixtures("_ignored_sigio")
def test_a_proof_that_somebody_has_open_for_writing_is_left_to_them(files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    with _place(root).open("r+b") as editor:
        assert not _show(files, root, NEXT, "second")
        assert not files.take_away(_place(root), ID)
        editor.write(PAINT)
        editor.truncate()
    assert not files.take_away(_place(root), ID)
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": PAINT}


class Painting(Mortal):
    """The real system until call `end`, where somebody saves paint before call `when`."""

    def __init__(self, root: Path, end: int, *, when: int, save: Callable[[], None]) -> None:
        super().__init__(root, end)
        self._when, self._save = when, save

    def _counted(self, operation: Any) -> Any:
        counted = super()._counted(operation)

        def call(*args: Any) -> Any:
            if self.calls + 1 == self._when:
                self._save()
            return counted(*args)

        return call


def _renew(files: ProofFiles, root: Path) -> None:
    _show(files, root, NEXT, "second")


def _remove(files: ProofFiles, root: Path) -> None:
    files.take_away(_place(root), ID)


DOINGS = {"shown": _renew, "taken away": _remove}
NOT_YET = 10**6
MOST_CALLS = 60


def _world(worlds: Path, name: object) -> Path:
    root = worlds / str(name)
    Spool(root, FOLDERS).create()
    _show(ProofFiles(root, Filesystem(root)), root, SHOWN, "first")
    return root


def _dies(root: Path, fs: Filesystem, doing: Callable[[ProofFiles, Path], None]) -> bool:
    try:
        doing(ProofFiles(root, fs), root)
    except Crash:
        return True
    return False


def _begun_again(root: Path) -> ProofFiles:
    files = ProofFiles(root, Filesystem(root))
    files.bring_back()
    assert not _aside(root)
    return files


@pytest.mark.parametrize("doing", DOINGS.values(), ids=DOINGS)
def test_a_crash_at_every_call_leaves_no_proof_that_looks_painted(doing: Callable[[ProofFiles, Path], None], worlds: Path) -> None:
    crashed, end = True, 0
    while crashed:
        end += 1
        root = _world(worlds, end)
        crashed = _dies(root, Mortal(root, end), doing)
        files = _begun_again(root)
        assert set(_on_hold(root).values()) <= {SHOWN, NEXT}
        for name in _on_hold(root):
            assert files.shown_as(root / "hold/2-diffuse" / name, ID), f"{name} looks painted after call {end}"
        assert _show(files, root, NEXT, "second")
        assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": NEXT}
        assert not _parts(root)
    assert 6 < end < MOST_CALLS


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("doing", DOINGS.values(), ids=DOINGS)
def test_no_crash_loses_what_somebody_paints_at_any_moment(
    doing: Callable[[ProofFiles, Path], None], save: Save, worlds: Path
) -> None:
    calls = _calls_of(doing, worlds)
    for when in range(1, calls + 1):
        for end in range(when, calls + 4):  # what is put back takes calls of its own
            root = _world(worlds, f"{when}-{end}")
            fs = Painting(root, end if end < calls + 3 else NOT_YET, when=when, save=lambda root=root: save(_place(root)))
            _dies(root, fs, doing)
            if fs.calls < when:
                continue
            files = _begun_again(root)
            assert list(_on_hold(root).values()).count(PAINT) == 1, f"painted before call {when}, dead at call {end}"
            _show(files, root, NEXT, "third")
            files.take_away(_place(root), ID)
            assert list(_on_hold(root).values()).count(PAINT) == 1, f"painted before call {when}, dead at call {end}"


def _calls_of(doing: Callable[[ProofFiles, Path], None], worlds: Path) -> int:
    root = _world(worlds, "counted")
    fs = Mortal(root, NOT_YET)
    doing(ProofFiles(root, fs), root)
    assert 6 < fs.calls < MOST_CALLS
    return fs.calls


class Refusing(Filesystem):
    """The real system, but that call `number` is refused."""

    def __init__(self, root: Path, number: int, code: int) -> None:
        super().__init__(root)
        self.calls, self._number, self._code = 0, number, code

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return self._counted(value) if name in OPERATIONS else value

    def _counted(self, operation: Any) -> Any:
        def call(*args: Any) -> Any:
            self.calls += 1
            if self.calls == self._number:
                raise OSError(self._code, os.strerror(self._code))
            return operation(*args)

        return call


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EIO, errno.EROFS, errno.ESTALE])
@pytest.mark.parametrize("doing", DOINGS.values(), ids=DOINGS)
def test_an_error_at_every_call_is_told_and_the_next_try_makes_good(
    doing: Callable[[ProofFiles, Path], None], code: int, worlds: Path
) -> None:
    for number in range(1, _calls_of(doing, worlds) + 1):
        root = _world(worlds, number)
        files, refused = ProofFiles(root, Refusing(root, number, code)), None
        try:
            doing(files, root)
        except OSError as refusal:
            refused = refusal.errno
        assert refused in (None, code)
        assert set(_on_hold(root).values()) <= {SHOWN, NEXT}
        assert _show(files, root, NEXT, "second"), "the same daemon tries again"
        assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": NEXT}
        assert not _aside(root)
        assert not _parts(root)


def test_a_full_disk_leaves_the_proof_that_was_shown(files: ProofFiles, root: Path) -> None:
    class Full(Filesystem):
        def create(self, path: Path) -> BinaryIO:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    _show(files, root, SHOWN, "first")
    with pytest.raises(OSError, match="No space left"):
        _show(ProofFiles(root, Full(root)), root, NEXT, "second")
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": SHOWN}


def test_what_is_shown_is_kept_on_the_disk_before_anybody_can_paint_on_it(root: Path) -> None:
    calls: list[str] = []

    class Noting(Filesystem):
        def fsync(self, file: Any, what: str) -> None:
            calls.append(what)
            super().fsync(file, what)

        def fsync_folder(self, folder: Path, what: str) -> None:
            calls.append(what)
            super().fsync_folder(folder, what)

        def rename_noreplace(self, source: Path, target: Path) -> None:
            calls.append(f"to {target.relative_to(root).parent}")
            super().rename_noreplace(source, target)

    _show(ProofFiles(root, Noting(root)), root, SHOWN, "first")
    assert calls == [
        *("proof: what is shown", "proof: the name of what is shown"),
        *("proof: the copy that may be painted on", "to hold/2-diffuse"),
    ]


def test_a_proof_that_was_left_aside_comes_back_under_its_name_or_the_next(files: ProofFiles, root: Path) -> None:
    left = root / PROOFS / "aside/2-diffuse"
    left.mkdir(parents=True)
    for number in (1, 2):
        (left / "cat.3f9a1c2e.proof.png").write_bytes(PAINT)
        files.bring_back()
        assert len(_on_hold(root)) == number
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": PAINT, "cat-2.3f9a1c2e.proof.png": PAINT}
    files.bring_back()


def test_a_proof_that_was_left_aside_waits_there_while_its_folder_is_away(files: ProofFiles, root: Path) -> None:
    left = root / PROOFS / "aside/2-diffuse"
    left.mkdir(parents=True)
    (left / "cat.3f9a1c2e.proof.png").write_bytes(PAINT)
    (root / "hold/2-diffuse").rmdir()
    with pytest.raises(FileNotFoundError):
        files.bring_back()
    Spool(root, FOLDERS).create()
    files.bring_back()
    assert _on_hold(root) == {"cat.3f9a1c2e.proof.png": PAINT}


def test_the_latents_that_a_proof_shows_are_kept_in_each_version(files: ProofFiles, root: Path) -> None:
    assert files.estimate(ID) is None
    files.keep_estimate(ID, "first", lambda file: file.write(b"seen first"))
    files.keep_estimate(ID, "second", lambda file: file.write(b"seen second"))
    (root / PROOFS / estimate_name(ID)).write_bytes(b"where the loop stopped")
    found = [files.estimate(ID, version) for version in ("first", "second", None)]
    contents = []
    for file in found:
        assert file is not None
        with file:
            contents.append(file.read())
    assert contents == [b"seen first", b"seen second", b"where the loop stopped"]
    assert files.estimate(ID, "third") is None
    assert files.kept(ID) == [], "latents are no proofs"
    assert {latents_of(path.name) for path in (root / PROOFS).iterdir()} == {ID}


def test_an_estimate_that_cannot_be_written_leaves_the_one_before(files: ProofFiles) -> None:
    files.keep_estimate(ID, "first", lambda file: file.write(b"whole"))

    def _fail(file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        files.keep_estimate(ID, "first", _fail)
    found = files.estimate(ID, "first")
    assert found is not None
    with found:
        assert found.read() == b"whole"


def test_a_version_is_another_where_size_or_time_are() -> None:
    versions = {version_of(size, mtime) for size, mtime in ((1, 2), (2, 1), (12, 1), (1, 21), (121, 0))}
    assert len(versions) == 5
    assert version_of(1, 2) == version_of(1, 2)
    assert all(len(version) == 12 and "." not in version for version in versions)


def test_the_whole_of_a_file_is_compared_and_it_is_left_at_its_beginning(files: ProofFiles, root: Path) -> None:
    large = bytes((1 << 20) + 1)
    _show(files, root, large, "first")
    same, other = io.BytesIO(large), io.BytesIO(bytes(1 << 20) + b"\1")
    same.seek(5)
    assert files.was_shown(same)
    assert same.tell() == 0
    assert not files.was_shown(other)


def test_a_file_of_another_size_is_somebodys_and_is_not_read_however_large_it_is(files: ProofFiles, root: Path) -> None:
    _show(files, root, SHOWN, "first")
    _place(root).unlink()
    with _place(root).open("wb") as endless:
        endless.truncate(1 << 40)
    began = time.monotonic()
    assert files.shown_as(_place(root), ID) is None
    assert not files.take_away(_place(root), ID)
    assert time.monotonic() - began < 5


def test_of_many_versions_the_last_ones_are_kept(files: ProofFiles, root: Path) -> None:
    for number in range(MOST_VERSIONS + 5):
        files.keep_estimate(ID, f"v{number}", lambda file: file.write(b"latents"))
        _show(files, root, SHOWN + str(number).encode(), f"v{number}")
    kept = files.kept(ID)
    assert len(kept) == MOST_VERSIONS
    assert kept[-1].version == f"v{MOST_VERSIONS + 4}"
    assert {one.version for one in kept} == {f"v{number}" for number in range(5, MOST_VERSIONS + 5)}
    assert files.estimate(ID, "v0") is None
