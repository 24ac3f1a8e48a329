"""The lifecycle of the daemon: build, start, tick, stop. The constructor starts nothing; a tick is one look at the folders.

The main thread scans, claims, supervises and pings systemd; each job in flight has one thread that runs `job.run`. Signals only
set flags. Whatever of it hangs, a stop is over in `shutdown.DEADLINE` seconds.
"""

import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from daemon import cores
from daemon.beneath import Beneath
from daemon.compute.engine import new_engine
from daemon.compute.protocol import Engine
from daemon.errors import in_words
from daemon.inbox.watch import Watcher
from daemon.jobs.context import JobContext
from daemon.jobs.heads import Heads
from daemon.jobs.heartbeat import Heartbeat
from daemon.jobs.hooks import Hooks
from daemon.jobs.job import run
from daemon.jobs.outcome import JobResult, Outcome
from daemon.jobs.probe import Probe, read_ids
from daemon.jobs.retry_budget import RetryBudget
from daemon.jobs.running import clear_running
from daemon.layout import HOLD, HOLD_SIGN, WORK
from daemon.names import shown
from daemon.service import exposure, shutdown, signals, startup
from daemon.service.away import away
from daemon.service.backoff import FAILED_BY_MACHINE, STUCK, Retry, StageBackoff
from daemon.service.config_in_force import ConfigInForce
from daemon.service.dispatch import DispatchPolicy
from daemon.service.engine_options import engine_options
from daemon.service.inboxes import ORDER, inboxes_of
from daemon.service.intake import Intake
from daemon.service.jobs_in_flight import JobsInFlight
from daemon.service.lock_watch import LockWatch
from daemon.service.proofs import Proofs
from daemon.service.refusing import Refusals
from daemon.service.retention import Retention
from daemon.service.scan_pace import ScanPace
from daemon.service.shutdown import Shutdown, ShutdownStep
from daemon.service.status import has_sign, notify
from daemon.service.status_writer import Described, StatusWriter
from daemon.service.supervisor import ActiveJob, Places, Supervisor
from daemon.service.wake import WakeEvent
from daemon.settings.config import Config
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Claim, Recovery, Spool
from daemon.stages import STAGES

log = logging.getLogger(__name__)

