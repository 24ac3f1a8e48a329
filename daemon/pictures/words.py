"""The words in a PNG, JPEG or WebP that can be run again, found in the child process and bounded for the front.

Nothing here needs a codec, so that a child that is asked for words only starts in a moment.
"""

from collections.abc import Mapping
from typing import IO, Any

from daemon.errors import InputError
from daemon.pictures.chunks import EXACT_RECIPE, INFOTEXT, Form, form_of, pixels_digest
from daemon.pictures.exif import ExifText
from daemon.pictures.exif_text import exif_text
from daemon.pictures.png_text import png_text
from daemon.pictures.sizes import longest_record


def words_of(file: IO[bytes], name: str, *, characters: int, digest: bool) -> Mapping[str, Any]:
    """What a picture says, as `decoding.TextInPicture` has it; `digest` asks for that of its coded pixels too.

    Raises InputError for no picture. Words that are longer than `characters` allows are left out for the sentence that says so.
    """
    form = form_of(file)
    if form is None:
        raise InputError(f"{name}: not a readable PNG, JPEG or WebP picture; save it anew and drop it again")
    text = _texts(file, form)
    refused = _too_long(text, name, characters)
    said: dict[str, Any] = {"notes": text.notes, "refused": refused}
    if refused is None:
        said |= {"infotext": text.infotext if text.exact is None else None, "exact": text.exact}
    if digest and text.exact is not None:
        said["pixels"] = pixels_digest(file, form)
    return said


def _texts(file: IO[bytes], form: Form) -> ExifText:
    if form is not Form.PNG:
        return exif_text(file, form)
    texts = png_text(file, (INFOTEXT, EXACT_RECIPE))
    return ExifText(texts.found.get(INFOTEXT), texts.found.get(EXACT_RECIPE), texts.notes)


def _too_long(text: ExifText, name: str, characters: int) -> str | None:
    most = longest_record(characters)
    if text.exact is not None:
        if len(text.exact) <= most:
            return None
        return (
            f"{name}: the recipe in this picture has {len(text.exact)} characters, and at most {most} are read "
            "(limits.characters in config.yaml allows so many); drop a prompt file instead"
        )
    if text.infotext is None or len(text.infotext) <= characters:
        return None
    return f"{name}: the prompt has {len(text.infotext)} characters, the limit is {characters} (limits.characters in config.yaml)"
