"""Files made to cost memory or time, dropped into the real daemon: its front process stays small, and other jobs finish.

A file that is refused lies in failed/ with the sentence that says why. What can be used in spite of all is used.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests import hostile_files as made
from tests.artifacts import file_of, latents, unmarried
from tests.hostile_files import EMOJI, MIB, chunk, inflating, itxt, jpeg, png, segment, webp
from tests.real.fast_daemon import FastDaemon

MOST_MEGABYTES = 150
LARGEST = (2048, 2048)  # as many pixels as the configuration allows
NO_RECIPE = "there is no recipe in this picture"
IGNORED = "ignored"
TOO_LONG = "limits.characters"


@dataclass(frozen=True)
class Specimen:
    """A hostile file: where it is dropped, its ending, what it is made of, and words of the sentence; None where it is used."""

    inbox: str
    ending: str
    make: Callable[[], bytes]
    words: Sequence[str] | None


def refused(inbox: str, ending: str, make: Callable[[], bytes], *words: str) -> Specimen:
    return Specimen(inbox, ending, make, words)


def used(inbox: str, ending: str, make: Callable[[], bytes]) -> Specimen:
    return Specimen(inbox, ending, make, None)


SPECIMENS = {
    # Texts in pictures.
    "900 texts of a megabyte": refused("1-text", ".png", made.many_texts, NO_RECIPE),
    "900 texts of a megabyte in a photo": refused("encode", ".png", made.many_texts, "more memory than its size explains"),
    "900 texts of four bytes a character": refused("1-text", ".png", lambda: made.many_texts(EMOJI), NO_RECIPE),
    "900 infotexts": refused("1-text", ".png", lambda: png(chunk(b"iTXt", itxt(keyword=b"parameters")) * 900), TOO_LONG),
    "900 bombs": refused(
        "1-text", ".png", lambda: png(chunk(b"zTXt", b"tiffsd\0\0" + inflating("a", 50)) * 900), "16777216 bytes", IGNORED
    ),
    "an infotext of a gigabyte": refused("1-text", ".png", lambda: made.one_text(1024), "'parameters'", IGNORED),
    "a recipe of many values": refused("1-text", ".png", made.recipe_of_values, "the recipe in this picture has", TOO_LONG),
    "a recipe in brackets": refused("1-text", ".png", lambda: made.recipe_of_values("[", 500_000), "is damaged"),
    "a million chunks": refused(
        "1-text", ".png", lambda: png(chunk(b"abCd", b"") * 1_000_000), "chunks ignored beyond the first 1000"
    ),
    "a profile of 500 megabytes": refused("encode", ".png", lambda: png(chunk(b"iCCP", b"x\0\0" + inflating("a", 500))), "PNG"),
    "EXIF that inflates": refused("1-text", ".jpg", lambda: jpeg(made.exif_note(50)), "EXIF", IGNORED),
    "100 EXIF segments": used("encode", ".jpg", lambda: jpeg(*[made.exif_note(50)] * 100)),
    "half a million segments": used("encode", ".jpg", lambda: jpeg(segment(0xE5, b"x") * 500_000)),
    "EXIF of two megabytes": refused("1-text", ".webp", lambda: webp(exif=b"Exif\0\0MM\0*" + bytes(2 * MIB)), "EXIF", IGNORED),
    # Pixels.
    "a picture that claims 4 gigapixels": refused("encode", ".png", made.claiming, "65535x65535", "the most that is decoded"),
    "the largest picture there may be": used("encode", ".png", lambda: png(size=LARGEST)),
    "the largest WebP": used("encode", ".webp", lambda: webp(LARGEST, lossless=True)),
    "the largest TIFF in float64": used("encode", ".tiff", lambda: made.large_picture(np.float64)),
    "the largest TIFF uncompressed": used("encode", ".tiff", lambda: made.large_picture(np.float32, compression=None)),
    "a TIFF of 256 megapixels": refused("encode", ".tiff", lambda: made.large_canvas(16_000), "256,000,000 pixels"),
    "40,000 scans": refused("encode", ".jpg", lambda: made.many_scans(40_000, (1024, 1024)), "more processor time", "PNG"),
    "2,000 frames": used("encode", ".webp", made.animation),
    # Latents.
    "a canvas of 33 megapixels": refused("3-decode", ".tiff", lambda: made.large_canvas(5792), "33,547,264 pixels"),
    "the same to diffuse": refused("2-diffuse", ".tiff", lambda: made.large_canvas(5792), "33,547,264 pixels"),
    "256 pages": refused("3-decode", ".tiff", made.many_pages, "33,547,264 pixels"),
    "255 smaller pages": refused("3-decode", ".tiff", lambda: made.many_pages(255, 180), "8,262,000 pixels"),
    "latents of the largest canvas": refused("3-decode", ".tiff", lambda: made.large_canvas(1448), "limits.pixels"),
    "a million strips": refused("encode", ".tiff", made.many_strips, "1048568 values in tag 273"),
    "half a million strips on two pages": refused("3-decode", ".tiff", lambda: made.many_strips(2**18, pages=2), "524288"),
    "a million tags": refused("3-decode", ".tiff", made.many_tags, "tags"),
    "numbers that all tags share": used("3-decode", ".tiff", lambda: made.many_numbers(count=2**18)),
    "a record of 15 megabytes": refused("3-decode", ".tiff", made.large_record, "in tag 65000", "2097152"),
    "a record of many values": refused("3-decode", ".tiff", lambda: made.large_record(size=MIB), "65536 values in tag 65000"),
    "a record where a prompt is expected": refused("1-text", ".tiff", lambda: made.large_record(size=MIB), "values in tag 65000"),
    "200,000 empty tensors": used("3-decode", ".tiff", made.many_tensors),
    "200 megabytes of tensors": used("3-decode", ".tiff", lambda: made.large_tensors(200)),
    "a tensor that nobody knows": used("3-decode", ".tiff", made.foreign_tensors),
    "a tensor that nobody knows to diffuse": refused("2-diffuse", ".tiff", made.foreign_tensors, "strength"),
    "a large tensor that nobody knows": refused("3-decode", ".tiff", lambda: made.foreign_tensors(100), "all else"),
    # Words.
    "a prompt of 100 megabytes": refused("1-text", ".txt", lambda: b"cat " * (25 * MIB), "larger than 80000 bytes"),
    "brackets in YAML": refused("1-text", ".txt", lambda: b"---\na: " + b"[" * 15_000 + b"\n---\na cat", "not valid YAML"),
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastDaemon]:
    running = FastDaemon(tmp_path_factory.mktemp("hostile-files") / "d", watch={"rescan_seconds": 0.2})
    running.start()
    running.drop("inbox/1-text", "first.txt", "the first job starts the worker")
    running.found("hold/2-diffuse/first.*")
    yield running
    running.close()


def peak_megabytes(pid: int) -> float:
    """What was resident at most since the last look."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def forget_peak(pid: int) -> None:
    with suppress(OSError):  # not all kernels can; then one that took too much fails those behind it as well
        Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECIMENS)
