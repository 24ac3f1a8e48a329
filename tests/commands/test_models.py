"""What `tiffsd models` says of the models: family, size, precision, and each thing that can be wrong with one."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from daemon import cli
from daemon.commands.models import list_models
from daemon.models import comparison
from daemon.models.comparison import Model, misfits
from daemon.models.families import FAMILIES
from daemon.models.on_disk import examined, examined_vae
from daemon.settings.config import read_config
from daemon.settings.resources import resource
from tests import originals, tiny
from tests.full_size import parts_of, write_holes
from tests.hub import REVISION
from tests.thorough import mostly_thorough

MAKERS: dict[str, Callable[[Path], Path]] = {
    "Stable Diffusion 1 or 2": tiny.stable_diffusion,
    "Stable Diffusion XL": lambda path: tiny.stable_diffusion_xl(path, refiner=True),
    "Stable Diffusion 3": lambda path: tiny.stable_diffusion_3(path, with_t5=False),
    "Flux": tiny.flux,
}


@pytest.mark.parametrize("family", MAKERS)
def test_a_whole_model_has_a_family_a_size_and_no_faults(family: str, tmp_path: Path) -> None:
    found = examined(MAKERS[family](tmp_path / "model"))
    weights = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    assert (found.family, found.size_bytes, found.dtypes, found.faults) == (family, weights, ("F32",), ())


def test_of_weights_in_two_precisions_one_is_counted(tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "model")
    whole = examined(folder).size_bytes
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.with_name("diffusion_pytorch_model.fp16.safetensors").write_bytes(weights.read_bytes())
    assert examined(folder).size_bytes == whole


def cut_off(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def pointer(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")


def damaged(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x10" + bytes(7) + b"not JSON at all.")


def without_a_part(folder: Path) -> None:
    (folder / "unet" / "x.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "x-00001-of-00002.safetensors"}}))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (cut_off, r"unet: .*\.safetensors is cut off: \d+ bytes, and should be \d+; fetch it again"),
        (pointer, r"unet: .*\.safetensors is a pointer of git-lfs"),
        (damaged, r"unet: .*\.safetensors is damaged"),
        (without_a_part, r"unet: x-00001-of-00002\.safetensors is missing in .*unet"),
        (lambda folder: (folder / "unet" / "config.json").unlink(), r"unet: there is no config\.json in .*unet"),
        (lambda folder: (folder / "unet" / "config.json").write_text("{"), r"unet: .*config\.json cannot be read"),
        (
            lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink(),
            r"unet: there are no weights in .*unet",
        ),
        (lambda folder: (folder / "vae").rename(folder / "vea"), r"vae: there is no folder .*vae"),
        (lambda folder: [file.unlink() for file in (folder / "tokenizer").iterdir()], r"tokenizer: there is no tokenizer in"),
        (lambda folder: (folder / "model_index.json").unlink(), r"there is no model_index\.json in"),
        (
            lambda folder: (folder / "model_index.json").write_text('{"_class_name": "KolorsPipeline"}'),
            r"it is a KolorsPipeline, which is not supported; supported are StableDiffusionPipeline",
        ),
        (lambda folder: folder.rename(folder.with_name("elsewhere")), "there is no folder .*model"),
    ],
)
def test_what_is_wrong_with_a_model_is_one_sentence(spoil: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "model")
    spoil(folder)
    faults = examined(folder).faults
    assert len(faults) == 1
    assert re.fullmatch(sentence + r".*", faults[0]), faults[0]


def test_a_separate_vae_is_a_folder_or_a_model_with_one(tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "model")
    assert examined_vae(folder) == examined_vae(folder / "vae")
    assert examined_vae(folder).size_bytes == (folder / "vae" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert "there is no folder" in examined_vae(tmp_path / "nothing").faults[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Single files: of Stable Diffusion 1 as .ckpt, of 3 with and without T5, of Flux whole and its transformer alone."""
    root = tmp_path_factory.mktemp("files")
    weights = {}
    for kind in ("sd1", "sd3", "flux"):
        weights[kind] = originals.weights(originals.folder(root / kind, kind), kind)
    weights["sd3-without-t5"] = {name: weight for name, weight in weights["sd3"].items() if "t5xxl" not in name}
    weights["transformer"] = {name: weight for name, weight in weights["flux"].items() if name.startswith(originals.UNET)}
    weights["vae"] = {name: weight for name, weight in weights["sd1"].items() if name.startswith("first_stage_model")}
    legacy = originals.write(weights.pop("sd1"), root / "sd1.ckpt", "legacy")
    return {"sd1": legacy, **{kind: originals.write(those, root / f"{kind}.safetensors") for kind, those in weights.items()}}


