"""Two Syncthings that know each other and nobody else: one at the spool, one at a person's, with what docs/shares.md prints.

They are asked by their own interface, over a socket in their folders.
"""

import http.client
import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import wait_until
from tests.outside import outside
from tests.real.documented import printed
from tests.real.host import ALICE, GROUP, Host, free_port
from tests.real.programs import needed

FOLDER, API_KEY = "tiffsd", "key of a test"
# What fails once, because a side was turned in that moment or the daemon was faster, is tried again in a minute by default.
RETRY = "<pullerPauseS>1</pullerPauseS>"
CONFIG = """<configuration version="36">
    {folder}
    {devices}
    <gui enabled="true" tls="false"><address>{home}/gui</address><unixSocketPermissions>0777</unixSocketPermissions>
        <apikey>{api_key}</apikey></gui>
    <options>
        <listenAddress>tcp://127.0.0.1:{port}</listenAddress>
        <globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
        <relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><urAccepted>-1</urAccepted>
        <crashReportingEnabled>false</crashReportingEnabled><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
        <reconnectionIntervalS>1</reconnectionIntervalS><startBrowser>false</startBrowser>
        <setLowPriority>false</setLowPriority>
    </options>
</configuration>
"""


class Syncthing:
    """One of the two: it syncs `folder`."""

    def __init__(self, host: Host, name: str, folder: Path) -> None:
        needed("syncthing")
        self._host, self.name, self.folder, self.home = host, name, folder, host.folder / f"syncthing-{name}"
        self.port = free_port()
        self.home.mkdir()
        generate = ["syncthing", "generate", f"--home={self.home}"]
        made = subprocess.run(generate, env=outside(HOME=str(self.home)), capture_output=True, text=True, timeout=100)
        assert made.returncode == 0, made.stdout + made.stderr
        (self.device,) = re.findall(r'<device id="([A-Z0-9-]{63})"', (self.home / "config.xml").read_text())[:1]

    def start(self, other: "Syncthing") -> None:
        """Join with the other one."""
        devices = "".join(
            f'<device id="{one.device}" name="{one.name}"><address>tcp://127.0.0.1:{one.port}</address></device>'
            for one in (self, other)
        )
        members = "".join(f'<device id="{one.device}"></device>' for one in (self, other))
        folder = printed("syncthing-folder", spool=str(self.folder)).replace("</folder>", f"{RETRY}{members}</folder>")
        words = {"folder": folder, "devices": devices, "home": self.home, "api_key": API_KEY, "port": self.port}
        (self.home / "config.xml").write_text(CONFIG.format(**words))
        (self.folder / ".stignore").write_text(printed("stignore"))
        (self.folder / ".stfolder").mkdir(exist_ok=True)
        for path in (self.home, *self.home.iterdir(), self.folder / ".stfolder", self.folder / ".stignore"):
            os.chown(path, ALICE, GROUP)
        # As the unit in docs/shares.md has it.
        command = ["env", f"HOME={self.home}", "sh", "-c", 'umask 0007 && exec "$@"', "sh", "syncthing", "serve"]
        options = [f"--home={self.home}", "--no-browser", "--no-upgrade", "--no-restart"]
        self._host.start(*command, *options, name=f"syncthing-{self.name}", user=ALICE)
        wait_until(lambda: (self.home / "gui").exists(), what=f"{self.name} answers")

    def ask(self, path: str, *, method: str = "GET", change: object = None) -> Any:
        """What it says of itself, or of what it is told to change."""
        link = http.client.HTTPConnection("localhost", timeout=60)
        link.sock = socket.socket(socket.AF_UNIX)
        link.sock.connect(str(self.home / "gui"))
        try:
            body = None if change is None else json.dumps(change)
            link.request(method, f"/rest/{path}", body=body, headers={"X-API-Key": API_KEY})
            answer = link.getresponse()
            said = answer.read()
            assert answer.status == 200, said
            return json.loads(said) if said else None
        finally:
            link.close()

    def in_sync(self) -> bool:
        """Whether it needs nothing, and has nothing that it was told of last."""
        said = self.ask(f"db/status?folder={FOLDER}")
        return said["state"] == "idle" and said["needTotalItems"] == 0

    def scan(self) -> None:
        """Let it look at its folder now."""
        self.ask(f"db/scan?folder={FOLDER}", method="POST")

    def pause(self, yes: bool) -> None:
        """Speak with the other one no more, or again."""
        self.ask(f"system/{'pause' if yes else 'resume'}", method="POST")

    def turn(self, kind: str) -> None:
        """Let it only send, only receive, or both: "sendonly", "receiveonly", "sendreceive"."""
        self.ask(f"config/folders/{FOLDER}", method="PATCH", change={"type": kind})
        wait_until(lambda: self.ask(f"db/status?folder={FOLDER}")["state"] == "idle", what=f"{self.name} is {kind}")

    def ignore(self, block: str) -> None:
        """Leave out of the sync what a list in docs/shares.md says, from now on."""
        (self.folder / ".stignore").write_text(printed(block))
        self.scan()

    def press(self, button: str) -> None:
        """Press "Revert Local Changes" (revert) or "Override Changes" (override), as its page does."""
        self.ask(f"db/{button}?folder={FOLDER}", method="POST")

    def changed(self) -> set[str]:
        """What has changed here, by its path in the folder, while it only received."""
        return {file["name"] for file in self.ask(f"db/localchanged?folder={FOLDER}")["files"]}

    def needs(self) -> set[str]:
        """What the others have and it has not, by its path in the folder."""
        said = self.ask(f"db/need?folder={FOLDER}")
        return {file["name"] for kind in ("progress", "queued", "rest") for file in said[kind]}
