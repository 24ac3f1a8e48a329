"""What the fuzzer damages beside artifacts: pictures of other programs with their recipes, and prompt files.

They are read as the daemon reads them, but in one process: only sentences may come of it.
"""

import io
import json
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, features

import tiffsd
from daemon.errors import InputError
from daemon.pictures import codecs
from daemon.pictures.child_limits import RefusedByFormat
from daemon.pictures.decoding import BYTES_PER_PHOTO_PIXEL, BYTES_PER_TIFF_PIXEL, SPARE_BYTES
from daemon.settings.config import Config
from daemon.settings.prompts import parse_prompt, settings_file
from daemon.settings.recipe import Prompt
from tests.corpus import Sample, artifacts
from tests.recipes import specimens
from tests.recipes.reading import configured, recipe_of

CHARACTERS, PIXELS, GRID = 10_000, 10_000, 8
TIFFS = (".tif", ".tiff")


def pictures() -> list[Sample]:
    """Pictures of each form and depth, and each structure of recipes."""
    original = next(artifacts())
    kinds = {**dict(_with_recipes()), **dict(_of_other_forms()), **dict(_of_depths())}
    return [Sample(data, name, original) for name, data in kinds.items()]


def prompts() -> list[Sample]:
    """Prompt files of each form."""
    original = next(artifacts())
    return [Sample(data, name, original) for name, data in _texts()]


def check_picture(data: bytes, sample: Sample) -> str:
    """Read the recipe of a picture, then its pixels as a photo and as a mask; the name of the outcome."""
    found = _outcome(lambda: _check_prompt(recipe_of(data, sample.name, _config()))) if not _is_tiff(sample) else ""
    photo, mask = (_outcome(lambda what=what: _decode(what, data, sample)) for what in ("photo", "mask"))
    return f"recipe {found or 'none'}, photo {photo}, mask {mask}"


def check_prompt(data: bytes, sample: Sample) -> str:
    """Read a prompt file, or a settings file; the name of the outcome."""
    if sample.name.endswith(".yaml"):
        return _outcome(lambda: settings_file(data, sample.name))
    return _outcome(lambda: _check_prompt(parse_prompt(data, sample.name, characters=CHARACTERS)))


def _outcome(read: Any) -> str:
    try:
        return "read" if read() is not None else "none"
    except (InputError, tiffsd.TiffsdError) as error:
        _check_sentence(str(error))
        return "refused"
    except RefusedByFormat as error:
        _check_sentence(error.args[1])
        return "refused"
    except MemoryError:
        # `decoder.py` has the sentence on it.
        return "refused"


def _check_prompt(prompt: Prompt) -> Prompt | None:
    for note in (*prompt.notes, *prompt.faults.values()):
        _check_sentence(note)
    return prompt if prompt.settings else None


def _check_sentence(sentence: str) -> None:
    assert len(sentence) < 2000, sentence
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in sentence), ascii(sentence)


def _decode(what: str, data: bytes, sample: Sample) -> Any:
    if what == "mask" and _is_tiff(sample):
        return None
    request = {
        **{"name": sample.name, "size": (None, None), "area": PIXELS, "grid": GRID, "alpha": True},
        **{"characters": None if _is_tiff(sample) else CHARACTERS, "pixels": PIXELS, "limit": PIXELS, "most": 4 * PIXELS},
        **{"opening_bytes": 2 * len(data) + SPARE_BYTES, "fit": None, "as_it_is": []},
        "bytes_per_pixel": BYTES_PER_TIFF_PIXEL if _is_tiff(sample) else BYTES_PER_PHOTO_PIXEL,
    }
    # Nothing of a file reaches the next one in the daemon, whose child ends: here the processor's time would add up.
    codecs.limit_time = lambda _: None  # type: ignore[assignment]
    _, (pixels, *_) = codecs.READERS[what](io.BytesIO(data), request)
    assert np.isfinite(pixels).all(), "a value that is no number"
    return pixels


def _is_tiff(sample: Sample) -> bool:
    return Path(sample.name).suffix in TIFFS


@cache
def _config() -> Config:
    return configured(Path(tempfile.mkdtemp(prefix="tiffsd-fuzz-")))


def _with_recipes() -> Iterator[tuple[str, bytes]]:
    for what, specimen in specimens.SPECIMENS.items():
        yield f"{what}{specimen.ending}", specimen.wrap(specimen.record)
    texts = (*(comment.encode() for comment in specimens.COMMENTS), *specimens.NOISE)
    for number, (place, wrap) in enumerate(specimens.PLACES.items()):
        for which, text in enumerate((texts[number % len(texts)], specimens.infotext(specimens.PARAMETERS).encode())):
            ending, data = wrap(text)
            yield f"{place.replace(' ', '-')}-{which}{ending}", data