# What is wrong with a file as it lies there, and what is still wrong with what it is given.
T5 = {"text_encoder_2": "sd3.safetensors", "tokenizer_2": "flux/tokenizer_2"}
SINGLE = [
    ("sd1", None, "Stable Diffusion 1 or 2", []),
    ("sd3-without-t5", None, "Stable Diffusion 3", []),
    ("sd3", None, "Stable Diffusion 3", ["the vocabulary of the T5 .* under the model's `parts`.*tokenizer_3: FOLDER"]),
    ("sd3", {"text_encoder_3": None}, "Stable Diffusion 3", []),
    ("sd3", {"tokenizer_3": "sd3/tokenizer_3"}, "Stable Diffusion 3", []),
    ("sd3", "sd3", "Stable Diffusion 3", []),
    ("transformer", None, "Flux", ["holds no text_encoder:", "holds no text_encoder_2: .*tokenizer_2: FOLDER", "holds no vae:"]),
    ("transformer", T5, "Flux", ["holds no text_encoder:", "holds no vae:"]),
    ("transformer", "flux", "Flux", []),
    ("transformer", "nowhere", "Flux", ["text_encoder:", "text_encoder_2:", "vae:", "parts: there is no folder or file"]),
    ("vae", None, None, ["is a VAE alone: name it under `vaes`"]),
]


@pytest.mark.parametrize(("kind", "parts", "family", "faults"), SINGLE)
def test_a_single_file_is_told_by_its_header(
    files: dict[str, Path], kind: str, parts: str | dict[str, str | None] | None, family: str | None, faults: list[str]
) -> None:
    root = files["sd1"].parent
    if isinstance(parts, dict):
        located: Any = {name: place and str(root / place) for name, place in parts.items()}
    else:
        located = parts and str(root / parts)
    found = examined(files[kind], located)
    assert found.family == family
    assert len(found.faults) == len(faults), found.faults
    for fault, sentence in zip(found.faults, faults, strict=True):
        assert re.search(sentence, fault)
    size = files[kind].stat().st_size
    assert family is None or (found.dtypes == ("F32",) and 0.9 * size < found.size_bytes < size)


def test_a_separate_vae_may_be_a_file(files: dict[str, Path], tmp_path: Path) -> None:
    alone, whole = examined_vae(files["vae"]), examined_vae(files["sd1"])
    assert alone == whole
    assert (alone.dtypes, alone.faults) == (("F32",), ())
    assert "holds no vae" in examined_vae(files["transformer"]).faults[0]
    for weight, sentence in (
        ("decoder.middle.0.residual.0.gamma", "is a VAE of another kind of model .*, which no supported model can have"),
        ("decoder.1.weight", "is a tiny VAE .TAESD., which no supported model can have"),
    ):
        save_file({weight: load_file(files["vae"])["first_stage_model.decoder.conv_in.bias"]}, tmp_path / "other.safetensors")
        assert re.search(sentence, examined_vae(tmp_path / "other.safetensors").faults[0])
    pointer = tmp_path / "vae.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    assert "is a pointer of git-lfs" in examined_vae(pointer).faults[0]


def test_every_pipeline_of_the_table_exists() -> None:
    import diffusers

    for name, family in FAMILIES.items():
        assert hasattr(diffusers, name)
        assert hasattr(diffusers, family.pipeline)


@pytest.mark.timeout(300)
def test_the_command_lists_what_is_configured_without_torch(files: dict[str, Path], tmp_path: Path) -> None:
    tiny.flux(tmp_path / "flux")
    shutil.copy(files["transformer"], tmp_path)
    (tmp_path / "config.yaml").write_text(
        "models:\n  demo: {path: builtin}\n  flux: {path: flux, dtype: bfloat16}\n  gone: {path: nowhere}\n"
        "  single: {path: transformer.safetensors, parts: flux, defaults: {vae: mine}}\n"
        "  small: {path: transformer.safetensors, parts: {text_encoder: flux, text_encoder_2: flux, tokenizer_2: flux},"
        " defaults: {vae: mine}}\nvaes: {mine: flux}\n"
    )
    code = "import sys; from daemon.cli import app; assert app(standalone_mode=False) == 1; sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "models", "--json", "--config", str(tmp_path / "config.yaml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = {entry["name"]: entry for entry in json.loads(ran.stdout)}
    assert listed["demo"]["family"] == "Stable Diffusion 1 or 2"
    assert (listed["flux"]["family"], listed["flux"]["runs_in"], listed["flux"]["faults"]) == ("Flux", "bfloat16", [])
    assert (listed["single"]["family"], listed["single"]["on_disk"], listed["single"]["faults"]) == ("Flux", True, [])
    sizes = [fault.partition(": its ")[2] for fault in listed["small"]["faults"]]
    assert [size.split(" is of another size")[0] for size in sizes] == ["transformer"]
    assert listed["gone"]["on_disk"] is False
    assert "there is no folder" in listed["gone"]["faults"][0]
    assert (listed["mine"]["kind"], listed["mine"]["faults"]) == ("vae", [])


