"""tiffsd as the README installs it, in a box: the service, its folders, and two people of whom only alice is in its group."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from daemon.jobs.running import read_running
from tests.conftest import wait_until
from tests.system.box import CHECKOUT, Box

SPOOL = "/var/lib/tiffsd"
CONFIG = "/etc/tiffsd/config.yaml"
# Without the kernel's word that nobody writes to it, no file would be taken within an hour: every test shows the read lease.
SETTINGS: dict[str, Any] = {
    "spool": SPOOL,
    "watch": {"rescan_seconds": 1.0, "settle_unleased_seconds": 3600.0},
    "compute": {"threads": 1},
    "defaults": {"steps": 3},
}
# The packages lie in /opt/packages already; nothing is fetched.
OFFLINE = (
    "export PYTHONPATH=/opt/packages PIP_NO_INDEX=1 PIP_NO_DEPS=1 PIP_NO_BUILD_ISOLATION=0"
    " PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1; "
)


def readme_steps() -> list[str]:
    """The commands of the README's section on the service, in order."""
    section = (CHECKOUT / "README.md").read_text().split("## Run it as a service")[1].split("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    return [step.replace("sudo ", "") for line in lines for step in line.split(" && ")]


class Installed:
    """The service `tiffsd` of a box: ask it, steer it, drop files."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.spool = box.path(SPOOL)

    def install(self) -> None:
        """Follow the README to the letter, but without a network."""
        self.box.sh("useradd --create-home alice; useradd --create-home bob")
        for step in readme_steps():
            # Nobody is there to be asked.
            step = step.replace("service install", "service install --yes")
            self.box.sh("cd /opt/source; " + OFFLINE * ("bin/pip" in step) + step)
            if step.startswith("python3 -m venv"):
                (packages,) = self.box.path("/opt/tiffsd/lib").glob("python*/site-packages")
                (packages / "packages.pth").write_text("/opt/packages\n")

    def configure(self, **changes: Any) -> None:
        self.box.path(CONFIG).write_text(yaml.safe_dump({**SETTINGS, **changes}))

    def control(self, verb: str, *words: str) -> None:
        self.box.run("systemctl", verb, "tiffsd", *words)

    @contextmanager
    def drop_in(self, text: str) -> Iterator[None]:
        """The unit with some lines more, for a while; the service is started again with them, and without."""
        folder = self.box.path("/run/systemd/system/tiffsd.service.d")
        folder.mkdir(parents=True)
        (folder / "test.conf").write_text(text)
        self._begin_anew()
        try:
            yield
        finally:
            (folder / "test.conf").unlink()
            folder.rmdir()
            self._begin_anew()

    def _begin_anew(self) -> None:
        self.box.run("systemctl", "daemon-reload")
        self.control("restart")

    def show(self, name: str) -> str:
        """One property of the service, as systemd knows it."""
        return self.box.run("systemctl", "show", "tiffsd", "--value", "--property", name).stdout.strip()

    def pid(self) -> int:
        return int(self.show("MainPID"))

    def cursor(self) -> str:
        """The end of what the journal has of the service; another unit's last entry would hide the next one of ours."""
        return self.box.run("journalctl", "--show-cursor", "--lines=1", "--unit=tiffsd").stdout.rpartition("-- cursor: ")[2].strip()

    def journal(self, *, after: str) -> list[dict[str, Any]]:
        """What the journal has of the service since a cursor, each entry with MESSAGE and PRIORITY."""
        self.box.run("journalctl", "--sync")
        said = self.box.run("journalctl", "--output=json", "--unit=tiffsd", f"--after-cursor={after}").stdout
        return [json.loads(line) for line in said.splitlines()]

    def said(self, text: str, *, after: str) -> dict[str, Any]:
        """Wait for the one entry of the journal since a cursor that contains a text."""
        (entry,) = wait_until(
            lambda: [entry for entry in self.journal(after=after) if text in entry["MESSAGE"]], what=f"{text!r} in the journal"
        )
        return dict(entry)

    def drop(self, place: str, name: str, text: str, *, umask: str = "022") -> None:
        """Alice writes a file into a folder of the spool."""
        target = shlex.quote(f"{SPOOL}/{place}/{name}")
        self.box.sh(f"umask {umask}; printf %s {shlex.quote(text)} > {target}", user="alice")

    def found(self, pattern: str, *, count: int = 1, seconds: float = 100.0) -> list[Path]:
        """Wait until `count` files match `pattern` below the spool, and return them."""

        def look() -> list[Path]:
            found = sorted(self.spool.glob(pattern))
            return found if len(found) >= count else []

        try:
            result: list[Path] = wait_until(look, seconds=seconds, what=f"{count} of {pattern}")
        except AssertionError as error:
            said = self.box.run("journalctl", "--unit=tiffsd", "--lines=30").stdout
            raise AssertionError(f"{error}\n{said}\n{self.box.sh(f'find {SPOOL} -type f')}") from None
        return result

    def running(self, stem: str) -> Path:
        """Wait until a job of that stem is in the middle of its diffusion loop; its file in `running/`."""

        def look() -> Path | None:
            steps = {job.name: job.step for job in read_running(self.spool) if job.stage == "diffuse"}
            return next((path for path in self.spool.glob(f"running/{stem}.*") if steps.get(path.stem)), None)

        path: Path = wait_until(look, what=f"{stem} is being computed")
        return path
