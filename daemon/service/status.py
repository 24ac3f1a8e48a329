"""What the daemon says of itself: the folders counted, status.json and status.txt, and the notes to systemd.

The truth is in the folders, so that `tiffsd status` says the same with the daemon down; the daemon adds only what folders cannot
show: that it lives, what its worker does, and which stage is in trouble and why.
"""

import json
import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon import layout
from daemon.beneath import Beneath
from daemon.inbox.telling_names import conflict_of, conflict_sentence, is_nobodys, sign_of, sign_sentence
from daemon.jobs.alive import is_alive
from daemon.jobs.emptied import is_emptied
from daemon.jobs.running import Running, read_running
from daemon.names import is_proof, shown
from daemon.service.machines import machines_of
from daemon.spool.atomic import atomic_replace
from daemon.spool.filesystem import Filesystem
from daemon.stages import APPLY_ENDINGS, STAGES

SHOWN = 20
MOST_LOOKED_INTO = 50  # folders of failed jobs of one stage


@dataclass(frozen=True)
class StageStatus:
    """One stage by its folders; `degraded` is the reason in words where the stage is in trouble, `waits` who waits for what."""

    waiting: int
    held: int
    failed: int
    paused: bool
    gated: bool
    degraded: str | None = None
    waits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """The whole of a spool at one moment; `worker` is empty where no daemon runs, `complaints` are what people should see to.

    `interrupted` counts the jobs that a daemon left when it was killed. `listed` is the first of what `tiffsd list` says, by kind
    (`jobs/overview.py`); empty where nobody has looked.
    """

    alive: bool
    at: str
    stages: Mapping[str, StageStatus]
    running: tuple[Running, ...]
    done_today: int
    pictures: int
    worker: Mapping[str, Any] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()
    interrupted: int = 0
    listed: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """One line for systemd and the log."""
        waiting = sum(stage.waiting for stage in self.stages.values())
        held = sum(stage.held for stage in self.stages.values())
        failed = sum(stage.failed for stage in self.stages.values())
        text = f"{len(self.running)} running, {waiting} waiting, {held} on hold, {self.done_today} done today, {failed} failed"
        failing = [f"{name}: {stage.degraded}" for name, stage in self.stages.items() if stage.degraded]
        interrupted = [f"{self.interrupted} interrupted, to go on at the next start"] * bool(self.interrupted)
        fast = [f"fast pictures in {self.worker.get('numbers')}"] * ("numbers" in self.worker)
        return shown("; ".join([text, *fast, *interrupted, *failing, *self.complaints]))

    def well(self) -> bool:
        """Whether nothing asks for a person: no stage fails, and no complaint."""
        return not self.complaints and not any(stage.degraded for stage in self.stages.values())


def read_status(
    root: Path,
    *,
    now: datetime,
    alive: bool | None = None,
    degraded: Mapping[str, str] | None = None,
    waits: Mapping[str, Sequence[str]] | None = None,
    worker: Mapping[str, Any] | None = None,
    gates: Collection[str] = (),
    complaints: Sequence[str] = (),
    listed: Mapping[str, Any] | None = None,
) -> Status:
    """Count the folders of a spool. With `alive` None a lock says whether a daemon runs."""
    stages = {}
    for name, stage in STAGES.items():
        inbox, hold = (_names(root, f"{kind}/{stage.folder}") for kind in (layout.INBOX, layout.HOLD))
        stages[name] = StageStatus(
            waiting=_number(inbox),
            held=_number(hold),
            failed=_failed(root, f"{layout.FAILED}/{stage.folder}"),
            paused=layout.PAUSE_SIGN in map(sign_of, inbox),
            gated=name in gates or layout.HOLD_SIGN in map(sign_of, hold),
            degraded=(degraded or {}).get(name),
            waits=(*(waits or {}).get(name, ()), *_told_of(stage.folder, hold))[:SHOWN],
        )
    alive = is_alive(root) if alive is None else alive
    return Status(
        alive=alive,
        at=now.isoformat(timespec="seconds"),
        stages=stages,
        running=tuple(read_running(root)) if alive else (),
        done_today=_count(root, f"{layout.DONE}/{now.date().isoformat()}"),
        pictures=_count(root, layout.PICTURES),
        worker=dict(worker or {}),
        complaints=tuple(complaints),
        interrupted=0 if alive else _count(root, layout.WORK),
        listed=listed or {},
    )


