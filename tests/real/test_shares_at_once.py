"""Sixty drops over three shares at once, and the pictures read all the while: each is exact, none is torn."""

import pytest

from tests.real.host import Host
from tests.real.shares_at_once import EACH, Shares, figures, problems


@pytest.fixture(scope="module", params=[True, pytest.param(False, marks=pytest.mark.thorough)], ids=["lease", "no_lease"])
def leases(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_sixty_drops_over_three_shares_at_once_are_sixty_pictures(host: Host, leases: bool) -> None:
    with Shares(host, leases=leases) as shares:
        seen = shares.drop_all()
        said = figures(shares.daemon, seen)
        assert problems(shares.daemon) == [], said
        assert seen.torn == []
        assert len(seen.read) >= EACH
        assert shares.daemon.stop() == 0
