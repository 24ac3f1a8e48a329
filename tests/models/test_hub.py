"""Models by their hub id, with the real client and a hub on this machine: fetched by component, and found again without it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from daemon.models.hub_ids import fetched_folder, is_hub_id
from daemon.models.sources.hub import weights_among
from tests import tiny
from tests.conftest import wait_until
from tests.hub import serving
from tests.running_daemon import RunningDaemon

ID, VAE_ID = "somebody/tiny", "somebody-else/vae-ft-mse"
# A process of its own, because the client reads its surroundings when it is imported.
PROGRAM = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from daemon.errors import ModelMissing
from daemon.models.registry import Models, ModelSpec
models, answers = Models(1 << 30), []
for number, said in enumerate(json.loads(sys.argv[1])):
    load, model = said.pop("load", []), ModelSpec("far", **said)
    try:
        answers.append([models.family(model).name, models.grid(model), *sorted(models.text_parts(model))])
        for name in load:
            save_file(models.component(model, name).state_dict(), Path(sys.argv[2]) / f"{number}-{name}.safetensors")
    except ModelMissing as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def surroundings(root: Path, address: str) -> dict[str, str]:
    """The environment on a machine with its cache in `root`, which finds the hub at an address."""
    switches = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}
    return {**os.environ, **switches, "HF_HOME": str(root / "cache"), "HF_ENDPOINT": address}


def asked(root: Path, address: str, *models: dict[str, Any]) -> list[Any]:
    """What a process on such a machine has to say of some models."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(models), str(root)],
        capture_output=True,
        text=True,
        env=surroundings(root, address),
    )
    assert ran.returncode == 0, ran.stderr
    answers: list[Any] = json.loads(ran.stdout)
    return answers


@pytest.mark.slow
def test_a_hub_id_is_fetched_by_component_and_found_again(tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "model")
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"never asked for")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"never asked for")
    (folder / "whole-model.safetensors").write_bytes(b"never asked for")
    whole = ["Stable Diffusion 1 or 2", 8, "text_encoder", "tokenizer"]

    with serving({ID: folder, VAE_ID: folder / "vae"}) as hub:
        said = asked(
            tmp_path,
            hub.address,
            {"path": ID, "network": True, "load": ["vae"]},
            {"path": ID, "network": True, "vae": VAE_ID, "load": ["vae", "unet"]},
            {"path": "nobody/nothing", "network": False},
            {"path": "nobody/nothing", "network": True},
        )
    assert said[:2] == [whole, whole]
    refused = "the model 'far' cannot be used: "
    assert said[2].startswith(
        f"{refused}there is no such folder or file as 'nobody/nothing'; correct the path in config.yaml, or allow"
    )
    assert said[3].startswith(f"{refused}the hub does not tell of 'nobody/nothing', and nothing of it was fetched before")
    assert sorted(name for name in hub.fetched if name.endswith((".safetensors", ".bin"))) == [
        "diffusion_pytorch_model.safetensors",  # of the other VAE
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    assert_same(tmp_path / "0-vae.safetensors", vae)
    assert_same(tmp_path / "1-vae.safetensors", vae)
    assert_same(tmp_path / "1-unet.safetensors", folder / "unet" / "diffusion_pytorch_model.safetensors")

    # The hub is gone by now.
    models = [{"path": ID, "network": network, "vae": VAE_ID, "load": ["vae", "unet"]} for network in (False, True)]
    assert asked(tmp_path, hub.address, *models) == [whole, whole]


@pytest.mark.thorough
@pytest.mark.slow
def test_the_daemon_tells_how_far_a_download_is_also_while_nothing_comes(tmp_path: Path) -> None:
    """By the real daemon: what its worker says of the hub must be in the daemon's log."""
    folder = tiny.stable_diffusion(tmp_path / "model")
    models = {"far": {"path": ID}, "nowhere": {"path": "nobody/nothing"}}
    small = {"model": "far", "width": 64, "height": 64}
    daemon = RunningDaemon(tmp_path, compute={"network": True}, models=models, defaults=small, stages={"diffuse": {"hold": True}})
    with serving({ID: folder}, halting="text_encoder/model.safetensors") as hub:
        daemon.surroundings = surroundings(tmp_path, hub.address)
        daemon.start()
        try:
            daemon.drop("inbox/1-text", "cat.txt", "a cat")
            far = rf"fetching the text_encoder of {ID}: [\d.]+ kB of at most [\d.]+ kB, \d of \d files after \d+ s"
            wait_until(lambda: re.search(far, daemon.log()), what="it is told how far it is")
            hub.go_on.set()
            daemon.found("hold/2-diffuse/cat.*.tiff")
            daemon.drop("inbox/1-text", "dog.txt", "---\nmodel: nowhere\n---\na dog")
            daemon.found("failed/1-text/dog.*/error.txt")
        finally:
            daemon.close()
    log = daemon.log()
    assert re.search(rf"^fetched the text_encoder of {ID}: [\d.]+ kB in [\d.]+ s$", log, re.MULTILINE)
    assert re.search(r"^the hub does not tell of nobody/nothing \(.*\); looking for what was fetched before$", log, re.MULTILINE)
    assert "HTTP Request" not in log
    assert "%|" not in log, "no bar is drawn"


def assert_same(file: Path, original: Path) -> None:
    found, expected = load_file(file), load_file(original)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["m.safetensors", "m.bin", "m.fp16.safetensors"], ["m.safetensors"]),
        (["m.bin", "m.fp16.safetensors", "m.non_ema.safetensors"], ["m.fp16.safetensors"]),
        (["m.bin", "m.fp16.bin"], ["m.bin"]),
        (
            ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors", "m.safetensors.index.json", "m.fp16.safetensors"],
            ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors", "m.safetensors.index.json"],
        ),
        (["other.safetensors"], []),
    ],
)
def test_weights_of_one_precision_and_form_are_fetched(files: list[str], wanted: list[str]) -> None:
    def within(folder: str, names: list[str]) -> list[str]:
        return [f"{folder}/{re.sub('^m', 'diffusion_pytorch_model', name)}" for name in names]

    assert weights_among([*within("unet", files), *within("vae", files)], "unet") == within("unet", wanted)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("stabilityai/stable-diffusion-2-1", True),
        ("black-forest-labs/FLUX.1-dev", True),
        ("models/sd15.safetensors", False),
        ("/srv/models/sd15", False),
        ("../models", False),
        ("sd15", False),
        ("a/b/c", False),
    ],
)
def test_what_could_be_a_hub_id(path: str, is_one: bool) -> None:
    assert is_hub_id(path) is is_one


def test_of_an_id_that_the_client_finds_fault_with_nothing_was_fetched() -> None:
    assert is_hub_id("some--body/tiny")
    assert fetched_folder("some--body/tiny") is None
