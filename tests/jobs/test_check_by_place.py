"""`tiffsd check` of a file that lies where a stage takes it, or that has the id of latents: it says what that stage would say."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

import daemon.cli
import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import InputSources
from daemon.settings.config import Config
from tests.artifacts import latents, picture
from tests.opening import request_for


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text("spool: spool\nmodels:\n  demo: {path: builtin}\ndefaults: {model: demo}\n")
    monkeypatch.chdir(tmp_path)
    for place in (".keep", "hold/2-diffuse", "hold/3-decode", "inbox/2-diffuse", "inbox/3-decode", "inbox/encode"):
        (tmp_path / "spool" / place).mkdir(parents=True)
    return tmp_path / "spool"


def checked(path: Path) -> tuple[int, str]:
    result = CliRunner().invoke(daemon.cli.app, ["check", str(path)])
    return result.exit_code, result.output


def kept(spool: Path) -> str:
    """Keep latents as the daemon does; their id."""
    made = latents()
    tiffsd.write(spool / ".keep" / f"cat.{made.header.id}.tiff", made)
    return made.header.id


def in_8_bits(path: Path) -> Path:
    """What is left of latents where a program saves what it shows of them."""
    tifffile.imwrite(path, np.random.default_rng(1).integers(0, 256, (32, 32), np.uint8), photometric="minisblack", metadata=None)
    return path


@pytest.mark.parametrize("place", ["hold/2-diffuse", "hold/3-decode", "inbox/2-diffuse", "inbox/3-decode"])
@pytest.mark.parametrize("is_named", [True, False], ids=["with its id", "under another name"])
def test_latents_that_were_saved_as_8_bits_are_refused_where_latents_wait(place: str, is_named: bool, spool: Path) -> None:
    name = f"cat.{kept(spool)}.tiff" if is_named else "cat.tiff"
    code, said = checked(in_8_bits(spool / place / name))
    assert code == 1
    assert "8-bit whole numbers, and latents need 32-bit floats" in said
    assert "valid: picture" not in said
    assert "encoded to latents" not in said


def test_latents_that_were_saved_as_8_bits_are_refused_by_their_id_wherever_they_lie(spool: Path, tmp_path: Path) -> None:
    code, said = checked(in_8_bits(tmp_path / f"cat.{kept(spool)}.tiff"))
    assert code == 1
    assert "8-bit whole numbers, and latents need 32-bit floats" in said


def test_a_gray_picture_without_the_id_of_latents_may_be_encoded(spool: Path, tmp_path: Path) -> None:
    kept(spool)
    code, said = checked(in_8_bits(tmp_path / "fog.tiff"))
    assert code == 0
    assert "inbox/encode: encoded to latents" in said


def test_a_gray_tiff_with_the_id_of_latents_is_not_encoded(spool: Path, tmp_path: Path) -> None:
    sources = InputSources(Config.model_validate({"folder": tmp_path}), spool / "embeddings", spool / ".keep")
    path = in_8_bits(spool / "inbox/encode" / f"cat.{kept(spool)}.tiff")
    with pytest.raises(InputError, match=r"has the name of latents .*; move it to inbox/2-diffuse, or inbox/3-decode"):
        request_for("encode", {"principal": path}, sources)
    code, said = checked(path)
    assert code == 1
    assert "has the name of latents" in said


def test_latents_on_hold_are_told_what_their_own_stage_does_with_them(spool: Path) -> None:
    path = spool / "hold/3-decode" / "cat.tiff"
    tiffsd.write(path, latents())
    code, said = checked(path)
    assert code == 0
    assert "inbox/3-decode: decoded to a picture" in said
    assert "inbox/2-diffuse" not in said


def test_a_picture_among_latents_is_told_where_pictures_are_taken(spool: Path) -> None:
    tiffsd.write(spool / "hold/2-diffuse" / "cat.tiff", picture(64, 64))
    code, said = checked(spool / "hold/2-diffuse" / "cat.tiff")
    assert code == 1
    assert "holds a picture, and this place takes latents; use it where a picture can be taken: inbox/encode" in said


@pytest.mark.parametrize(("name", "place"), [("words.txt", "inbox/1-text"), ("photo.png", "inbox/encode")])
def test_a_file_in_the_wrong_folder_is_refused_with_the_right_one(name: str, place: str, spool: Path) -> None:
    path = spool / "inbox/3-decode" / name
    path.write_text("a house") if name.endswith(".txt") else Image.new("RGB", (64, 64)).save(path)
    code, said = checked(path)
    assert code == 1
    assert f"and the decode stage takes .tif .tiff .exr .latent; move it to {place}." in said


def test_a_picture_in_colours_may_have_the_id_of_latents_in_its_name(spool: Path, tmp_path: Path) -> None:
    path = tmp_path / f"cat.{kept(spool)}-seen.tiff"
    tifffile.imwrite(path, np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8), photometric="rgb", metadata=None)
    code, said = checked(path)
    assert code == 0
    assert "inbox/encode: encoded to latents" in said
