"""The frame of the benchmarks: figures and their targets, what is kept of them, and the table of docs/benchmarks.md."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.figures import Figure, row
from benchmarks.report import BEGIN, END, Results, block, read_results, with_block, write_results
from benchmarks.timing import ratio, spread, taking_turns

FAST = Figure(1, "a folder of prompts", 1.234, "x", 1.1, 1.3, at_least=1.0, headline=True)
LARGE = Figure(7, "peak memory", 5.0, "GiB", at_most=4.0, note="5 GB", headline=True)
KNOWN = Figure(3, "seconds", 1234.5, "s")


def results(*figures: Figure, fault: str | None = None) -> Results:
    return Results.of("one", "a machine, 2 cores; load 0.5", list(figures), fault)


@pytest.mark.parametrize(("figure", "verdict"), [(FAST, True), (LARGE, False), (KNOWN, None)])
def test_a_target_holds_is_missed_or_is_not_there(figure: Figure, verdict: bool | None) -> None:
    assert figure.holds is verdict


def test_a_row_says_value_target_and_verdict() -> None:
    assert row(FAST).split() == ["1", "a", "folder", "of", "prompts", "1.23x", "(1.1", "to", "1.3)", "at", "least", "1x", "holds"]
    assert row(LARGE).split() == ["7", "peak", "memory", "5", "GiB", "at", "most", "4", "GiB", "MISSED", "5", "GB"]
    assert row(KNOWN).split() == ["3", "seconds", "1234", "s"]


def test_a_difference_of_nothing_holds_a_target_of_nothing() -> None:
    assert Figure(7, "difference", 0.0, at_most=0.0).holds
    assert not Figure(7, "difference", 1e-9, at_most=0.0).holds


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    written = results(FAST, KNOWN, fault="one ended with 1")
    write_results(written, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == written
    assert read_results(tmp_path / "nothing.json") == Results({})


def test_newer_results_take_the_place_of_those_of_their_module_only() -> None:
    other = Results.of("two", "a machine", [KNOWN], None)
    assert results(FAST).merged(other).merged(results(LARGE)).figures() == [KNOWN, LARGE]


def test_the_table_has_the_headlines_by_item_and_names_the_machine_once() -> None:
    both = results(LARGE, KNOWN, FAST).merged(Results.of("two", "a machine, 2 cores; load 9.9", [], None))
    assert block(both).splitlines() == [
        BEGIN,
        "| figure | value | target | |",
        "|---|---|---|---|",
        "| a folder of prompts | 1.23x (1.1 to 1.3) | at least 1x | holds |",
        "| peak memory | 5 GiB | at most 4 GiB | **missed** |",
        "",
        "Measured on a machine, 2 cores.",
        END,
    ]


def test_a_table_that_is_too_long_for_the_page_is_refused() -> None:
    with pytest.raises(ValueError, match="17 figures are headlines, and the page has room for 16"):
        block(results(*[FAST] * 17))


def test_without_results_the_table_says_so() -> None:
    assert block(Results({})).splitlines() == [BEGIN, "Nothing was measured yet.", END]


def test_the_block_replaces_the_one_in_the_page_and_nothing_else() -> None:
    made = with_block(f"before\n{BEGIN}\nold | \\1\n{END}\nafter\n", results(FAST))
    assert made == f"before\n{block(results(FAST))}\nafter\n"
    with pytest.raises(ValueError, match="has 0"):
        with_block("no block", results(FAST))


def test_two_ways_take_turns_and_are_compared_round_by_round() -> None:
    calls: list[str] = []
    times = taking_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 2, "b": 2}
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]).median == 3.0
    assert (spread([1.0, 2.0, 3.0, 4.0, 5.0]).low, spread([7.0]).high) == (2.0, 7.0)


@pytest.mark.parametrize("name", program.modules())
def test_every_benchmark_is_run_alone_in_the_same_way_and_stands_in_the_readme(name: str) -> None:
    text = (program.FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert "from benchmarks.figures import" in text
    assert re.search(r"^    run\(|^    main\(\)", text.partition('if __name__ == "__main__":')[2], re.MULTILINE)
    assert f"`{name}.py`" in (program.FOLDER / "README.md").read_text(encoding="utf-8")


def test_a_benchmark_says_what_it_is() -> None:
    words = [sys.executable, "-m", "benchmarks.files", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, cwd=program.FOLDER.parent)
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout


@pytest.mark.slow
def test_what_measures_a_gpu_says_where_there_is_none_and_runs_with_tiny_models_all_the_same(tmp_path: Path) -> None:
    words, lines = [sys.executable, "-m", "benchmarks.gpu"], tmp_path / "figures.json"
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, cwd=program.FOLDER.parent, env=hidden)
    assert done.returncode == 1
    assert "there is no GPU here" in done.stderr
    words += ["--tiny", "--only", "loop", "inversions", "strips", "--json", str(lines)]
    subprocess.run(words, capture_output=True, timeout=100, cwd=program.FOLDER.parent, check=True)
    found = [Figure(**json.loads(line)) for line in lines.read_text().splitlines()]
    missed = {figure.what for figure in found if figure.holds is False}
    assert missed <= {"SD 1.5, float32: speed over one piece"}, "which says nothing of models this small"
    assert len(found) == 10


def test_a_benchmark_that_fails_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for name in ("__init__", "figures"):
        (folder / f"{name}.py").write_bytes((program.FOLDER / f"{name}.py").read_bytes())
    head = "from benchmarks.figures import Figure, run\n\n\ndef figures():\n"
    tail = "\n\n\nif __name__ == '__main__':\n    run(figures)\n"
    (folder / "bad.py").write_text(f"{head}    yield Figure(1, 'before the fault', 1.0)\n    raise OSError('a full disk'){tail}")
    (folder / "good.py").write_text(f"{head}    yield Figure(2, 'after it', 2.0, at_most=1.0){tail}")
    monkeypatch.setattr(program, "FOLDER", folder)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert program.modules() == ["bad", "good"]
    assert program.main([]) == 1
    said = capsys.readouterr().out
    assert [word in said for word in ("before the fault", "after it", "MISSED", "FAILED: bad ended with 1")] == [True] * 4


def test_the_table_of_the_page_is_the_one_that_is_made_of_the_kept_results() -> None:
    page = program.PAGE.read_text(encoding="utf-8")
    assert with_block(page, read_results()) == page


def test_what_is_no_benchmark_is_refused_with_the_names_of_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["nonsense"])
    assert f"nonsense: no such benchmark; there are {', '.join(program.modules())}" in capsys.readouterr().err
