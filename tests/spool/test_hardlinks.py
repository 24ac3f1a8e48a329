"""What is said of a kernel that lets people link to files of others."""

from pathlib import Path

import pytest

from daemon.spool import hardlinks
from daemon.spool.filesystem import Filesystem
from daemon.spool.hardlinks import unprotected_links

CASES = [("0\n", 0o2770, True), ("0\n", 0o707, True), ("0\n", 0o755, False), ("1\n", 0o777, False)]


@pytest.mark.parametrize(("value", "mode", "is_said"), CASES)
def test_unprotected_links_are_said_where_others_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, mode: int, is_said: bool
) -> None:
    spool, setting = tmp_path / "spool", tmp_path / "protected_hardlinks"
    (spool / "inbox").mkdir(parents=True)
    (spool / "inbox").chmod(mode)
    setting.write_text(value)
    monkeypatch.setattr(hardlinks, "PROTECTED", setting)
    said = unprotected_links(Filesystem(spool), [spool / "inbox"])
    assert ("`sysctl fs.protected_hardlinks=1`" in (said or "")) == is_said


def test_a_kernel_that_does_not_say_is_not_complained_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardlinks, "PROTECTED", tmp_path / "not there")
    assert unprotected_links(Filesystem(tmp_path), [tmp_path]) is None
