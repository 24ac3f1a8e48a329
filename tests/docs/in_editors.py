"""Screenshots of the steps of painting on a proof in GIMP and in Krita, each on a screen that nobody sees.

Debian's packages gimp, krita, xvfb, openbox, xdotool and imagemagick are needed.

python -m tests.docs.in_editors docs/pictures/editors
"""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from tests.conftest import wait_until
from tests.docs.animation import SEED, STEPS, STOP, WORDS
from tests.docs.recipes import prompt, running

WIDTH, HEIGHT, COLOURS = 1120, 760, 240
PROOF = "tree.3f9a1c2e.proof.png"
SLOW_SECONDS = 120.0
# On the screen: where a colour is taken, and where it is put.
OLD_MOON = {"gimp": (335, 195), "krita": (222, 190)}
NEW_MOON = {"gimp": (750, 200), "krita": (650, 190)}


class Screen:
    """A screen of its own, with a window manager and one program; keys and clicks go to it."""

    def __init__(self, display: str, home: Path) -> None:
        own = {"DISPLAY": display, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "GEGL_THREADS": "1", "LANG": "C.UTF-8"}
        self.surroundings = {**os.environ, **own}

    def does(self, *words: object) -> str:
        """One command of xdotool; what it says."""
        line = ["xdotool", *map(str, words)]
        done = subprocess.run(line, env=self.surroundings, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip()

    def window(self, name: str) -> str:
        """The window of this name, waited for."""
        found = wait_until(
            lambda: self.does("search", "--onlyvisible", "--name", name), seconds=SLOW_SECONDS, what=f"the window {name}"
        )
        return str(found).splitlines()[-1]

    def keys(self, *names: str) -> None:
        for name in names:
            self.does("key", name)
            self.settled()

    def click(self, x: int, y: int, *, held: str = "") -> None:
        """Click at a place, with a key held down or without."""
        self.does("mousemove", x, y)
        if held:
            self.does("keydown", held)
            self.settled()
        self.does("mousedown", 1)
        self.does("sleep", 0.3)
        self.does("mouseup", 1)
        self.settled()
        if held:
            self.does("keyup", held)
        self.settled()

    def settled(self) -> bytes:
        """The screen, as soon as it stands still."""
        seen = [b"", b"never"]

        def is_still() -> bool:
            seen.append(self._seen())
            return seen[-1] == seen[-2] == seen[-3]

        wait_until(is_still, seconds=SLOW_SECONDS, what="a screen that stands still")
        return seen[-1]

    def _seen(self, window: str = "root") -> bytes:
        words = ["import", "-window", window, "png:-"]
        return subprocess.run(words, env=self.surroundings, capture_output=True, timeout=60, check=True).stdout

    def picture(self, path: Path, window: str = "root") -> None:
        """What is on the screen, or in a window, in as few colours as can be seen."""
        self.settled()
        with Image.open(io.BytesIO(self._seen(window))) as found:
            found.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


@contextmanager
def screen(home: Path, number: int, program: Sequence[str]) -> Iterator[Screen]:
    """A screen on which this program has begun."""
    made = Screen(f":{number}", home)
    server = ["Xvfb", made.surroundings["DISPLAY"], "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"]
    processes = [_begun(server, made.surroundings)]
    try:
        wait_until(lambda: made.does("getdisplaygeometry"), what="a screen")
        for words in (["openbox"], list(program)):
            processes.append(_begun(words, made.surroundings))
        yield made
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


def _begun(words: Sequence[str], surroundings: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def in_gimp(proof: Path, home: Path, into: Path) -> None:
    """Open the proof, keep its profile, paint a moon, and overwrite it."""
    with screen(home, 71, ["gimp", "--new-instance", "--no-splash", str(proof)]) as shown:
        asked = shown.window("Convert to RGB")
        shown.does("windowmove", asked, 200, 100)
        shown.does("windowfocus", "--sync", asked)
        shown.picture(into / "gimp-profile.png", asked)
        shown.keys("alt+k")
        whole(shown, shown.window("imported"))
        shown.keys("shift+ctrl+j", "p")
        shown.click(1071, 138)
        shown.keys("Escape")
        shown.does("mousemove", *OLD_MOON["gimp"])
        shown.does("key", *["bracketleft"] * 29)
        shown.click(*OLD_MOON["gimp"], held="ctrl")
        shown.click(*NEW_MOON["gimp"])
        shown.picture(into / "gimp-painted.png")
        shown.keys("alt+f")
        shown.picture(into / "gimp-overwrite.png")


def in_krita(proof: Path, home: Path, into: Path) -> None:
    """Open the proof, and paint a moon."""
    with screen(home, 72, ["krita", "--nosplash", str(proof)]) as shown:
        whole(shown, shown.window("proof.png"))
        shown.keys("2", "b")
        shown.does("mousemove", *OLD_MOON["krita"])
        shown.does("key", *["bracketleft"] * 8)
        shown.click(*OLD_MOON["krita"], held="ctrl")
        shown.click(*NEW_MOON["krita"])
        shown.picture(into / "krita-painted.png")


def whole(shown: Screen, window: str) -> None:
    """A window as large as the screen, without its frame's title."""
    shown.does("windowsize", window, WIDTH, HEIGHT)
    shown.does("windowmove", window, 0, 0)
    shown.does("windowfocus", "--sync", window)
    shown.settled()


def proof_of_a_tree(folder: Path) -> bytes:
    """The proof of the half-done latents of the animation."""
    with running(folder) as daemon:
        daemon.drop("inbox/1-text", "tree.txt", prompt(WORDS, seed=SEED, steps=STEPS, stop_at=STOP))
        (path,) = daemon.found("hold/2-diffuse/tree.*.proof.png")
        return path.read_bytes()


def main(into: Path, editors: Sequence[str]) -> None:
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        proof = home / PROOF
        proof.write_bytes(proof_of_a_tree(home))
        for editor in editors:
            (home / editor).mkdir(mode=0o700)
            {"gimp": in_gimp, "krita": in_krita}[editor](proof, home / editor, into)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ("gimp", "krita"))
