"""Screenshots of the page with a server, of a spool in which something of each kind lies.

python -m tests.page.shots docs/pictures list board prompt painter
"""

import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from PIL import Image

from tests.page.browser import Browser, browser
from tests.page.served import served
from tests.running_daemon import RunningDaemon

VIEWS = ("list", "board", "prompt", "painter")
WIDTHS = {390: 844, 1280: 900, 1920: 1080}
COLOURS = 240
MOST_BYTES = 150_000
DONE = {
    "lighthouse": "a white lighthouse at night",
    "hills": "green hills under a red sun",
    "boat": "a blue boat on a lake",
    "house": "a red house in the snow",
}
HELD = {"harbour": ("hold: decode", "a yellow house by the sea"), "island": ("stop_at: 8\nsteps: 20", "a green tree on an island")}
WAITING = {"meadow": "a yellow sun over a meadow", "village": "three houses in the snow"}


@contextmanager
def lively(folder: Path) -> Iterator[RunningDaemon]:
    """A daemon that has made pictures, holds some, has failed once, and is at a long one while others wait."""
    daemon = RunningDaemon(folder, previews={"every": 5})
    daemon.start()
    try:
        for number, (name, words) in enumerate(DONE.items()):
            daemon.drop("inbox/1-text", f"{name}.txt", f"---\nseed: {7 + number}\nsteps: 20\n---\n{words}\n")
        for name, (settings, words) in HELD.items():
            daemon.drop("inbox/1-text", f"{name}.txt", f"---\nseed: 11\n{settings}\n---\n{words}\n")
        daemon.drop("inbox/1-text", "castle.txt", "---\nsteps: 5000\n---\na castle in the clouds\n")
        daemon.found("pictures/*.png", count=len(DONE))
        daemon.found("hold/*/*.proof.png", count=len(HELD))
        daemon.found("failed/*/*/error.txt")
        daemon.drop("inbox/1-text", "storm.txt", "---\nsteps: 1000\nwidth: 256\nheight: 256\nseed: 5\n---\na red boat in a storm\n")
        daemon.found("running/storm*.txt")
        daemon.found("previews/storm*.png")
        daemon.command("pause", "text")
        for name, words in WAITING.items():
            daemon.drop("inbox/1-text", f"{name}.txt", words)
        yield daemon
    finally:
        daemon.stop()


def shots(tab: Browser, address: str, into: Path, views: Sequence[str]) -> None:
    """Some of list, board, prompt and painter at each width, light and dark."""
    tab.open(address)
    for (width, height), dark in product(WIDTHS.items(), (False, True)):
        for view in views:
            tab.run(f"localStorage.setItem('tiffsd.board', '{str(view == 'board').lower()}')")
            tab.open(address.partition("?")[0], width=width, height=height, dark=dark)
            tab.wait("Boolean(globalThis.tiffsdWeb) && document.querySelector('.card, .entry') !== null")
            tab.wait("document.querySelector('#connection').hidden")
            if view == "painter":
                _painted(tab)
            if view == "prompt":
                tab.run("document.querySelector('[data-key=new]').click()")
                tab.wait("document.querySelectorAll('#settings .field').length > 5")
            tab.wait(SEEN)
            _saved(tab.picture(into / "whole.png"), into / f"{view}-{width}-{'dark' if dark else 'light'}.png")


def _painted(tab: Browser) -> None:
    """The painter of the island, with a moon that nobody has saved."""
    tab.run("[...document.querySelectorAll('a.button')].find(link => link.href.includes('island')).click()")
    tab.wait("document.body?.dataset.ready === 'true'")
    tab.run("Object.assign(tiffsdPainter.easel.brush, { size: 30, colour: [250, 235, 160] })")
    x, y = tab.run(
        "(() => { const box = document.querySelector('#picture').getBoundingClientRect(), side = Math.min(box.width, box.height);"
        "return [box.left + box.width / 2 - side * .25, box.top + box.height / 2 - side * .28] })()"
    )
    for kind, buttons in (("mousePressed", 1), ("mouseReleased", 0)):
        tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)
    # What is not saved is asked after when the page is left.
    tab.run("tiffsdPainter.saving.save()")


# What is on the screen has its picture.
SEEN = """[...document.images].filter(i => i.checkVisibility())
  .filter(i => i.getBoundingClientRect().top < innerHeight && i.getBoundingClientRect().left < innerWidth)
  .every(i => i.complete)"""


def _saved(whole: Path, path: Path) -> None:
    """The picture in as few colours as can be seen."""
    with Image.open(whole) as found:
        picture = found.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    assert file.tell() < MOST_BYTES, (path.name, file.tell())
    path.write_bytes(file.getvalue())
    whole.unlink()


def main(into: Path, views: Sequence[str]) -> None:
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with lively(home) as daemon, served(home, daemon.config) as address, browser(home / "profile") as tab:
            shots(tab, address, into, views)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or VIEWS)
