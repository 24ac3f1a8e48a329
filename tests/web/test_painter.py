"""What the painter reads and writes, without a browser: levels and values to the bit, and nothing but what may be painted on."""

import io
import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

pytest.importorskip("starlette")

import tiffsd
from daemon.errors import InputError, NotThere
from daemon.pictures.proofs import render_proof
from daemon.pictures.repainting import levels_of, repainted
from daemon.web import held_files
from daemon.web.held_files import Changed, Painted, read_latents, read_picture
from daemon.web.painter_sources import sources_of
from daemon.web.painter_state import state_of
from tests.artifacts import embedding, latents

IDENTITY = "3f9a1c2e"
NAME = f"cat.{IDENTITY}.tiff"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("hold/2-diffuse", "hold/3-decode", "hold/1-text", "pictures", "steps", "previews", "inbox/2-diffuse"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def picture(seed: int = 4) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).random((128, 128, 3)).astype(np.float32)


def held(root: Path, name: str = NAME, **more: Any) -> Path:
    path = root / "hold/2-diffuse" / name
    made = latents(state=tiffsd.State.PARTIAL, **more)
    tiffsd.write(path, replace(made, header=replace(made.header, id=IDENTITY)))
    path.with_name(name.replace(".tiff", ".proof.png")).write_bytes(render_proof(picture(), IDENTITY))
    return path


def proof_of(path: Path) -> Path:
    return held_files.picture_of(path)


def test_levels_go_out_and_come_back_as_they_are(root: Path) -> None:
    path = held(root)
    file, levels = read_picture(root, proof_of(path))
    now = levels.copy()
    now[10:20, 30:50] = (1, 2, 3)
    saved = Painted(root).picture(path, file.version, now.tobytes())
    assert saved.version != file.version
    assert (read_picture(root, proof_of(path))[1] == now).all()
    assert not [name for name in os.listdir(path.parent) if name.startswith(".")]


def test_the_original_levels_make_the_file_that_the_daemon_has_shown_to_the_byte(root: Path) -> None:
    path, painted = held(root), Painted(root)
    shown = proof_of(path).read_bytes()
    file, levels = read_picture(root, proof_of(path))
    once = painted.picture(path, file.version, (255 - levels).tobytes())
    painted.picture(path, once.version, levels.tobytes())
    assert proof_of(path).read_bytes() == shown


def test_all_that_a_png_says_beside_its_pixels_stays_to_the_byte() -> None:
    said, file = PngInfo(), io.BytesIO()
    said.add_text("Comment", "of latents")
    said.add_itxt("Title", "Käfer", "de", "Titel")
    levels = np.zeros((9, 7, 3), np.uint8)
    Image.fromarray(levels).save(file, format="PNG", pnginfo=said, dpi=(300, 300), exif=Image.Exif(), icc_profile=b"profile")
    png = file.getvalue()
    again = repainted(png, levels + 9)
    assert (levels_of(again, name="it", most=100) == 9).all()
    with Image.open(io.BytesIO(png)) as before, Image.open(io.BytesIO(again)) as after:
        before.load()
        after.load()
        assert after.info == before.info
    assert repainted(again, levels) == repainted(png, levels)


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "I;16", "1"])
def test_a_picture_that_would_lose_something_is_not_painted_on(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (8, 8)).save(file, format="PNG")
    with pytest.raises(InputError, match="8 bits, RGB"):
        levels_of(file.getvalue(), name="it", most=100)


@pytest.mark.parametrize("cut", [0, 4, 20, 60, 200])
def test_a_damaged_picture_is_a_sentence(cut: int) -> None:
    with pytest.raises(InputError):
        levels_of(render_proof(picture(), IDENTITY)[:cut], name="it", most=10**6)


def test_a_bomb_is_refused_by_its_head() -> None:
    file = io.BytesIO()
    Image.new("RGB", (20_000, 1000)).save(file, format="PNG")
    with pytest.raises(InputError, match="at most"):
        levels_of(file.getvalue(), name="it", most=10**6)


