"""What results are called: numbered in the order of their seeds, by the setting `name`, never too long, and found by their id."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import InputSources
from daemon.jobs.naming import check_name, stems_of
from daemon.jobs.request import Request
from daemon.names import id_of, output_name, stem_of
from daemon.settings.checking import checked
from daemon.settings.config import Config
from daemon.stages import STAGES
from tests.artifacts import latents
from tests.opening import request_for

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
Read = Callable[..., Request]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_files(stage: str, config: Config | None = None, **files: object) -> Request:
        members = {}
        for role, content in files.items():
            path = tmp_path / {"txt": "cat.txt", "yaml": "cat.yaml", "tiff": "cat.tiff"}[role]
            if isinstance(content, tiffsd.Artifact):
                tiffsd.write(path, content)
            else:
                path.write_text(str(content))
            members[".yaml" if role == "yaml" else "principal"] = path
        return request_for(stage, members, InputSources(config or Config(), tmp_path, tmp_path))

    return read_files


def called(stem: str = "cat", stage: str = "text", config: Config | None = None, **settings: Any) -> list[str]:
    request = Request(stage, checked({"seed": 7, "model": "demo", **settings}, "cat.txt"), {})
    return stems_of(request, stem, config or Config(), NOON)


def test_one_picture_is_called_as_its_file_was() -> None:
    assert called() == ["cat"]
    assert called("what?") == ["what_"]
    assert called("what?", config=Config(names="kept")) == ["what?"]


def test_several_pictures_are_numbered_in_the_order_of_their_seeds() -> None:
    assert called(count=4) == ["cat-1", "cat-2", "cat-3", "cat-4"]
    assert called(count=12)[::11] == ["cat-01", "cat-12"]


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("{stem}", ["cat-1", "cat-2"]),
        ("dog", ["dog-1", "dog-2"]),
        ("{seed}", ["7", "8"]),
        ("{stem} {index}", ["cat 1", "cat 2"]),
        ("{date}_{model}", ["2026-11-30_demo-1", "2026-11-30_demo-2"]),
        ("con", ["con-1", "con-2"]),
    ],
)
def test_a_name_has_fields_and_a_number_where_they_do_not_tell_two_apart(name: str, names: list[str]) -> None:
    assert called(name=name, count=2) == names


def test_variations_of_one_seed_are_numbered_too() -> None:
    assert called(name="{stem}-{seed}", count=2, variation_seed=3, variation_strength=0.5) == ["cat-7-1", "cat-7-2"]


def test_a_name_is_portable_as_all_names_are() -> None:
    assert called(name="con") == ["con_"]
    assert called("c?t", name="{stem}!") == ["c_t!"]


def test_only_a_prompt_makes_several() -> None:
    assert called(stage="diffuse", count=4) == called(stage="decode", count=4) == ["cat"]


@pytest.mark.parametrize("names", ["portable", "kept"])
@pytest.mark.parametrize("name", [None, "{seed} {stem} {index}", "{stem}" * 9, "x" * 100, "\N{CAT}" * 100, "{stem} {stem}"])
@pytest.mark.parametrize("stem", ["x" * 300, "\N{CAT}" * 80, os.fsdecode(b"\xff" * 240)])
def test_whatever_lies_beside_a_file_finds_room_behind_the_longest_name(stem: str, name: str | None, names: Any) -> None:
    found = called(stem, config=Config(names=names), name=name, count=20)
    endings = [ending for stage in STAGES.values() for ending in stage.companions]
    assert len(set(found)) == 20
    for one in found:
        longest = max(len(os.fsencode(f"{one}_step1000.3f9a1c2e{ending}")) for ending in (*endings, ".tiff.restore"))
        assert longest <= (143 if names == "portable" else 255)
        assert (id_of(f"{one}.3f9a1c2e.tiff"), stem_of(f"{one}.3f9a1c2e.tiff")) == ("3f9a1c2e", one)
        assert output_name(one, "3f9a1c2e", ".tiff") == f"{one}.3f9a1c2e.tiff"


def test_the_stem_gives_way_before_what_a_person_has_written() -> None:
    (name,) = called("x" * 200, name="{stem} by night, {seed}")
    assert name.endswith("x by night, 7")
    assert len(name) == 112


def test_a_name_may_stand_in_the_prompt_the_settings_file_and_the_configuration(read: Read) -> None:
    config = Config(defaults={"name": "c {seed}"})
    assert read("text", txt="---\nname: {stem}-{seed}\n---\na cat").settings.name == "{stem}-{seed}"
    assert read("text", txt="---\nname: {stem}\n---\na cat", yaml="name: {index} b").settings.name == "{index} b"
    assert read("text", config, txt="a cat").settings.name == "c {seed}"
    assert read("text", config, txt="---\nname: '{stem}'\n---\na cat").settings.name == "{stem}"


def test_a_name_is_used_up_where_it_was_given(read: Read) -> None:
    assert "name" not in read("text", txt="---\nname: dog\n---\na cat").recipe
    request = read("diffuse", tiff=latents(), yaml="name: dog")
    assert (request.settings.name, request.recipe.get("name")) == ("dog", None)


def test_a_default_name_counts_where_a_prompt_begins_and_not_again_for_its_latents(read: Read) -> None:
    config = Config(defaults={"name": "{date} {stem}"})
    for stage, artifact in (("diffuse", latents()), ("decode", latents(state=tiffsd.State.FINAL))):
        assert read(stage, config, tiff=artifact).settings.name is None


@pytest.mark.parametrize(
    "name", ["{stem}_latent", "{stem}_prompt", "{stem} (conflicted copy)", "{stem}.sync-conflict-20261130-120000"]
)
def test_a_name_that_the_next_inbox_would_not_take_for_a_job_is_refused(read: Read, name: str) -> None:
    with pytest.raises(InputError, match=r"cat.txt: 'name' \(.*\) would make 'cat.*', which the next inbox takes"):
        read("text", txt=f"---\nname: '{name}'\n---\na cat")


def test_a_seed_that_nobody_knows_is_in_no_name() -> None:
    request = Request("decode", checked({"name": "{seed}"}, "cat.yaml"), {})
    with pytest.raises(InputError, match=r"to have the \{seed\} in it, and none is known of these latents; take the field out"):
        check_name(request, "cat.tiff", Config())


def test_words_that_look_like_a_name_are_a_prompt_still(read: Read) -> None:
    assert read("text", txt="name: Bob the builder").settings.prompt == "name: Bob the builder"
