"""What became of a file that an editor saved: read it back as the daemon does, compare with the original, name the verdict."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

import tiffsd
from tests.editors.edits import COPIED, LEFT_BY_CROP, PAINTED, Edit, Editor, Job
from tiffsd import Kind, Layout
from tiffsd.artifact import CANVAS_TENSORS
from tiffsd.canvas import canvas_tensor, paint
from tiffsd.spec import HALF_ROUNDING, INTEGER_STEP

Planes = NDArray[np.float64]

# What the format promises of a painted pixel; an editor that works in 16-bit integers misses by half a step more.
PAINTED_PIXEL = 1e-6
PAINTED_STEP = PAINTED_PIXEL + INTEGER_STEP / 2


class Verdict(StrEnum):
    """How a file came back; all but DAMAGED are what the format promises."""

    EXACT = "exact"
    ROUNDED = "rounded"
    STEPS = "16 bit"
    REFUSED = "refused"
    CANNOT = "cannot"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Outcome:
    """The verdict on one job; `why` is the refusal or the damage in words, `kept` what the file still carried itself."""

    job: Job
    verdict: Verdict
    why: str = ""
    kept: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.job.edit} of {self.job.specimen.name}: {self.verdict} {self.why}".rstrip()


def judged(editor: Editor, job: Job) -> Outcome:
    """Read what the editor left, repair it from the original, and compare."""
    if not job.target.exists():
        return Outcome(job, Verdict.CANNOT)
    original = job.specimen.artifact
    try:
        found = tiffsd.read(job.target, expect=original.header.kind)
        repaired = tiffsd.repair(found, original, name=job.target.name)
    except tiffsd.TiffsdError as error:
        return Outcome(job, Verdict.REFUSED, str(error))
    damage = _lost(original, repaired) or _moved(job, repaired) or _wrong(editor, job, repaired)
    if damage:
        return Outcome(job, Verdict.DAMAGED, damage)
    stepped = found.canvas is not None and found.canvas.step > 0
    return Outcome(job, Verdict.STEPS if stepped else _precision(job, repaired), kept=_kept(job, found))


def _kept(job: Job, found: tiffsd.Artifact) -> frozenset[str]:
    """Whether the file still says which artifact it is, and what else of it survived."""
    parts = {
        "id": tiffsd.find_id(job.target) == job.specimen.artifact.header.id,
        "record": bool(found.header.recipe),
        "tensors": found.canvas is None and found.header.kind is not Kind.PICTURE,
    }
    return frozenset(part for part, survived in parts.items() if survived)


def _lost(original: tiffsd.Artifact, repaired: tiffsd.Artifact) -> str:
    """What is missing beside the canvas, in words; the scheduler's memory must go where someone painted."""
    beside = {name for name in original.tensors if name not in CANVAS_TENSORS[original.header.kind]}
    wanted = {name for name in beside if not (repaired.painted and name.startswith("scheduler."))}
    if set(repaired.tensors) - set(CANVAS_TENSORS[original.header.kind]) != wanted:
        return f"it came back with {', '.join(repaired.tensors)}"
    if not all(np.array_equal(repaired.tensors[name], original.tensors[name]) for name in wanted):
        return "other tensors than the canvas are not what they were"
    return "" if repaired.header.recipe["prompt"] == original.header.recipe["prompt"] else "the record is lost"


def _moved(job: Job, repaired: tiffsd.Artifact) -> str:
    """Whether the size is what the edit makes it, in words if not; a crop that cuts the mosaic's panels must have been refused."""
    found, wanted = planes(repaired).shape, planes(job.specimen.artifact).shape
    if job.edit is Edit.CROP:
        if job.layout in (Layout.MOSAIC, Layout.STRIP):
            return "a crop that cuts the panels was accepted"
        wanted = (wanted[0], LEFT_BY_CROP.height, LEFT_BY_CROP.width)
    return "" if found == wanted else f"it came back as {found} instead of {wanted}"


