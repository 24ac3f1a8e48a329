"""The spool: jobs are claimed, committed, published, archived and failed by moving files, so that no crash loses or doubles one.

Two renames decide. The claim moves the dropped files into `.work/JOB/in/`: from there on they are this job's. The commit puts
`.work/JOB/commit.json` in place: before it a crash rolls back to the claimed files, after it only forward. An output that is
gone from `.work/JOB/out/` has been published, which is why nothing is ever published but by a rename that replaces nothing.

    a job in .work/ holds              what `recover` does
    no claim.json, no members          deletes it: the files never left their inbox
    claim.json, not all members        gives back those that came, each to where it waited
    claim.json, all members            runs it again, while attempt.json counts fewer than `max_attempts`; else failed/
    back.N                             goes on giving back
    fail.json                          goes on to failed/
    commit.json                        publishes what is in out/, archives what is in in/
    a record that cannot be read       failed/, with everything that is there

Nothing here knows what is in the files. All calls go through `Filesystem` and may raise OSError: then nothing is lost, and the
call, or `recover`, may be repeated.
"""

import errno
import itertools
import logging
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from daemon import layout, names
from daemon.beneath import FolderMissing
from daemon.errors import AnotherDaemon, Kind, in_words
from daemon.inbox.grouping import Drop, Mark, Member
from daemon.names import stem_of
from daemon.spool import failures, folders, holds, lock, ordering, records
from daemon.spool.atomic import atomic_write
from daemon.spool.claims import Claim, record_of_drop
from daemon.spool.filesystem import Filesystem
from daemon.spool.places import inside
from daemon.spool.recent import RecentDrop, RecentDrops, RecentFile, digest_of, paths_of
from daemon.spool.records import ClaimRecord, DamagedRecord, Failure, Fingerprint, Publication, fingerprint_of
from daemon.spool.transitions import IN, OUT, Transitions, is_job
from daemon.stages import PROOF_ENDINGS, STAGES

__all__ = ["Claim", "Filesystem", "Publication", "Recovery", "Spool", "stem_of"]

TIME_OF_JOB = "%Y%m%dT%H%M%SZ"  # of its claim, at the start of its name

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovery:
    """What `recover` found: the claims to be run again, oldest first, and the jobs that stay in .work/ for now, each with why."""

    claims: list[Claim]
    stuck: dict[str, OSError]


