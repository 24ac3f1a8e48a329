"""The transitions in which a job ends: published, failed, or given back; each in steps that can be repeated.

Each may be stopped by a crash between any two calls and is then run again from its start by the next daemon, so each
step asks the folders what is left to do: an output gone from out/ is published, a member gone from in/ is archived, a job
without in/ has delivered its failure. `back.N` is the folder in/ of a job that is being given back under the Nth free name: the
rename is the decision, and needs no free space on the disk.
"""

import errno
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from daemon import layout, names
from daemon.beneath import FolderMissing
from daemon.errors import in_words
from daemon.inbox.grouping import Mark
from daemon.spool import records
from daemon.spool.filesystem import Filesystem
from daemon.spool.owners import Owners
from daemon.spool.places import inside
from daemon.spool.records import ClaimRecord, Failure, Publication

IN = "in"
OUT = "out"
BACK = "back."
THROWN = ".thrown"  # ends the name of a folder in .trash/ whose files are to go too
MOST_OWN = 10_000  # results that are remembered

log = logging.getLogger(__name__)


def is_job(names_in_it: Iterable[str]) -> bool:
    """Whether a folder with these names in it may be one of a job."""
    return all(
        name in {IN, OUT} or name.startswith(BACK) or name.removeprefix(".").removesuffix(".part") in records.RECORDS
        for name in names_in_it
    )


@dataclass(frozen=True)
class Delivered:
    """What one call of `publish` has moved: the outputs, and the members by role."""

    published: list[Path]
    archived: Mapping[str, Path]


