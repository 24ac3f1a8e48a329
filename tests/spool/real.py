"""A spool on the real filesystem: drops into it, claims of them, and jobs that are run to their end."""

from pathlib import Path

from daemon.inbox.arrivals import OwnerOf
from daemon.inbox.inbox import Inbox
from daemon.spool.spool import Claim, Publication, Spool
from daemon.stages import STAGES
from tests.conftest import wait_until
from tests.spool.stories import FOLDERS


def drop(root: Path, name: str, content: bytes = b"content", *, stage: str = "diffuse") -> Path:
    path = root / "inbox" / FOLDERS[stage] / name
    path.write_bytes(content)
    return path


def inbox_of(root: Path, stage: str, owner_of: OwnerOf = lambda st: st.st_uid) -> Inbox:
    return Inbox(
        STAGES[stage],
        root / "inbox" / FOLDERS[stage],
        settle_seconds=0,
        settle_unleased_seconds=0,
        empty_grace_seconds=0,
        owner_of=owner_of,
    )


def claim_one(spool: Spool, stage: str = "diffuse") -> Claim:
    """Claim the drop that arrived first."""
    claim = spool.claim(stage, inbox_of(spool.root, stage).scan(0.0).ready[0])
    assert claim is not None
    return claim


def publications(*names: str) -> list[Publication]:
    """A place in an inbox for the first output, in pictures/ for the second."""
    folders = ["inbox/3-decode", "pictures"]
    return [Publication(name, folder, f"cat.0000000{i}.tiff") for i, (name, folder) in enumerate(zip(names, folders, strict=False))]


def complete(spool: Spool, claim: Claim) -> list[Path]:
    """Run a job that makes one output."""
    spool.begin_attempt(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"output one")
    spool.commit(claim, publications("latents.tiff"))
    return spool.finish(claim)


def age(spool: Spool, path: Path) -> None:
    """Wait until a file that is made now is younger than this one by the clock of the filesystem, which ticks slowly."""
    made, probe = spool.born(path) or 0, spool.root / "previews/probe"

    def is_younger() -> bool:
        probe.touch()
        now = spool.born(probe)
        probe.unlink()
        return now is None or now > made

    wait_until(is_younger, what="the clock of the filesystem has gone on")
