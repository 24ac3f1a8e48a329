"""What a person does at the folders, as functions: files moved between folders, and signs put and taken away.

Each is a file operation that works with the daemon down, and gives back the sentence that says what was done. Paths are whole
ones below the root of the spool; all raise DaemonError with a sentence, or OSError.
"""

from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.beneath import Beneath
from daemon.errors import DaemonError, NotThere
from daemon.inbox.telling_names import is_nobodys, sign_of
from daemon.jobs.emptied import is_emptied
from daemon.jobs.running import read_running
from daemon.layout import FAILED, HOLD, HOLD_SIGN, INBOX, PAUSE_SIGN, RUNNING
from daemon.names import base_of, fitted, id_of, is_proof, latents_base, proof_name, stem_of, without_id
from daemon.stages import APPLY_ENDINGS, LATENTS, STAGES

if TYPE_CHECKING:
    from daemon.spool.spool import Spool

MOST_TOLD = 10  # names in a sentence


def spool_at(root: Path) -> "Spool":
    """The spool in a folder."""
    # Only here, because all commands are loaded for `tiffsd --help`.
    from daemon.spool.spool import Spool

    return Spool(root, {stage.name: stage.folder for stage in STAGES.values()})


def hold(root: Path, path: Path) -> str:
    """Put a file that waits in an inbox on hold, its companions with it."""
    return f"on hold: {spool_at(root).move_to_hold(of_latents(path))}"


def release(root: Path, path: Path) -> str:
    """Approve a file that waits on hold: move it to its inbox, its companions with it."""
    return f"released to {spool_at(root).release_hold(of_latents(path))}"


def gate_on(root: Path, stage: str) -> str:
    """Let what comes for a stage wait in its hold folder."""
    folder = _stage_folder(root, HOLD, stage)
    Beneath(root).touch(folder / HOLD_SIGN)
    return f"the gate of {stage} is on: what comes for it waits in {folder}"


def gate_off(root: Path, stage: str) -> str:
    """Let what comes for a stage go into its inbox again."""
    _take_sign(root, _stage_folder(root, HOLD, stage) / HOLD_SIGN)
    return f"the gate of {stage} is off, unless config.yaml turns it on; what waits there still waits"


def pause(root: Path, stage: str) -> str:
    """Let a stage rest."""
    Beneath(root).touch(_stage_folder(root, INBOX, stage) / PAUSE_SIGN)
    return f"{stage}: paused"


def resume(root: Path, stage: str) -> str:
    """Let a paused stage go on."""
    _take_sign(root, _stage_folder(root, INBOX, stage) / PAUSE_SIGN)
    return f"{stage}: resumed"


def retry(root: Path, failed: Path) -> list[str]:
    """Run a failed job again: move its files back to where they waited; a sentence for each."""
    return [f"back where it waited: {moved}" for moved in spool_at(root).retry(failed)]


def cancel(root: Path, name: str) -> str:
    """Cancel a running job, by its name in running/ with or without .txt; its files go to failed/."""
    path = root / RUNNING / f"{name.removesuffix('.txt')}.txt"
    named = [job.name for job in read_running(root) if without_id(job.name) == name]
    if len(named) == 1 and not Beneath(root).lexists(path):
        path = root / RUNNING / f"{named[0]}.txt"
    if path.parent != root / RUNNING or not Beneath(root).lexists(path):
        running = ", ".join(job.name for job in read_running(root)) or "none"
        raise NotThere(f"{name} is not running; running are: {running}")
    Beneath(root).unlink(path)
    return f"cancelled: {path.stem}"


def restore(root: Path, name: str) -> str:
    """Have the original back of a file that was spoilt, by its name with an id in it, or the stem of what is held or has failed."""
    plain = _with_id(root, Path(name).name)
    sign = root / INBOX / _folder_of(root, plain) / f"{plain}.restore"
    Beneath(root).touch(sign)
    return f"asked for by {sign}; the daemon puts the original into {root / HOLD / sign.parent.name}"


