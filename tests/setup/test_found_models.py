"""`tiffsd models --find` knows what lies in the folders of other programs by the headers of the files, and says what is new."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from daemon.cli import app
from daemon.settings.config import read_config
from daemon.settings.resources import resource
from daemon.setup.found_models import Found, Passed, found_below
from daemon.setup.model_places import hub_cache, usual_places
from daemon.setup.new_entries import news
from tests import originals, tiny
from tests.adapters import ATTENTION, kohya, matrices, written
from tests.commands.test_models import fetched


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a person with ComfyUI, A1111, InvokeAI and the hub's cache, each with something in it."""
    home = tmp_path_factory.mktemp("home")
    made = tmp_path_factory.mktemp("made")
    folder = originals.folder(made / "sd1", "sd1")
    weights = originals.weights(folder, "sd1")
    comfy, webui, invoke = (home / name for name in ("ComfyUI/models", "stable-diffusion-webui", "invokeai/models"))
    for path in (
        *(comfy / name for name in ("checkpoints/old", "diffusion_models", "loras/style", "vae", "embeddings", "upscale_models")),
        *(webui / "models" / name for name in ("Stable-diffusion", "Lora", "VAE")),
        *(webui / "embeddings", webui / "venv/models", invoke / "sd-1/main"),
    ):
        path.mkdir(parents=True)
    whole = originals.write(weights, comfy / "checkpoints/dream shaper: 8.safetensors", "safetensors")
    shutil.copy(whole, webui / "models/Stable-diffusion/photo.safetensors")
    shutil.copy(whole, webui / "venv/models/not-to-be-seen.safetensors")
    (comfy / "checkpoints/old/photo.safetensors").symlink_to(webui / "models/Stable-diffusion/photo.safetensors")
    (comfy / "checkpoints/old/same.safetensors").symlink_to(whole)
    flux = originals.weights(originals.folder(made / "flux", "flux"), "flux")
    transformer = {name: weight for name, weight in flux.items() if name.startswith(originals.UNET)}
    originals.write(transformer, comfy / "diffusion_models/flux1-dev.safetensors", "safetensors")
    vae = {name: weight for name, weight in weights.items() if name.startswith("first_stage_model")}
    originals.write(vae, comfy / "vae/kl-f8.safetensors", "safetensors")
    unet = tiny.unet(16)
    lora = kohya("lora_unet_", matrices(unet, ATTENTION))
    for path in (comfy / "loras/style/fur.safetensors", comfy / "loras/ink.safetensors", webui / "models/Lora/pencil.safetensors"):
        written(path, lora)
    written(webui / "embeddings/toy.safetensors", {"emb_params": next(iter(lora.values()))[:1]})
    save_file({"model.1.sub.0.RDB1.conv1.0.weight": next(iter(lora.values()))}, comfy / "upscale_models/esrgan.safetensors")
    (comfy / "checkpoints/broken.safetensors").write_bytes(b"\x10" + bytes(7) + b"not JSON at all.")
    (comfy / "checkpoints/put_checkpoints_here").write_text("")
    shutil.copytree(folder, invoke / "sd-1/main/stable-diffusion-v1-5")
    fetched(home / ".cache/huggingface", "someone/tiny-flux", tiny.flux(made / "tiny-flux"))
    return home


@pytest.fixture(scope="module")
def found(home: Path) -> list[Found | Passed]:
    return [*found_below(usual_places(home, {}))]


def names(found: list[Found | Passed], kind: str) -> list[str]:
    return sorted(one.name for one in found if isinstance(one, Found) and one.kind == kind)


def test_the_usual_places_are_those_that_are_there(home: Path) -> None:
    places = [str(path.relative_to(home)) for path in usual_places(home, {}) if path.is_relative_to(home)]
    assert places == [
        "ComfyUI/models",
        "stable-diffusion-webui/models",
        "stable-diffusion-webui/embeddings",
        "invokeai/models",
        ".cache/huggingface/hub",
    ]
    elsewhere = {"COMFYUI_PATH": str(home / "ComfyUI"), "INVOKEAI_ROOT": str(home / "invokeai"), "HF_HOME": "/nowhere"}
    assert home / "invokeai/models" in usual_places(Path("/nowhere"), elsewhere)
    assert home / "ComfyUI/models" in usual_places(Path("/nowhere"), elsewhere)


