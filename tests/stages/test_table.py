"""The table of the stages: what it says is there, and all that knows the stages knows each of them."""

import importlib
from pathlib import Path

import pytest

from daemon.cli import MODULES
from daemon.commands.steps import COMMANDS, command_of
from daemon.jobs.intake.readers import READERS
from daemon.service.inboxes import ORDER
from daemon.service.service import Service
from daemon.settings.config import Config
from daemon.stages import STAGES, Gives, Stage, downstream_first


def test_each_stage_has_its_maths_a_reader_and_a_command() -> None:
    assert [*READERS] == [*STAGES]
    assert [*COMMANDS] == [*STAGES] == [name for name, module in MODULES.items() if module == "steps"]
    assert [name for name in STAGES if not callable(importlib.import_module(f"daemon.stages.{name}").run)] == []


def test_each_stage_is_scanned_and_its_folder_is_its_own(tmp_path: Path) -> None:
    service = Service(Config.model_validate({"folder": tmp_path}))
    assert sorted(service.inboxes) == sorted(ORDER) == sorted(STAGES)
    assert len({stage.folder for stage in STAGES.values()}) == len(STAGES)


def test_a_stage_names_others_that_are_there() -> None:
    named = {name for stage in STAGES.values() for name in (stage.next, *stage.instead.values()) if name}
    assert named <= STAGES.keys()
    assert [name for name, stage in STAGES.items() if (stage.next is None) != (stage.gives is Gives.PICTURE)] == []


def test_what_is_nearly_done_is_scanned_first() -> None:
    assert downstream_first() == ("decode", "diffuse", "invert", "encode", "text")


@pytest.mark.parametrize("following", ["toy", "other", None])
def test_the_order_has_every_stage_also_where_results_go_round(following: str | None) -> None:
    toys = {"toy": Stage("toy", "toy", (".tiff",), next=following), "other": Stage("other", "other", (".tiff",), next="toy")}
    assert sorted(downstream_first(toys)) == ["other", "toy"]
    assert downstream_first(toys)[0] == "toy" or following == "other"


def test_a_stage_without_a_command_of_its_own_runs_on_a_file() -> None:
    assert command_of("text") is COMMANDS["text"]
    assert [parameter.name for parameter in command_of("toy").params] == ["file", "output", "config"]
