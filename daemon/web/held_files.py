"""What waits in hold/ as the painter reads it and puts it back: latents and the proof beside them, each in one known version.

A file is named by what it holds, so that nothing is saved over what somebody else has saved meanwhile, the daemon among them. It is
written beside its place under a name that the daemon passes over, and renamed, as careful programs do. Nothing is remembered here:
a proof that is written is paint to the daemon because it is no longer what the daemon has shown.
"""

import hashlib
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import DaemonError, InputError, NotThere
from daemon.inbox.arrivals import is_private_elsewhere
from daemon.inbox.telling_names import is_nobodys
from daemon.layout import HOLD, PICTURES, STEPS
from daemon.names import is_proof, proof_name, shown
from daemon.pictures.decoding import read_artifact
from daemon.pictures.repainting import Levels, levels_of, repainted
from daemon.spool.atomic import atomic_write
from daemon.spool.filesystem import Filesystem
from daemon.stages import PROOF_ENDINGS, STAGES, TIFFS
from tiffsd.reading import exact_tensors

MOST_PIXELS = 4096 * 4096
MOST_FILE_BYTES = 512 * 2**20
PAINTABLE = tuple(stage.folder for stage in STAGES.values() if PROOF_ENDINGS[0] in stage.companions)

Values = NDArray[np.float32]


class Changed(DaemonError):
    """What is to be saved over is not what was painted on: somebody else, or the daemon, has written it since."""


@dataclass(frozen=True)
class Stored:
    """A file of the spool as it was read: all its bytes, `version`, which names them, and `stamp`, which tells it from the next."""

    path: Path
    data: bytes
    version: str
    stamp: str


@dataclass(frozen=True)
class Latents:
    """Latents as they count, `values` (C, h, w) with what is painted on their canvas; `artifact` has the exact ones."""

    file: Stored
    artifact: tiffsd.Artifact
    values: Values
    painted: int


def held(root: Path, path: Path) -> Path:
    """Latents that may be painted on, at a place below the root. Raises NotThere for any other place."""
    parts = path.relative_to(root).parts
    if len(parts) == 3 and parts[0] == HOLD and parts[1] in PAINTABLE and _is_latents(path.name):
        return path
    raise NotThere("latents that can be painted on lie in " + " and ".join(f"{HOLD}/{folder}" for folder in PAINTABLE))


def source(root: Path, path: Path) -> Path:
    """What a region may be copied from: latents that wait, those of a step, or a finished picture. Raises NotThere."""
    parts = path.relative_to(root).parts
    allowed = {STEPS: _is_latents, PICTURES: _is_picture}
    return path if len(parts) == 2 and parts[0] in allowed and allowed[parts[0]](path.name) else held(root, path)


def picture_of(path: Path) -> Path:
    """The picture that is shown of what lies at a path: the proof of latents, or the picture itself."""
    return path if _is_picture(path.name) else path.with_name(proof_name(path.name))


def other_proofs(beneath: Beneath, path: Path) -> list[str]:
    """The names of proofs in other forms beside latents, on which somebody may have painted with another program."""
    stem = proof_name(path.name).removesuffix(PROOF_ENDINGS[0])
    return [f"{stem}{ending}" for ending in PROOF_ENDINGS[1:] if beneath.lexists(path.with_name(f"{stem}{ending}"))]


def stored(root: Path, path: Path) -> Stored:
    """Read a whole file. Raises NotThere where there is none, or none that everybody here may read; InputError of a huge one."""
    with opened(root, path) as file:
        found = os.fstat(file.fileno())
        if found.st_size > MOST_FILE_BYTES:
            raise InputError(
                f"{shown(path.name)} is larger than {MOST_FILE_BYTES // 2**20} MiB, which is too much to paint on here"
            )
        data = file.read(MOST_FILE_BYTES)
    return Stored(path, data, hashlib.sha256(data).hexdigest(), stamp_of(found))


