"""What is said of config.yaml while a daemon runs."""

from pathlib import Path

import pytest

from daemon.service.config_news import ConfigNews
from daemon.service.service import Service
from daemon.settings.config import Config, read_config


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("vaes:\n  mine: gone\n")
    return path


def test_what_is_named_and_not_there_is_said_until_it_is_mended(path: Path) -> None:
    news = ConfigNews(path, read_config(path))
    (complaint,) = news.complaints()
    assert complaint.startswith(f"{path}: line 2: 'vaes.mine' is {path.parent}/gone, and nothing is there")
    path.write_text("{}")
    news.was_read(read_config(path))
    assert news.complaints() == ()


def test_a_file_that_has_changed_since_it_was_read_is_said_until_it_is_read_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("{}")
    news = ConfigNews(path, read_config(path))
    news.look()
    assert news.complaints() == ()
    path.write_text("names: kept\n")
    for _ in range(3):
        news.look()
    (complaint,) = news.complaints()
    assert "has changed, and what it said before is still in force" in complaint
    assert len(caplog.messages) == 1
    news.was_read(read_config(path))
    news.look()
    assert news.complaints() == ()


def test_a_file_that_is_saved_as_it_was_is_no_news(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("{}")
    news = ConfigNews(path, read_config(path))
    path.unlink()
    path.write_text("{}")
    news.look()
    assert (news.complaints(), caplog.messages) == ((), [])
    path.write_text("names: kept\n")
    news.look()
    assert len(news.complaints()) == 1


def test_a_file_that_is_gone_for_the_moment_in_which_an_editor_replaces_it_is_no_news(path: Path) -> None:
    path.write_text("{}")
    news = ConfigNews(path, read_config(path))
    path.rename(path.with_suffix(".old"))
    news.look()
    assert news.complaints() == ()


def test_without_a_file_there_is_nothing_to_say(tmp_path: Path) -> None:
    news = ConfigNews(None, Config(folder=tmp_path, vaes={"mine": "gone"}))
    news.look()
    assert news.complaints() == ()


def test_the_status_of_a_daemon_says_it(path: Path) -> None:
    service = Service(read_config(path), config_path=path)
    service.start()
    try:
        service.tick(0.0)
        assert "'vaes.mine'" in (service.spool.root / "status.txt").read_text()
    finally:
        service.stop()
