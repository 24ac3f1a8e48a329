"""The tests of the server ask it over the loopback, and nothing else."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.asking import Site, serving


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of that of all tests: this machine may be reached."""

    def refuse(self: socket.socket, address: Any, *_: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of a spool, served in this process to all tests of a file."""
    with serving(tmp_path_factory.mktemp("web")) as found:
        yield found


@pytest.fixture
def site(served: Site) -> Site:
    """The same, with nothing in the spool."""
    served.clear()
    return served
