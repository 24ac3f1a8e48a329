"""Files that come again: a program found gone what it had copied, because the daemon has taken it, and copies it once more.

So do rclone, whose `copy` sets times and asks for hashes after it has closed a file, and Syncthing, where one side only sends or
only receives and somebody lets it mend that. Such a copy is the same drop, if its name, size and content are those of one that
was claimed in the last `watch.same_drop_minutes`, and its time is not newer: who copies sets the time of what was copied, and who
saves, touches or writes a file anew makes it newer, which asks for another run. The copy waits where it is, so that its program
finds it and is content, and everybody sees it; when the time is over it goes to done/, beside the first. A copy whose time is new
waits as long as a file of which nobody can say whether it is being written: its time may still be set.

The first one may have left done/. Who has moved it into an inbox means it, and it runs again. Syncthing's Revert takes away what
the daemon has put into done/, and then brings a copy of what was dropped. The two are told apart by when the file was made, which
a move leaves as it is. Where the system does not say that, it runs: a picture too many is thrown away, but of a prompt that was
meant and does not run, somebody waits for a picture that never comes.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from daemon.inbox.grouping import Drop, Mark
from daemon.names import shown
from daemon.settings.config import Config
from daemon.spool.recent import RecentDrop
from daemon.spool.spool import Claim, Spool

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # until the next look at a copy that waits: somebody may have touched it
RUNNING_SECONDS = 1.0  # until the next look where the first one still runs
CLOCK_SECONDS = 60.0  # a drop that was claimed so far in the future was not: somebody has set the clock back
MOST_SEEN = 4096
BROUGHT_BACK = ", brought back after that was taken away (by Syncthing's Revert, say),"


@dataclass(frozen=True)
class Wait:
    """The file waits for now, until a time of the monotonic clock, for a reason in words."""

    reason: str
    until: float


@dataclass(frozen=True)
class Same:
    """The file is the same drop as an earlier one, and its time is over."""

    as_what: RecentDrop


@dataclass
class _Seen:
    """What one look after the other sees of a drop: what its files are like, since when by the monotonic clock, what is in them."""

    marks: tuple[Mark, ...]
    since: float
    contents: Mapping[str, str | None]
    born: Mapping[str, int | None]
    beside: set[str] = field(default_factory=set)  # the places in done/ where the earlier ones lay meanwhile
    said: bool = False


class Repeats:
    """The files of one spool that come again. `clock` gives seconds of the epoch."""

    def __init__(self, spool: Spool, config: Callable[[], Config], *, clock: Callable[[], float] = time.time) -> None:
        self._spool, self._config, self._clock = spool, config, clock
        self._seen: OrderedDict[Path, _Seen] = OrderedDict()

    def look(self, stage: str, drop: Drop, now: float) -> Wait | Same | None:
        """Whether a drop that is ready is to wait, or is one that was used; None where it is to run. `now` is monotonic."""
        seconds = self._config().watch.same_drop_minutes * 60
        known = self._spool.recent.alike(stage, drop) if seconds else []
        known = [past for past in known if past.at <= self._clock() + CLOCK_SECONDS and _came_in_time(past, drop, seconds)]
        if not known:
            self._seen.pop(drop.principal.path, None)
            return None
        if any(past.runs and past.members["principal"].sha256 is None for past in known):
            return Wait("has the name and the size of a file that is being read", now + RUNNING_SECONDS)
        seen = self._looked_at(drop, now)
        known = [past for past in known if _is_of_content(past, seen.contents)]
        gone = [past for past in known if not past.runs and not self._spool.is_in_place(past)]
        if any(_is_moved(past, seen) for past in gone):
            return None
        seen.beside |= {_place(past) for past in known if not past.runs and past not in gone}
        known = [past for past in known if past not in gone or _is_brought_back(past, seen)]
        return self._of_same(stage, drop, known[0], seen, now, gone=known[0] in gone) if known else None

    def _of_same(self, stage: str, drop: Drop, past: RecentDrop, seen: _Seen, now: float, *, gone: bool) -> Wait | Same | None:
        if _is_newer(drop, past):
            due = seen.since + self._config().settle_unleased_seconds(stage)
            return Wait("is like one that was used a moment ago, and its time may still be set", due) if now < due else None
        if past.runs:
            return Wait("is the same as a file that runs already", now + RUNNING_SECONDS)
        until = past.at + self._config().watch.same_drop_minutes * 60
        left = until - self._clock()
        if left <= 0:
            return Same(past)
        came = BROUGHT_BACK if gone else ","
        reason = f"is the same file as {_place(past)}{came} and goes to done/ at {datetime.fromtimestamp(until):%H:%M}"
        reason += "; to run it again, save it anew, touch it, or give it another name"
        if not seen.said:
            seen.said = True
            log.info("%s %s: not run again: it %s", stage, shown(drop.principal.path.name), reason)
        return Wait(reason, now + min(LOOK_SECONDS, left))

    def _looked_at(self, drop: Drop, now: float) -> _Seen:
        marks = tuple(member.mark for member in drop.members)
        seen = self._seen.pop(drop.principal.path, None)
        if seen is None or seen.marks != marks:
            seen = _Seen(marks, now, *self._what_is_in(drop))
        self._seen[drop.principal.path] = seen
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return seen

    def _what_is_in(self, drop: Drop) -> tuple[dict[str, str | None], dict[str, int | None]]:
        try:
            paths = {member.role: member.path for member in drop.members}
            born = {role: self._spool.born(path) for role, path in paths.items()}
            return {role: self._spool.digest(path) for role, path in paths.items()}, born
        except OSError:
            return {}, {}  # the job will find out what is the matter with it


def put_beside(spool: Spool, claim: Claim, past: RecentDrop) -> bool:
    """Put files that are the same drop as earlier ones into done/; False where they are different by now, and go back."""
    how = "beside" if spool.is_in_place(past) else "in the place of"
    stable = spool.is_stable(claim)
    spool.note_contents(claim)
    noted = spool.recent.running(claim.job)
    if stable is False or noted is None or not _are_equal(past, noted):
        spool.give_back(claim)
        return False
    spool.begin_attempt(claim)
    spool.commit(claim, [])
    spool.finish(claim)
    log.info("%s %s: put into done/, %s %s", claim.stage, shown(claim.names["principal"]), how, _place(past))
    return True


def _are_equal(past: RecentDrop, noted: RecentDrop) -> bool:
    return all(file.sha256 and file.sha256 == past.members[role].sha256 for role, file in noted.members.items())


def _is_of_content(past: RecentDrop, contents: Mapping[str, str | None]) -> bool:
    return bool(contents) and all(sha256 and past.members[role].sha256 == sha256 for role, sha256 in contents.items())


def _is_moved(past: RecentDrop, seen: _Seen) -> bool:
    """Whether one of the files is the very one that has left done/."""
    return any(born and past.members[role].born == born for role, born in seen.born.items())


def _is_brought_back(past: RecentDrop, seen: _Seen) -> bool:
    """Whether the files are copies that came after the earlier ones had left done/: who moves by copying takes those away after."""
    known = all(born and past.members[role].born for role, born in seen.born.items())
    return known and _place(past) not in seen.beside


def _came_in_time(past: RecentDrop, drop: Drop, seconds: float) -> bool:
    """Whether a drop came here so soon after one that was used, or runs; ctime is when it was written, renamed, or its time set."""
    return not past.has_failed and max(member.mark[4] for member in drop.members) / 1e9 <= past.at + seconds


def _is_newer(drop: Drop, past: RecentDrop) -> bool:
    """Whether a file of a drop was saved or touched after the earlier one was claimed."""
    return any(member.mark[3] / 1e9 > past.at and member.mark[3] != past.members[member.role].mark[2] for member in drop.members)


def _place(past: RecentDrop) -> str:
    return shown(f"{past.place}/{past.members['principal'].lies}")
