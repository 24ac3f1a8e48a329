"""References become paths of another machine: of what has the same bits there, whatever it is called, and of nothing else."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from daemon.compute.remote import fingerprints
from daemon.compute.remote.references import NoReference, Reference
from daemon.compute.remote.shelf import FETCHED, Lacking
from daemon.jobs.request import Request, stage_calls
from daemon.models.registry import Models, ModelSpec
from daemon.settings.checking import checked
from daemon.stages import text
from tests import tiny
from tests.adapters import kohya, text_layers, written
from tests.compute.remote.machines import ROOM, Machine, named, travelled
from tests.compute.remote.test_fingerprints import LARGE, flip, offset_between_blocks
from tests.parts import quiet

pytestmark = pytest.mark.usefixtures("fixed_threads")

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tiny models, a LoRA and a textual inversion."""
    root = tmp_path_factory.mktemp("made")
    found = {name: tiny.stable_diffusion(root / name, seed=seed) for seed, name in enumerate(("one", "two"))}
    encoder = Models(1 << 30).component(ModelSpec("tiny", str(found["one"])), "text_encoder")
    vectors = torch.randn((2, 16), generator=torch.Generator().manual_seed(3))
    return {
        **found,
        "lora": written(root / "lora.safetensors", kohya("lora_te_", text_layers(encoder))),
        "toy": written(root / "toy.safetensors", {"toy": vectors}),
    }


@pytest.fixture
def front(made: dict[str, Path], tmp_path: Path) -> Machine:
    """A machine that knows all of them."""
    folder = tmp_path / "front"
    for kind, name, file in (("loras", "ink", "lora"), ("words", "toy", "toy")):
        (folder / kind).mkdir(parents=True)
        shutil.copy(made[file], folder / kind / f"{name}.safetensors")
    return Machine(
        folder,
        {
            "models": {"tiny": {"path": str(made["one"]), "parts": {"unet": str(made["two"] / "unet"), "text_encoder_3": None}}},
            "vaes": {"soft": str(made["two"])},
            "adapters": {"loras": "loras", "textual_inversions": "words"},
            "compute": {"scratch": "/front/scratch", "network": True},
            "stages": {"decode": {"device": "cuda:1"}, "text": {"device": "cuda:2"}},
        },
    )


@pytest.fixture
def node(tmp_path: Path) -> Machine:
    """A machine that knows nothing but what the program brings."""
    (tmp_path / "node").mkdir()
    return Machine(tmp_path / "node")


def asked(front: Machine) -> dict[str, Any]:
    """The settings of a call that needs each kind of model."""
    given = {"prompt": "a <lora:ink:0.7> toy", "model": "tiny", "vae": "soft", "seed": 7, "loras": {"ink": 0.7}}
    request = Request("text", checked({**given, "width": 64, "height": 64, "guidance_scale": 4.0}, "cat.txt"), {})
    return dict(stage_calls(request, front.config)[0].settings)