def _wrong(editor: Editor, job: Job, repaired: tiffsd.Artifact) -> str:
    """Where a pixel is neither the original's nor what was painted, in words."""
    allowed = PAINTED_PIXEL if editor.floats else PAINTED_STEP
    outside = _errors(job, repaired).max()
    if outside > allowed or (job.edit is not Edit.CROP and job.layout is not Layout.RGB and not _bit_equal(job, repaired)):
        return f"pixels that nobody touched are off by up to {outside:.2g}"
    inside = planes(repaired)[:3, *PAINTED.place]  # to most editors the fourth of four channels is alpha: a fill makes it opaque
    if job.edit is Edit.FILL and np.abs(inside - editor.fill(job.layout)).max() > allowed + HALF_ROUNDING * _half(job):
        return f"painted {editor.fill(job.layout)} and found {inside.min()}..{inside.max()}"
    if job.layout is Layout.RGBA:  # and a blur or a paste that it weights may come out as anything
        return ""
    before = planes(job.specimen.artifact)[:3]
    if job.edit is Edit.BLUR and _roughness(inside) > 0.9 * _roughness(before[:, *PAINTED.place]):
        return "the blur is not there"
    if job.edit is Edit.PASTE and np.abs(inside - before[:, *COPIED.place]).max() > PAINTED_PIXEL:
        return "what was pasted is not there"
    return ""


def _roughness(pixels: Planes) -> float:
    return float(np.abs(np.diff(pixels)).mean())


def _precision(job: Job, repaired: tiffsd.Artifact) -> Verdict:
    if job.edit is not Edit.CROP and _bit_equal(job, repaired):
        return Verdict.EXACT
    error = _errors(job, repaired).max()
    if error > PAINTED_PIXEL:
        return Verdict.STEPS
    return Verdict.EXACT if job.edit is Edit.CROP else Verdict.ROUNDED


def _errors(job: Job, repaired: tiffsd.Artifact) -> Planes:
    """How far each pixel that nobody touched is off, relative beyond 1."""
    found, wanted = planes(repaired), planes(job.specimen.artifact)
    if job.edit is Edit.CROP:
        wanted = wanted[:, *LEFT_BY_CROP.place]
    if found.min() >= 0 and found.max() <= 1:  # whole numbers end at black and white; what lay beyond counts where it is compared
        wanted = wanted.clip(0, 1)
    return np.where(_touched(job, found.shape), 0, np.abs(found - wanted) / np.maximum(1, np.abs(wanted)))


def _bit_equal(job: Job, repaired: tiffsd.Artifact) -> bool:
    """Whether every value that nobody touched has the bits it had."""
    header = job.specimen.artifact.header
    found, wanted = (_tensor(artifact) for artifact in (repaired, job.specimen.artifact))
    differs = (found != wanted).astype(np.float32)
    seen = np.moveaxis(differs, -1, 0) if header.kind is Kind.PICTURE else paint(differs, header) - paint(differs * 0, header)
    return not seen[~_touched(job, seen.shape)].any()


def _touched(job: Job, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    if job.edit not in (Edit.SAVE, Edit.CROP):
        mask[:, *PAINTED.place] = True
    return mask


def planes(artifact: tiffsd.Artifact) -> Planes:
    """The pixels of the canvas, (n, H, W); of a picture, its channels."""
    tensor = _tensor(artifact)
    pixels = np.moveaxis(tensor, -1, 0) if artifact.header.kind is Kind.PICTURE else paint(tensor, artifact.header)
    return pixels.astype(np.float64)


def _tensor(artifact: tiffsd.Artifact) -> NDArray[np.floating]:
    if artifact.header.kind is Kind.PICTURE:
        return artifact.tensors["picture"]
    tensor = canvas_tensor(artifact.tensors, artifact.header.kind)
    assert tensor is not None
    return tensor


def _half(job: Job) -> bool:
    return bool(_tensor(job.specimen.artifact).dtype == np.float16)
