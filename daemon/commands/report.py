"""The command that says how things stand: status, once or as a live table."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from daemon.beneath import Beneath
from daemon.commands import as_json_option, config_option, spool_root
from daemon.names import shown
from daemon.service.machines import machines_of
from daemon.service.status import Status, read_status, why_waiting

WATCH_SECONDS = 1.0
NO_DAEMON = 3  # an exit code; see daemon/cli.py


@click.command()
@config_option
@as_json_option
@click.option("--watch", "-w", is_flag=True, help="Show it live, until Ctrl-C.")
def status(config: Path | None, as_json: bool, watch: bool) -> None:
    """Say what waits, runs, is held, is done and has failed; works with the daemon down, and exits with 3 then.

    Example: tiffsd status --json
    """
    root = spool_root(config)
    if watch and not as_json:
        _watch(root)
        return
    counted = current(root)
    if as_json:
        click.echo(json.dumps(asdict(_with_list(root, counted)), indent=2))
    else:
        Console(highlight=False).print(_page(counted))
    if not counted.alive:
        raise click.exceptions.Exit(NO_DAEMON)


def _with_list(root: Path, counted: Status) -> Status:
    """The status with the first of what `tiffsd list` says; the daemon's own where one runs."""
    from daemon.jobs.overview import Overview

    return replace(counted, listed=counted.listed or Overview(root).look(counted.running, why=why_waiting(counted.stages)))


def _watch(root: Path) -> None:
    from rich.live import Live

    out = Console(highlight=False)
    with Live(_page(current(root)), console=out, screen=out.is_terminal, auto_refresh=False) as live:
        try:
            while True:
                live.update(_page(current(root)), refresh=True)
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return


def current(root: Path) -> Status:
    """The folders counted, with what only the living daemon knows, from its status.json."""
    now = datetime.now().astimezone()
    counted = read_status(root, now=now)
    if not counted.alive:
        return counted
    try:
        with Beneath(root).plain(root / "status.json") as file:
            said = json.load(file)
        return read_status(
            root,
            now=now,
            alive=True,
            degraded={name: stage["degraded"] for name, stage in said["stages"].items() if stage["degraded"]},
            waits={name: stage["waits"] for name, stage in said["stages"].items()},
            gates=[name for name, stage in said["stages"].items() if stage["gated"]],
            worker=said["worker"],
            complaints=said["complaints"],
            listed=said.get("listed"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return counted


def _page(counted: Status) -> Group:
    table = Table("stage", "waiting", "on hold", "running", "failed", "state")
    for name, stage in counted.stages.items():
        state = ["paused"] * stage.paused + ["gate on"] * stage.gated + [stage.degraded or "", *stage.waits]
        running = [f"{job.name}: {job.doing}" for job in counted.running if job.stage == name]
        numbers = [str(stage.waiting), str(stage.held), _lines(running), str(stage.failed)]
        table.add_row(*map(Text, [name, *numbers, _lines(filter(None, state))]))
    daemon = f"daemon: {'running' if counted.alive else 'not running'}; {counted.line()}"
    return Group(table, *_machines(counted), Text(daemon, style="" if counted.well() else "red"))


def _machines(counted: Status) -> Iterator[Table]:
    """The machines that compute, where there are others than this one."""
    if machines := machines_of(counted.worker):
        table = Table("machine", "state", "computes", "since")
        for one in machines:
            table.add_row(*map(Text, [one.name, one.state, one.doing, one.since]))
        yield table


def _lines(found: Iterable[str]) -> str:
    return "\n".join(map(shown, found))
