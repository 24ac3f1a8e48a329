"""The vocabulary of settings: what is refused, and with which sentence."""

import pytest

from daemon.errors import InputError
from daemon.settings.checking import checked, layered
from daemon.settings.vocabulary import Settings


def test_settings_that_are_right_come_back_as_given() -> None:
    given = {"prompt": "a cat", "steps": 30, "width": 768, "height": 512, "guidance_scale": 7.5, "seed": 42}
    assert checked(given, "cat.txt").given() == given


def test_a_whole_number_may_stand_for_a_float() -> None:
    assert checked({"guidance_scale": 7}, "cat.txt").guidance_scale == 7.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stepz": 30}, ["cat.txt", "'stepz' is no setting", "did you mean 'steps'"]),
        ({"width": 500}, ["cat.txt", "'width'", "not a multiple of 8", "496 or 504", "500"]),
        ({"scheduler": "eulr"}, ["cat.txt", "'scheduler'", "eulr", "euler"]),
        ({"seed": -2}, ["cat.txt", "'seed'", "must be at least 0", "-2"]),
        ({"seed": 2**64}, ["cat.txt", "'seed'", "must be less than 18446744073709551616"]),
        ({"rng": "gpu"}, ["cat.txt", "'rng'", "use cpu, or nv"]),
        ({"variation_strength": 1.5}, ["cat.txt", "'variation_strength'", "must be at most 1"]),
        ({"steps": 0}, ["cat.txt", "'steps'", "must be at least 1", "0"]),
        ({"steps": "many"}, ["cat.txt", "'steps'", "must be a whole number", "'many'"]),
        ({"steps": True}, ["cat.txt", "'steps'"]),
        ({"guidance_scale": float("nan")}, ["cat.txt", "'guidance_scale'", "finite"]),
        ({"model": "../secret"}, ["cat.txt", "'model'", "never a path"]),
        ({"hold": "paint"}, ["cat.txt", "'hold'", "text, diffuse, decode, encode"]),
        ({"fast": "very"}, ["cat.txt", "'fast'", "must be true or false"]),
        ({"prompt": "a cat\ud800"}, ["cat.txt", "'prompt'", "lone surrogate", "take it out", "'a cat\\ud800'"]),
        ({"mask": "m.png"}, ["cat.txt", "'mask'", "_mask.png"]),
        ({"then": "pictures"}, ["cat.txt", "'then'"]),
        (
            {"name": "{stem}-{sed}"},
            ["cat.txt", "'name' has no field {sed}", "did you mean {seed}?", "{stem}, {seed}, {index}, {model}"],
        ),
        ({"name": "../{stem}"}, ["cat.txt", "'name'", "never a path", "'../{stem}'"]),
        ({"name": "a\\b"}, ["cat.txt", "'name'", "never a path"]),
        ({"name": "cat: {seed}"}, ["cat.txt", "'name' holds ':'", "Windows"]),
        ({"name": "{stem"}, ["cat.txt", "'name'", "a brace that belongs to no field"]),
        ({"name": ".{stem}"}, ["cat.txt", "'name'", "neither with a dot"]),
        ({"name": "~cat"}, ["cat.txt", "'name'", "nor with a tilde"]),
        ({"name": " cat"}, ["cat.txt", "'name'", "no space at either end"]),
        ({"name": ""}, ["cat.txt", "'name'", "1 to 100 characters"]),
        ({"name": "x" * 101}, ["cat.txt", "'name'", "1 to 100 characters"]),
        ({"name": 5}, ["cat.txt", "'name'", "must be text"]),
        ({"priority": 101}, ["cat.txt", "'priority'", "100"]),
        ({"priority": "high"}, ["cat.txt", "'priority'", "must be a whole number"]),
    ],
)
def test_a_wrong_setting_is_refused_with_file_key_and_way_out(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        checked(values, "cat.txt")
    for word in words:
        assert word in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as refusal:
        checked({"stepz": 30, "width": 500, "wobble": 1, "seed": -2}, "cat.txt")
    said = str(refusal.value)
    assert said.startswith("cat.txt: 'seed'")
    assert "'width' is not a multiple" in said
    for words in ("'seed' must be at least 0", "'stepz' is no setting (did you mean 'steps'?)", "'wobble' is no setting"):
        assert said.count(words) == 1
    assert said.index("'stepz'") < said.index("'wobble'") < said.index("; known are ")


def test_of_very_many_mistakes_the_others_are_counted() -> None:
    with pytest.raises(InputError, match=r"and 6 more$"):
        checked({f"stepz_{number}": 1 for number in range(10)}, "cat.txt")


def test_the_later_layer_wins_and_none_says_nothing() -> None:
    assert layered({"steps": 20, "seed": 1}, {"steps": 30, "seed": None}) == {"steps": 30, "seed": 1}


def test_stops_are_put_in_order_and_each_counts_once() -> None:
    assert checked({"stop_at": [12, 6, 12]}, "cat.txt").stop_at == [6, 12]
    assert checked({"stop_at": 12}, "cat.txt").stop_at == 12


def test_the_names_of_a1111_are_understood() -> None:
    for name, scheduler, schedule in (("DPM++ 2M Karras", "dpmpp_2m", "karras"), ("Euler a", "euler_a", "normal")):
        assert checked({"scheduler": name}, "cat.txt").given() == {"scheduler": scheduler, "schedule": schedule}


def test_a_schedule_goes_with_the_scheduler_that_it_was_said_for() -> None:
    below = {"scheduler": "dpmpp_2m", "schedule": "karras"}
    assert layered(below, {"scheduler": "euler"}) == {"scheduler": "euler"}
    assert layered(below, {"schedule": "exponential"}) == {"scheduler": "dpmpp_2m", "schedule": "exponential"}
    assert layered(below, {"scheduler": "euler", "schedule": "simple"}) == {"scheduler": "euler", "schedule": "simple"}
    assert layered(below, {"scheduler": "dpmpp-2m"}) == {"scheduler": "dpmpp-2m", "schedule": "karras"}
    assert layered(below, {"scheduler": "DPM++ 2M"}) == {"scheduler": "DPM++ 2M"}


def test_an_eta_goes_with_the_scheduler_and_the_schedule_that_it_was_said_for() -> None:
    below = {"scheduler": "euler_a", "eta": 0.0, "steps": 8}
    assert layered(below, {"scheduler": "Euler a"}) == {"scheduler": "Euler a", "steps": 8}
    assert layered(below, {"schedule": "karras"}) == {"scheduler": "euler_a", "schedule": "karras", "steps": 8}
    assert layered(below, {"scheduler": "ddim", "eta": 0.5}) == {"scheduler": "ddim", "eta": 0.5, "steps": 8}
    assert layered(below, {"steps": 9}) == {"scheduler": "euler_a", "eta": 0.0, "steps": 9}


def test_the_schedule_that_is_said_wins_over_that_of_the_name() -> None:
    said = checked({"scheduler": "DPM++ 2M Karras", "schedule": "SGM Uniform"}, "cat.txt")
    assert (said.scheduler, said.schedule) == ("dpmpp_2m", "sgm_uniform")
    spaced = checked({"scheduler": "dpmpp_2m_karras", "schedule": "simple"}, "cat.txt")
    assert (spaced.scheduler, spaced.schedule) == ("dpmpp_2m", "simple")


@pytest.mark.parametrize("key", ["CFG scale", "cfg-scale", "CFG_SCALE", "cfg scale", "Distilled CFG Scale"])
def test_a_setting_may_be_given_by_its_key_in_a_recipe_of_a1111(key: str) -> None:
    assert checked({key: 3.5}, "cat.txt").given() == {"guidance_scale": 3.5}


def test_a_seed_has_64_bits_and_minus_one_is_none() -> None:
    assert checked({"seed": 2**64 - 1}, "cat.txt").seed == 2**64 - 1
    assert checked({"seed": -1, "variation_seed": -1}, "cat.txt").given() == {}


def test_every_setting_is_none_until_somebody_gives_it() -> None:
    assert Settings().given() == {}


def test_who_draws_the_noise_is_read_in_capitals_too_and_otherwise_refused_with_a_way_out() -> None:
    assert checked({"RNG": "NV"}, "cat.txt").rng == "nv"
    with pytest.raises(InputError, match="'rng' is not known: use cpu, or nv for the noise of a GPU"):
        checked({"rng": "GPU"}, "cat.txt")
