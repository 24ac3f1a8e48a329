"""Bad input, dropped into the real daemon: each lands in failed/ with a sentence that names the file, the fault and the way out."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import tiffsd
from tests.artifacts import file_of, latents
from tests.running_daemon import RunningDaemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    running = RunningDaemon(tmp_path_factory.mktemp("bad-input"))
    running.start()
    yield running
    running.close()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, format="PNG")
    return file.getvalue()


def eight_bit() -> bytes:
    return tiff(np.full((32, 32), 100, np.uint8))


def prototype_integers() -> bytes:
    return tiff(np.full((4, 16, 16), 30_000, np.uint16), photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"])


def not_a_number() -> bytes:
    canvas = np.full((32, 32), 0.5, np.float32)
    canvas[3, 3] = np.nan
    return tiff(canvas)


def truncated() -> bytes:
    return file_of(latents())[:3000]


CASES: list[tuple[str, str, Callable[[], bytes], list[str]]] = [
    ("inbox/2-diffuse", "eight.tiff", eight_bit, ["eight.tiff", "8"]),
    ("inbox/2-diffuse", "cat_state1x.tiff", prototype_integers, ["cat_state1x.tiff", "whole numbers"]),
    ("inbox/2-diffuse", "nan.tiff", not_a_number, ["nan.tiff", "NaN"]),
    ("inbox/2-diffuse", "sixteen.tiff", lambda: file_of(latents(channels=16)), ["16", "channels", "demo"]),
    ("inbox/2-diffuse", "short.tiff", truncated, ["short.tiff"]),
    ("inbox/3-decode", "words.txt", lambda: b"a cat", ["words.txt", "inbox/1-text"]),
    ("inbox/2-diffuse", "photo.png", png, ["photo.png", "inbox/encode"]),
    (
        "inbox/2-diffuse",
        "finished.tiff",
        lambda: file_of(latents(state=tiffsd.State.FINAL)),
        ["finished.tiff", "strength", "3-decode"],
    ),
    ("inbox/1-text", "key.txt", lambda: b"---\nstepz: 3\n---\na cat", ["key.txt", "stepz", "did you mean 'steps'"]),
    ("inbox/1-text", "size.txt", lambda: b"---\nwidth: 500\n---\na cat", ["size.txt", "width", "multiple of 8", "496 or 504"]),
    ("inbox/1-text", "sampler.txt", lambda: b"---\nscheduler: eulr\n---\na cat", ["sampler.txt", "eulr", "'euler'"]),
    ("inbox/1-text", "model.txt", lambda: b"---\nmodel: sd9\n---\na cat", ["sd9", "config.yaml", "demo"]),
    ("inbox/1-text", "huge.txt", lambda: b"---\nwidth: 8192\nheight: 8192\n---\na cat", ["huge.txt", "8192x8192", "limits.pixels"]),
    ("inbox/1-text", "empty.txt", lambda: b"", ["empty.txt", "empty"]),
    ("inbox/encode", "broken.jpg", lambda: b"\xff\xd8\xff\xe0 no picture", ["broken.jpg", "PNG, JPEG or WebP"]),
    ("inbox/2-diffuse", "picture.tiff", lambda: tiff(np.zeros((64, 64, 3), np.float32), photometric="rgb"), ["picture.tiff"]),
]


@pytest.mark.parametrize(("place", "name", "make", "words"), CASES, ids=[case[1] for case in CASES])
def test_a_bad_file_fails_with_a_sentence(
    daemon: RunningDaemon, place: str, name: str, make: Callable[[], bytes], words: list[str]
) -> None:
    data = make()
    daemon.drop(place, name, data)
    stem, stage = Path(name).stem, Path(place).name
    (error,) = daemon.found(f"failed/{stage}/{stem}.*/error.txt")
    for word in words:
        assert word in error.read_text(encoding="utf-8")
    assert (error.parent / name).read_bytes() == data
    assert not (daemon.spool / place / name).exists()


def test_a_symbolic_link_is_refused_and_what_it_points_to_is_not_touched(daemon: RunningDaemon) -> None:
    secret = daemon.folder / "secret.txt"
    secret.write_text("a secret")
    (daemon.spool / "inbox/1-text/link.txt").symlink_to(secret)
    (error,) = daemon.found("failed/1-text/link.*/error.txt")
    assert "link.txt" in error.read_text()
    assert "symbolic link" in error.read_text()
    assert secret.read_text() == "a secret"


def test_a_fifo_is_refused_and_blocks_nothing(daemon: RunningDaemon) -> None:
    os.mkfifo(daemon.spool / "inbox/1-text/pipe.txt")
    (error,) = daemon.found("failed/1-text/pipe.*/error.txt")
    assert "pipe.txt" in error.read_text()
    assert "FIFO" in error.read_text()


def test_the_longest_name_a_file_can_have_goes_through(daemon: RunningDaemon) -> None:
    stem = "\u732b" * 83
    daemon.drop("inbox/1-text", f"{stem}.txt", "---\nhold: diffuse\nsave_embedding: cats\n---\na red house")
    daemon.found("hold/2-diffuse/\u732b*.tiff")
    daemon.found("embeddings/cats.tiff")


def test_the_daemon_still_works_after_all_of_it(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "good.txt", "---\nhold: diffuse\n---\na red house")
    daemon.found("hold/2-diffuse/good.*.tiff")
