"""Pictures of other forms than PNG, JPEG, WebP and TIFF."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import InputSources
from daemon.pictures import foreign
from daemon.pictures.photos import read_photo
from daemon.settings.config import Config
from daemon.stages import PHOTOS, STAGES
from tests.opening import opening, request_for

PIXELS = np.zeros((16, 24, 3), np.uint8)
PIXELS[:, 12:] = (250, 10, 10)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(64)


def read(path: Path) -> Any:
    return opening(read_photo, path, path.name, size=(None, None), limit=10**6)


@pytest.mark.parametrize("name", ["a.bmp", "a.gif", "a.jfif", "a.avif", "a.JFIF"])
def test_other_forms_are_read(name: str, tmp_path: Path) -> None:
    form = {"jfif": "JPEG"}.get(name[2:].lower(), name[2:].upper())
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    path = tmp_path / name
    Image.fromarray(PIXELS).save(path, form, **({} if form in ("GIF", "BMP") else {"quality": 100, "subsampling": "4:4:4"}))
    photo = read(path)
    np.testing.assert_allclose(photo.pixels, PIXELS / 255, atol=0.12)
    assert photo.notes == ()


def test_of_a_moving_picture_the_first_frame_is_taken_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    Image.fromarray(PIXELS).save(path, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    photo = read(path)
    np.testing.assert_allclose(photo.pixels, PIXELS / 255, atol=0.02)
    assert photo.notes == ("of its frames the first was taken",)


@pytest.mark.parametrize(
    ("content", "module", "sentence"),
    [
        (
            HEIC,
            "pillow_heif",
            r"a\.x: this is a HEIC picture, which needs the package pillow-heif \(\S+/pip install 'pillow-heif>=[\d.]+'\); or",
        ),
        (JXL, "pillow_jxl", r"a\.x: this is a JPEG XL picture, which needs the package pillow-jxl-plugin; or save it as PNG"),
        (b"\xff\x0a" + bytes(64), "pillow_jxl", "this is a JPEG XL picture"),
    ],
)
def test_a_form_whose_package_is_missing_is_refused_by_its_name(
    content: bytes, module: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.x").write_bytes(content)
    with pytest.raises(InputError, match=sentence), (tmp_path / "a.x").open("rb") as file:
        foreign.opened(file, "a.x")


def test_a_pillow_without_avif_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.AvifImagePlugin", None)
    (tmp_path / "a.avif").write_bytes(HEIC.replace(b"heic", b"avif"))
    with (
        pytest.raises(InputError, match=r"an AVIF picture, which needs a Pillow of 11\.3 or later"),
        (tmp_path / "a.avif").open("rb") as file,
    ):
        foreign.opened(file, "a.avif")


@pytest.mark.parametrize("name", ["a.gif", "a.bmp"])
def test_a_broken_one_is_refused_with_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes({"a.gif": b"GIF89a", "a.bmp": b"BM"}[name] + bytes(20))
    with pytest.raises(InputError, match=rf"{name}: (not a readable|.*too small|the picture breaks off)"):
        read(path)


def test_a_heic_of_a_phone_is_read_where_its_package_is_there(tmp_path: Path) -> None:
    plugin = pytest.importorskip("pillow_heif")
    plugin.from_pillow(Image.fromarray(PIXELS.repeat(8, axis=0).repeat(8, axis=1))).save(tmp_path / "a.heic", quality=90)
    photo = read(tmp_path / "a.heic")
    np.testing.assert_allclose(photo.pixels[::8, ::8], PIXELS / 255, atol=0.2)
    assert photo.notes == ()


@pytest.mark.parametrize("coding", [{"lossless": True}, {"quality": 50}, {"quality": 50, "exif": b"Exif\0\0"}], ids=str)
def test_a_large_webp_has_room_for_its_canvas(coding: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    Image.new("RGB", (4001, 3003), (9, 99, 199)).save(path, method=0, **coding)
    with path.open("rb") as file:
        assert foreign.webp_canvas(file) == (4001, 3003)
    photo = opening(read_photo, path, path.name, size=(None, None), limit=2**20, area=64 * 64)
    assert photo.pixels.shape == (48, 80, 3)


@pytest.mark.parametrize("stage", ["text", "diffuse", "decode"])
def test_where_they_are_not_taken_it_is_said_where_they_are(stage: str) -> None:
    assert all(STAGES[stage].instead[extension] == "encode" for extension in PHOTOS)


def test_a_gif_with_a_prompt_beside_it_is_made_anew(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "cat.gif")
    (tmp_path / "cat.yaml").write_text("prompt: a cat")
    members = {"principal": tmp_path / "cat.gif", ".yaml": tmp_path / "cat.yaml"}
    request = request_for("encode", members, InputSources(Config(), tmp_path))
    assert (request.tensors["picture"].shape, request.settings.strength) == ((16, 24, 3), 0.6)


def test_a_tiff_of_12_bits_is_not_read_too_dark(tmp_path: Path) -> None:
    from tests.tiffs_by_hand import tiff_of

    (tmp_path / "scan.tif").write_bytes(tiff_of(np.full((16, 16, 1), 4095), 12, photometric=1))
    assert read(tmp_path / "scan.tif").pixels.min() == 1.0
    assert tiffsd.read(tmp_path / "scan.tif", expect=tiffsd.Kind.PICTURE).tensors["picture"].min() == 1.0


PHOTOGRAPHS = Path(__file__).resolve().parents[2].parent / "shared" / "cases" / "photos"


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="the cases are not there")
def test_photos_of_real_cameras_are_read() -> None:
    for path in sorted(PHOTOGRAPHS.iterdir()):
        photo = read(path)
        assert photo.pixels.shape[2] == 3, path.name
        assert not any("profile" in note for note in photo.notes), path.name
