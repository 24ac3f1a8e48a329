"""Prompt files: plain text, front matter, infotext; and what is refused."""

from pathlib import Path

import pytest

from daemon.errors import InputError
from daemon.prompts import parse_prompt, render_infotext

A1111 = """a cat, sitting
on a wall
Negative prompt: dog,
blurry
Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 123456, """
A1111 += "Size: 768x512, Clip skip: 2, Model: sd15, RNG: CPU, Version: v1.10"


def parse(text: str, characters: int = 20_000) -> dict[str, object]:
    return dict(parse_prompt(text.encode(), "cat.txt", characters=characters).settings)


def test_plain_text_is_the_prompt() -> None:
    assert parse("a cat\n") == {"prompt": "a cat"}


def test_plain_text_keeps_its_lines_and_loses_bom_and_carriage_returns() -> None:
    assert parse("\ufeffa cat\r\non a wall\r\n") == {"prompt": "a cat\non a wall"}


def test_front_matter_gives_settings_and_the_rest_is_the_prompt() -> None:
    assert parse("---\nsteps: 30\nseed: 7\nhold: diffuse\n---\na cat\n") == {
        "prompt": "a cat",
        "steps": 30,
        "seed": 7,
        "hold": "diffuse",
    }


def test_front_matter_wins_over_an_infotext_below_it() -> None:
    settings = parse(f"---\nsteps: 5\n---\n{A1111}")
    assert settings["steps"] == 5
    assert settings["seed"] == 123456


def test_a_prompt_may_stand_in_the_front_matter() -> None:
    assert parse("---\nprompt: a cat\n---\n") == {"prompt": "a cat"}


def test_an_infotext_is_read_as_its_own_program_reads_it() -> None:
    assert parse(A1111) == {
        "prompt": "a cat, sitting\non a wall",
        "negative_prompt": "dog,\nblurry",
        "steps": 28,
        "scheduler": "dpmpp_2m_karras",
        "guidance_scale": 6.5,
        "seed": 123456,
        "width": 768,
        "height": 512,
        "clip_skip": 2,
        "model": "sd15",
    }


def test_a_seed_from_a_gpu_is_said_to_give_another_picture() -> None:
    notes = parse_prompt(A1111.replace("RNG: CPU, ", "").encode(), "cat.txt", characters=1000).notes
    assert any("another picture" in note for note in notes)


def test_pairs_without_steps_are_words_of_the_prompt() -> None:
    text = "style: oil, light: soft, mood: calm"
    assert parse(text) == {"prompt": text}


def test_a_recipe_survives_being_written_and_read() -> None:
    recipe = {
        "prompt": "a cat, a wall: brick",
        "negative_prompt": "dog",
        "steps": 30,
        "scheduler": "euler_a",
        "guidance_scale": 7.5,
        "seed": 5,
        "width": 512,
        "height": 768,
        "model": "demo",
        "clip_skip": 2,
    }
    written = render_infotext(recipe, "0.1.0")
    assert parse(written) == recipe
    assert parse_prompt(written.encode(), "cat.png", characters=10_000).notes == ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a caf\xe9", ["cat.txt", "not UTF-8", "0xe9"]),
        (b"a\0b", ["cat.txt", "no text"]),
        (b"   \n", ["cat.txt", "no prompt"]),
        (b"---\nsteps: 3\na cat", ["cat.txt", "closing ---"]),
        (b"---\nprompt: a cat: on a wall\n---\n", ["cat.txt", "YAML", "quotes"]),
        (b"---\na: &x [1]\nb: *x\n---\na cat", ["cat.txt", "aliases"]),
        (b"---\n!!python/object/apply:os.system ['true']\n---\na cat", ["cat.txt", "YAML"]),
        (b"---\n- steps\n---\na cat", ["cat.txt", "key: value", "list"]),
        (b"a cat <lora:fur:much>", ["cat.txt", "<lora:fur:much>", "numbers"]),
        (b"a cat <hypernet:fur:1>", ["cat.txt", "<hypernet:fur:1>", "hypernetworks"]),
        (b"a [cat:dog:0.5]", ["cat.txt", "[cat:dog:0.5]", "schedules"]),
        (b"a [cat|dog]", ["cat.txt", "[cat|dog]", "alternation"]),
        (b"a cat AND a wall", ["cat.txt", "AND"]),
        (b"(a cat:1.3.4)", ["cat.txt", "1.3.4", "number"]),
    ],
)
def test_a_bad_prompt_is_refused_with_one_sentence(data: bytes, words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        parse_prompt(data, "cat.txt", characters=1000)
    for word in words:
        assert word in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_prompt_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InputError, match="2000 characters, the limit is 1000"):
        parse("x" * 2000, characters=1000)


def test_a_backslash_makes_plain_brackets() -> None:
    assert parse(r"a cat \(cheshire: 1.5\)") == {"prompt": r"a cat \(cheshire: 1.5\)"}


def test_prompt_files_of_this_repository_are_read(tmp_path: Path) -> None:
    path = tmp_path / "cat.txt"
    path.write_text("ein Kätzchen 🐈", encoding="utf-8")
    assert parse_prompt(path.read_bytes(), path.name, characters=100).settings == {"prompt": "ein Kätzchen 🐈"}


@pytest.mark.parametrize(
    "text",
    [
        "--- \nseed: 1\n---\na cat",
        "\n---\nseed: 1\n--- \na cat\n",
        "---\nprompt:\nseed: 1\n---\na cat",
    ],
)
def test_front_matter_is_seen_where_a_person_sees_it(text: str) -> None:
    assert parse(text) == {"prompt": "a cat", "seed": 1}


def test_empty_front_matter_is_no_front_matter() -> None:
    assert parse("---\n---\na cat") == {"prompt": "a cat"}
