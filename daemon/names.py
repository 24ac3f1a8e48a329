"""Names of dropped and published files: STEM.ID.EXT.

The stem is what a person called the file, the id is 8 hex digits that the daemon gives to each output, the extension says what
it is. A name may hold any bytes a Linux folder allows: names are str with surrogateescape, as os.listdir gives them, and are
cut to the 255 bytes of a file name by shortening the stem, never the id or the extension. Where people or a log read a name, or any
other words of a file, `shown` stands between.
"""

import os
import re
from pathlib import PurePath

LIMIT_BYTES = 255
PORTABLE_BYTES = 120
# By Microsoft's "Naming Files, Paths, and Namespaces"; a stem that is not UTF-8 has no name on a share at all.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]) *", re.IGNORECASE)
_ID = re.compile(r"\.([0-9a-f]{8})\Z")
# A proof, the picture that would come of latents, lies beside them and may be painted on; `stages` has the endings one by one.
_PROOF = re.compile(r".\.proof(\.png|\.tiff?|\.jpe?g|\.webp)\Z", re.IGNORECASE | re.DOTALL)
# Controls, which begin lines and steer terminals; marks that turn the order of what follows, or that nobody sees; separators of
# lines and paragraphs; halves of surrogate pairs, which UTF-8 cannot say. The joiners in emoji and Persian are none of these.
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def new_id() -> str:
    """A fresh id: 8 hex digits."""
    return os.urandom(4).hex()


def base_of(name: str) -> str:
    """The name without its extension; an id stays."""
    return os.path.splitext(name)[0]  # noqa: PTH122 (PurePath drops a trailing dot before it splits)


def without_id(base: str) -> str:
    """A base name without the id at its end, if it has one."""
    return _ID.sub("", base) or base


def stem_of(name: str) -> str:
    """What a person called the file: the name without its extension and without an id before it."""
    return without_id(latents_base(name))


def id_of(name: str) -> str | None:
    """The id in a name, 8 hex digits before the extension, or None; that of a proof is the one of its latents."""
    found = _ID.search(latents_base(name))
    return found[1] if found else None


def is_proof(name: str) -> bool:
    """Whether a name is that of a proof, and not of a file that a job is about."""
    return _PROOF.search(name) is not None


def proof_name(name: str) -> str:
    """The name of the proof of latents: cat.3f9a1c2e.tiff -> cat.3f9a1c2e.proof.png."""
    base = base_of(name)
    stem = without_id(base)
    return fitted(stem, f"{base[len(stem) :]}.proof.png")


def latents_base(name: str) -> str:
    """The name without its extension, that of a proof without what makes it one: what latents and their proof have in common."""
    base = base_of(name)
    return base_of(base) if is_proof(name) else base


def portable(stem: str) -> str:
    """A stem that Windows, and so an SMB share, takes as it is: another one where it has what is forbidden there.

    Without that a client sees a mangled name such as CAT~1Q2W.TXT, which has lost its id. Not one of `<>:"/\\|?*`, controls, or
    bytes that are no UTF-8; no dot or space at the end; no name of a device before the first dot; at most 120 bytes, so that with
    id, number and ending 143 are not exceeded, which is what encrypted folders of a NAS take.
    """
    while len(stem.encode("utf-8", "surrogateescape")) > PORTABLE_BYTES:
        stem = stem[:-1]
    plain = _FORBIDDEN.sub("_", stem).rstrip(". ") or "_"
    head, dot, rest = plain.partition(".")
    return f"{head.rstrip()}_{dot}{rest}" if _DEVICE.fullmatch(head) else plain


def output_name(stem: str, identity: str, extension: str = "") -> str:
    """STEM.ID.EXT; the extension comes with its dot."""
    return fitted(stem, f".{identity}{extension}")


def fitted(stem: str, rest: str) -> str:
    """Stem and rest as one name of at most 255 bytes; the stem gives way."""
    stem = stem[:LIMIT_BYTES]
    while stem and len(os.fsencode(stem + rest)) > LIMIT_BYTES:
        stem = stem[:-1]
    return stem + rest


def numbered(name: str, number: int, *, stem: str | None = None) -> str:
    """The name to use when `name` is taken: cat.3f9a1c2e.tiff -> cat-2.3f9a1c2e.tiff; number 1 is the name itself.

    With `stem` the number goes behind that stem, so that all files of one drop keep belonging together: cat-2_latent.tiff,
    cat-2.yaml.
    """
    if number == 1:
        return name
    head = stem if stem and name.startswith(stem) else stem_of(name)
    rest = name[len(head) :]
    return fitted(head, f"-{number}{rest}")


def is_plain(name: str) -> bool:
    """Whether a name names a file inside its folder and nothing else."""
    return bool(name) and PurePath(name).name == name and name not in {".", ".."} and "\0" not in name


def shown(words: str) -> str:
    """A name, or words out of a file, for a sentence, a log or a terminal: one line, and nothing in it but what can be seen.

    A line break becomes \\n, ESC \\x1b, a mark that turns the reading order \\u202e; what was shown already stays as it is.
    `tiffsd/shown.py` says the same without the daemon.
    """
    return _NOT_SHOWN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), words)
