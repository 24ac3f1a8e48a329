"""The lifecycle of the daemon: build, start, tick, stop. The constructor starts nothing; a tick is one look at the folders.

The main thread scans, claims, supervises and pings systemd; each job in flight has one thread that runs `job.run`. Signals only
set flags. Whatever of it hangs, a stop is over in `shutdown.DEADLINE` seconds.
"""

import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path

from daemon.beneath import Beneath
from daemon.compute.engine import new_engine, placed
from daemon.compute.protocol import Engine, EngineOptions
from daemon.errors import InUse, Kind, in_words
from daemon.inbox.inbox import Drop, Inbox, Scan
from daemon.inbox.watch import Watcher
from daemon.jobs.context import JobContext
from daemon.jobs.heartbeat import Heartbeat
from daemon.jobs.hooks import Hooks
from daemon.jobs.job import run
from daemon.jobs.originals import exported_latents
from daemon.jobs.outcome import JobResult, Outcome
from daemon.jobs.probe import Probe, read_ids
from daemon.jobs.retry_budget import RetryBudget
from daemon.jobs.running import clear_running
from daemon.layout import HOLD, HOLD_SIGN, INBOX, KEEP, LOCK, WORK
from daemon.names import is_proof, shown
from daemon.service import exposure, shutdown, signals, startup
from daemon.service.away import away
from daemon.service.backoff import Retry, StageBackoff
from daemon.service.claiming import AT_ONCE, Claims, Wanted
from daemon.service.config_in_force import ConfigInForce
from daemon.service.dispatch import DispatchPolicy
from daemon.service.late_writers import LateWriters
from daemon.service.misplaced import Misplaced
from daemon.service.model_sizes import largest_model
from daemon.service.proofs import PROVED, Proofs
from daemon.service.repeats import Repeats, Same, Wait, put_beside
from daemon.service.restoring import is_sign, restored
from daemon.service.retention import Retention
from daemon.service.shutdown import Shutdown, ShutdownStep
from daemon.service.status import has_sign, notify
from daemon.service.status_writer import Described, StatusWriter
from daemon.service.supervisor import ActiveJob, Places, Supervisor
from daemon.service.wake import WakeEvent
from daemon.settings.config import Config
from daemon.spool.filesystem import Filesystem
from daemon.spool.ordering import KEEPS_ORDER
from daemon.spool.spool import Claim, Recovery, Spool
from daemon.stages import STAGES, downstream_first

log = logging.getLogger(__name__)

ORDER = downstream_first()
COALESCE_SECONDS = 0.05
# systemd's watchdog wants a ping also where the folders are looked at seldom.
PING_SECONDS = 10.0
UNREADABLE = "its inbox cannot be read"
FAILED_BY_MACHINE = "system error in a job"
CLAIM_FAILED = "a file cannot be claimed"
REFUSAL_FAILED = "a file cannot be put into failed/"
OF_A_FILE = (FAILED_BY_MACHINE, CLAIM_FAILED, REFUSAL_FAILED)
STUCK = "a job is stuck in .work/"
LOCK_LOST = (
    f"{LOCK} was removed or replaced, so another daemon may have this spool too, and this one claims nothing more; "
    "stop every daemon of this spool, then start one"
)
PAUSE_PER_SCAN = 20.0
# Where a scan is cheap, its pause ends also with so many claims, or one for each worker: who comes anew must be seen before a long
# backlog goes on.
CLAIMS_PER_SCAN, CHEAP_SCAN_SECONDS = 2, 0.1
REFUSING_SECONDS = 1.0  # at a stretch: then the watchdog, a stop and the jobs that ended have their turn
LEARNING_SECONDS = 1.0  # until the next look, while there are files that were not read yet
IN_USE_SECONDS = 5.0  # until a job is tried again whose files another program holds
# What the worker has to end by itself, after a drain in which it was told to.
GRACE_SECONDS = 2.0


def _do_not_leave() -> None:
    """Leave nothing: the process may end as it likes."""


