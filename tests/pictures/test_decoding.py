"""Codecs run in a child process: what breaks them costs the file, never the daemon."""

import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import tiffsd
from daemon.errors import InputError
from daemon.pictures import decoding, sizes
from daemon.pictures.child_limits import SECONDS_PER_MEGAPIXEL, SECONDS_TO_BEGIN
from daemon.pictures.decoding import TextInPicture, decode_photo, read_artifact, read_words
from daemon.pictures.photos import read_photo
from daemon.pictures.sizes import TensorLimits
from tests.artifacts import file_of, latents
from tests.conftest import wait_until
from tests.hostile_files import many_scans
from tests.house import REPOSITORY
from tests.opening import opening
from tests.running_daemon import RunningDaemon

CRASH = "import ctypes\ndef __getattr__(name):\n    ctypes.string_at(0)"
HANG = "import time\ndef __getattr__(name):\n    time.sleep(1000)"
SPIN = "def __getattr__(name):\n    while True: pass"
GREEDY = "def __getattr__(name):\n    return bytearray(2**33)"
LOUD = "import os\nos.write(2, b'loud\\x1b[2J\\xff\\n')\ndef __getattr__(name):\n    os._exit(0)"
VANISH = "import os\ndef __getattr__(name):\n    os._exit(0)"
FLOOD = "import os, sys\ndef __getattr__(name):\n    f = os.fdopen(int(sys.argv[2]), 'wb')\n    while True: f.write(bytes(2**20))"


def compressed(path: Path, **coding: Any) -> Path:
    """Latents as an editor saves them that compresses."""
    path.write_bytes(file_of(latents()))
    with tifffile.TiffFile(path) as tiff:
        pixels, description = tiff.pages[0].asarray(), tiff.pages[0].description
    tifffile.imwrite(path, pixels, photometric="minisblack", description=description, metadata=None, **coding)
    return path


def children(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the children that are started from now on."""
    started: list[list[str]] = []
    real = subprocess.Popen

    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(command)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return started


@pytest.fixture
def codecs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put another module in the place of the codecs, for the child alone."""

    def replace(program: str) -> None:
        (tmp_path / "codecs").mkdir()
        (tmp_path / "codecs" / "imagecodecs.py").write_text(program)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "codecs"))

    return replace


@pytest.mark.parametrize(
    "coding", [{"compression": "lzw"}, {"compression": "zstd", "predictor": 3, "tile": (16, 16)}, {"compression": "lzma"}], ids=str
)
def test_compressed_latents_come_from_the_child_as_the_library_reads_them(
    coding: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compressed(tmp_path / "cat.tiff", **coding)
    started = children(monkeypatch)

    found = opening(read_artifact, path, expect=tiffsd.Kind.LATENTS, name="cat.tiff")

    assert len(started) == 1
    wanted = tiffsd.read(path)
    assert found.header == wanted.header
    np.testing.assert_array_equal(found.tensors["latents"], wanted.tensors["latents"])


def test_an_uncompressed_file_starts_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = latents()
    (tmp_path / "cat.tiff").write_bytes(file_of(artifact))
    started = children(monkeypatch)

    found = opening(read_artifact, tmp_path / "cat.tiff", name="cat.tiff")

    assert started == []
    np.testing.assert_array_equal(found.tensors["latents"], artifact.tensors["latents"])


def test_of_a_file_of_many_pages_only_the_coded_ones_are_decoded_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = np.random.default_rng(1).random((4, 16, 16)).astype(np.float32)
    with tifffile.TiffWriter(tmp_path / "cat.tiff") as tiff:
        for index, page in enumerate(pages):
            tiff.write(page, photometric="minisblack", metadata=None, compression="zlib" if index % 2 else None)
    started = children(monkeypatch)

    found = opening(read_artifact, tmp_path / "cat.tiff", expect=tiffsd.Kind.LATENTS, name="cat.tiff")

    assert '"indices": [1, 3]' in started[0][-1]
    np.testing.assert_array_equal(found.tensors["latents"], tiffsd.read(tmp_path / "cat.tiff").tensors["latents"])


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (CRASH, r"was killed by signal 11, so the file is damaged or made to do harm; save it again .*uncompressed"),
        (GREEDY, "takes more memory than its size explains"),
        (VANISH, "gave no answer that can be used"),
        (FLOOD, "ended with code|damaged or incomplete|gave no answer"),
    ],
    ids=["crash", "greedy", "vanish", "flood"],
)
def test_a_codec_that_misbehaves_costs_the_file_and_not_the_daemon(
    program: str, sentence: str, tmp_path: Path, codecs: Callable[[str], None]
) -> None:
    path = compressed(tmp_path / "cat.tiff", compression="lzw")
    codecs(program)

    with pytest.raises(tiffsd.Truncated, match=rf"^cat\.tiff.*({sentence})"):
        opening(read_artifact, path, name="cat.tiff")


