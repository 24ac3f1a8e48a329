"""The words in a PNG, JPEG, WebP, or in latents of ComfyUI, that can be run again, found in the child and bounded for the front.

Nothing here needs a codec, so that a child that is asked for words only starts in a moment. What the texts of other programs are,
`settings/foreign/telling.py` tells.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import IO, Any

from daemon.errors import InputError
from daemon.pictures.alpha_text import alpha_text
from daemon.pictures.child_limits import RefusedByFormat
from daemon.pictures.chunks import EXACT_RECIPE, Form, chunks, form_of, pixels_digest
from daemon.pictures.exif import ExifText
from daemon.pictures.exif_text import LARGEST_EXIF_BYTES, exif_text, parse_exif
from daemon.pictures.png_text import MOST_CHUNKS, png_text
from daemon.pictures.sizes import longest_record
from daemon.settings.foreign.recipe import WORDS, parsed
from daemon.settings.foreign.telling import ALPHA, COMMENT, DESCRIPTION, IMAGE_DESCRIPTION, LABELS, USER_COMMENT, Told, tell

# Where editors put the description of a canvas that they export as a picture.
OF_A_CANVAS = (COMMENT, IMAGE_DESCRIPTION, DESCRIPTION, USER_COMMENT)
CANVAS_KINDS = {"latents": "these are latents", "embedding": "this is the embedding"}
_ID = re.compile(r"[0-9a-f]{8}")

LATENT = ".latent"


@dataclass(frozen=True)
class Words:
    """What a picture says: the exact recipe, or what its other texts were told to be; and the sentences on what was ignored.

    `canvas` says of which latents or embedding the description is in it: an editor exported their canvas."""

    exact: str | None = None
    told: Told = field(default_factory=Told)
    notes: tuple[str, ...] = ()
    canvas: str | None = None


def words_of(file: IO[bytes], name: str, *, characters: int, digest: bool) -> Mapping[str, Any]:
    """What a picture says, as `decoding.TextInPicture` has it; `digest` asks for that of its coded pixels too.

    Raises InputError for no picture. Words that are longer than `characters` allows are left out for the sentence that says so.
    """
    form = form_of(file)
    if form is None and name.lower().endswith(LATENT):
        words = _of_latents(file, name)
    elif form is None:
        raise InputError(f"{name}: not a readable PNG, JPEG or WebP picture; save it anew and drop it again")
    else:
        words = _words(file, form)
    refused = _too_long(words, name, characters)
    said: dict[str, Any] = {"notes": words.notes, "refused": refused, "canvas": words.canvas}
    if refused is None:
        foreign = words.told.foreign
        said |= {"infotext": words.told.infotext, "exact": words.exact, "foreign": None if foreign is None else asdict(foreign)}
    if digest and form is not None and words.exact is not None:
        said["pixels"] = pixels_digest(file, form)
    return said


def _words(file: IO[bytes], form: Form) -> Words:
    found = _of_png(file) if form is Form.PNG else exif_text(file, form)
    if found.exact is not None:
        return Words(found.exact, notes=found.notes)
    texts = {**found.others, **({} if found.infotext is None else {USER_COMMENT: found.infotext})}
    told = tell(texts)
    if form is Form.PNG and told.infotext is None and told.foreign is None and (hidden := alpha_text(file)):
        told = tell({ALPHA: hidden})
    return Words(None, told, (*found.notes, *told.notes), _canvas(texts))


def _canvas(texts: Mapping[str, str]) -> str | None:
    """Of which latents or embedding one of the texts is the description, if one is."""
    for record in filter(None, (parsed(texts.get(label, "")) for label in OF_A_CANVAS)):
        kind, identity = str(record.get("kind")), str(record.get("id"))
        if "tiffsd" in record and kind in CANVAS_KINDS and _ID.fullmatch(identity):
            return f"{CANVAS_KINDS[kind]} {identity}"
    return None


def _of_latents(file: IO[bytes], name: str) -> Words:
    """The graph that ComfyUI keeps in the head of its latents."""
    # Only here: it brings numpy, which no other words need.
    from tiffsd.latent_file import texts_of_latent
    from tiffsd.spec import TiffsdError

    try:
        texts = texts_of_latent(file, name, length=file.seek(0, os.SEEK_END))
    except TiffsdError as error:
        raise RefusedByFormat(type(error).__name__, str(error)) from error
    told = tell({key: text for key, text in texts.items() if key in LABELS})
    return Words(None, told, told.notes)


def _of_png(file: IO[bytes]) -> ExifText:
    """The texts of a PNG, and those of its EXIF data."""
    texts = png_text(file, LABELS | {EXACT_RECIPE})
    exif = next((chunk for chunk in islice(chunks(file, Form.PNG), MOST_CHUNKS) if chunk.kind in (b"eXIf", b"IDAT")), None)
    beside = parse_exif(exif.read(file)) if exif and exif.kind == b"eXIf" and exif.length <= LARGEST_EXIF_BYTES else ExifText()
    others = {key: text for key, text in texts.found.items() if key != EXACT_RECIPE}
    return ExifText(beside.infotext, texts.found.get(EXACT_RECIPE), texts.notes, {**beside.others, **others})


def _too_long(words: Words, name: str, characters: int) -> str | None:
    most = longest_record(characters)
    if words.exact is not None:
        if len(words.exact) <= most:
            return None
        return (
            f"{name}: the recipe in this picture has {len(words.exact)} characters, and at most {most} are read "
            "(limits.characters in config.yaml allows so many); drop a prompt file instead"
        )
    foreign = words.told.foreign
    texts = [words.told.infotext, *(foreign.said.get(key) for key in WORDS if foreign)]
    longest = max((len(text) for text in texts if isinstance(text, str)), default=0)
    if longest <= characters:
        return None
    return f"{name}: the prompt has {longest} characters, the limit is {characters} (limits.characters in config.yaml)"