@pytest.mark.timeout(300)
def test_what_the_configuration_names_and_is_not_there_is_a_fault_each(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "models: {demo: {path: builtin}}\ndefaults: {model: sd15, vae: mine}\nadapters: {loras: nowhere}\n"
        "compute: {device: 'cuda:63'}\nstages: {decode: {device: cpu}}\n"
    )
    ran = CliRunner().invoke(cli.app, ["models", "--config", str(tmp_path / "config.yaml")], standalone_mode=False)
    assert ran.return_value == 1
    for words in (
        "defaults.model: there is no model named 'sd15'; there are: demo",
        "defaults.vae: there is no vae named 'mine'; there are: none",
        "adapters.loras: there is no folder",
        "compute.device: torch finds no such device",
    ):
        assert words in ran.output
    (tmp_path / "config.yaml").write_text("models: {demo: {path: builtin}}\n")
    assert (
        CliRunner().invoke(cli.app, ["models", "--config", str(tmp_path / "config.yaml")], standalone_mode=False).return_value == 0
    )


def test_for_the_embedded_model_nobody_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("models:\n  demo: {path: builtin}\n")
    monkeypatch.setattr(comparison, "SECONDS", 0.0)
    assert [entry.faults for entry in list_models(read_config(tmp_path / "config.yaml"))] == [()]
    (tmp_path / "config.yaml").write_text(f"models:\n  demo: {{path: {resource('models/demo')}}}\n")
    (entry,) = list_models(read_config(tmp_path / "config.yaml"))
    assert entry.faults == ("its weights could not be compared with its configuration (it took more than 0 s)",)


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_file_of_the_real_size_is_compared_with_its_configuration(tmp_path: Path) -> None:
    weights = originals.KINDS["sdxl"](parts_of("stable-diffusion-xl"))
    # As in distilled models, which have fewer layers and no other sign.
    fewer = {name: weight for name, weight in weights.items() if not re.search(r"transformer_blocks\.[4-9]\.", name)}
    write_holes(weights, tmp_path / "whole.safetensors")
    write_holes(fewer, tmp_path / "fewer.safetensors")
    write_holes(
        {**weights, f"{originals.UNET}.more.weight": weights[f"{originals.UNET}.out.0.bias"]}, tmp_path / "more.safetensors"
    )
    files = [tmp_path / f"{name}.safetensors" for name in ("whole", "fewer", "more")]
    assert [examined(file).faults for file in files] == [()] * 3, "or their headers tell it already"
    whole, lacking, more = misfits([Model(str(file)) for file in files]).models
    assert whole == []
    assert len(lacking) == len(more) == 1
    assert re.match(
        rf".*fewer.safetensors: its unet lacks {len(weights) - len(fewer)} of 1680 weights \({originals.UNET}", lacking[0]
    )
    assert re.match(r".*more.safetensors: its unet has 1 weights that are not known of such a model \(.*more.weight\)", more[0])


@pytest.mark.timeout(300)
def test_a_folder_is_compared_with_its_configuration(tmp_path: Path) -> None:
    folders = {name: tiny.stable_diffusion_3(tmp_path / name) for name in ("whole", "lacking", "other")}
    file = folders["lacking"] / "text_encoder_3" / "model.safetensors"
    weights = load_file(file)
    save_file({name: weight for name, weight in weights.items() if ".wo." not in name}, file, {"format": "pt"})
    config = folders["other"] / "transformer" / "config.json"
    config.write_text(config.read_text().replace('"attention_head_dim": 8', '"attention_head_dim": 16'))
    whole, lacking, other = misfits([Model(str(folder)) for folder in folders.values()]).models
    assert whole == []
    assert [re.search(r"its text_encoder_3 lacks 2 of \d+ weights", fault) is not None for fault in lacking] == [True]
    assert [re.search(r"its transformer is of another size than", fault) is not None for fault in other] == [True]


