"""Where the files lie that belong to the program but are not code: config.yaml, the units, the documents, the embedded
model, the page.

In a checkout config.yaml, systemd/ and docs/ are at the top of the repository; the wheel carries copies in `daemon/data`,
put there by setup.py. The models and the pages are inside the package in both. Nobody else looks for these files.
"""

from pathlib import Path

from daemon.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = PACKAGE / "data"


def resource(name: str) -> Path:
    """The file or folder of the program called `name`: "config.yaml", "systemd/tiffsd.service", "docs", "models/demo".

    Raises ConfigError where the installation lacks it.
    """
    path = _home_of(name) / name
    if not path.exists():
        raise ConfigError(f"the installation of tiffsd lacks {name} (looked for {path}): install tiffsd again")
    return path


def _home_of(name: str) -> Path:
    if name.startswith(("models/", "jobs/", "web/")):
        return PACKAGE
    return CARRIED if CARRIED.is_dir() else PACKAGE.parent
