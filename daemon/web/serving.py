"""Serving the page on an address: what `tiffsd web` does once it knows the spool, the address and the token."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType

import uvicorn

from daemon.errors import ConfigError, MachineError
from daemon.web.app import new_app
from daemon.web.showing import Facts

MOST_AT_ONCE = 200  # connections
MOST_HEAD_BYTES = 32 * 1024
CLOSING_SECONDS = 2
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class PageServer:
    """One server for one spool; it listens from the start, and answers from `run` on. Raises ConfigError or MachineError.

    `names` are more host names by which it may be asked, `config` is the configuration, `facts` tells of a spool without a daemon.
    """

    def __init__(
        self,
        root: Path,
        config: Path,
        facts: Facts,
        *,
        host: str,
        port: int,
        token: str,
        names: Collection[str] = (),
    ) -> None:
        self._socket = listening(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        self.app = new_app(
            root, config, facts, token=token, names=allowed_names(host, names), is_closing=lambda: self._server.should_exit
        )
        self._server = _Server(
            uvicorn.Config(
                self.app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MOST_AT_ONCE,
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
                timeout_graceful_shutdown=CLOSING_SECONDS,
            )
        )

    @property
    def address(self) -> str:
        """Where a browser on this machine finds it."""
        host = ANY.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Answer until told to end, by SIGTERM, Ctrl-C or `close`; `ready` is called when it does."""
        self._server.ready = ready
        with self._socket:
            asyncio.run(self._server.serve(sockets=[self._socket]))

    def close(self) -> None:
        """Let `run` end, from another thread."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Override: say that it answers."""
        await super().startup(sockets)
        self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Override: end well, and not by the same signal once more."""
        del sig, frame
        self.force_exit = self.should_exit
        self.should_exit = True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def allowed_names(host: str, names: Collection[str]) -> set[str]:
    """The names in the Host header that mean this server: those of this machine for itself, where it listens, and more."""
    own = [] if host in ANY else [f"[{host}]" if ":" in host else host]
    return {name.lower() for name in (*LOOPBACK_NAMES, *own, *names)}


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ConfigError or MachineError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{host!r} is no address of this machine to listen on ({error})") from error
    try:
        return socket.create_server(address, family=family, backlog=128)
    except PermissionError as error:
        raise ConfigError(f"this user may not listen on port {port}; choose one above 1023") from error
    except OSError as error:
        doing = f"port {port} of {host} cannot be listened on ({error.strerror})"
        raise MachineError(f"{doing}; end the program that does, or choose another by --port") from error
