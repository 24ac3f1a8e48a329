"""The service as an attack needs it: the sandbox opened towards canaries, the folders laid out as 0.1.0 did, the waits short.

So neither the sandbox nor the modes of the folders hold, and what does hold is the code alone.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import wait_until
from tests.system.canaries import VICTIM, Canaries
from tests.system.changes import IMPATIENT, PYTHON, changed
from tests.system.installed import SETTINGS, SPOOL, Installed

# One mount for both, or nothing could be renamed from one to the other; that of StateDirectory= would be another one. A limit of
# starts is none of the tests' business.
OPENED = f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nStateDirectory=\nReadWritePaths={VICTIM.rpartition('/')[0]}\n"
OPEN_TO_MEMBERS = f"cd {SPOOL}; chmod 2770 . inbox hold failed done"
EAGER = {"watch": {**SETTINGS["watch"], "rescan_seconds": 0.2}, "retention": {"previews": {"gb": 1e-9}}}
# What she runs, as modules of a package of her own.
ACTS = [Path(__file__).with_name(name) for name in ("__init__.py", "acts.py", "random_acts.py")]
ALICE = "/home/alice"


class Aimed:
    """The service, and the canaries that alice aims at."""

    def __init__(self, service: Installed) -> None:
        self.service = service
        self.box = service.box
        self.spool = service.spool
        self.canaries = Canaries(service)

    def begin_anew(self) -> None:
        """An empty spool, new canaries, and a service that was started on them; whatever hangs in the old one."""
        self.box.run("systemctl", "kill", "--signal=KILL", "tiffsd", check=False)
        self.service.control("stop")
        self.box.sh(f"find {SPOOL} -mindepth 1 -delete; systemd-tmpfiles --create tiffsd.conf; {OPEN_TO_MEMBERS}")
        self.canaries.put()
        self.service.control("start")

    def alice(self, verb: str, *words: object, module: str = "acts") -> Any:
        """Let her do one of her acts to its end; how many of her tries the system let her do."""
        return json.loads(self.box.run(*self._of_alice(module), verb, *words, user="alice").stdout)

    @contextmanager
    def alice_meanwhile(self, verb: str, *words: object) -> Iterator[None]:
        """Let her do one of her acts over and over, which she does as long as a file of hers is there."""
        go = self.box.path(f"{ALICE}/go")
        go.touch()
        with self.box.start(*self._of_alice("acts"), verb, *words, f"{ALICE}/go", user="alice") as process:
            try:
                yield
            finally:
                go.unlink()
                said, complained = process.communicate(timeout=60)
        assert process.returncode == 0, complained
        assert int(said) > 0, "she did nothing"

    def _of_alice(self, module: str) -> tuple[str, ...]:
        package = self.box.path(f"{ALICE}/tests/system")
        package.mkdir(parents=True, exist_ok=True)
        for path in ACTS:
            (package / path.name).write_text(path.read_text())
        (package.parent / "__init__.py").touch()
        return ("env", f"PYTHONPATH={ALICE}", PYTHON, "-m", f"tests.system.{module}")

    @contextmanager
    def replaced(self, folder: str, instead: str) -> Iterator[None]:
        """What alice did: a folder of the spool has another name, and something of hers has its own; root puts it back."""
        self.box.sh(f"cd {SPOOL}; mv {folder} {folder}-aside; {instead}", user="alice")
        try:
            yield
        finally:
            self.box.sh(f"cd {SPOOL}; rm -rf {folder}; mv {folder}-aside {folder}")

    def hear(self, *texts: str, after: str) -> None:
        """Wait until the journal has one of the texts since a cursor, or the canaries are no more what they were."""
        try:
            wait_until(lambda: self.said(*texts, after=after) or self.canaries.changes(), what=f"{texts} in the journal, or harm")
        except AssertionError as error:
            journal = "\n".join(str(entry["MESSAGE"]) for entry in self.service.journal(after=after)[-30:])
            raise AssertionError(f"{error}\n{journal}") from None

    def said(self, *texts: str, after: str) -> int:
        """How many entries of the journal since a cursor have one of the texts."""
        return sum(any(text in str(entry["MESSAGE"]) for text in texts) for entry in self.service.journal(after=after))


@contextmanager
def aim(service: Installed) -> Iterator[Aimed]:
    """The service as it says above, for a while."""
    aimed = Aimed(service)
    service.box.sh(f"mkdir -p {VICTIM}; chown tiffsd:tiffsd {VICTIM}; chmod 700 {VICTIM}")
    service.configure(**EAGER)
    with changed(service.box, IMPATIENT), service.drop_in(OPENED):
        try:
            yield aimed
        finally:
            service.box.run("systemctl", "kill", "--signal=KILL", "tiffsd", check=False)
            service.box.sh(f"find {SPOOL} -mindepth 1 -delete; systemd-tmpfiles --create tiffsd.conf")
            aimed.canaries.take_away()
            service.configure()
    service.control("restart")  # with the words that were changed back
    service.box.sh(f"rmdir {VICTIM}")