def why_waiting(stages: Mapping[str, StageStatus]) -> Callable[[str, str], tuple[str, str]]:
    """Stage and name of a file in an inbox -> why it waits there, and the command that goes on; empty where there is none."""

    def told(stage: str, name: str) -> tuple[str, str]:
        about, of_the_file = stages[stage], f"{shown(name)}: "
        own = next((said.removeprefix(of_the_file) for said in about.waits if said.startswith(of_the_file)), None)
        reason = own or ("its stage is paused" if about.paused else about.degraded)
        return reason or "", f"tiffsd resume {stage}" if about.paused else ""

    return told


def page_facts(status: Status) -> dict[str, Any]:
    """What the page tells of a status beside the files: whether a daemon runs, its stages, what people should see to, and where
    there are others than this machine, how those are that compute."""
    keys = ("waiting", "held", "failed", "paused", "gated", "degraded")
    stages = [
        {"name": name, "folder": STAGES[name].folder, **{key: getattr(of, key) for key in keys}}
        for name, of in status.stages.items()
    ]
    facts = {"alive": status.alive, "complaints": [shown(sentence) for sentence in status.complaints], "stages": stages}
    machines = [{"name": machine.name, "state": machine.state} for machine in machines_of(status.worker)]
    return facts | ({"machines": machines} if machines else {})


def write_status(root: Path, status: Status) -> None:
    """Write status.json and status.txt, each whole or not at all."""
    texts = {layout.STATUS: json.dumps(asdict(status), indent=1) + "\n", "status.txt": f"{status.at}  {status.line()}\n"}
    for name, text in texts.items():
        atomic_replace(Filesystem(root), root / name, text.encode("utf-8", "replace"))


def has_sign(root: Path, folder: str, sign: str) -> bool:
    """Whether a person has put a sign into a folder of a spool; False where the folder cannot be read."""
    return any(sign_of(name) == sign for name in _names(root, folder))


def notify(message: str) -> None:
    """Tell systemd, where it listens: a datagram to NOTIFY_SOCKET, as sd_notify(3) says. Silent elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.connect("\0" + address[1:] if address.startswith("@") else address)
        link.sendall(message.encode("utf-8", "replace"))


def _count(root: Path, folder: str) -> int:
    return _number(_names(root, folder))


def _names(root: Path, folder: str) -> list[str]:
    try:
        return Beneath(root).names(root / folder)
    except OSError:  # gone, or not to be read: the stage's fault says why
        return []


def _number(names: Iterable[str]) -> int:
    return sum(not (is_nobodys(name) or is_proof(name) or name.lower().endswith(APPLY_ENDINGS)) for name in names)


def _failed(root: Path, folder: str) -> int:
    """How many jobs have failed: few enough to be looked into without those whose files are on their way again."""
    found, beneath = _names(root, folder), Beneath(root)
    if len(found) <= MOST_LOOKED_INTO:
        found = [name for name in found if not is_emptied(beneath, root / folder / name)]
    return _number(found)


def _told_of(folder: str, hold: Iterable[str]) -> Iterator[str]:
    """What is to be said of names in a hold folder, where nobody else looks at them: copies of conflicts, signs for elsewhere."""
    for name in sorted(hold):
        if original := None if is_nobodys(name) else conflict_of(name):
            yield f"{layout.HOLD}/{folder}/{shown(name)}: {conflict_sentence(shown(original))}"
        elif sign_of(name) == layout.PAUSE_SIGN:
            yield f"{layout.HOLD}/{folder}/{shown(name)}: {sign_sentence(layout.PAUSE_SIGN, folder)}"
