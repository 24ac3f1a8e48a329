"""What `tiffsd models` says of the models: family, size, precision, and each thing that can be wrong with one."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.models.families import FAMILIES
from daemon.models.on_disk import examined, examined_vae
from tests import tiny

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


def test_every_pipeline_of_the_table_exists() -> None:
    import diffusers

    for name, family in FAMILIES.items():
        assert hasattr(diffusers, name)
        assert hasattr(diffusers, family.pipeline)


def test_the_command_lists_what_is_configured_without_torch(tmp_path: Path) -> None:
    tiny.flux(tmp_path / "flux")
    (tmp_path / "config.yaml").write_text(
        "models:\n  demo: {path: builtin}\n  flux: {path: flux, dtype: bfloat16}\n  gone: {path: nowhere}\nvaes: {mine: flux}\n"
    )
    code = "import sys; from daemon.cli import app; app(standalone_mode=False); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "models", "--json", "--config", str(tmp_path / "config.yaml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = {entry["name"]: entry for entry in json.loads(ran.stdout)}
    assert listed["demo"]["family"] == "Stable Diffusion 1 or 2"
    assert (listed["flux"]["family"], listed["flux"]["runs_in"], listed["flux"]["faults"]) == ("Flux", "bfloat16", [])
    assert listed["gone"]["on_disk"] is False
    assert "there is no folder" in listed["gone"]["faults"][0]
    assert (listed["mine"]["kind"], listed["mine"]["faults"]) == ("vae", [])


def test_a_hub_id_is_no_fault_where_the_network_is_allowed(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("compute: {network: true}\nmodels:\n  far: {path: somebody/something}\n")
    command = [sys.executable, "-m", "daemon", "models", "--config", str(config)]
    assert "fetched" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
