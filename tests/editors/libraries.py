"""What a person would write with each Python library, without knowing TIFFSD."""

from collections.abc import Callable
from typing import Any

import cv2
import imageio.v3
import numpy as np
import skimage.filters
import skimage.io
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from scipy.ndimage import gaussian_filter

from tests.editors.edits import FILL, LEFT_BY_CROP, PAINTED, Edit, Editor, Job, each

Pixels = NDArray[Any]

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it warns of every private tag of every page


def pillow(job: Job) -> None:
    with Image.open(job.source) as image:
        pages = [_pillow_page(page.copy(), job.edit) for page in ImageSequence.Iterator(image)]
    pages[0].save(job.target, save_all=len(pages) > 1, append_images=pages[1:])


def _pillow_page(page: Image.Image, edit: Edit) -> Image.Image:
    box = (PAINTED.x, PAINTED.y, PAINTED.right, PAINTED.bottom)
    if edit is Edit.CROP:
        return page.crop((LEFT_BY_CROP.x, LEFT_BY_CROP.y, LEFT_BY_CROP.right, LEFT_BY_CROP.bottom))
    if edit is Edit.FILL:
        page.paste(FILL, box)
    if edit is Edit.BLUR:  # the filters take no floats; making it small and large again does
        size = (PAINTED.width, PAINTED.height)
        page.paste(page.crop(box).reduce(4).resize(size, Image.Resampling.BICUBIC), box)
    return page


def opencv(job: Job) -> None:
    opened, pages = cv2.imreadmulti(str(job.source), flags=cv2.IMREAD_UNCHANGED)
    if opened:
        cv2.imwritemulti(str(job.target), [_edited(page, job.edit, _opencv_blur) for page in pages])


def _opencv_blur(region: Pixels) -> Pixels:
    return cv2.GaussianBlur(region, (5, 5), 1.5)


def imageio_v3(job: Job) -> None:
    imageio.v3.imwrite(job.target, _edited(imageio.v3.imread(job.source), job.edit, _scipy_blur))


def scikit_image(job: Job) -> None:
    edited = _edited(skimage.io.imread(job.source), job.edit, _skimage_blur)
    skimage.io.imsave(job.target, edited, check_contrast=False)


def _skimage_blur(region: Pixels) -> Pixels:
    return skimage.filters.gaussian(region, sigma=1.5, channel_axis=-1 if region.ndim == 3 else None, preserve_range=True)


def plain_tifffile(job: Job) -> None:
    edited = _edited(tifffile.imread(job.source), job.edit, _scipy_blur)
    colours = edited.ndim == 3 and _axes(edited) == (0, 1)
    tifffile.imwrite(job.target, edited, photometric="rgb" if colours else "minisblack")


def _scipy_blur(region: Pixels) -> Pixels:
    return gaussian_filter(region.astype(np.float32), 1.5, axes=_axes(region))


def _axes(pixels: Pixels) -> tuple[int, int]:
    """Rows and columns: the last two axes, but for colours (H, W, 3) and (H, W, 4)."""
    return (0, 1) if pixels.ndim == 3 and pixels.shape[2] in (3, 4) else (pixels.ndim - 2, pixels.ndim - 1)


def _edited(pixels: Pixels, edit: Edit, blur: Callable[[Pixels], Pixels]) -> Pixels:
    """The same edit on every page and channel."""
    box = LEFT_BY_CROP if edit is Edit.CROP else PAINTED
    rows, columns = box.place
    place = (rows, columns) if _axes(pixels)[0] == 0 else (..., rows, columns)
    if edit is Edit.CROP:
        return np.ascontiguousarray(pixels[place])
    pixels = pixels.copy()
    if edit is Edit.FILL:
        pixels[place] = FILL
    if edit is Edit.BLUR:
        pixels[place] = blur(pixels[place])
    return pixels


LIBRARIES = (
    Editor("Pillow", each(pillow, cannot=(OSError,)), "opens gray pages only"),
    Editor("OpenCV", each(opencv), "read with `IMREAD_UNCHANGED`, pages with `imreadmulti`; keep the file name"),
    Editor("imageio", each(imageio_v3), "keep the file name"),
    Editor("scikit-image", each(scikit_image), "keep the file name"),
    Editor("tifffile", each(plain_tifffile), "keep the file name, or use `tiffsd.read` and `tiffsd.write`"),
)
