"""The painter in headless Chromium: what it draws is what the rules say, what it saves is that, and all else stays as it was."""

import json
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import tiffsd
from daemon.pictures.proofs import render_proof
from daemon.web.serving import PageServer
from tests.artifacts import latents
from tests.page.browser import Browser, browser
from tests.running_daemon import RunningDaemon
from tests.web import strokes

TOKEN = "0123456789abcdef0123456789abcdef"
IDENTITY, SIDE, BLOCK = "3f9a1c2e", 128, 8
HELD = f"hold/2-diffuse/cat.{IDENTITY}.tiff"
RED = [210, 30, 40]


class Place:
    """A spool with a server before it, and a browser that has been let in."""

    def __init__(self, spool: Path, config: Path, tab: Browser) -> None:
        self.root, self.tab = spool, tab
        self.server = PageServer(
            spool, config, lambda _root: ({}, lambda _stage, _name: ("", "")), host="127.0.0.1", port=0, token=TOKEN
        )
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        self.tab.open(f"{self.server.address}?token={TOKEN}")

    def close(self) -> None:
        self.server.close()
        self._thread.join(timeout=20)

    def hold(self, artifact: tiffsd.Artifact, *, proof: bool = True, name: str = HELD) -> Path:
        """Put latents on hold, with a proof as the daemon would lay it."""
        path = self.root / name
        made = replace(artifact, header=replace(artifact.header, id=IDENTITY))
        tiffsd.write(path, made)
        if proof:
            path.with_name(path.name.replace(".tiff", ".proof.png")).write_bytes(render_proof(picture(), IDENTITY))
        return path

    def open(self, name: str = HELD, **size: Any) -> None:
        """Open the painter on what waits."""
        self.tab.open(f"{self.server.address}painter?path={name}", **size)
        self.tab.wait("document.body.dataset.ready === 'true'")

    def brush(self, **said: Any) -> None:
        self.tab.run(f"Object.assign(tiffsdPainter.easel.brush, {json.dumps(said)}), tiffsdPainter.controls.show()")

    def stroke(self, *places: tuple[float, float], on: str = "picture", kind: str = "mouse", modifiers: int = 0) -> list[Any]:
        """Drag the mouse along places, in pixels of the surface; where it truly was there."""
        view = f"tiffsdPainter.views.{on}"
        where = self.tab.run(
            f"(({{box, left, top, scale}}) => {{ const at = box.getBoundingClientRect(); "
            f"return [at.left + left, at.top + top, scale]; }})({view})"
        )
        screen = [(round(where[0] + x * where[2]), round(where[1] + y * where[2])) for x, y in places]
        for index, (x, y) in enumerate(screen):
            self.mouse("mousePressed" if index == 0 else "mouseMoved", x, y, kind, modifiers)
        self.mouse("mouseReleased", *screen[-1], kind, modifiers)
        return [self.tab.run(f"{view}.at({{clientX: {x}, clientY: {y}}})") for x, y in screen]

    def mouse(self, event: str, x: float, y: float, kind: str = "mouse", modifiers: int = 0) -> None:
        buttons = {"button": "left", "buttons": 0 if event == "mouseReleased" else 1, "clickCount": 1}
        self.tab.call("Input.dispatchMouseEvent", type=event, x=x, y=y, pointerType=kind, modifiers=modifiers, **buttons)

    def click(self, name: str) -> None:
        self.tab.run(f"document.getElementById({json.dumps(name)}).click()")

    def told(self, words: str) -> None:
        """Wait until the painter says so."""
        self.tab.wait(f"document.getElementById('told').textContent.includes({json.dumps(words)})")

    def save(self) -> None:
        self.click("save")
        self.told("Saved.")


def picture() -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(4)
    return np.repeat(np.repeat(rng.random((16, 16, 3)), 8, axis=0), 8, axis=1).astype(np.float32)


def levels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def proof_beside(path: Path) -> Path:
    return path.with_name(path.name.replace(".tiff", ".proof.png"))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.call("Page.setBypassCSP", enabled=False)
        yield opened


@pytest.fixture
def place(tmp_path: Path, tab: Browser) -> Iterator[Place]:
    idle = RunningDaemon(tmp_path)
    place = Place(idle.spool, idle.config, tab)
    tab.complaints.clear()
    yield place
    # Where a test has failed, nothing is to be asked before the page is left.
    tab.run("(easel => [easel?.latents, easel?.picture].forEach(one => one?.keep(one.now)))(globalThis.tiffsdPainter?.easel)")
    tab.open("about:blank")
    place.close()
    assert [said for said in tab.complaints if "favicon" not in said] == []


