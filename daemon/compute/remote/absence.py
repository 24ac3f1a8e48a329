"""Since when a place on another machine cannot be had, why, and when it is tried again."""

from dataclasses import dataclass

from daemon.compute.remote.patience import Patience


@dataclass
class Absence:
    """`since` is in epoch seconds, None while the place is there or nobody has asked. The rest goes by a clock that only grows."""

    patience: Patience
    since: float | None = None
    reason: str | None = None
    is_refused: bool = False
    failures: int = 0  # in a row
    tried: float = 0.0
    joined: float = 0.0

    def begin(self, now: float, *, epoch: float, reason: str, is_refused: bool = False) -> bool:
        """It cannot be had, from now on or still; whether that is news."""
        is_news = (reason, is_refused) != (self.reason, self.is_refused)
        self.since = self.since or epoch
        self.reason, self.is_refused = reason, is_refused
        self.failures, self.tried = self.failures + 1, now
        return is_news

    def end(self, now: float) -> None:
        """It is there. Whether it stays is to be seen: the next wait is no shorter yet."""
        self.since, self.reason, self.is_refused, self.joined = None, None, False, now

    def stayed(self) -> None:
        """It has proved to be of use."""
        self.failures = 0

    def was_lost(self, now: float) -> None:
        """The connection ended: one that has lasted for long was none of several failures in a row."""
        if now - self.joined > self.patience.longest_wait:
            self.failures = 0
        self.tried = now

    def seconds_left(self, now: float, *, wanted: bool) -> float:
        """Until it is to be tried again."""
        return self.tried + self.patience.wait_after(self.failures, wanted=wanted) - now
