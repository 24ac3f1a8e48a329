"""THE STORY of one job, top to bottom: claimed files in, published files out; only here the spool and the pictures meet.

    count the attempt -> read -> compute -> write outputs -> commit -> publish and archive -> preview

Before the commit a crash rolls back, after it only forward (see `spool.py`). What goes wrong is sorted by who is at fault
(`errors.py`): every job ends published, in `failed/` with a sentence, or back in its inbox; never nowhere.
"""

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from daemon.compute import Compute
from daemon.config import Config
from daemon.errors import Cancelled, InputError, ModelMissing, OutOfMemory, Stopped, WorkerDied
from daemon.intake import Files, Shelves, read_request
from daemon.previews import write_preview
from daemon.request import Tensors, computed
from daemon.results import Bench, results
from daemon.running import RunningFile
from daemon.spool import Claim, Spool
from tiffsd import TiffsdError

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.2


class Outcome(StrEnum):
    """How a job ended; RETURNED where the daemon stops, KEPT where the machine was at fault and the file waits for another try."""

    DONE = "done"
    FAILED = "failed"
    RETURNED = "returned"
    KEPT = "kept"


@dataclass(frozen=True)
class Rooms:
    """The parts of the house that one job walks through; `gated` asks for a stage's review gate, `stopping` for the end of the
    daemon."""

    config: Config
    spool: Spool
    compute: Compute
    gated: Callable[[str], bool]
    stopping: Callable[[], bool]


def run(claim: Claim, rooms: Rooms) -> Outcome:
    """Run a claimed job to its end, whatever the end is."""
    running = RunningFile(rooms.spool.root, claim.stage, name=f"{claim.stem}.{claim.id}")
    label = f"{claim.stage} {claim.names['principal']!a}"
    try:
        running.start()
        _run_until_decided(claim, rooms, running)
        return Outcome.DONE
    except (TiffsdError, InputError, ModelMissing, Cancelled, WorkerDied) as error:
        return _fail(claim, rooms, str(error))
    except Stopped:
        rooms.spool.give_back(claim)
        return Outcome.RETURNED
    except (OSError, OutOfMemory) as error:
        log.error("%s: the machine is at fault, the file goes back to its inbox: %s", label, error)
        rooms.spool.give_back(claim)
        return Outcome.KEPT
    except Exception as error:
        log.exception("%s: a fault in tiffsd", label)
        return _fail(claim, rooms, f"tiffsd itself failed at this file ({type(error).__name__}: {error})", traceback.format_exc())
    finally:
        running.end()


def _run_until_decided(claim: Claim, rooms: Rooms, running: RunningFile) -> None:
    """Attempt the job; one that kills its worker is tried a second time, since the next kill may have been another program's."""
    while True:
        attempt = rooms.spool.begin_attempt(claim)
        try:
            return _attempt(claim, rooms, running)
        except WorkerDied as error:
            if rooms.stopping():
                raise Stopped("the daemon is stopping") from error
            if attempt >= rooms.spool.max_attempts:
                raise WorkerDied(
                    f"{claim.names['principal']}: {error} It was tried {attempt} times; use smaller settings or a larger machine"
                ) from error
            log.warning("%s %a: %s Trying again.", claim.stage, claim.names["principal"], error)


def _attempt(claim: Claim, rooms: Rooms, running: RunningFile) -> None:
    started = time.monotonic()
    shelves = Shelves(rooms.config, rooms.spool.root / "embeddings", rooms.spool.root / ".keep")
    request = read_request(claim.stage, Files(claim.members, claim.names), shelves)
    tensors, facts = computed(request, rooms.config, partial(_call, rooms, running))
    seconds = time.monotonic() - started
    outputs = results(request, claim.stem, tensors, facts, Bench(rooms.config, rooms.gated, datetime.now().astimezone(), seconds))
    for output in outputs:
        with rooms.spool.create_output(claim, output.publication.source) as file:
            output.write(file)
    rooms.spool.commit(claim, [output.publication for output in outputs])
    published = [path for path in rooms.spool.finish(claim) if path.parent.name != ".keep"]
    log.info(
        "%s %a -> %s %.1f s",
        claim.stage,
        claim.names["principal"],
        ", ".join(f"{path.parent.name}/{path.name}" for path in published),
        seconds,
    )
    for note in (*request.notes, *facts.get("notes", [])):
        log.info("%s %a: %s", claim.stage, claim.names["principal"], note)
    for artifact in (output.artifact for output in outputs if output.artifact and rooms.config.previews):
        write_preview(rooms.spool.root / "previews", artifact, stem=claim.stem)


def _call(
    rooms: Rooms, running: RunningFile, stage: str, tensors: Tensors, settings: Mapping[str, Any]
) -> tuple[Tensors, dict[str, Any]]:
    call = rooms.compute.submit(stage, tensors, settings, on_progress=running.update)
    while True:
        if rooms.stopping():
            call.cancel(Stopped("the daemon is stopping"))
        elif running.deleted():
            call.cancel(
                Cancelled(f"cancelled: {running.path.name} was deleted from running/; drop the file again to run it after all")
            )
        try:
            return call.future.result(timeout=LOOK_SECONDS)
        except TimeoutError:
            continue


def _fail(claim: Claim, rooms: Rooms, sentence: str, trace: str | None = None) -> Outcome:
    log.error("%s %a: failed: %s", claim.stage, claim.names["principal"], sentence)
    rooms.spool.fail(claim, sentence, {"stage": claim.stage, "names": dict(claim.names), **({"traceback": trace} if trace else {})})
    return Outcome.FAILED
