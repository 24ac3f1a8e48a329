"""What people look up of the settings is the registry: the page in docs/, and the command."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from daemon.cli import app
from daemon.errors import InputError
from daemon.settings.checking import checked, counting
from daemon.settings.prompts import parse_prompt
from daemon.settings.reference import page, rows
from daemon.settings.vocabulary import ALIASES, INPUT_KINDS, INPUT_KINDS_OF, REGISTRY, Settings, kind_of
from daemon.stages import STAGES

PAGE = Path(__file__).resolve().parents[2] / "docs/settings.md"


def test_the_page_is_made_of_the_registry() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m daemon.settings.reference > docs/settings.md"


def test_every_setting_has_an_entry_with_a_sentence_and_somewhere_to_count() -> None:
    assert REGISTRY.keys() == Settings.model_fields.keys()
    for name, setting in REGISTRY.items():
        assert setting.help.endswith("."), name
        assert setting.counts, name
        assert setting.needs is None or setting.needs in REGISTRY


def test_every_stage_has_doors_and_every_door_a_stage() -> None:
    assert INPUT_KINDS_OF.keys() == STAGES.keys()
    assert sorted(input_kind for input_kinds in INPUT_KINDS_OF.values() for input_kind in input_kinds) == sorted(INPUT_KINDS)


def test_no_name_of_a_setting_means_another() -> None:
    names = [*REGISTRY, *(alias for setting in REGISTRY.values() for alias in setting.aliases)]
    assert len(names) == len(set(names))


def test_ranges_are_told_as_they_are_checked() -> None:
    told = {row.name: row.value for row in rows()}
    assert told["width"] == "whole number, from 8, up to 16384"
    assert told["strength"] == "number, from 0, up to 1"
    assert told["prompt_influence"] == "number, from -100, up to 100"
    assert kind_of("stop_at") is object


def test_the_command_tells_all_settings_for_programs_and_one_for_people() -> None:
    told = json.loads(CliRunner().invoke(app, ["settings", "--json"]).output)
    assert [row["name"] for row in told] == list(REGISTRY)
    said = CliRunner().invoke(app, ["settings", "cfg_scale"]).output
    assert said.startswith("guidance_scale: How strongly")
    assert "A1111: CFG scale" in said
    refused = CliRunner().invoke(app, ["settings", "stepz"])
    assert isinstance(refused.exception, InputError)


@pytest.mark.parametrize(("alias", "name"), sorted(ALIASES.items()))
def test_a_setting_may_be_given_by_another_name(alias: str, name: str) -> None:
    others = {"scheduler": "euler", "schedule": "karras", "negative_prompt": "a dog", "prompt": "a cat"}
    value = {**others, "upscale": 2.0, "steps": 3, "ensd": 4, "variation_seed": 5}.get(name, 0.5)
    assert checked({alias: value}, "cat.txt").given() == {name: value}
    assert parse_prompt(f"---\n{alias}: {value}\n---\na cat".encode(), "cat.txt", characters=100).settings[name] == value


def test_a_setting_that_is_given_twice_under_two_names_is_refused() -> None:
    with pytest.raises(InputError, match="'cfg_scale' is another name of 'guidance_scale'"):
        checked({"guidance_scale": 4.0, "cfg_scale": 5.0}, "cat.txt")


def test_what_does_not_count_is_taken_out_and_named() -> None:
    kept, notes = counting("latents to decode", {"steps": 5, "vae": "other", "width": 64})
    assert kept == {"vae": "other"}
    assert notes == (
        "steps ignored: it does not count for latents to decode",
        "width ignored: it does not count for latents to decode (latents have their size)",
    )


@pytest.mark.parametrize("said", [{"sampler": "euler", "scheduler": "karras"}, {"scheduler": "karras", "sampler": "euler"}])
def test_who_means_the_schedule_by_scheduler_is_told_its_name(said: dict[str, str]) -> None:
    words = r"'sampler' is another name of 'scheduler', and both .* \(how the noise levels lie is 'schedule'\)"
    with pytest.raises(InputError, match=words):
        checked(said, "cat.txt")
