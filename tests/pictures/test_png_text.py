"""The texts of a PNG: as Pillow finds them, without its codecs, within limits, and with a note on what is ignored."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from daemon.pictures.png_text import LARGEST_TEXT_BYTES, MOST_CHUNKS_OF_PIXELS, PNG_BEGINNING, png_text


def png(info: PngInfo | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def found(data: bytes) -> dict[str, str]:
    return dict(png_text(io.BytesIO(data)).found)


def with_chunk(kind: bytes, data: bytes) -> bytes:
    whole = png()
    return whole[:33] + chunk(kind, data) + whole[33:]  # behind the header


@pytest.mark.parametrize("text", ["a cat", "ä cät", "猫 🐈", "a cat\nSteps: 4", "x" * 500_000])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_pillow_writes_is_found(text: str, compressed: bool) -> None:
    info = PngInfo()
    info.add_text("parameters", text, zip=compressed)
    info.add_itxt("tiffsd", text, lang="en", tkey="rezept", zip=compressed)

    data = png(info)

    with Image.open(io.BytesIO(data)) as image:
        assert found(data) == image.info == {"parameters": text, "tiffsd": text}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"zTXt", b"parameters\0\0" + zlib.compress(bytes(LARGEST_TEXT_BYTES + 1))),
        (b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(bytes(100 * LARGEST_TEXT_BYTES))),
        (b"zTXt", b"parameters\0\0no stream"),
        (b"zTXt", b"parameters"),
        (b"iTXt", b"parameters\0\0\0"),
        (b"tEXt", bytes(LARGEST_TEXT_BYTES + 1)),
    ],
)
def test_texts_that_are_damaged_or_would_be_too_large_are_passed_over(kind: bytes, data: bytes) -> None:
    texts = png_text(io.BytesIO(with_chunk(kind, data)))
    assert dict(texts.found) == {}
    assert [
        note for note in texts.notes if "in this picture ignored: damaged, or larger than 1048576 bytes" in note
    ] or b"\0" not in data


def test_only_wanted_texts_are_inflated_and_those_behind_16_megabytes_of_them_passed_over() -> None:
    large = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(LARGEST_TEXT_BYTES)))
    last = chunk(b"tEXt", b"tiffsd\0{}")
    whole = png()

    others = png_text(io.BytesIO(whole[:33] + large * 40 + last + whole[33:]), {"tiffsd"})
    texts = png_text(io.BytesIO(whole[:33] + large * 40 + last + whole[33:]))

    assert (others.found, others.notes) == ({"tiffsd": "{}"}, ())
    assert list(texts.found) == ["parameters"]
    assert texts.notes == (f"texts ignored beyond the first {16 * LARGEST_TEXT_BYTES} bytes of them in this picture",)


def test_chunks_beyond_the_thousandth_are_passed_over_with_a_note() -> None:
    whole = png()
    texts = png_text(io.BytesIO(whole[:33] + chunk(b"abCd", b"") * 1000 + chunk(b"tEXt", b"a\0b") + whole[33:]))
    assert (texts.found, texts.notes) == ({}, ("chunks ignored beyond the first 1000 of this picture",))


def test_what_stands_behind_the_pixels_is_read_too_and_nothing_behind_the_end() -> None:
    whole, text = png(), chunk(b"tEXt", b"parameters\0a cat")
    assert found(whole[:-12] + text + whole[-12:]) == {"parameters": "a cat"}
    assert found(whole + text) == {}


def test_very_many_chunks_of_pixels_do_not_take_the_time_of_a_child() -> None:
    whole = png()
    many = whole[:33] + chunk(b"IDAT", b"") * MOST_CHUNKS_OF_PIXELS + chunk(b"tEXt", b"a\0b") + whole[33:]
    texts = png_text(io.BytesIO(many))
    assert (texts.found, texts.notes) == ({}, ("texts ignored beyond the first 100000 chunks of pixels of this picture",))


def test_a_text_in_utf_8_is_read_as_such_where_latin_1_was_asked_for() -> None:
    assert found(with_chunk(b"tEXt", "a\0Kätzchen".encode())) == {"a": "Kätzchen"}
    assert found(with_chunk(b"zTXt", b"a\0\0" + zlib.compress("Kätzchen".encode()))) == {"a": "Kätzchen"}


@pytest.mark.parametrize("data", [PNG_BEGINNING, PNG_BEGINNING + b"\0\0", PNG_BEGINNING + b"\xff\xff\xff\xfftEXt", png()[:40]])
def test_a_png_that_breaks_off_has_no_texts(data: bytes) -> None:
    assert found(data) == {}
