"""Proofs beside what waits in hold/: for which files one is wanted, and what becomes of it when people paint on it or move on.

Whatever somebody has painted on is never written again. It goes along with its latents when they are claimed, wherever it lies, and
one that comes too late goes to failed/ with a sentence: no paint is lost.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from daemon.beneath import Beneath
from daemon.compute.protocol import Compute
from daemon.errors import InUse, in_words
from daemon.inbox.arrivals import is_private_elsewhere
from daemon.inbox.grouping import Drop, Mark, Member, expected
from daemon.inbox.held import HeldFiles, HoldFolder
from daemon.jobs.probe import identity_of, identity_of_name, proof_identity
from daemon.names import base_of, id_of, is_proof, latents_base, proof_name, shown, stem_of
from daemon.service.proof_maker import RETRY_SECONDS, Marks, ProofMaker, Wanted
from daemon.settings.config import Config
from daemon.spool.filesystem import Filesystem
from daemon.spool.proofs import ProofFiles, version_of
from daemon.spool.spool import Spool
from daemon.stages import APPLY_ENDINGS, PROOF_ENDINGS, STAGES

log = logging.getLogger(__name__)

LATE_SECONDS = 30.0  # so long a proof may lie alone whose latents were used before: they may be on their way once more
MOST_KNOWN, MOST_TOLD = 10_000, 20
# For what was not looked at before, at one look; the next one goes on. Each file is read, and after a start there may be thousands.
BUDGET_SECONDS, AGAIN_SECONDS = 0.3, 0.5
# Each look asks every file on hold what it is like. Where nothing is known to have changed, it takes at most this part of the time.
IDLE_SHARE = 0.001
PROVED = tuple(name for name, stage in STAGES.items() if PROOF_ENDINGS[0] in stage.companions)


@dataclass(frozen=True)
class Refused:
    """A drop that is to go to failed/, and why."""

    stage: str
    drop: Drop
    sentence: str


@dataclass(frozen=True)
class Found:
    """What a look asks for: latents whose paint on their proof is to be taken, by stage, and what is to be refused."""

    applied: list[tuple[str, Drop]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Proofs:
    """The proofs of one spool; the main thread calls, and `wake` asks it for a tick. `due` is when another look is worth it."""

    def __init__(self, spool: Spool, compute: Compute, config: Callable[[], Config], wake: Callable[[], None]) -> None:
        self._spool, self._config, self._beneath = spool, config, Beneath(spool.root)
        self._files = ProofFiles(spool.root, Filesystem(spool.root))
        self._maker = ProofMaker(spool.root, self._files, compute, config, wake=wake, done=self._note_done)
        self._folders = {name: self._hold_folder(name) for name in PROVED}
        self._known: dict[Path, Marks] = {}  # what those files are like for which nothing is to be done
        self._identities: dict[tuple[Path, Mark], str] = {}
        self._complaints: dict[Path, str] = {}
        self._alone: dict[Path, tuple[Path, ...]] = {}  # by the folder: proofs without their latents, at the last look
        self._deferred: dict[Path, float] = {}
        self._claimed: dict[str, str] = {}  # latents that were claimed without their proof -> their name
        self._aside_due: float | None = 0.0  # when those are to be put back that an earlier life may have left aside
        self.due: float | None = None
        self._rests_until, self._until = 0.0, 0.0  # of the next look without news, of the present one
        self.behind = False  # whether the next look goes on where this one had no more time
        self.signed: frozenset[str] = frozenset()  # stages for which something on hold is to have its paint applied
        self.tick, self.busy, self.close = self._maker.tick, self._maker.busy, self._maker.close

    @property
    def folders(self) -> list[Path]:
        """Where a change is worth a look."""
        return [hold.folder for hold in self._folders.values()]

    def complaints(self) -> tuple[str, ...]:
        """What people should see to; of very much the first."""
        return tuple(islice(self._complaints.values(), MOST_TOLD))

    def look(self, now: float, *, news: bool = True) -> Found:
        """See what waits in the hold folders, what is wanted for it, and what is over.

        Without `news` that something has changed, a look at very many files is made seldom."""
        if now < self._rests_until and not news:
            return Found()
        self._bring_back(now)
        self._until, self.behind = time.monotonic() + BUDGET_SECONDS, False
        found, here, signed, took = Found(), set[Path](), set[str](), 0.0
        for stage, folder in self._folders.items():
            started = time.monotonic()
            try:
                held = folder.look(now)
            except OSError:  # who scans the inboxes says so
                continue
            took += time.monotonic() - started
            here.update(drop.principal.path for drop in held.drops)
            if any(member.role in APPLY_ENDINGS for drop in held.drops for member in drop.members):
                signed.add(stage)
            found.applied.extend((stage, drop) for drop in self._consider_all(stage, folder, held.drops, now))
            found.refused.extend(self._look_at_alone(stage, folder, held, here, now))
        self._known = {path: marks for path, marks in self._known.items() if path in here}
        self._complaints = {path: sentence for path, sentence in self._complaints.items() if path in here}
        self._deferred = {path: until for path, until in self._deferred.items() if path in here and now < until}
        self._maker.keep(here)
        self.signed = frozenset(signed)
        self._rests_until = 0.0 if self._deferred or self.due is not None else now + took / IDLE_SHARE
        return found

    def _consider_all(self, stage: str, folder: HoldFolder, drops: Iterable[Drop], now: float) -> Iterator[Drop]:
        """See to what is not known yet, for as long as there is time; yields that whose paint is to be applied."""
        for drop in drops:
            if self._is_known(drop):
                continue
            if time.monotonic() < self._until:
                yield from self._consider(stage, folder, drop, now)
            else:
                self.behind = True
                self._wait_until(now + AGAIN_SECONDS)

    def _look_at_alone(self, stage: str, folder: HoldFolder, held: HeldFiles, here: set[Path], now: float) -> Iterator[Refused]:
        """See to the signs and the proofs of nothing that is there, which are added to `here`; yields what is to be refused."""
        self._alone[folder.folder] = tuple(member.path for member in held.alone)
        for path in [folder.folder / name for name in held.signs]:
            here.add(path)
            what = "asks for the paint on a proof to be applied, and no latents of that name wait here"
            self._complaints[path] = f"{self._place(path)} {what}; give it the name of the latents, or delete it"
        for path in [folder.folder / name for name in held.pictures]:
            here.add(path)
            rename = f"give it the name {_meant_by(path.name, held.drops)} to have its paint used, or move it away"
            self._complaints[path] = f"{self._place(path)} is no proof by its name, so nothing is done with it; {rename}"
        for member in held.alone:
            here.add(member.path)
            if not self._waits(folder, (member,), now):
                yield from self._consider_alone(stage, member, now)

    def defer(self, path: Path, until: float) -> None:
        """Let latents wait until then, though nothing on hold shows why."""
        self._deferred[path] = until

    def alone_in_inbox(self, stage: str, names: Iterable[str], now: float) -> list[Refused]:
        """What is to be refused of the proofs that lie in the inbox of a stage without their latents."""
        found: list[Refused] = []
        self._alone[self._spool.inbox(stage)] = tuple(self._spool.inbox(stage) / name for name in names)
        for path in self._alone[self._spool.inbox(stage)]:
            with suppress(OSError):
                found.extend(self._consider_alone(stage, self._member(path), now))
        return found

    def along(self, stage: str, drop: Drop) -> Drop:
        """A drop that is about to be claimed, with the proof that somebody has painted on and left elsewhere.

        InUse where another program holds that proof: its paint must not come too late for that.
        """
        if stage not in PROVED:
            return drop
        name, beside = drop.principal.path.name, [member for member in drop.members if member.role in PROOF_ENDINGS]
        try:
            found = [path for paths in self._alone.values() for path in paths]
            identity = self._identity(drop.principal) if found or beside else identity_of_name(name)
            if any(self._is_painted(member.path, identity) for member in beside):
                return drop
            for path in found:
                if self._is_painted(path, identity):
                    # One that nobody has painted on stays behind, and is taken away.
                    others = tuple(member for member in drop.members if member not in beside)
                    return replace(drop, members=(*others, self._member(path)))
        except InUse:
            raise
        except OSError:
            return drop  # somebody was quicker; what was painted waits, with a sentence
        while len(self._claimed) >= MOST_KNOWN:
            del self._claimed[next(iter(self._claimed))]
        self._claimed[identity] = name
        return drop

    def _is_painted(self, path: Path, identity: str) -> bool:
        """Whether a file is a proof of these latents that somebody has painted on; one that cannot be read is not."""
        try:
            st = self._beneath.lstat(path)
            if is_private_elsewhere(st.st_mode, st.st_nlink):
                return False
            return proof_identity(self._beneath, path) == identity and self._files.shown_as(path, identity) is None
        except InUse:
            if identity_of_name(path.name) == identity:
                raise
        except OSError:
            pass  # gone, or not for us to read: no proof of other latents stops these
        return False

    def _hold_folder(self, name: str) -> HoldFolder:
        config, spool = self._config(), self._spool
        seconds = config.settle_seconds(name), config.settle_unleased_seconds(name)
        return HoldFolder(STAGES[name], spool.hold(name), *seconds, is_own=spool.is_own, owner_of=spool.owner_of)

    def _bring_back(self, now: float) -> None:
        if self._aside_due is None or now < self._aside_due:
            return
        try:
            self._files.bring_back()
            self._aside_due = None
        except OSError as error:
            log.warning("proofs that were being taken away cannot be put back yet, will retry: %s", in_words(error))
            self._aside_due = now + RETRY_SECONDS

    def _note_done(self, wanted: Wanted, sentence: str | None) -> None:
        self._known[wanted.path] = wanted.marks
        if sentence is not None:
            self._complaints[wanted.path] = sentence

    def _consider(self, stage: str, folder: HoldFolder, drop: Drop, now: float) -> Iterator[Drop]:
        path, marks = drop.principal.path, _marks_of(drop)
        if self._waits(folder, drop.members, now) or self._is_deferred(path, now):
            return
        self._complaints.pop(path, None)
        self._maker.drop(path)
        try:
            identity = self._identity(drop.principal)
            self._claimed.pop(identity, None)  # it is here again
            painted, current = self._state_of(drop, identity)
            if any(member.role in APPLY_ENDINGS for member in drop.members):
                yield from self._applied(drop, painted=painted)
                return
        except OSError:  # gone, or held by another program
            self._wait_until(now + RETRY_SECONDS)
            return
        if current or self._config().proofs.when == "never" or not _can_have_one(path.name):
            self._known[path] = marks
        elif not painted and self._has_gone_ahead(identity):
            return  # the paint is in an inbox, and waits for these latents
        else:
            self._maker.want(Wanted(stage, drop, identity, painted))

    def _state_of(self, drop: Drop, identity: str) -> tuple[bool, bool]:
        """Whether somebody has painted on a proof, and whether it is the one of the latents as they are."""
        kept = [self._files.shown_as(member.path, identity) for member in drop.members if member.role in PROOF_ENDINGS]
        version = version_of(*drop.principal.mark[2:4])
        painted = None in kept
        return painted, not painted and any(one is not None and (one.identity, one.version) == (identity, version) for one in kept)

    def _has_gone_ahead(self, identity: str) -> bool:
        """Whether a proof of latents on hold, which somebody has painted on, lies in an inbox without them."""
        inboxes = [path for stage in PROVED for path in self._alone.get(self._spool.inbox(stage), ())]
        return any(self._is_painted(path, identity) for path in inboxes)

    def _applied(self, drop: Drop, *, painted: bool) -> Iterator[Drop]:
        if painted:
            yield drop
            return
        path, sign = drop.principal.path, next(member.path for member in drop.members if member.role in APPLY_ENDINGS)
        what = f"nothing is painted on the proof of {shown(path.name)}, so there is nothing to be applied"
        self._complaints[path] = f"{self._place(sign)}: {what}; paint on its proof, or delete this file"
        self._known[path] = _marks_of(drop)

    def _is_known(self, drop: Drop) -> bool:
        """Whether nothing is to be done for these files as they are."""
        return self._known.get(drop.principal.path) == _marks_of(drop)

    def _consider_alone(self, stage: str, member: Member, now: float) -> Iterator[Refused]:
        """A proof without its latents: it goes with them, was of no use, comes too late, or somebody has to see to it."""
        path, latents = member.path, expected(STAGES[stage], member.path.name)
        if self._known.get(path) == (member.mark,) or self._comes(path):
            return
        held = path.parent == self._spool.hold(stage)
        self._complaints.pop(path, None)
        try:
            identity = proof_identity(self._beneath, path)
            used = self._used(latents, identity)
            if (held or used is not None) and self._files.take_away(path, identity):
                return
        except OSError:
            self._wait_until(now + RETRY_SECONDS)
            return
        late = member.mark[4] / 1e9 + LATE_SECONDS - time.time()
        if used is not None and late > 0:
            self._wait_until(now + late)
        elif used is not None:
            drop = Drop((replace(member, role="principal"),), stem_of(path.name))
            yield Refused(stage, drop, _too_late(path.name, used))
        elif held:
            self._known[path] = (member.mark,)
            gone = f"was painted on, and its latents, {shown(latents)}, are not there any more"
            back = f" (`tiffsd restore {shown(latents)}` brings them back)" if id_of(latents) else ""
            self._complaints[path] = f"{self._place(path)} {gone}; put them beside it{back}, or take it away"

    def _comes(self, proof: Path) -> bool:
        """Whether the latents of a proof lie in an inbox, so that their claim takes it along."""
        base = latents_base(proof.name)
        for stage in PROVED:
            with suppress(OSError):
                if any(base_of(name) == base for name in self._beneath.names(self._spool.inbox(stage)) if not is_proof(name)):
                    return True
        return False

    def _used(self, latents: str, identity: str) -> str | None:
        """The name of the latents of this id, or of that name, where they were claimed without this proof."""
        if identity in self._claimed:
            return self._claimed[identity]
        return latents if any(self._spool.recent.has_run(stage, latents) for stage in PROVED) else None

    def _member(self, path: Path) -> Member:
        st = self._beneath.lstat(path)
        role = next(ending for ending in PROOF_ENDINGS if path.name.lower().endswith(ending))
        return Member(role, path, (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns))

    def _identity(self, member: Member) -> str:
        key = member.path, member.mark
        if key not in self._identities:
            if len(self._identities) >= MOST_KNOWN:
                self._identities.clear()
            with self._beneath.plain(member.path) as file:
                self._identities[key] = identity_of(file, member.path.name)
        return self._identities[key]

    def _waits(self, folder: HoldFolder, members: tuple[Member, ...], now: float) -> bool:
        """Whether one of the files may still change; `due` says when to look again."""
        dues = [due for member in members if (due := folder.due_of(member, now)) is not None]
        for due in dues:
            self._wait_until(due)
        return bool(dues)

    def _is_deferred(self, path: Path, now: float) -> bool:
        if (until := self._deferred.get(path, now)) <= now:
            return False
        self._wait_until(until)
        return True

    def _wait_until(self, due: float) -> None:
        self.due = due if self.due is None else min(self.due, due)

    def _place(self, path: Path) -> str:
        return shown(path.relative_to(self._spool.root).as_posix())


def _marks_of(drop: Drop) -> Marks:
    return tuple(member.mark for member in drop.members)


def _can_have_one(name: str) -> bool:
    """Whether a proof would be known as that of latents of this name: one that is cut to fit is not, unless it has an id."""
    return id_of(name) is not None or latents_base(proof_name(name)) == base_of(name)


def _meant_by(picture: str, drops: Iterable[Drop]) -> str:
    """The name of the proof that somebody may have saved under the name of `picture`."""
    base, names = base_of(picture), [drop.principal.path.name for drop in drops]
    alike = [name for name in names if base.startswith(base_of(name))] or [name for name in names if base.startswith(stem_of(name))]
    meant = alike or names
    return shown(proof_name(meant[0])) if len(meant) == 1 else "of its latents with .proof.png instead of .tiff"


def _too_late(proof: str, latents: str) -> str:
    return (
        f"{shown(proof)} came too late for {shown(latents)}, which had been used by then: nothing of its paint was used. "
        "Paint on the proof of what came of it, if that waits in hold/, or put the latents from done/ into hold/ again with this "
        "file beside them"
    )
