"""Ways to damage a TIFF: its bytes, its tags, its structure, the texts and tensors inside; each given by a random generator."""

import base64
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

NUMBER_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
CODES = (254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 284, 285, 305, 317, 320, 322, 323, 324, 325, 330, 338,
         339, 347, 512, 513, 514, 530, 32997, 32998, 34361, 34412, 34675, 42113, 50838, 65000, 65001, 65420)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 24, 32, 64, 128, 255, 256, 257, 4096, 32773, 34925, 50000, 65535, 65536, 2**20, 2**24,
           2**28, 2**31 - 1, 2**31, 2**32 - 1)  # fmt: skip
WORDS = (b"NaN", b"null", b"-1", b"1e300", b"1e999", b"[]", b"{}", b'""', b"\\ud800", b"\xff\xfe", b"9" * 30, b"[" * 40, b'"id"',
         b"2", b"true", b"\0", b"mosaic", b"pages", b"rgba", b"strip", b"picture", b"embedding", b"latents")  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One tag where it lies: its place in the file, what it says, and the place of its value."""

    place: int
    code: int
    kind: int
    count: int
    value_at: int


class Tiff:
    """A TIFF's skeleton, as far as it can be walked."""

    def __init__(self, data: bytes | bytearray) -> None:
        self.order = "<" if data[:1] == b"I" else ">"
        self.big = data[2:4] in (b"+\0", b"\0+")
        self.word, self.tag_size = ("Q", 20) if self.big else ("I", 12)
        self.pages: list[int] = []
        self.links: list[int] = [8 if self.big else 4]
        self.entries: list[Entry] = []
        with suppress(struct.error, OverflowError):  # damaged already: what was found so far will do
            self._walk(data)

    def number(self, data: bytes | bytearray, place: int, form: str) -> int:
        found: int = struct.unpack_from(self.order + form, data, place)[0]
        return found

    def _walk(self, data: bytes | bytearray) -> None:
        while 0 < (page := self.number(data, self.links[-1], self.word)) < len(data) and page not in self.pages:
            self.pages.append(page)
            count = self.number(data, page, "Q" if self.big else "H")
            first = page + (8 if self.big else 2)
            for place in range(first, first + min(count, 64) * self.tag_size, self.tag_size):
                self.entries.append(self._entry(data, place))
            self.links.append(first + count * self.tag_size)

    def _entry(self, data: bytes | bytearray, place: int) -> Entry:
        code, kind = struct.unpack_from(self.order + "HH", data, place)
        count = self.number(data, place + 4, self.word)
        room = 8 if self.big else 4
        inside = place + self.tag_size - room
        fits = count * NUMBER_SIZES.get(kind, 1) <= room
        return Entry(place, code, kind, count, inside if fits else self.number(data, inside, self.word))


def mutate(data: bytes, other: bytes, random: Random) -> bytes:
    """Damage a file in one to four ways; `other` is a second file to take pieces from."""
    damaged = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        if damaged:
            random.choice(WAYS)(damaged, other, random)
    return bytes(damaged)


def _bytes(data: bytearray, _: bytes, random: Random) -> None:
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        data[random.randrange(len(data))] = random.randrange(256)


