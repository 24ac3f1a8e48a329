"""Which files of an inbox are ready to become jobs: a scan that looks at the folder as it is, and is the truth.

A file is ready when its name is not that of a temporary file, it is a regular file, its size and times stood still for the
settle time by the monotonic clock, and no writer holds it (a read lease; where the system cannot say, the longer settle time
counts). A result of the daemon's own need not stand still. Claims are served from the scan's order: one scan offers up to
`AT_ONCE` drops and says whether there are more, so that what waits behind them is not even looked at. Nothing here opens a file for
its content, but for the end of one of which the system cannot say whether it is being written; nothing is ever moved or deleted.
"""

import math
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from daemon.beneath import Beneath
from daemon.inbox.arrivals import Arrival, Arrivals, Look, OwnerOf, described_type
from daemon.inbox.grouping import PRINCIPAL, Drop, Group, Mark, Member, expected, group_into_drops, group_of_one, is_tied, related
from daemon.inbox.named_masks import NamedMasks, with_named
from daemon.inbox.ranking import Ranking, ReadPriority
from daemon.inbox.telling_names import FOLDER_SENTENCE, conflict_sentence, sign_sentence
from daemon.layout import HOLD, HOLD_SIGN, INBOX
from daemon.names import base_of, is_proof, shown
from daemon.stages import APPLY_ENDINGS, PROOF_ENDINGS, STAGES, Stage

__all__ = ["Drop", "Inbox", "Member", "Refusal", "Scan", "Waiting"]

AT_ONCE = 100  # drops that one scan offers
MOST_TOLD = 500  # files whose reasons to wait one scan tells
STALE_SECONDS = 3600.0  # a temporary file as old as this is worth mentioning
END_BYTES = 16  # so many zero bytes at its end, and a file is one whose size was set first, and whose content is on its way


