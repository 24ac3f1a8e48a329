"""The table of docs/editors.md says what was measured, editor by editor and cell by cell."""

import pytest

from tests.editors.conftest import Outcomes
from tests.editors.driving import EDITORS
from tests.editors.edits import Editor
from tests.editors.table import PAGE, row, rows_of, with_rows
from tests.house import REPOSITORY

pytestmark = pytest.mark.timeout(600)


def test_the_table_has_one_line_for_each_editor() -> None:
    assert list(rows_of(PAGE.read_text())) == [editor.name for editor in EDITORS]


@pytest.mark.parametrize("editor", EDITORS, ids=lambda editor: editor.name)
def test_a_line_says_what_was_measured(editor: Editor, outcomes: Outcomes) -> None:
    assert rows_of(PAGE.read_text())[editor.name] == row(editor, outcomes(editor)), "to renew it: python -m tests.editors"


def test_a_table_that_is_written_anew_leaves_the_rest_of_the_page_alone() -> None:
    page = PAGE.read_text()
    assert with_rows(page, rows_of(page).values()) == page


def test_make_and_ci_install_what_the_tests_need() -> None:
    root = REPOSITORY
    make, ci = (root / "Makefile").read_text().split(), (root / ".ci/run").read_text()
    assert not [package for editor in EDITORS for package in editor.packages if package not in make]
    assert not [package for editor in EDITORS for package in editor.packages if editor.quick and f"({package})" not in ci]
