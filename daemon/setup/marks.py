"""The first line of each file that `tiffsd service install` writes: it is known again by it, and so is whether it was changed."""

import re
from hashlib import sha256

MARK = "# Written by `tiffsd service install` (sum {}); `tiffsd service uninstall` takes it back.\n"
_MARK = re.compile(re.escape(MARK).replace(r"\{\}", "([0-9a-f]{16})"))


def marked(text: str) -> str:
    """The text under its mark."""
    return MARK.format(_sum(text)) + text


def is_marked(text: str) -> bool:
    """Whether install wrote a file with this text, whatever was done to it since."""
    return _MARK.match(text) is not None


def is_as_written(text: str) -> bool:
    """Whether install wrote this text, and nobody has changed it since."""
    found = _MARK.match(text)
    return found is not None and found[1] == _sum(text[found.end() :])


def _sum(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
