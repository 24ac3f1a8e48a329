"""The program's own files are found in a checkout, and a broken installation is told so."""

from pathlib import Path

import pytest

from daemon.errors import ConfigError
from daemon.settings import resources
from daemon.settings.resources import resource
from tests.house import REPOSITORY


def test_a_checkout_uses_the_files_at_its_top() -> None:
    assert resource("config.yaml") == REPOSITORY / "config.yaml"
    assert resource("systemd/tiffsd.service") == REPOSITORY / "systemd/tiffsd.service"


def test_an_installation_uses_the_files_that_its_wheel_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/config.yaml").touch()
    monkeypatch.setattr(resources, "CARRIED", tmp_path / "data")

    assert resource("config.yaml") == tmp_path / "data/config.yaml"


def test_a_file_that_the_installation_lacks_is_named() -> None:
    with pytest.raises(ConfigError, match=r"lacks models/none .* install tiffsd again"):
        resource("models/none")
