"""Whose configuration is believed: not one that anybody may write, where root or a service would obey it."""

from pathlib import Path

import pytest

from daemon.errors import ConfigError
from daemon.settings.permissions import read_trusted


@pytest.fixture(autouse=True)
def _as_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/no/such/socket")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "house/rooms/config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("spool: ../../spool")
    for place in (path, *path.parents[:3]):
        place.chmod(0o755)
    return path


def test_a_configuration_that_is_nobody_elses_to_write_is_read(config: Path) -> None:
    assert read_trusted(config).spool_folder == config.parents[2] / "spool"


def test_root_and_services_obey_no_configuration_that_everybody_can_write(config: Path) -> None:
    config.chmod(0o666)
    with pytest.raises(ConfigError, match=r"everybody can write to .*config\.yaml, .*chmod o-w"):
        read_trusted(config)


def test_no_folder_above_a_configuration_may_be_everybodys(config: Path) -> None:
    config.parents[2].chmod(0o777)
    with pytest.raises(ConfigError, match=f"everybody can write to {config.parents[2]},"):
        read_trusted(config)
    config.parents[2].chmod(0o1777)  # sticky: nobody replaces what is another's
    read_trusted(config)


def test_a_configuration_in_the_spool_is_not_obeyed(config: Path) -> None:
    config.write_text("spool: ..")
    with pytest.raises(ConfigError, match="lies in the spool"):
        read_trusted(config)
