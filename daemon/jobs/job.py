"""THE STORY of one job, top to bottom: claimed files in, published files out; only here the spool and the pictures meet.

    count the attempt -> read -> compute -> write outputs -> commit -> publish and archive -> preview

Before the commit a crash rolls back, after it only forward (see `spool/spool.py`). What goes wrong is sorted by who is at fault
(`errors.py`): every job ends published, in `failed/` with a sentence, or back where it waited; never nowhere.
"""

import logging
import traceback
from datetime import datetime

from daemon.errors import Cancelled, ComputeLost, InputError, ModelMissing, OutOfMemory, Stopped, TooLong, WorkerDied
from daemon.jobs.context import JobContext
from daemon.jobs.intake.files import Files
from daemon.jobs.intake.readers import read_request
from daemon.jobs.job_log import JobLog
from daemon.jobs.outcome import JobResult, Outcome, facts_of
from daemon.jobs.previews import write_previews
from daemon.jobs.request import Computed, stage_calls
from daemon.jobs.results import ResultContext, results
from daemon.jobs.running import RunningFile
from daemon.names import shown
from daemon.spool.spool import Claim
from tiffsd import TiffsdError

log = logging.getLogger(__name__)


class _Unfinished(Exception):
    """The machine failed after the commit: there is no way back, only forward, later."""


def run(claim: Claim, context: JobContext) -> JobResult:
    """Run a claimed job to its end, whatever the end is."""
    running = context.running_file(claim)
    label = f"{claim.stage} {shown(claim.names['principal'])}"
    try:
        context.heartbeat.beat("recording its start")
        running.start()
        _run_until_decided(claim, context, running, label)
        return JobResult(Outcome.DONE)
    except (TiffsdError, InputError, ModelMissing, Cancelled, WorkerDied, TooLong) as error:
        return _fail(claim, context, error, str(error), label)
    except _Unfinished as error:
        log.error("%s: finished, but not yet published, will retry: %s", label, error)
        return JobResult(Outcome.UNFINISHED, str(error))
    except (Stopped, OutOfMemory, ComputeLost, OSError) as error:
        result = context.retries.result_of(error, claim.stage, context.spool.fingerprints(claim))
        failed = result.outcome is Outcome.FAILED
        return _fail(claim, context, error, result.reason, label) if failed else _give_back(claim, context, result, label)
    # The one broad except: a fault of ours must cost neither the daemon nor the file.
    except Exception as error:
        log.exception("%s: internal error in tiffsd", label)
        sentence = f"tiffsd itself failed at this file ({type(error).__name__}: {error}); please report it with error.json"
        return _fail(claim, context, error, sentence, label, trace=traceback.format_exc())
    finally:
        running.end()


def _run_until_decided(claim: Claim, context: JobContext, running: RunningFile, label: str) -> None:
    """Attempt the job; one that kills its worker is tried a second time, since the kill may have been another program's fault."""
    while True:
        attempt = context.spool.begin_attempt(claim)
        try:
            return _attempt(claim, context, running, label)
        except WorkerDied as error:
            context.check_not_stopped(running)
            if attempt >= context.spool.max_attempts:
                raise WorkerDied(f"{error}. It was tried {attempt} times; {error.advice}") from error
            log.warning("%s: %s; trying again", label, error)


def _attempt(claim: Claim, context: JobContext, running: RunningFile, label: str) -> None:
    context.await_stable(claim, running)
    job_log = JobLog(label)
    context.heartbeat.beat("reading its files and those that it names")
    with context.spool.opened(claim) as members:
        request = read_request(claim.stage, Files(members, claim.names), context.sources)
    context.spool.mark_dispatched(claim)
    computed = Computed(request)
    for call in stage_calls(request, context.config):
        computed = computed.after(call, *context.call(claim, running, job_log, computed.given_to(call)))
    context.heartbeat.beat("making its results", computed=True)
    context.spool.clear_dispatched(claim)
    seconds = job_log.own_seconds()
    about = ResultContext(context.config, context.gated, datetime.now().astimezone(), seconds)
    outputs = results(request, claim.stem, computed.tensors, computed.facts, about)
    for output in outputs:
        context.heartbeat.beat(f"writing {shown(output.publication.name)}")
        with context.spool.create_output(claim, output.publication.source) as file:
            output.write(file)
    context.check_unchanged(claim)
    context.heartbeat.beat("publishing its results", decided=True)
    context.spool.commit(claim, [output.publication for output in outputs])
    try:
        published = context.spool.finish(claim)
    except OSError as error:
        raise _Unfinished(error) from error
    context.hooks.published(claim.stage, claim.names["principal"], published)
    job_log.finished(context.spool.root, published, seconds, notes=(*request.notes, *computed.facts["notes"]))
    if context.config.previews.enabled:
        write_previews(context.spool.root, [(output.publication.name, output.artifact) for output in outputs if output.artifact])


def _give_back(claim: Claim, context: JobContext, result: JobResult, label: str) -> JobResult:
    if result.outcome in (Outcome.LATER, Outcome.KEPT):
        log.error("%s: system error; file returned to %s, will retry: %s", label, claim.waited_in, result.reason)
    context.heartbeat.beat("returning to where it waited", decided=True)
    context.spool.give_back(claim)
    return result


def _fail(claim: Claim, context: JobContext, error: Exception, sentence: str, label: str, trace: str | None = None) -> JobResult:
    log.error("%s: failed: %s", label, sentence)
    facts = {**facts_of(error), "stage": claim.stage, "names": dict(claim.names)} | ({"traceback": trace} if trace else {})
    context.heartbeat.beat("moving to failed/", decided=True)
    folder = context.spool.fail(claim, sentence, facts)
    context.hooks.failed(claim.stage, claim.names["principal"], folder, sentence)
    return JobResult(Outcome.FAILED)