class Service:
    """The daemon on one spool, for as long as it runs; `config_path` is where a reload reads the configuration again.

    `leave` ends the process at once, with threads that hang in it; it is called where a stop has left some behind. `engine` makes
    what computes.
    """

    def __init__(
        self,
        config: Config,
        *,
        config_path: Path | None = None,
        leave: Callable[[], None] = _do_not_leave,
        engine: Engine = new_engine,
    ) -> None:
        self._in_force = ConfigInForce(config, config_path)
        root = config.spool_folder
        self.spool = Spool(root, {stage.name: stage.folder for stage in STAGES.values()})
        self._probe = Probe(Beneath(root), lambda: self.config.limits.characters)
        self.inboxes = {name: self._inbox(name, root) for name in ORDER}
        options = placed(
            EngineOptions(
                device=config.compute.device,
                workers=config.compute.workers if isinstance(config.compute.workers, int) else None,
                places=tuple(config.compute.workers) if isinstance(config.compute.workers, list) else (),
                ssh_config=config.ssh_config,
                ssh_command=tuple(config.compute.ssh_command or ()),
                engine=config.compute.engine,
                ray_address=config.compute.ray_address,
                ray_config=config.compute.ray_config,
                threads=config.compute.threads,
                batch=config.compute.batch,
                idle_seconds=config.compute.idle_seconds,
                budget_bytes=None if config.compute.memory_gb is None else int(config.compute.memory_gb * 1e9),
                stage_devices=frozenset(device for name in STAGES if (device := config.options(name).device)),
                model_bytes=largest_model(config) if config.compute.workers == "auto" else None,
                job_seconds=lambda: self.config.limits.job_seconds,
            )
        )
        self._workers = options.workers or 1
        self.compute = engine(options)
        self.retention = Retention(
            root, Filesystem(root), limits=lambda: self.config.retention, ids=partial(read_ids, Beneath(root))
        )
        self._places = Places(config.slots(self._workers))
        self._wake = WakeEvent()  # something happened: tick
        self._scan_wanted = threading.Event()  # something happened in a folder
        self._stopping = False
        self._shutdown = Shutdown()
        self._leave = leave
        self._guards = True
        self._reload = False
        self.hooks = Hooks(root, lambda: self.config.hooks, self._wake.set)
        self._proofs = Proofs(self.spool, self.compute, lambda: self.config, self._wake.set)
        watched = [*[inbox.folder for inbox in self.inboxes.values()], *self._proofs.folders]
        self._watcher = Watcher(watched, self._request_scan)
        self._threads = ThreadPoolExecutor(self._places.all, thread_name_prefix="job")
        self._claims = Claims(self.spool)
        self._jobs: dict[Future[JobResult], ActiveJob] = {}
        self._supervisor = Supervisor(self._places)
        self._ready: dict[str, deque[Drop]] = {name: deque() for name in ORDER}
        self._scans: dict[str, Scan] = {}
        self._dispatch = DispatchPolicy(self._probe.read, config=lambda: self.config)
        self._backoff = StageBackoff()
        self._misplaced = Misplaced(root)
        self._repeats = Repeats(self.spool, lambda: self.config)
        self._late_writers = LateWriters(self.spool, lambda stage: self.config.settle_unleased_seconds(stage))
        self._ends_by_itself = False
        self._retries = RetryBudget()
        self._recovery = Retry()
        self._next_scan = 0.0
        self._scan_not_before = 0.0
        self._claimed_since_scan, self._claims_per_scan = 0, math.inf
        self._status = StatusWriter(
            self.spool,
            scans=lambda: self._scans,
            degraded=self._backoff.reasons,
            gated=self.gated,
            describe=lambda: self.compute.describe(),
            complaints=self._complaints,
        )
        self._not_done = 0  # jobs that failed, or were given back to their inbox
        self._warnings: tuple[str, ...] = ()  # of the start
        self._lock_is_lost = False

    def _inbox(self, name: str, root: Path) -> Inbox:
        watch = self.config.watch
        return Inbox(
            STAGES[name],
            root / INBOX / STAGES[name].folder,
            settle_seconds=self.config.settle_seconds(name),
            settle_unleased_seconds=self.config.settle_unleased_seconds(name),
            empty_grace_seconds=watch.empty_grace_seconds,
            empty_grace_unleased_seconds=watch.empty_grace_unleased_seconds,
            pair_patience_seconds=watch.pair_patience_hours * 3600,
            read_priority=lambda path: self._probe.read(path).priority,
            read_mask=lambda path: self._probe.read(path).mask,
            most_urgent=lambda: self.config.limits.priority,
            is_own=self.spool.is_own,
            owner_of=self.spool.owner_of,
        )

    def start(self, *, patient: bool = False) -> bool:
        """Take the spool, finish what a crash left, and begin to watch. Raises SpoolError where the spool cannot be used.

        Where the machine is at fault, MachineError; who is patient waits for it. False where a stop was asked for meanwhile.
        """
        if not patient:
            startup.acquire(self.spool)
        elif not startup.acquire_when_possible(self.spool, self._wake, lambda: self._stopping):
            return False
        self._warnings = (*exposure.warn(self.spool.root, STAGES.values()), *self._durability_warnings())
        clear_running(self.spool.root)
        self._recover(time.monotonic(), after="restart")
        self._watcher.start()
        self._status.write(time.monotonic(), idle=not self._jobs)
        notify("READY=1")
        log.info("watching %s", self.spool.root)
        return True

    def _durability_warnings(self) -> list[str]:
        why = self.spool.keep_order() if self.config.durability == "ordered" else None
        warnings = [] if why is None else [f"`durability: ordered` has no effect: {why}, and it takes {KEEPS_ORDER}"]
        for warning in warnings:
            log.warning("%s", warning)
        return warnings

    def run(self) -> None:
        """Start when the machine lets it, tick until a signal asks for the end, stop."""
        self._live(lambda: False, patient=True)

    def run_once(self) -> bool:
        """Work off what lies in the inboxes, and what comes of it, then stop; whether all was done, or waits for approval."""
        self._ends_by_itself = True
        ended_by_itself = self._live(self._idle, patient=False)
        return ended_by_itself and not (self._lock_is_lost or self._not_done or self._backoff.reasons() or self._left_waiting())

    def _live(self, is_done: Callable[[], bool], *, patient: bool) -> bool:
        done = False
        try:
            with signals.handled(stop=self.request_stop, reload=self.request_reload, guarded=self._guarded):
                if not self.start(patient=patient):
                    return False
                try:
                    while not (self._stopping or done):
                        due = self.tick(time.monotonic())
                        done = is_done()
                        if not done:
                            self._sleep(due)
                finally:
                    self.stop()
        finally:
            self._guards = bool(self._shutdown.hanging)
        if self._shutdown.hanging:
            self._leave()
        return done

    def tick(self, now: float) -> float:
        """One look: reap, scan, claim, supervise. Returns the monotonic time of the next look that is worth it."""
        self._wake.clear()
        if self._reload:
            self._read_config_again()
        self._reap(now)
        if self._is_ours():
            self._work(now)
        self.compute.tick(now)
        # What has just come may be a job, and is no reason to break off.
        self._status.worked |= self._proofs.busy(now)
        self._proofs.tick(now, free=self._is_free(now), begins=not self._scan_wanted.is_set())
        self._supervisor.report_stalled(self._jobs.values(), now)
        if now >= self._status.due:
            self._status.write(now, idle=not self._jobs)
        if self._watcher.healthy() and not self._supervisor.all_stalled():
            notify("WATCHDOG=1")
        telling = bool(self._jobs) or self._status.is_behind()
        return min(
            [
                self._next_scan,
                now + PING_SECONDS,
                *[self._scan_not_before] * self._scan_wanted.is_set(),
                *[self._status.due] * telling,
            ]
        )

    def _is_ours(self) -> bool:
        """Whether the spool is still this daemon's; where somebody has taken its lock away, nothing more may be moved in it."""
        ours = self.spool.is_still_ours()
        if ours is self._lock_is_lost:
            self._lock_is_lost = not ours
            self._status.due = 0.0
            say = log.info if ours else log.error
            say("%s", f"{self.spool.root / LOCK} is this daemon's again: files are claimed" if ours else LOCK_LOST)
        if not ours:
            self._scans.clear()
            self._ready = {name: deque() for name in ORDER}
            self._next_scan = time.monotonic() + self.config.watch.rescan_seconds
            self._scan_wanted.clear()
        return ours

    def _is_free(self, now: float) -> bool:
        """Whether no job runs, and none could."""
        ready = any(drops for name, drops in self._ready.items() if not self._backoff.is_backing_off(name, now))
        return not (self._jobs or ready or self._stopping or self._lock_is_lost)

    def _work(self, now: float) -> None:
        """Recover, scan, claim, and delete what is over its time: what only the one daemon of a spool may do."""
        if self._recovery.due(now):
            self._recover(now)
        if now >= self._next_scan or (self._scan_wanted.is_set() and now >= self._scan_not_before):
            self._scan(now)
            self._refuse_all(now)
        self._claim(now)
        self.retention.tick(now)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._in_force.config

    def _read_config_again(self) -> None:
        self._reload = False
        if self._in_force.read_again():
            self._status.due = 0.0

    def request_stop(self) -> None:
        """Ask the loop to end after this tick."""
        self._shutdown.ask()
        self._stopping = True
        self._wake.set()

    def request_reload(self) -> None:
        """Ask the loop to read the configuration again."""
        self._reload = True
        self._wake.set()

    def stop(self) -> None:
        """Give running jobs back at their next step, end the worker, and release the spool, leaving behind what hangs."""
        notify("STOPPING=1")
        self.request_stop()
        end = self._shutdown
        if wait(self._jobs, timeout=end.left_until(shutdown.DRAINED)).not_done:
            end.do({"a note on the jobs that are not done": self._discount_attempts}, until=shutdown.DISCOUNTED)
        steps: dict[str, ShutdownStep] = {
            "the worker": partial(self.compute.close, grace_seconds=GRACE_SECONDS),
            "the proofs": self._proofs.close,
            "the hooks": self.hooks.close,
            "the retention": self.retention.close,
            "the watch on the folders": self._watcher.stop,
        }
        end.do(steps, until=shutdown.CLOSED)
        self._leave_jobs(wait(self._jobs, timeout=end.left_until(shutdown.GIVEN_BACK)).not_done)
        last_words = partial(self._status.write, time.monotonic(), idle=not self._jobs, alive=False)
        end.do({"the status": last_words}, until=shutdown.STATUS_WRITTEN)
        end.do({"the spool": self.spool.release}, until=shutdown.RELEASED)

    def _leave_jobs(self, hanging: set[Future[JobResult]]) -> None:
        for future in hanging:
            if (beat := self._jobs[future].heartbeat.last) is not None:
                self._shutdown.give_up(f"{self._jobs[future].label}, {beat.doing}")
        self._reap(time.monotonic())
        self._threads.shutdown(wait=not hanging, cancel_futures=True)
        self._claims.close()

    def _discount_attempts(self) -> None:
        """Note of the jobs that hang that they have done no harm, so that the next start does not count their attempts."""
        for job in [job for job in list(self._jobs.values()) if job.may_be_discounted()]:
            try:
                self.spool.discount_attempt(job.claim)
            except OSError as error:
                log.error("%s: its attempt stays counted: %s", job.label, in_words(error))

    def _guarded(self) -> bool:
        """Whether a guard is needed. Where the time of a stop is over, it does what the main thread should have done."""
        if not self._guards:
            return False
        if self._shutdown.past(shutdown.DEADLINE):
            log.error("shutdown takes too long; what still hangs is abandoned")
            self._leave()
            return False
        if self._shutdown.past(shutdown.LAST_CHANCE) and not self._shutdown.hanging:
            self._shutdown.do({"a note on the jobs that are not done": self._discount_attempts}, until=shutdown.RELEASED)
        return True

    def gated(self, stage: str) -> bool:
        """Whether results for a stage wait in its hold folder: by configuration or by a HOLD file there."""
        return self.config.holds(stage) or has_sign(self.spool.root, f"{HOLD}/{STAGES[stage].folder}", HOLD_SIGN)

    def _request_scan(self) -> None:
        self._scan_wanted.set()
        self._wake.set()

    def _sleep(self, due: float) -> None:
        if not self._stopping:
            self._wake.sleep_until(due)

    def _idle(self) -> bool:
        if self._lock_is_lost:
            return not self._jobs
        # What waits for a stage that backs off may wait for ever.
        able = {name: scan for name, scan in self._scans.items() if name not in self._backoff.reasons()}
        settling = any(scan.due is not None or scan.unread or scan.refused or scan.more for scan in able.values())
        ready = any(self._ready[name] for name in able)
        moving = len(self._jobs) > self._supervisor.stalled_jobs()
        waiting = ready and not self._supervisor.all_stalled()
        busy = self.hooks.busy() or self._proofs.busy(time.monotonic()) or self._proofs.behind
        return not (moving or waiting or settling or self._scan_wanted.is_set() or busy)

    def _left_waiting(self) -> bool:
        """Whether something stays in an inbox that nobody has paused; the log says what, and why."""
        left = [(name, waiting) for name, scan in self._scans.items() if not scan.paused for waiting in scan.waiting]
        for name, waiting in left:
            log.warning("%s %s: not run, waits in its inbox: %s", name, shown(waiting.name), waiting.reason)
        return bool(left) or any(self._ready.values())

    def _scan(self, now: float) -> None:
        news = self._scan_wanted.is_set()
        self._scan_wanted.clear()
        started = time.monotonic()
        self._misplaced.look()
        self._in_force.look()
        self._late_writers.look(now)
        for name, inbox in self.inboxes.items():
            try:
                scan = inbox.scan(now)
            except OSError as error:
                self._scans.pop(name, None)
                self._ready[name].clear()
                way_out = "; `tiffsd init` makes it again" if isinstance(error, FileNotFoundError) else ""
                self._backoff.record_failure(name, f"{UNREADABLE}: {in_words(error)}{way_out}", now)
                continue
            self._backoff.recovered(name, UNREADABLE)
            self._scans[name] = scan
            self._ready[name] = deque(scan.ready)
        self._look_at_proofs(now, news=news)
        for name, scan in self._scans.items():
            tried_again = scan.ready or scan.refused or scan.waiting or name in self._proofs.signed
            if not (tried_again or name in {job.claim.stage for job in self._jobs.values()}):
                self._backoff.recovered(name, OF_A_FILE)  # nothing is left that could be
        # The first event scans at once, later ones coalesce; with very many files a scan is dear, and most time is kept for work.
        took = time.monotonic() - started
        self._scan_not_before = now + max(COALESCE_SECONDS, PAUSE_PER_SCAN * took)
        most = max(CLAIMS_PER_SCAN, self._workers)
        self._claimed_since_scan, self._claims_per_scan = 0, most if took < CHEAP_SCAN_SECONDS else math.inf
        dues = [due for due in (self._proofs.due, *[scan.due for scan in self._scans.values()]) if due is not None]
        dues += [max(now + LEARNING_SECONDS, self._scan_not_before)] * any(scan.unread for scan in self._scans.values())
        self._next_scan = min([now + self.config.watch.rescan_seconds, *dues])

    def _look_at_proofs(self, now: float, *, news: bool) -> None:
        self._proofs.due = None
        # First: beside latents whose painted proof has gone ahead, none is made anew.
        alone = [self._proofs.alone_in_inbox(name, scan.proofs, now) for name, scan in self._scans.items() if name in PROVED]
        found = self._proofs.look(now, news=news)
        for stage, drop in found.applied:
            self._claim_held(stage, drop, now)
        for late in [*found.refused, *itertools.chain.from_iterable(alone)]:
            self._refuse(late.stage, late.drop, late.sentence, now)

    def _claim_held(self, stage: str, drop: Drop, now: float) -> None:
        """Claim latents that are to go on waiting with the paint on their proof in them."""
        if self._stopping or self._backoff.is_backing_off(stage, now):
            return  # it is found again at the next look
        try:
            claim = self.spool.claim(stage, drop, principal_last=True)
        except OSError as error:
            self._note_unclaimed(stage, error, now)
            return
        if claim:
            log.debug("%s %s: claimed, to apply the paint on its proof", stage, shown(claim.names["principal"]))
            self._backoff.recovered(stage, CLAIM_FAILED)
            self._launch(claim)

    def _refuse_all(self, now: float) -> None:
        """Put away what the stages cannot take, as much of it as there is time for."""
        until = time.monotonic() + REFUSING_SECONDS
        for name, scan in self._scans.items():
            while scan.refused and not self._stopping and not self._backoff.is_backing_off(name, now):
                if time.monotonic() >= until:
                    self._next_scan = now
                    return
                refusal = scan.refused.pop(0)
                dropped = refusal.drop.principal.path.name
                exported = None if is_proof(dropped) else exported_latents(dropped, self.spool.root / KEEP)
                self._refuse(name, refusal.drop, exported or refusal.sentence, now, None if exported else refusal.elsewhere)

    def _refuse(self, stage: str, drop: Drop, sentence: str, now: float, elsewhere: str | None = None) -> None:
        try:
            claim = self.spool.claim(stage, drop)
            if claim and is_sign(claim.names["principal"]):
                if self._restore(stage, claim):
                    return
                sentence = f"{shown(claim.names['principal'])} asks for an original, and none of that id is kept; look into done/"
            if claim and self.spool.is_stable(claim) is False:
                self.spool.give_back(claim)  # somebody has begun to write it
            elif claim:
                log.error("%s %s: refused: %s", stage, shown(claim.names["principal"]), sentence)
                self._not_done += 1
                place = {"elsewhere": elsewhere} if elsewhere else {}
                folder = self.spool.fail(claim, sentence, {"kind": Kind.REFUSED, "stage": stage, **place})
                self.hooks.failed(stage, claim.names["principal"], folder, sentence)
                self._backoff.recovered(stage, REFUSAL_FAILED)
        except OSError as error:
            self._recovery.failed(now)
            self._backoff.record_failure(stage, f"{REFUSAL_FAILED}: {in_words(error)}", now)

    def _restore(self, stage: str, claim: Claim) -> bool:
        """Put back the original that a sign asks for; whether there is one."""
        published = restored(self.spool, claim)
        if published is not None:
            log.info(
                "%s %s: restored %s", stage, shown(claim.names["principal"]), ", ".join(shown(str(path)) for path in published)
            )
        return published is not None

    def _claim(self, now: float) -> None:
        while (free := self._places.free(self._jobs.values())) > 0 and not self._stopping:
            if self._scan_wanted.is_set() and self._claimed_since_scan >= self._claims_per_scan:
                self._scan_not_before = now
                break
            able = {name: self._ready[name] for name in ORDER if not self._backoff.is_backing_off(name, now)}
            turns = list(itertools.islice(iter(partial(self._dispatch.take, able, now), None), min(free, self._workers, AT_ONCE)))
            if not turns:
                break
            self._claim_all(turns, now)
            self._claimed_since_scan += len(turns)
        if any(
            scan.more and not (self._ready[name] or self._backoff.is_backing_off(name, now)) for name, scan in self._scans.items()
        ):
            self._next_scan = now

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
            # Who starts a daemon for what lies there now means all of it.
            repeat = None if self._ends_by_itself else self._repeats.look(stage, drop, now)
            if isinstance(repeat, Wait):
                self.inboxes[stage].defer(drop.principal.path.name, repeat.reason, repeat.until)
                self._next_scan = min(self._next_scan, repeat.until)
                return None
            whole = self._with_proof(stage, drop, now)
        except OSError as error:
            self._note_unclaimed(stage, error, now)
            return None
        return Wanted(stage, whole, repeat) if whole else None

    def _note_unclaimed(self, stage: str, error: OSError, now: float) -> None:
        self._recovery.failed(now)  # where it could not be given back at once
        self._backoff.record_failure(stage, f"{CLAIM_FAILED}: {error}", now)

    def _take_up(self, claim: Claim, repeat: Same | None, now: float) -> None:
        """Run what was claimed, or put it beside what it is the same as."""
        if repeat:
            try:
                put_beside(self.spool, claim, repeat.as_what)
            except OSError as error:
                self._note_unclaimed(claim.stage, error, now)
            return
        log.debug("%s %s: claimed", claim.stage, shown(claim.names["principal"]))
        self._backoff.recovered(claim.stage, CLAIM_FAILED)
        self._withdraw_empty(claim)
        self._launch(claim)

    def _with_proof(self, stage: str, drop: Drop, now: float) -> Drop | None:
        """A drop with the painted proof that lies elsewhere; None where it has to wait, because another program holds that."""
        try:
            return self._proofs.along(stage, drop)
        except InUse:
            until = now + IN_USE_SECONDS
            self.inboxes[stage].defer(drop.principal.path.name, "waits for its proof, which another program holds", until)
            self._next_scan = min(self._next_scan, until)
            return None

    def _withdraw_empty(self, claim: Claim) -> None:
        """Take back that a file has failed because it was empty, which a person has filled now under the same name."""
        for past in self.spool.recent.empty_failures(claim.stage, claim.names["principal"]):
            with suppress(OSError):  # it stays, as what was true when it was written
                if self.spool.withdraw(past):
                    name = shown(claim.names["principal"])
                    log.info("%s %s: has come, so its failure while it was empty is withdrawn (%s)", claim.stage, name, past.place)

    def _launch(self, claim: Claim) -> None:
        job = ActiveJob(claim, Heartbeat(on_computed=self._wake.set))
        given = (self.config, self.spool, self.compute, self.hooks, self.gated, lambda: self._stopping)
        context = JobContext(*given, heartbeat=job.heartbeat, retries=self._retries)
        future = self._threads.submit(run, claim, context)
        self._jobs[future] = job
        self._status.worked = True
        future.add_done_callback(lambda _: self._wake.set())

    def _reap(self, now: float) -> None:
        for future in [future for future in self._jobs if future.done()]:
            claim = self._jobs.pop(future).claim
            error = future.exception()
            result = JobResult(Outcome.UNFINISHED, str(error)) if error else future.result()
            self._handle_result(claim, result, now)

    def _handle_result(self, claim: Claim, result: JobResult, now: float) -> None:
        self._not_done += result.outcome in (Outcome.FAILED, Outcome.RETURNED)
        wait_seconds = IN_USE_SECONDS if result.outcome is Outcome.IN_USE else result.wait_seconds
        if wait_seconds:
            name, until = claim.names["principal"], now + wait_seconds
            self.inboxes[claim.stage].defer(name, result.reason, until)
            self._proofs.defer(self.spool.hold(claim.stage) / name, until)
            self._scan_wanted.set()
        if result.outcome is Outcome.UNFINISHED:
            self._backoff.record_failure(claim.stage, f"{STUCK}, will retry: {result.reason}", now)
            self._recovery.failed(now)
        elif result.outcome is Outcome.KEPT:
            self._backoff.record_failure(claim.stage, f"{FAILED_BY_MACHINE}, will retry: {result.reason}", now)
        elif result.outcome is Outcome.DONE:
            self._backoff.recovered(claim.stage)
            self._retries.succeeded(claim.stage)
            # Its result is in the next inbox, which must be seen also without inotify.
            self._scan_wanted.set()

    def _recover(self, now: float, *, after: str = "a system error") -> None:
        """Bring what a crash or a failing machine left in `.work/` to its end."""
        try:
            recovery = self.spool.recover(in_flight=[job.claim.job for job in self._jobs.values()])
        except OSError as error:
            recovery = Recovery([], {WORK: error})
        if recovery.stuck:
            self._recovery.failed(now)
        else:
            self._recovery.succeeded()
        for name in ORDER:
            if recovery.stuck:
                # What keeps one job from its end, a full disk say, would keep the next one too.
                self._backoff.record_failure(name, f"{STUCK}, will retry: {in_words(next(iter(recovery.stuck.values())))}", now)
            else:
                self._backoff.recovered(name, STUCK)
        for claim in recovery.claims:
            log.info("%s %s: resuming after %s", claim.stage, shown(claim.names["principal"]), after)
            self._launch(claim)

    def _complaints(self, described: Described) -> list[str]:
        """What people should see to."""
        return [
            *self._warnings,
            *self._in_force.complaints(),
            *[LOCK_LOST] * self._lock_is_lost,
            *self.hooks.complaints(),
            *away(described.get("workers", ())),
            *self._misplaced.complaints(),
            *self._proofs.complaints(),
            *self.retention.complaints(),
            *self._supervisor.complaints(),
        ]
