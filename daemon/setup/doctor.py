"""All that is looked at to tell whether tiffsd will work here, in the order in which it is told."""

import os
from collections.abc import Iterator
from pathlib import Path

from daemon.errors import ConfigError, MachineError
from daemon.layout import folders
from daemon.settings.config import Config, examined
from daemon.settings.permissions import read_trusted
from daemon.setup.findings import Finding, note, ok
from daemon.setup.look_at_config import devices_of, look_at_config, without_config
from daemon.setup.look_at_devices import cards_here, look_at_devices
from daemon.setup.look_at_machine import look_at_leases, look_at_memory, look_at_processor, look_at_program, look_at_watches
from daemon.setup.look_at_spool import is_shared, look_at_spool
from daemon.setup.obstacles import PACKAGED, SYSTEMD
from daemon.setup.service import of_machine, of_person, program_here
from daemon.setup.torch_here import torch_here
from daemon.stages import STAGES


def looked(path: Path | None, why_none: str = "") -> Iterator[Finding]:
    """What there is, with a configuration at `path`; where that is None, `why_none` says why."""
    config, faults = _config(path)
    torch = torch_here()
    yield from look_at_program()
    yield from look_at_devices(torch, cards_here(), devices_of(config) if config else {})
    yield from look_at_processor(torch.cpu)
    yield from look_at_memory()
    yield from look_at_watches(len(folders(stage.folder for stage in STAGES.values())))
    if path is None:
        yield without_config(why_none)
    else:
        yield from look_at_config(path, config, faults)
    served = _unit_program()
    if config is not None:
        yield from look_at_spool(config.spool_folder)
        yield from look_at_leases(config.spool_folder, shared=is_shared(config.spool_folder), served=served is not None)
    yield _service(served)


def _config(path: Path | None) -> tuple[Config | None, list[str]]:
    """The configuration, and what is wrong with it, in sentences."""
    if path is None:
        return None, []
    try:
        config, faults = examined(path)
        if config is not None:
            read_trusted(path)
    except (ConfigError, MachineError) as error:
        return None, [str(error)]
    return config, faults


def _unit_program() -> str | None:
    """Which program the service runs; None where there is none."""
    machine, person = of_machine(), of_person(Path.home(), os.environ)
    for unit in (machine.units / "tiffsd.service", *PACKAGED, person.units / "tiffsd.service"):
        try:
            lines = unit.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        return next((line.removeprefix("ExecStart=").split()[0] for line in lines if line.startswith("ExecStart=/")), None)
    return None


def _service(program: str | None) -> Finding:
    if program is None:
        return ok("service", "not installed" + " (`tiffsd service install`)" * SYSTEMD.exists())
    try:
        ours = str(program_here())
    except ConfigError:
        ours = ""
    if not Path(program).exists():
        return note(
            "service", f"it runs {program}, which is not there", "run `tiffsd service install` with the program that it is to run"
        )
    if ours and program != ours:
        return note("service", f"it runs {program}, and this is {ours}", f"to have it run this one: `{ours} service install`")
    return ok("service", f"it runs {program}")
