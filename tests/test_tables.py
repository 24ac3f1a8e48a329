"""The tables of tests/README.md: each failure case and each feature has a test, and each test that they name exists."""

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE / "README.md").read_text(encoding="utf-8")
NUMBERS = (*range(1, 19), *range(20, 27), *range(30, 42), *range(50, 65), *range(70, 82))
CASES = [f"T{number:02}" for number in NUMBERS]


def test_every_case_has_a_row_and_every_row_a_test() -> None:
    rows = re.findall(r"^\| (T\d\d) \| .+ \| (`tests/.+`) \|$", TABLE, re.MULTILINE)
    assert [case for case, _tests in rows] == CASES


def test_every_feature_is_there_with_a_test_or_says_why_not() -> None:
    _, features = TABLE.split("| feature | tiffsd | shown by |\n|---|---|---|\n")
    rows = [line.strip("| ").split(" | ") for line in features.strip().split("\n")]
    assert len(rows) > 30
    for feature, state, shown_by in rows:
        assert shown_by.startswith("`tests/") or state.startswith("no: "), feature


def test_every_test_that_the_tables_name_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TABLE)
    assert len(named) > len(CASES)
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in (HERE.parent / path).read_text(encoding="utf-8")]
    assert missing == []