class Transitions:
    """The final transitions of the jobs of a spool."""

    def __init__(self, root: Path, fs: Filesystem) -> None:
        self.root = root
        self._appearing: dict[Path, threading.Lock] = {}  # by folder
        self.owners = Owners(root, fs)
        self._noting = threading.Lock()
        self._own: dict[tuple[int, int], tuple[int, int]] = {}  # device, inode -> size, mtime_ns
        self._fs = fs

    @contextmanager
    def settled(self, folders: Iterable[Path]) -> Iterator[None]:
        """Within the block no output of another thread's appears in these folders, and all that have are durable."""
        with ExitStack() as stack:
            for folder in sorted(set(folders)):
                stack.enter_context(self._appearing.setdefault(folder, threading.Lock()))
            yield

    def publish(self, job: Path, record: ClaimRecord, commit: tuple[list[Publication], str]) -> Delivered:
        """Publish what is still in out/, archive what is still in in/, and clear the job away."""
        publications, day = commit
        folders = list(dict.fromkeys(inside(self.root, publication.folder) for publication in publications))
        with self.settled(folders):
            published = [path for publication in publications if (path := self._publish(job, publication, record.owner))]
            for folder in folders:
                self._fs.fsync_folder(folder, "publish: the outputs in their places")
            self._fs.fsync_folder(inside(job, OUT), "publish: out/ that they left")
        archived = self._archive(job, record, inside(self.root, f"{layout.DONE}/{day}"))
        self.discard(job)
        return Delivered(published, archived)

    def _publish(self, job: Path, publication: Publication, owner: int | None) -> Path | None:
        folder, output = inside(self.root, publication.folder), inside(job, OUT, publication.source)
        self._note_own(output, owner)
        try:
            return self.move(output, folder, publication.name)
        except FolderMissing:
            self.ensure(folder)  # a person may have deleted it
            return self.move(output, folder, publication.name)

    def _note_own(self, output: Path, owner: int | None) -> None:
        """Remember what an output is like, and for whom it was made, while nobody else can have touched it."""
        with suppress(FileNotFoundError):  # published before a crash
            st = self._fs.lstat(output)
            with self._noting:
                while len(self._own) >= MOST_OWN:
                    del self._own[next(iter(self._own))]
                self._own[st.st_dev, st.st_ino] = (st.st_size, st.st_mtime_ns)
                self.owners.record(st.st_ino, owner)

    def is_own(self, mark: Mark) -> bool:
        """Whether a file is as this daemon published it: a rename into place is whole, and any writing shows in size or time."""
        return self._own.get(mark[:2]) == mark[2:4]

    def _archive(self, job: Path, record: ClaimRecord, done: Path) -> dict[str, Path]:
        self.ensure(done)
        left, number = record.names, 1
        if len(left) > 1:  # all get the same number
            left = {role: name for role, name in left.items() if self.exists(inside(job, IN, name))}
            number = self.free_number((inside(done, name) for name in left.values()), record.stem)
        archived = {
            role: self.move(inside(job, IN, name), done, name, number=number, stem=record.stem) for role, name in left.items()
        }
        self._fs.fsync_folder(done, "archive: the members in done/")
        self._fs.fsync_folder(inside(job, IN), "archive: in/ that they left")
        return {role: path for role, path in archived.items() if path is not None}

    def fail(self, job: Path, failure: Failure) -> Path | None:
        """Put the members into failed/ with their reports, by one rename; None when a call before this one did."""
        holder = self.holder(job)
        if holder is None:
            delivered = None
        else:
            records.write_text(self._fs, holder, failure.sentence_name, failure.text)
            records.write_text(self._fs, holder, failure.facts_name, records.as_text(failure.facts))
            self._fs.fsync_folder(holder, "fail: the reports")
            folder = self.root / failure.folder
            self.ensure(folder)
            delivered = self.move(holder, folder, failure.name)
            self._fs.fsync_folder(folder, "fail: the members in failed/")
        self.wipe_outputs(job)
        self.discard(job)
        return delivered

    def give_back(self, job: Path, record: ClaimRecord, inbox: Path) -> None:
        """Put the members back under their names, all with the same number where one of them is taken: each to where it waited,
        the inbox of the stage for most."""
        waited = {role: self.root / place for role, place in record.places.items()}
        homes = {name: waited.get(role, inbox) for role, name in record.names.items()}
        for folder in dict.fromkeys(waited.values()):
            self.ensure(folder)  # a person may have deleted it, since the claim left nothing there
        holder = self._turn_back(job, record, homes)
        number = int(holder.name.removeprefix(BACK))
        # The principal last: it must not start without its companions.
        for name, folder in reversed(homes.items()):
            self.move(holder / name, folder, name, number=number, stem=record.stem)
        for folder in dict.fromkeys(homes.values()):
            self._fs.fsync_folder(folder, "give back: the members in their inbox")
        self._fs.fsync_folder(holder, "give back: back.N that they left")
        self.wipe_outputs(job)
        self.discard(job)

    def _turn_back(self, job: Path, record: ClaimRecord, homes: Mapping[str, Path]) -> Path:
        holder = self.holder(job) or job / IN
        if holder.name != IN:
            return holder
        # Members that a broken claim left behind are no strangers there: only those that came here need a name.
        number = self.free_number((homes[name] / name for name in self._fs.list(holder) if name in homes), record.stem)
        back = job / f"{BACK}{number}"
        self._fs.rename(holder, back)
        self._fs.fsync_folder(job, "give back: the decision")
        return back

    def holder(self, job: Path) -> Path | None:
        """The folder of a job that holds its members, or None when they have left."""
        for name in self._fs.list(job):
            if name == IN or name.startswith(BACK):
                return job / name
        return None

    def wipe_outputs(self, job: Path) -> None:
        """Delete what an attempt made that was not committed, durably: what is still in out/ later counts as not published."""
        if self.exists(inside(job, OUT)):
            for name in self._fs.list(inside(job, OUT)):
                self._fs.unlink(inside(job, OUT, name))
            self._fs.fsync_folder(inside(job, OUT), "wipe: out/")

    def discard(self, job: Path) -> None:
        """Clear a job away whose files have all gone elsewhere."""
        trash = inside(self.root, layout.TRASH)
        self._fs.rename(job, inside(trash, job.name))
        self._fs.fsync_folder(trash, "discard: the job in .trash/")
        self._fs.fsync_folder(job.parent, "discard: .work/ that it left")
        self._delete(inside(trash, job.name))

    def throw_away(self, folder: Path) -> None:
        """Delete a folder with the files in it; what a crash leaves of it goes with the trash."""
        trash = self.root / layout.TRASH / names.fitted(folder.name, THROWN)
        self._fs.rename_noreplace(folder, trash)
        self._delete(trash, whole=True)

    def empty_trash(self) -> None:
        """Delete the jobs that a crash left half deleted."""
        for name in sorted(self._fs.list(self.root / layout.TRASH)):
            try:
                self._delete(self.root / layout.TRASH / name, whole=name.endswith(THROWN))
            except OSError as error:
                log.error("%s could not be deleted and stays: %s", self.root / layout.TRASH / names.shown(name), in_words(error))

    def _delete(self, job: Path, *, whole: bool = False) -> None:
        """Delete the records of a job, but only once its folders are seen to be empty: rmdir is the proof.

        All are looked at before one goes: a job that is not over, whoever has moved it here, must be whole when it is moved back.
        And only records are deleted: where a folder of people's was put in the place of the trash, its files stay. Only what was
        thrown away on purpose goes as a `whole`.
        """
        kinds = self._fs.kinds(job)
        folders = [inside(job, name) for name, is_folder in kinds.items() if is_folder]
        if not (whole or is_job(kinds)) or any(self._fs.list(folder) for folder in folders):
            log.error("%s still holds files and is kept; look at them and delete it by hand", job)
            return
        for folder in folders:
            self._fs.rmdir(folder)
        for name in (name for name, is_folder in kinds.items() if not is_folder):
            self._fs.unlink(inside(job, name))
        self._fs.rmdir(job)

    def move(self, source: Path, folder: Path, name: str, *, number: int = 1, stem: str | None = None) -> Path | None:
        """Rename into a folder under the name, or the next number of it that is free; None if the source is not there any more."""
        for n in count(number):
            target = folder / names.numbered(name, n, stem=stem)
            try:
                self._fs.rename_noreplace(source, target)
            except FileExistsError:
                continue
            except FolderMissing:
                raise
            except FileNotFoundError:
                if self.exists(source):
                    raise
                return None
            return target
        raise AssertionError("counting does not end")

    def free_number(self, paths: Iterable[Path], stem: str) -> int:
        """The first number under which all the names are free, each in its folder."""
        wanted = list(paths)
        for number in count(1):
            if not any(self.exists(path.with_name(names.numbered(path.name, number, stem=stem))) for path in wanted):
                return number
        raise AssertionError("counting does not end")

    def ensure(self, folder: Path) -> None:
        """Make a folder, and the folders above it, where they are missing."""
        with suppress(FolderMissing):
            if self.exists(folder):
                return
        if folder == self.root:
            raise FolderMissing(errno.ENOENT, "the spool is away", str(folder))
        self.ensure(folder.parent)
        with suppress(FileExistsError):
            self._fs.mkdir(folder)
        self._fs.fsync_folder(folder.parent, "a folder that was missing: its place")

    def exists(self, path: Path) -> bool:
        """Whether anything at all is at the path. Raises FolderMissing where its folder is away, as when the spool is unmounted."""
        try:
            self._fs.lstat(path)
        except FolderMissing:
            raise
        except FileNotFoundError:
            return False
        return True
