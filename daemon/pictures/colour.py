"""The colours of a picture -> sRGB, by the ICC profile in its file or by what a PNG says instead; in the child process alone.

littlecms computes in floats here (through imagecodecs; Pillow's ImageCms would crush all to 8 bits). A profile is the file's own
word and may be anything: what cannot be used is said, and the picture taken as sRGB.
"""

import io
from functools import cache

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from daemon.names import shown
from tiffsd.inks import Floats, Space, plain_rgb

SPACES = {"GRAY": Space.GRAY, "RGB": Space.RGB, "CMYK": Space.CMYK}
# As littlecms has them in floats: inks in percent.
FULL = {Space.GRAY: 1, Space.RGB: 1, Space.CMYK: 100}
RELATIVE_COLORIMETRIC, BLACK_POINT_COMPENSATION = 1, 0x2000
PIXELS_AT_A_TIME = 2**19
LEVELS_OF_A_PROBE = 9
# What no picture of 8 bits shows: profiles that differ by less are sRGB under another name.
ALIKE = 1 / 255
# Of a picture of 8 bits, and how far from a level floats may lie that stand for one.
LEVELS, NEARLY = 255, 0.01
# Colours beyond sRGB that are worth a word.
SEEN = 0.001
LONGEST_NAME = 80
AS_SRGB = "it was taken as sRGB"


def to_srgb(colours: Floats, space: Space, profile: bytes) -> tuple[Floats, list[str]]:
    """Red, green and blue (H, W, 3) of colours (H, W, n) by a profile, 0..1, and the sentences on what was done.

    Where the profile is sRGB, the values are the same to the bit.
    """
    try:
        described = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        meant = SPACES.get(described.xcolor_space.strip())
        name = shown(" ".join((described.profile_description or "without a name").split())[:LONGEST_NAME])
        if space is Space.GRAY and meant is Space.RGB:
            colours, space = plain_rgb(colours, space), Space.RGB
        if meant is not space:
            what = shown(described.xcolor_space.strip())
            return plain_rgb(colours, space), [f"its colour profile ({name}) is one of {what} in a picture of {space}; {AS_SRGB}"]
        if space is not Space.CMYK and _is_srgb(profile, space):
            return plain_rgb(colours, space), []
        made, beyond = _converted(colours, space, profile)
    except (OSError, ValueError, TypeError, imagecodecs.CmsError) as error:
        return plain_rgb(colours, space), [f"its colour profile cannot be used ({shown(str(error)[:LONGEST_NAME])}); {AS_SRGB}"]
    notes = [f"brought to sRGB from its colour profile ({name})"]
    if beyond > SEEN:
        notes.append(f"{100 * beyond:.1f} % of its pixels have colours that sRGB has not; the nearest were taken")
    return made, notes


def rounding_in_srgb(colours: Floats, space: Space, profile: bytes) -> Floats:
    """By how much (H, W) colours (H, W, n) of 8 bits may be off in sRGB, 0..1, as a program rounded them in those of a profile.

    It is 0 where they are none of 8 bits, and where the profile is sRGB or cannot be used: of two steps in the dark of a linear
    one lie 13 of sRGB.
    """
    none = np.zeros(colours.shape[:2], np.float32)
    levels = colours * LEVELS
    if space is Space.CMYK or np.abs(levels - np.round(levels)).max() > NEARLY:
        return none
    try:
        if _is_srgb(profile, space):
            return none
        made = _converted(colours, space, profile)[0]
        off = none.copy()
        for step in np.eye(colours.shape[2], dtype=np.float32) * np.float32(0.5 / LEVELS):
            around = [_converted(colours + way * step, space, profile)[0] for way in (-1, 1)]
            off += np.maximum(*(np.abs(one - made).max(axis=2) for one in around))
    except (OSError, ValueError, TypeError, imagecodecs.CmsError):
        return none
    return off


def _converted(colours: Floats, space: Space, profile: bytes) -> tuple[Floats, float]:
    """Colours in sRGB within 0..1, and the share of pixels that lay beyond."""
    height, width, _ = colours.shape
    made, beyond = np.empty((height, width, 3), np.float32), 0
    rows = max(PIXELS_AT_A_TIME // width, 1)
    for start in range(0, height, rows):
        before = colours[start : start + rows]
        band = _by_littlecms(before, space, profile)
        # Curves that are tables cut what lies beyond them.
        beyond += int((_are_beyond(before) | _are_beyond(band)).sum())
        np.clip(band, 0, 1, out=made[start : start + rows])
    return made, beyond / (height * width)


def _are_beyond(colours: Floats) -> NDArray[np.bool_]:
    """Which pixels lie outside of 0..1 by more than can be seen."""
    found: NDArray[np.bool_] = np.abs(colours - 0.5).max(axis=2) > 0.5 + ALIKE
    return found


def _by_littlecms(colours: Floats, space: Space, profile: bytes) -> Floats:
    values = np.ascontiguousarray(colours * np.float32(FULL[space]))
    values = values[..., 0] if space is Space.GRAY else values
    made: NDArray[np.float32] = imagecodecs.cms_transform(
        values,
        profile,
        srgb_profile(),
        colorspace=str(space).lower(),
        outcolorspace="rgb",
        outdtype=np.float32,
        intent=RELATIVE_COLORIMETRIC,
        # Without it the black of inks is a gray.
        flags=BLACK_POINT_COMPENSATION if space is Space.CMYK else None,
    )
    if not np.isfinite(made).all():
        raise ValueError("it makes numbers that are none")
    made = made.reshape(*colours.shape[:2], 3)
    # Gray stays gray: what the primaries of a profile leave of colour is rounding.
    return np.repeat(made[..., 1:2], 3, axis=2) if space is Space.GRAY else made


def _is_srgb(profile: bytes, space: Space) -> bool:
    levels = np.linspace(0, 1, LEVELS_OF_A_PROBE, dtype=np.float32)
    axes = [levels] if space is Space.GRAY else [levels] * 3
    probe = np.stack(np.meshgrid(*axes), axis=-1).reshape(1, -1, len(axes))
    return bool(np.abs(_by_littlecms(probe, space, profile) - probe).max() < ALIKE)


@cache
def srgb_profile() -> bytes:
    """The profile of sRGB that littlecms makes."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
