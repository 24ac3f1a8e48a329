"""Proofs are made when no job waits, one at a time, in a thread of their own; one in the making gives way at its next step."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.beneath import Beneath
from daemon.compute.protocol import Compute, Result, SubmittedCall
from daemon.errors import DaemonError, InUse, Stopped, in_words
from daemon.inbox.grouping import Drop, Mark
from daemon.jobs.intake.files import Files, InputSources
from daemon.jobs.proofs import proof_of, show_paint
from daemon.jobs.request import StageCall
from daemon.layout import EMBEDDINGS, KEEP
from daemon.names import shown
from daemon.settings.config import Config
from daemon.spool.proofs import ProofFiles, version_of

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
RETRY_SECONDS = 60.0

Marks = tuple[Mark, ...]


@dataclass(frozen=True)
class Wanted:
    """Work on one file that waits: its proof, or, where somebody has `painted` on that, the picture that the paint leads to."""

    stage: str
    drop: Drop
    identity: str
    painted: bool

    @property
    def path(self) -> Path:
        """The latents."""
        return self.drop.principal.path

    @property
    def marks(self) -> Marks:
        """What its files are like."""
        return tuple(member.mark for member in self.drop.members)


class ProofMaker:
    """Makes what is wanted, the oldest first. The main thread calls; `wake` asks it for a tick, `done` tells what is over."""

    def __init__(
        self,
        root: Path,
        files: ProofFiles,
        compute: Compute,
        config: Callable[[], Config],
        *,
        wake: Callable[[], None],
        done: Callable[[Wanted, str | None], None],
    ) -> None:
        self._root, self._files, self._compute, self._config = root, files, compute, config
        self._wake, self._done = wake, done
        self._beneath = Beneath(root)
        self._wanted: dict[Path, Wanted] = {}
        self._not_before: dict[Path, float] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="proof")
        self._making: tuple[Wanted, Future[None]] | None = None
        self._call: SubmittedCall | None = None
        self._yields, self._stopping = threading.Event(), threading.Event()

    def want(self, wanted: Wanted) -> None:
        """Make this when there is time, in place of what was wanted for the same file."""
        if self._making is None or self._making[0] != wanted:
            self._wanted[wanted.path] = wanted

    def keep(self, paths: Iterable[Path]) -> None:
        """Forget what was wanted for all files but these."""
        here = set(paths)
        self._wanted = {path: wanted for path, wanted in self._wanted.items() if path in here}
        self._not_before = {path: until for path, until in self._not_before.items() if path in here}

    def drop(self, path: Path) -> None:
        """Want nothing more for this file."""
        self._wanted.pop(path, None)

    def tick(self, now: float, *, free: bool, begins: bool = True) -> None:
        """Begin with what is wanted where no job needs the machine; what is being made gives way where one does.

        Nothing is begun unless it `begins`."""
        if self._making is not None:
            if not self._making[1].done():
                if not free:
                    self._yields.set()
                    self._cancel("a job waits")
                return
            self._reap(*self._making, now)
            self._making = None
        wanted = self._next(now)
        if free and begins and wanted is not None and self._may_compute() and not self._stopping.is_set():
            del self._wanted[wanted.path]
            self._yields.clear()
            future = self._thread.submit(self._make, wanted)
            self._making = wanted, future
            future.add_done_callback(lambda _: self._wake())

    def busy(self, now: float) -> bool:
        """Whether one is being made, or is going to be as soon as no job waits."""
        return self._making is not None or (self._next(now) is not None and self._may_compute())

    def close(self) -> None:
        """End what is being made."""
        self._stopping.set()
        self._cancel("the daemon is stopping")
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _next(self, now: float) -> Wanted | None:
        return next((one for path, one in self._wanted.items() if now >= self._not_before.get(path, now)), None)

    def _may_compute(self) -> bool:
        return self._config().proofs.start_worker or bool(self._compute.describe()["alive"])

    def _cancel(self, why: str) -> None:
        if (call := self._call) is not None:
            call.cancel(Stopped(why))

    def _reap(self, wanted: Wanted, future: "Future[None]", now: float) -> None:
        error, place = future.exception(), shown(wanted.path.relative_to(self._root).as_posix())
        if error is None:
            self._done(wanted, None)
        elif isinstance(error, Stopped):
            self._wanted.setdefault(wanted.path, wanted)
        elif isinstance(error, DaemonError) and not isinstance(error, InUse):
            what = f"the paint on the proof of {place} cannot be used" if wanted.painted else f"no proof of {place}"
            log.warning("%s: %s", what, error)
            self._done(wanted, f"{what}: {error}")
        else:
            log.warning("no proof of %s yet, will retry: %s", place, in_words(error))
            self._not_before[wanted.path] = now + RETRY_SECONDS
            self._wanted.setdefault(wanted.path, wanted)

    def _make(self, wanted: Wanted) -> None:
        sources = InputSources(self._config(), self._root / EMBEDDINGS, self._root / KEEP)
        with ExitStack() as stack:
            members = {one.role: stack.enter_context(self._beneath.plain(one.path)) for one in wanted.drop.members}
            files = Files(members, {one.role: one.path.name for one in wanted.drop.members})
            if wanted.painted:
                self._show_paint(wanted, files, sources)
            else:
                self._show(wanted, files, sources)

    def _show(self, wanted: Wanted, files: Files, sources: InputSources) -> None:
        proof = proof_of(files, sources, self._computed)
        if proof is None:
            return
        size_and_time = wanted.drop.principal.mark[2:4]
        st = self._beneath.lstat(wanted.path)
        if (st.st_size, st.st_mtime_ns) != size_and_time:
            return  # saved again meanwhile: the next look wants a newer one
        version = version_of(*size_and_time)
        if proof.write_clean is not None:
            self._files.keep_estimate(wanted.identity, version, proof.write_clean)
        self._files.show(wanted.path, wanted.identity, version, proof.png(wanted.identity))

    def _show_paint(self, wanted: Wanted, files: Files, sources: InputSources) -> None:
        path = show_paint(self._root, files, sources, self._computed) if sources.config.previews.enabled else None
        if path is not None:
            log.info("%s: what the paint on its proof leads to is shown in previews/%s", shown(wanted.path.name), shown(path.name))

    def _computed(self, call: StageCall) -> Result:
        """Run a stage, until a job or the end of the daemon comes between."""
        submitted = self._compute.submit(call.stage, call.tensors, call.settings)
        self._call = submitted
        try:
            while True:
                if self._stopping.is_set() or self._yields.is_set():
                    submitted.cancel(Stopped("a job waits"))
                with suppress(TimeoutError):
                    return submitted.future.result(timeout=LOOK_SECONDS)
        finally:
            self._call = None
