"""What a file in the spool says of itself while it is nobody's job yet: priority, model, mask, and the ids it may be known by.

A look never waits: neither a link, nor a FIFO, nor a file that another program has locked holds up the daemon. What cannot be read
says nothing; what another program holds, by a lease, cannot be read yet. Texts are read by the parsers of the job itself, within
the bytes that the job accepts, and once for each version of a file.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import InputError, InUse
from daemon.jobs.heads import Heads
from daemon.names import id_of, latents_base, stem_of
from daemon.pictures.proofs import proof_said_by
from daemon.settings.prompts import front_matter, settings_file
from daemon.settings.values import MOST_URGENT, NAME
from daemon.stages import LATENTS, MASK_ENDING, PROMPTS

SETTINGS = (".yaml", ".yml")
MOST_KNOWN = 16_384
BYTES_PER_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class Stated:
    """What a prompt's front matter, a settings file or an artifact's record says; `priority` is within -100 and 100.

    A value that the job would refuse counts as none, but a priority beyond the range as the nearest; the job tells.
    """

    priority: int = 0
    model: str | None = None
    mask: str | None = None


NOTHING = Stated()
Version = tuple[str, int, int, int, int, int]  # extension, device, inode, size, mtime_ns, ctime_ns


class Probe:
    """Reads what files state at their beginning; `characters` gives how long a prompt may be. The latest of it is remembered.

    `heads` gets the heads of the artifacts, for who asks for them later.
    """

    def __init__(self, beneath: Beneath, characters: Callable[[], int], *, heads: Heads | None = None) -> None:
        self._beneath, self._characters, self._heads = beneath, characters, heads or Heads()
        self._known: dict[Version, Stated] = {}  # the one that was asked for last at the end

    def read(self, path: Path) -> Stated:
        """What the file says: nothing where it cannot be read, or is none of those that say something.

        Raises InUse while another program holds it: what it says is not known then.
        """
        extension = path.suffix.lower()
        if extension not in PROMPTS + SETTINGS + LATENTS:
            return NOTHING
        try:
            with self._beneath.plain(path) as file:
                st = os.fstat(file.fileno())
                version = (extension, st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
                known = self._known.pop(version, None)
                said = self._said(file, path.name, extension, st.st_size) if known is None else known
        except InUse:
            raise
        except OSError:
            return NOTHING
        self._known[version] = said
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return said

    def _said(self, file: BinaryIO, name: str, extension: str, size: int) -> Stated:
        try:
            if extension in LATENTS:
                return _stated(self._heads.read(file, name).recipe)
            characters = self._characters()
            most = BYTES_PER_CHARACTER * characters
            if size > most:
                return NOTHING
            data = file.read(size)
            return _stated(settings_file(data, name) if extension in SETTINGS else front_matter(data, name, characters=characters))
        except (InputError, tiffsd.TiffsdError):
            return NOTHING


def _stated(settings: Mapping[str, Any]) -> Stated:
    priority, model, mask = (settings.get(key) for key in ("priority", "model", "mask"))
    return Stated(
        max(-MOST_URGENT, min(MOST_URGENT, priority)) if type(priority) is int else 0,
        model if isinstance(model, str) and NAME.fullmatch(model) else None,
        mask if isinstance(mask, str) and NAME.fullmatch(mask) and mask.lower().endswith(MASK_ENDING) else None,
    )


def identity_of(file: BinaryIO, name: str) -> str:
    """By what the proofs of latents are known: the id in their metadata or in their name, else one that is made from the name."""
    return tiffsd.find_id(file, name) or identity_of_name(name)


def identity_of_name(name: str) -> str:
    """The same of a name alone, that of latents or of their proof."""
    return id_of(name) or hashlib.sha256(latents_base(name).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def proof_identity(beneath: Beneath, path: Path) -> str:
    """Of which latents a file is the proof, by its metadata, else by its name. Raises OSError where it cannot be read."""
    with beneath.plain(path) as file:
        return proof_said_by(file) or identity_of_name(path.name)


def read_ids(beneath: Beneath, path: Path) -> set[str]:
    """By what a kept original may be looked for when this file is used: the ids in its name and in it, else its stem.

    Raises InUse while another program holds the file.
    """
    is_artifact = path.suffix.lower() in LATENTS
    found = {id_of(path.name)}
    if is_artifact:
        try:
            with beneath.plain(path) as file:
                found.add(tiffsd.find_id(file, path.name))
        except InUse:
            raise
        except OSError:
            pass  # what cannot be read has no id in it
    ids = {identity for identity in found if identity}
    return ids or ({stem_of(path.name)} if is_artifact else set())