def half_done(**more: Any) -> tiffsd.Artifact:
    return latents(state=tiffsd.State.PARTIAL, step=3, steps=9, sigma=1.5, **more)


LINE = [(20.0, 30.0), (70.0, 44.0), (90.0, 100.0)]


@pytest.mark.parametrize("size", [1, 2, 7, 24, 60])
def test_a_hard_stroke_is_saved_as_pillow_draws_the_same_discs(place: Place, size: int) -> None:
    path = place.hold(half_done())
    was = levels(proof_beside(path))
    place.open()
    place.brush(size=size, colour=RED)
    points = place.stroke(*LINE)
    place.save()
    drawn = Image.fromarray(was.copy())
    for left, top in strokes.stamps(points, size):
        box = (left, top, left + size - 1, top + size - 1)
        ImageDraw.Draw(drawn).point(box[:2], fill=tuple(RED)) if size == 1 else ImageDraw.Draw(drawn).ellipse(box, fill=tuple(RED))
    assert (levels(proof_beside(path)) == np.asarray(drawn)).all()
    assert (was != np.asarray(drawn)).any()


@pytest.mark.parametrize(("hardness", "opacity"), [(0, 100), (50, 40), (100, 70), (95, 100)])
def test_a_soft_stroke_is_saved_as_numpy_draws_it_by_the_same_rules(place: Place, hardness: int, opacity: int) -> None:
    path = place.hold(half_done())
    was = levels(proof_beside(path))
    place.open()
    place.brush(size=33, hardness=hardness, opacity=opacity, colour=RED)
    points = place.stroke(*LINE)
    place.save()
    alpha = strokes.alpha_of((SIDE, SIDE), points, 33, hardness=hardness, opacity=math.floor(opacity * 2.55 + 0.5))
    assert (levels(proof_beside(path)) == strokes.painted(was, alpha, RED)).all()


def test_a_saved_proof_keeps_what_it_says_of_itself(place: Place) -> None:
    path = place.hold(half_done())
    with Image.open(proof_beside(path)) as image:
        image.load()
        was = dict(image.info)
    place.open()
    place.brush(colour=RED)
    place.stroke(*LINE)
    place.save()
    with Image.open(proof_beside(path)) as image:
        image.load()
        assert image.info == was
    assert IDENTITY in was["Comment"]


def test_undo_and_redo_go_over_all_strokes_and_the_eraser_brings_the_original_back_across_saves(place: Place) -> None:
    path = place.hold(half_done())
    shown = proof_beside(path).read_bytes()
    place.open()
    place.brush(size=20, colour=RED)
    place.stroke(*LINE)
    place.stroke((100, 20), (20, 100))
    place.tab.run("tiffsdPainter.easel.undo(), tiffsdPainter.easel.undo()")
    assert place.tab.run("tiffsdPainter.easel.isSaved")
    place.tab.run("tiffsdPainter.easel.redo(), tiffsdPainter.easel.redo()")
    place.save()
    assert proof_beside(path).read_bytes() != shown
    place.brush(tool="erase", size=300)
    place.stroke((64, 64))
    place.save()
    assert proof_beside(path).read_bytes() == shown


def test_values_are_painted_on_one_panel_and_read_by_everybody_as_paint(place: Place) -> None:
    artifact = half_done()
    path = place.hold(artifact)
    place.open()
    place.brush(tool="value", value=2, size=40, everyPanel=False)
    place.stroke((24, 6), on="panels")  # the second panel
    place.save()
    read = tiffsd.read(path)
    was, now = artifact.tensors["latents"], read.tensors["latents"]
    changed = was != now
    assert not changed[[0, 2, 3]].any()
    assert changed[1].sum() == (strokes.cover(5, 100) > 0).sum() == read.painted
    assert now[changed] == pytest.approx(2 * math.sqrt(1.5**2 + 1), abs=1e-5)
    place.brush(tool="erase", everyPanel=True, size=300)
    place.stroke((24, 6), on="panels")
    place.save()
    assert tiffsd.read(path).painted == 0


def test_noise_is_drawn_from_the_seed_in_the_blocks_under_the_brush(place: Place) -> None:
    artifact = half_done(height=32, width=32)
    path = place.hold(artifact, proof=False)
    found = []
    for _ in range(2):
        tiffsd.write(path, replace(artifact, header=replace(artifact.header, id=IDENTITY)))
        place.open()
        place.brush(tool="noise", size=400, seed=7, everyPanel=True)
        place.stroke((16, 16), on="panels")
        place.save()
        found.append(tiffsd.read(path).tensors["latents"])
    assert (found[0] == found[1]).all()
    assert (found[0] != artifact.tensors["latents"]).all()
    for channel in range(4):
        assert found[0][channel].mean() == pytest.approx(artifact.tensors["latents"][channel].mean(), abs=0.15)
        assert found[0][channel].std() == pytest.approx(artifact.tensors["latents"][channel].std(), abs=0.12)