# systemd's watchdog wants a ping also where the folders are looked at seldom.
PING_SECONDS = 10.0
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
        heads = Heads()
        probe = Probe(Beneath(root), lambda: self.config.limits.characters, heads=heads)
        self.inboxes = inboxes_of(self.spool, lambda: self.config, probe.read)
        options = engine_options(config, job_seconds=lambda: self.config.limits.job_seconds)
        self._workers = options.workers or 1
        self.compute = engine(options)
        self.retention = Retention(
            root, Filesystem(root), limits=lambda: self.config.retention, ids=partial(read_ids, Beneath(root))
        )
        places = Places(config.slots(self._workers))
        self._wake = WakeEvent()  # something happened: tick
        self._pace = ScanPace(self._workers)
        self._stopping = False
        self._shutdown = Shutdown()
        self._leave = leave
        self._guards = True
        self._reload = False
        self.hooks = Hooks(root, lambda: self.config.hooks, self._wake.set)
        self._proofs = Proofs(self.spool, self.compute, lambda: self.config, self._wake.set)
        watched = [*[inbox.folder for inbox in self.inboxes.values()], *self._proofs.folders]
        self._watcher = Watcher(watched, self._request_scan)
        self._jobs = JobsInFlight(self.spool, places)
        self._supervisor = Supervisor(places)
        self._lock = LockWatch(self.spool)
        self._backoff = StageBackoff()
        self._retries = RetryBudget()
        self._recovery = Retry()
        self._refusals = Refusals(
            self.spool, self.hooks, backoff=self._backoff, recovery=self._recovery, is_stopping=lambda: self._stopping
        )
        self._intake = Intake(
            self.spool,
            self.inboxes,
            config=lambda: self.config,
            pace=self._pace,
            dispatch=DispatchPolicy(probe.read, config=lambda: self.config),
            proofs=self._proofs,
            refusals=self._refusals,
            backoff=self._backoff,
            recovery=self._recovery,
            launch=self._launch,
            is_stopping=lambda: self._stopping,
        )
        self._status = StatusWriter(
            self.spool,
            heads=heads,
            scans=lambda: self._intake.scans,
            degraded=self._backoff.reasons,
            gated=self.gated,
            describe=lambda: self.compute.describe(),
            complaints=self._complaints,
        )
        self._not_done = 0  # jobs that failed, or were given back to their inbox
        self._warnings: tuple[str, ...] = ()  # of the start

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._in_force.config

    def start(self, *, patient: bool = False) -> bool:
        """Take the spool, finish what a crash left, and begin to watch. Raises SpoolError where the spool cannot be used.

        Where the machine is at fault, MachineError; who is patient waits for it. False where a stop was asked for meanwhile.
        """
        if not patient:
            startup.acquire(self.spool)
        elif not startup.acquire_when_possible(self.spool, self._wake, lambda: self._stopping):
            return False
        self._warnings = (*exposure.warn(self.spool.root, STAGES.values()), *startup.spare_syncs(self.spool, self.config))
        clear_running(self.spool.root)
        self._recover(time.monotonic(), after="restart")
        self._watcher.start()
        self._status.write(time.monotonic(), idle=not self._jobs)
        notify("READY=1")
        log.info("watching %s", self.spool.root)
        return True

    def run(self) -> None:
        """Start when the machine lets it, tick until a signal asks for the end, stop."""
        self._live(lambda: False, patient=True)

    def run_once(self) -> bool:
        """Work off what lies in the inboxes, and what comes of it, then stop; whether all was done, or waits for approval."""
        self._intake.takes_all = True  # who starts a daemon for what lies there now means all of it
        ended_by_itself = self._live(self._idle, patient=False)
        return ended_by_itself and not (
            self._lock.is_lost or self._not_done or self._refusals.number or self._backoff.reasons() or self._intake.left_waiting()
        )

    def _live(self, is_done: Callable[[], bool], *, patient: bool) -> bool:
        done = False
        try:
            handled = signals.handled(stop=self.request_stop, reload=self.request_reload, guarded=self._guarded)
            with cores.pinned(), handled:
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
        self._proofs.tick(now, free=self._is_free(now), begins=not self._pace.wanted.is_set())
        self._supervisor.report_stalled(self._jobs.active, now)
        if now >= self._status.due:
            self._status.write(now, idle=not self._jobs)
        if self._watcher.healthy() and not self._supervisor.all_stalled():
            notify("WATCHDOG=1")
        telling = bool(self._jobs) or self._status.is_behind()
        return min([*self._pace.moments(), self._watcher.due, now + PING_SECONDS, *[self._status.due] * telling])

    def _is_ours(self) -> bool:
        """Whether the spool is still this daemon's; what lies in one that is not is none of its business."""
        if self._lock.look():
            self._status.due = 0.0
        if self._lock.is_lost:
            self._intake.forget()
            self._pace.rest_until(time.monotonic() + self.config.watch.rescan_seconds)
        return not self._lock.is_lost

    def _is_free(self, now: float) -> bool:
        """Whether no job runs, and none could."""
        return not (self._jobs or any(self._intake.able(now).values()) or self._stopping or self._lock.is_lost)

    def _work(self, now: float) -> None:
        """Recover, scan, claim, and delete what is over its time: what only the one daemon of a spool may do."""
        if self._recovery.due(now):
            self._recover(now)
        if self._pace.is_due(now):
            self._in_force.look()
            self._intake.scan(now, running=self._jobs.stages)
        self._intake.claim(now, free=self._jobs.free, at_once=self._workers)
        self.retention.tick(now)

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
        if self._jobs.not_over(end.left_until(shutdown.DRAINED)):
            end.do({"a note on the jobs that are not done": self._jobs.discount_attempts}, until=shutdown.DISCOUNTED)
        steps: dict[str, ShutdownStep] = {
            "the worker": partial(self.compute.close, grace_seconds=GRACE_SECONDS),
            "the proofs": self._proofs.close,
            "the hooks": self.hooks.close,
            "the retention": self.retention.close,
            "the watch on the folders": self._watcher.stop,
        }
        end.do(steps, until=shutdown.CLOSED)
        self._leave_jobs(self._jobs.not_over(end.left_until(shutdown.GIVEN_BACK)))
        last_words = partial(self._status.write, time.monotonic(), idle=not self._jobs, alive=False)
        end.do({"the status": last_words}, until=shutdown.STATUS_WRITTEN)
        end.do({"the spool": self.spool.release}, until=shutdown.RELEASED)

    def _leave_jobs(self, hanging: Collection[ActiveJob]) -> None:
        for job in hanging:
            if (beat := job.heartbeat.last) is not None:
                self._shutdown.give_up(f"{job.label}, {beat.doing}")
        self._reap(time.monotonic())
        self._jobs.close(patient=not hanging)
        self._intake.close()

    def _guarded(self) -> bool:
        """Whether a guard is needed. Where the time of a stop is over, it does what the main thread should have done."""
        if not self._guards:
            return False
        if self._shutdown.past(shutdown.DEADLINE):
            log.error("shutdown takes too long; what still hangs is abandoned")
            self._leave()
            return False
        if self._shutdown.past(shutdown.LAST_CHANCE) and not self._shutdown.hanging:
            self._shutdown.do({"a note on the jobs that are not done": self._jobs.discount_attempts}, until=shutdown.RELEASED)
        return True

    def gated(self, stage: str) -> bool:
        """Whether results for a stage wait in its hold folder: by configuration or by a HOLD file there."""
        return self.config.holds(stage) or has_sign(self.spool.root, f"{HOLD}/{STAGES[stage].folder}", HOLD_SIGN)

    def _request_scan(self) -> None:
        self._pace.wanted.set()
        self._wake.set()

    def _sleep(self, due: float) -> None:
        if not self._stopping:
            with cores.sleeping():
                self._wake.sleep_until(due)

    def _idle(self) -> bool:
        if self._lock.is_lost:
            return not self._jobs
        moving = len(self._jobs) > self._supervisor.stalled_jobs()
        waiting = self._intake.has_turns() and not self._supervisor.all_stalled()
        busy = self.hooks.busy() or self._proofs.busy(time.monotonic()) or self._proofs.behind
        return not (moving or waiting or self._intake.is_settling() or self._pace.wanted.is_set() or busy)

    def _launch(self, claim: Claim) -> None:
        job = ActiveJob(claim, Heartbeat(on_computed=self._wake.set))
        given = (self.config, self.spool, self.compute, self.hooks, self.gated, lambda: self._stopping)
        context = JobContext(*given, heartbeat=job.heartbeat, retries=self._retries)
        self._jobs.launch(job, partial(run, claim, context), over=self._wake.set)
        self._status.worked = True

    def _reap(self, now: float) -> None:
        for claim, result in self._jobs.reaped():
            self._handle_result(claim, result, now)

    def _handle_result(self, claim: Claim, result: JobResult, now: float) -> None:
        self._not_done += result.outcome in (Outcome.FAILED, Outcome.RETURNED)
        self._intake.put_off(claim, result, now)
        if result.outcome is Outcome.UNFINISHED:
            self._backoff.record_failure(claim.stage, f"{STUCK}, will retry: {result.reason}", now)
            self._recovery.failed(now)
        elif result.outcome is Outcome.KEPT:
            self._backoff.record_failure(claim.stage, f"{FAILED_BY_MACHINE}, will retry: {result.reason}", now)
        elif result.outcome is Outcome.DONE:
            self._backoff.recovered(claim.stage)
            self._retries.succeeded(claim.stage)
            # Its result is in the next inbox, which must be seen also without inotify.
            self._pace.wanted.set()

    def _recover(self, now: float, *, after: str = "a system error") -> None:
        """Bring what a crash or a failing machine left in `.work/` to its end."""
        try:
            recovery = self.spool.recover(in_flight=[job.claim.job for job in self._jobs.active])
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
            *self._lock.complaints(),
            *self.hooks.complaints(),
            *away(described.get("workers", ())),
            *self._intake.complaints(),
            *self._proofs.complaints(),
            *self.retention.complaints(),
            *self._supervisor.complaints(),
        ]