def opened(root: Path, path: Path) -> BinaryIO:
    """A file of the spool, open for reading. Raises NotThere."""
    try:
        file = Beneath(root).plain(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotThere(f"{shown(path.name)} is not there any more") from error
    found = os.fstat(file.fileno())
    if not is_private_elsewhere(found.st_mode, found.st_nlink):
        return file
    file.close()
    raise NotThere(f"{shown(path.name)} has another name elsewhere, and not everybody may read it")


def stamp(root: Path, path: Path) -> str | None:
    """What tells a file from the next one at its place, without reading it; None where there is none."""
    try:
        return stamp_of(Beneath(root).lstat(path))
    except OSError:
        return None


def written(root: Path, path: Path) -> int | None:
    """When a file was written, in nanoseconds of the epoch; None where there is none."""
    try:
        return Beneath(root).lstat(path).st_mtime_ns
    except OSError:
        return None


def stamp_of(found: os.stat_result) -> str:
    """What tells a file from the next one that is written at its place."""
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"


def read_picture(root: Path, path: Path) -> tuple[Stored, Levels]:
    """A picture and its levels (H, W, 3). Raises NotThere and InputError."""
    file = stored(root, path)
    return file, levels_of(file.data, name=shown(path.name), most=MOST_PIXELS)


def read_latents(root: Path, path: Path) -> Latents:
    """Latents as they count. Raises NotThere, InputError where they lack their exact values, and any TiffsdError."""
    file = stored(root, path)
    # What is decoded elsewhere is handed on as a descriptor.
    with os.fdopen(os.memfd_create("latents", os.MFD_CLOEXEC), "w+b") as copy:
        copy.write(file.data)
        copy.flush()
        found = read_artifact(copy, expect=tiffsd.Kind.LATENTS, name=path.name, largest=MOST_PIXELS)
        exact, why = exact_tensors(copy, name=path.name)
    if "latents" not in exact or exact["latents"].shape != found.tensors["latents"].shape:
        name = shown(path.name)
        raise InputError(
            f"{name} cannot be painted on here: {why or 'its exact values are of another size'}; "
            f"`tiffsd restore {name}` brings the original back"
        )
    return Latents(file, replace(found, tensors=exact), found.tensors["latents"], found.painted)


def deviation_of(header: tiffsd.Header) -> float:
    """By what latents are divided on their canvas, so that they have about unit variance there."""
    return 1.0 if header.sigma is None else math.sqrt(header.sigma**2 + 1)


class Painted:
    """Puts back what somebody has painted on, one file at a time."""

    def __init__(self, root: Path) -> None:
        self._root, self._fs, self._writing = root, Filesystem(root), threading.Lock()

    def picture(self, latents: Path, version: str, levels: bytes) -> Stored:
        """Save the levels (H, W, 3) of the proof of latents, as raw bytes. Raises Changed, NotThere, InputError."""
        with self._writing:
            path = picture_of(latents)
            if beside := other_proofs(Beneath(self._root), latents):
                raise Changed(f"somebody paints on {shown(beside[0])} with another program; take that away, or go on there")
            file, was = read_picture(self._root, path)
            _check_version(file, version)
            if len(levels) != was.size:
                raise InputError(f"{shown(path.name)} has {was.size} levels, and {len(levels)} were sent; load the page again")
            now = np.frombuffer(levels, np.uint8).reshape(was.shape)
            if np.array_equal(now, was):
                return file
            png = repainted(file.data, now)
            self._put(file, lambda target: target.write(png))
            return stored(self._root, path)

    def latents(self, path: Path, version: str, mask: NDArray[np.bool_], values: Values) -> Latents:
        """Show other values (C, h, w) on the canvas of latents where the mask says so.

        Raises Changed, NotThere, InputError, and any TiffsdError."""
        with self._writing:
            found = read_latents(self._root, path)
            _check_version(found.file, version)
            if mask.shape != found.values.shape:
                raise InputError(f"{shown(path.name)} has another size than what was sent; load the page again")
            shown_values = np.where(mask, values, found.values)
            if np.array_equal(shown_values, found.values):
                return found
            self._put(found.file, lambda target: tiffsd.write_painted(target, found.artifact, shown_values))
            return read_latents(self._root, path)

    def _put(self, file: Stored, write: Callable[[BinaryIO], Any]) -> None:
        with atomic_write(self._fs, file.path, "what was painted in the browser") as target:
            write(target)
            target.flush()
            if stamp(self._root, file.path) != file.stamp:
                raise _changed(file.path)
        self._fs.fsync_folder(file.path.parent, "the name of what was painted in the browser")


def _check_version(file: Stored, version: str) -> None:
    if file.version != version:
        raise _changed(file.path)


def _changed(path: Path) -> Changed:
    return Changed(f"{shown(path.name)} was written by somebody else meanwhile, so your paint was not saved over it")


def _is_latents(name: str) -> bool:
    return name.lower().endswith(TIFFS) and not is_proof(name) and not is_nobodys(name)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(".png") and not is_proof(name) and not is_nobodys(name)
