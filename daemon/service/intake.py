"""From the inboxes into jobs: scans find what is ready, what no stage can take is refused, and claims are launched in turn.

Until it is claimed a file is its owner's and stays where it is. It may have to wait there, because it is the same as one that was
used, or because another program holds its proof. Where the machine does not let a file be claimed, its stage rests.
"""

import itertools
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

from daemon.errors import InUse, in_words
from daemon.inbox.inbox import Drop, Inbox, Scan
from daemon.jobs.outcome import JobResult, Outcome
from daemon.names import shown
from daemon.service.backoff import CLAIM_FAILED, OF_A_FILE, UNREADABLE, Retry, StageBackoff
from daemon.service.claiming import AT_ONCE, Claims, Wanted
from daemon.service.dispatch import DispatchPolicy
from daemon.service.late_writers import LateWriters
from daemon.service.misplaced import Misplaced
from daemon.service.proofs import PROVED, Proofs
from daemon.service.refusing import Refusals
from daemon.service.repeats import Repeats, Same, Wait, put_beside
from daemon.service.scan_pace import ScanPace
from daemon.settings.config import Config
from daemon.spool.spool import Claim, Spool

IN_USE_SECONDS = 5.0  # until files are tried again that another program holds

log = logging.getLogger(__name__)


class Intake:
    """The intake of one spool: the latest `scans` by stage, and of them the drops that are `ready` for a turn.

    `launch` begins the job of a claim, and `is_stopping` says that no more is to be begun. `recovery` brings to its end what a
    claim has left in .work/. Where it `takes_all`, a file runs also where it is the same as one that was used.
    """

    def __init__(
        self,
        spool: Spool,
        inboxes: Mapping[str, Inbox],
        *,
        config: Callable[[], Config],
        pace: ScanPace,
        dispatch: DispatchPolicy,
        proofs: Proofs,
        refusals: Refusals,
        backoff: StageBackoff,
        recovery: Retry,
        launch: Callable[[Claim], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._spool, self._inboxes, self._config = spool, inboxes, config
        self._pace, self._dispatch, self._proofs, self._refusals = pace, dispatch, proofs, refusals
        self._backoff, self._recovery = backoff, recovery
        self._launch, self._is_stopping = launch, is_stopping
        self._claims = Claims(spool)
        self._misplaced = Misplaced(spool.root)
        self._repeats = Repeats(spool, config)
        self._late_writers = LateWriters(spool, lambda stage: config().settle_unleased_seconds(stage))
        self.scans: dict[str, Scan] = {}
        self.ready: dict[str, deque[Drop]] = {name: deque() for name in inboxes}
        self.takes_all = False
        self.close = self._claims.close

    def complaints(self) -> tuple[str, ...]:
        """What people should see to."""
        return self._misplaced.complaints()

    def forget(self) -> None:
        """Forget what lies there: it may be another daemon's."""
        self.scans.clear()
        self.ready = {name: deque() for name in self._inboxes}

    def able(self, now: float) -> dict[str, deque[Drop]]:
        """What is ready, of the stages that do not rest, in the order of their importance."""
        return {name: drops for name, drops in self.ready.items() if not self._backoff.is_backing_off(name, now)}

    def is_settling(self) -> bool:
        """Whether a later scan may find more that is ready or refused, of stages in no trouble."""
        scans = [self.scans[name] for name in self._without_trouble()]
        return any(scan.due is not None or scan.unread or scan.refused or scan.more for scan in scans)

    def has_turns(self) -> bool:
        """Whether something is ready, of stages in no trouble."""
        return any(self.ready[name] for name in self._without_trouble())

    def _without_trouble(self) -> list[str]:
        # What waits for a stage that backs off may wait for ever.
        return [name for name in self.scans if name not in self._backoff.reasons()]

    def left_waiting(self) -> bool:
        """Whether something stays in an inbox that nobody has paused; the log says what, and why."""
        left = [(name, waiting) for name, scan in self.scans.items() if not scan.paused for waiting in scan.waiting]
        for name, waiting in left:
            log.warning("%s %s: not run, waits in its inbox: %s", name, shown(waiting.name), waiting.reason)
        return bool(left) or any(self.ready.values())

    def scan(self, now: float, *, running: Callable[[], Collection[str]]) -> None:
        """Look at all inboxes, and refuse what no stage can take; `running` tells the stages of the jobs that run."""
        news = self._pace.begin()
        self._misplaced.look()
        self._late_writers.look(now)
        for name, inbox in self._inboxes.items():
            self._scan_one(name, inbox, now)
        self._look_at_proofs(now, news=news)
        self._note_recovered(running())
        dues = [self._proofs.due, *[scan.due for scan in self.scans.values()]]
        unread = any(scan.unread for scan in self.scans.values())
        self._pace.end(now, rescan_seconds=self._config().watch.rescan_seconds, dues=dues, unread=unread)
        if not self._refusals.refuse_all(self.scans, now):
            self._pace.by(now)

    def _scan_one(self, name: str, inbox: Inbox, now: float) -> None:
        try:
            scan = inbox.scan(now)
        except OSError as error:
            self.scans.pop(name, None)
            self.ready[name].clear()
            way_out = "; `tiffsd init` makes it again" if isinstance(error, FileNotFoundError) else ""
            self._backoff.record_failure(name, f"{UNREADABLE}: {in_words(error)}{way_out}", now)
            return
        self._backoff.recovered(name, UNREADABLE)
        self.scans[name] = scan
        self.ready[name] = deque(scan.ready)

    def _note_recovered(self, running: Collection[str]) -> None:
        """End the trouble of the stages that had it with files of which nothing is left that could be tried again."""
        for name, scan in self.scans.items():
            tried_again = scan.ready or scan.refused or scan.waiting or name in self._proofs.signed
            if not (tried_again or name in running):
                self._backoff.recovered(name, OF_A_FILE)

    def _look_at_proofs(self, now: float, *, news: bool) -> None:
        self._proofs.due = None
        # First: beside latents whose painted proof has gone ahead, none is made anew.
        alone = [self._proofs.alone_in_inbox(name, scan.proofs, now) for name, scan in self.scans.items() if name in PROVED]
        found = self._proofs.look(now, news=news)
        for stage, drop in found.applied:
            self._claim_held(stage, drop, now)
        for late in [*found.refused, *itertools.chain.from_iterable(alone)]:
            self._refusals.refuse(late.stage, late.drop, late.sentence, now)

    def _claim_held(self, stage: str, drop: Drop, now: float) -> None:
        """Claim latents that are to go on waiting with the paint on their proof in them."""
        if self._is_stopping() or self._backoff.is_backing_off(stage, now):
            return  # it is found again at the next look
        try:
            claim = self._spool.claim(stage, drop, principal_last=True)
        except OSError as error:
            self._note_unclaimed(stage, error, now)
            return
        if claim:
            log.debug("%s %s: claimed, to apply the paint on its proof", stage, shown(claim.names["principal"]))
            self._backoff.recovered(stage, CLAIM_FAILED)
            self._launch(claim)

    def claim(self, now: float, *, free: Callable[[], int], at_once: int) -> None:
        """Claim what is ready, in turn, while there are `free` places, so many at once at most."""
        while (places := free()) > 0 and not self._is_stopping():
            if self._pace.comes_first(now):
                break
            turns = self._turns(min(places, at_once, AT_ONCE), now)
            if not turns:
                break
            self._claim_all(turns, now)
            self._pace.note_claims(len(turns))
        if any(self.scans[name].more and not drops for name, drops in self.able(now).items() if name in self.scans):
            self._pace.by(now)

    def _turns(self, most: int, now: float) -> list[tuple[str, Drop]]:
        able = self.able(now)
        return list(itertools.islice(iter(partial(self._dispatch.take, able, now), None), most))

    def _claim_all(self, turns: Sequence[tuple[str, Drop]], now: float) -> None:
        wanted = [one for stage, drop in turns if (one := self._wanted(stage, drop, now))]
        made = self._claims.make([(one.stage, one.drop) for one in wanted])
        for one, claim in zip(wanted, made, strict=True):
            if isinstance(claim, OSError):
                self._note_unclaimed(one.stage, claim, now)
            elif claim:
                self._take_up(claim, one.repeat, now)

    def _wanted(self, stage: str, drop: Drop, now: float) -> Wanted | None:
        """What is to be claimed of a drop; None where it has to wait."""
        try:
            repeat = None if self.takes_all else self._repeats.look(stage, drop, now)
            if isinstance(repeat, Wait):
                self._defer(stage, drop, repeat.reason, repeat.until)
                return None
            whole = self._with_proof(stage, drop, now)
        except OSError as error:
            self._note_unclaimed(stage, error, now)
            return None
        return Wanted(stage, whole, repeat) if whole else None

    def _with_proof(self, stage: str, drop: Drop, now: float) -> Drop | None:
        """A drop with the painted proof that lies elsewhere; None where it has to wait, because another program holds that."""
        try:
            return self._proofs.along(stage, drop)
        except InUse:
            self._defer(stage, drop, "waits for its proof, which another program holds", now + IN_USE_SECONDS)
            return None

    def _defer(self, stage: str, drop: Drop, reason: str, until: float) -> None:
        self._inboxes[stage].defer(drop.principal.path.name, reason, until)
        self._pace.by(until)

    def put_off(self, claim: Claim, result: JobResult, now: float) -> None:
        """Leave the files of a job that is over alone for a while, where its result asks for that."""
        wait_seconds = IN_USE_SECONDS if result.outcome is Outcome.IN_USE else result.wait_seconds
        if wait_seconds:
            name, until = claim.names["principal"], now + wait_seconds
            self._inboxes[claim.stage].defer(name, result.reason, until)
            self._proofs.defer(self._spool.hold(claim.stage) / name, until)
            self._pace.wanted.set()

    def _note_unclaimed(self, stage: str, error: OSError, now: float) -> None:
        self._recovery.failed(now)  # where it could not be given back at once
        self._backoff.record_failure(stage, f"{CLAIM_FAILED}: {error}", now)

    def _take_up(self, claim: Claim, repeat: Same | None, now: float) -> None:
        """Run what was claimed, or put it beside what it is the same as."""
        if repeat:
            try:
                put_beside(self._spool, claim, repeat.as_what)
            except OSError as error:
                self._note_unclaimed(claim.stage, error, now)
            return
        log.debug("%s %s: claimed", claim.stage, shown(claim.names["principal"]))
        self._backoff.recovered(claim.stage, CLAIM_FAILED)
        self._withdraw_empty(claim)
        self._launch(claim)

    def _withdraw_empty(self, claim: Claim) -> None:
        """Take back that a file has failed because it was empty, which a person has filled now under the same name."""
        for past in self._spool.recent.empty_failures(claim.stage, claim.names["principal"]):
            with suppress(OSError):  # it stays, as what was true when it was written
                if self._spool.withdraw(past):
                    name = shown(claim.names["principal"])
                    log.info("%s %s: has come, so its failure while it was empty is withdrawn (%s)", claim.stage, name, past.place)
