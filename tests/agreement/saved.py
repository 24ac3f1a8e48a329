"""A file as an editor saves it again: its pages taken apart, changed, and laid into another form with the tags that were kept."""

import base64
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests import second_reader
from tests.agreement.tiff import ASCII, UNDEFINED, Form, Sheet, Tag, tiff_of

Pixels = np.ndarray
Change = Callable[[Pixels], Pixels]

DESCRIPTION, PAGE_NAME, PROFILE, RECORD, TENSORS = 270, 285, 34675, 65000, 65001
TYPES = {DESCRIPTION: ASCII, PAGE_NAME: ASCII, PROFILE: UNDEFINED, RECORD: ASCII, TENSORS: ASCII}
ALL = (DESCRIPTION, PAGE_NAME, PROFILE, RECORD, TENSORS)
UNMARKED = ()


@dataclass(frozen=True)
class Case:
    """One file of the corpus: words for its name, its bytes, the original for `repair`, and what its name ends in."""

    words: str
    data: bytes
    original: bytes | None = None
    ending: str = ""


Cases = Iterator[Case]


def sheets_of(data: bytes, keep: Sequence[int] = ALL) -> list[Sheet]:
    """The pages of a file that tiffsd wrote, with those of their tags that are kept."""
    sheets = []
    for tags in second_reader.pages_of(data):
        samples = second_reader.canvas_of(data, tags)
        kept: dict[int, Tag] = {code: (TYPES[code], tags[code]) for code in keep if code in tags}
        count = samples.shape[2]
        sheets.append(Sheet(samples, 2 if count > 2 else 1, extra=(2,) if count == 4 else (), tags=kept))
    return sheets


def saved(data: bytes, *changes: Change, keep: Sequence[int] = ALL, form: Form | None = None) -> bytes:
    """The file saved again, the pixels of each page changed by one after the other."""
    return tiff_of([changed(sheet, *changes) for sheet in sheets_of(data, keep)], form or Form())


def changed(sheet: Sheet, *changes: Change) -> Sheet:
    samples = sheet.samples
    for change in changes:
        samples = change(samples)
    return replace(sheet, samples=samples)


def tagged(sheet: Sheet, **tags: Any) -> Sheet:
    """A page with other tags: description, record, tensors, profile or page_name as bytes, None to take one away."""
    codes = {"description": DESCRIPTION, "page_name": PAGE_NAME, "profile": PROFILE, "record": RECORD, "tensors": TENSORS}
    kept = {code: tag for code, tag in sheet.tags.items() if code not in {codes[name] for name in tags}}
    return replace(sheet, tags=kept | {codes[k]: (TYPES[codes[k]], v) for k, v in tags.items() if v is not None})


def text(record: Any) -> bytes:
    """A record as tiffsd writes it."""
    return json.dumps(record, separators=(",", ":")).encode()


def essentials(sheet: Sheet) -> dict[str, Any]:
    """The record in a page's description."""
    found: dict[str, Any] = json.loads(sheet.tags[DESCRIPTION][1])
    return found


def blob(tensors: dict[str, Pixels], owner: str) -> bytes:
    """Exact tensors as the text of their tag, whatever they are."""
    names = {"b": "BOOL", "u": "U", "i": "I", "f": "F"}
    table: dict[str, Any] = {"__metadata__": {"id": owner}}
    data = b""
    for name, tensor in tensors.items():
        kind = names[tensor.dtype.kind]
        form = kind if kind == "BOOL" else f"{kind}{8 * tensor.dtype.itemsize}"
        table[name] = {"dtype": form, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return base64.b64encode(struct.pack("<Q", len(head)) + head + data)


# How editors keep numbers --------------------------------------------------------------------------------------------------------


def doubles(pixels: Pixels) -> Pixels:
    return pixels.astype(np.float64)


def halves(pixels: Pixels) -> Pixels:
    with np.errstate(over="ignore"):
        return pixels.astype(np.float16)


def levels(bits: int, *, down: bool = False) -> Change:
    """Whole numbers of so many bits, to the nearest or cut down."""
    full = 2**bits - 1

    def change(pixels: Pixels) -> Pixels:
        scaled = pixels.astype(np.float64).clip(0, 1) * full
        return (np.floor(scaled) if down else np.rint(scaled)).astype(f"u{(bits + 7) // 8}" if bits != 24 else "u4")

    return change


def photoshop(pixels: Pixels) -> Pixels:
    """The 32,769 levels of Photoshop, doubled."""
    return np.minimum(2 * np.rint(pixels.astype(np.float64).clip(0, 1) * 32768), 65535).astype(np.uint16)


def on_grid(dtype: str) -> Change:
    """Floats on the levels of 16 bits."""
    return lambda pixels: (np.rint(pixels.astype(np.float64).clip(0, 1) * 65535) / 65535).astype(dtype)


def signed(bits: int) -> Change:
    return lambda pixels: np.rint(pixels.astype(np.float64).clip(-1, 1) * (2 ** (bits - 1) - 1)).astype(f"i{bits // 8}")


def painted(seed: int, share: float) -> Change:
    """A share of the pixels (of all their samples) painted with random numbers within 0..1; of a share above 1, so many of them."""
    rng = np.random.default_rng(seed)

    def change(pixels: Pixels) -> Pixels:
        pixels = pixels.copy()
        places = rng.permutation(pixels[..., 0].size)[: round(share * pixels[..., 0].size) if share <= 1 else int(share)]
        flat = pixels.reshape(-1, pixels.shape[2])
        flat[places] = rng.random((len(places), pixels.shape[2])).astype(pixels.dtype)
        return flat.reshape(pixels.shape)

    return change


def with_alpha(value: float = 1.0) -> Change:
    """A further sample of one value, white being 1."""

    def change(pixels: Pixels) -> Pixels:
        full = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
        return np.concatenate([pixels, np.full_like(pixels[..., :1], value * full)], axis=2)

    return change


def as_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2)
