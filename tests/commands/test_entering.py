"""Who may not look into a spool is told so, and how to be let in; not that it is empty."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.commands.entering import check_may_enter
from tests.commands.test_exit_codes import ended

LIKE_ANYBODY = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []


@pytest.mark.parametrize("words", [["status"], ["list"], ["release", "x"], ["retry", "x"], ["cancel", "x"], ["pause", "text"]])
def test_a_spool_that_may_not_be_entered_is_not_told_to_be_empty(tmp_path: Path, words: list[str]) -> None:
    assert (
        subprocess.run([sys.executable, "-m", "daemon", "init", "."], cwd=tmp_path, check=False, capture_output=True).returncode
        == 0
    )
    spool = tmp_path / "spool"
    spool.chmod(0o060)
    try:
        code, said = ended(tmp_path, *words, before=LIKE_ANYBODY)
    finally:
        spool.chmod(0o700)
    assert code == 2
    assert "may not be entered by you" in said
    assert "only " in said


def test_one_that_may_be_entered_or_is_not_there_is_let_pass(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    (spool / "inbox").mkdir(parents=True)
    check_may_enter(spool)
    check_may_enter(tmp_path / "nowhere")


def test_a_spool_that_is_nearly_named_is_not_another_one(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("spol: elsewhere\n")
    code, said = ended(tmp_path, "status")
    assert code == 2
    assert "'spol' is no key (did you mean 'spool'?)" in said