def test_the_cache_of_the_hub_is_where_its_client_has_it() -> None:
    assert hub_cache(Path("/h"), {}) == Path("/h/.cache/huggingface/hub")
    assert hub_cache(Path("/h"), {"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")
    assert hub_cache(Path("/h"), {"HF_HOME": "/hf"}) == Path("/hf/hub")
    assert hub_cache(Path("/h"), {"HF_HOME": "/hf", "HF_HUB_CACHE": "/there"}) == Path("/there")


def test_models_vaes_and_adapters_are_told_apart_by_what_is_in_them(found: list[Found | Passed]) -> None:
    assert names(found, "model") == ["dream shaper: 8", "photo", "stable-diffusion-v1-5", "tiny-flux"]
    assert names(found, "vae") == ["kl-f8"]
    assert names(found, "lora") == ["fur", "ink", "pencil"]
    assert names(found, "textual inversion") == ["toy"]


def test_what_cannot_be_used_is_left_out_with_the_reason(found: list[Found | Passed]) -> None:
    why = {one.path.name: one.why for one in found if isinstance(one, Passed)}
    assert why.keys() == {"flux1-dev.safetensors", "esrgan.safetensors", "broken.safetensors"}
    assert why["flux1-dev.safetensors"].startswith("holds no text_encoder: name the file or the folder that has it under")
    assert why["esrgan.safetensors"] == "an upscaler of pictures (ESRGAN), no model that can be run"
    assert why["broken.safetensors"].startswith("damaged, or no file of weights")


def test_a_model_comes_with_the_size_that_it_was_trained_for(found: list[Found | Passed]) -> None:
    options = {one.name: one.options for one in found if isinstance(one, Found) and one.kind == "model"}
    assert options["photo"] == {"defaults": {"width": 512, "height": 512}}
    assert options["stable-diffusion-v1-5"]["defaults"]["width"] > 0
    assert options["tiny-flux"]["dtype"] == "bfloat16"
    assert options["tiny-flux"]["defaults"]["steps"] == 28


def test_names_are_what_config_yaml_takes_and_each_is_there_once(found: list[Found | Passed], home: Path) -> None:
    stems = ("a/b", "a:b", "demo", "été", "..", "a" * 200)
    again = [Found("model", name, Path(f"/x/{number}"), "") for number, name in enumerate(stems)]
    entries = news(again, [], None).entries.models
    assert [*entries] == ["a_b", "a_b-2", "demo-2", "_t_", "_", "a" * 90]
    models = news(found, usual_places(home, {}), None).entries.models
    assert "dream shaper_ 8" in models


def test_of_several_folders_of_loras_the_fullest_is_named_and_the_others_are_said(found: list[Found | Passed], home: Path) -> None:
    told = news(found, usual_places(home, {}), None)
    assert told.entries.adapters == {
        "loras": str(home / "ComfyUI/models/loras"),
        "textual_inversions": str(home / "stable-diffusion-webui/embeddings"),
    }
    (other,) = [one for one in told.passed if one.path == home / "stable-diffusion-webui/models/Lora"]
    assert "`adapters.loras` can name one folder" in other.why


# --- as it is typed


@pytest.fixture
def desk(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(home))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "INVOKEAI_ROOT", "COMFYUI_PATH", "COMFYUI_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(resource("config.yaml"), tmp_path / "config.yaml")
    return tmp_path


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["models", *words], catch_exceptions=False)


def test_what_is_printed_is_yaml_and_what_is_said_beside_it_is_not_in_it(desk: Path) -> None:
    result = typed("--find")
    (desk / "found.yaml").write_text(result.stdout)
    assert {*read_config(desk / "found.yaml").models} == {"dream shaper_ 8", "photo", "stable-diffusion-v1-5", "tiny-flux"}
    assert "left out: " in result.stderr
    assert result.stderr.endswith("These lines are for config.yaml; with --add they are written there.\n")
    assert (desk / "config.yaml").read_text() == resource("config.yaml").read_text()


def test_what_was_added_is_there_and_is_not_added_again(desk: Path, home: Path) -> None:
    result = typed("--find", "--add")
    assert "These lines stand in config.yaml now" in result.stderr
    config = read_config(desk / "config.yaml")
    assert {*config.models} == {"demo", "dream shaper_ 8", "photo", "stable-diffusion-v1-5", "tiny-flux"}
    assert {*config.vaes} == {"kl-f8"}
    assert config.adapters.loras == home / "ComfyUI/models/loras"
    after = (desk / "config.yaml").read_text()
    again = typed("--find", "--add")
    assert again.stdout == ""
    assert "models.photo is there already: " in again.stderr
    assert "There is nothing new to add." in again.stderr
    assert (desk / "config.yaml").read_text() == after


@pytest.mark.usefixtures("desk")
def test_a_folder_is_looked_into_alone_and_programs_get_json(home: Path) -> None:
    said = json.loads(typed("--find", str(home / "stable-diffusion-webui/models"), "--json").stdout)
    assert [*said["models"]] == ["photo"]
    assert said["models"]["photo"]["path"] == str(home / "stable-diffusion-webui/models/Stable-diffusion/photo.safetensors")
    assert said["places"] == [str(home / "stable-diffusion-webui/models")]


def test_a_folder_that_is_not_there_and_a_home_without_models_are_said(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from daemon.errors import InputError

    with pytest.raises(InputError, match="nowhere: there is no such folder to look for models in"):
        typed("--find", "nowhere")
    monkeypatch.setenv("HOME", str(desk))
    monkeypatch.setattr("daemon.setup.model_places._FOR_ALL", ())
    assert "There is nothing new to add." in typed("--find").stderr


def test_without_a_configuration_the_lines_are_printed_all_the_same(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk / "config.yaml").unlink()
    monkeypatch.setattr("daemon.commands.USUAL_CONFIGS", (Path("config.yaml"),))
    assert "photo: {path: " in typed("--find").stdout
