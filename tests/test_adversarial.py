"""No parser of what people drop takes more than its share of time: ten times the bytes cost ten times, whoever chose them.

Each parser is given shapes that try it where it could look at the same characters again and again. Measured is processor time, the
best of a few attempts, without the collector of garbage, whose time depends on all that other tests left.
"""

import gc
import io
import json
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

import tiffsd
from daemon import names
from daemon.beneath import Beneath
from daemon.errors import InputError
from daemon.inbox.grouping import group_into_drops, related
from daemon.inbox.named_masks import with_named
from daemon.jobs.probe import Probe
from daemon.jobs.recipes import _record
from daemon.models import prompt_grammar
from daemon.models.schedulers import canonical
from daemon.pictures.alpha_text import alpha_text
from daemon.pictures.chunks import Form, pixels_digest
from daemon.pictures.comments import comment_text
from daemon.pictures.exif_text import exif_text, parse_exif
from daemon.pictures.png_text import PNG_BEGINNING, png_text
from daemon.settings import plain_yaml
from daemon.settings.checking import checked
from daemon.settings.foreign.telling import tell
from daemon.settings.plain_yaml import parse_yaml
from daemon.settings.prompts import front_matter, parse_prompt
from daemon.stages import STAGES
from tiffsd import exact, header, profile, prototype
from tiffsd.region import parse_region

KIB = 1024
SIZES = (32 * KIB, 320 * KIB)
# Looking again and again takes a hundred times; ten of a memory that others keep busy has been thirteen.
MOST_TIMES = 20
FLOOR_SECONDS = 0.005
ATTEMPTS = 24  # the best of them counts: a busy machine slows some, and never all
UNBOUNDED = 2**40  # characters

Parser = Callable[[bytes], object]
Shape = Callable[[int], bytes]


