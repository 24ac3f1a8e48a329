"""A second reader of TIFFSD, written from the specification in `tiffsd/spec.py` alone: struct and numpy, no TIFF library.

It reads what a writer MUST write (section 1), not what editors make of it.
"""

import base64
import json
import struct
from typing import Any

import numpy as np

SIZES = {2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}
FORMATS = {3: "H", 4: "I", 16: "Q"}
DTYPES = {"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
          "F16": "<f2", "F32": "<f4", "F64": "<f8"}  # fmt: skip


def pages_of(data: bytes) -> list[dict[int, Any]]:
    """The tags of each page by code: numbers as tuples, texts and bytes as bytes."""
    assert data[:4] == b"II*\0"
    pages, (offset,) = [], struct.unpack_from("<I", data, 4)
    while offset:
        tags: dict[int, Any] = {}
        (count,) = struct.unpack_from("<H", data, offset)
        for place in range(offset + 2, offset + 2 + 12 * count, 12):
            code, kind, number = struct.unpack_from("<HHI", data, place)
            at = place + 8 if number * SIZES[kind] <= 4 else struct.unpack_from("<I", data, place + 8)[0]
            raw = data[at : at + number * SIZES[kind]]
            tags[code] = (
                struct.unpack(f"<{number}{FORMATS[kind]}", raw) if kind in FORMATS else raw.rstrip(b"\0") if kind == 2 else raw
            )
        pages.append(tags)
        (offset,) = struct.unpack_from("<I", data, offset + 2 + 12 * count)
    return pages


def canvas_of(data: bytes, tags: dict[int, Any]) -> np.ndarray:
    """The pixels of a page, (ImageLength, ImageWidth, SamplesPerPixel)."""
    width, height, samples, bits = tags[256][0], tags[257][0], tags[277][0], tags[258][0]
    assert (tags[259], tags[278], set(tags[339])) == ((1,), (height,), {3}), "uncompressed, one strip, floats"
    pixels = np.frombuffer(data, f"<f{bits // 8}", height * width * samples, tags[273][0])
    return pixels.reshape(height, width, samples)


def exact_of(tags: dict[int, Any]) -> tuple[str | None, dict[str, np.ndarray]]:
    """The id and the tensors of tag 65001."""
    if 65001 not in tags:
        return None, {}
    blob = base64.b64decode(tags[65001])
    (length,) = struct.unpack_from("<Q", blob)
    table = json.loads(blob[8 : 8 + length])
    identity = table.pop("__metadata__")["id"]
    return identity, {
        name: np.frombuffer(blob[8 + length :][slice(*entry["data_offsets"])], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in table.items()
    }


def read(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The record, the exact tensors, and the canvas tensors as the pixels alone tell them."""
    pages = pages_of(data)
    record = json.loads(pages[0][65000]) | json.loads(pages[0][270])
    identity, exact = exact_of(pages[0])
    assert record["tiffsd"] == 1
    assert identity in (None, record["id"])
    canvas = [canvas_of(data, tags) for tags in pages]
    a, b, c = record["size"]
    f = (record["sigma"] ** 2 + 1) ** 0.5 if "sigma" in record else 1.0
    values = [((page.astype(float) - 0.5) * 8 * f).astype(np.float32)[..., 0] for page in canvas]
    match record["layout"]:
        case "rgb":
            return record, exact | {"picture": canvas[0]}, {"picture": canvas[0]}
        case "strip":
            return record, exact, {"prompt_embeds": values[0][:a], "negative_prompt_embeds": values[0][a:]}
        case "rgba":
            return record, exact, {"latents": np.moveaxis((canvas[0].astype(float) * f).astype(np.float32), -1, 0)}
        case "pages":
            return record, exact, {"latents": np.stack(values)}
    columns = next(n for n in range(1, a + 1) if a % n == 0 and n * n >= a)
    corners = [(k // columns * b, k % columns * c) for k in range(a)]
    return record, exact, {"latents": np.stack([values[0][y : y + b, x : x + c] for y, x in corners])}
