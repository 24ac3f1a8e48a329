"""Pictures of all forms as Pillow opens them, told apart by their first bytes; in the child process alone.

PNG, JPEG, WebP, GIF and BMP are Pillow's own, AVIF where it was built with it; HEIC and JPEG XL need a package each.
"""

import importlib
import struct
import warnings
import zlib
from typing import IO, Any

from PIL import Image

from daemon.errors import InputError
from daemon.extras import adding

# Refusing decompression bombs is ours: by the limit that is handed in, and before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

# What Pillow's decoders were seen to raise on broken files.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, OverflowError, IndexError, KeyError, TypeError, RuntimeError, struct.error,
          zlib.error)  # fmt: skip

USUAL = ("PNG", "JPEG", "WEBP")
BEGINNINGS = {b"GIF8": "GIF", b"BM": "BMP", b"\xff\x0a": "JXL", b"\0\0\0\x0cJXL ": "JXL"}
AVIF_BRANDS = (b"avif", b"avis")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
LONGEST_BRANDS = 64
PACKAGES = {
    "HEIF": ("pillow_heif", "a HEIC picture, which needs the package pillow-heif"),
    "JXL": ("pillow_jxl", "a JPEG XL picture, which needs the package pillow-jxl-plugin"),
}
NO_AVIF = "an AVIF picture, which needs a Pillow of 11.3 or later that was built with AVIF"


def opened(file: IO[bytes], name: str) -> Image.Image:
    """A picture, not decoded yet. Raises InputError where it is none, or of a form that nothing here reads."""
    form = other_form(file)
    if form is not None:
        _register(form, name)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(file, formats=USUAL if form is None else (form,))
    except BROKEN as error:
        kinds = "PNG, JPEG or WebP" if form is None else form
        raise InputError(f"{name}: not a readable {kinds} picture: {error!s:.200}; save it anew and drop it again") from error


def other_form(file: IO[bytes]) -> str | None:
    """The form, as Pillow names it, of a picture that is neither PNG, JPEG nor WebP; None for those and for what is no picture."""
    file.seek(0)
    beginning = file.read(LONGEST_BRANDS)
    if beginning[4:8] == b"ftyp":
        brands = {beginning[place : place + 4] for place in range(8, len(beginning), 4)}
        return "AVIF" if brands & {*AVIF_BRANDS} else "HEIF" if brands & {*HEIF_BRANDS} else None
    return next((form for magic, form in BEGINNINGS.items() if beginning.startswith(magic)), None)


def webp_canvas(file: IO[bytes]) -> tuple[int, int] | None:
    """The size (width, height) that a WebP states (RFC 9649, 2.5 to 2.7); None for other forms."""
    file.seek(0)
    beginning = file.read(LONGEST_BRANDS).ljust(LONGEST_BRANDS, b"\0")
    if (beginning[:4], beginning[8:12]) != (b"RIFF", b"WEBP"):
        return None
    kind, content = beginning[12:16], beginning[20:]
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(content[1:5], "little")
        return 1 + bits % 2**14, 1 + (bits >> 14) % 2**14
    return int.from_bytes(content[6:8], "little") % 2**14, int.from_bytes(content[8:10], "little") % 2**14


def frames(image: Image.Image) -> list[str]:
    """The sentence on a picture of which only the first is taken; the small one beside a photo (MPO) is not worth one."""
    moving = image.format != "MPO" and getattr(image, "is_animated", False)
    return ["of its frames the first was taken"] if moving else []


def _register(form: str, name: str) -> None:
    if form == "AVIF":
        _register_avif(name)
    if form not in PACKAGES:
        return
    package, what = PACKAGES[form]
    plugin = _module(package)
    if plugin is None:
        install = f" ({adding('heif')})" if form == "HEIF" else ""
        raise InputError(f"{name}: this is {what}{install}; or save it as PNG or JPEG")
    if form == "HEIF":
        plugin.register_heif_opener(thumbnails=False)


def _register_avif(name: str) -> None:
    plugin = _module("PIL.AvifImagePlugin")
    if plugin is None or not plugin.SUPPORTED:
        raise InputError(f"{name}: this is {NO_AVIF}; or save it as PNG or JPEG")
    # Threads cost address space, which is what the memory limit counts.
    plugin.DEFAULT_MAX_THREADS = 1


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
