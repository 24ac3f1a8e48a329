"""The words of a file as a terminal shows them: a name, a prompt or a note must not begin lines of its own, or steer the terminal.

`daemon/names.py` says the same for the daemon, which must not load the format for it.
"""

import os
import re

_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def shown(words: str) -> str:
    """Words as one line, with nothing in it but what is seen: a line break becomes \\n, ESC \\x1b, a mark of direction \\u202e."""
    return _NOT_SHOWN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), words)


def in_words(error: Exception) -> str:
    """What an error says to people: one of the system without its number, behind the file that it is about."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return ": ".join(os.fsdecode(part) for part in (error.filename, error.strerror) if isinstance(part, str | bytes))
