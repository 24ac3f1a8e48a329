"""Files whose metadata, exact tensors, tags or bytes are damaged, foreign or beyond the limits."""

import base64
import struct
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from tests.agreement.originals import beside, embedding, file_of, latents, picture
from tests.agreement.saved import Case, Cases, blob, changed, essentials, painted, saved, sheets_of, tagged, text
from tests.agreement.tiff import ASCII, BYTE, LONG, SHORT, UNDEFINED, Form, Sheet, tiff_of
from tiffsd import Layout, State

GONE = object()
KEYS: dict[str, tuple[Any, ...]] = {
    "tiffsd": (0, 2, "1", 1.0, True, GONE, None, -1),
    "kind": ("picture", "embedding", "Latents", 5, GONE, None, ["latents"]),
    "id": ("3F9A1C2E", "3f9a1c2", "3f9a1c2e0", 12345678, GONE, None, "00000000"),
    "layout": ("pages", "rgba", "strip", "rgb", "tiles", 1, GONE, None),
    "size": (
        [4, 8],
        [4, 8, 8, 1],
        [4, 8, 8.0],
        [4, 0, 8],
        [4, -8, 8],
        "4,8,8",
        [8, 8, 8],
        [4, 8, 9],
        [129, 8, 8],
        GONE,
        None,
        [16, 4, 4],
        [1, 16, 16],
        [True, 8, 8],
        [2, 8, 16],
    ),
    "state": ("noise", "partial", "done", 1, GONE, None, ""),
    "sigma": (0, 1, 2.5, 1e6, 1000001, -1, "2.5", True, None, [1]),
    "step": (0, 3, -1, 2.5, "3", True, None),
    "steps": (9, -9, 9.0, False),
    "parent": ("3f9a1c2e", "nobody", 7, None),
    "recipe": ([], "a cat", 1, {}, None, {"prompt": 3, "anything": [1, {"b": 2}]}),
    "history": ({}, [1], [[]], [{"anything": 1}], None, "x"),
    "software": ([], {"a": 1}, None, "x"),
    "unheard": (1, {"a": []}, None),
}


def records() -> Cases:
    """Each key of the record missing, of another type, out of its range, in one of the two tags or in both."""
    seed = 6000
    for key, values in KEYS.items():
        for value in values:
            seed += 1
            sheets = sheets_of(file_of(latents(seed)))
            record = {**essentials(sheets[0]), "recipe": {"prompt": "a cat"}}
            record = {k: v for k, v in {**record, key: value}.items() if v is not GONE}
            where = ("both", "both", "description", "record")[seed % 4] if key != "id" else "both"
            new = {"description": text(record)} if where != "record" else {}
            new |= {"record": text(record)} if where != "description" else {}
            new |= {"tensors": None} if seed % 3 == 0 else {}
            yield Case(f"record_{key}_{where}", tiff_of([tagged(sheet, **new) for sheet in sheets]))


def texts() -> Cases:
    """Texts that are no JSON, or strange JSON, or of other types; descriptions and records of other artifacts."""
    seed = 6300
    good = file_of(latents(seed))
    first = sheets_of(good)[0]
    record = essentials(first)
    odd = {
        "no_json": b"GIMP was here",
        "broken": text(record)[:-1],
        "list": b"[" + text(record) + b"]",
        "spaces": b"  " + text(record).replace(b",", b" , \n") + b"\n",
        "nan": text(record)[:-1] + b',"sigma":NaN}',
        "infinity": text(record)[:-1] + b',"other":-Infinity}',
        "twice": text(record)[:-1] + b',"state":"noise"}',
        "empty": b"",
        "utf8": text(record)[:-1] + ',"a":"猫"}'.encode(),
        "escaped": text(record)[:-1] + b',"a":"\\u732b"}',
        "latin": text(record)[:-1] + ',"a":"ü"}'.encode("latin-1"),
        "bom": b"\xef\xbb\xbf" + text(record),
        "behind": text(record) + b" saved by GIMP",
        "deep": text(record)[:-1] + b',"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        "huge_number": text(record)[:-1] + b',"sigma":1e999}',
        "key_upper": text(record).replace(b"tiffsd", b"TIFFSD"),
        "other_version_broken": text({**record, "tiffsd": 2})[:-1],
    }
    for words, content in odd.items():
        yield Case(f"text_{words}_description", tiff_of([tagged(first, description=content)]))
        yield Case(f"text_{words}_record", tiff_of([tagged(first, record=content)]))
        yield Case(f"text_{words}_both", tiff_of([tagged(first, description=content, record=content)]))
    for seed, (words, new) in enumerate(_foreign(record).items(), 6400):
        yield Case(f"foreign_{words}", tiff_of([tagged(sheets_of(good)[0], **new)]), ending=(".0a0b0c0d", "")[seed % 2])
    for kind in (BYTE, UNDEFINED):
        for code in (270, 65000, 65001):
            tags = {**first.tags, code: (kind, first.tags[code][1])}
            yield Case(f"type{kind}_of_{code}", tiff_of([replace(first, tags=tags)]))


