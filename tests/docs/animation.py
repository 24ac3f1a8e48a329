"""The animation of the README, hold, paint, go on: each frame is what lies in the folders, and its picture what the daemon made.

python -m tests.docs.animation .github/pictures/hold-paint-go-on.webp
"""

import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tests.docs.recipes import prompt, running
from tests.running_daemon import RunningDaemon

WIDTH, HEIGHT, SIDE, MARGIN = 760, 384, 320, 32
PAPER, INK, FAINT, MARK = (250, 249, 246), (35, 38, 43), (120, 126, 136), (193, 76, 40)
MOST_BYTES = 1_500_000
WORDS, SEED, STEPS, STOP = "a green tree in the snow at night", 12, 20, 8
MOON, CENTRE, RADIUS = (250, 244, 205), (96, 30), 11
# Milliseconds that a frame stays.
BRIEF, READ, LONG = 160, 1500, 2600
FOLDERS = ("inbox/1-text", "hold/2-diffuse", "inbox/2-diffuse", "pictures")


@dataclass(frozen=True)
class Frame:
    """What is said, what lies in which folder, and the picture beside it."""

    said: str
    files: tuple[tuple[str, str], ...]
    picture: Image.Image | None
    milliseconds: int


def shown(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def proofs_of(daemon: RunningDaemon, stem: str, steps: Sequence[int]) -> list[Image.Image]:
    """How the picture looks after each of these steps: the steps that were kept, with their proofs."""
    made = []
    for step in steps:
        (latents,) = daemon.found(f"steps/{stem}_step{step:0{len(str(STEPS))}}.*.tiff")
        daemon.drop("hold/2-diffuse", f"at-{stem}-{step}.tiff", latents.read_bytes())
        (proof,) = daemon.found(f"hold/2-diffuse/at-{stem}-{step}.proof.png")
        made.append(shown(proof))
    return made


def strokes() -> Iterator[tuple[int, int, int, int]]:
    """A moon that grows from its middle, as boxes of discs."""
    x, y = CENTRE
    for radius in (3, 5, 7, 9, RADIUS):
        yield x - radius, y - radius, x + radius, y + radius


def painted(proof: Image.Image) -> list[Image.Image]:
    """The proof under the brush, stroke by stroke."""
    made = []
    for box in strokes():
        picture = proof.copy()
        ImageDraw.Draw(picture).ellipse(box, fill=MOON)
        made.append(picture)
    return made


def frames_of(daemon: RunningDaemon) -> Iterator[Frame]:
    """The whole story, as it is made."""
    drop = ("inbox/1-text", "tree.txt")
    yield Frame("Drop a prompt.", (drop,), None, READ)
    settings = {"seed": SEED, "steps": STEPS, "stop_at": STOP, "dump_every": 1}
    daemon.drop("inbox/1-text", "tree.txt", prompt(WORDS, **settings))
    (latents,) = daemon.found("hold/2-diffuse/tree.????????.tiff")
    proof = latents.with_suffix(".proof.png")
    daemon.found(f"hold/2-diffuse/{proof.name}")
    for picture in proofs_of(daemon, "tree", range(1, STOP)):
        yield Frame("It is denoised, step by step ...", (("inbox/2-diffuse", "tree.tiff"),), picture, BRIEF)
    held = (("hold/2-diffuse", latents.name), ("hold/2-diffuse", proof.name))
    before = shown(proof)
    yield Frame("... and stops where you said: step 8 of 20.", held, before, LONG)
    versions = painted(before)
    for picture in versions:
        yield Frame("Paint on its proof, in any editor.", held, picture, 2 * BRIEF)
    yield Frame("Paint on its proof, in any editor.", held, versions[-1], READ)
    versions[-1].save(proof)
    daemon.command("release", latents.name)
    (finished,) = daemon.found("pictures/tree.*.png")
    for picture in proofs_of(daemon, "tree", range(STOP + 1, STEPS)):
        yield Frame("Move it on. The loop goes on with your paint.", (("inbox/2-diffuse", latents.name),), picture, BRIEF)
    yield Frame("The second moon is part of it.", (("pictures", finished.name),), shown(finished), LONG)


def drawn(frame: Frame) -> Image.Image:
    """One frame: words and folders on the left, the picture on the right."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), frame.said, INK, ImageFont.load_default(17))
    y = MARGIN + 48
    for folder in FOLDERS:
        names = [name for place, name in frame.files if place == folder]
        pen.text((MARGIN, y), f"{folder}/", MARK if names else FAINT, ImageFont.load_default(15))
        for name in names:
            y += 22
            pen.text((MARGIN + 18, y), name, INK, ImageFont.load_default(15))
        y += 34
    box = (WIDTH - SIDE - MARGIN, MARGIN, WIDTH - MARGIN, MARGIN + SIDE)
    pen.rectangle(box, fill=(238, 236, 230))
    if frame.picture is None:
        for number, line in enumerate((f"seed: {SEED}", f"steps: {STEPS}", f"stop_at: {STOP}", "---", WORDS)):
            pen.text((box[0] + 24, box[1] + 90 + 26 * number), line, INK, ImageFont.load_default(15))
    else:
        sheet.paste(frame.picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), box[:2])
    return sheet


def without_ids(frame: Frame) -> Frame:
    """A frame whose names are the same whenever it is made: ids are drawn anew each time."""
    files = tuple((place, _with_id(name)) for place, name in frame.files)
    return Frame(frame.said, files, frame.picture, frame.milliseconds)


def _with_id(name: str) -> str:
    stem, *rest = name.split(".")
    return ".".join([stem, "3f9a1c2e", *rest[1:]]) if len(rest) > 1 else name


def animation(frames: Sequence[Frame]) -> bytes:
    """The frames as one animated WebP that begins anew."""
    first, *others = [drawn(without_ids(frame)) for frame in frames]
    file = io.BytesIO()
    times = [frame.milliseconds for frame in frames]
    first.save(file, "webp", save_all=True, append_images=others, duration=times, loop=0, quality=80, method=6)
    assert file.tell() < MOST_BYTES, file.tell()
    return file.getvalue()


def main(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as daemon:
        path.write_bytes(animation(list(frames_of(daemon))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
