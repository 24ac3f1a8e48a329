"""Commands that set up a spool and run the daemon on it: init, run, once, demo."""

import ctypes
import os
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from daemon.commands import PATH, config_option, config_path, say
from daemon.errors import DaemonError
from daemon.jobs.acts import spool_at
from daemon.layout import FAILED, PICTURES
from daemon.settings.resources import resource

DEMO_PROMPTS = {
    "house": "a red house in a meadow at sunset",
    "tree": "a blue tree in the snow at night",
    "balloon": "a yellow balloon by the sea at noon",
}
DEMO_SEED = 1
# Of malloc.h. With these its thresholds stay what they are. Up to there what a picture takes is found again: clearing anew what was
# given back in between costs more than much of the work. Above, what large files leave in the heap makes the largest too large.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT_BYTES = 1 << 20
UNDONE = 1  # an exit code; see daemon/cli.py

verbose_option = click.option("--verbose", "-v", is_flag=True, help="Say more in the log.")


@click.command()
@click.argument("folder", type=PATH, default=Path())
def init(folder: Path) -> None:
    """Write config.yaml and the folders.

    FOLDER is where they go; otherwise here.

    Example: tiffsd init ~/pictures
    """
    from daemon.settings.config import read_config

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    if path.exists():
        say(f"{path} exists and stays as it is")
    else:
        shutil.copyfile(resource("config.yaml"), path)
    config = read_config(path)
    spool_at(config.spool_folder).create()
    say(f"configuration: {path}")
    say(f"folders:       {config.spool_folder}")
    say(f"Now run `{_command_to_run(folder)}`, and drop a prompt into {config.spool_folder / 'inbox/1-text'}")


def _command_to_run(folder: Path) -> str:
    """What starts the daemon on the configuration in a folder, to be typed as it stands."""
    program = "tiffsd" if shutil.which("tiffsd") else shlex.quote(str(Path(sys.prefix, "bin", "tiffsd")))
    there = folder.absolute()
    return f"{program} run" if there == Path.cwd() else f"cd {shlex.quote(str(there))} && {program} run"


def _keep_little_freed_memory() -> None:
    """The C library would keep what jobs have freed: apart for each thread, and ever more after each large block."""
    with suppress(AttributeError):  # another C library than GNU's
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


@click.command()
@config_option
@verbose_option
def run(config: Path | None, verbose: bool) -> None:
    """Watch the folders until told to stop (Ctrl-C or SIGTERM).

    Where the machine is at fault at the start, a full disk say, it is waited for.

    Example: tiffsd run --config ~/pictures/config.yaml
    """
    # Until the configuration is read for the first time there is none to read again: the signal must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _keep_little_freed_memory()
    from daemon.service.progress import jobs_shown
    from daemon.service.service import Service
    from daemon.service.terminal import log_to_stderr
    from daemon.settings.permissions import read_trusted

    log_to_stderr(verbose)
    path = config_path(config)
    service = Service(read_trusted(path), config_path=path, leave=_leave)
    with jobs_shown(service.spool.root):
        service.run()


@click.command()
@config_option
@verbose_option
def once(config: Path | None, verbose: bool) -> None:
    """Work off what lies in the inboxes, and what comes of it, then end; exit with 1 where a job failed or could not be done.

    Example: tiffsd once
    """
    from daemon.service.progress import jobs_shown
    from daemon.service.service import Service
    from daemon.service.terminal import log_to_stderr
    from daemon.settings.permissions import read_trusted

    log_to_stderr(verbose)
    path = config_path(config)
    service = Service(read_trusted(path), config_path=path, leave=partial(_leave, UNDONE))
    with jobs_shown(service.spool.root):
        all_done = service.run_once()
    if not all_done:
        raise click.exceptions.Exit(UNDONE)


@click.command()
@click.option("--out", "out_folder", type=PATH, default=Path("demo-pictures"), show_default=True, help="Where the pictures go.")
def demo(out_folder: Path) -> None:
    """Make three pictures with the embedded model, through a spool of its own.

    Example: tiffsd demo --out /tmp/pictures
    """
    from daemon.service.progress import jobs_shown
    from daemon.service.service import Service
    from daemon.service.terminal import log_to_stderr
    from daemon.settings.config import read_config

    log_to_stderr(False)
    out_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tiffsd-demo-") as scratch:
        config = read_config(resource("config.yaml")).model_copy(update={"folder": Path(scratch)})
        spool_at(config.spool_folder).create()
        for name, prompt in DEMO_PROMPTS.items():
            (config.spool_folder / "inbox/1-text" / f"{name}.txt").write_text(
                f"---\nseed: {DEMO_SEED}\n---\n{prompt}\n", encoding="utf-8"
            )
        service = Service(config, leave=partial(_leave, UNDONE))
        with jobs_shown(config.spool_folder):
            service.run_once()
        made = [_copy_new(path, out_folder) for path in sorted((config.spool_folder / PICTURES).glob("*.png"))]
        told = [path.read_text(encoding="utf-8") for path in sorted(config.spool_folder.glob(f"{FAILED}/*/*/error.txt"))]
        reasons = [text.partition("\n")[0] for text in told]
    for path in made:
        say(f"picture: {path}")
    if len(made) < len(DEMO_PROMPTS):
        raise DaemonError(f"only {len(made)} of {len(DEMO_PROMPTS)} pictures were made: {' '.join(reasons)}")


def _leave(code: int = 0) -> None:
    """End the process at once, with the threads that hang in it: Python would wait for them for ever.

    Code 0 of `run`: the end was asked for, no file is lost, and systemd must take it for the clean stop that it is.
    """
    from daemon.service.terminal import err

    err.show_cursor()
    os._exit(code)


def _copy_new(path: Path, folder: Path) -> Path:
    return Path(shutil.copyfile(path, folder / path.name))
