"""Pictures of more than 8 bits a sample, which Pillow would crush to 8: PNG, AVIF and HEIC; in the child process alone."""

import io
from typing import IO, Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.pictures.chunks import Form, form_of
from tiffsd.inks import Floats, to_unit

USUAL_BITS, PNG_BITS = 8, 16
# Where a PNG has its bits per sample: behind the signature, the head of IHDR and two sizes.
DEPTH_AT = 24
# The boxes that say how a picture is coded lie before its pixels.
BEGINNING_BYTES = 64 * 1024
# In `av1C` (AV1 in ISO base media, 2.3.3) two flags, in `hvcC` (ISO/IEC 14496-15, 8.3.3.1) the depth of luma above 8.
AV1_FLAGS_AT, HIGH_BITDEPTH, TWELVE_BIT = 2, 0x40, 0x20
HEVC_DEPTH_AT, ABOVE_EIGHT = 17, 0x07


def deep_samples(file: IO[bytes], image: Image.Image) -> Floats | None:
    """The samples (H, W, n) in 0..1 of a picture of more than 8 bits, as they lie in the file; None of any other.

    Raises OSError where they are damaged."""
    if form_of(file) is Form.PNG:
        return _of_png(file, image)
    if image.format == "AVIF" and (bits := _bits_of_avif(file)) > USUAL_BITS:
        return _unit(_decoded(imagecodecs.avif_decode, file, numthreads=1), bits)
    if image.format == "HEIF" and (bits := _bits_of_heif(file)) > USUAL_BITS:
        return _unit(_of_heif(file) >> (PNG_BITS - bits), bits)
    return None


def _of_png(file: IO[bytes], image: Image.Image) -> Floats | None:
    """Of colour or of gray with alpha; one colour of them may stand for transparent, which is left to Pillow."""
    if image.mode not in ("RGB", "RGBA", "LA") or "transparency" in image.info:
        return None
    file.seek(DEPTH_AT)
    return to_unit(_decoded(imagecodecs.png_decode, file)) if file.read(1) == bytes([PNG_BITS]) else None


def _of_heif(file: IO[bytes]) -> NDArray[np.uint16]:
    import pillow_heif  # where it is missing, nothing came this far

    file.seek(0)
    try:
        found = pillow_heif.open_heif(io.BytesIO(file.read()), convert_hdr_to_8bit=False)
        return np.asarray(found, np.uint16)
    except (ValueError, RuntimeError) as error:
        raise OSError(str(error)) from error


def _decoded(decode: Any, file: IO[bytes], **options: int) -> NDArray[Any]:
    file.seek(0)
    try:
        levels: NDArray[Any] = decode(file.read(), **options)
    except RuntimeError as error:  # what all codecs of imagecodecs raise
        raise OSError(str(error)) from error
    return levels


def _unit(levels: NDArray[Any], bits: int) -> Floats:
    levels = levels[..., None] if levels.ndim == 2 else levels
    return levels.astype(np.float32) / np.float32((1 << bits) - 1)


def _bits_of_avif(file: IO[bytes]) -> int:
    flags = _byte_of(file, b"av1C", AV1_FLAGS_AT)
    return USUAL_BITS if not flags & HIGH_BITDEPTH else 12 if flags & TWELVE_BIT else 10


def _bits_of_heif(file: IO[bytes]) -> int:
    return USUAL_BITS + (_byte_of(file, b"hvcC", HEVC_DEPTH_AT) & ABOVE_EIGHT)


def _byte_of(file: IO[bytes], box: bytes, place: int) -> int:
    """A byte of the content of the first box of a kind; 0 where there is none."""
    file.seek(0)
    beginning = file.read(BEGINNING_BYTES)
    found = beginning.find(box)
    at = found + len(box) + place
    return beginning[at] if found >= 0 and at < len(beginning) else 0
