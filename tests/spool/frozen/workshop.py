"""A spool in which jobs are run one by one, by the code as it is and its real worker, each as far as it is to come."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, tzinfo
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

import tiffsd
from daemon.compute.local import LocalWorkers
from daemon.inbox.grouping import Drop, Member
from daemon.inbox.inbox import Inbox, Scan
from daemon.jobs import job, running
from daemon.jobs.context import JobContext
from daemon.jobs.hooks import Hooks
from daemon.jobs.job_log import JobLog
from daemon.settings.config import Config
from daemon.spool.spool import Claim, Spool
from daemon.stages import STAGES
from tests.spool.disk import NOON
from tests.spool.frozen.mortal import NEVER, Death, End, Mortal, seconds_from

FOLDERS = {stage.name: stage.folder for stage in STAGES.values()}
BOOT = "5e0c1f4a-0000-4000-8000-000000000001"
EARLIER_BOOT = "5e0c1f4a-0000-4000-8000-000000000000"


class StoppedClock(datetime):
    """The time of day, which is always noon."""

    @classmethod
    def now(cls, _zone: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return NOON


@contextmanager
def same_each_time() -> Iterator[None]:
    """Ids that can be foreseen and a clock that stands still: whoever freezes twice writes the same names and records."""
    numbers, random = count(), os.urandom

    def foreseen(size: int) -> bytes:
        return hashlib.sha256(b"%d" % next(numbers)).digest()[:size] if size == 4 else random(size)

    with (
        patch("os.urandom", foreseen),
        patch.object(job, "datetime", StoppedClock),
        patch.object(running, "datetime", StoppedClock),
        patch.object(tiffsd.edit, "datetime", StoppedClock),
        patch.object(job, "JobLog", partial(JobLog, clock=lambda: 0.0)),
    ):
        yield


class Workshop:
    """The jobs of one spool; `close` ends the worker."""

    def __init__(self, root: Path) -> None:
        self.root = root
        watch = {"settle_seconds": 0, "settle_unleased_seconds": 0}
        self.config = Config.model_validate({"folder": root.parent, "spool": root.name, "watch": watch})
        self._compute = LocalWorkers(threads=1)
        self._clock = seconds_from(NOON)
        self.life().create()

    def close(self) -> None:
        self._compute.close()

    def life(self, *, boot: str = BOOT, end: End = NEVER) -> Spool:
        """The spool of a daemon that has only just started, and ends where `end` says."""
        return Spool(self.root, FOLDERS, fs=Mortal(self.root, self._clock, boot, end))

    def drop(self, place: str, content: str | bytes) -> Path:
        path = self.root / place
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def scan(self, stage: str) -> Scan:
        """What lies in an inbox, none of which needs to settle."""
        folder = self.root / "inbox" / FOLDERS[stage]
        return Inbox(STAGES[stage], folder, settle_seconds=0, settle_unleased_seconds=0, empty_grace_seconds=0).scan(0.0)

    def claim(self, spool: Spool, stage: str, stem: str, *, proof: Path | None = None) -> Claim:
        """Claim a drop from the inbox, with a proof of it that was left on hold."""
        (drop,) = [drop for drop in self.scan(stage).ready if drop.stem == stem]
        if proof is not None:
            drop = replace(drop, members=(*drop.members, Member(".proof.png", proof, (0, 0, proof.stat().st_size, 0, 0))))
        claim = spool.claim(stage, _marked(drop))
        assert claim is not None
        return claim

    def refuse(self, stage: str, stem: str) -> None:
        """Put into failed/ what the stage cannot take, as the daemon does."""
        (refusal,) = [refusal for refusal in self.scan(stage).refused if refusal.drop.stem == stem]
        spool = self.life()
        claim = spool.claim(stage, _marked(refusal.drop))
        assert claim is not None
        spool.fail(claim, refusal.sentence, {"stage": stage})

    def run(self, stage: str, stem: str) -> None:
        """One job, to its end."""
        spool = self.life()
        job.run(self.claim(spool, stage, stem), self.context(spool))

    def die(self, stage: str, stem: str, end: End, *, boot: str = BOOT) -> None:
        """One job, whose daemon is killed at `end`."""
        with _dying(end):
            spool = self.life(boot=boot, end=end)
            job.run(self.claim(spool, stage, stem), self.context(spool))

    def die_stopping(
        self, stage: str, stem: str, end: End, *, meanwhile: Sequence[tuple[str, str]] = (), proof: Path | None = None
    ) -> None:
        """One job, whose daemon is told to stop, and killed at `end`; `meanwhile` is dropped while the job is claimed."""
        with _dying(end):
            spool = self.life(end=end)
            claim = self.claim(spool, stage, stem, proof=proof)
            for place, content in meanwhile:
                self.drop(place, content)
            job.run(claim, self.context(spool, stopping=True))

    def die_again(self, stem: str, end: End) -> None:
        """The job that a killed daemon left, run again by another, which is killed too."""
        jobs = {path.name: path for path in (self.root / ".work").iterdir()}
        (mine,) = [name for name, path in jobs.items() if list(path.glob(f"in/{stem}.*"))]
        with _dying(end):
            spool = self.life(end=end)
            (claim,) = spool.recover(in_flight=jobs.keys() - {mine}).claims
            job.run(claim, self.context(spool))

    def context(self, spool: Spool, *, stopping: bool = False) -> JobContext:
        hooks = Hooks(self.root, lambda: self.config.hooks, lambda: None)
        return JobContext(self.config, spool, self._compute, hooks, lambda _: False, lambda: stopping)


def _marked(drop: Drop) -> Drop:
    """The same drop, as if its files had the same inodes and times in every spool."""
    members = enumerate(drop.members, start=1)
    mtime_ns = int(NOON.timestamp()) * 10**9
    return replace(drop, members=tuple(replace(one, mark=(1, inode, one.mark[2], mtime_ns, 0)) for inode, one in members))


@contextmanager
def _dying(end: End) -> Iterator[None]:
    with suppress(Death):
        yield
        raise AssertionError(f"the daemon lived on: it never came to {end}")