def times(unit: str, *, before: str = "", after: str = "") -> Shape:
    """So much of a unit that there are `size` bytes of it."""
    return lambda size: (before + unit * (size // len(unit.encode())) + after).encode()


def halves(first: str, second: str) -> Shape:
    """As many of one unit as of the other behind it."""
    return lambda size: (first * (count := size // len(first + second)) + second * count).encode()


def numbered(line: str) -> Shape:
    """The line with the numbers from 0 on."""
    return lambda size: "".join(line.format(number) for number in range(size // len(line))).encode()


def shapes(**found: Shape) -> dict[str, Shape]:
    return {name.replace("_", " "): shape for name, shape in found.items()}


BLANKS = {
    f"{name} {where}": times(unit, before=before, after=after)
    for name, unit in (("spaces", " "), ("tabs", "\t"), ("lines", "\n"), ("windows lines", "\r\n"))
    for where, before, after in (("before a word", "", "x"), ("in words", "x", "x"), ("in a bracket", "[a:", "x]"))
}
WORDS = shapes(
    letters=times("a"),
    words=times("a b "),
    letters_of_two_bytes=times("é"),
    digits=times("1"),
    digits_in_a_bracket=times("1", before="[a:", after="x]"),
    underscores=times("_"),
    round_brackets=times("("),
    square_brackets=times("["),
    closing_brackets=times("]"),
    pairs_of_brackets=times("()"),
    crossed_brackets=times("([)]"),
    colons_in_crossed_brackets=halves("[:(])", "]"),
    brackets_with_colons=halves("[:", "]"),
    weights=times("(a:1.1)"),
    deep_weights=times("(a:1.1)", before="(" * 47),
    unclosed_weights=times(":1 "),
    colons=times(":"),
    bars=times("[a|"),
    backslashes=times("\\"),
    escapes=times("\\("),
    quotes=times('"'),
    BREAK=times("BREAK "),
    AND=times("AND "),
    unclosed_loras=times("<lora:"),
    unclosed_networks=times("<hypernet:"),
    loras=times("<lora:a:1>"),
    loras_of_many_weights=times(":1", before="<lora:a", after=">"),
    other_loras=numbered(" <lora:a{}:1>"),
    long_weight=times("1", before="<lora:a:", after=">"),
    embeddings=times("embedding:"),
    negatives=times("Negative prompt:\n"),
)
LONG = {name: WORDS[name] for name in ("letters", "digits", "unclosed loras", "embeddings", "quotes")}
STEPS = "a cat\nSteps: 8, Seed: 1, Size: 8x8, "
INFOTEXTS = shapes(
    keys=times("Steps: 1, ", before="a cat\n"),
    other_keys=numbered("a{}: 1, "),
    letters=times("a", before=STEPS),
    words=times("a b ", before=STEPS),
    dashes=times("a-", before=STEPS),
    spaces=times(" ", before=STEPS + "ab:", after="x"),
    unclosed_quotes=times('aa: "', before=STEPS),
    escaped_quotes=times('aa: \\",', before=STEPS),
    one_unclosed_quote=times("\\\\", before=STEPS + 'aa: "'),
    commas=times(",", before=STEPS),
    colons=times(":", before=STEPS),
    sampler=times("d", before=STEPS + "Sampler: "),
    sampler_of_many_letters=times("dpm2a+karstexponi", before=STEPS + "Sampler: "),
    number=times("1", before="a cat\nSeed: 1, Size: 8x8, Steps: "),
)
FENCES = shapes(
    fences=times("---\n"),
    fences_of_spaces=times("--- ", before="---\n"),
    opened=times("a\n", before="---\n"),
    spaces_behind=times(" ", before="---", after="x"),
    spaces_behind_the_last=times(" ", before="---\na: 1\n---", after="x"),
    nearly_closed=times("--- x\n", before="---\n"),
    lines_before=times("\n", after="---\na: 1\n---\na cat"),
)
YAMLS = shapes(
    seen=lambda size: b"mask:" + b"\t" * (size // 2) + b"a" * (size // 2) + b'""',
    round_keys=times("k: 1\n"),
    keys=numbered("k{}: 1\n"),
    keys_with_one_hash=lambda size: b"a: {%s}" % b",".join(b"%d: 1" % (n * (2**61 - 1)) for n in range(1, size // 24)),
    brackets=times("[", before="a: "),
    braces=times("{a: "),
    lists=times("- "),
    marks=times("? "),
    deep_lines=lambda size: "".join(f"{' ' * n}a:\n" for n in range(int((2 * size) ** 0.5))).encode(),
    commas=times("b,", before="a: ["),
    sixties=times(":1", before="seed: 1"),
    digits=times("1", before="seed: "),
    float_of_sixties=times(":1", before="seed: 1", after=".5"),
    date=times(" ", before="seed: 2001-01-01", after="x"),
    directives=numbered("%TAG !a{}! b\n"),
    merges=times("<<: {a: 1}\n"),
    anchors=numbered("- &a{} b\n"),
    long_anchor=times("a", before="a: &"),
    alias=times("a", before="a: *"),
    tag=times("!", before="a: "),
    documents=times("---\n"),
    comments=times("# a\n"),
    block=times(" a\n", before="a: |\n"),
    empty_block=times("\n", before="a: >\n"),
    single_quote=times("a", before="a: '"),
    double_quote=times("a\n\n ", before='a: "'),
    escapes=times("\\x41", before='a: "', after='"'),
    plain_lines=times("\n b", before="a: b"),
    long_key=times("a", after=": 1"),
    colons=times(":", before="a"),
)
JSONS = shapes(
    brackets=times("["),
    closed_brackets=halves("[", "]"),
    objects=times('{"a":'),
    digits=times("1", before='{"a": ', after="}"),
    float=times("1", before='{"a": 1.', after="}"),
    exponent=times("1", before='{"a": 1e', after="}"),
    keys=lambda size: json.dumps({f"k{n}": n for n in range(size // 12)}).encode(),
    the_same_key=times('"a":1,', before="{", after='"b":1}'),
    escapes=times("\\u0041", before='{"a": "', after='"}'),
    spaces=times(" ", before="{", after='"a": 1}'),
    history=times("{},", before='{"recipe": {}, "history": [', after="{}]}"),
)
NAMES = shapes(
    companions=numbered("cat{}.yaml\ncat{}.png\n".replace("{}", "{0}")),
    masks=numbered("a{0}.png\na{0}_mask.png\n"),
    halves_of_one_name=lambda size: "\n".join(
        [f"a_latent.{n:08x}.tiff" for n in range(size // 42)] + [f"a_prompt.{n:08x}.tiff" for n in range(size // 42)]
    ).encode(),
    settings_of_one_name=numbered("cat.{0:08x}.yaml\n"),
    prompts=times("_prompt", after=".txt"),
    dots=times("."),
    ids=times(".0123abcd"),
)


def text(parse: Callable[[str], object]) -> Parser:
    return lambda data: parse(data.decode())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNGS = shapes(
    empty_chunks=lambda size: PNG_BEGINNING + chunk(b"tEXt", b"") * (size // 12),
    one_text=lambda size: PNG_BEGINNING + chunk(b"tEXt", b"parameters\0" + b"a" * size),
    international=lambda size: PNG_BEGINNING + chunk(b"iTXt", b"parameters" + b"\0" * size),
    deflated=lambda size: (
        PNG_BEGINNING + b"".join(chunk(b"zTXt", b"%d\0\0" % n + zlib.compress(bytes(2**20))) for n in range(size // 1060))
    ),
    cut_off=lambda size: PNG_BEGINNING + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21))[:-9]) * (size // 2080),
)


def exif_fields(size: int) -> bytes:
    """Fields that all claim the whole."""
    count = min(size // 13, 2**16 - 1)
    field = struct.pack(">HHII", 37500, 7, size, 0)
    return (b"MM\0*" + struct.pack(">IH", 8, count) + field * count).ljust(size, b"\0")


EXIFS = shapes(
    fields=exif_fields,
    other_fields=lambda size: (
        b"MM\0*" + struct.pack(">IH", 8, 5000) + b"".join(struct.pack(">HHII", n, 7, size, 0) for n in range(5000))
    )[:size].ljust(size, b"\0"),
    comment=lambda size: (
        b"MM\0*" + struct.pack(">IHHHII", 8, 1, 37510, 7, size, 22) + b"UNICODE\0" + "Steps:".encode("utf-16-be") * (size // 12)
    ),
    blanks=lambda size: b"MM\0*" + struct.pack(">IHHHII", 8, 1, 37510, 7, size, 22) + bytes(8) + b" " * size + b"x",
)
JPEGS = shapes(
    fill=lambda size: b"\xff\xd8" + b"\xff" * size,
    segments=lambda size: b"\xff\xd8" + b"\xff\xe0\0\2" * (size // 4),
)


def tiff_of(description: Callable[[int], bytes]) -> Shape:
    def shape(size: int) -> bytes:
        file = io.BytesIO()
        extra = [(65000, 2, 0, description(size).decode("ascii", "replace").replace("\ufffd", "?"), True)]
        tifffile.imwrite(file, np.zeros((8, 8), "float32"), description='{"tiffsd": 1}', metadata=None, extratags=extra)
        return file.getvalue()

    return shape


def pages(size: int) -> bytes:
    """A chain of pages without end, each with as many tags as its bytes allow."""
    tags = b"".join(struct.pack("<HHII", 40_000 + n, 1, 4, 0) for n in range(200))
    page = struct.pack("<H", 200) + tags
    length = len(page) + 4
    count = size // length
    return b"II*\0" + struct.pack("<I", 8) + b"".join(page + struct.pack("<I", 8 + (n + 1) * length) for n in range(count))


TIFFS: dict[str, Shape] = {name: tiff_of(shape) for name, shape in JSONS.items()} | {"pages": pages}


def grouped(listed: str) -> object:
    stage = STAGES["encode" if ".png" in listed else "diffuse"]
    found = listed.split("\n")
    groups, _ = group_into_drops(stage, related(stage, found, found))
    return with_named(stage, groups, found, lambda _: "x_mask.png")


def named(name: str) -> object:
    made = names.output_name(names.stem_of(name), names.id_of(name) or "0123abcd", ".tiff")
    return made, names.shown(name), names.numbered(name, 2), prototype.ending(name), header.id_in_name(name)


PARSERS: list[tuple[str, Parser, dict[str, Shape]]] = [
    ("prompt", lambda data: parse_prompt(data, "x", characters=UNBOUNDED), BLANKS | WORDS),
    ("infotext", lambda data: parse_prompt(data, "x", characters=UNBOUNDED), INFOTEXTS),
    ("front matter", lambda data: front_matter(data, "x", characters=UNBOUNDED), FENCES),
    ("settings file", text(lambda said: parse_yaml(said, "x")), YAMLS | JSONS),
    ("a setting", text(lambda said: checked({said: said}, "x")), LONG),
    ("settings", text(lambda said: checked({"prompt": said, "loras": {said: 1}}, "x")), LONG),
    # Beside what the reader of prompts asks of them: it stops at the first fault, and so hides the next.
    ("schedule", text(prompt_grammar.schedule_in), WORDS),
    ("loras", text(prompt_grammar.cut_loras), BLANKS),
    ("inversions", text(lambda said: prompt_grammar.named_textual_inversions([said], ["a", "a b", "x" * 50])), WORDS),
    ("scheduler", text(canonical), LONG),
    ("metadata", text(header.parse), JSONS),
    ("record", text(lambda said: _record(said, "x")), JSONS),
    ("exact tensors", lambda data: exact.decode_tensors(data, artifact_id="0123abcd"), LONG),
    ("profile", lambda data: profile.id_in_profile(data), {"beginnings": times("TIFFSD linear gray ")}),
    ("region", text(parse_region), LONG),
    ("names of a folder", text(grouped), NAMES),
    ("one name", text(named), NAMES | BLANKS),
    ("PNG", lambda data: png_text(io.BytesIO(data)), PNGS),
    ("pixels of a PNG", lambda data: pixels_digest(io.BytesIO(data), Form.PNG), PNGS),
    ("EXIF", parse_exif, EXIFS),
    ("comment", comment_text, BLANKS | INFOTEXTS),
    ("labelled texts", text(lambda said: tell({"parameters": said, "prompt": said, "Dream": said})), JSONS | INFOTEXTS | LONG),
    ("unlabelled texts", text(lambda said: tell({"XML:com.adobe.xmp": said, "UserComment": said})), JSONS | INFOTEXTS),
    ("alpha channel", lambda data: alpha_text(io.BytesIO(data)), PNGS),
    ("JPEG", lambda data: exif_text(io.BytesIO(data), Form.JPEG), JPEGS),
    (
        "TIFF",
        lambda data: tiffsd.inspect(io.BytesIO(data), name="x.tiff"),
        {n: tiff_of(s) for n, s in JSONS.items()} | {"pages": pages},
    ),
]
CASES = [pytest.param(parse, shape, id=f"{parser}, {name}") for parser, parse, found in PARSERS for name, shape in found.items()]


@contextmanager
def without_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def seconds(parse: Parser, data: bytes) -> float:
    """The processor time that reading takes, or refusing."""
    started = time.process_time()
    with suppress(InputError, tiffsd.TiffsdError):
        parse(data)
    return time.process_time() - started


def assert_linear(parse: Parser, shape: Shape) -> None:
    few, many = map(shape, SIZES)
    small = large = float("inf")
    with without_collector():
        for _ in range(ATTEMPTS):
            small, large = min(small, seconds(parse, few)), min(large, seconds(parse, many))
            if large <= MOST_TIMES * max(small, FLOOR_SECONDS):
                return
    pytest.fail(f"{SIZES[0]} bytes took {small:.3f} s, {SIZES[1]} bytes {large:.3f} s, {large / small:.0f} times as long")


@pytest.mark.parametrize(("parse", "shape"), CASES)
def test_ten_times_as_much_takes_at_most_twenty_times_as_long(parse: Parser, shape: Shape) -> None:
    assert_linear(parse, shape)


@pytest.mark.parametrize("shape", YAMLS.values(), ids=YAMLS)
def test_the_parser_of_yaml_in_python_is_no_slower_than_that(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_yaml, "LOADER", yaml.SafeLoader)
    assert_linear(text(lambda said: parse_yaml(said, "x")), shape)


@pytest.mark.parametrize(
    ("name", "shape"), [("cat.yaml", YAMLS["seen"]), ("cat.yaml", YAMLS["brackets"]), ("cat.txt", FENCES["nearly closed"])]
)
def test_the_head_of_a_file_costs_no_more_than_its_bytes(tmp_path: Path, name: str, shape: Shape) -> None:
    def read(data: bytes) -> object:
        (tmp_path / name).write_bytes(data)
        return Probe(Beneath(tmp_path), lambda: UNBOUNDED).read(tmp_path / name)

    assert_linear(read, shape)
