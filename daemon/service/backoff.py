"""Stages whose machine side fails: why, and when each is tried again.

The file is kept and the stage backs off, each time twice as long as the last, so that a full disk is neither hammered nor given up.
"""

import logging
import math
from dataclasses import dataclass, replace

FIRST_BACKOFF_SECONDS = 5.0
LONGEST_BACKOFF_SECONDS = 300.0

# The kinds of trouble: the reason of a stage begins with one of them.
UNREADABLE = "its inbox cannot be read"
FAILED_BY_MACHINE = "system error in a job"
CLAIM_FAILED = "a file cannot be claimed"
REFUSAL_FAILED = "a file cannot be put into failed/"
STUCK = "a job is stuck in .work/"
OF_A_FILE = (FAILED_BY_MACHINE, CLAIM_FAILED, REFUSAL_FAILED)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Backoff:
    reason: str
    until: float
    backoff_seconds: float


class Retry:
    """When the one thing that failed is to be tried again; never, where it did not."""

    def __init__(self) -> None:
        self._due, self._backoff_seconds = math.inf, 0.0

    def failed(self, now: float) -> None:
        """Let it rest, each time twice as long as the last; while it rests anyway this changes nothing."""
        if not now < self._due < math.inf:
            self._backoff_seconds = min(self._backoff_seconds * 2, LONGEST_BACKOFF_SECONDS) or FIRST_BACKOFF_SECONDS
            self._due = now + self._backoff_seconds

    def succeeded(self) -> None:
        """There is nothing to be tried again."""
        self._due, self._backoff_seconds = math.inf, 0.0

    def due(self, now: float) -> bool:
        """Whether it is to be tried now."""
        return now >= self._due


class StageBackoff:
    """The backoff of each stage, by its name; `now` is of the monotonic clock."""

    def __init__(self) -> None:
        self._of: dict[str, _Backoff] = {}

    def record_failure(self, stage: str, reason: str, now: float) -> None:
        """Let a stage back off; the reason is logged where it is news."""
        before = self._of.get(stage)
        waiting = before is not None and now < before.until
        if before and waiting and before.reason == reason:
            return
        if before is None or before.reason != reason:
            log.error("%s: %s", stage, reason)
        if before and waiting:  # several jobs met the same fault at once, each in its own words: that is one try
            self._of[stage] = replace(before, reason=reason)
            return
        backoff = min(before.backoff_seconds * 2, LONGEST_BACKOFF_SECONDS) if before else FIRST_BACKOFF_SECONDS
        self._of[stage] = _Backoff(reason, now + backoff, backoff)

    def recovered(self, stage: str, kind: str | tuple[str, ...] = "") -> None:
        """The stage works again, as far as its fault is of the kind, or of one of those, with which the reason begins."""
        if stage in self._of and self._of[stage].reason.startswith(kind):
            log.info("%s: recovered", stage)
            del self._of[stage]

    def is_backing_off(self, stage: str, now: float) -> bool:
        """Whether a stage is to be left alone for now."""
        return stage in self._of and now < self._of[stage].until

    def reasons(self) -> dict[str, str]:
        """Why each of the stages that failed did."""
        return {stage: backoff.reason for stage, backoff in self._of.items()}