def test_finished_latents_take_no_noise_and_the_page_says_why(place: Place) -> None:
    place.hold(latents(state=tiffsd.State.FINAL))
    place.open()
    assert place.tab.run("document.querySelector('[name=tool][value=noise]').disabled")
    place.brush(tool="noise")
    place.stroke((50, 50))
    place.told("These latents are finished")
    assert place.tab.run("tiffsdPainter.easel.isSaved")


def test_a_region_is_copied_from_another_picture_and_from_other_latents(place: Place) -> None:
    path = place.hold(half_done())
    other = place.root / "hold/2-diffuse/dog.00c0ffee.tiff"
    theirs = half_done(seed=9)
    tiffsd.write(other, theirs)
    proof_beside(other).write_bytes(render_proof(picture()[::-1], "00c0ffee"))
    (place.root / "hold/2-diffuse/small.tiff").write_bytes(b"II*\0")
    place.open()
    place.tab.wait("document.getElementById('source').options.length > 1")
    place.tab.run("(s => { s.selectedIndex = 1; s.dispatchEvent(new Event('change')); })(document.getElementById('source'))")
    place.told("dog.00c0ffee.tiff")
    place.brush(tool="copy", size=300)
    place.stroke((64, 64))
    place.stroke((8, 8), on="panels")
    place.save()
    assert (levels(proof_beside(path)) == levels(proof_beside(other))).all()
    assert tiffsd.read(path).tensors["latents"] == pytest.approx(theirs.tensors["latents"], abs=1e-5)


def test_what_somebody_else_has_saved_meanwhile_is_not_saved_over(place: Place) -> None:
    path = place.hold(half_done())
    place.open()
    place.brush(colour=RED)
    place.stroke(*LINE)
    theirs = render_proof(picture()[::-1], IDENTITY)
    proof_beside(path).write_bytes(theirs)
    place.click("save")
    place.told("so your paint was not saved over it")
    assert proof_beside(path).read_bytes() == theirs
    assert not place.tab.run("tiffsdPainter.easel.isSaved")
    place.tab.complaints[:] = [said for said in place.tab.complaints if "409" not in said]
    place.tab.run("tiffsdPainter.easel.undo()")


def test_a_proof_that_cannot_be_painted_on_is_said_so_and_its_latents_still_can(place: Place) -> None:
    path = place.hold(half_done())
    Image.new("RGBA", (SIDE, SIDE)).save(proof_beside(path))
    place.open()
    place.told("in a form that cannot be painted on here")
    place.tab.complaints[:] = [said for said in place.tab.complaints if "400" not in said]
    place.brush(tool="value", value=1)
    place.stroke((8, 8), on="panels")
    place.save()
    assert tiffsd.read(path).painted


def test_who_leaves_with_paint_that_is_not_saved_is_asked(place: Place) -> None:
    place.hold(half_done())
    place.open()
    asks = "(event => (dispatchEvent(event), event.defaultPrevented))(new Event('beforeunload', {cancelable: true}))"
    assert not place.tab.run(asks)
    place.stroke(*LINE)
    assert place.tab.run(asks)
    place.save()
    assert not place.tab.run(asks)


def test_only_the_keyboard_paints_undoes_and_saves(place: Place) -> None:
    path = place.hold(half_done())
    was = levels(proof_beside(path))
    place.open()
    place.tab.run("document.getElementById('picture').focus()")
    for key in ("e", "b", "]", "ArrowLeft", "ArrowUp", "Enter"):
        place.tab.press(key)
    assert not place.tab.run("tiffsdPainter.easel.isSaved")
    place.tab.call("Input.dispatchKeyEvent", type="keyDown", key="s", modifiers=2, windowsVirtualKeyCode=83)
    place.told("Saved.")
    changed = (levels(proof_beside(path)) != was).any(axis=2)
    assert changed.any()
    names = place.tab.run(
        "[...document.querySelectorAll('button, input, select, [tabindex]')].filter(e => !e.hidden && "
        "!(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label'))).map(e => e.id)"
    )
    assert names == []


