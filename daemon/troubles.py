"""Stages whose machine side fails: why, and when each is tried again.

The file is kept and the stage rests, each time twice as long as the last, so that a full disk is neither hammered nor given up.
"""

import logging
from dataclasses import dataclass, replace

FIRST_BACKOFF_SECONDS = 5.0
LONGEST_BACKOFF_SECONDS = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Trouble:
    reason: str
    until: float
    backoff_seconds: float


class Troubles:
    """The troubles of all stages by name; `now` is of the monotonic clock."""

    def __init__(self) -> None:
        self._of: dict[str, _Trouble] = {}

    def note(self, stage: str, reason: str, now: float) -> None:
        """Let a stage rest; the reason is logged where it is news."""
        before = self._of.get(stage)
        resting = before is not None and now < before.until
        if before and resting and before.reason == reason:
            return
        if before is None or before.reason != reason:
            log.error("%s: %s", stage, reason)
        if before and resting:  # several jobs met the same trouble at once, each in its own words: that is one try
            self._of[stage] = replace(before, reason=reason)
            return
        backoff = min(before.backoff_seconds * 2, LONGEST_BACKOFF_SECONDS) if before else FIRST_BACKOFF_SECONDS
        self._of[stage] = _Trouble(reason, now + backoff, backoff)

    def end(self, stage: str, kind: str = "") -> None:
        """The stage works again, as far as its trouble is of the kind with which the reason begins."""
        if stage in self._of and self._of[stage].reason.startswith(kind):
            log.info("%s: is in trouble no more", stage)
            del self._of[stage]

    def rests(self, stage: str, now: float) -> bool:
        """Whether a stage is to be left alone for now."""
        return stage in self._of and now < self._of[stage].until

    def due(self, now: float) -> bool:
        """Whether no stage rests any more."""
        return not any(self.rests(stage, now) for stage in self._of)

    def reasons(self) -> dict[str, str]:
        """Why each stage in trouble is in trouble."""
        return {stage: trouble.reason for stage, trouble in self._of.items()}