@pytest.mark.timeout(300)
def test_a_separate_vae_is_compared_with_its_class(tmp_path: Path) -> None:
    weights = originals.vae(parts_of("stable-diffusion-1").vae)
    write_holes(weights, tmp_path / "whole.safetensors")
    write_holes(originals.named(originals.vae(parts_of("flux-dev").vae), "vae"), tmp_path / "flux.safetensors")
    write_holes({name: it for name, it in weights.items() if ".norm_out." not in name}, tmp_path / "cut.safetensors")
    write_holes({**weights, "decoder.time.weight": weights["decoder.norm_out.bias"]}, tmp_path / "more.safetensors")
    wide = weights["decoder.conv_in.weight"].new_empty((512, 32, 3, 3))
    write_holes({**weights, "decoder.conv_in.weight": wide}, tmp_path / "wide.safetensors")
    tiny.stable_diffusion(tmp_path / "model")
    other = shutil.copytree(tmp_path / "model" / "vae", tmp_path / "other")
    (other / "config.json").write_text(
        (other / "config.json").read_text().replace('"layers_per_block": 1', '"layers_per_block": 2')
    )
    said = {name: f"{name}.safetensors" for name in ("whole", "flux", "cut", "more", "wide")} | {"model": "model", "other": "other"}
    (tmp_path / "config.yaml").write_text(f"models: {{demo: {{path: builtin}}}}\nvaes: {json.dumps(said)}\n")
    faults = {entry.name: entry.faults for entry in list_models(read_config(tmp_path / "config.yaml"))}
    assert [faults.pop(name) for name in ("demo", "whole", "flux", "model")] == [()] * 4
    sentences = {
        "cut": "its vae lacks 4 of 248 weights",
        "more": "its vae has 1 weights that are not known of such a model .decoder.time.weight",
        "wide": "is the VAE of a model that is not supported: its latents have 32 channels",
        "other": "other: its vae lacks",
    }
    assert faults.keys() == sentences.keys()
    for name, sentence in sentences.items():
        assert len(faults[name]) == 1
        assert re.search(sentence, faults[name][0]), faults[name]


def fetched(cache: Path, id: str, folder: Path) -> Path:
    """Put a folder where the hub's client puts what it has fetched; return it there."""
    repository = cache / "hub" / f"models--{id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    return Path(shutil.copytree(folder, repository / "snapshots" / REVISION))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("network", mostly_thorough([False, True], always=lambda network: not network))
def test_what_was_fetched_of_a_hub_id_is_compared(tmp_path: Path, network: bool) -> None:
    folder = tiny.stable_diffusion(tmp_path / "model")
    fetched(tmp_path, "far/whole", folder)
    fetched(tmp_path, "far/vae", folder / "vae")
    shutil.rmtree(fetched(tmp_path, "far/partly", folder) / "unet")
    weights = fetched(tmp_path, "far/lacking", folder) / "unet" / "diffusion_pytorch_model.safetensors"
    kept = {name: weight for name, weight in load_file(weights).items() if not name.startswith("conv_out.")}
    save_file(kept, weights, {"format": "pt"})
    models = {name: {"path": f"far/{name}"} for name in ("whole", "partly", "lacking", "nothing")}
    config = {"compute": {"network": network}, "models": models, "vaes": {"vae": "far/vae"}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "daemon", "models", "--json", "--config", str(tmp_path / "config.yaml")]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HOME": str(tmp_path)}, check=False)
    listed = {entry["name"]: entry for entry in json.loads(ran.stdout)}
    said = {name: (entry["on_disk"], [fault.partition(": ")[2] for fault in entry["faults"]]) for name, entry in listed.items()}
    assert said["whole"] == said["vae"] == (True, [])
    assert said["lacking"] == (True, ["its unet lacks 2 of 208 weights (conv_out.weight, conv_out.bias)"])
    assert said["partly"] == ((False, []) if network else (True, [f"there is no folder or file {unet_of('partly', tmp_path)}"]))
    assert listed["nothing"]["faults"] == ([] if network else ["there is no folder or file far/nothing"])
    assert listed["whole"]["size_bytes"] > listed["vae"]["size_bytes"] > 0


def unet_of(name: str, cache: Path) -> Path:
    return cache / "hub" / f"models--far--{name}" / "snapshots" / REVISION / "unet"


def test_a_comparison_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "model")
    (tmp_path / "torch.py").write_text("raise ImportError('no torch today')\n")
    monkeypatch.setattr(comparison, "surroundings", lambda: {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"})
    assert misfits([Model(str(folder))]).models == [
        ["its weights could not be compared with its configuration (ImportError: no torch today)"]
    ]


def test_a_hub_id_is_no_fault_where_the_network_is_allowed(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("compute: {network: true}\nmodels:\n  far: {path: somebody/something}\ndefaults: {model: far}\n")
    command = [sys.executable, "-m", "daemon", "models", "--config", str(config)]
    assert "fetched" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
