"""For how long which silence of another machine is borne, and when it is tried again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """All in seconds. A lost connection is noticed after `silence`, the far end ends after `far_silence`, and calls for which no
    place at all can be had go back after `lost`. A place is tried again after `first_wait`, twice as long each time, up to
    `longest_wait` while calls wait for it, and up to `rare_wait` while none do."""

    greet: float = 30.0
    heartbeat: float = 3.0
    silence: float = 12.0
    far_silence: float = 30.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    rare_wait: float = 60.0
    lost: float = 20.0

    def wait_after(self, failures: int, *, wanted: bool) -> float:
        """The wait before the next try, after so many failures in a row."""
        most = self.longest_wait if wanted else self.rare_wait
        return min(self.first_wait * 2.0 ** min(failures - 1, 30), most) if failures else 0.0
