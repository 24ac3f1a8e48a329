"""The tables of mutants: each fault is put where its words say, and the tests that it names are there."""

import ast
from collections import Counter
from functools import cache

import pytest

from tests.mutants import MUTANTS
from tests.mutants.mutant import REPOSITORY, Mutant, mutated


@cache
def _tests_in(file: str) -> frozenset[str]:
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.wrong)
def test_a_mutant_is_another_program_and_its_words_stand_once(mutant: Mutant) -> None:
    for path, text in mutated(REPOSITORY, mutant).items():
        before = path.read_text(encoding="utf-8")
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(before)), "only comments differ"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.wrong)
def test_the_tests_of_a_mutant_are_there(mutant: Mutant) -> None:
    assert mutant.named
    for named in mutant.named:
        file, _, test = named.partition("::")
        assert test.partition("[")[0] in _tests_in(file) or (not test and _tests_in(file)), named


def test_every_fault_is_told_once() -> None:
    assert [wrong for wrong, times in Counter(mutant.wrong for mutant in MUTANTS).items() if times > 1] == []
    assert len(MUTANTS) > 150


def test_words_that_are_gone_or_stand_twice_are_refused_with_the_mutant() -> None:
    for old in ("words that stand nowhere", "import"):
        with pytest.raises(ValueError, match="expected: give 'nothing' other words"):
            mutated(REPOSITORY, Mutant("nothing", "daemon/lease.py", old, "x", "tests/mutants/test_table.py"))