def bits(settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """What a worker makes of settings: the results of a stage, and the weights of the other components."""
    models, here = Models(1 << 30), {**settings, "model": {**settings["model"], "device": "cpu"}}
    out, _ = text.run(models, {}, here, quiet)
    spec = ModelSpec.of(here)
    weights = {f"{name}.{key}": t for name in ("unet", "vae") for key, t in models.component(spec, name).state_dict().items()}
    return {**out, **weights}


def assert_same_bits(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    ours, theirs = bits(found), bits(expected)
    assert ours.keys() == theirs.keys()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


def paths(value: object) -> list[str]:
    """All that looks like a path in settings."""
    if isinstance(value, Mapping):
        return [path for inner in value.values() for path in paths(inner)]
    if isinstance(value, list | tuple):
        return [path for inner in value for path in paths(inner)]
    return [value] if isinstance(value, str) and value.startswith("/") else []


def lacking(machine: Machine, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(Lacking) as caught:
        machine.shelf.resolve(settings)
    return [(found.kind, found.name) for found in map(Reference.read, caught.value.references)]


def test_what_a_machine_has_by_name_gives_the_same_bits(front: Machine, node: Machine, made: dict[str, Path]) -> None:
    for source, target in ((made["one"], "m/one"), (made["two"], "m/two"), (made["two"] / "unet", "m/unet")):
        shutil.copytree(source, node.folder / target)
    shutil.copytree(front.folder / "loras", node.folder / "l")
    shutil.copytree(front.folder / "words", node.folder / "w")
    node.said = {
        "models": {"tiny": {"path": "m/one", "parts": {"unet": "m/unet"}}},
        "vaes": {"soft": "m/two/vae"},
        "adapters": {"loras": "l", "textual_inversions": "w"},
    }
    settings = asked(front)
    found = node.shelf.resolve(travelled(settings, front))
    assert [path for path in paths(found) if path != "/node/scratch" and not path.startswith(str(node.folder))] == []
    assert len(paths(found)) == 6
    assert_same_bits(found, settings)


def test_the_same_files_under_other_names_give_the_same_bits(front: Machine, node: Machine, made: dict[str, Path]) -> None:
    (node.folder / "l" / "deep").mkdir(parents=True)
    shutil.copy(made["lora"], node.folder / "l" / "deep" / "another.safetensors")
    shutil.copy(made["toy"], node.folder / "l" / "word.safetensors")
    node.said = {
        "models": {"cats": {"path": str(made["one"])}, "dogs": {"path": str(made["two"])}},
        "adapters": {"loras": "l"},
    }
    settings = asked(front)
    found = node.shelf.resolve(travelled(settings, front))
    assert found["model"]["vae"] == str(made["two"] / "vae")
    assert found["loras"][0]["name"] == "ink"
    assert_same_bits(found, settings)


def test_the_model_of_the_program_is_on_every_machine(front: Machine, node: Machine) -> None:
    front.said = {}
    node.said = {"models": {"tiny": {"path": "nowhere"}}}
    demo = front.config.model_path("demo")
    assert node.shelf.resolve(travelled(named(demo, "demo"), front))["model"]["path"] == demo


def test_room_device_and_leave_for_the_network_are_the_machines_own(front: Machine, node: Machine, made: dict[str, Path]) -> None:
    node.said = {"models": {"tiny": {"path": str(made["one"])}}}
    settings = travelled(named(made["one"]), front)
    smuggled = {**settings, "room": {"memory_bytes": 9, "scratch": "/etc"}}
    smuggled["model"] = {**settings["model"], "device": "cuda:7", "network": True}
    for arrived in (settings, smuggled):
        found = node.shelf.resolve(arrived)
        assert found["room"] == ROOM
        assert (found["model"]["device"], found["model"]["network"]) == ("cpu", False)


def test_all_that_is_lacking_is_said_at_once(front: Machine, node: Machine) -> None:
    expected = [("model", "tiny"), ("vae", "soft"), ("part", "tiny/unet"), ("lora", "ink"), ("textual_inversion", "toy")]
    settings = travelled(asked(front), front)
    assert lacking(node, settings) == expected
    json.dumps(caught_references(node, settings))
    with pytest.raises(Lacking, match=r"this machine lacks the model 'tiny' \(0.00 GB in \d+ files\); the vae 'soft'"):
        node.shelf.resolve(settings)


def caught_references(node: Machine, settings: Mapping[str, Any]) -> list[Any]:
    with pytest.raises(Lacking) as caught:
        node.shelf.resolve(settings)
    return caught.value.references


def test_another_model_of_the_same_name_is_not_used(front: Machine, node: Machine, made: dict[str, Path]) -> None:
    node.said = {"models": {"tiny": {"path": str(made["two"])}}}
    assert lacking(node, travelled(named(made["one"]), front)) == [("model", "tiny")]


@pytest.mark.parametrize("change", ["one bit", "a file more", "a file less", "a setting"])
def test_a_model_with_any_difference_is_not_used(
    change: str, front: Machine, node: Machine, made: dict[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(made["one"], tmp_path / "copy")
    node.said = {"models": {"tiny": {"path": str(copy)}}}
    settings = travelled(named(made["one"]), front)
    node.shelf.resolve(settings)
    if change == "one bit":
        flip(copy / UNET, (copy / UNET).stat().st_size // 2)
    elif change == "a file more":
        shutil.copy(copy / UNET, copy / "unet/diffusion_pytorch_model.fp16.safetensors")
    elif change == "a file less":
        (copy / "tokenizer/tokenizer_config.json").unlink()
    else:
        (copy / "scheduler/scheduler_config.json").write_text("{}")
    assert lacking(node, settings) == [("model", "tiny")]


def test_one_weight_that_no_sample_sees_is_told_apart_before_it_is_used(front: Machine, node: Machine, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    save_file({"weight": torch.arange(LARGE // 4, dtype=torch.float32)}, ours)
    shutil.copy(ours, theirs)
    size = ours.stat().st_size
    flip(theirs, offset_between_blocks(size))
    counts = front.fingerprints
    assert counts.sampled(ours) == counts.sampled(theirs)
    assert not torch.equal(load_file(ours)["weight"], load_file(theirs)["weight"])
    node.said = {"models": {"tiny": {"path": str(theirs)}}}
    assert lacking(node, travelled(named(ours), front)) == [("model", "tiny")]
    flip(theirs, offset_between_blocks(size))
    assert node.shelf.resolve(travelled(named(ours), front))["model"]["path"] == str(theirs)


def test_a_readme_or_a_checkout_beside_makes_no_difference(
    front: Machine, node: Machine, made: dict[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(made["one"], tmp_path / "copy")
    (copy / ".git").mkdir()
    (copy / ".git" / "config").write_text("[core]")
    (copy / "README.md").write_text("# Tiny")
    node.said = {"models": {"tiny": {"path": str(copy)}}}
    assert node.shelf.resolve(travelled(named(made["one"]), front))["model"]["path"] == str(copy)


def test_nothing_is_read_again_for_the_next_call_nor_after_a_restart(
    front: Machine, node: Machine, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    node.said = {"models": {"tiny": {"path": str(made["one"])}}}
    settings = travelled(named(made["one"]), front)
    shelf = node.shelf
    shelf.resolve(settings)

    def refuse(*_: int) -> str:
        raise AssertionError("a file is read again")

    monkeypatch.setattr(fingerprints, "COUNTS", {"sampled": refuse, "full": refuse})
    shelf.resolve(settings)
    node.shelf.resolve(settings)
    assert travelled(named(made["one"]), front) == settings


def test_a_model_that_was_fetched_is_found_by_its_files(front: Machine, node: Machine, made: dict[str, Path]) -> None:
    settings = travelled(named(made["one"]), front)
    digest = Reference.read(settings["model"]["path"]).digest
    fetched = shutil.copytree(made["one"], node.cache / FETCHED / digest)
    before = fetched.stat().st_mtime_ns
    os.utime(fetched, ns=(0, 0))
    found = node.shelf.resolve(settings)
    assert found["model"]["path"] == str(fetched)
    assert fetched.stat().st_mtime_ns >= before, "it is noted that it was used"
    flip(fetched / UNET, 2000)
    assert lacking(node, settings) == [("model", "tiny")]


def test_a_single_file_that_was_fetched_is_found(front: Machine, node: Machine, made: dict[str, Path]) -> None:
    settings = {**named(made["one"]), "textual_inversions": {"toy": str(made["toy"])}}
    arrived = travelled(settings, front)
    folder = node.cache / FETCHED / Reference.read(arrived["textual_inversions"]["toy"]).digest
    folder.mkdir(parents=True)
    shutil.copy(made["toy"], folder / "model.safetensors")
    node.said = {"models": {"tiny": {"path": str(made["one"])}}}
    assert node.shelf.resolve(arrived)["textual_inversions"] == {"toy": str(folder / "model.safetensors")}


def with_path(settings: dict[str, Any], *way: Any, value: Any) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(settings))
    inner = changed
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = value
    return changed


PLACES = [
    ("model", "path"),
    ("model", "vae"),
    ("model", "parts"),
    ("model", "parts", "unet"),
    ("loras", 0, "path"),
    ("textual_inversions", "toy"),
]


@pytest.mark.parametrize("way", PLACES, ids=str)
def test_what_is_no_reference_is_refused_wherever_one_is_expected(
    way: tuple[Any, ...], front: Machine, node: Machine, made: dict[str, Path]
) -> None:
    node.said = {"models": {name: {"path": str(made[name])} for name in ("one", "two")}}
    shelf, settings = node.shelf, travelled(asked(front), front)
    for value in ("/etc/passwd", "../secret", "owner/name", "", 7, True, [], {"path": "/etc/passwd"}):
        with pytest.raises(NoReference, match="the other machine sent"):
            shelf.resolve(with_path(settings, *way, value=value))


STRANGE: list[tuple[tuple[Any, ...], Any]] = [
    (("model",), "/etc/passwd"),
    (("model",), None),
    (("model", "name"), None),
    (("model", "dtype"), ["float32"]),
    (("model", "variant"), "fp16"),
    (("model", "fast"), "yes"),
    (("loras",), "/etc/passwd"),
    (("loras",), {"a": 1}),
    (("loras", 0), "/etc/passwd"),
    (("loras", 0, "text"), "1"),
    (("loras", 0, "scratch"), "/etc"),
    (("textual_inversions",), "/etc/passwd"),
    (("model", "parts", "program"), None),
    (("scratch",), "/etc"),
    (("vae",), "/etc"),
]


def test_settings_that_no_front_sends_are_refused(front: Machine, node: Machine) -> None:
    shelf, settings = node.shelf, travelled(asked(front), front)
    for way, value in STRANGE:
        with pytest.raises(NoReference):
            shelf.resolve(with_path(settings, *way, value=value))


def test_a_reference_of_another_kind_is_refused(front: Machine, node: Machine, made: dict[str, Path]) -> None:
    node.said = {"models": {"tiny": {"path": str(made["one"])}}}
    settings = travelled(named(made["one"]), front)
    as_lora = replace(Reference.read(settings["model"]["path"]), kind="lora")
    with pytest.raises(NoReference, match="sent a lora where a model is expected"):
        node.shelf.resolve(with_path(settings, "model", "path", value=as_lora.written()))
