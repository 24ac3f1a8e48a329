"""Prompt files: plain text, front matter, infotext; and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import InputError
from daemon.settings.infotext import render_infotext
from daemon.settings.infotext_lines import has_parameters
from daemon.settings.prompts import parse_prompt, read_prompt, settings_file
from daemon.settings.recipe import Prompt

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
        "scheduler": "dpmpp_2m",
        "schedule": "karras",
        "guidance_scale": 6.5,
        "seed": 123456,
        "width": 768,
        "height": 512,
        "clip_skip": 2,
        "model": "sd15",
        "rng": "cpu",
    }


@pytest.mark.parametrize(
    ("said", "rng", "words"),
    [
        ("RNG: NV, Version: v1.10", "nv", ["that of a GPU"]),
        ("RNG: CPU, Version: v1.10", "cpu", []),
        ("Version: v1.10", "nv", ["that of a GPU"]),
        ("Model hash: abc", "nv", ["that of a GPU"]),
        ("RNG: GPU", "nv", ["that of a GPU"]),
        ("RNG: dice", "nv", ["'RNG: dice' of the recipe ignored", "that of a GPU"]),
        ("Version: ComfyUI", "cpu", []),
        ("Version: tiffsd 0.2.0", "cpu", []),
        ("RNG: CPU, Version: tiffsd 0.1.0", "cpu", []),
        ("RNG: NV, Version: tiffsd 0.3.0", "nv", []),
    ],
)
def test_the_noise_of_a_recipe_is_that_of_its_program(said: str, rng: str, words: list[str]) -> None:
    read = parse_prompt(f"a cat\nSteps: 8, Sampler: Euler a, Seed: 5, {said}".encode(), "cat.txt", characters=1000)
    assert read.settings["rng"] == rng
    assert [word in note for word, note in zip(words, read.notes, strict=True)] == [True] * len(words)


def test_plain_words_say_nothing_of_noise() -> None:
    assert "rng" not in parse("a cat")


def test_noise_out_of_a_brownian_tree_is_said_to_be_another_here() -> None:
    line = "a cat\nSteps: 8, Sampler: {}, Schedule type: Karras, Seed: 5, RNG: {}, Version: {}"

    def notes(*said: str) -> str:
        return " ".join(parse_prompt(line.format(*said).encode(), "cat.txt", characters=1000).notes)

    for sampler in ("DPM++ SDE", "DPM++ 2M SDE", "DPM++ 3M SDE"):
        assert "from a Brownian tree in the program that made it, which is not reproduced" in notes(sampler, "CPU", "v1.10")
        assert notes(sampler, "CPU", "tiffsd 0.3.0") == ""
    assert "Brownian" not in notes("DPM++ 2M", "CPU", "v1.10")


def test_what_is_said_above_a_recipe_takes_its_notes_away() -> None:
    recipe = "a cat\nSteps: 8, Sampler: DPM++ SDE, Seed: 5, CFG scale: 5, Version: v1.10.1"
    assert len(parse_prompt(recipe.encode(), "cat.txt", characters=1000).notes) == 2
    above = "---\nrng: cpu\nscheduler: euler\n---\n"
    assert parse_prompt((above + recipe).encode(), "cat.txt", characters=1000).notes == ()


def test_how_noise_was_drawn_is_written_as_it_is_read() -> None:
    recipe = {"prompt": "a cat", "steps": 8, "scheduler": "euler_a", "seed": 2**64 - 1, "rng": "nv", "ensd": 31337}
    varied = {**recipe, "variation_seed": 7, "variation_strength": 0.25}
    text = render_infotext(varied, "0.3.0")
    assert "Seed: 18446744073709551615, Variation seed: 7, Variation seed strength: 0.25, ENSD: 31337, RNG: NV" in text
    assert parse(text) == varied
    assert "ariation" not in render_infotext({**varied, "variation_strength": 0.0}, "0.3.0")
    assert "ENSD" not in render_infotext({**varied, "ensd": 0}, "0.3.0")


OURS = {"prompt": "a cat", "steps": 8, "seed": 5, "rng": "cpu"}


@pytest.mark.parametrize(
    "named",
    [
        {"scheduler": "euler"},
        {"scheduler": "euler", "schedule": "normal"},
        {"scheduler": "dpmpp_2m_karras"},
        {"scheduler": "dpmpp_2m", "schedule": "comfyui_beta"},
        {"scheduler": "euler_a", "schedule": "karras", "eta": 0.4},
        {"scheduler": "euler_a", "schedule": "karras", "eta": 0.0},
        {"scheduler": "ddim", "eta": 0.5},
        {"scheduler": "default"},
    ],
)
def test_our_own_names_win_over_those_of_a1111(named: dict[str, Any]) -> None:
    assert parse(render_infotext({**OURS, **named}, "0.2.0")) == {**OURS, **named}


def test_other_programs_read_a1111s_names_in_our_recipes() -> None:
    text = render_infotext({**OURS, "scheduler": "dpmpp_2m", "schedule": "karras"}, "0.2.0")
    assert "Sampler: DPM++ 2M, Schedule type: Karras, " in text
    assert "tiffsd scheduler: dpmpp_2m, tiffsd schedule: karras" in text
    assert "Eta" not in render_infotext({**OURS, "scheduler": "euler_a", "schedule": "karras", "eta": 1.0}, "0.2.0")


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("Sampler: Euler, Version: v1.10.1", ("euler", "normal")),
        ("Sampler: Euler, Version: tiffsd 0.1.0", ("euler", None)),
        ("Sampler: DPM++ 2M, Schedule type: Karras, Version: tiffsd 0.1.0", ("dpmpp_2m_karras", None)),
        ("Sampler: DPM++ 2M, Schedule type: Karras, Version: v1.10.1", ("dpmpp_2m", "karras")),
        ("Sampler: DPM++ 2M, Schedule type: Automatic, Version: v1.10.1", ("dpmpp_2m", "karras")),
        ("Sampler: DPM++ 2M, Version: v1.10.1", ("dpmpp_2m", "karras")),
        ("Sampler: DPM++ 2M, Version: v1.6.0", ("dpmpp_2m", "normal")),
        ("Sampler: DPM++ 2M, Version: f0.0.17v1.8.0rc-latest-276-g29be1da7", ("dpmpp_2m", "normal")),
        ("Sampler: DPM++ 2M, Version: f2.0.1v1.10.1-previous-665-gae278f79", ("dpmpp_2m", "karras")),
        ("Sampler: Restart, Version: v1.6.0", ("restart", "karras")),
        ("Sampler: LCM, Version: v1.8.0", ("lcm", "lcm_timesteps")),
        ("Sampler: DPM++ 2M Karras, Version: v1.6.0", ("dpmpp_2m", "karras")),
        ("Sampler: DPM++ 2M SDE Exponential, Version: v1.6.0", ("dpmpp_2m_sde", "exponential")),
        ("Sampler: Restart, Schedule type: Align Your Steps", ("restart", "align_your_steps")),
        ("Sampler: DDIM, Schedule type: Karras, Version: v1.10.1", ("ddim", "ddim_timesteps")),
        ("Sampler: UniPC, Schedule type: SGM Uniform, Version: v1.10.1", ("unipc_bh1", "time_uniform")),
        ("Sampler: PLMS, Version: v1.10.1", ("pndm", None)),
        ("Sampler: LCM, Schedule type: Uniform, Version: v1.10.1", ("lcm", "lcm_timesteps")),
        ("Sampler: dpmpp_2m, Scheduler: karras, Version: ComfyUI", ("dpmpp_2m", "karras")),
        ("Sampler: euler, Scheduler: beta, Version: ComfyUI", ("euler", "comfyui_beta")),
        ("Sampler: euler, Version: ComfyUI", ("euler", "normal")),
        ("Sampler: deis, Version: ComfyUI", ("deis", None)),
    ],
)
def test_a_sampler_means_what_it_means_in_the_program_that_wrote_it(said: str, named: tuple[str, str | None]) -> None:
    read = parse_prompt(f"a cat\nSteps: 8, Seed: 5, CFG scale: 5, {said}".encode(), "cat.txt", characters=1000)
    assert (read.settings["scheduler"], read.settings.get("schedule")) == named
    ignored = [note for note in read.notes if "Schedule type" in note]
    assert len(ignored) == (named[0] in ("ddim", "unipc_bh1"))


@pytest.mark.parametrize("sampler", ["DDIM", "PLMS", "UniPC"])
def test_no_note_is_of_a_schedule_that_a_recipe_does_not_name(sampler: str) -> None:
    read = parse_prompt(f"a cat\nSteps: 8, Seed: 5, Sampler: {sampler}, Version: v1.8.0".encode(), "cat.txt", characters=1000)
    assert not [note for note in read.notes if "Schedule type" in note]


def test_a_level_that_a1111_discarded_by_an_option_is_named() -> None:
    recipe = "a cat\nSteps: 8, Sampler: Euler, Seed: 5, Discard penultimate sigma: True, Version: v1.10.1"
    notes = parse_prompt(recipe.encode(), "cat.txt", characters=1000).notes
    assert any("'Discard penultimate sigma: True' of the recipe ignored" in note for note in notes)


def test_a_schedule_without_a_sampler_is_named() -> None:
    recipe = "a cat\nSteps: 8, Schedule type: Karras, Seed: 5, CFG scale: 5, Version: v1.10.1"
    notes = parse_prompt(recipe.encode(), "cat.txt", characters=1000).notes
    assert any("'Schedule type: Karras' of the recipe ignored" in note for note in notes)


def test_the_distilled_guidance_of_flux_is_the_guidance() -> None:
    line = "a cat\nSteps: 8, Sampler: Euler, CFG scale: {}, Distilled CFG Scale: 3.5, Seed: 5"
    read = parse_prompt(line.format(1).encode(), "cat.txt", characters=1000)
    assert read.settings["guidance_scale"] == 3.5
    assert not any("CFG" in note for note in read.notes)
    both = parse_prompt(line.format(2.5).encode(), "cat.txt", characters=1000)
    assert both.settings["guidance_scale"] == 3.5
    assert any("'CFG scale: 2.5' of the recipe ignored" in note for note in both.notes)


@pytest.mark.parametrize("key", ["CFG Rescale", "CFG rescale", "cfg rescale"])
def test_a_key_of_a_recipe_is_told_without_regard_to_capitals(key: str) -> None:
    assert parse(f"a cat\nSteps: 8, Seed: 5, CFG scale: 5, {key}: 0.7")["guidance_rescale"] == 0.7


def test_pairs_without_steps_are_words_of_the_prompt() -> None:
    text = "style: oil, light: soft, size: huge"
    assert parse(text) == {"prompt": text}


def test_two_pairs_are_words_of_the_prompt() -> None:
    text = "Steps: of a church, size: huge"
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
        "rng": "cpu",
    }
    written = render_infotext(recipe, "0.2.0")
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
        (b"a {red|blue} cat", ["cat.txt", "{red|blue}", "not made"]),
        (b"a {2$$red|{blue|green}} cat", ["cat.txt", "{blue|green}", "not made"]),
        (b"a __colour__ cat", ["cat.txt", "__colour__", "not filled in"]),
        (b"a cat, __animals/big_cats__", ["cat.txt", "__animals/big_cats__", "not filled in"]),
        (b"a <random:red|blue> cat", ["cat.txt", "<random:red|blue>", "SwarmUI"]),
        (b"a <wildcard[2]:colour> cat", ["cat.txt", "<wildcard[2]:colour>", "SwarmUI"]),
        (b"(a cat:1.3.4)", ["cat.txt", "1.3.4", "number"]),
        (b"a cat\nSteps: 8, Seed: 1, Hires upscale: 2, Denoising strength: nan", ["hires fix", "8 steps", "strength nan"]),
        (b"a cat\nSteps: 8, Seed: 1, Hires upscale: 2, Denoising strength: 5e-324", ["hires fix", "no schedule"]),
        (b"a cat\nSteps: " + b"9" * 900 + b", Seed: 1, Hires upscale: 2", ["hires fix", "no schedule"]),
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


def test_a_recipe_of_no_width_is_no_fault_of_ours() -> None:
    assert parse("a cat\nSteps: 8, Size: 0x0, Hires resize: 2x2")["width"] == 0, "which is refused with the other settings"


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ('Steps: 8, Model: "a, b", Seed: 5', {"steps": 8, "model": "a, b", "seed": 5}),
        ("Steps: 8,Seed:5,Model:a b", {"steps": 8, "seed": 5, "model": "a b"}),
        ("- /Steps: 8, Seed: 5, Model: x", {"steps": 8, "seed": 5, "model": "x"}),
        ('Steps: 8, Model: "open, Seed: 5', {"steps": 8, "model": '"open', "seed": 5}),
        ('Steps: 8, Model: "a" b, Seed: 5', {"steps": 8, "model": '"a" b', "seed": 5}),
        ("x: 1, Steps: 8, :, Seed: 5, Model: a: b", {"steps": 8, "seed": 5, "model": "a: b"}),
    ],
)
def test_pairs_are_told_apart_as_a1111_does(line: str, settings: dict[str, object]) -> None:
    assert parse(f"a cat\n{line}") == {"prompt": "a cat", **settings, "rng": "nv"}


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


HIRES = "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Denoising strength: 0.7, RNG: CPU"


def hires(more: str) -> Prompt:
    return parse_prompt(f"{HIRES}, {more}".encode(), "cat.txt", characters=20_000)


def test_lines_that_have_nothing_of_a_recipe_but_steps_are_words() -> None:
    for text in ("How to tie a knot.\nSteps: 3, Time: 20 minutes, Serves: 4", "Film: Vertigo, Steps: 39, Place: London"):
        assert parse(text) == {"prompt": text}
        assert not has_parameters(text)


@pytest.mark.parametrize("text", ['{"scene": "a studio", "model": "a tall woman"}', '{"seed": "a sunflower seed", "mood": "calm"}'])
def test_a_picture_told_in_json_is_words(text: str) -> None:
    assert parse(text) == {"prompt": text}


def test_a1111s_hires_fix_is_a_second_pass_with_as_many_steps_as_it_runs() -> None:
    read = hires("Hires upscale: 2, Hires steps: 10, Hires upscaler: Latent")
    wanted = {"upscale": 2.0, "upscale_strength": 0.7, "upscale_steps": 15}
    assert {key: value for key, value in read.settings.items() if key.startswith(("upscale", "strength"))} == wanted
    assert int(15 * 0.7) == 10
    assert not read.notes
    assert hires("Hires upscale: 1.5").settings["upscale_steps"] == 29
    assert hires("Hires resize: 1024x1024").settings["upscale"] == 2.0


def test_what_the_second_pass_cannot_do_as_the_recipe_says_is_named() -> None:
    assert hires("Hires upscale: 2, Hires upscaler: ESRGAN_4x").notes == (
        "the recipe was upscaled by 'ESRGAN_4x', and tiffsd enlarges the latents, bilinear",
    )
    assert "crops, and tiffsd enlarges the whole picture by 2" in hires("Hires resize: 1024x768").notes[0]
    assert "Hires prompt" in hires('Hires upscale: 2, Hires prompt: "a dog"').notes[0]


def test_a_second_pass_is_written_as_it_is_read() -> None:
    recipe = {"prompt": "a cat", "steps": 20, "width": 512, "height": 512, "seed": 1, "scheduler": "euler_a", "guidance_scale": 7.0}
    second = {"upscale": 2.0, "upscale_strength": 0.55, "upscale_steps": 22}
    text = render_infotext({**recipe, **second}, "1.0")
    assert "Denoising strength: 0.55, " in text
    assert "Hires upscale: 2.0, Hires steps: 12, Hires upscaler: Latent" in text
    read = parse_prompt(text.encode(), "cat.txt", characters=20_000).settings
    assert {key: read[key] for key in second} == second


@pytest.mark.parametrize(
    "text", ["a {red} cat", "a|b", "snake_case_words", "a ____ cat", "__", "a cat__b__c", "<random>", "a <cat>"]
)
def test_words_that_only_look_like_choices_are_words(text: str) -> None:
    assert parse(text) == {"prompt": text}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("prompt: a red house\nsteps: 20\nseed: 5", "prompt: a red house"),
        ("a red house\nseed: -1", "seed: -1"),
        ("seed: 5\na red house", "seed: 5"),
        ("a red house\nCFG scale: 7", "CFG scale: 7"),
        ("a red house\nsampler: Euler a", "sampler: Euler a"),
        ("a red house\nnegative: blurry, dark", "negative: blurry, dark"),
        ("a red house\nhold: [diffuse, decode]", "hold: [diffuse, decode]"),
        ("a red house --steps 20 --seed 5", "--steps 20"),
        ("a red house --cfg-scale=7", "--cfg-scale=7"),
    ],
)
def test_settings_without_their_lines_are_asked_about(text: str, line: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse(text)
    assert f"cat.txt: the line {line!r} looks like a setting, and settings stand above the prompt, between two lines of ---" in str(
        refusal.value
    )


@pytest.mark.parametrize(
    "text",
    [
        "model: a tall woman\nin a red dress",
        "style: oil",
        "steps: of a church",
        "seed: of doom",
        "a mask: porcelain",
        "a cat --ar 16:9",
    ],
)
def test_words_with_a_colon_are_words(text: str) -> None:
    assert parse(text) == {"prompt": text}


@pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be", "utf-8-sig"])
def test_what_editors_of_windows_write_is_read(code: str) -> None:
    mark = "" if code == "utf-8-sig" else "\ufeff"
    data = f"{mark}---\r\nsteps: 5\r\n---\r\nein Kätzchen 🐈\r\n".encode(code)
    assert parse_prompt(data, "cat.txt", characters=1000).settings == {"prompt": "ein Kätzchen 🐈", "steps": 5}
    assert settings_file(f"{mark}steps: 5\r\n".encode(code), "cat.yaml") == {"steps": 5}


def test_half_a_character_of_utf_16_is_refused() -> None:
    with pytest.raises(InputError, match="not UTF-16, though it begins as such text"):
        parse_prompt(b"\xff\xfea\0b", "cat.txt", characters=1000)


def test_a_json_object_is_settings_with_the_prompt_among_them() -> None:
    read = parse_prompt(b'{"prompt": "a cat <lora:fur:0.5>", "negative": "dog", "cfg": 4, "steps": 5}', "cat.json", characters=1000)
    assert read.settings == {"prompt": "a cat", "negative_prompt": "dog", "guidance_scale": 4, "steps": 5, "loras": {"fur": 0.5}}


def test_json_in_a_text_is_read_as_such_where_it_has_settings() -> None:
    assert parse('{"prompt": "a cat", "cfg": 4}') == {"prompt": "a cat", "guidance_scale": 4}
    assert parse('{"scene": "a cat"}') == {"prompt": '{"scene": "a cat"}'}, "some models are asked so"


def test_two_parameters_are_enough_where_they_are_sure() -> None:
    assert parse("a cat\nSteps: 8, Seed: 5") == {"prompt": "a cat", "steps": 8, "seed": 5, "rng": "nv"}
    assert parse("a cat\nSteps: 8, mood: calm") == {"prompt": "a cat\nSteps: 8, mood: calm"}


def test_a_graph_of_comfyui_is_read_out_of_a_json_file() -> None:
    graph = {
        "3": {
            "class_type": "KSampler",
            "inputs": {"seed": 5, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "positive": ["6", 0]},
        },
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red house"}},
    }
    read = parse_prompt(json.dumps(graph).encode(), "graph.json", characters=1000)
    assert {key: read.settings[key] for key in ("prompt", "seed", "steps")} == {"prompt": "a red house", "seed": 5, "steps": 2}


@pytest.mark.parametrize(
    "data", [b"[]", b"a cat", b'{"prompt": "a', b'{"3": {"class_type": "Nothing"}}', b'{"prompt": 1, "prompt": 2}']
)
def test_another_json_file_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(InputError, match=r"cat\.json: "):
        parse_prompt(data, "cat.json", characters=1000)


PARAMETERS = "Steps: 8, Sampler: Euler a, CFG scale: 4, Seed: 5, RNG: CPU"
READ = {"steps": 8, "scheduler": "euler_a", "schedule": "normal", "guidance_scale": 4.0, "seed": 5, "rng": "cpu"}


@pytest.mark.parametrize(
    "text",
    [
        f"a cat\nNegative prompt: dog\n{PARAMETERS}",
        f"a cat\nNegative prompt: dog\n{PARAMETERS}\nTemplate: a {{cat|dog}}, Steps: 30\nNegative Template: dog",
        f"a cat\nNegative prompt: dog\n{PARAMETERS}\nhttps://example.org/a,b: c",
        f"a cat Negative prompt: dog {PARAMETERS}",
        f"a cat, Negative prompt: dog, {PARAMETERS}",
        f"a cat\nNegative prompt: dog {PARAMETERS}",
        "a cat\nNegative prompt: dog\n" + PARAMETERS.replace(", ", "\n"),
        "a cat\nNegative prompt: dog\n" + PARAMETERS.replace(", CFG", ",\nCFG"),
        f"a cat\nNegative prompt: dog\n{PARAMETERS}\n\nUsed embeddings: EasyNegative [66a7]",
        f"a cat\n{PARAMETERS}\nNegative prompt: dog",
    ],
)
def test_parameters_are_the_last_line_that_begins_with_steps_and_what_goes_on_with_it(text: str) -> None:
    read = parse_prompt(text.encode(), "cat.txt", characters=1000)
    assert read.settings == {"prompt": "a cat", "negative_prompt": "dog", **READ}
    behind = [line for line in text.split("\n") if line.startswith(("Template", "Negative T", "https", "Used"))]
    assert len([note for note in read.notes if "behind the parameters of the recipe ignored" in note]) == len(behind)


def test_lists_and_objects_without_quotes_are_one_value() -> None:
    resources = '[{"type": "lora", "weight": 0.8, "modelName": "a, b"}, {"type": "checkpoint"}]'
    read = parse_prompt(
        f"a cat\n{PARAMETERS}, Civitai resources: {resources}, Civitai metadata: {{}}".encode(), "x", characters=1000
    )
    assert read.settings == {"prompt": "a cat", **READ}
    assert [note[:20] for note in read.notes] == ["'Civitai resources: ", "'Civitai metadata: {"]


def test_what_a_recipe_says_wrong_is_a_fault_that_another_file_can_mend() -> None:
    read = read_prompt(b"a cat\nSteps: many, Sampler: DPM adaptive, Seed: 5, Size: huge", "cat.txt", characters=1000)
    assert set(read.faults) == {"steps", "scheduler", "width"}
    assert set(read.under({"steps", "width"}).faults) == {"scheduler"}
    assert read.under({"steps", "width", "scheduler"}).usable("cat.txt").settings["seed"] == 5
    with pytest.raises(InputError, match=r"cat\.txt: the recipe says 'Steps: many', expected a number"):
        read.usable("cat.txt")


def test_a_second_pass_without_noise_is_a_fault_and_no_pass_of_another_strength() -> None:
    line = f"a cat\n{PARAMETERS}, Denoising strength: 0, Hires upscale: 2"
    read = read_prompt(line.encode(), "cat.txt", characters=1000)
    assert "upscale_strength" not in read.settings
    assert "makes nothing anew" in read.faults["upscale_strength"]
    assert not read.under({"upscale_strength"}).faults


def test_the_hashes_of_what_a_recipe_does_not_name_are_noted() -> None:
    hashes = 'Lora hashes: "fur: 7c6bad76eb54, add_detail: 7c6b", TI hashes: "EasyNegative: 66a7"'
    read = read_prompt(f"a cat <lora:fur:1>\n{PARAMETERS}, {hashes}".encode(), "cat.txt", characters=1000)
    assert read.inversions == ("EasyNegative",)
    assert [note for note in read.notes if "Lora hashes" in note] == [
        "LoRA 'add_detail' of the recipe's 'Lora hashes' ignored: its prompt does not name it as <lora:add_detail:1>"
    ]


def test_what_cannot_be_seen_in_a_note_is_written_out() -> None:
    prompt = Prompt({}, ("the \x1b[31mline\nbreaks",), faults={"steps": "\u202ex"}, notes_on={"steps": "\x07"})

    assert prompt.notes == (r"the \x1b[31mline\nbreaks",)
    assert (prompt.faults, prompt.notes_on) == ({"steps": r"\u202ex"}, {"steps": r"\x07"})
