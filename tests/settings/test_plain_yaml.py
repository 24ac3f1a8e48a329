"""YAML as plain values: with the parser in C and with that in Python, within limits that a sentence names."""

import re
from pathlib import Path

import pytest
import yaml

from daemon.errors import InputError
from daemon.settings import plain_yaml
from daemon.settings.plain_yaml import DEEPEST, LOADER, MOST_VALUES, parse_with_lines, parse_yaml

LOADERS = list(dict.fromkeys([LOADER, yaml.SafeLoader]))


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_yaml, "LOADER", request.param)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [1.5, .inf, -.Inf, .NAN, 0x1F, +1, .5, 1., -1.5e+3, =, <<, y, ~, null, '1', '']\nc: {d: |\n  }",
        "a: |\n  two\n  lines\n\nb: >-\n  one\n  line\n",
        '{"a": "x\\u00e9", \'b\': {c, d}}',
        "---\na: é\n...\n",
        "a: &anchor 1",
        "# nothing\n",
        Path("config.yaml").read_text(),
    ],
)
@pytest.mark.usefixtures("_loader")
def test_plain_values_are_those_of_the_safe_loader(text: str) -> None:
    try:
        expected = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        with pytest.raises(InputError, match="not valid YAML"):
            parse_yaml(text, "x.yaml")
    else:
        assert repr(parse_yaml(text, "x.yaml")) == repr(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x", "aliases"),
        ("a: !!set {b, c}", "tags"),
        ("a: !!int ''", "tags"),
        ("%TAG !a! b\n---\na: 1", "directives"),
        ("a: 1\n...\n%YAML 1.1\n---\nb: 1", "directives"),
        ("a: 1\n---\nb: 2", "second document"),
        ("5: a", "the key 5 is not text"),
        ("a: {5: b}", "the key 5 is not text"),
        ("{[a]: b}", "is not text"),
        ("a: " + "[" * (DEEPEST + 1), f"more than {DEEPEST} brackets"),
        ("a: " + "[" * 100_000, f"more than {DEEPEST} brackets"),
        ("- " * (DEEPEST + 1), f"more than {DEEPEST} brackets"),
        ("a: [" + "b," * MOST_VALUES + "]", f"more than {MOST_VALUES} values"),
        ("a: \x07", "not valid YAML"),
        ("a: [", "not valid YAML"),
    ],
)
@pytest.mark.usefixtures("_loader")
def test_what_is_no_plain_yaml_is_refused_with_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        parse_yaml(text, "x.yaml")
    assert re.match(r"x\.yaml: (line \d+, column \d+: )?this is not valid YAML: ", str(refusal.value))
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("017", 17),
        ("-08", -8),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("08.50", 8.5),
        *((text, text) for text in ("12:30:45", "1:30.5", "2024-01-01", "2024-01-01 12:30:45")),
        *((text, text) for text in ("1_000", "0b11", "-0x1F", "0o8", "0x", "0x_", "1e", ".", "+", "\u0661")),
    ],
)
@pytest.mark.usefixtures("_loader")
def test_numbers_are_what_yaml_1_2_says(word: str, value: object) -> None:
    assert repr(parse_yaml(f"a: {word}\nb: [{word}]", "x.yaml")) == repr({"a": value, "b": [value]})


