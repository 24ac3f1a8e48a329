"""Editors that are commands: each file is one call, or a few where an edit takes more."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from tests.editors.edits import FILL, LEFT_BY_CROP, PAINTED, Box, Edit, Editor, Job, Run, each
from tests.editors.outcomes import planes
from tests.outside import outside
from tiffsd import Layout

SECONDS = 60
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
IMAGEJ = Path("/usr/share/java/ij.jar")
FLOATS = ("-define", "quantum:format=floating-point", "-depth", "32")


def call(*command: object, seconds: float = SECONDS, **environment: str) -> str:
    """Run a command and return what it said; what it could not do shows in the file that it left, or did not leave."""
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=outside(**ENVIRONMENT, **environment),
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0].decode(errors="replace")
        finally:  # an editor that hangs may have started others: plug-ins, an X server
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def magick(*command: str, colour: str = "gray(30%)", defines: tuple[str, ...] = ()) -> Run:
    """ImageMagick or GraphicsMagick: all pages at once."""
    corners = f"rectangle {PAINTED.x},{PAINTED.y} {PAINTED.right - 1},{PAINTED.bottom - 1}"
    options: dict[Edit, tuple[str, ...]] = {
        Edit.SAVE: (),
        Edit.FILL: ("-fill", colour, "-draw", corners),
        Edit.BLUR: ("-region", PAINTED.geometry, "-blur", "0x1.5"),
        Edit.CROP: ("-crop", LEFT_BY_CROP.geometry, "+repage"),
    }
    return each(lambda job: call(*command, job.source, *options[job.edit], *defines, job.target))


def oiiotool(job: Job) -> None:
    corners = f"{PAINTED.x},{PAINTED.y},{PAINTED.right - 1},{PAINTED.bottom - 1}"
    colour = ",".join([str(FILL)] * (3 if job.layout in (Layout.RGBA, Layout.RGB) else 1)) + ",1"  # the last is how opaque
    words: dict[Edit, list[object]] = {
        Edit.SAVE: [job.source],
        Edit.FILL: [job.source, f"--box:color={colour}:fill=1", corners],
        Edit.BLUR: [word for page in range(job.pages) for word in _oiiotool_blur(job.source, page)],
        Edit.CROP: [job.source, "--cut", LEFT_BY_CROP.geometry],
    }
    call("oiiotool", "-a", "--no-autopremult", *words[job.edit], "--siappendall", "-o", job.target)


def _oiiotool_blur(source: Path, page: int) -> list[object]:
    one = [source, "--subimage", page]
    return [*one, "--cut", PAINTED.geometry, "--blur", "5x5", *one, "--paste", f"+{PAINTED.x}+{PAINTED.y}"]


def vips(job: Job) -> None:
    """Only whole images can be changed; a mask says where the change counts. All pages are one tall image."""
    folder = job.target.with_suffix("")
    folder.mkdir()
    whole = f"{job.source}[n=-1]" if job.pages > 1 else job.source
    changed = folder / "changed.v"
    if job.edit is Edit.SAVE:
        call("vips", "copy", whole, job.target)
    elif job.edit is Edit.CROP:
        _vips_crop(job, folder)
    else:
        change = ("gaussblur", whole, changed, 1.5) if job.edit is Edit.BLUR else ("linear", whole, changed, 0, FILL)
        call("vips", *change)
        call("vips", "ifthenelse", _vips_mask(job, folder), changed, whole, job.target)


def _vips_mask(job: Job, folder: Path) -> Path:
    pixels = np.zeros(planes(job.specimen.artifact).shape, np.uint8)
    pixels[:, *PAINTED.place] = 255
    mask = folder / "mask.png"
    Image.fromarray(np.concatenate(pixels[: job.pages])).save(mask)
    return mask


def _vips_crop(job: Job, folder: Path) -> None:
    box = LEFT_BY_CROP
    for page in range(job.pages):
        cut = job.target if job.pages == 1 else folder / f"{page}.v"
        call("vips", "crop", f"{job.source}[page={page}]", cut, box.x, box.y, box.width, box.height)
    if job.pages > 1:
        cuts = " ".join(str(folder / f"{page}.v") for page in range(job.pages))
        call("vips", "arrayjoin", cuts, f"{job.target}[page_height={box.height}]", "--across", 1)


def gmic(job: Job) -> None:
    paint, left = PAINTED, LEFT_BY_CROP
    cut = f"+crop {paint.x},{paint.y},{paint.right - 1},{paint.bottom - 1}"
    put = f"image.. [-1],{paint.x},{paint.y} rm."
    on_every_page = {
        Edit.SAVE: "",
        Edit.FILL: f"{cut} fill. {FILL} {put}",
        Edit.BLUR: f"{cut} blur. 1.5 {put}",
        Edit.CROP: f"crop {left.x},{left.y},{left.right - 1},{left.bottom - 1}",
    }
    change = f"repeat $! l[$>] {on_every_page[job.edit]} endl done"
    call("gmic", job.source, *change.split(), "-o", f"{job.target},float,none,1")


def imagej(jobs: list[Job]) -> None:
    """One start for all; ImageJ opens no colours in floats, and says so in a window that nobody would close."""
    macro = jobs[0].target.parent / "edits.ijm"
    macro.write_text("".join(_imagej(job) for job in jobs if job.layout not in (Layout.RGB, Layout.RGBA)))
    call("xvfb-run", "-a", "java", "-jar", IMAGEJ, "-batch", macro, HOME=str(macro.parent))


def _imagej(job: Job) -> str:
    change = {
        Edit.SAVE: "",
        Edit.FILL: f'{_rectangle(PAINTED)} run("Set...", "value={FILL} stack");',
        Edit.BLUR: f'{_rectangle(PAINTED)} run("Gaussian Blur...", "sigma=1.5 stack");',
        Edit.CROP: f'{_rectangle(LEFT_BY_CROP)} run("Crop");',
    }
    return f'open("{job.source}"); {change[job.edit]} run("Select None"); saveAs("Tiff", "{job.target}"); close();\n'


def _rectangle(box: Box) -> str:
    return f"makeRectangle({box.x}, {box.y}, {box.width}, {box.height});"


def libtiff(job: Job) -> None:
    if job.edit is Edit.SAVE:
        call("tiffcp", job.source, job.target)
        return
    _, height, width = planes(job.specimen.artifact).shape
    margins = f"{LEFT_BY_CROP.y},{LEFT_BY_CROP.x},{height - LEFT_BY_CROP.bottom},{width - LEFT_BY_CROP.right}"
    call("tiffcrop", "-U", "px", "-m", margins, job.source, job.target)


HDRI, Q16 = "convert-im6.q16hdri", "convert-im6.q16"

PROGRAMS = (
    Editor(
        "ImageMagick HDRI",
        magick(HDRI, defines=FLOATS),
        f"`{HDRI} IN {' '.join(FLOATS)} OUT`; do not draw on rgba",
        (HDRI,),
        ("imagemagick-6.q16hdri",),
        quick=True,
    ),
    Editor("ImageMagick Q16", magick(Q16), "take the HDRI build", (Q16,), ("imagemagick-6.q16",), floats=False),
    Editor(
        "GraphicsMagick",
        magick("gm", "convert", colour="#4ccd4ccd4ccd"),  # it has no name for 30 % gray
        "take ImageMagick HDRI",
        ("gm",),
        ("graphicsmagick",),
        floats=False,
    ),
    Editor("libvips", each(vips), "open pages as `IN.tiff[n=-1]`", ("vips",), ("libvips-tools",), quick=True),
    Editor(
        "oiiotool",
        each(oiiotool),
        "`-a` for pages, `--no-autopremult` for rgba",
        ("oiiotool",),
        ("openimageio-tools",),
        quick=True,
    ),
    Editor("G'MIC", each(gmic), "`-o OUT.tiff,float`, for pages `,float,none,1`; keep the file name", ("gmic",), ("gmic",)),
    Editor(
        "libtiff",
        each(libtiff),
        "`tiffcp`, `tiffcrop -U px`; never `-B` with predictor 3",
        ("tiffcp", "tiffcrop"),
        ("libtiff-tools",),
        quick=True,
        edits=(Edit.SAVE, Edit.CROP),
    ),
    Editor("ImageJ", imagej, "keep the file name", ("java", "xvfb-run", "xauth", str(IMAGEJ)), ("imagej", "xvfb", "xauth")),
)
