"""The painter before a real daemon: stop half-way, paint, see its proof, take it, let it go on; what was not painted stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import tiffsd
from tests.conftest import wait_until
from tests.page.browser import browser
from tests.page.test_painter import Place, levels, proof_beside
from tests.running_daemon import RunningDaemon

BLUE = [40, 90, 230]
INSIDE = slice(52, 76)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    daemon = RunningDaemon(tmp_path_factory.mktemp("painter"), defaults={"steps": 20, "width": 128, "height": 128})
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def place(daemon: RunningDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        place = Place(daemon.spool, daemon.config, tab)
        yield place
        tab.open("about:blank")
        place.close()


def half_way(daemon: RunningDaemon, stem: str, **said: Any) -> tuple[Path, Path]:
    """Half-done latents on hold with their proof, and the picture that comes of them unpainted."""
    settings = "".join(f"{key}: {value}\n" for key, value in {"seed": 7, "steps": 20, "scheduler": "ddim", **said}.items())
    daemon.drop("inbox/1-text", f"{stem}.txt", f"---\n{settings}stop_at: 8\n---\na red house in a meadow at sunset")
    daemon.drop("inbox/1-text", f"{stem}-plain.txt", f"---\n{settings}---\na red house in a meadow at sunset")
    (plain,) = daemon.found(f"pictures/{stem}-plain.*.png")
    (proof,) = daemon.found(f"hold/2-diffuse/{stem}.*.proof.png")
    return proof.with_name(proof.name.replace(".proof.png", ".tiff")), plain


def name_of(place: Place, path: Path) -> str:
    return path.relative_to(place.root).as_posix()


def error(picture: np.ndarray[Any, Any]) -> float:
    return float(np.abs(picture[INSIDE, INSIDE].astype(float) - BLUE).mean() / 255)


def test_a_person_paints_half_way_sees_what_it_leads_to_takes_it_and_lets_it_go_on(daemon: RunningDaemon, place: Place) -> None:
    path, plain = half_way(daemon, "way")
    before = tiffsd.read(path).tensors["latents"]
    shown = levels(proof_beside(path))
    place.open(name_of(place, path))
    place.brush(size=56, colour=BLUE)
    place.stroke((64, 64))
    place.click("proof")
    place.told("This is what your paint leads to")
    assert place.tab.run("tiffsdPainter.views.picture.instead !== null")
    painted = (levels(proof_beside(path)) != shown).any(axis=2)
    blocks = painted.reshape(16, 8, 16, 8).any(axis=(1, 3))

    place.click("apply")
    place.tab.wait(f"document.body?.dataset.ready && !location.search.includes({path.stem!r})")
    (taken,) = daemon.found("hold/2-diffuse/way.????????.tiff")
    after = tiffsd.read(taken).tensors["latents"]
    assert ((before != after).any(axis=0) == blocks).all()
    place.tab.wait("globalThis.tiffsdPainter?.easel.picture && tiffsdPainter.easel.isSaved", 60)
    assert error(levels(proof_beside(taken))) < 0.2

    place.click("release")
    place.tab.wait("location.pathname === '/'")
    (made,) = daemon.found("pictures/way.????????.png")
    assert error(levels(made)) < 0.5 * error(levels(plain))


def test_what_is_saved_and_not_taken_goes_along_when_it_is_let_go_on(daemon: RunningDaemon, place: Place) -> None:
    path, plain = half_way(daemon, "along", seed=5)
    place.open(name_of(place, path))
    place.brush(size=56, colour=BLUE)
    place.stroke((64, 64))
    place.click("release")
    place.tab.wait("location.pathname === '/'")
    (made,) = daemon.found("pictures/along.????????.png")
    assert error(levels(made)) < 0.5 * error(levels(plain))
    assert daemon.found(f"done/*/{proof_beside(path).name}")


def test_an_unpainted_one_that_is_opened_and_let_go_on_is_what_it_would_have_been(daemon: RunningDaemon, place: Place) -> None:
    path, plain = half_way(daemon, "same", seed=3)
    place.open(name_of(place, path))
    place.brush(size=40, colour=BLUE)
    place.stroke((64, 64))
    place.save()
    place.brush(tool="erase", size=300)
    place.stroke((64, 64))
    place.save()
    place.click("release")
    place.tab.wait("location.pathname === '/'")
    (made,) = daemon.found("pictures/same.????????.png")
    assert (levels(made) == levels(plain)).all()


def test_noise_in_the_middle_is_shown_by_a_new_proof_and_makes_another_picture_there(daemon: RunningDaemon, place: Place) -> None:
    path, plain = half_way(daemon, "noise", seed=11)
    was = tiffsd.read(path).tensors["latents"]
    place.open(name_of(place, path))
    place.brush(tool="noise", size=40, seed=5)
    place.stroke((64, 64))
    place.click("proof")
    place.told("This is what it leads to")
    now = tiffsd.read(path)
    changed = (now.tensors["latents"] != was).any(axis=0)
    assert changed.sum() == 21  # the disc of five values
    assert now.painted == 4 * 21
    place.click("release")
    place.tab.wait("location.pathname === '/'")
    (made,) = daemon.found("pictures/noise.????????.png")
    assert (levels(made)[INSIDE, INSIDE] != levels(plain)[INSIDE, INSIDE]).any()


def test_paint_on_the_picture_and_on_the_panels_count_together(daemon: RunningDaemon, place: Place) -> None:
    path, plain = half_way(daemon, "both", seed=13)
    was = tiffsd.read(path).tensors["latents"]
    place.open(name_of(place, path))
    place.brush(size=40, colour=BLUE)
    place.stroke((28, 64))
    place.brush(tool="value", value=1.5, size=24)
    place.stroke((100, 100))
    place.click("proof")
    place.told("This is what your paint leads to")
    values = (tiffsd.read(path).tensors["latents"] != was).any(axis=0)
    place.click("apply")
    place.tab.wait(f"document.body?.dataset.ready && !location.search.includes({path.stem!r})")
    (taken,) = daemon.found("hold/2-diffuse/both.????????.tiff")
    changed = (tiffsd.read(taken).tensors["latents"] != was).any(axis=0)
    assert (changed & values).sum() == values.sum()
    assert changed[6:10, 1:6].all()
    assert not changed[:2].any()
    place.click("release")
    place.tab.wait("location.pathname === '/'")
    (made,) = daemon.found("pictures/both.????????.png")
    assert (levels(made) != levels(plain)).any()


def test_finished_latents_are_painted_before_they_are_decoded_and_no_other_block_changes(
    daemon: RunningDaemon, place: Place
) -> None:
    daemon.drop("inbox/1-text", "end.txt", "---\nseed: 2\nsteps: 8\nhold: decode\n---\na blue tree in the snow at night")
    (proof,) = daemon.found("hold/3-decode/end.*.proof.png")
    path = proof.with_name(proof.name.replace(".proof.png", ".tiff"))
    was = tiffsd.read(path).tensors["latents"]
    shown = levels(proof)
    place.open(name_of(place, path))
    place.brush(size=48, colour=BLUE)
    place.stroke((64, 64))
    place.save()
    blocks = (levels(proof) != shown).any(axis=2).reshape(16, 8, 16, 8).any(axis=(1, 3))
    place.click("apply")
    place.tab.wait(f"document.body?.dataset.ready && !location.search.includes({path.stem!r})")
    (taken,) = daemon.found("hold/3-decode/end.????????.tiff")
    assert ((tiffsd.read(taken).tensors["latents"] != was).any(axis=0) == blocks).all()
    place.click("release")
    (made,) = daemon.found("pictures/end.????????.png")
    assert error(levels(made)) < 0.2
    wait_until(lambda: not list(place.root.glob("hold/*/*.tiff")), what="nothing waits")
    assert not list(place.root.glob("failed/*/*"))


def test_what_was_there_before_is_known_when_the_painter_is_opened_again(daemon: RunningDaemon, place: Place) -> None:
    path, _ = half_way(daemon, "again", seed=17)
    shown, was = proof_beside(path).read_bytes(), tiffsd.read(path).tensors["latents"]
    place.open(name_of(place, path))
    place.brush(size=40, colour=BLUE)
    place.stroke((64, 64))
    place.brush(tool="value", value=1.5, size=24)
    place.stroke((100, 100))
    place.save()
    place.open(name_of(place, path))
    assert place.tab.run("[tiffsdPainter.easel.isPainted, tiffsdPainter.easel.latents.isOriginal]") == [True, False]
    assert " blocks of 8 pixels are painted on" in place.tab.run("document.getElementById('blocks').textContent")
    place.brush(tool="erase", size=300)
    place.stroke((64, 64))
    place.save()
    assert proof_beside(path).read_bytes() == shown
    np.testing.assert_array_equal(tiffsd.read(path).tensors["latents"], was)


def test_what_the_daemon_refuses_is_said_in_the_painter_at_once(daemon: RunningDaemon, place: Place) -> None:
    path, _ = half_way(daemon, "much", seed=19)
    place.open(name_of(place, path))
    place.brush(size=300, colour=BLUE)
    place.stroke((64, 64))
    assert place.tab.run("['proof', 'apply', 'release'].every(id => document.getElementById(id).disabled)")
    place.tab.run("dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', ctrlKey: true }))")
    place.told("The daemon says: ")
    assert path.name in place.tab.run("document.getElementById('told').textContent")
