"""The page in headless Chromium, opened as a file: by eye, keyboard and screen reader, with very much, and with hostile words.

Skipped where there is no Chromium; `make test-editors` installs one.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.artifacts import file_of, half_done, picture
from tests.page.browser import Browser, browser
from tests.page.spools import Look, new_spool
from tests.page.test_page import HOSTILE
from tests.running_daemon import RunningDaemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SEEN = "[...document.querySelectorAll('.entry')].map(e => e.textContent).join('|')"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A spool with one thing of each kind, and pictures that can be seen."""
    root = new_spool(tmp_path / "a spool with 100% of #odd? letters")
    (root / "hold/2-diffuse/cat.3f9a1c2e.tiff").write_bytes(file_of(half_done()))
    Image.new("RGB", (64, 48), "red").save(root / "hold/2-diffuse/cat.3f9a1c2e.proof.png")
    failed = root / "failed/1-text/owl.0000000a"
    failed.mkdir()
    (failed / "owl.txt").write_text("an owl")
    (failed / "error.txt").write_text("owl.txt: too many steps; ask for fewer\n")
    (root / "inbox/1-text/dog.txt").write_text("a dog in the rain")
    (root / "pictures/elk.0000000c.tiff").write_bytes(file_of(picture()))
    Image.new("RGB", (64, 64), "blue").save(root / "pictures/elk.0000000c.png")
    return root


def opened(chromium: Browser, root: Path, **how: Any) -> Browser:
    chromium.requests.clear()
    chromium.complaints.clear()
    chromium.open(root / "index.html", **how)
    if how.get("scripts", True):
        chromium.wait("document.querySelectorAll('section').length === 5 && document.title.length > 0")
        chromium.wait("document.getElementById('summary').textContent.includes('done today')")
    return chromium


def read_again(chromium: Browser) -> None:
    """What the page does every five seconds."""
    chromium.run(
        "new Promise(done => { const s = document.createElement('script'); s.src = 'index.js?' + Math.random();"
        "s.onload = s.onerror = () => done(1); document.head.append(s); })"
    )


def test_it_names_the_machines_that_compute_where_there_are_others(chromium: Browser, root: Path) -> None:
    machines = [{"node": "local", "state": "ready"}, {"node": "<b>gpu-box</b>", "state": "away"}]
    Look(root).again(worker={"workers": machines})
    page = opened(chromium, root)
    assert "Machines that compute: local (ready), <b>gpu-box</b> (away)." in page.run(
        "document.getElementById('as-of').textContent"
    )
    Look(root).again()
    read_again(page)
    page.wait("!document.getElementById('as-of').textContent.includes('Machines')")
    assert page.complaints == []


def test_it_shows_one_of_each_kind_with_pictures_and_asks_for_nothing_from_elsewhere(chromium: Browser, root: Path) -> None:
    Look(root).again()
    page = opened(chromium, root)
    counts = page.run(
        "Object.fromEntries([...document.querySelectorAll('section')].map(s => [s.id, s.querySelectorAll('.entry').length]))"
    )
    assert counts == {"held": 1, "running": 0, "failed": 1, "waiting": 1, "done": 1}
    page.run("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    page.wait("[...document.images].length === 2 && [...document.images].every(image => image.naturalWidth === 64)")
    said = page.run("document.getElementById('main').innerText")
    for words in (
        "tiffsd release cat",
        "hold/2-diffuse",
        "step 12 of 20",
        "owl.txt: too many steps",
        "a dog in the rain",
        "a red house",
    ):
        assert words in said
    assert page.run("document.title") == "(1) tiffsd"
    folder = root.as_uri() + "/"
    assert [url for url in page.requests if not url.startswith(folder)] == []
    assert page.complaints == []


def test_hostile_names_and_prompts_are_inert(chromium: Browser, root: Path) -> None:
    name = "<img src=x onerror=document.title='taken'>'\" & %41?#.txt"
    (root / "inbox/1-text" / name).write_text(HOSTILE)
    (root / "inbox/1-text/a'onmouseover='alert(1).txt").write_text("<svg onload=alert(1)>")
    Look(root).again()
    page = opened(chromium, root)
    assert page.run("document.querySelectorAll('main script, main svg, main img[onerror], main [onmouseover]').length") == 0
    assert HOSTILE.split("\u2028")[0].strip() in page.run(SEEN)
    target = page.run(f"[...document.querySelectorAll('a')].find(a => a.textContent === {json.dumps(name)}).pathname")
    assert target.endswith("%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D%27taken%27%3E%27%22%20%26%20%2541%3F%23.txt")
    assert page.complaints == []


def test_the_policy_stops_what_should_get_into_the_page_all_the_same(chromium: Browser, root: Path) -> None:
    Look(root).again()
    page = opened(chromium, root)
    page.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.taken = 1\"><p style=\"color:red\">x</p>')"
    )
    page.run("{ const s = document.createElement('script'); s.textContent = 'window.taken = 1'; document.body.append(s); } 0")
    page.run("{ const i = new Image(); i.src = 'https://example.invalid/seen.png'; } 0")
    assert page.run("fetch('index.js').then(() => 'read', () => 'refused')") == "refused"
    assert page.run("window.taken === undefined") is True
    assert sum("Content Security Policy" in complaint for complaint in page.complaints) >= 4


