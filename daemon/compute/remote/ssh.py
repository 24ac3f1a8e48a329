"""The command line of ssh for a worker on another machine: no shell on this side, and nothing on that line but what is checked.

Keys, ways to a host and its other names are ssh's own affair, in its own configuration. Nothing is asked (BatchMode), no host is
believed that is not known (StrictHostKeyChecking), and nothing but the pipe is let through: no agent, no forwarding, no terminal.
"""

import os
import pwd
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.compute.addresses import SshAddress

COMMAND = ("tiffsd", "worker")
SERVICE_USER = "tiffsd"
SERVICE_CONFIG = Path("/etc/tiffsd/ssh_config")
CONNECT_SECONDS = 10
OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "2",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "PermitLocalCommand": "no",
    "RequestTTY": "no",
    "EscapeChar": "none",
    "UpdateHostKeys": "no",
    # A connection of its own: a shared one ends with whom it belongs to, and hides whether the machine is there.
    "ControlMaster": "no",
    "ControlPath": "none",
}


@dataclass(frozen=True)
class Ssh:
    """How machines are reached: `config` is ssh's own file (None: the user's), `command` what is started there."""

    config: Path | None = None
    command: Sequence[str] = COMMAND
    program: str = "ssh"

    def arguments(self, address: SshAddress, *more: str) -> list[str]:
        """The program and its arguments that start the command there, with `more` words behind it."""
        options = [word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}")]
        file = ["-F", str(self.config)] if self.config else []
        port = ["-p", str(address.port)] if address.port else []
        user = ["-l", address.user] if address.user else []
        # The shell of the account there reads the last word.
        return [self.program, *file, "-T", *options, *port, *user, "--", address.host, shlex.join([*self.command, *more])]


def usual_config(*, user: str | None = None, file: Path = SERVICE_CONFIG) -> Path | None:
    """The configuration of ssh where none is said: the service's where its user runs the daemon; None is for that user's own."""
    return file if (user or _user()) == SERVICE_USER and file.is_file() else None


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""  # one without a name