@pytest.mark.parametrize("word", ["yes", "Yes", "YES", "on", "true", "True", "TRUE", "no", "No", "off", "OFF", "false", "False"])
@pytest.mark.usefixtures("_loader")
def test_yes_and_no_are_truths(word: str) -> None:
    truth = word.lower() in ("yes", "on", "true")
    assert parse_yaml(f"hold: {word}\nquoted: '{word}'", "x.yaml") == {"hold": truth, "quoted": word}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("steps: 3\nseed: 1\nsteps: 30", "steps"),
        ("loras: {fur: 1, 'fur': 0.5}", "fur"),
        ('"a\\nb": 1\n"a\\nb": 1', "a\\nb"),
        ("<<: 1\n<<: 1", "<<"),
    ],
)
@pytest.mark.usefixtures("_loader")
def test_a_key_that_is_there_twice_is_refused(text: str, key: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_yaml(text, "x.yaml")
    told = re.sub(r"line \d+: ", "", str(refusal.value))
    assert told == f"x.yaml: the key '{key}' is there twice; keep the line that is meant, and take the other out"


@pytest.mark.usefixtures("_loader")
def test_the_same_key_in_two_mappings_is_no_repetition() -> None:
    assert parse_yaml("a: {k: 1}\nb: [{k: 2}, {k: 3}]", "x.yaml") == {"a": {"k": 1}, "b": [{"k": 2}, {"k": 3}]}


@pytest.mark.usefixtures("_loader")
def test_numbers_of_very_many_digits_are_text() -> None:
    for digits in ("1" * 5000, "1" + ":1" * 5000, "0x" + "f" * 5000):
        assert parse_yaml(f"seed: {digits}", "x.yaml") == {"seed": digits}


@pytest.mark.usefixtures("_loader")
def test_as_much_as_the_limits_allow_is_read() -> None:
    assert parse_yaml("a: " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1), "x.yaml")
    assert len(parse_yaml("a: [" + "b," * (MOST_VALUES - 3) + "]", "x.yaml")["a"]) == MOST_VALUES - 3


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: [", 3), ("a: 1\n\tb: 2", 2), ("a: 1\nb: 2\na: 3", 3), ("a: 1\n5: 2", 2)])
@pytest.mark.parametrize("first_line", [1, 8])
def test_a_fault_is_in_the_line_of_the_file(text: str, line: int, first_line: int) -> None:
    with pytest.raises(InputError, match=rf"^x\.yaml: line {line + first_line - 1}\b"):
        parse_yaml(text, "x.yaml", first_line=first_line)


def test_the_lines_of_keys_are_known_by_where_they_stand() -> None:
    parsed = parse_with_lines("a: 1\nb:\n  c: [{d: 2},\n    {d: 3}]\n", "x.yaml")
    assert parsed.lines == {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", 0, "d"): 3, ("b", "c", 1, "d"): 4}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps:10", "line 1: a space is missing behind the colon of 'steps:10'; write 'steps: 10'"),
        ("# mine\nsteps:10\nseed:4\n", "line 2: a space is missing behind the colon of 'steps:10'; write 'steps: 10'"),
        ("seed: 4\nsteps:10\nwidth: 64\n", "line 2: a space is missing behind the colon of 'steps:10'; write 'steps: 10'"),
        ("seed:4\n\nsteps: 10\n", "line 1: a space is missing behind the colon of 'seed:4'; write 'seed: 4'"),
        ("a:\n  b: 1\n  steps 20\nc:\n  d: 1\n", "line 3: a colon is missing behind 'steps'; write 'steps: 20'"),
        ("a:\n  steps 20\n  seed: 3\n", "line 2: a colon is missing behind 'steps'; write 'steps: 20'"),
        ("a house\nin a meadow\n", "line 1: expected lines of the form 'key: value', found 'a house'"),
        ("- a\n", "expected lines of the form 'key: value', found a list"),
    ],
)
@pytest.mark.usefixtures("_loader")
def test_a_forgotten_colon_or_space_is_named_with_its_own_line(text: str, told: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_yaml(text, "x.yaml")
    assert str(refusal.value) == f"x.yaml: {told}"
    with pytest.raises(InputError) as refusal:
        parse_yaml(text, "x.yaml", first_line=41)
    assert str(refusal.value) == f"x.yaml: {re.sub('line ([0-9])', lambda found: f'line {40 + int(found[1])}', told)}"


@pytest.mark.parametrize("text", ["prompt: a: b", "a: [1\nc: 2"])
@pytest.mark.usefixtures("_loader")
def test_no_colon_is_said_to_be_missing_where_none_is(text: str) -> None:
    with pytest.raises(InputError, match=r"this is not valid YAML.*needs quotes"):
        parse_yaml(text, "x.yaml")
