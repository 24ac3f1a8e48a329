"""A real smbd over the spool of a host, with the very configuration that docs/shares.md prints."""

from contextlib import ExitStack

from tests.conftest import wait_until
from tests.real.documented import printed
from tests.real.host import Host, free_port, is_listening
from tests.real.programs import needed
from tests.real.smb_client import PASSWORD, SmbClient

VFS = "/usr/lib/*/samba/vfs/streams_xattr.so"


class Samba:
    """smbd on a port of 127.0.0.1; a context manager. People at it are its clients."""

    def __init__(self, host: Host) -> None:
        needed("smbd", "pdbedit", VFS)
        self._host, self._ends, self.port = host, ExitStack(), free_port()
        self._state = host.folder / "samba"

    def __enter__(self) -> "Samba":
        self._state.mkdir(mode=0o755)
        self._config = self._state / "smb.conf"
        self._config.write_text(printed("smb.conf", spool=str(self._host.spool)))
        for user in ("alice", "bob"):
            words = f"{PASSWORD}\n" * 2
            self._host.run("pdbedit", *self._options(), "--create", f"--user={user}", "--password-from-stdin", words=words)
        command = ["smbd", "--foreground", "--no-process-group", "--debug-stdout", "--debuglevel=1", *self._options()]
        smbd = self._host.start(*command, name="smbd")
        wait_until(lambda: smbd.poll() is not None or is_listening(self.port), what="smbd listens")
        assert smbd.poll() is None, self._host.said("smbd")
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def client(self, user: str = "alice", *, seconds: float = 0.0) -> SmbClient:
        """A person who has mounted the share; `seconds` is how long each byte is on its way."""
        client = SmbClient(self._host.far(self.port, seconds=seconds) if seconds else self.port, user)
        self._ends.callback(client.die)
        return client

    def _options(self) -> list[str]:
        """What makes it a guest on this machine: its port, and its files in a folder of ours."""
        places = {f"{kind} directory": self._state for kind in ("lock", "state", "cache", "pid")}
        places |= {"private dir": self._state, "ncalrpc dir": self._state / "ncalrpc"}
        more = {"smb ports": self.port, "interfaces": "lo", "bind interfaces only": "yes", "log file": self._state / "log"}
        return [f"--configfile={self._config}", *(f"--option={key}={value}" for key, value in {**places, **more}.items())]
