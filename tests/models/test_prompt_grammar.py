"""The grammar of prompts: weights, escapes, BREAK, LoRAs and names; and what is refused."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import InputError
from daemon.models.prompt_grammar import Name, Words, check_syntax, cut_loras, parse_weights, render_loras, split_names


def weights(prompt: str) -> list[tuple[str, float]]:
    """The words of a prompt without BREAK, each with its weight."""
    (section,) = parse_weights(prompt)
    return [(words.text, words.weight) for words in section]


def refused(read: Callable[[str], object], text: str) -> str:
    """The sentence with which a text is refused, or what a refusal would begin with."""
    try:
        read(text)
    except InputError as refusal:
        return str(refusal)
    return "the prompt is read"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        # The examples that stand in A1111's own prompt_parser.py.
        ("normal text", [("normal text", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1.0)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1.0),
                ("house", 1.5730000000000004),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641000000000006),
                (".", 1.1),
            ],
        ),
    ],
)
def test_weights_are_those_of_a1111(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert weights(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", []),
        ("[less]", [("less", 1 / 1.1)]),
        ("(a: 1.5 )", [("a", 1.5)]),
        ("(a:-0.5)", [("a", -0.5)]),
        ("(a:0)", [("a", 0.0)]),
        (r"a \\(b)", [("a \\", 1.0), ("b", 1.1)]),
        ("a :) b", [("a :) b", 1.0)]),
        ("a ratio of 16:9) or so", [("a ratio of 16:9) or so", 1.0)]),
        ("12:30", [("12:30", 1.0)]),
        ("[a:1.5)", [("a:1.5)", 1 / 1.1)]),
        ("(a]", [("a]", 1.1)]),
    ],
)
def test_what_is_no_weight_stays_text(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert weights(prompt) == expected


@given(st.text())
def test_any_text_can_be_said_with_backslashes(text: str) -> None:
    escaped = re.sub(r"([()\[\]\\])", r"\\\1", text)
    if "BREAK" not in text:
        assert weights(escaped) == ([(text, 1.0)] if text else [])


@given(st.lists(st.sampled_from([*"()[]\\:.5-a ", "BREAK", "AND", ":1.5)", "|", "<lora:a:1>"])).map("".join))
def test_every_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    for read in (parse_weights, check_syntax, cut_loras):
        assert refused(read, text).startswith("the prompt ")


@given(st.text(alphabet=st.sampled_from("()[]a :1.5"), max_size=60))
def test_weights_lose_no_words(text: str) -> None:
    try:
        said = parse_weights(text)
    except InputError:
        return
    assert "".join(words.text for section in said for words in section).count("a") == text.count("a")


def test_break_parts_a_prompt_and_takes_the_spaces_around_it() -> None:
    assert parse_weights("a cat BREAK\n a wall") == ((Words("a cat"),), (Words("a wall"),))
    assert parse_weights("(a cat BREAK a wall:1.5)") == ((Words("a cat", 1.5),), (Words("a wall", 1.5),))
    assert parse_weights("BREAK a") == ((Words(""),), (Words("a"),))
    assert parse_weights("a BREAKFAST") == ((Words("a BREAKFAST"),),)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("[cat:dog:0.5]", ["'[cat:dog:0.5]'", "schedules", "backslash"]),
        ("a [[cat]:dog:5] b", ["'[[cat]:dog:5]'"]),
        ("a [::0.5]", ["'[::0.5]'"]),
        ("a [cat: 5 ]", ["'[cat: 5 ]'"]),
        ("a [cat|dog] b", ["'[cat|dog]'", "alternation"]),
        ("a cat AND a dog", ["'AND'"]),
        ("a cat <hypernet:fur:1>", ["'<hypernet:fur:1>'", "hypernetworks"]),
        ("a cat <lora:fur:1>", ["'<lora:fur:1>'", "in the prompt alone"]),
        ("(a cat:1.2.3)", ["'1.2.3'", "number"]),
        ("(a cat:1000)", ["'a cat'", "1000", "within -100 and 100"]),
        ("(" * 49 + "cat", ["48 brackets"]),
    ],
)
def test_what_cannot_be_honoured_is_refused_and_not_read_as_words(prompt: str, words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        check_syntax(prompt)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    "prompt",
    [
        r"a \[cat|dog\]",
        "a (cat|dog)",
        "[a cat]",
        "a cat: black | white",
        "[a cat: black]",
        "a [ratio 16:9 picture]",
        "a HAND and LAND",
        r"ROCK \AND ROLL",
        r"\{x | x > 0}",
        r"\__init__ of \__a/*__ and \__**__",
        "{x} and __x and x__",
    ],
)
def test_what_only_looks_like_a_schedule_is_honoured(prompt: str) -> None:
    check_syntax(prompt)


@pytest.mark.parametrize(
    ("escaped", "words"),
    [
        (r"ROCK \AND ROLL", "ROCK AND ROLL"),
        (r"a \BREAK b", "a BREAK b"),
        (r"\{x | x > 0}", "{x | x > 0}"),
        (r"\__init__", "__init__"),
        (r"\{x} \_ \ANDY", r"\{x} \_ \ANDY"),  # what means nothing else stays as it is, as in A1111
    ],
)
def test_a_backslash_makes_words_of_what_would_be_refused(escaped: str, words: str) -> None:
    assert weights(escaped) == [(words, 1.0)]


@pytest.mark.parametrize("prompt", ["ROCK AND ROLL", "a {x | x > 0}", "an __init__ file"])
def test_the_way_out_that_a_refusal_names_works(prompt: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_syntax(prompt)
    (way_out,) = re.findall(r"(\\AND|\\.+?)(?=\)| where the word)", str(refusal.value))
    check_syntax(prompt.replace(way_out[1:], way_out))


@pytest.mark.parametrize(
    ("prompt", "words", "loras"),
    [
        ("a cat", "a cat", {}),
        ("a cat <lora:fur:0.8>", "a cat", {"fur": 0.8}),
        ("a cat <lora:fur>", "a cat", {"fur": 1.0}),
        ("<lora:fur:0.5:0.8> a cat", "a cat", {"fur": [0.5, 0.8]}),
        ("a cat <lora:fur:te=0.5:unet=0.8>, black", "a cat, black", {"fur": [0.5, 0.8]}),
        ("a <lora:fur:0.25> cat <lora:fur:0.5>", "a cat", {"fur": 0.75}),
        ("a cat <lyco:fur:-1> <lora:v1.2 b:1>", "a cat", {"fur": -1.0, "v1.2 b": 1.0}),
    ],
)
def test_loras_are_cut_out_of_the_words(prompt: str, words: str, loras: dict[str, object]) -> None:
    assert cut_loras(prompt) == (words, loras)


@pytest.mark.parametrize("named", ["<lora:fur:much>", "<lora::1>", "<lora:fur:1:2:3>", "<lora:fur:dyn=8>", "<lora:fur:nan:1:>"])
def test_a_lora_that_is_written_otherwise_is_refused(named: str) -> None:
    with pytest.raises(InputError, match="a LoRA is named as <lora:NAME:WEIGHT>"):
        cut_loras(f"a cat {named}")


names = st.text(alphabet="abcXYZ019 ._-", min_size=1).map(str.strip).filter(bool)
numbers = st.floats(-100, 100)


@given(st.dictionaries(names, numbers | st.tuples(numbers, numbers).filter(lambda both: both[0] != both[1]).map(list)))
def test_loras_survive_being_written_and_read(loras: dict[str, float | list[float]]) -> None:
    assert cut_loras(f"a cat {render_loras(loras)}".strip()) == ("a cat", loras)


def test_names_of_textual_inversions_are_found_as_words_of_their_own() -> None:
    names = ["cat-toy", "cat", "style.v2"]
    for text, expected in (
        ("a cat-toy, red", ["a ", Name("cat-toy"), ", red"]),
        ("a <cat> embedding:Cat", ["a ", Name("cat"), " ", Name("cat")]),
        ("concatenate cats, a cat's", ["concatenate cats, a ", Name("cat"), "'s"]),
        ("<style.v2>style.v2", [Name("style.v2"), Name("style.v2")]),
        ("a dog", ["a dog"]),
    ):
        assert split_names(text, names) == expected
    assert split_names("a cat", []) == ["a cat"]