def test_it_follows_what_happens_and_keeps_search_scroll_focus_and_what_is_open(chromium: Browser, root: Path) -> None:
    for index in range(50):
        (root / f"inbox/1-text/row{index:02}.txt").write_text(f"a dog number {index}")
    look = Look(root)
    while not look.data or look.overview.is_behind:
        look.again()
    page = opened(chromium, root)
    page.run(
        "document.getElementById('words').value = 'dog'; document.getElementById('words').dispatchEvent(new Event('input')); 0"
    )
    assert page.run("document.querySelectorAll('#waiting .entry').length") == 51
    page.run("scrollTo(0, 900); document.querySelectorAll('#waiting .entry a')[30].focus({preventScroll: true}); 0")
    before = page.run("[scrollY, document.activeElement.textContent]")
    (root / "inbox/1-text/zebra.txt").write_text("a dog and a zebra")
    look.again()
    page.wait("document.querySelectorAll('#waiting .entry').length === 52")
    assert page.run("[scrollY, document.activeElement.textContent]") == before
    assert page.run("document.getElementById('words').value") == "dog"


def test_an_entry_that_changes_keeps_its_details_open_and_its_button_focused(chromium: Browser, root: Path) -> None:
    look = Look(root)
    look.again()
    page = opened(chromium, root)
    page.run("document.querySelector('#held details').open = true; document.querySelector('#held button').focus(); 0")
    (root / "hold/2-diffuse/cat.3f9a1c2e.proof.png").unlink()
    look.again()
    read_again(page)
    assert page.run("document.querySelector('#held img')") is None
    assert page.run("document.querySelector('#held details').open") is True
    assert page.run("document.activeElement.getAttribute('aria-label')") == "Copy tiffsd release cat"


@pytest.mark.parametrize(
    ("words", "found"), [("rain", ["dog"]), ("DOG a", ["dog"]), ("owl", ["owl"]), ("rain owl", []), ("too many", ["owl"])]
)
def test_search_finds_names_and_words_all_of_them(chromium: Browser, root: Path, words: str, found: list[str]) -> None:
    Look(root).again()
    page = opened(chromium, root)
    page.run(f"{{ const box = document.getElementById('words'); box.value = {words!r}; box.dispatchEvent(new Event('input')); }} 0")
    assert page.run("[...document.querySelectorAll('.job h3 bdi')].map(e => e.textContent)") == found
    assert page.run("document.getElementById('summary').textContent") == f"{len(found)} found"


def test_it_can_be_used_by_keyboard_alone(chromium: Browser, root: Path) -> None:
    Look(root).again()
    page = opened(chromium, root)
    reached = []
    for _ in range(12):
        page.press("Tab", code=9)
        reached.append(page.run("(e => e.getAttribute('aria-label') || e.id || e.textContent)(document.activeElement)"))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached[:2] == ["Skip to what waits for you", "words"]
    assert "Copy tiffsd release cat" in reached
    page.press("/", text="/", code=191)
    assert page.run("document.activeElement.id") == "words"


