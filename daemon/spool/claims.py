"""A claim: what the daemon knows of the files it has taken for one job, and the record that is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.inbox.grouping import Drop
from daemon.spool.records import ClaimRecord, is_waiting_place


@dataclass(frozen=True, kw_only=True)
class Claim(ClaimRecord):
    """The files of one job, which are now this daemon's alone: what claim.json says of it, and where they lie.

    `job` is its folder in .work/ and sorts by age. `members` are the paths by role, to be read only. `attempts` is how often the
    job was started before this claim was made.
    """

    job: str
    members: Mapping[str, Path]
    attempts: int = 0

    @property
    def waited_in(self) -> str:
        """Where the file that the job is about goes back to, in words."""
        return self.places.get("principal", "its inbox")


def record_of_drop(stage: str, drop: Drop, identity: str, *, root: Path, inbox: Path) -> ClaimRecord:
    """What is to be written of a drop before its files are taken; `inbox` is that of the stage, in the spool at `root`.

    A file that waited elsewhere goes back there where nothing comes of the job: in an inbox, latents on hold count as approved.
    """
    members = {member.role: member.path.name for member in drop.members}
    prints = {member.role: (member.mark[1], member.mark[2], member.mark[3]) for member in drop.members}
    lay = {member.role: member.path.parent for member in drop.members if member.path.parent != inbox}
    places = {role: folder.relative_to(root).as_posix() for role, folder in lay.items()}
    waited = {role: place for role, place in places.items() if is_waiting_place(place)}
    return ClaimRecord(stage, drop.stem, identity, members, prints, drop.owner, waited)