def test_values_under_the_mask_are_painted_and_all_others_stay_exact(root: Path) -> None:
    path, painted = held(root, sigma=2.0), Painted(root)
    was = read_latents(root, path)
    mask = np.zeros(was.values.shape, bool)
    mask[2, 4:9, 3:7] = True
    now = painted.latents(path, was.file.version, mask, np.full(was.values.shape, 3.25, np.float32))
    assert (now.values[~mask] == was.values[~mask]).all()
    assert now.values[mask] == pytest.approx(3.25, abs=1e-5)
    assert now.painted == mask.sum()
    assert (now.artifact.tensors["latents"] == was.values).all()
    mask[:] = True
    back = painted.latents(path, now.file.version, mask, was.values)
    assert back.painted == 0
    assert (back.values == was.values).all()


def test_latents_of_a_large_picture_are_read_and_painted(root: Path) -> None:
    path = held(root, channels=16, height=256, width=256)
    was = read_latents(root, path)
    mask = np.zeros(was.values.shape, bool)
    mask[15, 255, 255] = True
    now = Painted(root).latents(path, was.file.version, mask, was.values + 1)
    assert (now.values != was.values).sum() == 1


def test_what_was_saved_meanwhile_is_not_saved_over(root: Path) -> None:
    path, painted = held(root), Painted(root)
    file, levels = read_picture(root, proof_of(path))
    theirs = render_proof(picture(9), IDENTITY)
    proof_of(path).write_bytes(theirs)
    with pytest.raises(Changed, match="somebody else"):
        painted.picture(path, file.version, (levels + 1).tobytes())
    assert proof_of(path).read_bytes() == theirs
    was = read_latents(root, path)
    with pytest.raises(Changed):
        painted.latents(path, "0" * 64, np.ones(was.values.shape, bool), was.values)


def test_what_is_saved_while_ours_is_written_is_not_saved_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, theirs = held(root), render_proof(picture(9), IDENTITY)
    file, levels = read_picture(root, proof_of(path))

    def slow(png: bytes, now: Any) -> bytes:
        proof_of(path).write_bytes(theirs)
        return repainted(png, now)

    monkeypatch.setattr(held_files, "repainted", slow)
    with pytest.raises(Changed):
        Painted(root).picture(path, file.version, (levels + 1).tobytes())
    assert proof_of(path).read_bytes() == theirs
    assert not [name for name in os.listdir(path.parent) if name.startswith(".")]


