"""Commands that do what people can do by hand: files moved between folders, and the signs PAUSE and HOLD put and taken away."""

from collections.abc import Callable, Iterable, Sequence
from glob import escape
from pathlib import Path

import click

from daemon.beneath import Beneath
from daemon.commands import PATH, config_option, say, spool_at, spool_root
from daemon.errors import DaemonError
from daemon.jobs.running import read_running
from daemon.layout import FAILED, HOLD, HOLD_SIGN, INBOX, PAUSE_SIGN, RUNNING
from daemon.names import id_of, stem_of, without_id
from daemon.service.status import signs
from daemon.stages import STAGES


@click.command()
@click.argument("names", nargs=-1, required=True)
@config_option
def hold(names: tuple[str, ...], config: Path | None) -> None:
    """Let what comes for a stage wait in its hold folder, or put single files there that still wait in an inbox.

    NAMES are stages, whose results shall wait; or files in an inbox, or names of them.

    Example: tiffsd hold decode
    """
    spool = spool_at(spool_root(config))
    for name in names:
        if name in STAGES:
            _put_sign(Beneath(spool.root), spool.hold(name) / HOLD_SIGN)
            say(f"the gate of {name} is on: what comes for it waits in {spool.hold(name)}")
        else:
            say(f"on hold: {spool.move_to_hold(_located(Path(name), spool.root / INBOX))}")


@click.command()
@click.argument("names", nargs=-1, required=True)
@config_option
def release(names: tuple[str, ...], config: Path | None) -> None:
    """Approve files that wait on hold: move them to their inbox; or turn the gate of a stage off, for what is still to come.

    NAMES are stages, whose gates shall be off; or files in hold/, or names of them.

    Example: tiffsd release cat.3f9a1c2e.tiff
    """
    spool = spool_at(spool_root(config))
    for name in names:
        if name in STAGES:
            _take_sign(Beneath(spool.root), spool.hold(name) / HOLD_SIGN)
            say(f"the gate of {name} is off, unless config.yaml turns it on; what waits there still waits")
        else:
            say(f"released to {spool.release_hold(_located(Path(name), spool.root / HOLD))}")


@click.command()
@click.argument("stages", nargs=-1)
@config_option
def pause(stages: tuple[str, ...], config: Path | None) -> None:
    """Let stages rest: nothing is taken from their inboxes; jobs that run go on.

    STAGES are names of stages; all of them where none is named.

    Example: tiffsd pause diffuse
    """
    _sign_inboxes(stages, config, _put_sign, "paused")


@click.command()
@click.argument("stages", nargs=-1)
@config_option
def resume(stages: tuple[str, ...], config: Path | None) -> None:
    """Let paused stages go on.

    STAGES are names of stages; all of them where none is named.

    Example: tiffsd resume diffuse
    """
    _sign_inboxes(stages, config, _take_sign, "resumed")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PATH)
@config_option
def retry(folders: tuple[Path, ...], config: Path | None) -> None:
    """Run failed jobs again: move their files back to their inbox.

    FOLDERS are folders in failed/, or names of them.

    Example: tiffsd retry cat.3f9a1c2e
    """
    spool = spool_at(spool_root(config))
    for path in folders:
        for moved in spool.retry(_located(path, spool.root / FAILED)):
            say(f"back in its inbox: {moved}")


@click.command()
@click.argument("names", nargs=-1, required=True)
@config_option
def restore(names: tuple[str, ...], config: Path | None) -> None:
    """Have the originals back of files that were spoilt: the daemon puts a copy into hold/, beside what is there.

    NAMES are files with an id in their names. An empty file NAME.restore in an inbox asks for the same.

    Example: tiffsd restore cat.3f9a1c2e.tiff
    """
    root = spool_root(config)
    for name in names:
        plain = Path(name).name
        if id_of(plain) is None:
            raise DaemonError(f"{plain} has no id in its name; name a file such as cat.3f9a1c2e.tiff")
        sign = root / INBOX / _folder_of(root, plain) / f"{plain}.restore"
        Beneath(root).touch(sign)
        say(f"asked for by {sign}; the daemon puts the original into {root / HOLD / sign.parent.name}")


def _folder_of(root: Path, name: str) -> str:
    """The folder of the stage where a file of this name is held or has failed."""
    held = [*(root / HOLD).glob(f"*/{escape(name)}"), *(path.parent for path in (root / FAILED).glob(f"*/*/{escape(name)}"))]
    return held[0].parent.name if held else STAGES["diffuse"].folder


@click.command()
@click.argument("names", nargs=-1, required=True)
@config_option
def cancel(names: tuple[str, ...], config: Path | None) -> None:
    """Cancel running jobs; their files go to failed/, so that nothing is lost.

    NAMES are names in running/, with or without .txt.

    Example: tiffsd cancel cat.3f9a1c2e
    """
    root = spool_root(config)
    for name in names:
        path = root / RUNNING / f"{name.removesuffix('.txt')}.txt"
        named = [job.name for job in read_running(root) if without_id(job.name) == name]
        if len(named) == 1 and not Beneath(root).lexists(path):
            path = root / RUNNING / f"{named[0]}.txt"
        if path.parent != root / RUNNING or not Beneath(root).lexists(path):
            running = ", ".join(job.name for job in read_running(root)) or "none"
            raise DaemonError(f"{name} is not running; running are: {running}")
        Beneath(root).unlink(path)
        say(f"cancelled: {path.stem}")


def _sign_inboxes(stages: Sequence[str], config: Path | None, sign: Callable[[Beneath, Path], None], now: str) -> None:
    spool = spool_at(spool_root(config))
    for name in stages or STAGES:
        if name not in STAGES:
            raise DaemonError(f"{name} is not a stage; stages are: {', '.join(STAGES)}")
        sign(Beneath(spool.root), spool.inbox(name) / PAUSE_SIGN)
        say(f"{name}: {now}")


def _put_sign(beneath: Beneath, sign: Path) -> None:
    beneath.touch(sign)


def _take_sign(beneath: Beneath, sign: Path) -> None:
    for name in signs(beneath.root, str(sign.parent.relative_to(beneath.root)), sign.name):
        path = sign.with_name(name)
        try:
            beneath.unlink(path)
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            raise DaemonError(f"{path} is a folder, and a sign is a file; move what lies in it elsewhere, and delete it") from None


def _located(path: Path, under: Path) -> Path:
    """A path as given, or the one entry of that name, or of that stem, in the folders below `under`."""
    if path.exists():
        return path.parent.resolve() / path.name
    found = list(under.glob(f"*/{escape(path.name)}")) or _of_stem(path.name, under.glob("*/*"))
    if len(found) != 1:
        several = f"are several of that name: {', '.join(sorted(entry.name for entry in found))}; say which"
        raise DaemonError(f"{path}: there {several if found else f'is no file of that name below {under}'}")
    return found[0]


def _of_stem(stem: str, entries: Iterable[Path]) -> list[Path]:
    """Those of these that a person may mean by their stem, which is what is remembered of a name with an id in it.

    What lies beside a file goes where that goes."""
    stages = {stage.folder: stage for stage in STAGES.values()}
    named = [path for path in entries if stem in (stem_of(path.name), without_id(path.name)) and path.parent.name in stages]
    return [path for path in named if not path.name.lower().endswith(stages[path.parent.name].companions)]