def test_a_hostile_file_costs_the_front_little_and_others_nothing(daemon: FastDaemon, name: str) -> None:
    specimen, stem = SPECIMENS[name], name.replace(",", "")
    data = specimen.make()
    forget_peak(daemon.pid())

    daemon.drop(f"inbox/{specimen.inbox}", f"{stem}{specimen.ending}", data)
    daemon.drop("inbox/1-text", f"beside {stem}.txt", "an innocent prompt")

    daemon.found(f"hold/2-diffuse/beside {stem}.*")
    if specimen.words is None:
        daemon.found(f"done/*/{stem}.*")
    else:
        (error,) = daemon.found(f"failed/*/{stem}.*/error.txt")
        sentence = error.read_text(encoding="utf-8").split("\n")[0]
        assert sentence.startswith(f"{stem}{specimen.ending}")
        assert [word for word in specimen.words if word not in sentence] == [], sentence
    assert peak_megabytes(daemon.pid()) < MOST_MEGABYTES


@pytest.mark.slow
def test_many_of_the_largest_pictures_at_a_time_cost_the_front_as_one(daemon: FastDaemon) -> None:
    data, names = png(size=LARGEST), [f"large{number}" for number in range(6)]
    forget_peak(daemon.pid())
    for name in names:
        daemon.drop("inbox/encode", f"{name}.png", data)
    for name in names:
        daemon.found(f"done/*/{name}.*")
    assert peak_megabytes(daemon.pid()) < MOST_MEGABYTES


@pytest.mark.slow
def test_a_mask_of_many_texts_costs_its_photo_only(daemon: FastDaemon) -> None:
    forget_peak(daemon.pid())
    daemon.drop("inbox/encode", "masked_mask.png", made.many_texts())
    daemon.drop("inbox/encode", "masked.png", png())
    (error,) = daemon.found("failed/encode/masked.*/error.txt")
    assert "masked_mask.png: decoding it takes more memory than its size explains" in error.read_text(encoding="utf-8")
    assert peak_megabytes(daemon.pid()) < MOST_MEGABYTES


@pytest.mark.slow
def test_the_largest_embedding_beside_latents_costs_the_front_little(daemon: FastDaemon) -> None:
    forget_peak(daemon.pid())
    daemon.drop("inbox/2-diffuse", "pair_prompt.tiff", made.large_canvas(1773))
    daemon.drop("inbox/2-diffuse", "pair_latent.tiff", file_of(unmarried(latents(recipe={}))))
    daemon.found("done/*/pair_*.tiff", count=2)
    assert peak_megabytes(daemon.pid()) < MOST_MEGABYTES