def test_a_pen_paints_as_wide_as_it_is_pressed_and_two_fingers_zoom(place: Place) -> None:
    path = place.hold(half_done())
    was = levels(proof_beside(path))
    place.open(width=390, height=800)
    place.tab.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)
    at = place.tab.run(
        "(b => [b.left + b.width / 2, b.top + b.height / 2])(document.getElementById('picture').getBoundingClientRect())"
    )
    before = place.tab.run("tiffsdPainter.views.picture.scale")

    def touch(kind: str, *points: tuple[float, float]) -> None:
        place.tab.call(
            "Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
        )

    one, other = (at[0] - 30, at[1]), (at[0] + 30, at[1])
    touch("touchStart", one)
    touch("touchStart", one, other)
    touch("touchMove", (one[0] - 50, one[1]), (other[0] + 50, other[1]))
    touch("touchEnd")
    assert place.tab.run("tiffsdPainter.views.picture.scale") > 1.5 * before
    assert place.tab.run("tiffsdPainter.easel.isSaved")  # the first finger's stroke was taken back
    touch("touchStart", one)
    touch("touchMove", other)
    touch("touchEnd")
    assert not place.tab.run("tiffsdPainter.easel.isSaved")
    place.save()
    assert (levels(proof_beside(path)) != was).any()
    place.tab.call("Emulation.setTouchEmulationEnabled", enabled=False)
    sizes = place.tab.run("[0.1, 0.5, 1].map(p => tiffsdPainter.easel.sizeOn(tiffsdPainter.easel.picture, p))")
    assert sizes == [2, 12, 24]


def test_a_hostile_prompt_is_only_text_and_nothing_is_asked_of_another_address(place: Place) -> None:
    words = "<img src=x onerror=alert(1)> </script><b>bold"
    place.hold(half_done(recipe={"prompt": words, "model": "demo", "seed": 1}))
    place.tab.requests.clear()
    place.open()
    assert place.tab.run("document.getElementById('facts').textContent").endswith(words)
    assert place.tab.run("document.querySelectorAll('img, b, header script').length") == 0
    strangers = [url for url in place.tab.requests if not url.startswith((place.server.address, "data:", "blob:"))]
    assert strangers == []


@pytest.mark.parametrize("name", ["a cat + 100% & more?#.tiff", "k\u00e4fer.tiff", "bytes\udcff.tiff"])
def test_latents_of_any_name_are_painted_on(place: Place, name: str) -> None:
    path = place.hold(half_done(), name=f"hold/2-diffuse/{name}")
    was = levels(proof_beside(path))
    place.open("hold/2-diffuse/" + quote(os.fsencode(name)))
    place.brush(colour=RED)
    place.stroke(*LINE)
    place.save()
    assert (levels(proof_beside(path)) != was).any()


@pytest.mark.parametrize(("width", "height"), [(390, 800), (1280, 850), (1920, 1080)])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_lies_beyond_the_edge_of_the_window(place: Place, width: int, height: int, dark: bool, tmp_path: Path) -> None:
    place.hold(half_done())
    place.open(width=width, height=height, dark=dark)
    place.tab.run("document.getElementById('which').hidden = false, document.getElementById('more').click()")
    assert place.tab.run("document.documentElement.scrollWidth") <= width
    for part in ("header", ".under", ".tools", "#settings", ".acts"):
        assert place.tab.run(f"(e => e.scrollWidth - e.clientWidth)(document.querySelector('{part}'))") <= 1, part
    place.tab.run("document.getElementById('more').click()")
    assert place.tab.run("document.getElementById('picture').clientHeight") > height / 3
    place.tab.picture(tmp_path / "painter.png")


def test_large_pictures_stay_fluid(place: Place) -> None:
    side = 2048
    artifact = half_done(height=side // 8, width=side // 8)
    path = place.hold(artifact, proof=False)
    proof_beside(path).write_bytes(render_proof(np.full((side, side, 3), 0.5, np.float32), IDENTITY))
    place.open()
    place.brush(size=120, hardness=50)
    took = place.tab.run(
        "(easel => { const hand = easel.hand('picture'), from = performance.now(); hand.begin({x: 200, y: 200, pressure: 1}); "
        "for (let at = 0; at < 60; at++) hand.move({x: 200 + 25 * at, y: 200 + 20 * at, pressure: 1}); hand.end(); "
        "return performance.now() - from; })(tiffsdPainter.easel)"
    )
    assert took < 60 * 100  # a hand moves 60 times a second; here are two slow cores
    place.tab.run("tiffsdPainter.easel.undo()")
    assert place.tab.run("tiffsdPainter.easel.isSaved")
