"""The pictures of docs/recipes.md, made by the embedded model, each by what its recipe says.

python -m tests.docs.recipes docs/pictures/recipes
"""

import io
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw

from tests.running_daemon import RunningDaemon

SIDE, SHOWN, GAP = 128, 256, 12
PHOTO_WORDS = "a red house in a meadow at noon"


@contextmanager
def running(folder: Path) -> Iterator[RunningDaemon]:
    """A daemon with the embedded model and its usual settings."""
    daemon = RunningDaemon(folder, defaults={"steps": 20})
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def prompt(words: str, **settings: object) -> str:
    """A prompt file with settings above the words."""
    lines = "\n".join(f"{name}: {value}" for name, value in settings.items())
    return f"---\n{lines}\n---\n{words}\n"


def pictures_of(daemon: RunningDaemon, stem: str, count: int = 1) -> list[Image.Image]:
    """The finished pictures of a drop, in the order of their numbers."""
    made = []
    for path in daemon.found(f"pictures/{stem}*.png", count=count):
        with Image.open(path) as picture:
            made.append(picture.convert("RGB"))
    return made


def photo(daemon: RunningDaemon) -> Image.Image:
    """A picture that knows nothing of how it was made, as a camera's."""
    daemon.drop("inbox/1-text", "camera.txt", prompt(PHOTO_WORDS, seed=3))
    return pictures_of(daemon, "camera")[0]


def file_of(picture: Image.Image) -> bytes:
    """A picture as PNG, without a word in it."""
    file = io.BytesIO()
    picture.save(file, "png")
    return file.getvalue()


def drop_photo(
    daemon: RunningDaemon, stage: str, stem: str, picture: Image.Image, words: str, mask: Image.Image | None = None
) -> None:
    """A picture with its prompt, and its mask if there is one, beside it; the picture last."""
    daemon.drop(f"inbox/{stage}", f"{stem}.txt", words)
    if mask is not None:
        daemon.drop(f"inbox/{stage}", f"{stem}_mask.png", file_of(mask))
    daemon.drop(f"inbox/{stage}", f"{stem}.png", file_of(picture))


def strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures side by side, with nothing between them."""
    whole = Image.new("RGBA", (len(pictures) * (SHOWN + GAP) - GAP, SHOWN))
    for number, picture in enumerate(pictures):
        whole.paste(picture.convert("RGBA").resize((SHOWN, SHOWN), Image.Resampling.LANCZOS), (number * (SHOWN + GAP), 0))
    return whole


def img2img(daemon: RunningDaemon, start: Image.Image) -> list[Image.Image]:
    """The photo, and what 0.5 and 0.7 make of it."""
    made = []
    for strength in (0.5, 0.7):
        stem = f"anew{int(strength * 10)}"
        drop_photo(daemon, "encode", stem, start, prompt("a blue house in the snow at night", strength=strength, seed=5))
        made += pictures_of(daemon, stem)
    return [start, *made]


def inpainting(daemon: RunningDaemon, start: Image.Image) -> list[Image.Image]:
    """The photo, the mask, and what is made anew under it."""
    mask = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(mask).rectangle((20, 32, 116, 120), fill=255)
    drop_photo(daemon, "encode", "masked", start, prompt("a purple car in a meadow at noon", strength=1, seed=4, mask_blur=8), mask)
    return [start, mask.convert("RGB"), *pictures_of(daemon, "masked")]


def upscaling(daemon: RunningDaemon, _: Image.Image) -> list[Image.Image]:
    """The same seed, as it is and twice as large; both are shown from the same place at the same scale."""
    made = []
    for name, more in (("plain", {}), ("large", {"upscale": 2, "upscale_strength": 0.3})):
        daemon.drop("inbox/1-text", f"{name}.txt", prompt("a green tree in a desert at dawn", seed=8, **more))
        (picture,) = pictures_of(daemon, name)
        side = picture.width
        made.append(picture.crop((side // 4, side // 4, side * 3 // 4, side * 3 // 4)))
    return made


def inversion(daemon: RunningDaemon, start: Image.Image) -> list[Image.Image]:
    """The photo, what its noise makes with its own words, and with others."""
    drop_photo(daemon, "invert", "noise", start, prompt(PHOTO_WORDS, seed=1, guidance_scale=1, steps=50))
    (noise,) = daemon.found("hold/2-diffuse/noise.*.tiff")
    made = []
    for stem, words, guidance in (("same", PHOTO_WORDS, 1), ("other", "a blue house in a meadow at noon", 4)):
        settings = prompt(words, guidance_scale=guidance, steps=50, scheduler="ddim")
        daemon.drop("inbox/2-diffuse", f"{stem}.txt", settings)
        daemon.drop("inbox/2-diffuse", f"{stem}.tiff", noise.read_bytes())
        made += pictures_of(daemon, stem)
    return [start, *made]


def stopping(daemon: RunningDaemon, _: Image.Image) -> list[Image.Image]:
    """The proof of the half-done latents, what comes of them with their words, and with others from there on."""
    daemon.drop("inbox/1-text", "half.txt", prompt("a red balloon by the sea at sunset", seed=6, stop_at=5))
    (latents,) = daemon.found("hold/2-diffuse/half.????????.tiff")
    (proof,) = daemon.found("hold/2-diffuse/half.*.proof.png")
    with Image.open(proof) as picture:
        shown = picture.convert("RGB")
    daemon.drop("inbox/2-diffuse", "else.txt", prompt("a red balloon in the snow at night", guidance_scale=6))
    daemon.drop("inbox/2-diffuse", "else.tiff", latents.read_bytes())
    daemon.command("release", "half")
    return [shown, *pictures_of(daemon, "half"), *pictures_of(daemon, "else")]


def several(daemon: RunningDaemon, _: Image.Image) -> list[Image.Image]:
    """Four seeds of one prompt."""
    daemon.drop("inbox/1-text", "four.txt", prompt("a lighthouse at night", seed=20, count=4))
    return pictures_of(daemon, "four", count=4)


def painting(daemon: RunningDaemon, start: Image.Image) -> list[Image.Image]:
    """The finished picture, the sun that somebody painted on it, and what is made of it."""
    painted = start.copy()
    ImageDraw.Draw(painted).ellipse((86, 10, 114, 38), fill=(250, 205, 60))
    (made,) = daemon.found("pictures/camera.*.png")
    daemon.drop("inbox/encode", f"{made.stem}-sun.png", file_of(painted))
    return [start, painted, *pictures_of(daemon, f"{made.stem}-sun")]


RECIPES: Mapping[str, Callable[[RunningDaemon, Image.Image], list[Image.Image]]] = {
    "img2img": img2img,
    "inpainting": inpainting,
    "upscaling": upscaling,
    "inversion": inversion,
    "stopping": stopping,
    "several": several,
    "painting": painting,
}


def main(into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as daemon:
        start = photo(daemon)
        for name, recipe in RECIPES.items():
            strip(recipe(daemon, start)).quantize(255).save(into / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
