"""What a job is given to work with, and how it waits: for its files, and for the compute side."""

import errno
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from daemon.compute.protocol import Compute, SubmittedCall
from daemon.errors import Cancelled, InputError, InUse, Stopped
from daemon.inbox.arrivals import described_type
from daemon.jobs.batching import batch_key
from daemon.jobs.heartbeat import Heartbeat
from daemon.jobs.hooks import Hooks
from daemon.jobs.intake.files import InputSources
from daemon.jobs.job_log import JobLog
from daemon.jobs.previews import LivePreview
from daemon.jobs.request import StageCall
from daemon.jobs.retry_budget import RetryBudget
from daemon.jobs.running import RunningFile
from daemon.layout import EMBEDDINGS, KEEP
from daemon.models.stage_settings import StageFacts
from daemon.names import output_name, portable, shown
from daemon.settings.config import Config
from daemon.spool.spool import Claim, Spool
from tiffsd.artifact import Tensors

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
# A program that had a file open when it was claimed soon closes it. Who writes for longer must not take up a job's place: the file
# goes back to its inbox, where everybody sees that it is waited for.
LONGEST_WRITING_SECONDS = 10.0


@dataclass(frozen=True)
class JobContext:
    """The parts of the daemon that one job uses.

    `gated` asks whether results for a stage wait in its hold folder, `stopping` whether the daemon is about to end. `heartbeat` is
    where the job tells that it moves, `retries` how often a file is tried at which the machine fails.
    """

    config: Config
    spool: Spool
    compute: Compute
    hooks: Hooks
    gated: Callable[[str], bool]
    stopping: Callable[[], bool]
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    retries: RetryBudget = field(default_factory=RetryBudget)

    @property
    def sources(self) -> InputSources:
        """Where a job may look besides its own files."""
        return InputSources(self.config, self.spool.root / EMBEDDINGS, self.spool.root / KEEP)

    def running_file(self, claim: Claim) -> RunningFile:
        """What tells people of the job while it runs."""
        name = output_name(portable(claim.stem), claim.id, ".txt")
        return RunningFile(self.spool.root, claim.stage, name=name, owner=claim.owner)

    def check_not_stopped(self, running: RunningFile) -> None:
        """Raise Stopped where the daemon is about to end, Cancelled where a person has deleted the job's file in running/."""
        if self.stopping():
            raise Stopped("the daemon is stopping")
        if running.deleted():
            raise Cancelled(
                f"cancelled: {running.path.name} was deleted from running/, by hand or by `tiffsd cancel`;"
                " `tiffsd retry` runs the job again"
            )

    def await_stable(self, claim: Claim, running: RunningFile) -> None:
        """Wait while a program that had a file open when it was claimed goes on writing into it; then note what is in the files.

        Raises InputError where a member is no file: it may have been replaced between the scan and the claim; InUse where the
        program does not come to an end.
        """
        self.heartbeat.beat("waiting until nobody writes to its files")
        for role, mode in self.spool.modes(claim).items():
            if not stat.S_ISREG(mode):
                kind = f"{shown(claim.names[role])} is {described_type(mode)}, and only files can be used"
                raise InputError(f"{kind}; copy the file itself into the inbox")
        until, longest = 0.0, time.monotonic() + LONGEST_WRITING_SECONDS
        while not (stable := self.spool.is_stable(claim)):
            now = time.monotonic()
            if stable is False and now >= longest:
                # Of several it is not known which.
                which = [claim.names["principal"]] if len(claim.names) == 1 else []
                raise InUse(errno.EAGAIN, os.strerror(errno.EAGAIN), *which)
            if stable is False:
                until = now + self.config.settle_unleased_seconds(claim.stage)
            elif now >= until:
                break  # it stood still, though nobody can say whether it is open
            self.check_not_stopped(running)
            time.sleep(LOOK_SECONDS)
            self.heartbeat.beat("waiting until nobody writes to its files")
        self.spool.note_contents(claim)

    def check_unchanged(self, claim: Claim) -> None:
        """Raise InUse where a member holds something else by now than what was read: the job runs again on the whole of it."""
        self.heartbeat.beat("comparing its files with what was read")
        if not self.spool.is_as_noted(claim):
            name = claim.names["principal"]
            log.warning("%s %s: was written to while its job ran; runs again on what it holds now", claim.stage, shown(name))
            raise InUse(errno.EAGAIN, os.strerror(errno.EAGAIN), *[name] * (len(claim.names) == 1))

    def call(self, claim: Claim, running: RunningFile, job_log: JobLog, call: StageCall) -> tuple[Tensors, StageFacts]:
        """Run one stage in the worker and wait for it; a stop of the daemon or a deleted running file cancels at the next step."""
        live = LivePreview(self.spool.root, running.path.stem, call.tensors, model=call.settings["model"]["name"])
        since = job_log.seconds()
        running.show(call.settings["prompt"])
        try:
            submitted = self.compute.submit(
                call.stage,
                call.tensors,
                call.settings,
                key=batch_key(call),
                on_begin=partial(job_log.started, call),
                on_progress=running.update,
                on_estimate=live.show,
                job=frozenset(self.spool.fingerprints(claim).items()),
            )
            tensors, facts = self._served(running, submitted)
        finally:
            live.end()
        job_log.called(since, facts)
        return tensors, facts

    def _served(self, running: RunningFile, call: SubmittedCall) -> tuple[Tensors, StageFacts]:
        while True:
            # Time and again: a model may load and a step compute for as long as they need.
            self.heartbeat.beat("waiting for the worker")
            try:
                self.check_not_stopped(running)
            except (Stopped, Cancelled) as reason:
                call.cancel(reason)
            try:
                return call.future.result(timeout=LOOK_SECONDS)
            except TimeoutError:
                continue
