"""THE STORY of one job, top to bottom: claimed files in, published files out; only here the spool and the pictures meet.

    count the attempt -> read -> compute -> write outputs -> commit -> publish and archive -> preview

Before the commit a crash rolls back, after it only forward (see `spool/spool.py`). What goes wrong is sorted by who is at fault
(`errors.py`): every job ends published, in `failed/` with a sentence, or back in its inbox; never nowhere.
"""

import logging
import traceback
from datetime import datetime
from functools import partial

from daemon.errors import Cancelled, ComputeLost, InputError, ModelMissing, OutOfMemory, Stopped, TooLong, WorkerDied
from daemon.jobs.account import Account
from daemon.jobs.context import Rooms
from daemon.jobs.intake.files import Files
from daemon.jobs.intake.readers import read_request
from daemon.jobs.outcome import Ended, Outcome
from daemon.jobs.previews import write_previews
from daemon.jobs.request import computed
from daemon.jobs.results import Bench, results
from daemon.jobs.running import RunningFile
from daemon.names import output_name, shown
from daemon.spool.spool import Claim
from tiffsd import TiffsdError

log = logging.getLogger(__name__)


class _Unfinished(Exception):
    """The machine failed after the commit: there is no way back, only forward, later."""


def run(claim: Claim, rooms: Rooms) -> Ended:
    """Run a claimed job to its end, whatever the end is."""
    running = RunningFile(rooms.spool.root, claim.stage, name=output_name(claim.stem, claim.id, ".txt"))
    label = f"{claim.stage} {shown(claim.names['principal'])}"
    try:
        rooms.at("writing down that it begins")
        running.start()
        _run_until_decided(claim, rooms, running, label)
        return Ended(Outcome.DONE)
    except (TiffsdError, InputError, ModelMissing, Cancelled, WorkerDied, TooLong) as error:
        return _fail(claim, rooms, str(error), label)
    except _Unfinished as error:
        log.error("%s: made, but not yet published: %s", label, error)
        return Ended(Outcome.UNFINISHED, str(error))
    except (Stopped, OutOfMemory, ComputeLost, OSError) as error:
        end = rooms.patience.ended(error, claim.stage, rooms.spool.fingerprints(claim))
        return _fail(claim, rooms, end.reason, label) if end.outcome is Outcome.FAILED else _give_back(claim, rooms, end, label)
    # The one broad except: a fault of ours must cost neither the daemon nor the file.
    except Exception as error:
        log.exception("%s: a fault in tiffsd", label)
        sentence = f"tiffsd itself failed at this file ({type(error).__name__}: {error}); please report it with error.json"
        return _fail(claim, rooms, sentence, label, trace=traceback.format_exc())
    finally:
        running.end()


def _run_until_decided(claim: Claim, rooms: Rooms, running: RunningFile, label: str) -> None:
    """Attempt the job; one that kills its worker is tried a second time, since the kill may have been another program's fault."""
    while True:
        attempt = rooms.spool.begin_attempt(claim)
        try:
            return _attempt(claim, rooms, running, label)
        except WorkerDied as error:
            rooms.check_going_on(running)
            if attempt >= rooms.spool.max_attempts:
                raise WorkerDied(f"{error}. It was tried {attempt} times; {error.advice}") from error
            log.warning("%s: %s; trying again", label, error)


def _attempt(claim: Claim, rooms: Rooms, running: RunningFile, label: str) -> None:
    rooms.await_settled(claim, running)
    account = Account(label)
    rooms.at("reading its files and those that it names")
    with rooms.spool.opened(claim) as members:
        request = read_request(claim.stage, Files(members, claim.names), rooms.shelves)
    rooms.spool.entrust(claim)
    tensors, facts = computed(request, rooms.config, account.timed(partial(rooms.call, claim, running, account)))
    rooms.at("making its results")
    rooms.spool.take_back(claim)
    bench = Bench(rooms.config, rooms.gated, datetime.now().astimezone(), account.own_seconds())
    outputs = results(request, claim.stem, tensors, facts, bench)
    for output in outputs:
        rooms.at(f"writing {shown(output.publication.name)}")
        with rooms.spool.create_output(claim, output.publication.source) as file:
            output.write(file)
    rooms.at("publishing its results", decided=True)
    rooms.spool.commit(claim, [output.publication for output in outputs])
    try:
        published = rooms.spool.finish(claim)
    except OSError as error:
        raise _Unfinished(error) from error
    rooms.hooks.published(claim.stage, claim.names["principal"], published)
    account.ended(rooms.spool.root, published, bench.seconds)
    for note in (*request.notes, *facts.get("notes", [])):
        log.info("%s: %s", label, note)
    if rooms.config.previews.enabled:
        write_previews(rooms.spool.root, [(output.publication.name, output.artifact) for output in outputs if output.artifact])


def _give_back(claim: Claim, rooms: Rooms, ended: Ended, label: str) -> Ended:
    if ended.outcome in (Outcome.LATER, Outcome.KEPT):
        log.error("%s: the machine is at fault, the file goes back to its inbox: %s", label, ended.reason)
    rooms.at("going back to its inbox", decided=True)
    rooms.spool.give_back(claim)
    return ended


def _fail(claim: Claim, rooms: Rooms, sentence: str, label: str, *, trace: str | None = None) -> Ended:
    log.error("%s: failed: %s", label, sentence)
    facts = {"stage": claim.stage, "names": dict(claim.names)} | ({"traceback": trace} if trace else {})
    rooms.at("going to failed/", decided=True)
    folder = rooms.spool.fail(claim, sentence, facts)
    rooms.hooks.failed(claim.stage, claim.names["principal"], folder, sentence)
    return Ended(Outcome.FAILED)
