"""What stands in the way of a service, each as one sentence: found before anything is changed."""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from daemon.extras import adding
from daemon.models.hub_ids import is_hub_id
from daemon.settings.config import BUILTIN, Config
from daemon.settings.plain_yaml import folder_beside
from daemon.setup.service import Places, fits_unit
from daemon.setup.steps import Runner

SYSTEMD = Path("/run/systemd/system")  # there while it runs, sd_booted(3)
PACKAGED = tuple(Path(folder, "systemd/system/tiffsd.service") for folder in ("/usr/lib", "/lib"))
# What ProtectHome= and PrivateTmp= of the unit hide from it.
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))
PACKAGE = Path(__file__).resolve().parents[1]
Known = Callable[[str], object]


def of_installing(
    places: Places, program: Path, spool: Path, *, web: bool, run: Runner, environ: Mapping[str, str]
) -> Iterator[str]:
    """What keeps the service of a machine or a person from being installed."""
    yield from of_changing(places, program, "install", run=run, environ=environ)
    if web:
        yield from _of_page()
    if places.of_one_person:
        if not fits_unit(places.config):
            yield f"{places.config}: a path in a unit may have neither spaces, quotes nor % in it; move the configuration elsewhere"
        return
    if packaged := next((unit for unit in PACKAGED if unit.exists()), None):
        yield f"a package of this system has made it a service already ({packaged}): `sudo systemctl enable --now tiffsd` starts it"
    if hidden := next((place for place in _of_program(program) if _within(place, HIDDEN)), None):
        yield (
            f"the program needs {hidden}, which the sandbox of the service hides (ProtectHome=, PrivateTmp=): install it where all "
            "may see it, `python3 -m venv /opt/tiffsd` with a Python that does not lie in a home either, and run this with "
            "/opt/tiffsd/bin/tiffsd"
        )
    elif closed := next((folder for place in _of_program(program) for folder in _closed(place)), None):
        yield f"only its owner may enter {closed}, and the service runs the program as another user: run `chmod o+x {closed}`"
    if _within(spool, HIDDEN):
        yield f"the spool {spool} lies where the sandbox of the service sees nothing; choose a folder elsewhere, as /data/tiffsd"
    if not fits_unit(spool):
        yield f"{spool}: the path of a spool in a unit may have neither spaces, quotes nor % in it; use another one"


def of_changing(places: Places, program: Path, verb: str, *, run: Runner, environ: Mapping[str, str]) -> Iterator[str]:
    """What keeps a service from being changed at all."""
    if not SYSTEMD.is_dir():
        yield "systemd does not run on this machine, so it has no services: start `tiffsd run` by what runs here instead"
        return
    if not places.of_one_person:
        if os.geteuid():
            yield f"the service of the machine is root's: `sudo {program} service {verb}`, or with --user one of your own"
    elif os.geteuid() == 0 and "SUDO_USER" in environ:
        yield "with --user it is the service of who runs this, and sudo makes that root: run it without sudo"
    elif run(("systemctl", "--user", "show-environment")).returncode:
        yield "no service manager of yours runs: log in as yourself (not by su), or run `loginctl enable-linger` and try again"


def hidden_models(config: Config) -> list[str]:
    """Models, VAEs and adapters of a configuration that the sandbox of the service hides, and what opens it for them."""
    named = {f"models.{name}": model.path for name, model in config.models.items() if model.path != BUILTIN}
    named |= {f"vaes.{name}": path for name, path in config.vaes.items()}
    folders = {"adapters.loras": config.adapters.loras, "adapters.textual_inversions": config.adapters.textual_inversions}
    named |= {key: str(folder) for key, folder in folders.items() if folder}
    found = {key: folder_beside(config.folder, Path(path)) for key, path in named.items()}
    return [
        f"{key} is {place}, which the sandbox of the service hides: `systemctl edit tiffsd`, with the lines [Service], "
        f"ProtectHome=tmpfs and BindReadOnlyPaths={place}"
        for key, place in found.items()
        if _within(place, HIDDEN) and (place.exists() or not is_hub_id(named[key]))
    ]


def _of_page(known: Known = find_spec) -> Iterator[str]:
    if any(known(library) is None for library in ("starlette", "uvicorn")):
        yield told_of_page()


def told_of_page() -> str:
    """What is lacking for the page, and the command that installs it here."""
    return f"the page needs two packages more: run `{adding('web')}`, then this again"


def _of_program(program: Path) -> list[Path]:
    """All that must be seen for the program to run: itself, its environment, the Python behind that, and our package."""
    return [program, Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve(), PACKAGE]


def _closed(place: Path) -> Iterator[Path]:
    for folder in reversed(place.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            yield folder


def _within(place: Path, folders: tuple[Path, ...]) -> bool:
    return any(place == folder or folder in place.parents for folder in folders)