def apply(root: Path, path: Path) -> str:
    """Have the paint taken that is on the proof of latents on hold, while these go on waiting."""
    path = of_latents(path)
    if not any(stage.folder == path.parent.name and set(APPLY_ENDINGS) <= set(stage.companions) for stage in STAGES.values()):
        raise DaemonError(f"{path} has no proof: what waits in hold/2-diffuse and hold/3-decode has one; paint on that")
    sign = path.with_name(fitted(base_of(path.name), APPLY_ENDINGS[0]))
    Beneath(root).touch(sign)
    return f"asked for by {sign}; the daemon lays new latents and a new proof beside it"


def of_latents(path: Path) -> Path:
    """The path itself, or, of a proof, which goes where its latents go, that of the latents beside it."""
    if not is_proof(path.name):
        return path
    beside = [path.with_name(f"{latents_base(path.name)}{ending}") for ending in LATENTS]
    return next((latents for latents in beside if latents.exists()), path)


def is_named(path: Path) -> bool:
    """Whether what lies in a folder of a stage is what a command may name: a file of a person, or a job that failed."""
    if path.is_dir():
        return not is_nobodys(path.name) and not is_emptied(Beneath(path.parents[2]), path)
    beside = is_proof(path.name) or path.name.lower().endswith(APPLY_ENDINGS) or sign_of(path.name)
    return not (is_nobodys(path.name) or beside)


def _with_id(root: Path, name: str) -> str:
    """A name with an id in it: the one given, or that of the one artifact of this stem that is held or has failed."""
    if id_of(name) is not None:
        return name
    there = [*(root / HOLD).glob("*/*"), *(root / FAILED).glob("*/*/*")]
    found = sorted({path.name for path in there if _is_artifact(path.name) and name in (stem_of(path.name), without_id(path.name))})
    if len(found) > 1:
        raise DaemonError(f"{name}: there are several of that name: {', '.join(found[:MOST_TOLD])}; say which")
    if not found:
        known = sorted({path.name for path in there if _is_artifact(path.name)})
        instead = f"there are {', '.join(known[:MOST_TOLD])}" if known else "name a file such as cat.3f9a1c2e.tiff"
        raise DaemonError(f"{name} has no id in its name; {instead}")
    return found[0]


def _is_artifact(name: str) -> bool:
    return id_of(name) is not None and not is_proof(name) and Path(name).suffix.lower() in LATENTS


def _folder_of(root: Path, name: str) -> str:
    """The folder of the stage where a file of this name, or its proof, is held, or where it has failed."""
    beside = (name, proof_name(name))
    held = [
        *(path for one in beside for path in (root / HOLD).glob(f"*/{escape(one)}")),
        *(path.parent for path in (root / FAILED).glob(f"*/*/{escape(name)}")),
    ]
    return held[0].parent.name if held else STAGES["diffuse"].folder


def _stage_folder(root: Path, kind: str, stage: str) -> Path:
    if stage not in STAGES:
        raise DaemonError(f"{stage} is not a stage; stages are: {', '.join(STAGES)}")
    return root / kind / STAGES[stage].folder


def back_up(root: Path, target: Path, *, pictures: bool) -> list[str]:
    """Copy the spool as it is at one moment to a new folder; what came of it, and what was left out."""
    from daemon.jobs.backup import back_up as copy_of

    copied = copy_of(root, target, pictures=pictures)
    told = [
        f"left out (no file, not for this user to read, in use, or deleted meanwhile): {place}"
        for place in copied.left_out[:MOST_TOLD]
    ]
    more = len(copied.left_out) - MOST_TOLD
    return [
        f"backed up: {copied.files} files, {copied.bytes / 1e6:.1f} MB, in {target}",
        *told,
        *([f"and {more} more"] if more > 0 else []),
    ]


def _take_sign(root: Path, sign: Path) -> None:
    """Take a sign away under all the names that people may have given it: pause, Pause.txt."""
    beneath = Beneath(root)
    for name in [name for name in beneath.names(sign.parent) if sign_of(name) == sign.name]:
        path = sign.with_name(name)
        try:
            beneath.unlink(path)
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            raise DaemonError(f"{path} is a folder, and a sign is a file; move what lies in it elsewhere, and delete it") from None


ON_STAGES: dict[str, Callable[[Path, str], str]] = {"pause": pause, "resume": resume, "gate_on": gate_on, "gate_off": gate_off}
