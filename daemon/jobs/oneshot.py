"""One stage on one file, without a spool: the twins of the prototype's four scripts.

The same hands as the daemon's (`intake/`, `results.py`) and the same kind of worker process, so that both make the same tensors.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.compute.engine import new_engine
from daemon.compute.protocol import EngineOptions, OnProgress
from daemon.errors import InputError
from daemon.jobs.intake.files import Files, InputSources, as_input_errors
from daemon.jobs.intake.readers import read_request
from daemon.jobs.job_log import JobLog
from daemon.jobs.named import opened
from daemon.jobs.naming import stems_of
from daemon.jobs.request import Computed, Request, stage_calls
from daemon.jobs.results import Output, ResultContext, results
from daemon.layout import EMBEDDINGS
from daemon.names import fitted
from daemon.settings.checking import checked, layered
from daemon.settings.config import Config
from tiffsd.atomic import replacing


@dataclass(frozen=True)
class Written:
    """The file that a command has written, and notes for the person."""

    path: Path
    notes: tuple[str, ...]


PAIRS = (("_latent", "_prompt"), ("_state1", "_textstate1"))


def run(
    stage: str,
    members: Mapping[str, Path],
    given: Mapping[str, Any],
    target: Path,
    *,
    config: Config,
    on_progress: OnProgress,
) -> Written:
    """Run one stage on files and write `target`; `given` are settings that win over all others.

    Raises InputError where a file is at fault; an existing target is replaced, since its name was said in so many
    words. With a `name` among the settings the file is called by that, beside the target, and replaces nothing.
    """
    job_log = JobLog(f"{stage} {target.name}")
    _check_not_an_input(target, members)
    # The name of the target says what is wanted, not the configuration of the daemon.
    config = config.model_copy(update={"pictures": config.pictures.all_on()})
    names = {role: path.name for role, path in members.items()}
    overrides = checked(layered(given), "the command line").given()
    with as_input_errors():
        with opened(members) as found:
            request = read_request(stage, Files(found, names, overrides), InputSources(config, config.spool_folder / EMBEDDINGS))
        if "name" in overrides:
            (stem,) = stems_of(request, target.stem, config, datetime.now().astimezone())
            target = free_target(target.with_name(fitted(stem, target.suffix)))
        computed = _computed(request, config, job_log, on_progress)
        context = ResultContext(config, lambda _: False, datetime.now().astimezone(), job_log.own_seconds())
        outputs = results(request, target.stem, computed.tensors, computed.facts, context)
        _write(_wanted(outputs, target), target)
    return Written(target, (*request.notes, *computed.facts["notes"]))


def run_text(prompt: str, given: Mapping[str, Any], target: Path, *, config: Config, on_progress: OnProgress) -> Written:
    """The text stage on a prompt that is no file."""
    given = {**given, "count": 1}
    with tempfile.TemporaryDirectory(prefix="tiffsd-") as scratch:
        path = Path(scratch) / f"{target.stem}.txt"
        path.write_text(prompt, encoding="utf-8")
        return run("text", {"principal": path}, given, target, config=config, on_progress=on_progress)


def find_latents(name: str) -> dict[str, Path]:
    """The files that a name means: NAME, NAME.tiff, or the prototype's pair NAME_latent.tiff and NAME_prompt.tiff."""
    for path in (Path(name), Path(f"{name}.tiff")):
        if path.is_file():
            return {"principal": path}
    for latents, embedding in PAIRS:
        pair = Path(f"{name}{latents}.tiff"), Path(f"{name}{embedding}.tiff")
        if all(path.is_file() for path in pair):
            return {"principal": pair[0], embedding: pair[1]}
    raise InputError(
        f"{name}: there is neither {name}.tiff nor the pair {name}_latent.tiff and {name}_prompt.tiff; "
        "give the name without its ending"
    )


def _check_not_an_input(target: Path, members: Mapping[str, Path]) -> None:
    for path in members.values():
        if target.exists() and path.exists() and target.samefile(path):
            raise InputError(f"{target} is the file that is read; give the result another name with -o")


def free_target(path: Path) -> Path:
    """A name that nobody said in so many words must not replace a file. Raises InputError where it would."""
    if path.exists():
        raise InputError(f"{path} exists; give the result another name with -o, or say this one to replace it")
    return path


def _computed(request: Request, config: Config, job_log: JobLog, on_progress: OnProgress) -> Computed:
    compute = new_engine(EngineOptions(device=config.compute.device, threads=config.compute.threads))
    computed = Computed(request)
    try:
        for call in stage_calls(request, config):
            since, ready = job_log.seconds(), computed.given_to(call)
            submitted = compute.submit(ready.stage, ready.tensors, ready.settings, on_progress=on_progress)
            tensors, facts = submitted.future.result()
            job_log.called(since, facts)
            computed = computed.after(call, tensors, facts)
        return computed
    finally:
        compute.close()


def _wanted(outputs: list[Output], target: Path) -> Output:
    """The one output that was asked for, by its extension; the kept originals are the daemon's business."""
    suffix = {".tif": ".tiff", ".jpeg": ".jpg"}.get(target.suffix.lower(), target.suffix.lower())
    visible = [output for output in outputs if not output.publication.folder.startswith(".")]
    fitting = [output for output in visible if output.publication.name.endswith(suffix)]
    if not fitting:
        kinds = " or ".join(sorted({Path(output.publication.name).suffix for output in visible}))
        raise InputError(
            f"{target}: this stage writes {kinds}, not {target.suffix or 'a file without an ending'}; give another name"
        )
    return fitting[-1]


def _write(output: Output, target: Path) -> None:
    with replacing(target) as file:
        output.write(file)
