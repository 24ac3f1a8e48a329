"""What lies in a hold folder while people look at it and change it: which files belong together, and which of them stand still.

Nothing there is claimed, and files are saved in place, so each look asks every file what it is like. Where nothing has changed
since the last look, that is all it costs.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from daemon.beneath import Beneath
from daemon.inbox.arrivals import OwnerOf, is_private_elsewhere
from daemon.inbox.grouping import Drop, Group, Mark, Member, group_into_drops
from daemon.inbox.telling_names import conflict_of, is_nobodys
from daemon.names import is_proof
from daemon.stages import APPLY_ENDINGS, PICTURES, Stage


@dataclass(slots=True)
class Seen:
    """What a file was like, whose it is, since when by the monotonic clock, and whether nobody was seen to write it since."""

    mark: Mark
    owner: int | None
    since: float
    free: bool = False


@dataclass(frozen=True, slots=True)
class HeldFiles:
    """What one look found: files that belong together, each as the drop that it would be; the proofs and signs of nothing that is
    there; and pictures that are no proof by their names."""

    drops: tuple[Drop, ...] = ()
    alone: tuple[Member, ...] = ()
    signs: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()


@dataclass(slots=True)
class HoldFolder:
    """One hold folder. `settle_seconds` is how long a file must stand still where a lease shows that nobody writes it,
    `settle_unleased_seconds` where the system cannot say; one that `is_own` need not. Times are monotonic seconds."""

    stage: Stage
    folder: Path
    settle_seconds: float
    settle_unleased_seconds: float
    is_own: Callable[[Mark], bool]
    owner_of: OwnerOf
    _files: dict[str, Seen] = field(default_factory=dict)
    _found: HeldFiles = field(default_factory=HeldFiles)

    def look(self, now: float) -> HeldFiles:
        """List the folder. Raises OSError where that cannot be done."""
        before, files = self._files, dict[str, Seen]()
        with self._beneath.folder(self.folder, os.O_RDONLY) as folder, os.scandir(folder) as entries:
            for entry in entries:
                if is_nobodys(entry.name) or conflict_of(entry.name):
                    continue
                try:
                    st = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # taken away in the same moment
                    continue
                # Whoever put a second name of a file here perhaps may not read it, and its proof everybody of the group may.
                if stat.S_ISREG(st.st_mode) and not is_private_elsewhere(st.st_mode, st.st_nlink):
                    files[entry.name] = self._seen(st, before.get(entry.name), now)
        self._files = files
        if before.keys() != files.keys() or any(before[name] is not seen for name, seen in files.items()):
            self._found = self._grouped()
        return self._found

    def due_of(self, member: Member, now: float) -> float | None:
        """When to ask again whether a file stands still, because it does not or may not; None where it does."""
        seen = self._files.get(member.path.name)
        if seen is None or seen.free or self.is_own(seen.mark):
            return None
        if now < seen.since + self.settle_seconds:
            return seen.since + self.settle_seconds
        written = self._is_being_written(member.path)
        if written:
            seen.since = now
            return now + self.settle_seconds
        until = seen.since + max(self.settle_seconds, self.settle_unleased_seconds)
        if written is None and now < until:
            return until
        seen.free = True
        return None

    def _is_being_written(self, path: Path) -> bool | None:
        try:
            return self._beneath.is_being_written(path)
        except OSError:  # gone, which the next look sees, or not for us to read
            return None

    @property
    def _beneath(self) -> Beneath:
        return Beneath(self.folder.parents[1])

    def _seen(self, st: os.stat_result, known: Seen | None, now: float) -> Seen:
        mark = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
        return known if known is not None and known.mark == mark else Seen(mark, self.owner_of(st), now)

    def _grouped(self) -> HeldFiles:
        names = sorted(self._files, key=lambda name: (self._files[name].mark[4], name))
        groups, alone = group_into_drops(self.stage, names)
        whole = [found for found in groups if found.missing is None]
        drops = [self._drop(found) for found in whole if found.principal.lower().endswith(self.stage.extensions)]
        signs = [name for name in alone if name.lower().endswith(APPLY_ENDINGS)]
        pictures = [found.principal for found in groups if found.principal.lower().endswith(self._only_pictures)]
        proofs = map(partial(self._member, "proof"), filter(is_proof, alone))
        return HeldFiles(tuple(drops), tuple(proofs), tuple(signs), tuple(pictures))

    @property
    def _only_pictures(self) -> tuple[str, ...]:
        return tuple(ending for ending in PICTURES if ending not in self.stage.extensions)

    def _drop(self, found: Group) -> Drop:
        members = tuple(self._member(role, name) for role, name in found.roles.items())
        return Drop(members, found.stem, self._files[found.principal].owner)

    def _member(self, role: str, name: str) -> Member:
        return Member(role, self.folder / name, self._files[name].mark)
