"""Pixels that a codec decodes, or that are brought to another form: in the child process alone."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import tiffsd
from daemon.errors import InputError
from daemon.pictures.child_limits import RefusedByFormat, limit_memory, limit_time
from daemon.pictures.code_points import profile_in
from daemon.pictures.colour import ALIKE, rounding_in_srgb, to_srgb
from daemon.pictures.deep import deep_samples
from daemon.pictures.fitting import Fit, fit_for, fitted, fitted_beside
from daemon.pictures.foreign import BROKEN, frames, opened, other_form, webp_canvas
from daemon.pictures.sizes import check_decodable, check_size
from daemon.pictures.values import values_digest
from daemon.pictures.words import words_of
from tiffsd.inks import Colour, Space, plain_rgb, to_unit
from tiffsd.pixels import upright
from tiffsd.profile import id_of_canvas
from tiffsd.reading import decode_pages, exact_tensors

LEAST_OPAQUE = 254
DEEP_GRAY = ("I;16", "I;16B", "I")
NO_WORDS: Mapping[str, Any] = {"notes": [], "refused": None}
# A JPEG that is made smaller is decoded at this many times the size at least, which leaves the choice of pixels to the scaling.
OVERSIZE = 2

Request = Mapping[str, Any]
Array = NDArray[Any]
Floats = NDArray[np.float32]
Answer = tuple[dict[str, Any], list[Array]]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Decoded:
    """Colours (H, W, n) of a space, upright, with the profile that they are meant by; alpha (H, W) where not all is opaque."""

    colours: Floats
    space: Space
    had: tuple[int, int]
    profile: bytes | None = None
    alpha: Floats | None = None
    notes: tuple[str, ...] = ()


def _pages(file: IO[bytes], request: Request) -> Answer:
    limit_memory(request["memory_bytes"])
    limit_time(request["pixels"])
    try:
        return {"notes": []}, [
            np.ascontiguousarray(pixels) for pixels in decode_pages(file, request["indices"], name=request["name"])
        ]
    except MemoryError:
        raise
    except tiffsd.TiffsdError as error:
        raise RefusedByFormat(type(error).__name__, str(error)) from error
    # Whatever tifffile and its codecs raise on broken pixels is the file's fault.
    except Exception as error:
        raise RefusedByFormat(
            "Truncated",
            f"{request['name']} is damaged or incomplete ({_words(error)}); copy or save it again from the original",
        ) from error


def photo_pixels(file: IO[bytes], request: Request) -> Floats:
    """The colours of a photo (H, W, 3), fitted as the request asks for."""
    tiff = request["characters"] is None
    decoded = _of_tiff(file, request) if tiff else _picture(file, request, lambda image: _pixels(file, image, request))
    _, (pixels, *_) = _made_to_fit(decoded, request)
    return pixels


def photo(file: IO[bytes], request: Request) -> Answer:
    """A photo (H, W, 3) fitted as the request asks for, with the mask (H, W) of what is transparent where it asks for that.

    Last, where it asks for `rounding`, lies by how much (H, W), 0..1, it may be off for the colours that it was saved in."""
    if request["characters"] is None:
        return _made_to_fit(_of_tiff(file, request), request)
    limit_memory(request["opening_bytes"])
    words = NO_WORDS
    if other_form(file) is None:
        words = words_of(file, request["name"], characters=request["characters"], digest=False)
    facts, arrays = _made_to_fit(_picture(file, request, lambda image: _pixels(file, image, request)), request)
    return {**facts, "words": words}, arrays


def _made_to_fit(decoded: Decoded, request: Request) -> Answer:
    """The picture, and its mask where the request takes alpha for one."""
    fit = _checked_fit(decoded.had, request)
    limit_memory(request["opening_bytes"] + request["bytes_per_pixel"] * max(_area(decoded.had), _area(fit.wanted)))
    # Colours last, as that costs the more the more pixels there are.
    made = fitted(decoded.colours, fit)
    picture, done = to_srgb(made, decoded.space, decoded.profile) if decoded.profile else (plain_rgb(made, decoded.space), [])
    arrays = [np.ascontiguousarray(picture, np.float32)]
    if request["alpha"] and decoded.alpha is not None:
        arrays.append(np.ascontiguousarray(fitted_beside(1 - decoded.alpha, fit), np.float32))
    if request.get("rounding"):
        arrays.append(rounding_in_srgb(made, decoded.space, decoded.profile) if decoded.profile else np.zeros_like(picture[..., 0]))
    beyond = [] if decoded.profile else _beyond_white(decoded.colours)
    identity = id_of_canvas(decoded.profile) if decoded.profile else None
    canvas = f"these are latents {identity}" if identity else None
    return {"notes": [*decoded.notes, *beyond, *done, *fit.notes], "had": list(decoded.had), "canvas": canvas}, arrays


def _beyond_white(colours: Floats) -> list[str]:
    """The sentence on floats that are no colours of sRGB: of 0 to 255, or linear ones with lights."""
    least, most = float(colours.min()), float(colours.max())
    if least >= -ALIKE and most <= 1 + ALIKE:
        return []
    return [f"its values go from {least:.3g} to {most:.3g}, and black is 0 and white 1; scale them where that is not meant"]


def _checked_fit(had: tuple[int, int], request: Request) -> Fit:
    name, grid = request["name"], request["grid"]
    if min(had) < grid:
        raise InputError(f"{name}: {had[0]}x{had[1]} is too small; a picture needs {grid} pixels on each side")
    fit = fit_for(tuple(request["size"]), had, grid=grid, limit=request["limit"], area=request["area"])
    check_size(*fit.wanted, name, request["limit"])
    return fit


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _mask(file: IO[bytes], request: Request) -> Answer:
    name, fit = request["name"], request["fit"]
    mask = _picture(file, request, lambda image: _gray(image, name=name))
    height, width = mask.shape
    if fit is None or [width, height] in request["as_it_is"]:
        check_size(width, height, name, request["limit"])
    else:
        mask = fitted_beside(mask, Fit(tuple(fit["had"]), tuple(fit["wanted"]), fit["scales"]))
    return {"notes": [], "had": [width, height]}, [np.ascontiguousarray(mask, np.float32)]


def _of_tiff(file: IO[bytes], request: Request) -> Decoded:
    meant: list[tuple[Space, bytes]] = []

    def later(colours: Floats, space: Space, profile: bytes) -> tuple[Floats, list[str]]:
        """Inks become colours at once; the others do when the picture is smaller, as that costs less."""
        if space is Space.CMYK:
            return to_srgb(colours, space, profile)
        meant.append((space, profile))
        return plain_rgb(colours, space), []

    artifact = _artifact(file, request, colour=later, alpha=request["alpha"])
    picture, alpha = artifact.tensors["picture"], artifact.tensors.get("alpha")
    space, profile = meant[0] if meant else (Space.RGB, None)
    colours = picture[..., :1] if space is Space.GRAY else picture
    return Decoded(colours, space, (picture.shape[1], picture.shape[0]), profile, alpha, artifact.notes)


def _artifact(file: IO[bytes], request: Request, *, colour: Colour | None = None, alpha: bool = False) -> tiffsd.Artifact:
    """The picture in a TIFF, and what reading found."""
    limit_memory(request["opening_bytes"] + request["bytes_per_pixel"] * request["pixels"])
    limit_time((1 + request.get("work", 1)) * request["pixels"])
    try:
        return tiffsd.read(
            file, expect=tiffsd.Kind.PICTURE, name=request["name"], largest=request["most"], colour=colour, alpha=alpha
        )
    except tiffsd.TiffsdError as error:
        raise RefusedByFormat(type(error).__name__, str(error)) from error


def _tensors(file: IO[bytes], request: Request) -> Answer:
    """The exact tensors of an artifact."""
    limit_memory(request["memory_bytes"])
    limit_time(request["pixels"])
    try:
        found, note = exact_tensors(file, name=request["name"])
    except tiffsd.TiffsdError as error:
        raise RefusedByFormat(type(error).__name__, str(error)) from error
    return {"names": list(found), "note": note}, [np.asarray(tensor, order="C") for tensor in found.values()]


def _digest(file: IO[bytes], request: Request) -> Answer:
    """That of the values of a picture in a TIFF."""
    return {"digest": values_digest(_artifact(file, request).tensors["picture"])}, []


def _picture(file: IO[bytes], request: Request, work: Callable[[Image.Image], Made]) -> Made:
    """What `work` makes of an opened picture whose size was checked."""
    name = request["name"]
    limit_memory(request["opening_bytes"])
    canvas = webp_canvas(file)
    if canvas is not None:
        # The decoder of WebP makes its canvas when it is opened.
        check_decodable(*canvas, name, request["most"])
        limit_memory(request["opening_bytes"] + request["bytes_per_pixel"] * canvas[0] * canvas[1])
    image = opened(file, name)
    check_decodable(image.width, image.height, name, request["most"])
    limit_memory(request["opening_bytes"] + request["bytes_per_pixel"] * image.width * image.height)
    limit_time(request.get("work", 1) * image.width * image.height)
    try:
        with warnings.catch_warnings():
            # What Pillow warns of on broken EXIF harms no pixel.
            warnings.simplefilter("ignore", UserWarning)
            return work(image)
    except BROKEN as error:
        raise InputError(f"{name}: the picture breaks off or is damaged: {error!s:.200}; save it anew and drop it again") from error


READERS: Mapping[str, Callable[[IO[bytes], Request], Answer]] = {
    "photo": photo,
    "mask": _mask,
    "pages": _pages,
    "digest": _digest,
    "tensors": _tensors,
}


def _pixels(file: IO[bytes], image: Image.Image, request: Request) -> Decoded:
    turned = image.getexif().get(0x0112, 1)
    had = image.size if turned not in (5, 6, 7, 8) else image.size[::-1]
    profile, notes = profile_in(file, image)
    notes += frames(image)
    samples = deep_samples(file, image)
    if samples is not None:
        colours, alpha = _deep_colours(upright(samples, turned))
        return _on_paper(Decoded(colours, Space.RGB, had, profile, alpha, tuple(notes)))
    fit = _checked_fit(had, request)
    reduces = fit.scales and _area(had) > request["limit"]
    if reduces:
        image.draft(None, (OVERSIZE * max(fit.wanted),) * 2)
    laid = _without_idle_alpha(ImageOps.exif_transpose(image))
    if laid.mode == "CMYK" and profile:
        return Decoded(to_unit(np.asarray(laid)), Space.CMYK, had, profile, None, tuple(notes))
    alpha = _alpha(laid)
    notes += ["transparent parts were laid on white"] if _has_alpha(laid) else []
    notes += ["its inks (CMYK) were mixed plainly, without a profile"] if laid.mode == "CMYK" else []
    colours, space = _laid_on_white(laid, fit if reduces else None)
    return Decoded(colours, space, had, profile, alpha, tuple(notes))


def _without_idle_alpha(image: Image.Image) -> Image.Image:
    """Without an alpha that nobody sees: all is opaque, but for the lowest bit, in which programs hide texts."""
    if image.mode not in ("RGBA", "LA") or np.asarray(image.getchannel("A")).min() < LEAST_OPAQUE:
        return image
    return image.convert(image.mode.removesuffix("A"))


def _laid_on_white(image: Image.Image, reducing: Fit | None) -> tuple[Floats, Space]:
    """Colours without alpha; of a picture that is much too large one channel at a time is in floats, and made smaller."""
    if image.mode in DEEP_GRAY:
        return _deep_gray(image)[..., None], Space.GRAY
    gray = image.mode in ("1", "L", "LA")
    laid = _on_white(image) if _has_alpha(image) else image
    laid = laid if laid.mode == "RGB" else laid.convert("RGB")
    if reducing is not None:
        channels = [_scaled_levels(laid.getchannel(band), reducing) for band in ("R" if gray else "RGB")]
        return np.stack(channels, axis=2), Space.GRAY if gray else Space.RGB
    colours = to_unit(np.asarray(laid))
    return (colours[..., :1], Space.GRAY) if gray else (colours, Space.RGB)


def _scaled_levels(channel: Image.Image, fit: Fit) -> Floats:
    scaled = ImageOps.fit(channel.convert("F"), fit.wanted, Image.Resampling.LANCZOS)
    return np.asarray(scaled, np.float32) / np.float32(255)


def _deep_colours(samples: Floats) -> tuple[Floats, Floats | None]:
    colours = samples[..., :3] if samples.shape[2] > 2 else np.repeat(samples[..., :1], 3, axis=2)
    return colours, samples[..., -1] if samples.shape[2] in (2, 4) else None


def _on_paper(decoded: Decoded) -> Decoded:
    """Deep colours laid on white by their alpha."""
    if decoded.alpha is None or decoded.alpha.min() == 1:
        return replace(decoded, alpha=None)
    alpha = decoded.alpha[..., None]
    notes = (*decoded.notes, "transparent parts were laid on white")
    return replace(decoded, colours=decoded.colours * alpha + (1 - alpha), notes=notes)


def _alpha(image: Image.Image) -> Floats | None:
    """How opaque each pixel is (H, W), where not all are so."""
    if not _has_alpha(image):
        return None
    if image.mode in DEEP_GRAY:
        return to_unit(np.asarray(image) != image.info.get("transparency", -1))
    alpha: Floats = to_unit(np.asarray(image.convert("RGBA").getchannel("A")))
    return alpha if bool((alpha < 1).any()) else None


def _deep_gray(image: Image.Image) -> NDArray[np.float32]:
    """16 bits of gray, which Pillow would clip to 8 on the way to RGBA; one level of them may stand for transparent."""
    levels = np.asarray(image)
    gray = levels.astype(np.float32) / np.float32(65_535)
    gray[levels == image.info.get("transparency", -1)] = 1
    return gray


def _gray(image: Image.Image, *, name: str) -> NDArray[np.float32]:
    """A mask (H, W), 0 black to 1 white."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in DEEP_GRAY and "transparency" not in upright.info:
        return _deep_gray(upright)
    if _has_alpha(upright) and upright.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        # Some programs make white what shall be made anew, others transparent: both in one picture would be a guess.
        raise InputError(f"{name}: the mask has transparent parts; flatten it to white, what is made anew, and black, what stays")
    return np.asarray(upright.convert("L")).astype(np.float32) / np.float32(255)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _on_white(image: Image.Image) -> Image.Image:
    layers = image.convert("RGBA")
    white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layers)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
