"""What the tests over real servers share: a host with a spool, for a daemon that may ask for leases on files of others, or not."""

from collections.abc import Iterator

import pytest

from tests.real.fast_daemon import FastDaemon
from tests.real.host import Host


@pytest.fixture(scope="module", params=[True, pytest.param(False, marks=pytest.mark.thorough)], ids=["lease", "no_lease"])
def leases(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def host(leases: bool) -> Iterator[Host]:
    del leases  # a host for each of the two
    with Host() as host:
        yield host


@pytest.fixture(scope="module")
def serving(host: Host, leases: bool) -> Iterator[FastDaemon]:
    """The daemon of the host, as another user than those who drop files."""
    running = host.daemon(leases=leases)
    yield running
    assert running.stop() == 0
