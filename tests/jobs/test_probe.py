"""What files say at their heads: read by the job's own parsers, once for each version, within bounds."""

import os
from pathlib import Path

import pytest

from daemon.beneath import Beneath
from daemon.jobs import probe
from daemon.jobs.probe import NOTHING, Probe, Stated


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the settings files that were parsed."""
    names: list[str] = []

    def noting(data: bytes, where: str) -> object:
        names.append(where)
        return parse(data, where)

    parse = probe.settings_file
    monkeypatch.setattr(probe, "settings_file", noting)
    return names


def test_a_head_says_priority_model_and_mask(tmp_path: Path) -> None:
    (tmp_path / "cat.yaml").write_text("{priority: -200, 'model': sd15, mask: x_mask.png}")
    assert Probe(Beneath(tmp_path), lambda: 100).read(tmp_path / "cat.yaml") == Stated(-100, "sd15", "x_mask.png")


def test_each_version_of_a_file_is_parsed_once(tmp_path: Path, parsed: list[str]) -> None:
    path, probe = tmp_path / "cat.yaml", Probe(Beneath(tmp_path), lambda: 100)
    for content, priority in (("priority: 1", 1), ("priority: 2", 2)):
        path.write_text(content)
        os.utime(path, ns=(priority, priority))
        assert [probe.read(path).priority for _ in range(3)] == [priority] * 3
    assert parsed == ["cat.yaml", "cat.yaml"]


def test_a_file_of_another_name_is_read_as_what_it_is_then(tmp_path: Path) -> None:
    path, probe = tmp_path / "cat.txt", Probe(Beneath(tmp_path), lambda: 100)
    path.write_text("priority: 5")
    assert probe.read(path) == NOTHING
    assert probe.read(path.rename(tmp_path / "cat.yaml")) == Stated(5)


def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten(
    tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.jobs.probe.MOST_KNOWN", 3)
    paths, probe = [tmp_path / f"{name}.yaml" for name in "abcd"], Probe(Beneath(tmp_path), lambda: 100)
    for path in paths:
        path.write_text("priority: 5")
        probe.read(path)
        probe.read(paths[0])
    for path in paths[:2]:
        probe.read(path)
    assert parsed == ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "b.yaml"]


def test_a_file_that_the_job_would_refuse_for_its_size_is_not_read(tmp_path: Path, parsed: list[str]) -> None:
    path = tmp_path / "cat.yaml"
    path.write_text("priority: 5 #" + "x" * 400)
    assert Probe(Beneath(tmp_path), lambda: 100).read(path) == NOTHING
    assert parsed == []
    assert Probe(Beneath(tmp_path), lambda: 104).read(path) == Stated(5)
