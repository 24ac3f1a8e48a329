"""`python -m tests.mutants` itself: it names what survives, and what fails anyway shows nothing."""

import pytest

from tests.mutants import MUTANTS
from tests.mutants import __main__ as runner
from tests.mutants.mutant import REPOSITORY, Mutant

NAMES, TESTS = "daemon/names.py", "tests/test_names.py"
CAUGHT = Mutant("ids are of six digits", NAMES, "os.urandom(4).hex()", "os.urandom(3).hex()", f"{TESTS}::test_new_ids_are_ids")
HARMLESS = Mutant(
    "the limit is written otherwise", NAMES, "LIMIT_BYTES = 255", "LIMIT_BYTES = 250 + 5", f"{TESTS}::test_new_ids_are_ids"
)
BROKEN = Mutant("nothing runs", NAMES, "import os\n", "import none_such\n", f"{TESTS}::test_new_ids_are_ids")
ABSENT = Mutant("its test is not there", NAMES, "os.urandom(4)", "os.urandom(5)", f"{TESTS}::test_of_nothing")


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_survives_or_shows_nothing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = (REPOSITORY / NAMES).read_bytes()
    monkeypatch.setattr(runner, "MUTANTS", (CAUGHT, HARMLESS, BROKEN, ABSENT))
    assert runner.main(["--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert f"FAILS without a mutant, which shows nothing: {TESTS}::test_of_nothing" in said
    assert "caught   " in said.split("ids are of six digits")[0]
    assert f"SURVIVED: {HARMLESS.wrong}\n  {NAMES}: 'LIMIT_BYTES = 255' -> 'LIMIT_BYTES = 250 + 5'" in said
    assert f"SURVIVED: {BROKEN.wrong}" in said
    assert "3 mutants, 2 survived" in said
    assert (REPOSITORY / NAMES).read_bytes() == before


def test_words_choose_mutants_by_what_is_wrong_and_by_file() -> None:
    chosen = {words: [mutant for mutant in MUTANTS if runner.is_meant(mutant, words)] for words in ((), ("LEASE",), ("no such",))}
    assert chosen[()] == list(MUTANTS)
    assert 0 < len(chosen["LEASE",]) < len(MUTANTS)
    assert chosen["no such",] == []