def _of_other_forms() -> Iterator[tuple[str, bytes]]:
    picture = Image.fromarray(_levels(np.uint8))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    forms: Mapping[str, tuple[Image.Image, dict[str, Any]]] = {
        "plain.bmp": (picture, {}),
        "palette.gif": (picture.convert("P"), {}),
        "moving.gif": (picture, {"save_all": True, "append_images": [picture.rotate(90)]}),
        "inks.jpg": (picture.convert("CMYK"), {"icc_profile": profile}),
        "profiled.png": (picture, {"icc_profile": profile}),
        "clear.png": (picture.convert("RGBA").rotate(45), {}),
        "gray.png": (picture.convert("LA"), {}),
        "bits.png": (picture.convert("1"), {}),
        "plain.webp": (picture, {"lossless": True, "icc_profile": profile}),
        **({"plain.avif": (picture, {})} if features.check("avif") else {}),
    }
    for name, (image, options) in forms.items():
        file = io.BytesIO()
        image.save(file, {"jpg": "JPEG"}.get(name[-3:], name.split(".")[1].upper()), **options)
        yield name, file.getvalue()
    yield "deep.png", imagecodecs.png_encode(_levels(np.uint16))
    yield "deep-gray.png", imagecodecs.png_encode(np.ascontiguousarray(_levels(np.uint16)[..., 0]))


def _of_depths() -> Iterator[tuple[str, bytes]]:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    kinds: Mapping[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "u8": (_levels(np.uint8), {"photometric": "rgb", "iccprofile": lab}),
        "u16": (_levels(np.uint16), {"photometric": "rgb", "compression": "zlib"}),
        "f16": (_levels(np.float16), {"photometric": "rgb"}),
        "f32": (_levels(np.float32), {"photometric": "rgb", "planarconfig": "contig", "predictor": 3, "compression": "zstd"}),
        "f64": (_levels(np.float64), {"photometric": "rgb"}),
        "bits": (_levels(np.uint8)[..., 0] > 99, {"photometric": "miniswhite"}),
        "twelve": (_levels(np.uint16)[..., 0] >> 4, {"photometric": "minisblack", "bitspersample": 12}),
        "palette": (
            _levels(np.uint8)[..., 0],
            {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16).reshape(3, 256)},
        ),
        "inks": (np.dstack([_levels(np.uint8), _levels(np.uint8)[..., :1]]), {"photometric": "separated"}),
        "lab": (_levels(np.uint8), {"photometric": "cielab"}),
    }
    for name, (samples, options) in kinds.items():
        file = io.BytesIO()
        tifffile.imwrite(file, samples, **options)
        yield f"{name}.tif", file.getvalue()


def _levels(kind: Any) -> NDArray[Any]:
    """A picture (24, 32, 3) of a smooth ramp and some noise."""
    unit = np.clip(
        np.mgrid[0:1:24j, 0:1:32j].sum(axis=0)[..., None] / 2 + np.random.default_rng(1).normal(0, 0.1, (24, 32, 3)), 0, 1
    )
    most = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1
    return (unit * most).astype(kind)


def _texts() -> Iterator[tuple[str, bytes]]:
    for what, specimen in specimens.SPECIMENS.items():
        if specimen.record:
            yield f"{what}.json", json.dumps(specimen.record).encode()
    text = specimens.infotext(specimens.PARAMETERS)
    hires = specimens.infotext(specimens.HIRES)
    for number, words in enumerate((text, hires, text.replace("\n", " "), text + "\nTemplate: a {red|blue} house")):
        yield f"infotext-{number}.txt", words.encode()
        yield f"infotext-{number}-wide.txt", words.encode("utf-16")
    said = "prompt: a (red:1.2) house, <lora:fur:0.5>\nseed: 5\nsteps: 8\nloras: {fur: 0.5}\nhold: [diffuse, decode]\n"
    yield "fenced.txt", f"---\n{said}---\na (red:1.2) [green|blue] house BREAK in a meadow".encode()
    yield "unfenced.txt", f"{said}a house".encode()
    yield "said.yaml", said.encode()
    yield "nested.yaml", b"a: &a [1, 2]\nb: *a\nc: {d: [1.5, yes, ~, '\\u00e9']}\ne: |\n  lines\n  more\n"
    yield "words.txt", b"[a:b:0.5] {red|green} __colour__ (((x))) \\(y\\) AND z"