def test_what_a_codec_writes_is_a_line_of_the_log(
    tmp_path: Path, codecs: Callable[[str], None], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = compressed(tmp_path / "cat.tiff", compression="lzw")
    codecs(LOUD)

    with pytest.raises(tiffsd.Truncated):
        opening(read_artifact, path, name="cat\n.tiff")

    wait_until(lambda: caplog.messages == ["decoder of cat\\n.tiff: loud\\x1b[2J\\xff"], what="it is in the log")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("program", [HANG, SPIN], ids=["hang", "spin"])
def test_a_codec_that_does_not_end_is_ended(
    program: str, tmp_path: Path, codecs: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compressed(tmp_path / "cat.tiff", compression="lzw")
    codecs(program)
    monkeypatch.setattr(decoding, "SECONDS", 2)

    with pytest.raises(tiffsd.Truncated, match=r"^cat\.tiff: .*(took more than 2 s|because it took too long)"):
        opening(read_artifact, path, name="cat.tiff")


def test_the_daemon_lives_when_a_dropped_file_crashes_its_codec(tmp_path: Path, codecs: Callable[[str], None]) -> None:
    codecs(CRASH)  # for all of the daemon's processes: one that touches a codec is gone
    daemon = RunningDaemon(tmp_path)
    try:
        pid = daemon.start()
        daemon.drop("inbox/2-diffuse", "cat.tiff", compressed(tmp_path / "saved.tiff", compression="lzw").read_bytes())
        (error,) = daemon.found("failed/2-diffuse/*/error.txt")

        assert "cat.tiff: what decodes its pixels was killed by signal 11" in error.read_text()
        assert daemon.process is not None
        assert (daemon.process.pid, daemon.process.poll()) == (pid, None)
    finally:
        daemon.close()


def test_broken_pixels_are_refused_with_the_sentence_of_the_format(tmp_path: Path) -> None:
    path = compressed(tmp_path / "cat.tiff", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[start : start + count] = bytes(count)
    path.write_bytes(data)

    with pytest.raises(tiffsd.Truncated, match=r"^cat\.tiff is damaged or incomplete .*copy or save it again"):
        opening(read_artifact, path, name="cat.tiff")


def test_a_tiff_photo_beyond_the_limit_is_refused_before_a_child_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "photo.tif", np.zeros((300, 300, 3), np.uint8), photometric="rgb", compression="zlib")
    started = children(monkeypatch)
    monkeypatch.setattr(sizes, "MOST_DECODED", 10_000)

    with pytest.raises(InputError, match=r"photo\.tif: 300x300 is more than 10000 pixels, the most that is decoded"):
        opening(read_photo, tmp_path / "photo.tif", "photo.tif", size=(None, None), limit=1000)

    assert started == []


def test_a_photo_that_takes_more_memory_than_its_size_explains_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (6000, 6000)).save(tmp_path / "photo.png", compress_level=1)
    monkeypatch.setattr(decoding, "BYTES_PER_PHOTO_PIXEL", 1)

    with pytest.raises(InputError, match=r"photo\.png: decoding it takes more memory than its size explains"):
        opening(decode_photo, tmp_path / "photo.png", name="photo.png", limit=10**8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16", "CMYK"])
def test_the_memory_of_a_large_photo_suffices_in_every_mode(mode: str, tmp_path: Path) -> None:
    image = Image.linear_gradient("L").resize((2048, 2048)).convert(mode if mode != "I;16" else "I").convert(mode)
    suffix = ".tif.jpg" if mode == "CMYK" else ".png"
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / f"photo{suffix}", exif=exif)

    picture = opening(decode_photo, tmp_path / f"photo{suffix}", name="photo", limit=2048 * 2048).pixels

    assert picture.shape == (2048, 2048, 3)
    assert 0 <= picture.min() < picture.max() <= 1


def test_the_name_in_the_sentence_may_be_any_that_a_file_can_have(tmp_path: Path) -> None:
    name = "c\udc80t\n--help.png"
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 40)

    with pytest.raises(InputError) as error:
        opening(decode_photo, tmp_path / "a.png", name=name, limit=10**6)

    assert str(error.value).startswith(name)


