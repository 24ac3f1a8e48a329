"""With which token the gateway goes to a cluster of Ray; Ray itself is not needed for that."""

from pathlib import Path

import pytest

from daemon.compute.remote.ray_worker import authentication


@pytest.fixture
def token(tmp_path: Path) -> Path:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("secret")
    return tmp_path


def test_who_has_a_token_shows_it(token: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    nobody = tmp_path_factory.mktemp("nobody")
    assert authentication({}, token) == {"RAY_AUTH_MODE": "token"}
    assert authentication({"RAY_AUTH_TOKEN": "secret"}, nobody) == {"RAY_AUTH_MODE": "token"}
    assert authentication({"RAY_AUTH_TOKEN_PATH": "/run/token"}, nobody) == {"RAY_AUTH_MODE": "token"}
    assert authentication({}, nobody) == {}


def test_what_a_person_says_of_it_counts(token: Path) -> None:
    assert authentication({"RAY_AUTH_MODE": "disabled"}, token) == {}