def _foreign(record: dict[str, Any]) -> dict[str, dict[str, bytes | None]]:
    other = {**record, "id": "aaaaaaaa", "recipe": {"prompt": "a dog"}}
    profile = b"x" * 36 + b"acsp" + b"TIFFSD linear gray 0badcafe\0"
    wide = b"x" * 40 + "TIFFSD linear gray 0badcafe".encode("utf-16-be")
    gone: dict[str, bytes | None] = {"description": None, "record": None}
    return {
        "record": {"record": text(other)},
        "record_and_damaged": {"record": text(other), "description": text(record)[:-1]},
        "no_description": {"description": None},
        "no_record": {"record": None},
        "neither": gone,
        "neither_nor_tensors": {**gone, "tensors": None},
        "only_profile": {**gone, "profile": profile},
        "only_wide_profile": {**gone, "profile": wide},
        "only_long_id_in_profile": {**gone, "profile": profile.replace(b"cafe\0", b"cafe0\0")},
        "upper_id_in_profile": {**gone, "profile": profile.replace(b"0badcafe", b"0BADCAFE")},
        "no_profile": {**gone, "profile": None},
        "no_profile_again": {**gone, "profile": None, "tensors": None},
        "essentials_differ": {"record": text({**record, "state": "noise", "recipe": {"prompt": "a dog"}})},
        "essentials_of_another_kind": {"record": text({**record, "layout": "pages"})},
        "record_without_id": {"record": text({k: v for k, v in other.items() if k != "id"})},
    }


