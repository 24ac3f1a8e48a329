"""Commands that do what people can do by hand: files moved between folders, and the signs PAUSE and HOLD put and taken away."""

from collections.abc import Callable, Iterable, Sequence
from glob import escape
from pathlib import Path

import click

from daemon.commands import PATH, config_option, say, spool_root
from daemon.commands.completing import FAILED_JOBS, HELD, RUNNING_JOBS, STAGE_NAMES, TO_HOLD, TO_RELEASE
from daemon.errors import DaemonError
from daemon.jobs import acts
from daemon.layout import FAILED, HOLD, INBOX
from daemon.names import stem_of, without_id
from daemon.stages import STAGES

MOST_TOLD = 10  # names in one sentence


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=TO_HOLD)
@config_option
def hold(names: tuple[str, ...], config: Path | None) -> None:
    """Let what comes for a stage wait in its hold folder, or put single files there that still wait in an inbox.

    NAMES are stages, whose results shall wait; or files in an inbox, or names of them.

    Example: tiffsd hold decode
    """
    root = spool_root(config)
    for name in names:
        say(acts.gate_on(root, name) if name in STAGES else acts.hold(root, located(Path(name), root / INBOX)))


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=TO_RELEASE)
@config_option
def release(names: tuple[str, ...], config: Path | None) -> None:
    """Approve files that wait on hold: move them to their inbox; or turn the gate of a stage off, for what is still to come.

    NAMES are stages, whose gates shall be off; or files in hold/, or names of them.

    Example: tiffsd release cat.3f9a1c2e.tiff
    """
    root = spool_root(config)
    for name in names:
        say(acts.gate_off(root, name) if name in STAGES else acts.release(root, located(Path(name), root / HOLD)))


@click.command()
@click.argument("stages", nargs=-1, shell_complete=STAGE_NAMES)
@config_option
def pause(stages: tuple[str, ...], config: Path | None) -> None:
    """Let stages rest: nothing is taken from their inboxes; jobs that run go on.

    STAGES are names of stages; all of them where none is named.

    Example: tiffsd pause diffuse
    """
    _each_stage(stages, config, acts.pause)


@click.command()
@click.argument("stages", nargs=-1, shell_complete=STAGE_NAMES)
@config_option
def resume(stages: tuple[str, ...], config: Path | None) -> None:
    """Let paused stages go on.

    STAGES are names of stages; all of them where none is named.

    Example: tiffsd resume diffuse
    """
    _each_stage(stages, config, acts.resume)


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH, shell_complete=FAILED_JOBS)
@config_option
def retry(folders: tuple[Path, ...], config: Path | None) -> None:
    """Run failed jobs again: move their files back to where they waited.

    FOLDERS are folders in failed/, or names of them.

    Example: tiffsd retry cat.3f9a1c2e
    """
    root = spool_root(config)
    for path in folders:
        for sentence in acts.retry(root, located(path, root / FAILED)):
            say(sentence)


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=HELD)
@config_option
def restore(names: tuple[str, ...], config: Path | None) -> None:
    """Have the originals back of files that were spoilt: the daemon puts a copy into hold/, beside what is there.

    NAMES are files with an id in their names, or the stems of what is held or has failed. An empty file NAME.restore in an inbox
    asks for the same.

    Example: tiffsd restore cat.3f9a1c2e.tiff
    """
    root = spool_root(config)
    for name in names:
        say(acts.restore(root, name))


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=RUNNING_JOBS)
@config_option
def cancel(names: tuple[str, ...], config: Path | None) -> None:
    """Cancel running jobs; their files go to failed/, so that nothing is lost.

    NAMES are names in running/, with or without .txt.

    Example: tiffsd cancel cat.3f9a1c2e
    """
    root = spool_root(config)
    for name in names:
        say(acts.cancel(root, name))


def _each_stage(stages: Sequence[str], config: Path | None, act: Callable[[Path, str], str]) -> None:
    root = spool_root(config)
    for name in stages or STAGES:
        say(act(root, name))


def located(path: Path, under: Path) -> Path:
    """A path as given, or the one entry of that name, or of that stem, in the folders below `under`."""
    if path.exists():
        return acts.of_latents(path.parent.resolve() / path.name)
    found = list(under.glob(f"*/{escape(path.name)}")) or _of_stem(path.name, under.glob("*/*"))
    if len(found) == 1:
        return acts.of_latents(found[0])
    if found:
        raise DaemonError(f"{path}: there are several of that name: {_told(found)}; say which")
    there = [*under.glob(f"*/{escape(path.name)}-*")] or [entry for entry in under.glob("*/*") if acts.is_named(entry)]
    instead = f"there {'is' if len(there) == 1 else 'are'} {_told(there)}" if there else "there is none at all"
    raise DaemonError(f"{path}: there is no file of that name below {under}; {instead}")


def _told(entries: Iterable[Path]) -> str:
    names = sorted(entry.name for entry in entries)
    return ", ".join(names[:MOST_TOLD]) + f" and {len(names) - MOST_TOLD} more" * (len(names) > MOST_TOLD)


def _of_stem(stem: str, entries: Iterable[Path]) -> list[Path]:
    """Those of these that a person may mean by their stem, which is what is remembered of a name with an id in it.

    What lies beside a file goes where that goes."""
    stages = {stage.folder: stage for stage in STAGES.values()}
    named = [path for path in entries if stem in (stem_of(path.name), without_id(path.name)) and path.parent.name in stages]
    return [path for path in named if not path.name.lower().endswith(stages[path.parent.name].companions)]
