"""YAML as plain values: with the parser in C and with that in Python, within limits that a sentence names."""

from pathlib import Path

import pytest
import yaml

from daemon.errors import InputError
from daemon.settings import plain_yaml
from daemon.settings.plain_yaml import DEEPEST, LOADER, MOST_VALUES, parse_yaml

LOADERS = list(dict.fromkeys([LOADER, yaml.SafeLoader]))


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_yaml, "LOADER", request.param)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [1.5, .inf, 0x1F, 1e3, yes, ~, 2001-01-01, '1']\nc: {d: |\n  }",
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
        ("a: 2001-99-99", "not valid YAML"),
        ("a: 0x_", "not valid YAML"),
        ("a: \x07", "not valid YAML"),
        ("a: [", "not valid YAML"),
    ],
)
@pytest.mark.usefixtures("_loader")
def test_what_is_no_plain_yaml_is_refused_with_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        parse_yaml(text, "x.yaml")
    assert str(refusal.value).startswith("x.yaml: this is not valid YAML")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.usefixtures("_loader")
def test_numbers_of_very_many_digits_are_text() -> None:
    for digits in ("1" * 5000, "1" + ":1" * 5000, "0x" + "f" * 5000):
        assert parse_yaml(f"seed: {digits}", "x.yaml") == {"seed": digits}


@pytest.mark.usefixtures("_loader")
def test_as_much_as_the_limits_allow_is_read() -> None:
    assert parse_yaml("a: " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1), "x.yaml")
    assert len(parse_yaml("a: [" + "b," * (MOST_VALUES - 3) + "]", "x.yaml")["a"]) == MOST_VALUES - 3