def test_a_screen_reader_finds_landmarks_headings_and_names(chromium: Browser, root: Path) -> None:
    Look(root).again()
    page = opened(chromium, root)
    page.call("Accessibility.enable")
    nodes = [node for node in page.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    said = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    roles = {role for role, _ in said}
    assert {"main", "banner", "search", "navigation", "contentinfo", "status", "region", "article", "heading"} <= roles
    assert [name for role, name in said if role == "searchbox"] == ["Search names and words"]
    assert ("image", "Proof: a red house") in said
    assert not [one for one in said if one[0] in ("link", "button", "image") and not one[1].strip()]
    levels = page.run("[...document.querySelectorAll('h1, h2, h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.run("document.getElementById('summary').getAttribute('role')") == "status"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_is_cut_off_and_everything_has_contrast(chromium: Browser, root: Path, width: int, dark: bool) -> None:
    (root / "inbox/1-text" / f"{'long' * 40}.txt").write_text("word" * 200)
    Look(root).again()
    page = opened(chromium, root, width=width, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(CONTRAST) == []


# Each element with text of its own: the ratio of its colour to the nearest background above it, as WCAG 2 has it.
CONTRAST = """(() => {
  const light = (rgb) => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parts(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    if (!e.checkVisibility() || e.closest('noscript, script')) continue;
    const [a, b] = [parts(getComputedStyle(e).color), behind(e)].map(c => light(c.slice(0, 3))).sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 40));
  }
  return bad; })()"""


def test_without_scripts_it_is_a_list_that_is_read_again(chromium: Browser, root: Path) -> None:
    Look(root).again()
    page = opened(chromium, root, scripts=False)
    page.wait("document.body && document.body.innerText.includes('a dog in the rain')")
    page.call("Accessibility.enable")
    said = " ".join(node.get("name", {}).get("value", "") for node in page.call("Accessibility.getFullAXTree")["nodes"])
    for words in ("Waits for you: 1", "tiffsd release cat", "owl.txt: too many steps", "Done today: 1"):
        assert words in said
    assert re.search(r'<noscript><meta http-equiv="refresh" content="30"></noscript>', (root / "index.html").read_text())


def test_five_thousand_artifacts_are_shown_in_pages_at_once(chromium: Browser, root: Path) -> None:
    look = Look(root)
    look.again()
    entry = look.data["entries"]["done"][0]
    many = [
        entry | {"name": f"p{n}.{n:08x}.png", "path": f"pictures/p{n}.png", "job": f"p{n}", "prompt": f"picture {n}"}
        for n in range(5000)
    ]
    data = look.data | {"counts": look.data["counts"] | {"done": 5000}, "entries": look.data["entries"] | {"done": many}}
    (root / "index.js").write_text(f'tiffsdPage("2026-11-30T12:00:00+00:00",{json.dumps(data)});')
    page = opened(chromium, root)
    page.wait("performance.getEntriesByName('first-contentful-paint').length > 0")
    painted = page.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    shown = "document.querySelectorAll('#done .entry').length"
    assert page.run(shown) == 60
    page.run("document.querySelector('#done .more').click()")
    assert page.run(shown) == 120
    took = page.run(
        "(() => { const from = performance.now(), box = document.getElementById('words'); box.value = 'picture 4321';"
        "box.dispatchEvent(new Event('input')); return performance.now() - from; })()"
    )
    assert page.run(shown) == 1
    for _ in range(5):
        read_again(page)
    page.call("HeapProfiler.collectGarbage")
    heap = page.run("performance.memory.usedJSHeapSize")
    # Measured on two busy cores: 72 ms, 24 ms, 10 MB.
    assert (painted < 3000, took < 1000, heap < 64e6) == (True, True, True), (painted, took, heap)


@pytest.mark.thorough
def test_it_follows_a_real_daemon_from_the_prompt_to_the_picture(chromium: Browser, tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path, previews={"every": 1})
    daemon.start()
    try:
        page = opened(chromium, daemon.spool)
        assert page.run("document.getElementById('summary').textContent").startswith("0 wait for you")
        daemon.drop("inbox/1-text", "boat.txt", "---\nhold: decode\nseed: 7\n---\na blue boat on a lake")
        page.wait("document.querySelector('#held .entry') !== null", 120)
        assert page.run("document.querySelector('#held .prompt').textContent") == "a blue boat on a lake"
        page.wait(
            "(image => image && image.alt.startsWith('Proof') && image.naturalWidth > 100)(document.querySelector('#held img'))",
            120,
        )
        source, _, target = (
            page.run("document.querySelector('#held .how').innerText").partition("move it from ")[2].partition(" to ")
        )
        (held,) = (path for path in (daemon.spool / source).iterdir() if path.suffix == ".tiff")
        held.rename(daemon.spool / target.split()[0] / held.name)
        page.wait("document.querySelector('#done .entry') !== null && document.querySelector('#held .entry') === null", 120)
        assert "text" in page.run("document.querySelector('#done .way').textContent")
        assert page.complaints == []
    finally:
        daemon.stop()
    page.wait("document.getElementById('told').textContent.includes('does not run')", 60)
