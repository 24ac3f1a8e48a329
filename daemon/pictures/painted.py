"""Which blocks of a picture somebody painted: what was saved, compared with what was shown; in the child process alone.

    H, W height and width of the picture   h, w the same in blocks: one block is what one value of the latents stands for

Lossless forms tell pixel by pixel. Lossy ones change every pixel, so the shown picture is saved again as the file was, where that
can be known, and elsewhere a block counts as painted that differs by much more than the others differ, each by what detail it has.
The thresholds were found on 25 pictures and the forms of six encoders (`tests/pictures/test_painted.py` tries the like).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import get_sampling
from scipy import ndimage

Levels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Blocks = NDArray[np.bool_]

LEVELS = 255
# Programs round, and convert colours there and back.
ONE_LEVEL = 1.5
# Of a picture saved again, in levels, the mean of a block: how much the block in the middle and most blocks may differ where it was
# saved in the same way, and by how much a block differs that was painted.
ALIKE_IN_THE_MIDDLE, ALIKE, PAINTED = 0.5, 1.2, 2.5
SHARE_ALIKE = 0.5
# Of a picture saved in an unknown way: by how many levels a block differs at least, and by how many times what is usual.
LEAST, TIMES_USUAL = 4.0, 6.0
# A palette moves whole areas to the nearest colour that it has.
LEAST_OF_PALETTE = 10.0
# By how much no form changes most blocks, nor all colours: a program has.
MOST_IN_THE_MIDDLE, MOST_SHIFTED = 8.0, 4.0
# What a lossy form loses grows with the detail, which is what a blur takes away; and there is some loss without any.
BLUR_PIXELS, PLAIN_LOSS = 1.2, 2.0
WEBP_QUALITIES = range(10, 101, 10)
AROUND = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Paint:
    """Blocks (h, w) that were painted, and `cover`, how much of them the paint covers, 0..1; None where the form cannot tell."""

    blocks: Blocks
    cover: float | None = None

    @property
    def share(self) -> float:
        """How much of the picture was painted, 0..1."""
        return float(self.blocks.mean())


def painted_in_pixels(
    saved: Floats, shown: Levels, *, block: int, alpha: Floats | None = None, rounding: Floats | None = None
) -> Paint:
    """What was painted of a picture (H, W, 3), 0..1, of a lossless form: all that differs by more than a level, or was made clear.

    `alpha` (H, W), 0..1, is how opaque it is; `shown` (H, W, 3) is what was painted on. `rounding` (H, W), 0..1, is by how much
    the colours in which it was saved may be off."""
    usual = ONE_LEVEL if rounding is None else np.maximum(ONE_LEVEL, 1 + rounding * LEVELS)
    changed = np.abs(saved * LEVELS - shown).max(axis=2) > usual
    if alpha is not None:
        changed |= alpha < 1
    shares = _block_means(changed.astype(np.float32), block)
    blocks = shares > 0
    return Paint(blocks, float(shares[blocks].mean()) if blocks.any() else None)


def painted_in_lossy(data: bytes, saved: Levels, shown: Levels, *, block: int, palette: bool = False) -> Paint:
    """What was painted of a picture (H, W, 3) of a lossy form, whose file is `data`, or of the colours of a `palette`."""
    for again in _saved_again(data, shown):
        differences = _block_means(np.abs(saved.astype(np.float32) - again).mean(axis=2), block)
        if np.median(differences) <= ALIKE_IN_THE_MIDDLE and (differences <= ALIKE).mean() > SHARE_ALIKE:
            return Paint(_grown(differences > PAINTED, differences > ALIKE))
    if _is_webp(data) and _is_saved_as_webp(saved, shown, block):
        return Paint(np.zeros((shown.shape[0] // block, shown.shape[1] // block), bool))
    least = LEAST_OF_PALETTE if palette else LEAST
    differences, usual = _beyond_usual(saved.astype(np.float32), shown.astype(np.float32), block, least)
    if np.median(differences) > MOST_IN_THE_MIDDLE:
        return Paint(np.ones_like(differences, bool))
    return Paint(_grown(differences > usual, differences > usual / 2))


def _saved_again(data: bytes, shown: Levels) -> Iterator[Floats]:
    """The shown picture as a JPEG saves it with the quantisation and the sampling of this file, decoded."""
    with Image.open(io.BytesIO(data)) as image:
        if image.format == "JPEG":
            options: dict[str, Any] = {"qtables": getattr(image, "quantization"), "subsampling": get_sampling(image)}  # noqa: B009
            # Pillow writes three ways of sampling, and says -1 of the others.
            if options["subsampling"] >= 0:
                yield _coded(shown, "JPEG", **options)


def _is_webp(data: bytes) -> bool:
    return data[8:12] == b"WEBP"


def _is_saved_as_webp(saved: Levels, shown: Levels, block: int) -> bool:
    """Whether it is the shown picture saved as WebP at some quality.

    Where somebody painted, this coding changes far from the paint too: it tells only of what nobody painted."""

    def differences(quality: int) -> Floats:
        return _block_means(np.abs(saved - _coded(shown, "WEBP", quality=quality)).mean(axis=2), block)

    nearest = min(WEBP_QUALITIES, key=lambda quality: differences(quality).mean())
    around = range(max(nearest - WEBP_QUALITIES.step, 0), min(nearest + WEBP_QUALITIES.step, 100) + 1)
    return any(differences(quality).max() <= ALIKE for quality in around)


def _coded(shown: Levels, form: str, **options: Any) -> Floats:
    file = io.BytesIO()
    Image.fromarray(shown).save(file, form, **options)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), np.float32)


def _beyond_usual(saved: Floats, shown: Floats, block: int, least: float) -> tuple[Floats, Floats]:
    """By how much each block differs in the mean, and by how much one of its detail may in this file."""
    changed = saved - shown
    # A lossy form may shift all colours a little.
    changed -= np.clip(np.median(changed, axis=(0, 1)), -MOST_SHIFTED, MOST_SHIFTED)
    differences = np.abs(_block_means(changed, block)).max(axis=2)
    detail = np.abs(shown - ndimage.gaussian_filter(shown, (BLUR_PIXELS, BLUR_PIXELS, 0))).mean(axis=2)
    loss = ndimage.maximum_filter(_block_means(detail, block), 3) + np.float32(PLAIN_LOSS)
    usual = np.median(differences / loss)
    return differences, np.maximum(least, TIMES_USUAL * usual * loss)


def _grown(seeds: Blocks, around: Blocks) -> Blocks:
    """The blocks that are surely painted, with those around them that differ too, and one more on each side."""
    spread = ndimage.binary_propagation(seeds, mask=seeds | around, structure=AROUND)
    grown: Blocks = ndimage.binary_dilation(spread, structure=AROUND)
    return grown


def _block_means(values: NDArray[np.floating], block: int) -> Floats:
    height, width = values.shape[0] // block, values.shape[1] // block
    means: Floats = values.reshape(height, block, width, block, *values.shape[2:]).mean(axis=(1, 3), dtype=np.float32)
    return means