def _bit(data: bytearray, _: bytes, random: Random) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _cut(data: bytearray, _: bytes, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def _block(data: bytearray, other: bytes, random: Random) -> None:
    """Remove, double, blank or replace a run of bytes."""
    start, length = random.randrange(len(data)), random.choice((1, 2, 8, 100, 1000))
    run = data[start : start + length]
    data[start : start + length] = random.choice(
        (b"", run + run, bytes(len(run)), b"\xff" * len(run), other[start : start + length])
    )


def _splice(data: bytearray, other: bytes, random: Random) -> None:
    data[random.randrange(len(data)) :] = other[random.randrange(len(other)) :]


def _tag(data: bytearray, _: bytes, random: Random) -> None:
    """Change the code, type, count or value of a tag."""
    tiff = Tiff(data)
    if tiff.entries:
        entry = random.choice(tiff.entries)
        part = random.randrange(4)
        if part == 0:
            _put(data, tiff, entry.place, "H", random.choice(CODES))
        elif part == 1:
            _put(data, tiff, entry.place + 2, "H", random.choice((*NUMBER_SIZES, 0, 14, 255)))
        elif part == 2:
            _put(data, tiff, entry.place + 4, tiff.word, _number(random, data, entry))
        else:
            _put(data, tiff, entry.place + tiff.tag_size - (8 if tiff.big else 4), tiff.word, _number(random, data, entry))


def _value(data: bytearray, _: bytes, random: Random) -> None:
    """Change one number of a tag where its value lies."""
    tiff = Tiff(data)
    if tiff.entries:
        entry = random.choice(tiff.entries)
        size = NUMBER_SIZES.get(entry.kind, 1)
        place = entry.value_at + size * random.randrange(max(1, min(entry.count, 8)))
        _put(data, tiff, place, {1: "B", 2: "H", 4: "I", 8: "Q"}[size], _number(random, data, entry))


def _swap(data: bytearray, _: bytes, random: Random) -> None:
    """Exchange two tags, or copy one over the other."""
    tiff = Tiff(data)
    if len(tiff.entries) > 1:
        one, two = random.sample(tiff.entries, 2)
        first, second = (bytes(data[e.place : e.place + tiff.tag_size]) for e in (one, two))
        data[two.place : two.place + tiff.tag_size] = first
        if random.random() < 0.5:
            data[one.place : one.place + tiff.tag_size] = second


def _chain(data: bytearray, _: bytes, random: Random) -> None:
    """Let a page be followed by another: itself, an earlier one, none, nowhere; or give it another number of tags."""
    tiff = Tiff(data)
    if tiff.pages and random.random() < 0.3:
        _put(data, tiff, random.choice(tiff.pages), "Q" if tiff.big else "H", random.choice((0, 1, 5, 4096, 4097, 65535)))
    target = random.choice((0, 8, random.randrange(len(data)), len(data), 2**32 - 1, *tiff.pages))
    _put(data, tiff, random.choice(tiff.links), tiff.word, target)


def _text(data: bytearray, _: bytes, random: Random) -> None:
    """Write words into a text, without changing its length."""
    tiff = Tiff(data)
    texts = [entry for entry in tiff.entries if entry.code in (270, 65000) and entry.count > 40]
    if texts:
        entry = random.choice(texts)
        word = random.choice(WORDS)
        place = entry.value_at + random.randrange(entry.count)
        data[place : place + len(word)] = word


def _digits(data: bytearray, _: bytes, random: Random) -> None:
    """Change a digit in a text: sizes, versions and steps that contradict the file."""
    tiff = Tiff(data)
    texts = [entry for entry in tiff.entries if entry.code in (270, 65000) and entry.count > 40]
    if texts:
        entry = random.choice(texts)
        end = min(entry.value_at + entry.count, len(data))
        digits = [place for place in range(entry.value_at, end) if 48 <= data[place] < 58]
        if digits:
            data[random.choice(digits)] = random.choice(b"0123456789-.e")


def _tensors(data: bytearray, _: bytes, random: Random) -> None:
    """Damage the exact tensors under the base64: the table of shapes and places, or the numbers."""
    blobs = [entry for entry in Tiff(data).entries if entry.code == 65001 and entry.count > 40]
    if not blobs:
        return
    place = blobs[0].value_at
    length = min(blobs[0].count - 1, len(data) - place)
    blob = bytearray()
    with suppress(ValueError):
        blob += base64.b64decode(bytes(data[place : place + max(length, 0)]))
    if not blob:
        return
    table = min(len(blob), 8 + int.from_bytes(blob[:8], "little"))
    for _ in range(random.choice((1, 2, 4))):
        if random.random() < 0.7 and table:
            word = random.choice((*WORDS, b"F64", b"BF16", b"F8_E4M3", b"9", b"0"))
            where = random.randrange(table)
            blob[where : where + len(word)] = word
        else:
            blob[random.randrange(len(blob))] = random.randrange(256)
    data[place : place + length] = base64.b64encode(bytes(blob))[:length].ljust(length, b"A")


def _put(data: bytearray, tiff: Tiff, place: int, form: str, number: int) -> None:
    size = struct.calcsize(form)
    if 0 <= place <= len(data) - size:
        struct.pack_into(tiff.order + form, data, place, number % 2 ** (8 * size))


def _number(random: Random, data: bytearray, entry: Entry) -> int:
    near = (len(data), len(data) - 1, len(data) + 1, entry.place, entry.value_at, entry.count + 1, entry.count - 1, 2 * entry.count)
    return random.choice((*NUMBERS, *near, random.randrange(len(data))))


WAYS: tuple[Callable[[bytearray, bytes, Random], None], ...] = (
    *(_bytes, _bit, _cut, _block, _splice),
    *(_tag, _tag, _tag, _value, _value, _value, _swap, _chain),
    *(_text, _digits, _tensors),
)
