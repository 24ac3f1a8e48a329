"""The service of systemd, of a machine or of one person: what `tiffsd service` writes, runs and takes back, as steps."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import ConfigError
from daemon.layout import BY_STAGE
from daemon.settings.config import read_config
from daemon.settings.resources import resource
from daemon.setup.marks import marked
from daemon.setup.spool_lines import spool_lines
from daemon.setup.steps import Put, Remove, Run, Step, is_ours, text_of

SPOOL = Path("/var/lib/tiffsd")  # StateDirectory= of the unit, which may write there anyway
CACHE, WEB_STATE = Path("/var/cache/tiffsd"), Path("/var/lib/tiffsd-web")
# Where the programs are in the units as they are shipped.
SHIPPED = ("/opt/tiffsd/bin/", "%h/.local/share/tiffsd/bin/")
ELSEWHERE = """\
[Unit]
# The spool is elsewhere than the state directory: the unit waits for its disk ...
RequiresMountsFor={spool}

[Service]
# ... and may write there.
ReadWritePaths={spool}
"""
OF_PERSON = "tiffsd/config.yaml"
"""Where the unit of one person has the configuration, from the home on."""
_SPOOL_LINE = re.compile(r"^spool: spool$", re.MULTILINE)


@dataclass(frozen=True)
class Places:
    """Where a service lies: its configuration, its units, and the other files of a machine in `etc`, or whose `home` it is."""

    config: Path
    units: Path
    etc: Path | None
    home: Path | None = None

    @property
    def of_one_person(self) -> bool:
        return self.etc is None


def of_machine(etc: Path = Path("/etc")) -> Places:
    """Those of the service of a machine."""
    return Places(etc / "tiffsd/config.yaml", etc / "systemd/system", etc)


def of_person(home: Path, environ: Mapping[str, str], config: Path | None = None) -> Places:
    """Those of the service of one person, with a configuration elsewhere than usual, or the one that the service has already."""
    units = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "systemd/user"
    return Places(config or _configured(units, home) or home / OF_PERSON, units, None, home)


def has_page(places: Places) -> bool:
    """Whether the page with a server is a service already, that install made."""
    return is_ours(places.units / "tiffsd-web.service")


def spool_of(places: Places, asked: Path | None) -> Path:
    """The spool that the service has: that of the configuration where there is one, else the one that is asked for.

    Raises ConfigError where the configuration is wrong, or has another than the one asked for."""
    if not places.config.exists():
        usual = places.config.parent / "spool" if places.of_one_person else SPOOL
        return (asked or usual).expanduser().absolute()
    has = read_config(places.config).spool_folder
    if asked is not None and asked.expanduser().resolve() != has:
        raise ConfigError(f"{places.config} is there, and says that the spool is {has}; change `spool` there, or leave --spool out")
    return has


def install_steps(places: Places, program: Path, spool: Path, *, web: bool, active: bool) -> list[Step]:
    """What brings the service to where it runs this program; `active` says that one runs already, which starts anew then."""
    config = Put(places.config, _config_text(places, spool), "the configuration", spared=True)
    if places.etc is None:
        text = marked(_of_person(_unit("tiffsd-user.service", program), places))
        unit = Put(places.units / "tiffsd.service", text, f"the unit, which runs {program}")
        return [config, unit, *_started(("systemctl", "--user"), ("tiffsd",), active=active)]
    users, folders = places.etc / "sysusers.d/tiffsd.conf", places.etc / "tmpfiles.d/tiffsd.conf"
    names = ("tiffsd", "tiffsd-web") if web else ("tiffsd",)
    return [
        Put(users, marked(_shipped("tiffsd.sysusers")), "who it runs as, and the group of those who use it"),
        Run(("systemd-sysusers", str(users))),
        Put(folders, marked(spool_lines(str(spool))), f"the folders of {spool}, and who may write in them"),
        Run(("systemd-tmpfiles", "--create", str(folders))),
        config,
        *(step for name in names for step in _unit_files(places, name, program, spool)),
        *_started(("systemctl",), names, active=active),
    ]


def uninstall_steps(places: Places, *, purge: bool, spool: Path) -> list[Step]:
    """What takes back what install wrote and, with `purge`, the configuration, the spool and what else the service kept."""
    systemctl = ("systemctl", "--user") if places.of_one_person else ("systemctl",)
    units = [name for name in ("tiffsd-web", "tiffsd") if is_ours(places.units / f"{name}.service")]
    files = [file for name in units for file in (places.units / f"{name}.service", _drop_in(places, name))]
    if places.etc is not None:
        files += [places.etc / "tmpfiles.d/tiffsd.conf", places.etc / "sysusers.d/tiffsd.conf"]
    steps: list[Step] = [Run((*systemctl, "disable", "--now", name)) for name in units]
    steps += [Remove(file) for file in files if is_ours(file)]
    steps += [Run((*systemctl, "daemon-reload"))] if units else []
    return [*steps, *_purged(places, spool)] if purge else steps


def staying(places: Places, spool: Path, program: Path) -> list[Path]:
    """What is there of the service and its uninstallation leaves, without `purge`."""
    own = [] if places.of_one_person else [CACHE, WEB_STATE]
    return [path for path in (places.config, spool, *own, program) if path.exists()]


def program_here() -> Path:
    """The path of this program, as a unit can name it. Raises ConfigError where it has none."""
    usual = Path(sys.prefix, "bin", "tiffsd")
    found = usual if usual.exists() else Path(sys.argv[0]).absolute()
    if found.name != "tiffsd" or not os.access(found, os.X_OK):
        raise ConfigError(f"there is no program {usual}; install tiffsd with pip, and run the one that it makes")
    if not fits_unit(found):
        raise ConfigError(f"{found}: a path in a unit may have neither spaces, quotes nor % in it; install tiffsd elsewhere")
    return found


def fits_unit(path: Path) -> bool:
    """Whether a path can stand in a unit as it is."""
    return re.search(r"[\s%$\"'\\]", str(path)) is None


def _unit_files(places: Places, name: str, program: Path, spool: Path) -> Iterator[Step]:
    yield Put(places.units / f"{name}.service", marked(_unit(f"{name}.service", program)), f"the unit, which runs {program}")
    drop_in = _drop_in(places, name)
    if spool != SPOOL:
        yield Put(drop_in, marked(ELSEWHERE.format(spool=spool)), f"that the unit may write in {spool}")
    elif is_ours(drop_in):
        yield Remove(drop_in)


def _drop_in(places: Places, name: str) -> Path:
    return places.units / f"{name}.service.d/spool.conf"


def _started(systemctl: tuple[str, ...], names: tuple[str, ...], *, active: bool) -> list[Step]:
    again = [Run((*systemctl, "restart", *names))] if active else []
    return [Run((*systemctl, "daemon-reload")), Run((*systemctl, "enable", *([] if active else ["--now"]), *names)), *again]


def _purged(places: Places, spool: Path) -> Iterator[Step]:
    """Only what is a spool is deleted as one: a configuration may name any folder."""
    own = [] if places.of_one_person else [CACHE, WEB_STATE]
    is_spool = all((spool / kind).is_dir() for kind in BY_STAGE)
    gone = [path for path in (places.config, *([spool] if is_spool else []), *own) if path.exists()]
    if gone:
        yield Run(("rm", "--recursive", "--one-file-system", "--", *map(str, gone)))


def _config_text(places: Places, spool: Path) -> str:
    """The configuration as it is shipped, with this spool."""
    text = resource("config.yaml").read_text(encoding="utf-8")
    if spool == places.config.parent / "spool":
        return text
    return _SPOOL_LINE.sub(lambda _: f"spool: '{str(spool).replace(chr(39), chr(39) * 2)}'", text)


def _unit(name: str, program: Path) -> str:
    text = _shipped(name)
    for shipped in SHIPPED:
        text = text.replace(shipped, f"{program.parent}/")
    return text


def _of_person(unit: str, places: Places) -> str:
    """The unit of one person with the path of the configuration, where that is not where the unit has it."""
    if places.home is not None and places.config == places.home / OF_PERSON:
        return unit
    here = unit.replace(f"--config %h/{OF_PERSON}", f"--config {places.config}")
    return here.replace(f"WorkingDirectory=%h/{OF_PERSON.partition('/')[0]}", f"WorkingDirectory={places.config.parent}")


def _configured(units: Path, home: Path) -> Path | None:
    """The configuration of a service that is there."""
    unit = units / "tiffsd.service"
    found = re.search(r"^ExecStart=.* --config (\S+)$", text_of(unit), re.MULTILINE) if is_ours(unit) else None
    return Path(found[1].replace("%h", str(home))) if found else None


def _shipped(name: str) -> str:
    return resource(f"systemd/{name}").read_text(encoding="utf-8")