def exact_tensors() -> Cases:
    """Exact tensors cut, foreign, of other shapes, types and sizes, painted over and not."""
    seed = 6500
    rng = np.random.default_rng(seed)
    size = (4, 8, 8)
    for words, made in {
        "cut": lambda t, i: blob(t, i)[:-40],
        "cut_to_a_group": lambda t, i: blob(t, i)[: len(blob(t, i)) // 8 * 4],
        "line_breaks": lambda t, i: base64.encodebytes(base64.b64decode(blob(t, i))),
        "last_break": lambda t, i: blob(t, i) + b"\n",
        "spaces_around": lambda t, i: b"  " + blob(t, i) + b" ",
        "not_base64": lambda _t, _i: b"!" * 400,
        "empty": lambda _t, _i: b"",
        "url_alphabet": lambda t, i: blob(t, i).replace(b"+", b"-").replace(b"/", b"_"),
        "one_bit": lambda t, i: _flipped(blob(t, i)),
        "other_id": lambda t, _: blob(t, "aaaaaaaa"),
        "no_id": lambda t, _: blob(t, "").replace(b"", b""),
        "none": lambda _t, i: blob({}, i),
        "float64": lambda t, i: blob({"latents": t["latents"].astype("f8")}, i),
        "float64_fine": lambda t, i: blob({"latents": t["latents"].astype("f8") * (1 + 2.0**-30)}, i),
        "float16": lambda t, i: blob({"latents": t["latents"].astype("f2")}, i),
        "integers": lambda t, i: blob({"latents": t["latents"].astype("i4")}, i),
        "other_size": lambda t, i: blob({"latents": t["latents"][:, :4]}, i),
        "batch": lambda t, i: blob({"latents": t["latents"][np.newaxis]}, i),
        "nan": lambda t, i: blob({"latents": np.where(t["latents"] > 2, np.nan, t["latents"])}, i),
        "without_latents": lambda _t, i: blob({"mask": np.ones((8, 8), bool)}, i),
        "mask_of_rank_3": lambda t, i: blob({**t, "mask": np.ones((1, 8, 8), bool)}, i),
        "halves_of_two_widths": lambda t, i: blob(
            {**t, "prompt_embeds": rng.random((3, 4)), "negative_prompt_embeds": rng.random((3, 5))}, i
        ),
        "pooled_of_rank_2": lambda t, i: blob({**t, "pooled_prompt_embeds": rng.random((1, 4))}, i),
        "picture_inside": lambda t, i: blob({**t, "picture": rng.random((3, 4, 3)).astype("f4")}, i),
        "unknown": lambda t, i: blob({**t, "later.x": rng.random((2, 1, 2, 1, 2)), "empty": np.zeros((0, 3), "f4")}, i),
        "all_types": lambda t, i: blob(
            {**t, **{n: np.arange(3).astype(n) for n in ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")}}, i
        ),
    }.items():
        for count in (0, 3):
            seed += 1
            original = latents(seed, size=size)
            first = sheets_of(file_of(original))[0]
            new = made(dict(original.tensors), original.header.id)
            yield Case(f"exact_{words}_{count}", tiff_of([changed(tagged(first, tensors=new), painted(seed, count))]))
    yield from _exact_of_others(seed)


def _exact_of_others(seed: int) -> Cases:
    strip = embedding(seed)
    for words, tensors in {
        "rows_swapped": {
            "prompt_embeds": strip.tensors["negative_prompt_embeds"],
            "negative_prompt_embeds": strip.tensors["prompt_embeds"],
        },
        "one_half": {"prompt_embeds": strip.tensors["prompt_embeds"]},
        "with_latents": {**strip.tensors, "latents": np.zeros((4, 2, 2), "f4")},
        "other_width": {k: v[:, :9] for k, v in strip.tensors.items() if v.ndim == 2},
    }.items():
        first = sheets_of(file_of(strip))[0]
        yield Case(f"exact_strip_{words}", tiff_of([tagged(first, tensors=blob(tensors, strip.header.id))]))
    shown = picture(seed)
    first = sheets_of(file_of(shown))[0]
    for words, tensors in {
        "mask": {"mask": np.ones((7, 9), bool)},
        "bad_mask": {"mask": np.ones(7, bool)},
        "latents": {"latents": np.zeros((4, 2, 2), "f4")},
    }.items():
        yield Case(f"exact_picture_{words}", tiff_of([tagged(first, tensors=blob(tensors, shown.header.id))]))
    for share, state in product((0, 3, 0.9), (State.PARTIAL, State.FINAL)):
        seed += 1
        made = latents(seed, state=state, beside=beside(seed, (4, 8, 8)), sigma=2.5 if state is State.PARTIAL else None)
        yield Case(f"exact_history_{share}", saved(file_of(made), painted(seed, share)))


def structures() -> Cases:
    """Files cut off, chains of pages that lead back, sizes beyond the limits, tags that are missing or lead nowhere."""
    data = file_of(latents(6700, beside=beside(6700, (4, 8, 8))))
    for part in (0, 4, 8, 100, 1000, 2000, len(data) - 1, len(data) - 100):
        yield Case(f"cut_at_{part}", data[:part])
    for words, start in {
        "png": b"\x89PNG\r\n\x1a\n",
        "jpeg": b"\xff\xd8\xff\xe0",
        "nothing": b"\0" * 8,
        "version": b"II\x2b\0",
    }.items():
        yield Case(f"beginning_{words}", start + data[len(start) :])
    yield Case("more_behind", data + b"more" * 50)
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    end = first + 2 + 12 * count
    yield Case("chain_to_itself", data[:end] + struct.pack("<I", first) + data[end + 4 :])
    yield Case("chain_beyond", data[:end] + struct.pack("<I", 10**8) + data[end + 4 :])
    sheet = sheets_of(file_of(latents(6710)))[0]
    yield from _other_tags(sheet)
    for words, form in {"lzw": Form(compression=5), "deflate": Form(compression=8), "zstd": Form(compression=50000)}.items():
        whole = saved(file_of(latents(6720)), form=form)
        yield Case(f"coded_{words}_damaged", whole[:20] + b"\x55" * 60 + whole[80:])
    for codec in (2, 3, 4, 6, 7, 32809, 33003, 34712, 50001, 50002, 65535, 34887):
        yield Case(f"codec{codec}_of_latents", tiff_of([replace(sheet, tags={**sheet.tags, 259: (SHORT, [codec])})]))


def _other_tags(sheet: Sheet) -> Cases:
    for words, tags in {
        "wider": {256: (LONG, [17])},
        "taller": {257: (LONG, [17])},
        "narrower": {256: (LONG, [8])},
        "no_width": {256: (LONG, [0])},
        "too_wide": {256: (LONG, [65537])},
        "two_samples": {277: (SHORT, [2])},
        "bits_16": {258: (SHORT, [16])},
        "bits_64": {258: (SHORT, [64])},
        "white_is_zero": {262: (SHORT, [0])},
        "photometric_rgb": {262: (SHORT, [2])},
        "photometric_cmyk": {262: (SHORT, [5])},
        "format_unsigned": {339: (SHORT, [1])},
        "format_void": {339: (SHORT, [4])},
        "format_complex": {339: (SHORT, [6])},
        "predictor_of_nothing": {317: (SHORT, [2])},
        "strips_beyond": {273: (LONG, [10**7])},
        "strips_at_zero": {273: (LONG, [0])},
        "strips_short": {279: (LONG, [10])},
        "strips_long": {279: (LONG, [5000])},
        "rows_of_all": {278: (LONG, [2**32 - 1])},
        "rows_zero": {278: (LONG, [0])},
        "sub_pages": {330: (LONG, [10**8])},
        "sub_pages_to_itself": {330: (LONG, [8])},
        "fill_order": {266: (SHORT, [2])},
        "thumbnail": {254: (LONG, [1])},
        "mask": {254: (LONG, [4])},
        "page_of_many": {254: (LONG, [2])},
        "depth": {32997: (LONG, [2])},
        "further_tags": {
            305: (ASCII, b"GIMP 3.0"),
            282: (5, [(72, 1)]),
            283: (5, [(72, 1)]),
            700: (BYTE, b"<x/>"),
            50000: (SHORT, [1]),
        },
        "many_numbers": {50001: (SHORT, [0] * 262145)},
        "most_numbers": {50001: (SHORT, [0] * 262144)},
    }.items():
        yield Case(f"tag_{words}", tiff_of([replace(sheet, tags={**sheet.tags, **tags})]))
    for count in (4090, 4200):
        more = {code: (SHORT, [1]) for code in range(40000, 40000 + count)}
        yield Case(f"tags_{count}", tiff_of([replace(sheet, tags={**sheet.tags, **more})]))
    tiny = Sheet(np.zeros((1, 1, 1), "f4"))
    yield Case("pages_256", tiff_of([tiny] * 256))
    yield Case("pages_257", tiff_of([tiny] * 257))
    for length in (2097151, 2097152, 2200000):
        record = text(essentials(sheet))
        yield Case(f"description_{length}", tiff_of([tagged(sheet, description=record + b" " * (length - len(record)))]))
        yield Case(f"record_{length}", tiff_of([tagged(sheet, record=record + b" " * (length - len(record)))]))
    for marks in (65000, 66000):
        record = text(essentials(sheet))[:-1] + b',"a":[' + b"0," * marks + b"0]}"
        yield Case(f"record_marks_{marks}", tiff_of([tagged(sheet, record=record)]))
        quoted = text(essentials(sheet))[:-1] + b',"a":"' + b"0," * marks + b'0"}'
        yield Case(f"record_marks_in_text_{marks}", tiff_of([tagged(sheet, record=quoted)]))


def limits() -> Cases:
    """Pixels at the limits and beyond, of each kind."""
    seed = 6900
    for value, layout in product((999.9, 1000.0, 1000.1, -1000.0, -1000.1), (Layout.MOSAIC, Layout.PAGES, Layout.RGBA)):
        seed += 1
        whole = file_of(latents(seed, layout=layout))
        yield Case(f"limit_{layout}_{value}", saved(whole, lambda p, value=value: _with_one(p, value)))
    for value in (99999.0, 100000.0, 100001.0, -100000.0, 1001.0):
        seed += 1
        yield Case(f"limit_strip_{value}", saved(file_of(embedding(seed)), lambda p, value=value: _with_one(p, value)))
    for value in (1000.00001, 1000 + 2**-20, 1e300):
        yield Case(f"limit_f64_{value}", saved(file_of(latents(seed)), lambda p, value=value: _with_one(p.astype("f8"), value)))


def _with_one(pixels: np.ndarray, value: float) -> np.ndarray:
    pixels = pixels.copy()
    pixels[1, 1, 0] = value
    return pixels


def _flipped(data: bytes) -> bytes:
    """Another number somewhere in the values."""
    middle = 3 * len(data) // 4
    return data[:middle] + (b"A" if data[middle : middle + 1] != b"A" else b"B") + data[middle + 1 :]
