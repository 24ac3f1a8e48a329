"""TIFF files of one strip built bit by bit, after TIFF 6.0, so that no library has a say in what they hold."""

import struct
from collections.abc import Sequence

import numpy as np

SHORT, LONG, BYTES = 3, 4, 7


def packed(rows: np.ndarray, bits: int, order: str) -> bytes:
    """Rows (H, n) of whole numbers as TIFF packs them: whole bytes in the byte order, others from the first bit on."""
    if bits % 8 == 0:
        order_of_bytes = "little" if order == "<" else "big"
        return b"".join(int(value).to_bytes(bits // 8, order_of_bytes) for value in rows.ravel())
    texts = ("".join(format(int(value), f"0{bits}b") for value in row) for row in rows)
    return b"".join(int(text + "0" * (-len(text) % 8), 2).to_bytes((len(text) + 7) // 8, "big") for text in texts)


def tiff_of(
    samples: np.ndarray,
    bits: int,
    *,
    photometric: int,
    order: str = "<",
    extra: Sequence[int] = (),
    palette: Sequence[int] = (),
    profile: bytes = b"",
) -> bytes:
    """A TIFF of whole numbers (H, W, n), interleaved and uncompressed."""
    height, width, count = samples.shape
    tags = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * count),
        259: (SHORT, [1]),
        262: (SHORT, [photometric]),
        273: (LONG, [0]),
        277: (SHORT, [count]),
        278: (LONG, [height]),
        279: (LONG, [0]),
        320: (SHORT, list(palette)),
        338: (SHORT, list(extra)),
        34675: (BYTES, list(profile)),
    }
    pixels = packed(samples.reshape(height, -1), bits, order)
    return _file({code: tag for code, tag in tags.items() if tag[1]}, pixels, order)


def _file(tags: dict[int, tuple[int, list[int]]], pixels: bytes, order: str) -> bytes:
    beside, start = b"", 8 + 2 + 12 * len(tags) + 4
    tags[273], tags[279] = (LONG, [8]), (LONG, [len(pixels)])
    # The pixels first, then what does not fit into four bytes.
    start += len(pixels)
    table = b""
    for code, (kind, values) in sorted(tags.items()):
        form = {SHORT: "H", LONG: "I", BYTES: "B"}[kind]
        value = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(value) > 4:
            value, beside = struct.pack(order + "I", start + len(beside)), beside + value + b"\0" * (len(value) % 2)
        table += struct.pack(order + "HHI", code, kind, len(values)) + value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(pixels))
    return head + pixels + struct.pack(order + "H", len(tags)) + table + bytes(4) + beside
