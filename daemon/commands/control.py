"""Commands that do what people can do by hand: files moved between folders, and the signs PAUSE and HOLD put and taken away."""

from collections.abc import Callable, Sequence
from glob import escape
from pathlib import Path
from typing import Annotated

import typer

from daemon.commands import ConfigOption, out, spool_at, spool_root
from daemon.errors import DaemonError
from daemon.running import read_running
from daemon.stages import STAGES

Stages = Annotated[list[str] | None, typer.Argument(help="Names of stages; all of them where none is named.")]


def hold(
    names: Annotated[list[str], typer.Argument(help="Stages, whose results shall wait; or files in an inbox, or names of them.")],
    config: ConfigOption = None,
) -> None:
    """Let what comes for a stage wait in its hold folder, or put single files there that still wait in an inbox.

    Example: tiffsd hold decode
    """
    spool = spool_at(spool_root(config))
    for name in names:
        if name in STAGES:
            _put_sign(spool.hold(name), "HOLD")
            out.print(f"the gate of {name} is on: what comes for it waits in {spool.hold(name)}", markup=False)
        else:
            out.print(f"on hold: {spool.put_on_hold(_located(Path(name), spool.root / 'inbox'))}", markup=False)


def release(
    names: Annotated[list[str], typer.Argument(help="Stages, whose gates shall be off; or files in hold/, or names of them.")],
    config: ConfigOption = None,
) -> None:
    """Approve files that wait on hold: move them to their inbox; or turn the gate of a stage off, for what is still to come.

    Example: tiffsd release cat.3f9a1c2e.tiff
    """
    spool = spool_at(spool_root(config))
    for name in names:
        if name in STAGES:
            _take_sign(spool.hold(name), "HOLD")
            out.print(f"the gate of {name} is off, unless config.yaml turns it on; what waits there still waits", markup=False)
        else:
            out.print(f"released to {spool.release_hold(_located(Path(name), spool.root / 'hold'))}", markup=False)


def pause(stages: Stages = None, config: ConfigOption = None) -> None:
    """Let stages rest: nothing is taken from their inboxes; jobs that run go on.

    Example: tiffsd pause diffuse
    """
    _sign_inboxes(stages, config, _put_sign, "paused")


def resume(stages: Stages = None, config: ConfigOption = None) -> None:
    """Let paused stages go on.

    Example: tiffsd resume diffuse
    """
    _sign_inboxes(stages, config, _take_sign, "goes on")


def retry(
    folders: Annotated[list[Path], typer.Argument(help="Folders in failed/, or names of them.")],
    config: ConfigOption = None,
) -> None:
    """Run failed jobs again: move their files back to their inbox.

    Example: tiffsd retry cat.3f9a1c2e
    """
    spool = spool_at(spool_root(config))
    for path in folders:
        for moved in spool.retry(_located(path, spool.root / "failed")):
            out.print(f"tried again: {moved}", markup=False)


def cancel(
    names: Annotated[list[str], typer.Argument(help="Names in running/, with or without .txt.")],
    config: ConfigOption = None,
) -> None:
    """Cancel running jobs; their files go to failed/, so that nothing is lost.

    Example: tiffsd cancel cat.3f9a1c2e
    """
    root = spool_root(config)
    for name in names:
        path = root / "running" / f"{name.removesuffix('.txt')}.txt"
        if path.parent != root / "running" or not path.is_file():
            running = ", ".join(job.name for job in read_running(root)) or "none"
            raise DaemonError(f"{name} is not running; running are: {running}")
        path.unlink()
        out.print(f"cancelled: {name}", markup=False)


def _sign_inboxes(stages: Sequence[str] | None, config: Path | None, sign: Callable[[Path, str], None], now: str) -> None:
    spool = spool_at(spool_root(config))
    for name in stages or STAGES:
        if name not in STAGES:
            raise DaemonError(f"{name} is not a stage; stages are: {', '.join(STAGES)}")
        sign(spool.inbox(name), "PAUSE")
        out.print(f"{name}: {now}", markup=False)


def _put_sign(folder: Path, sign: str) -> None:
    (folder / sign).touch()


def _take_sign(folder: Path, sign: str) -> None:
    for name in (sign, f"{sign}.txt"):
        (folder / name).unlink(missing_ok=True)


def _located(path: Path, under: Path) -> Path:
    """A path as given, or the one entry of that name in the folders below `under`."""
    if path.exists():
        return path.parent.resolve() / path.name
    found = list(under.glob(f"*/{escape(path.name)}"))
    if len(found) != 1:
        raise DaemonError(f"{path}: there {'is no file' if not found else 'are several files'} of that name below {under}")
    return found[0]
