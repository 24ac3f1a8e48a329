"""What no stage can take goes to failed/ with a sentence; what asks for a kept original gets that instead.

Many wrong files are put away a while at a time, so that the watchdog, a stop and the jobs that ended have their turn in between.
"""

import logging
import time
from collections.abc import Callable, Mapping

from daemon.errors import Kind, in_words
from daemon.inbox.inbox import Drop, Scan
from daemon.jobs.hooks import Hooks
from daemon.jobs.originals import exported_latents
from daemon.layout import KEEP
from daemon.names import is_proof, shown
from daemon.service.backoff import REFUSAL_FAILED, Retry, StageBackoff
from daemon.service.restoring import is_sign, restored
from daemon.spool.spool import Claim, Spool

REFUSING_SECONDS = 1.0  # at a stretch

log = logging.getLogger(__name__)


class Refusals:
    """The refusals of one spool; `number` counts them. `recovery` brings to its end what a claim has left in .work/."""

    def __init__(
        self, spool: Spool, hooks: Hooks, *, backoff: StageBackoff, recovery: Retry, is_stopping: Callable[[], bool]
    ) -> None:
        self._spool, self._hooks, self._backoff, self._recovery = spool, hooks, backoff, recovery
        self._is_stopping = is_stopping
        self.number = 0

    def refuse_all(self, scans: Mapping[str, Scan], now: float) -> bool:
        """Put away what the stages cannot take, as much of it as there is time for; False where there was not enough."""
        until = time.monotonic() + REFUSING_SECONDS
        for name, scan in scans.items():
            while scan.refused and not self._is_stopping() and not self._backoff.is_backing_off(name, now):
                if time.monotonic() >= until:
                    return False
                refusal = scan.refused.pop(0)
                dropped = refusal.drop.principal.path.name
                exported = None if is_proof(dropped) else exported_latents(dropped, self._spool.root / KEEP)
                self.refuse(name, refusal.drop, exported or refusal.sentence, now, None if exported else refusal.elsewhere)
        return True

    def refuse(self, stage: str, drop: Drop, sentence: str, now: float, elsewhere: str | None = None) -> None:
        """Put one drop away with a sentence; `elsewhere` is the place that takes it."""
        try:
            claim = self._spool.claim(stage, drop)
            if claim and is_sign(claim.names["principal"]):
                if self._restore(stage, claim):
                    return
                sentence = f"{shown(claim.names['principal'])} asks for an original, and none of that id is kept; look into done/"
            if claim and self._spool.is_stable(claim) is False:
                self._spool.give_back(claim)  # somebody has begun to write it
            elif claim:
                self._fail(claim, sentence, elsewhere)
        except OSError as error:
            self._recovery.failed(now)
            self._backoff.record_failure(stage, f"{REFUSAL_FAILED}: {in_words(error)}", now)

    def _fail(self, claim: Claim, sentence: str, elsewhere: str | None) -> None:
        log.error("%s %s: refused: %s", claim.stage, shown(claim.names["principal"]), sentence)
        self.number += 1
        place = {"elsewhere": elsewhere} if elsewhere else {}
        folder = self._spool.fail(claim, sentence, {"kind": Kind.REFUSED, "stage": claim.stage, **place})
        self._hooks.failed(claim.stage, claim.names["principal"], folder, sentence)
        self._backoff.recovered(claim.stage, REFUSAL_FAILED)

    def _restore(self, stage: str, claim: Claim) -> bool:
        """Put back the original that a sign asks for; whether there is one."""
        published = restored(self._spool, claim)
        if published is not None:
            log.info(
                "%s %s: restored %s", stage, shown(claim.names["principal"]), ", ".join(shown(str(path)) for path in published)
            )
        return published is not None
