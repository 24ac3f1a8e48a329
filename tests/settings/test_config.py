"""config.yaml: the file and the code say the same, and what is wrong is said in one sentence."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from daemon.errors import ConfigError
from daemon.jobs.request import model_settings
from daemon.settings.config import Config, read_config
from daemon.settings.plain_yaml import read_yaml
from daemon.settings.resources import resource
from daemon.settings.vocabulary import Settings


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_equals_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, resource("config.yaml").read_text(encoding="utf-8"))
    assert read_config(path) == Config(folder=tmp_path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "kept").glob("config-*.yaml")), ids=lambda path: path.stem)
def test_the_file_that_an_earlier_version_shipped_is_taken_as_it_is(path: Path) -> None:
    """Whoever has kept it, and changed a line or two, can start the new version with it."""
    config = read_config(path).model_dump(mode="json")
    assert missing_in(config, read_yaml(path)) == []


def missing_in(config: Any, said: Any) -> list[str]:
    """What was said, and is not in the configuration that came of it."""
    if isinstance(said, dict) and isinstance(config, dict):
        return [f"{key}: {fault}" for key, value in said.items() for fault in missing_in(config.get(key), value)]
    return [] if config == said or (isinstance(said, bool) and isinstance(config, dict)) else [f"{said!r} became {config!r}"]


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "")) == Config(folder=tmp_path)


def keys_of(model: type[BaseModel]) -> list[str]:
    own = [name for name in model.model_fields if name != "folder"]
    inner = [field.annotation for field in model.model_fields.values() if isinstance(field.annotation, type)]
    return own + [name for section in inner if issubclass(section, BaseModel) for name in keys_of(section)]


@pytest.mark.parametrize("key", keys_of(Config))
def test_every_key_stands_in_the_shipped_file_under_a_comment(key: str) -> None:
    lines = resource("config.yaml").read_text(encoding="utf-8").split("\n")
    places = [index for index, line in enumerate(lines) if re.match(rf"\s*{key}:", line)]
    assert places, f"{key} is missing in config.yaml"
    assert any(lines[index - 1].strip().startswith("#") for index in places), f"{key} has no comment above it"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spol: x", ["config.yaml", "line 1: 'spol' is no key (did you mean 'spool'?)"]),
        ("limits:\n  steps: none", ["config.yaml", "line 2: 'limits.steps' must be a whole number (found 'none')"]),
        ("defaults:\n  stepz: 3", ["config.yaml", "stepz", "steps"]),
        ("defaults:\n  width: 100", ["config.yaml", "width", "multiple of 8"]),
        ("compute:\n  device: gpu", ["config.yaml", "'compute.device'", "'gpu'"]),
        ("a: [", ["config.yaml", "YAML"]),
        ("- a", ["config.yaml", "key: value"]),
        ("stages:\n  paint:\n    hold: true", ["config.yaml", "paint"]),
        ("hooks:\n  done: rm -rf /", ["config.yaml", "'hooks.done'", "list"]),
        ("hooks:\n  done: []", ["config.yaml", "'hooks.done'", "must not be empty"]),
        ("hooks:\n  seconds: 0", ["config.yaml", "'hooks.seconds'", "greater than 0"]),
        ("hooks:\n  started: [x]", ["config.yaml", "'hooks.started' is no key"]),
        ("retention:\n  done:\n    days: -1", ["config.yaml", "'retention.done.days'", "greater than 0"]),
        ("models:\n  a: {path: a, parts: {vea: x}}", ["'models.a.parts'", "'vea'", "no component", "vae"]),
        ("models:\n  a: {path: a, parts: {vae: null}}", ["'models.a.parts'", "'vae'", "only text_encoder_3 may be null"]),
        ("models:\n  a: {path: a, parts: [x]}", ["'models.a.parts"]),
        ("retention:\n  pictures:\n    days: 3", ["config.yaml", "'retention.pictures' is no key; known here are done"]),
    ],
)
def test_a_wrong_configuration_is_refused_with_file_key_and_value(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_config(written(tmp_path, text))
    for word in words:
        assert word in str(refusal.value)


def test_a_missing_configuration_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tiffsd init"):
        read_config(tmp_path / "config.yaml")


def test_the_spool_is_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, "spool: pics")).spool_folder == tmp_path / "pics"


def test_defaults_that_are_left_out_stay(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "defaults:\n  steps: 30\n"))
    assert config.defaults["steps"] == 30
    assert config.defaults["model"] == "demo"


def test_a_stage_holds_where_the_configuration_says_so(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "stages:\n  diffuse:\n    hold: true\n"))
    assert config.holds("diffuse")
    assert not config.holds("decode")


def test_limits_of_a_shelf_that_are_left_out_stay_and_null_takes_one_away(tmp_path: Path) -> None:
    retention = read_config(written(tmp_path, "retention:\n  done:\n    days: 3\n  previews:\n    gb: null\n")).retention
    assert (retention.done.days, retention.done.gb) == (3, 20)
    assert (retention.previews.days, retention.previews.gb) == (30, None)
    assert retention.failed.days == 180


def test_a_model_has_defaults_of_its_own_over_the_common_ones(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "models:\n  flux: {path: x, defaults: {scheduler: Flow Euler, width: 1024}}\n"))
    assert (config.defaults_for("flux")["scheduler"], config.defaults_for("flux")["width"]) == ("flow_euler", 1024)
    assert config.defaults_for("flux")["steps"] == config.defaults_for(None)["steps"] == config.defaults["steps"]
    with pytest.raises(ConfigError, match=r"line 2: 'models.flux.defaults.widht' is no setting"):
        read_config(written(tmp_path, "models:\n  flux: {path: x, defaults: {widht: 1024}}\n"))


def test_paths_start_at_the_configuration_and_hub_ids_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "t5.safetensors").touch()
    config = read_config(
        written(
            tmp_path,
            "models:\n  one: {path: models/gone.ckpt, parts: models}\n"
            "  two: {path: somebody/model, parts: {text_encoder_2: models/t5.safetensors, vae: a/b, text_encoder_3: null}}\n"
            "  three: {path: models/t5.safetensors}\nvaes: {mine: somebody/vae}\n",
        )
    )
    t5 = str(tmp_path / "models" / "t5.safetensors")
    assert [config.model_path(name) for name in ("one", "two", "three")] == [
        str(tmp_path / "models/gone.ckpt"),
        "somebody/model",
        t5,
    ]
    assert config.model_parts("one") == str(tmp_path / "models")
    assert config.model_parts("two") == {"text_encoder_2": t5, "vae": "a/b", "text_encoder_3": None}
    assert config.model_parts("three") is None
    assert config.vae("mine") == "somebody/vae"


def test_a_stage_has_a_device_and_a_precision_of_its_own(tmp_path: Path) -> None:
    lines = "models: {m: {path: x, dtype: float16}}\nstages: {text: {device: cpu, dtype: float32}}\ncompute: {device: cuda}\n"
    config = read_config(written(tmp_path, lines))
    text, diffuse = (model_settings(Settings(model="m"), config, stage) for stage in ("text", "diffuse"))
    assert (text["device"], text["dtype"]) == ("cpu", "float32")
    assert (diffuse["device"], diffuse["dtype"]) == ("", "float16")


def test_a_stage_has_a_settle_time_of_its_own_and_the_longer_one_counts_where_no_lease_is_had(tmp_path: Path) -> None:
    lines = "stages: {text: {settle_seconds: 8}, diffuse: {settle_seconds: 1}}\nwatch: {settle_seconds: 0.5}\n"
    config = read_config(written(tmp_path, lines))
    assert [config.settle_seconds(stage) for stage in ("text", "diffuse", "decode")] == [8, 1, 0.5]
    assert [config.settle_unleased_seconds(stage) for stage in ("text", "diffuse", "decode")] == [8, 5, 5]


@pytest.mark.parametrize("spool", ["~nosuchuser/x", '"a\\0b"'])
def test_a_spool_that_can_be_no_folder_is_said_in_a_sentence(tmp_path: Path, spool: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"spool: {spool}\n")
    with pytest.raises(ConfigError, match="cannot be a folder"):
        _ = read_config(path).spool_folder


@pytest.mark.parametrize(
    ("said", "workers", "slots"),
    [("", 1, 3), ("", 8, 24), ("compute: {ahead: 1}", 2, 4), ("compute: {batch: 4}\ndefaults: {fast: true}", 1, 10)],
)
def test_so_many_jobs_are_in_flight_as_keep_the_workers_busy(tmp_path: Path, said: str, workers: int, slots: int) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(said)
    assert read_config(path).slots(workers) == slots


def test_a_model_that_names_a_scheduler_does_not_inherit_the_schedule_of_another(tmp_path: Path) -> None:
    said = "defaults: {scheduler: euler, schedule: karras}\nmodels: {other: {path: builtin, defaults: {scheduler: ddim}}}"
    defaults = read_config(written(tmp_path, said)).defaults_for("other")
    assert (defaults["scheduler"], defaults.get("schedule")) == ("ddim", None)