def test_two_that_save_at_once_do_so_one_after_the_other(root: Path) -> None:
    path, painted, outcomes = held(root), Painted(root), list[str]()
    file, levels = read_picture(root, proof_of(path))

    def save(level: int) -> None:
        try:
            painted.picture(path, file.version, np.full_like(levels, level).tobytes())
            outcomes.append("saved")
        except Changed:
            outcomes.append("changed")

    threads = [threading.Thread(target=save, args=(level,)) for level in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["changed", "changed", "changed", "saved"]


def test_a_picture_of_another_size_and_one_beside_another_programs_paint_are_refused(root: Path) -> None:
    path = held(root)
    file, levels = read_picture(root, proof_of(path))
    with pytest.raises(InputError, match="load the page again"):
        Painted(root).picture(path, file.version, levels[1:].tobytes())
    Image.fromarray(levels).save(path.with_name(f"cat.{IDENTITY}.proof.jpg"))
    with pytest.raises(Changed, match=r"proof\.jpg"):
        Painted(root).picture(path, file.version, (levels + 1).tobytes())


def test_only_latents_that_wait_where_there_are_proofs_are_painted_on(root: Path) -> None:
    assert held_files.held(root, root / "hold/2-diffuse" / NAME)
    for place in (
        *("hold/1-text/cat.tiff", f"inbox/2-diffuse/{NAME}", "pictures/cat.png", "hold/2-diffuse", "index.html"),
        *("hold/2-diffuse/cat.proof.tiff", "hold/2-diffuse/.cat.tiff.part", "hold/2-diffuse/cat.txt", "hold/2-diffuse/a/cat.tiff"),
    ):
        with pytest.raises(NotThere):
            held_files.held(root, root / place)


def test_links_and_what_others_may_not_read_are_not_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = held(root)
    secret = tmp_path_factory.mktemp("home") / "secret.tiff"
    secret.write_bytes(path.read_bytes())
    link = path.with_name("link.tiff")
    link.symlink_to(secret)
    with pytest.raises(OSError, match=r".") as found:
        read_latents(root, link)
    assert not isinstance(found.value, FileNotFoundError)
    secret.chmod(0o600)
    os.link(secret, path.with_name("hard.tiff"))
    with pytest.raises(NotThere, match="another name"):
        read_latents(root, path.with_name("hard.tiff"))
    os.mkfifo(path.with_name("fifo.tiff"))
    with pytest.raises(OSError, match="regular"):
        read_latents(root, path.with_name("fifo.tiff"))


def test_latents_without_their_exact_values_and_other_artifacts_are_refused_with_a_sentence(root: Path) -> None:
    path = held(root)
    tiffsd.file.write_plain(path, np.zeros((4, 16, 16), np.float32))
    with pytest.raises(InputError, match="restore"):
        read_latents(root, path)
    tiffsd.write(path, embedding())
    with pytest.raises(tiffsd.WrongKind):
        read_latents(root, path)
    path.write_bytes(b"GIF89a")
    with pytest.raises(tiffsd.NotTiffsd):
        read_latents(root, path)


def test_the_state_tells_what_lies_there_and_what_came_after(root: Path) -> None:
    path = held(root, sigma=3.0, step=2, steps=8)
    said = state_of(root, path)
    assert (said["state"], said["size"], said["step"], said["steps"]) == ("partial", [4, 16, 16], 2, 8)
    assert said["deviation"] == pytest.approx(10**0.5)
    assert said["proof"]["width"] == 128
    assert (said["preview"], said["signed"], said["gone"]) == (None, False, False)
    preview = root / f"previews/cat.{IDENTITY}.png"
    preview.write_bytes(b"png")
    os.utime(preview, ns=(0, 0))
    assert state_of(root, path)["preview"] is None  # it shows the latents as they came
    os.utime(preview)
    assert state_of(root, path)["preview"]["path"] == f"previews/cat.{IDENTITY}.png"
    path.with_name(f"cat.{IDENTITY}.apply").touch()
    assert state_of(root, path)["signed"]
    child = latents()
    tiffsd.write(path.with_name("cat.00c0ffee.tiff"), replace(child, header=replace(child.header, parent=IDENTITY)))
    path.unlink()
    assert state_of(root, path) == {"gone": True, "successor": "hold/2-diffuse/cat.00c0ffee.tiff"}


def test_what_the_daemon_says_of_the_paint_is_told_with_the_state(root: Path) -> None:
    path = held(root)
    assert state_of(root, path)["complaint"] is None
    said = {"complaints": ["config.yaml has changed", f"no proof of hold/2-diffuse/{NAME}: that is more than paint"]}
    (root / "status.json").write_text(json.dumps(said))
    assert state_of(root, path)["complaint"] == said["complaints"][1]
    (root / "status.json").write_text("[1")
    assert state_of(root, path)["complaint"] is None


def test_sources_are_those_of_the_same_size(root: Path) -> None:
    path = held(root)
    dog = held(root, "dog.00c0ffee.tiff")
    held(root, "large.tiff", height=32)
    tiffsd.write(root / "steps/cat_step02.0badcafe.tiff", latents())
    Image.new("RGB", (128, 128)).save(root / "pictures/fox.11111111.png")
    Image.new("RGB", (64, 128)).save(root / "pictures/thin.22222222.png")
    (root / "pictures/<b>.png").write_bytes(b"\x89PNG")
    found = {one["path"]: (one["picture"], one["latents"]) for one in sources_of(root, path)}
    assert found == {
        f"hold/2-diffuse/{dog.name}": (True, True),
        "hold/2-diffuse/large.tiff": (True, False),
        "steps/cat_step02.0badcafe.tiff": (False, True),
        "pictures/fox.11111111.png": (True, False),
    }


def _app(root: Path) -> Any:
    from starlette.applications import Starlette

    from daemon.web.painter import routes

    return Starlette(routes=routes(root, "a-word"))


def test_the_page_is_strict_and_a_hostile_name_is_only_text_in_it(root: Path) -> None:
    from starlette.requests import Request

    name = '"><script>alert(1)<.tiff'
    held(root, name)
    (route,) = [route for route in _app(root).routes if route.path == "/painter"]
    scope = {"type": "http", "method": "GET", "query_string": f"path={quote(f'hold/2-diffuse/{name}')}".encode(), "headers": []}
    import asyncio

    answer = asyncio.run(route.endpoint(Request(scope)))
    text = answer.body.decode()
    assert "<script>alert" not in text
    assert text.count("<script") == 1
    assert 'content="a-word"' in text
    assert " style=" not in text
    assert "unsafe" not in answer.headers["content-security-policy"]
