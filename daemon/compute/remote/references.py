"""What travels to another machine in the place of a path: what kind of model it is, its name here, and what is in its files.

Whatever comes from another machine in the place of one is checked here, to the last character, before anything is done with it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, Self

KINDS = ("model", "vae", "part", "lora", "textual_inversion")
REFERENCE = "reference"
SETTINGS_SUFFIXES = frozenset((".json", ".txt", ".model"))
FOLDER_SUFFIXES = SETTINGS_SUFFIXES | {".safetensors", ".bin"}
"""The endings of the files that loading reads in a folder."""
INDEX = "model_index.json"

MOST_FILES = 200
MOST_CHARACTERS = 255
MOST_BYTES = 1 << 43
GB = 1e9

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,16}")


class NoReference(ConnectionError):
    """What another machine sent in the place of a reference to a model is none; the text is one sentence."""


def name_of_file(path: Path) -> str:
    """How a single file is called within a reference: of its own name only the ending counts, which says how it is read."""
    suffix = path.suffix.lower()
    return f"model{suffix if _SUFFIX.fullmatch(suffix) else ''}"


@dataclass(frozen=True)
class FileReference:
    """A file by its name within the model, its size, and SHA-256 of a sample of it and of all of it."""

    name: str
    bytes: int
    sampled: str
    full: str


@dataclass(frozen=True)
class Reference:
    """A model, or a part of one, by what is in its files: either one file, or those of a folder."""

    kind: str
    name: str
    files: tuple[FileReference, ...]

    @property
    def is_file(self) -> bool:
        """Whether it is a single file; a folder has settings beside its weights."""
        only = PurePosixPath(self.files[0].name)
        return len(self.files) == 1 and len(only.parts) == 1 and only.suffix.lower() not in SETTINGS_SUFFIXES

    @property
    def is_whole(self) -> bool:
        """Whether it is a folder of a whole model, with a subfolder for each component."""
        return any(file.name == INDEX or "/" in file.name for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def digest(self) -> str:
        """The same for the same files, however the model is called."""
        said = sorted([file.name, file.bytes, file.full] for file in self.files)
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()

    def in_words(self) -> str:
        """What it is, for a sentence."""
        many = f"{len(self.files)} files" if len(self.files) > 1 else "one file"
        return f"the {self.kind.replace('_', ' ')} {self.name!r} ({self.bytes / GB:.2f} GB in {many})"

    def written(self) -> dict[str, Any]:
        """As it stands in settings that travel."""
        return {REFERENCE: {"kind": self.kind, "name": self.name, "files": [asdict(file) for file in self.files]}}

    @classmethod
    def read(cls, said: object) -> Self:
        """The inverse, for what comes from another machine. Raises NoReference."""
        inner = _fields(said, (REFERENCE,))[REFERENCE]
        fields = _fields(inner, ("kind", "name", "files"))
        if not isinstance(fields["kind"], str) or fields["kind"] not in KINDS:
            _refuse(f"a model of the kind {_shown(fields['kind'])}, and there are {', '.join(KINDS)}")
        if not isinstance(fields["files"], list) or not 1 <= len(fields["files"]) <= MOST_FILES:
            _refuse(f"a model that has not between 1 and {MOST_FILES} files")
        reference = cls(fields["kind"], _plain(fields["name"], "name"), tuple(_file(file) for file in fields["files"]))
        reference._check()
        return reference

    def _check(self) -> None:
        names = [file.name.casefold() for file in self.files]
        folders = {name.partition("/")[0] for name in names if "/" in name}
        if len({*names}) < len(names) or folders & {*names}:
            _refuse("a model that has two files of one name")
        if self.bytes > MOST_BYTES:
            _refuse(f"a model of {self.bytes} bytes, and none has more than {MOST_BYTES}")
        strangers = [file.name for file in self.files if PurePosixPath(file.name).suffix.lower() not in FOLDER_SUFFIXES]
        if not self.is_file and strangers:
            _refuse(f"a folder of a model with {_shown(strangers[0])}, and loading reads {', '.join(sorted(FOLDER_SUFFIXES))}")


def _file(said: object) -> FileReference:
    fields = _fields(said, ("name", "bytes", "sampled", "full"))
    name = _plain(fields["name"], "name of a file")
    parts = name.split("/")
    if (
        "\\" in name
        or ":" in name
        or len(parts) > 2
        or any(not part or part.startswith(".") or part.endswith(".") for part in parts)
    ):
        _refuse(f"a file named {_shown(name)}, which is not a plain name, with one folder before it at most")
    size = fields["bytes"]
    if type(size) is not int or not 0 <= size <= MOST_BYTES:
        _refuse(f"a file of {_shown(size)} bytes")
    for key in ("sampled", "full"):
        if not isinstance(fields[key], str) or _DIGEST.fullmatch(fields[key]) is None:
            _refuse(f"a file whose {key} SHA-256 is {_shown(fields[key])}")
    return FileReference(name, size, fields["sampled"], fields["full"])


def _fields(said: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(said, Mapping) or {*said} != {*keys}:
        _refuse(f"{_shown(said)}, where a reference to a model is expected; no path of one machine counts on another")
    return said


def _plain(said: object, what: str) -> str:
    if not isinstance(said, str) or not 1 <= len(said) <= MOST_CHARACTERS or not said.isprintable():
        _refuse(f"a {what} {_shown(said)}, which is not between 1 and {MOST_CHARACTERS} printable characters")
    try:
        said.encode()
    except UnicodeEncodeError:
        _refuse(f"a {what} {_shown(said)}, which is no text")
    return said


def _refuse(what: str) -> NoReturn:
    raise NoReference(f"the other machine sent {what}")


def _shown(said: object) -> str:
    shown = ascii(said if isinstance(said, str | int | float | bool) or said is None else type(said).__name__)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
