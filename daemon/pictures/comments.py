"""The comment in EXIF data as the text that it is, whatever its code says: programs do not agree on either.

The standard (CIPA DC-008, 4.6.5) asks for 8 bytes that name the character code; of "UNICODE" it does not say which byte of UTF-16
comes first, its third version means UTF-8, and many programs leave the code out. Cameras fill the field with zeros,
blanks and noise. Old programs write the letters of Western Europe in a byte each: what is any text then is read only where it is a
recipe.
"""

from collections.abc import Iterator
from contextlib import suppress
from unicodedata import category

from daemon.settings.infotext_lines import has_parameters

CODES = (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8))
WITHOUT_MARK = ("utf-8", "utf-16-be", "utf-16-le")
MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xfe\xff": "utf-16-be", b"\xff\xfe": "utf-16-le"}
LINES = "\t\n\r"
# The blanks of other scripts, and what joins or turns letters.
BETWEEN = ("Zs", "Zl", "Zp", "Cf")


def comment_text(value: bytes) -> str | None:
    """A comment as text; None where no decoding of it is any."""
    value = value[8:] if value[:8].upper() in CODES else value
    readings = [text for text in _readings(value) if text]
    found = max(readings, key=_likelihood, default=None)
    if found is None or not _likelihood(found)[0]:
        old = of_one_byte(value).strip("\0 ")
        return old if has_parameters(old) and all(map(_is_of_text, old)) else found
    return found


def of_one_byte(data: bytes) -> str:
    """A text whose characters have a byte each: UTF-8 where it is that, else as programs of Windows wrote it."""
    for code in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(code)
    return data.decode("latin-1")


def _readings(value: bytes) -> Iterator[str]:
    """What each encoding makes of it where that is text: the first of equals is the likeliest."""
    marked = next((code for mark, code in MARKS.items() if value.startswith(mark)), None)
    for code in (marked,) if marked else WITHOUT_MARK:
        # A text of UTF-16 may end in the zero byte of a text, which makes its length odd.
        even = value[: len(value) - len(value) % 2] if code.startswith("utf-16") else value
        try:
            text = even.decode(code).removeprefix("\ufeff").strip("\0 ")
        except UnicodeDecodeError:
            continue
        if all(_is_of_text(character) for character in text):
            yield text


def _is_of_text(character: str) -> bool:
    return character.isprintable() or character in LINES or category(character) in BETWEEN


def _likelihood(text: str) -> tuple[bool, int]:
    """UTF-16 in the wrong order is text too, of other scripts, but has neither parameters nor much of the alphabet."""
    recipe = has_parameters(text) or (text.startswith("{") and text.endswith("}"))
    return recipe, sum(character.isascii() for character in text)
