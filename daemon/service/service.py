"""The lifecycle of the daemon: build, start, tick, stop. The constructor starts nothing; a tick is one look at the folders.

The main thread scans, claims, supervises and pings systemd; each job in flight has one thread that runs `job.run`. Signals only
set flags. Whatever of it hangs, a stop is over in `ending.OVER` seconds.
"""

import ctypes
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from functools import partial
from operator import attrgetter
from pathlib import Path

from daemon.beneath import Beneath
from daemon.compute.engine import new_engine
from daemon.compute.protocol import Engine, EngineOptions
from daemon.errors import ConfigError, MachineError
from daemon.inbox.inbox import Drop, Inbox, Scan
from daemon.inbox.watch import Watcher
from daemon.jobs.context import Rooms
from daemon.jobs.hooks import Hooks
from daemon.jobs.job import run
from daemon.jobs.outcome import Ended, Outcome
from daemon.jobs.patience import Patience
from daemon.jobs.previews import write_index
from daemon.jobs.probe import Heads, stated_ids
from daemon.jobs.running import clear_running
from daemon.jobs.whereabouts import Whereabouts
from daemon.layout import HOLD, INBOX, WORK
from daemon.names import shown
from daemon.service import beginning, ending, exposure, signals
from daemon.service.backoff import Retry, Troubles
from daemon.service.dispatch import DispatchPolicy
from daemon.service.ending import Ending, Part
from daemon.service.retention import Retention
from daemon.service.status import Status, has_sign, notify, read_status, write_status
from daemon.service.supervisor import Flight, Supervisor
from daemon.service.wake import Bell
from daemon.settings.config import Config
from daemon.settings.permissions import read_trusted_again
from daemon.spool.filesystem import Ops
from daemon.spool.hardlinks import unprotected_links
from daemon.spool.spool import Claim, Recovery, Spool
from daemon.stages import STAGES, downstream_first

log = logging.getLogger(__name__)

ORDER = downstream_first()
COALESCE_SECONDS = 0.05
# systemd's watchdog wants a ping also where the folders are looked at seldom.
PING_SECONDS = 10.0
UNREADABLE = "its inbox cannot be read"
FAILED_BY_MACHINE = "the machine failed a job"
UNCLAIMED = "a file cannot be claimed"
UNREFUSED = "a file cannot be put into failed/"
OF_A_FILE = (FAILED_BY_MACHINE, UNCLAIMED, UNREFUSED)
STUCK = "a job cannot be put away"
REST_PER_LOOK = 20.0
# Where a look is cheap, the rest ends also with so many claims: who comes anew must be seen before a long backlog goes on.
CLAIMS_PER_LOOK, CHEAP_LOOK_SECONDS = 2, 0.1
REFUSING_SECONDS = 1.0  # at a stretch: then the watchdog, a stop and the jobs that ended have their turn
LEARNING_SECONDS = 1.0  # until the next look, while there are files that were not read yet
STATUS_SECONDS = 1.0
IN_USE_SECONDS = 5.0  # until a job is tried again whose files another program holds
NEEDS_RESTART = (
    *("spool", "watch.settle_seconds", "watch.settle_unleased_seconds", "watch.empty_grace_seconds", "watch.pair_patience_hours"),
    *(f"compute.{key}" for key in ("device", "workers", "threads", "batch", "idle_seconds", "memory_gb", "ahead")),
)
# What the worker has to end by itself, after a drain in which it was told to.
GRACE_SECONDS = 2.0