def test_a_picture_and_its_words_come_from_one_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cat.png"
    info = PngInfo()
    info.add_text("parameters", "a cat")
    Image.new("RGB", (16, 8)).save(path, pnginfo=info)
    started = children(monkeypatch)

    photo = opening(read_photo, path, "cat.png", size=(None, None), limit=1000, characters=100)

    assert len(started) == 1
    assert photo.words == TextInPicture(infotext="a cat")


def test_a_child_that_reads_words_loads_no_library_of_pixels() -> None:
    code = "import sys, daemon.pictures.decoder; print(sorted({'numpy', 'PIL', 'tifffile', 'pydantic'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert found.stdout.strip() == "[]"


def test_words_that_are_too_long_are_refused_in_the_child(tmp_path: Path) -> None:
    path, info = tmp_path / "cat.png", PngInfo()
    info.add_text("parameters", "a" * 101)
    Image.new("RGB", (16, 8)).save(path, pnginfo=info)

    words = opening(read_words, path, name="cat.png", characters=100)

    refused = "cat.png: the prompt has 101 characters, the limit is 100 (limits.characters in config.yaml)"
    assert words == TextInPicture(refused=refused)


def test_the_time_of_a_child_is_bounded_by_the_pixels_of_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "scans.jpg"
    path.write_bytes(many_scans(40_000, (1024, 1024)))
    before = processor_seconds_of_children()

    with pytest.raises(InputError, match=r"^scans\.jpg: reading it takes more processor time than its size explains"):
        opening(decode_photo, path, name="scans.jpg", limit=1024 * 1024)

    assert processor_seconds_of_children() - before < SECONDS_TO_BEGIN + SECONDS_PER_MEGAPIXEL + 4


def processor_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_large_exact_tensors_come_from_the_child_as_the_library_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = latents()
    more = {"somebody.else": np.arange(2**22, dtype=np.uint8), "scheduler.step_index": np.array(3), "scheduler.none": np.empty(0)}
    (tmp_path / "cat.tiff").write_bytes(file_of(replace(made, tensors={**made.tensors, **more, "mask": np.eye(16) > 0})))
    started = children(monkeypatch)

    found = opening(read_artifact, tmp_path / "cat.tiff", name="cat.tiff")

    wanted = tiffsd.read(tmp_path / "cat.tiff")
    assert len(started) == 1
    assert (found.header, found.notes) == (wanted.header, wanted.notes)
    assert {key: (tensor.dtype, tensor.shape) for key, tensor in found.tensors.items()} == {
        key: (tensor.dtype, tensor.shape) for key, tensor in wanted.tensors.items()
    }
    for key, tensor in wanted.tensors.items():
        np.testing.assert_array_equal(found.tensors[key], tensor)


def test_tensors_beyond_the_limits_are_refused_with_the_figures(tmp_path: Path) -> None:
    made = latents()
    more = {"somebody.else": np.zeros(2**22, np.uint8)}
    (tmp_path / "cat.tiff").write_bytes(file_of(replace(made, tensors={**made.tensors, **more})))

    with pytest.raises(tiffsd.TooLarge, match=r"^cat\.tiff has exact tensors of 78848 bytes .* and 4198400 for all else"):
        opening(read_artifact, tmp_path / "cat.tiff", name="cat.tiff", tensors=TensorLimits(2**20, 2**20))