@dataclass(frozen=True, slots=True)
class Refusal:
    """A drop that the stage cannot take, the sentence that says why and what to do, and the place that takes it, if one does."""

    drop: Drop
    sentence: str
    elsewhere: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that stays where it is for now, and why."""

    name: str
    reason: str


@dataclass(slots=True)
class Scan:
    """What one look at an inbox found; `due` is the monotonic time from which another can find more, None if only an event can.

    `proofs` are those that lie there without their latents. With `more` there are drops behind the ready ones that were not looked
    at yet, with `unread` files whose priority or mask is not known yet.
    """

    ready: list[Drop] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    paused: bool = False
    due: float | None = None
    more: bool = False
    unread: bool = False

    def wait(self, name: str, reason: str, due: float | None = None) -> None:
        """Note a file that is not ready; of very many only the first are told."""
        if len(self.waiting) < MOST_TOLD:
            self.waiting.append(Waiting(name, reason))
        if due is not None:
            self.due = due if self.due is None else min(self.due, due)

    def full(self) -> bool:
        """Whether it offers as much as one scan does."""
        return len(self.ready) + len(self.refused) >= AT_ONCE


def told_of_empty(name: str) -> str:
    """The sentence on a file of no bytes."""
    return f"{shown(name)} is empty (0 bytes); save it again, or copy it again."


def told_of_extension(stage: Stage, name: str) -> str:
    """The sentence on a file whose name ends as none does that a stage takes."""
    extension, takes = extension_of(name), " ".join(stage.extensions)
    if place := place_instead(stage, name):
        return f"{shown(name)} is a {extension} file, and the {stage.name} stage takes {takes}; move it to {place}."
    found = f"ends in {shown(extension)}" if extension else "has no extension"
    return f"{shown(name)} {found}, and the {stage.name} stage takes {takes}; save it as one of these."


def place_instead(stage: Stage, name: str) -> str | None:
    """The inbox that takes a file of this name, which the stage does not; None where there is none."""
    instead = None if is_proof(name) else stage.instead.get(extension_of(name))
    return f"{INBOX}/{STAGES[instead].folder}" if instead else None


def extension_of(name: str) -> str:
    """How a name ends, in small letters, with its dot."""
    return name[len(base_of(name)) :].lower()


def _told_of_proof(name: str, stage: str) -> str:
    places = " or ".join(f"{HOLD}/{other.folder}" for other in STAGES.values() if PROOF_ENDINGS[0] in other.companions)
    return (
        f"{shown(name)} is the proof of latents by its name, and the {stage} stage takes none; save it beside its latents in "
        f"{places}, or move both to their inbox; to use it as a picture, give it another name."
    )


@dataclass(frozen=True, slots=True)
class _Offer:
    """A drop that was found ready: of which group it was made, and what its files were like, by role."""

    group: Group
    known: dict[str, Arrival]
    drop: Drop


class _NotYet(Exception):
    """The file may still change; `due` is when a look at the clock alone could change that."""

    def __init__(self, reason: str, due: float | None = None) -> None:
        super().__init__(reason)
        self.due = due


class Inbox:
    """One stage's inbox. Times are seconds of the monotonic clock.

    `settle_seconds` is how long a file must stand still when a lease shows that nobody writes it, `settle_unleased_seconds`
    when the system cannot say, `empty_grace_seconds` how long an empty file may stay empty before it is refused, and
    `empty_grace_unleased_seconds` how long one that is empty, or ends in zero bytes, when the system cannot say. All count from the
    last change, a rename included. `pair_patience_seconds` is how long a drop may wait for its other half or for a mask that it
    names. `read_priority` reads the priority that a file states, of which `most_urgent` is the highest that counts, `read_mask` the
    name of the mask. `is_own` tells of a file whether it is as the daemon itself put it there, whole: it need not stand still
    first; `owner_of` tells whose a file is.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        *,
        settle_seconds: float,
        settle_unleased_seconds: float,
        empty_grace_seconds: float,
        empty_grace_unleased_seconds: float = 0.0,
        pair_patience_seconds: float = math.inf,
        read_priority: ReadPriority = lambda _: 0,
        most_urgent: Callable[[], int] = lambda: sys.maxsize,
        read_mask: Callable[[Path], str | None] = lambda _: None,
        is_own: Callable[[Mark], bool] = lambda _: False,
        owner_of: OwnerOf = lambda st: st.st_uid,
    ) -> None:
        self.stage = stage
        self.folder = folder
        self._beneath = Beneath(folder.parents[1])  # the spool: an inbox is inbox/NAME of it
        self._settle_seconds = settle_seconds
        self._unleased_seconds = max(settle_seconds, settle_unleased_seconds)
        self._empty_grace_seconds = empty_grace_seconds
        self._unleased_grace_seconds = max(empty_grace_seconds, empty_grace_unleased_seconds)
        self._pair_patience_seconds = pair_patience_seconds
        self._arrivals = Arrivals(
            folder, self._beneath, settle_seconds=settle_seconds, is_tied=partial(is_tied, stage), owner_of=owner_of
        )
        self._ranking = Ranking(folder, read_priority, most=most_urgent)
        self._masks = NamedMasks(stage, folder, read_mask)
        self._is_own = is_own
        self._grouped: tuple[list[str], tuple[list[Group], list[str]]] = ([], ([], []))
        self._alone = lru_cache(maxsize=2 * AT_ONCE)(partial(group_of_one, stage))
        self._offers: dict[str, _Offer] = {}  # of this scan, and of the one before, by the name of the principal
        self._offers_before: dict[str, _Offer] = {}
        self._deferred: dict[str, tuple[str, float]] = {}  # by the name of the principal

    def scan(self, now: float) -> Scan:
        """Look at the folder once. Raises OSError when the folder itself cannot be listed."""
        with self._arrivals.opened():
            return self._scan(now)

    def _scan(self, now: float) -> Scan:
        look = self._arrivals.look(now)
        self._deferred = {name: waits for name, waits in self._deferred.items() if now < waits[1]}
        scan = Scan(paused=look.paused)
        self._tell_what_is_no_drop(scan, look, now)
        groups, alone = self._group(look)
        for name in self._masks.naming():
            with suppress(OSError, KeyError):  # a drop that waits for its mask is not looked at otherwise
                self._arrivals.examined(name, now)
        unranked = self._learn_priorities(look)
        order = self._ranking.ordered(look.files, groups, now)
        groups, given = self._with_masks(look, groups, order)
        alone = [name for name in alone if name not in given]
        scan.unread = unranked or bool(self._masks.unread)
        self._offers_before, self._offers = self._offers, {}
        for found in self._in_order(scan, look, groups, order, now):
            if scan.full():
                scan.more = True
                break
            self._classify(scan, found, look.files, now)
        scan.proofs = [name for name in alone if is_proof(name)]
        for name in alone:
            wanted = shown(expected(self.stage, name))
            proof = f"is a proof, and waits for its latents, {wanted}; move them here too, from {HOLD}/ if they lie there"
            scan.wait(name, proof if is_proof(name) else f"waits for the file it belongs to, {wanted} for example")
        if scan.paused:
            self._pause(scan)
        return scan

    def _tell_what_is_no_drop(self, scan: Scan, look: Look, now: float) -> None:
        """Say of what is never used as it lies there why, and what to do; not of housekeeping, which nobody wants to hear of."""
        for name in look.folders:
            scan.wait(name, FOLDER_SENTENCE)
        for name, original in look.conflicts.items():
            scan.wait(name, conflict_sentence(shown(original)))
        for name, since in look.temporary.items():
            if now - since >= STALE_SECONDS:
                scan.wait(name, "has the name of a temporary file; rename it if it is meant to be used")
        for name, sign in look.signs.items():
            if sign == HOLD_SIGN:
                scan.wait(name, sign_sentence(sign, self.stage.folder))

    def defer(self, name: str, reason: str, until: float) -> None:
        """Let the drop of this principal wait until then, though nothing in the folder shows why."""
        self._deferred[name] = reason, until

    def _group(self, look: Look) -> tuple[list[Group], list[str]]:
        """The groups of files that belong together, and the companions of nobody; files that stand alone are not among them."""
        names = related(self.stage, look.files, look.tied)
        if names != self._grouped[0]:
            self._grouped = (names, group_into_drops(self.stage, names))
        return self._grouped[1]

    def _with_masks(self, look: Look, groups: list[Group], order: list[str]) -> tuple[list[Group], set[str]]:
        """The groups with the masks that they name, as far as that is known, and those masks that lie here."""
        openers = {found.opener: found for found in groups}
        self._masks.learn((openers[name] for name in order if name in openers), look.files)
        return with_named(self.stage, groups, look.files, self._masks.named)

    def _learn_priorities(self, look: Look) -> bool:
        changed, self._arrivals.changed = self._arrivals.changed, {}
        return self._ranking.learn(sorted(changed, key=lambda name: changed[name].arrived), look.files)

    def _in_order(self, scan: Scan, look: Look, groups: list[Group], order: list[str], now: float) -> Iterator[Group]:
        """All groups that may be ready, in the order of their claims; those of one file are made when they are asked for."""
        openers = {found.opener: found for found in groups}
        grouped = set(self._grouped[0])
        for name in order:
            if name in openers:
                yield openers[name]
            elif name not in grouped:
                due = look.files[name].since + self._settle_seconds
                if now >= due or self._is_own(look.files[name].mark):
                    yield self._alone(name)
                else:
                    scan.wait(name, f"{shown(name)} changed a moment ago", due)

    def _classify(self, scan: Scan, found: Group, files: dict[str, Arrival], now: float) -> None:
        """Put one group where it belongs: ready, refused, or waiting with its reason."""
        try:
            if found.principal in self._deferred:
                raise _NotYet(*self._deferred[found.principal])
            sentence = self._check_complete(found, files, now)
            for name in found.roles.values():
                self._check_stable(name, files[name], now)
            known = {role: self._arrivals.examined(name, now) for role, name in found.roles.items()}
            offer = self._offer_before(found, known)
            if offer is None:
                sentence = sentence or self._refusal_sentence(found, known, now)
                for role, name in found.roles.items():
                    self._check_not_open(name, known[role], now)
        except _NotYet as not_yet:
            scan.wait(found.principal, str(not_yet), not_yet.due)
        except FileNotFoundError:
            return  # taken away in the same moment
        except OSError as error:
            scan.wait(found.principal, f"cannot be opened by the daemon ({error.strerror}); let its group read it")
        else:
            offer = self._offer(found, known, offer)
            if sentence:
                scan.refused.append(Refusal(offer.drop, sentence, place_instead(self.stage, found.principal)))
            else:
                self._offers[found.principal] = offer
                scan.ready.append(offer.drop)

    def _offer_before(self, found: Group, known: dict[str, Arrival]) -> _Offer | None:
        """The offer of a group in the scan before; None where there was none, or where something has changed."""
        offer = self._offers_before.get(found.principal)
        return offer if offer and (offer.group, offer.known) == (found, known) else None

    def _offer(self, found: Group, known: dict[str, Arrival], before: _Offer | None) -> _Offer:
        """The offer of a group: that of the scan before, unless the priority has changed too."""
        priority = self._ranking.priority(found)
        if before and before.drop.priority == priority:
            return before
        members = tuple(Member(role, self.folder / name, known[role].mark) for role, name in found.roles.items())
        return _Offer(found, known, Drop(members, found.stem, known[PRINCIPAL].owner, priority))

    def _check_complete(self, found: Group, files: dict[str, Arrival], now: float) -> str | None:
        """Raise _NotYet while a half may still come, or be named; the sentence that gives it up after the patience."""
        if not self._masks.unread.isdisjoint(found.roles.values()):
            raise _NotYet(f"the settings of {shown(found.principal)} are still to be read")
        for name in self._masks.held.intersection(found.roles.values()):
            raise _NotYet(f"{shown(name)} is still being written")
        if found.missing is None:
            return None
        if now - files[found.principal].arrived[0] < self._pair_patience_seconds:
            raise _NotYet(f"waits for {shown(found.missing)}")
        waited = f"{self._pair_patience_seconds / 3600:g} hours"
        return f"{shown(found.principal)} waited {waited} for {shown(found.missing)}, which did not come; drop both to try again."

    def _check_stable(self, name: str, known: Arrival, now: float) -> None:
        """Raise _NotYet while the file has not stood still for the settle time."""
        due = known.since + self._settle_seconds
        if now < due and not self._is_own(known.mark):
            raise _NotYet(f"{shown(name)} changed a moment ago", due)

    def _refusal_sentence(self, found: Group, known: dict[str, Arrival], now: float) -> str | None:
        """Why the stage cannot take the group, as a sentence; None if it can, as far as the folder shows."""
        for role, name in found.roles.items():
            if not stat.S_ISREG(known[role].mode):
                found_kind = f"{shown(name)} is {described_type(known[role].mode)}, and only files can be used"
                return f"{found_kind}; copy the file itself into inbox/{self.stage.folder}."
            if known[role].private_elsewhere:
                twin = f"{shown(name)} is a second name of a file that not everybody may read"
                return f"{twin}; copy the file itself into inbox/{self.stage.folder}."
        if is_proof(found.principal):
            return _told_of_proof(found.principal, self.stage.name)
        if not found.principal.lower().endswith(self.stage.extensions):
            return self._wrong_extension(found.principal, known["principal"], now)
        return self._empty(found, known, now)

    def _wrong_extension(self, name: str, known: Arrival, now: float) -> str:
        # Perhaps a program's temporary name that this module does not know: time to rename it.
        if extension_of(name) not in self.stage.instead and now - known.since < self._unleased_seconds:
            raise _NotYet("has a name that this stage does not know", known.since + self._unleased_seconds)
        return told_of_extension(self.stage, name)

    def _empty(self, found: Group, known: dict[str, Arrival], now: float) -> str | None:
        for role, name in found.roles.items():
            if role in APPLY_ENDINGS:
                continue  # a sign needs nothing in it
            if known[role].empty and now < (due := known[role].since + self._grace_of_empty(name, known[role], now)):
                raise _NotYet(f"{shown(name)} is empty so far", due)
        if known["principal"].empty:
            return told_of_empty(found.principal)
        return None

    def _grace_of_empty(self, name: str, known: Arrival, now: float) -> float:
        if now < known.since + self._empty_grace_seconds:
            return self._empty_grace_seconds
        unknown = self._beneath.is_being_written(self.folder / name) is None
        return self._unleased_grace_seconds if unknown else self._empty_grace_seconds

    def _check_not_open(self, name: str, known: Arrival, now: float) -> None:
        """Raise _NotYet while a writer may hold the file, or where it has changed since it was looked at."""
        if known.free or not stat.S_ISREG(known.mode):
            return
        self._check_stable(name, known, now)
        written = self._beneath.is_being_written(self.folder / name)
        if written:
            known.since = now
            raise _NotYet(f"{shown(name)} is still being written")
        unleased_until = known.since + self._unleased_seconds
        if written is None and now < unleased_until and not self._is_own(known.mark):
            raise _NotYet(f"{shown(name)} changed a moment ago", unleased_until)
        filled_until = known.since + self._unleased_grace_seconds
        if written is None and now < filled_until and not self._is_own(known.mark) and self._ends_in_zeros(name):
            raise _NotYet(f"{shown(name)} ends in zero bytes so far, as a file does that is still being copied", filled_until)
        known.free = True

    def _ends_in_zeros(self, name: str) -> bool:
        with self._beneath.plain(self.folder / name) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES))
            end = file.read(END_BYTES)
        return bool(end) and not any(end)

    def _pause(self, scan: Scan) -> None:
        for drop in [*scan.ready, *(refusal.drop for refusal in scan.refused)]:
            scan.wait(drop.principal.path.name, "is ready, but the stage is paused")
        scan.ready, scan.refused, scan.more = [], [], False