def _stay() -> None:
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
        leave: Callable[[], None] = _stay,
        engine: Engine = new_engine,
    ) -> None:
        self.config = config
        self.config_path = config_path
        root = config.spool_folder
        self.spool = Spool(root, {stage.name: stage.folder for stage in STAGES.values()})
        self._heads = Heads(Beneath(root), lambda: self.config.limits.characters)
        self.inboxes = {name: self._inbox(name, root) for name in ORDER}
        self.compute = engine(
            EngineOptions(
                device=config.compute.device,
                workers=config.compute.workers,
                threads=config.compute.threads,
                batch=config.compute.batch,
                idle_seconds=config.compute.idle_seconds,
                budget_bytes=int(config.compute.memory_gb * 1e9),
                job_seconds=lambda: self.config.limits.job_seconds,
            )
        )
        self.retention = Retention(root, Ops(root), limits=lambda: self.config.retention, ids=partial(stated_ids, Beneath(root)))
        self.slots = config.slots
        self._bell = Bell()  # something happened: tick
        self._look = threading.Event()  # something happened in a folder: scan
        self._stopping = False
        self._ending = Ending()
        self._leave = leave
        self._guards = True
        self._reload = False
        self.hooks = Hooks(root, lambda: self.config.hooks, self._bell.ring)
        self._watcher = Watcher([inbox.folder for inbox in self.inboxes.values()], self._look_again)
        self._threads = ThreadPoolExecutor(self.slots, thread_name_prefix="job")
        self._jobs: dict[Future[Ended], Flight] = {}
        self._supervisor = Supervisor(self.slots)
        self._ready: dict[str, deque[Drop]] = {name: deque() for name in ORDER}
        self._scans: dict[str, Scan] = {}
        self._dispatch = DispatchPolicy(self._heads.read, config=lambda: self.config)
        self._troubles = Troubles()
        self._patience = Patience()
        self._recovery = Retry()
        self._new_previews = config.previews.enabled
        self._next_scan = 0.0
        self._rest_until = 0.0
        self._claimed_since_look, self._claims_per_look = 0, math.inf
        self._last_status: Status | None = None
        self._status_due = 0.0
        self._worked = False  # since freed memory was given back
        self._undone = 0  # jobs that failed, or were given back to their inbox
        self._config_complaint: tuple[str, ...] = ()
        self._warnings: tuple[str, ...] = ()  # of the start

    def _inbox(self, name: str, root: Path) -> Inbox:
        watch = self.config.watch
        return Inbox(
            STAGES[name],
            root / INBOX / STAGES[name].folder,
            settle_seconds=watch.settle_seconds,
            settle_unleased_seconds=watch.settle_unleased_seconds,
            empty_grace_seconds=watch.empty_grace_seconds,
            pair_patience_seconds=watch.pair_patience_hours * 3600,
            stated=lambda path: self._heads.read(path).priority,
            stated_mask=lambda path: self._heads.read(path).mask,
            most_urgent=lambda: self.config.limits.priority,
            is_own=self.spool.is_own,
            owner_of=self.spool.owner_of,
        )

    def start(self, *, patient: bool = False) -> bool:
        """Take the spool, finish what a crash left, and begin to watch. Raises SpoolError where the spool cannot be used.

        Where the machine is at fault, MachineError; who is patient waits for it. False where a stop was asked for meanwhile.
        """
        if not patient:
            beginning.take(self.spool)
        elif not beginning.take_patiently(self.spool, self._bell, lambda: self._stopping):
            return False
        self._warn_of_others()
        clear_running(self.spool.root)
        self._recover(time.monotonic())
        self._watcher.start()
        self._tell(time.monotonic())
        notify("READY=1")
        log.info("watching %s", self.spool.root)
        return True

    def _warn_of_others(self) -> None:
        """Say what others could do to the spool, with the command that keeps them from it."""
        root, inboxes = self.spool.root, [inbox.folder for inbox in self.inboxes.values()]
        links = unprotected_links(Ops(root), inboxes)
        try:
            exposed = exposure.complaints(root, [stage.folder for stage in STAGES.values()])
        except OSError as error:
            exposed = [f"whether others could replace folders of the daemon's cannot be told: {error}"]
        self._warnings = (*exposed, links) if links else tuple(exposed)
        for sentence in self._warnings:
            log.warning("%s", sentence)

    def run(self) -> None:
        """Start when the machine lets it, tick until a signal asks for the end, stop."""
        self._live(lambda: False, patient=True)

    def run_once(self) -> bool:
        """Work off what lies in the inboxes, and what comes of it, then stop; whether all was done, or waits for approval."""
        ended_by_itself = self._live(self._idle, patient=False)
        return ended_by_itself and not (self._undone or self._troubles.reasons() or self._left_waiting())

    def _live(self, is_done: Callable[[], bool], *, patient: bool) -> bool:
        done = False
        try:
            with signals.taken(stop=self.request_stop, reload=self.request_reload, guarded=self._guarded):
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
            self._guards = bool(self._ending.hanging)
        if self._ending.hanging:
            self._leave()
        return done

    def tick(self, now: float) -> float:
        """One look: reap, scan, claim, supervise. Returns the monotonic time of the next look that is worth it."""
        self._bell.hush()
        if self._reload:
            self._read_config_again()
        self._reap(now)
        if self._recovery.due(now):
            self._recover(now)
        if now >= self._next_scan or (self._look.is_set() and now >= self._rest_until):
            self._scan(now)
            self._refuse_all(now)
        self._claim(now)
        self.compute.tick(now)
        self.retention.tick(now)
        self._supervisor.look(self._jobs.values(), now)
        if now >= self._status_due:
            self._tell(now)
        if self._watcher.healthy() and not self._supervisor.all_stand_still():
            notify("WATCHDOG=1")
        telling = bool(self._jobs) or self._worked
        return min([self._next_scan, now + PING_SECONDS, *[self._rest_until] * self._look.is_set(), *[self._status_due] * telling])

    def request_stop(self) -> None:
        """Ask the loop to end after this tick."""
        self._ending.ask()
        self._stopping = True
        self._bell.ring()

    def request_reload(self) -> None:
        """Ask the loop to read the configuration again."""
        self._reload = True
        self._bell.ring()

    def stop(self) -> None:
        """Give running jobs back at their next step, end the worker, and release the spool, leaving behind what hangs."""
        notify("STOPPING=1")
        self.request_stop()
        parts = self._ending
        if wait(self._jobs, timeout=parts.left_until(ending.DRAINED)).not_done:
            parts.do({"a note on the jobs that are not done": self._excuse}, until=ending.EXCUSED)
        closing: dict[str, Part] = {
            "the worker": partial(self.compute.close, grace_seconds=GRACE_SECONDS),
            "the hooks": self.hooks.close,
            "the retention": self.retention.close,
            "the watch on the folders": self._watcher.stop,
        }
        parts.do(closing, until=ending.CLOSED)
        self._leave_jobs(wait(self._jobs, timeout=parts.left_until(ending.GIVEN_BACK)).not_done)
        parts.do({"the status": partial(self._tell, time.monotonic(), alive=False)}, until=ending.SAID)
        parts.do({"the spool": self.spool.release}, until=ending.RELEASED)

    def _leave_jobs(self, hanging: set[Future[Ended]]) -> None:
        for future in hanging:
            if (place := self._jobs[future].whereabouts.place) is not None:
                self._ending.give_up(f"{self._jobs[future].label}, {place.doing}")
        self._reap(time.monotonic())
        self._threads.shutdown(wait=not hanging, cancel_futures=True)

    def _excuse(self) -> None:
        """Note of the jobs that hang that they have done no harm, so that the next start does not count their attempts."""
        for flight in [flight for flight in list(self._jobs.values()) if flight.may_be_excused()]:
            try:
                self.spool.excuse(flight.claim)
            except OSError as error:
                log.error("%s: its attempt counts: %s", flight.label, error)

    def _guarded(self) -> bool:
        """Whether a guard is needed. Where the time of a stop is over, it does what the main thread should have done."""
        if not self._guards:
            return False
        if self._ending.past(ending.OVER):
            log.error("the end takes too long, and what hangs is left behind")
            self._leave()
            return False
        if self._ending.past(ending.LAST_WORDS) and not self._ending.hanging:
            self._ending.do({"a note on the jobs that are not done": self._excuse}, until=ending.RELEASED)
        return True

    def gated(self, stage: str) -> bool:
        """Whether results for a stage wait in its hold folder: by configuration or by a HOLD file there."""
        return self.config.holds(stage) or has_sign(self.spool.root, f"{HOLD}/{STAGES[stage].folder}", "HOLD")

    def _look_again(self) -> None:
        self._look.set()
        self._bell.ring()

    def _sleep(self, due: float) -> None:
        if not self._stopping:
            self._bell.sleep_until(due)

    def _idle(self) -> bool:
        # What waits for a stage in trouble may wait for ever.
        able = {name: scan for name, scan in self._scans.items() if name not in self._troubles.reasons()}
        settling = any(scan.due is not None or scan.unread or scan.refused or scan.more for scan in able.values())
        ready = any(self._ready[name] for name in able)
        moving = len(self._jobs) > self._supervisor.standing_still()
        waiting = ready and not self._supervisor.all_stand_still()
        return not (moving or waiting or settling or self._look.is_set() or self.hooks.busy())

    def _left_waiting(self) -> bool:
        """Whether something stays in an inbox that nobody has paused; the log says what, and why."""
        left = [(name, waiting) for name, scan in self._scans.items() if not scan.paused for waiting in scan.waiting]
        for name, waiting in left:
            log.warning("%s %s: stays in its inbox: %s", name, shown(waiting.name), waiting.reason)
        return bool(left) or any(self._ready.values())

    def _scan(self, now: float) -> None:
        self._look.clear()
        started = time.monotonic()
        for name, inbox in self.inboxes.items():
            try:
                scan = inbox.scan(now)
            except OSError as error:
                self._scans.pop(name, None)
                self._ready[name].clear()
                self._troubles.note(name, f"{UNREADABLE}: {error}", now)
                continue
            self._troubles.end(name, UNREADABLE)
            self._scans[name] = scan
            self._ready[name] = deque(scan.ready)
            if not (scan.ready or scan.refused or scan.waiting or name in {flight.claim.stage for flight in self._jobs.values()}):
                self._troubles.end(name, OF_A_FILE)  # nothing is left that could be tried again
        # The first event scans at once, later ones coalesce; with very many files a scan is dear, and most time is kept for work.
        took = time.monotonic() - started
        self._rest_until = now + max(COALESCE_SECONDS, REST_PER_LOOK * took)
        self._claimed_since_look, self._claims_per_look = 0, CLAIMS_PER_LOOK if took < CHEAP_LOOK_SECONDS else math.inf
        dues = [scan.due for scan in self._scans.values() if scan.due is not None]
        dues += [max(now + LEARNING_SECONDS, self._rest_until)] * any(scan.unread for scan in self._scans.values())
        self._next_scan = min([now + self.config.watch.rescan_seconds, *dues])

    def _refuse_all(self, now: float) -> None:
        """Put away what the stages cannot take, as much of it as there is time for."""
        until = time.monotonic() + REFUSING_SECONDS
        for name, scan in self._scans.items():
            while scan.refused and not self._stopping and not self._troubles.rests(name, now):
                if time.monotonic() >= until:
                    self._next_scan = now
                    return
                refusal = scan.refused.pop(0)
                self._refuse(name, refusal.drop, refusal.sentence, now)

    def _refuse(self, stage: str, drop: Drop, sentence: str, now: float) -> None:
        try:
            claim = self.spool.claim(stage, drop)
            if claim:
                log.error("%s %s: refused: %s", stage, shown(claim.names["principal"]), sentence)
                self._undone += 1
                folder = self.spool.fail(claim, sentence, {"stage": stage})
                self.hooks.failed(stage, claim.names["principal"], folder, sentence)
                self._troubles.end(stage, UNREFUSED)
        except OSError as error:
            self._recovery.failed(now)
            self._troubles.note(stage, f"{UNREFUSED}: {error}", now)

    def _claim(self, now: float) -> None:
        while len(self._jobs) < self.slots and not self._stopping:
            if self._look.is_set() and self._claimed_since_look >= self._claims_per_look:
                self._rest_until = now
                break
            able = {name: self._ready[name] for name in ORDER if not self._troubles.rests(name, now)}
            turn = self._dispatch.take(able, now)
            if turn is None:
                break
            self._claim_one(*turn, now)
            self._claimed_since_look += 1
        if any(scan.more and not (self._ready[name] or self._troubles.rests(name, now)) for name, scan in self._scans.items()):
            self._next_scan = now

    def _claim_one(self, stage: str, drop: Drop, now: float) -> None:
        try:
            claim = self.spool.claim(stage, drop)
        except OSError as error:
            self._recovery.failed(now)  # where it could not be given back at once
            self._troubles.note(stage, f"{UNCLAIMED}: {error}", now)
            return
        if claim:
            log.debug("%s %s: claimed", stage, shown(claim.names["principal"]))
            self._troubles.end(stage, UNCLAIMED)
            self._launch(claim)

    def _launch(self, claim: Claim) -> None:
        flight = Flight(claim, Whereabouts())
        house = (self.config, self.spool, self.compute, self.hooks, self.gated, lambda: self._stopping)
        rooms = Rooms(*house, whereabouts=flight.whereabouts, patience=self._patience)
        future = self._threads.submit(run, claim, rooms)
        self._jobs[future] = flight
        self._worked = True
        future.add_done_callback(lambda _: self._bell.ring())

    def _reap(self, now: float) -> None:
        for future in [future for future in self._jobs if future.done()]:
            claim = self._jobs.pop(future).claim
            error = future.exception()
            ended = Ended(Outcome.UNFINISHED, str(error)) if error else future.result()
            self._take_note(claim, ended, now)

    def _take_note(self, claim: Claim, ended: Ended, now: float) -> None:
        self._undone += ended.outcome in (Outcome.FAILED, Outcome.RETURNED)
        wait_seconds = IN_USE_SECONDS if ended.outcome is Outcome.IN_USE else ended.wait_seconds
        if wait_seconds:
            self.inboxes[claim.stage].defer(claim.names["principal"], ended.reason, now + wait_seconds)
            self._look.set()
        if ended.outcome is Outcome.UNFINISHED:
            self._troubles.note(claim.stage, f"{STUCK}: {ended.reason}", now)
            self._recovery.failed(now)
        elif ended.outcome is Outcome.KEPT:
            self._troubles.note(claim.stage, f"{FAILED_BY_MACHINE}, which is tried again: {ended.reason}", now)
        elif ended.outcome is Outcome.DONE:
            self._troubles.end(claim.stage)
            self._patience.done(claim.stage)
            # Its result is in the next inbox, which must be seen also without inotify.
            self._look.set()
            self._new_previews = self.config.previews.enabled

    def _recover(self, now: float) -> None:
        """Bring what a crash or a failing machine left in `.work/` to its end."""
        try:
            recovery = self.spool.recover(in_flight=[flight.claim.job for flight in self._jobs.values()])
        except OSError as error:
            recovery = Recovery([], {WORK: error})
        if recovery.stuck:
            self._recovery.failed(now)
        else:
            self._recovery.succeeded()
        for name in ORDER:
            if recovery.stuck:
                # What keeps one job from its end, a full disk say, would keep the next one too.
                self._troubles.note(name, f"{STUCK}: {next(iter(recovery.stuck.values()))}", now)
            else:
                self._troubles.end(name, STUCK)
        for claim in recovery.claims:
            log.info("%s %s: taken up again", claim.stage, shown(claim.names["principal"]))
            self._launch(claim)

    def _tell(self, now: float, *, alive: bool = True) -> None:
        """Write the status where it has changed; a daemon that has nothing to say does not touch the disk."""
        started = time.monotonic()
        waits = {
            name: [f"{shown(waiting.name)}: {waiting.reason}" for waiting in scan.waiting] for name, scan in self._scans.items()
        }
        status = read_status(
            self.spool.root,
            now=datetime.now().astimezone(),
            alive=alive,
            troubles=self._troubles.reasons(),
            waits=waits,
            worker=self.compute.describe(),
            gates=[name for name in STAGES if self.gated(name)],
            complaints=[
                *self._warnings,
                *self._config_complaint,
                *self.hooks.complaints(),
                *self.retention.complaints(),
                *self._supervisor.complaints(),
            ],
        )
        # Counting very many files is dear, and most time is kept for work.
        self._status_due = now + max(STATUS_SECONDS, REST_PER_LOOK * (time.monotonic() - started))
        before = self._last_status
        if before and {**vars(status), "at": ""} == {**vars(before), "at": ""}:
            if self._worked and not self._jobs:
                self._worked = False
                _give_back_freed_memory()
            return
        with suppress(OSError):
            write_status(self.spool.root, status)
            if self._new_previews:
                self._new_previews = False
                write_index(self.spool.root)
        notify(f"STATUS={status.line()}")
        self._last_status = status

    def _read_config_again(self) -> None:
        self._reload = False
        if self.config_path is None:
            return
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            before, self.config = self.config, read_trusted_again(self.config_path)
        except (ConfigError, MachineError) as error:
            self._config_complaint = (f"the configuration stays as it was: {error}",)
            log.error("%s", *self._config_complaint)
        else:
            self._config_complaint = ()
            late = [name for name in NEEDS_RESTART if attrgetter(name)(before) != attrgetter(name)(self.config)]
            log.info("read %s again%s", self.config_path, f"; {', '.join(late)} will change with the next start" if late else "")
        self._status_due = 0.0
        notify("READY=1")


def _give_back_freed_memory() -> None:
    """An idle daemon is small, whatever its jobs have needed."""
    with suppress(AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)