class Spool:
    """One spool on one filesystem. `folders` maps the name of a stage to that of its inbox: {"text": "1-text", ...}."""

    def __init__(self, root: Path, folders: Mapping[str, str], *, fs: Filesystem | None = None, max_attempts: int = 2) -> None:
        self.root = root
        self.max_attempts = max_attempts
        self._folders = dict(folders)
        self._fs = fs or Filesystem(root)
        self._transitions = Transitions(root, self._fs)
        self.recent = RecentDrops(root, self._fs)
        self._work = root / layout.WORK
        self._locks: list[int] = []
        self._locked: lock.Locked | None = None
        self._numbers = itertools.count(1)
        self._last_seen: dict[str, dict[str, Fingerprint]] = {}
        self._undelivered: dict[str, Failure] = {}
        self._unreturned: set[str] = set()
        self._may_be_written: dict[str, bool] = {}  # of the jobs whose files were looked at
        self._begun: dict[str, int] = {}
        self._committed: dict[str, tuple[list[Publication], str]] = {}

    def inbox(self, stage: str) -> Path:
        """Where files for a stage are dropped."""
        return self.root / layout.INBOX / self._folders[stage]

    def hold(self, stage: str) -> Path:
        """Where files for a stage wait for a person."""
        return self.root / layout.HOLD / self._folders[stage]

    def create(self) -> None:
        """Make every folder of the spool that is missing."""
        folders.create(self._fs, self.root, self._folders)

    def check(self) -> None:
        """Raise SpoolError, with a sentence, where the folders cannot keep the spool's promises."""
        folders.check(self._fs, self.root, self._folders)

    def acquire(self) -> None:
        """Become the one daemon of this spool until `release`. Raises AnotherDaemon when another is."""
        lock_was_there = lock.looked_at(self._fs, self.root) is not None
        self._locks = [lock.lock(self._fs, self.root)]
        self._locked = lock.looked_at(self._fs, self.root)
        self._transitions.owners.read()
        self.recent.read()
        try:
            alive = lock.mark_alive(self._fs, self.root, lock_was_there=lock_was_there)
        except AnotherDaemon:
            self.release()
            raise
        self._locks += [] if alive is None else [alive]
        self._fs.keep_folders()

    def spare_syncs(self, *, trusts_order: bool) -> str | None:
        """Wait less for the disk where its filesystem keeps the order of changes, and least if that is to be trusted for all.

        Else why it does not, in words, and nothing changes.
        """
        why = ordering.why_unordered(self._fs, self.root)
        if why is None:
            self._fs.leave_out(ordering.LEFT_OUT if trusts_order else ordering.SPARED)
        return why

    def is_still_ours(self) -> bool:
        """Whether no other daemon can have the spool: the lock that `acquire` took still has its name."""
        return lock.is_still_ours(self._fs, self.root, self._locked)

    def release(self) -> None:
        """Let another daemon have the spool."""
        self._fs.let_folders_go()
        while self._locks:
            self._fs.unlock(self._locks.pop())

    def claim(self, stage: str, drop: Drop, *, principal_last: bool = False) -> Claim | None:
        """Take the files of a drop; None, with nothing taken, when one of them is gone meanwhile."""
        identity, at = self._fs.new_id(), self._fs.now()
        job = inside(self._work, f"{at:{TIME_OF_JOB}}-{next(self._numbers):06d}-{identity}")
        record = record_of_drop(stage, drop, identity, root=self.root, inbox=self.inbox(stage))
        try:
            self._open_job(job, record)
            taken = self._take(job, drop, drop.members[::-1] if principal_last else drop.members)
        except OSError:
            with suppress(OSError):  # the first error is the one to report; what cannot be undone now, `recover` undoes
                self._abandon(job, record)
            raise
        if not taken:
            self._abandon(job, record)
            return None
        return self._claim_of(job, record, at.timestamp())

    def _open_job(self, job: Path, record: ClaimRecord) -> None:
        self._fs.mkdir(job)
        self._fs.fsync_folder(self._work, "claim: the job")
        self._fs.mkdir(inside(job, IN))
        records.write_claim(self._fs, job, record)

    def _take(self, job: Path, drop: Drop, in_order: Sequence[Member]) -> bool:
        folders = list(dict.fromkeys(member.path.parent for member in drop.members))
        # None is taken before it is durable. That it was taken may become so beside other claims, which come many at a time.
        with self._transitions.settled(folders):
            if not all(self._took(job, member) for member in in_order):
                return False
        self._fs.fsync_folder(inside(job, IN), "claim: the members in in/")
        for folder in folders:
            self._fs.fsync_folder(folder, "claim: the inbox they left")
        return True

    def _took(self, job: Path, member: Member) -> bool:
        taken = inside(job, IN, member.path.name)
        try:
            self._fs.rename(member.path, taken)
        except FileNotFoundError:
            return False
        # A folder may have taken the file's name since the scan.
        return not stat.S_ISDIR(self._fs.lstat(taken).st_mode)

    def _abandon(self, job: Path, record: ClaimRecord) -> None:
        if not self._is_in_work(job):
            return
        if self._transitions.holder(job) is None:
            self._transitions.discard(job)
        else:
            self._transitions.give_back(job, record, self.inbox(record.stage))

    def _claim_of(self, job: Path, record: ClaimRecord, at: float) -> Claim:
        self._last_seen[job.name] = dict(record.fingerprints)
        attempts = records.read_attempts(self._fs, job, if_unreadable=self.max_attempts - 1)
        members = {role: inside(job, IN, name) for role, name in record.names.items()}
        claim = Claim(**vars(record), job=job.name, members=members, attempts=attempts)
        self.recent.begin(claim, at)
        return claim

    def is_own(self, mark: Mark) -> bool:
        """Whether a file, by what it is like, is a result of this daemon's as it was published, so that it is whole."""
        return self._transitions.is_own(mark)

    def owner_of(self, st: os.stat_result) -> int | None:
        """Who dropped a file, or that from which the daemon made it, as a user id; None where that is not known."""
        return self._transitions.owners.of(st)

    def is_stable(self, claim: Claim) -> bool | None:
        """Whether the members may be read: no writer holds one, and none changed since it was scanned or since the last call.

        None where none changed and the system cannot say whether a writer holds one. A program that had a file open when it was
        claimed goes on writing into it here; ask again after the stage's settle time.
        """
        before = self._last_seen.get(claim.job, {})
        now: dict[str, Fingerprint] = {}
        writers: list[bool | None] = []
        for role, path in claim.members.items():
            st = self._fs.lstat(path)
            now[role] = fingerprint_of(st)
            writers.append(self._fs.is_being_written(path) if stat.S_ISREG(st.st_mode) else False)
        self._last_seen[claim.job] = now
        self._may_be_written[claim.job] = None in writers
        if now != before or True in writers:
            return False
        return None if None in writers else True

    def fingerprints(self, claim: Claim) -> dict[str, Fingerprint]:
        """What the members were like by role at the last look: the same for a file that goes back and is claimed again."""
        return dict(self._last_seen.get(claim.job, {}))

    def note_contents(self, claim: Claim) -> None:
        """Note what is in the members before they are read, as `is_as_noted` asks for it. InUse as for `opened`."""
        marks = self.fingerprints(claim)
        # Now: once they lie in done/, somebody may take them away before anything is remembered of them.
        born = {role: self.born(path) for role, path in claim.members.items()}
        self.recent.note(claim.job, marks, {role: self.digest(path) for role, path in claim.members.items()}, born)

    def is_as_noted(self, claim: Claim) -> bool:
        """Whether in the members is still what was noted: somebody may have had one open, and nobody could say so."""
        noted = self.recent.running(claim.job)
        if noted is None:
            return False
        files = [(path, noted.members[role]) for role, path in claim.members.items()]
        if not self._may_be_written.get(claim.job) and all(
            fingerprint_of(self._fs.lstat(path)) == file.mark for path, file in files
        ):
            return True
        return all(self._is_still(path, file) for path, file in files)

    def _is_still(self, path: Path, file: RecentFile) -> bool:
        """Whether a file holds what it held; of one that is too large to be read for that, its time and size tell."""
        return fingerprint_of(self._fs.lstat(path)) == file.mark if file.sha256 is None else self.digest(path) == file.sha256

    def digest(self, path: Path) -> str | None:
        """The SHA-256 of what is in a regular file; None where it is too large to be read for that."""
        with self._fs.plain(path) as file:
            return digest_of(file)

    @contextmanager
    def opened(self, claim: Claim) -> Iterator[Mapping[str, BinaryIO]]:
        """The members by role, open for reading within the block. InUse where another program holds a lease on one."""
        with ExitStack() as stack:
            yield {role: stack.enter_context(self._fs.plain(path)) for role, path in claim.members.items()}

    def modes(self, claim: Claim) -> dict[str, int]:
        """What the members are by role, as `st_mode` says it: one may have been replaced since the scan."""
        return {role: self._fs.lstat(path).st_mode for role, path in claim.members.items()}

    def begin_attempt(self, claim: Claim) -> int:
        """Count the attempt, durably, and empty out/; the number of this attempt, from 1. Nothing may be computed before it."""
        job = self._open(claim)
        attempt = records.read_attempts(self._fs, job, if_unreadable=self.max_attempts - 1) + 1
        self._begun[claim.job] = attempt
        records.write_attempts(self._fs, job, attempt)
        try:
            self._fs.mkdir(inside(job, OUT))
        except FileExistsError:
            self._transitions.wipe_outputs(job)
        return attempt

    def mark_dispatched(self, claim: Claim) -> None:
        """Record that its files were read without harm and a worker has the job, whose death the daemon survives and counts.

        If the daemon dies from now on while the machine lives, somebody else killed it, and the attempt does not count. So the
        record must outlive the daemon, but not the machine.
        """
        records.write_dispatched(self._fs, inside(self._work, claim.job), self._begun[claim.job], boot=self._fs.boot())

    def clear_dispatched(self, claim: Claim) -> None:
        """Record that the job has come back from its worker: from here on a death of the daemon may be this job's fault again."""
        records.clear_dispatched(self._fs, inside(self._work, claim.job))

    def discount_attempt(self, claim: Claim) -> None:
        """Record that the running attempt is not to be counted, for a daemon that has to end while the job's thread hangs.

        It may be called beside that thread, which may wake at any moment: the record is that of `mark_dispatched`, it moves no
        file, and where the job is committed, fails or goes back meanwhile nobody asks for it.
        """
        job, attempt = inside(self._work, claim.job), self._begun.get(claim.job)
        if attempt is not None and not self._transitions.exists(inside(job, records.COMMIT)):
            records.write_dispatched(self._fs, job, attempt, boot=self._fs.boot())

    @contextmanager
    def create_output(self, claim: Claim, name: str) -> Iterator[BinaryIO]:
        """A file to write one output into; it is out/NAME, complete and durable, when the block ends without an error."""
        if not names.is_plain(name) or name.startswith("."):
            raise ValueError(f"{name!r} cannot be the name of an output: one plain name without a leading dot was expected.")
        with atomic_write(self._fs, inside(self._work, claim.job, OUT, name), "output: content", replaces=False) as file:
            yield file

    def commit(self, claim: Claim, publications: Sequence[Publication]) -> None:
        """Decide what is published where. Every output must be named once; from here on the job only goes forward."""
        job = self._open(claim)
        made = set(self._fs.list(inside(job, OUT)))
        for part in [name for name in made if name.startswith(".")]:
            self._fs.unlink(inside(job, OUT, part))
        outputs = sorted(name for name in made if not name.startswith("."))
        if outputs != sorted(publication.source for publication in publications):
            raise ValueError(f"{claim.job} made {outputs}, but would publish {[p.source for p in publications]}.")
        self._fs.fsync_folder(inside(job, OUT), "commit: the outputs in out/")
        self._fs.fsync_folder(job, "commit: out/ itself")
        day = self._fs.now().astimezone().date().isoformat()
        records.write_commit(self._fs, job, list(publications), day)
        self._committed[claim.job] = (list(publications), day)

    def finish(self, claim: Claim) -> list[Path]:
        """Publish the outputs, archive the members in done/, clear the job away; the paths that this call published.

        After an error it may be called again; a job that is already over publishes nothing.
        """
        job = inside(self._work, claim.job)
        if not self._is_in_work(job):
            return []
        if (commit := self._committed.get(claim.job)) is None:
            raise RuntimeError(f"{claim.job} was to be finished before it was committed.")
        delivered = self._transitions.publish(job, claim, commit)
        self._remember(claim, delivered.archived, used=True)
        self._forget(claim.job)
        self._clear_earlier_failures(claim)
        return delivered.published

    def fail(self, claim: Claim, sentence: str, facts: Mapping[str, Any]) -> Path:
        """Put the members into failed/INBOX/STEM.ID/ with error.txt (the sentence and the way back) and error.json (the facts).

        After an error, of a full disk say, the next `recover` of this spool goes on with it.
        """
        job = self._open(claim)
        times = {"at": self._fs.now().isoformat(), "attempts": self._begun.get(claim.job, claim.attempts)}
        failure = failures.failure_of(
            claim, self._folders[claim.stage], sentence, {**times, **facts}, original=self._original_of(claim)
        )
        self._undelivered[claim.job] = failure
        records.write_failure(self._fs, job, failure)
        failed = self._transitions.fail(job, failure) or self.root / failure.folder / failure.name
        self._remember(claim, {role: failed / name for role, name in claim.names.items()}, used=False)
        self._forget(claim.job)
        self._clear_earlier_failures(claim)
        return failed

    def _remember(self, claim: Claim, files: Mapping[str, Path], *, used: bool) -> None:
        """Remember files that were used, as they were read; and those that have failed while they were empty, or may be written."""
        noted, marks = self.recent.running(claim.job), self._last_seen.get(claim.job, {})
        if noted is None or files.keys() != noted.members.keys() or claim.job not in self._may_be_written:
            return  # an earlier call has moved some of them, or nobody has looked at them
        members = {
            role: replace(file, lies=files[role].name, mark=file.mark if file.sha256 else marks[role])
            for role, file in noted.members.items()
        }
        place, late = next(iter(files.values())).parent.relative_to(self.root).as_posix(), self._may_be_written[claim.job]
        drop = replace(noted, place=place, late=late, members=members)
        if all(file.sha256 for file in members.values()) if used else late or drop.is_empty:
            self.recent.add(drop)

    def _clear_earlier_failures(self, claim: Claim) -> None:
        """Take away what is left in failed/ of a drop that somebody moved out of there, and that has run again."""
        with suppress(OSError):  # the next time, or the retention
            failures.clear_emptied(self._transitions, self._fs, claim)

    def _original_of(self, claim: Claim) -> str | None:
        """The name of the original that is kept of the latents that a job is about, by its usual name."""
        name = claim.names["principal"]
        stage = STAGES.get(claim.stage)
        if stage is None or PROOF_ENDINGS[0] not in stage.companions:
            return None  # where no latents are taken, nobody edited them
        identity = None if names.is_proof(name) else names.id_of(name)
        usual = names.output_name(names.stem_of(name), identity, ".tiff") if identity else None
        return usual if usual and self._transitions.exists(self.root / layout.KEEP / usual) else None

    def give_back(self, claim: Claim) -> None:
        """Put the members back to where they waited, as if they had never been claimed; the attempts do not count.

        After an error the next `recover` of this spool goes on with it.
        """
        self._unreturned.add(claim.job)
        job = self._open(claim)
        self._transitions.give_back(job, claim, self.inbox(claim.stage))
        self._forget(claim.job)

    def _open(self, claim: Claim) -> Path:
        """The folder of a job that is not decided yet; a job that is has no way back."""
        job = inside(self._work, claim.job)
        try:
            committed = self._transitions.exists(inside(job, records.COMMIT))
        except FolderMissing:
            if self._is_in_work(job):
                raise
            raise RuntimeError(f"{claim.job} is over: its files have left .work/.") from None
        if committed:
            raise RuntimeError(f"{claim.job} is committed and can only be finished.")
        return job

    def _is_in_work(self, job: Path) -> bool:
        """Whether a job is not over. Raises OSError where `.work` itself has been moved away, which says nothing of its jobs."""
        return self._transitions.exists(job)

    def _forget(self, job: str) -> None:
        self._last_seen.pop(job, None)
        self._undelivered.pop(job, None)
        self._unreturned.discard(job)
        self._may_be_written.pop(job, None)
        self.recent.end(job)
        self._begun.pop(job, None)
        self._committed.pop(job, None)

    def recover(self, *, in_flight: Collection[str] = ()) -> Recovery:
        """Bring every job in .work/ to where it belongs, but those `in_flight`.

        A job that cannot be recovered now stays where it is and stops no other. May be called at any time, and again.
        """
        recovery = Recovery([], {})
        for name in sorted(set(self._fs.list(self._work)) - set(in_flight)):
            try:
                claim = self._recover_job(self._work / name)
            except OSError as error:
                where, why = self._work / names.shown(name), in_words(error)
                log.error("%s could not be recovered and stays where it is, will retry: %s", where, why)
                if not _is_of_a_stray(error, self._work / name):
                    recovery.stuck[name] = error
            else:
                recovery.claims.extend([claim] if claim else [])
        failures.throw_emptied(self._fs, self.root)
        self._transitions.empty_trash()
        return recovery

    def _recover_job(self, job: Path) -> Claim | None:
        try:
            failure = records.read_failure(self._fs, job)
            if failure is None and (failure := self._undelivered.get(job.name)):
                records.write_failure(self._fs, job, failure)
            if failure is not None:
                self._transitions.fail(job, failure)
                self._forget(job.name)
                return None
            record = records.read_claim(self._fs, job)
            if record is None:
                self._recover_unclaimed(job)
                return None
            return self._recover_claimed(job, record)
        except DamagedRecord as error:
            self._quarantine(job, f"The daemon's notes on this job could not be read ({error})")
            return None

    def _recover_unclaimed(self, job: Path) -> None:
        if not is_job(self._fs.list(job)):
            raise NotADirectoryError(errno.ENOTDIR, "not the folder of a job", str(job))
        holder = self._transitions.holder(job)
        if holder is not None and self._fs.list(holder):
            raise DamagedRecord(f"{records.CLAIM} is missing")
        self._transitions.discard(job)

    def _recover_claimed(self, job: Path, record: ClaimRecord) -> Claim | None:
        commit = records.read_commit(self._fs, job)
        if commit is not None:
            self._transitions.publish(job, record, commit)
            self._forget(job.name)
            return None
        if record.stage not in self._folders:
            raise DamagedRecord(f"{records.CLAIM} names the stage {record.stage}, which is not configured")
        if job.name in self._unreturned or not self._is_whole(job, record):
            self._abandon(job, record)
            self._forget(job.name)
            return None
        self._uncount_attempt(job)
        claim = self._claim_of(job, record, _claimed_at(job.name))
        if claim.attempts < self.max_attempts:
            return claim
        times = "once" if claim.attempts == 1 else f"{claim.attempts} times"
        sentence = f"{names.shown(record.stem)} was started {times}, and each time the daemon ended before it was done."
        self.fail(claim, f"{sentence} It is kept here so that it cannot stop the daemon again.", {"kind": Kind.CRASHED})
        return None

    def _is_whole(self, job: Path, record: ClaimRecord) -> bool:
        holder = self._transitions.holder(job)
        return holder is not None and holder.name == IN and set(self._fs.list(holder)) == set(record.names.values())

    def _uncount_attempt(self, job: Path) -> None:
        """Take a dispatched attempt off the count where only the daemon ended: kills and stops of it must not fail good jobs."""
        attempts, boot = records.read_attempts(self._fs, job, if_unreadable=self.max_attempts - 1), self._fs.boot()
        if boot and records.read_dispatched(self._fs, job) == (attempts, boot):
            records.write_attempts(self._fs, job, attempts - 1)
        # A crash before this line does no harm: the record is of an attempt that is no longer the last one.
        records.clear_dispatched(self._fs, job)

    def _quarantine(self, job: Path, why: str) -> None:
        """Fail a job whose records are damaged, with all that is there: nobody knows whether results were published."""
        sentence = f"{why}, so it is not known whether it was done; look for its results before you try again."
        log.error("%s: moved to failed/: %s", job.name, sentence)
        failure = failures.failure_of_unknown(job.name, sentence)
        with suppress(DamagedRecord):
            record = records.read_claim(self._fs, job)
            if record is not None and record.stage in self._folders:
                failure = failures.failure_of(
                    record, self._folders[record.stage], sentence, {"kind": Kind.DAMAGED, "job": job.name}
                )
        self._keep_results(job)
        records.write_failure(self._fs, job, failure)
        self._transitions.fail(job, failure)

    def _keep_results(self, job: Path) -> None:
        """Let the outputs go to failed/ with the members: some may be all that is left of them."""
        if not self._transitions.exists(inside(job, OUT)) or not self._fs.list(inside(job, OUT)):
            return
        holder = self._transitions.holder(job)
        if holder is None:
            holder = inside(job, IN)
            self._fs.mkdir(holder)
        self._transitions.move(inside(job, OUT), holder, failures.RESULTS)

    def retry(self, failed: Path) -> list[Path]:
        """Move the files of a failed job back to where they waited, with or without a daemon; the new paths. Raises NotThere."""
        return failures.retry(self._transitions, self._fs, failed)

    def marks_of(self, drop: RecentDrop) -> dict[str, Fingerprint]:
        """What the files of a job that is over are like now, by role; none of those that do not lie there any more."""
        found: dict[str, Fingerprint] = {}
        for role, path in paths_of(drop, self.root):
            with suppress(FileNotFoundError):
                found[role] = fingerprint_of(self._fs.lstat(path))
        return found

    def is_in_place(self, drop: RecentDrop) -> bool:
        """Whether all files of a job that is over still lie where it has put them."""
        return self.marks_of(drop).keys() == drop.members.keys()

    def born(self, path: Path) -> int | None:
        """When a file was made, in nanoseconds of the epoch, which a move leaves as it is; None where the system does not say."""
        return self._fs.born(path)

    def is_being_written(self, path: Path) -> bool | None:
        """Whether somebody holds a file of the spool to write into it; None where the system cannot say."""
        return self._fs.is_being_written(path)

    def take_back(self, drop: RecentDrop) -> None:
        """Move the files of a job that is over back into their inbox. Raises OSError or NotThere where they have gone."""
        self.recent.forget(drop)
        if drop.has_failed:
            self.retry(self.root / drop.place)
        elif (claim := self._claim_again(drop)) is not None:
            self.give_back(claim)

    def withdraw(self, drop: RecentDrop) -> bool:
        """Put the files of a job that has failed because they were empty into done/; False where there is more by now."""
        self.recent.forget(drop)
        failed = self.root / drop.place
        if not failures.is_of_empty_files(self._fs, failed, [file.lies for file in drop.members.values()]):
            return False
        claim = self._claim_again(drop)
        if claim is None:
            return False
        self.is_stable(claim)
        self.note_contents(claim)
        filled = any(size for _, size, _ in self.fingerprints(claim).values())
        if filled:
            self.give_back(claim)
        else:
            self.begin_attempt(claim)
            self.commit(claim, [])
            self.finish(claim)
        failures.clear_reports(self._fs, failed)
        return not filled

    def _claim_again(self, drop: RecentDrop) -> Claim | None:
        """Take the files of a job that is over once more, from where they lie."""
        members = []
        for role, path in paths_of(drop, self.root):
            st = self._fs.lstat(path)
            members.append(Member(role, path, (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)))
        owner = self.owner_of(self._fs.lstat(members[0].path))
        # So that after a crash it does not start without its companions.
        return self.claim(drop.stage, Drop(tuple(members), drop.stem, owner), principal_last=True)

    def release_hold(self, path: Path) -> Path:
        """Move a file from hold/ to the inbox of its stage, its companions with it; the new path. Raises NotThere."""
        return holds.release(self._transitions, self._fs, path, self._folders)

    def move_to_hold(self, path: Path) -> Path:
        """Move a file that waits in an inbox to hold/, its companions with it; the new path. Raises NotThere."""
        return holds.move_to_hold(self._transitions, self._fs, path, self._folders)


def _claimed_at(job: str) -> float:
    """When a job was claimed, in seconds of the epoch; the beginning of time where its name does not say so."""
    try:
        return datetime.strptime(f"{job.partition('-')[0]} +0000", f"{TIME_OF_JOB} %z").timestamp()
    except ValueError:
        return 0.0


def _is_of_a_stray(error: OSError, job: Path) -> bool:
    """Whether a file or folder among the jobs is none: that of a job which cannot go where it should is another's path."""
    return isinstance(error, NotADirectoryError) and Path(error.filename or "").is_relative_to(job)
