"""The files of proofs: each as it was shown is kept in `.keep/proofs/`, and a copy of it lies beside its latents, to be painted on.

    .keep/proofs/ID.VERSION.DIGEST.png     the proof of latents ID as they were in that version, its own SHA-256 in its name
    .keep/proofs/ID.VERSION.estimate.tiff  the finished latents that it shows, where the latents themselves are not finished
    .keep/proofs/ID.estimate.tiff          the same as the loop saw them where it stopped
    .keep/proofs/aside/2-diffuse/NAME      one that is being taken away from hold/2-diffuse, for a moment

Who has painted on one has saved other bytes than any that were shown, and that file is never written again, nor deleted: what is to
be taken away is first moved to where nobody saves any more, and looked at there. All else is disposable: what is lost is made
again. But what is shown is on the disk before it is: without it, nobody could tell an untouched proof from a painted one.
"""

import hashlib
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from daemon import names
from daemon.layout import HOLD, PROOFS
from daemon.spool.atomic import atomic_write
from daemon.spool.filesystem import Filesystem

DIGITS, DIGITS_OF_VERSION = 16, 12
# Versions of one file: who paints has one of the last ones open, and each is read to tell what was painted.
MOST_VERSIONS = 32
BLOCK_BYTES = 1 << 20
ESTIMATE = ".estimate.tiff"
ASIDE = "aside"


@dataclass(frozen=True, slots=True)
class KeptProof:
    """One proof as it was shown: of which latents in which version, its digest, where it is kept, its size, and since when."""

    identity: str
    version: str
    digest: str
    path: Path
    size: int = 0
    since: int = 0  # nanoseconds of the epoch


def version_of(size: int, mtime_ns: int) -> str:
    """What names the content of latents that are saved in place: their size and time."""
    return hashlib.sha256(f"{size} {mtime_ns}".encode()).hexdigest()[:DIGITS_OF_VERSION]


def estimate_name(identity: str, version: str | None = None) -> str:
    """The name in `.keep/proofs/` of the finished latents that a proof shows."""
    return f"{identity}{f'.{version}' if version else ''}{ESTIMATE}"


def latents_of(name: str) -> str:
    """The id of the latents that a file in `.keep/proofs/` is of."""
    return name.partition(".")[0]


class ProofFiles:
    """The files of the proofs of one spool. All methods may raise OSError."""

    def __init__(self, root: Path, fs: Filesystem) -> None:
        self._root, self._fs, self._folder = root, fs, root / PROOFS
        self._moving = threading.Lock()  # one thread makes proofs, another takes them away
        self._known: dict[str, KeptProof] = {}
        self._listed_at = 0  # the time of the folder when they were listed

    def kept(self, identity: str) -> list[KeptProof]:
        """Those of these latents that were shown, the first one first."""
        return sorted((one for one in self._all() if one.identity == identity), key=lambda one: (one.since, one.version))

    def shown_as(self, path: Path, identity: str) -> KeptProof | None:
        """Which of those that were shown a file is, to the byte, of these latents first; None where somebody has changed it.

        Other latents may have taken the place of those that it was shown of: then it is theirs, and nobody has painted on it.
        """
        with self._fs.plain(path) as file:
            alike = self._alike(file)
        return next((one for one in alike if one.identity == identity), next(iter(alike), None))

    def was_shown(self, file: BinaryIO) -> bool:
        """Whether a file that is open is, to the byte, a proof that was shown, of whatever latents."""
        return bool(self._alike(file))

    def _alike(self, file: BinaryIO) -> list[KeptProof]:
        """Those that an open file is to the byte. One that has the size of none is not read, however large somebody made it."""
        size = file.seek(0, os.SEEK_END)
        of_its_size = [one for one in self._all() if one.size == size]
        digest = _digest_of(file, size) if of_its_size else ""
        return [one for one in of_its_size if one.digest == digest]

    def _all(self) -> list[KeptProof]:
        """All that were shown; they are listed again where their folder has changed."""
        try:
            changed = self._fs.lstat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return []
        if changed != self._listed_at:
            found = {name: self._known.get(name) or self._kept_as(name) for name in self._listed(self._folder)}
            self._known = {name: one for name, one in found.items() if one is not None}
            self._listed_at = changed
        return list(self._known.values())

    def _kept_as(self, name: str) -> KeptProof | None:
        parts = name.split(".")
        if len(parts) != 4 or parts[3] != "png":
            return None
        try:
            st = self._fs.lstat(self._folder / name)
        except FileNotFoundError:  # over its time, and deleted in the same moment
            return None
        return KeptProof(parts[0], parts[1], parts[2], self._folder / name, st.st_size, st.st_mtime_ns)

    def estimate(self, identity: str, version: str | None = None) -> BinaryIO | None:
        """The finished latents that a proof shows, open for reading; None where they are not kept."""
        with suppress(FileNotFoundError):
            return self._fs.plain(self._folder / estimate_name(identity, version))
        return None

    def keep_estimate(self, identity: str, version: str, write: Callable[[BinaryIO], object]) -> None:
        """Keep the finished latents that a proof shows."""
        self._make_folders(self._folder)
        with atomic_write(self._fs, self._folder / estimate_name(identity, version), None) as file:
            write(file)

    def show(self, latents: Path, identity: str, version: str, png: bytes) -> bool:
        """Keep a proof, and put it beside its latents in place of an older one; False where what is there was painted on."""
        digest = hashlib.sha256(png).hexdigest()[:DIGITS]
        with self._moving:
            self._keep(KeptProof(identity, version, digest, self._folder / f"{identity}.{version}.{digest}.png"), png)
            place = latents.with_name(names.proof_name(latents.name))
            with suppress(FileNotFoundError):
                there = self._state_of(place, identity)
                if there is None or there.digest == digest:
                    return there is not None
            return self._put(png, place, identity)

    def take_away(self, path: Path, identity: str) -> bool:
        """Delete a proof that nobody has painted on; False where somebody has."""
        with self._moving:
            return self._make_room(path, identity)

    def bring_back(self) -> None:
        """Put back what an error or a crash has left aside, whatever it is: for the start."""
        with self._moving:
            for folder in self._listed(self._folder / ASIDE):
                for name in self._listed(self._folder / ASIDE / folder):
                    self._put_back(self._folder / ASIDE / folder / name, self._root / HOLD / folder / name)

    def _keep(self, proof: KeptProof, png: bytes) -> None:
        self._make_folders(self._folder)
        with atomic_write(self._fs, proof.path, "proof: what is shown") as file:
            self._fs.write(file, png)
        self._fs.fsync_folder(self._folder, "proof: the name of what is shown")
        self._listed_at = 0  # the time of a folder is coarse
        kept = [one for one in self.kept(proof.identity) if one.version != proof.version]
        # Of the same picture one is enough: a file is known by its bytes alone.
        for older in [one for one in kept if one.digest == proof.digest] + kept[: -(MOST_VERSIONS - 1)]:
            for path in (older.path, self._folder / estimate_name(older.identity, older.version)):
                with suppress(FileNotFoundError):
                    self._fs.unlink(path)
        self._listed_at = 0

    def _put(self, png: bytes, place: Path, identity: str) -> bool:
        copy = self._folder / names.fitted(f".{identity}", ".part")
        with suppress(FileNotFoundError):
            self._fs.unlink(copy)  # of a crash
        try:
            with self._fs.create(copy) as file:
                self._fs.write(file, png)
                self._fs.fsync(file, "proof: the copy that may be painted on")
            if not self._make_room(place, identity):
                return False
            self._fs.rename_noreplace(copy, place)
        except FileExistsError:  # somebody has saved one meanwhile
            return False
        finally:
            with suppress(OSError):
                self._fs.unlink(copy)
        return True

    def _make_room(self, place: Path, identity: str) -> bool:
        """Delete what was shown there before; False, with all as it was, where somebody has painted on it.

        It is looked at again where nobody saves any more: between a look and a deletion somebody may have.
        """
        aside = self._folder / ASIDE / place.parent.name / place.name
        with suppress(FileNotFoundError):
            self._judge(aside, place, identity)  # of an error
        try:
            if self._state_of(place, identity) is None:
                return False
            self._make_folders(self._folder, aside.parent.parent, aside.parent)
            self._fs.rename_noreplace(place, aside)
        except FileNotFoundError:
            return True
        return self._judge(aside, place, identity)

    def _judge(self, aside: Path, place: Path, identity: str) -> bool:
        """Delete what lies aside, or put it back where somebody has painted on it, or still writes it; whether it was deleted."""
        if self._fs.is_being_written(aside) or self.shown_as(aside, identity) is None:
            self._put_back(aside, place)
            return False
        self._fs.unlink(aside)
        return True

    def _state_of(self, place: Path, identity: str) -> KeptProof | None:
        """Which of those that were shown lies there, None where it is somebody's; FileNotFoundError where nothing does."""
        return self.shown_as(place, identity) if stat.S_ISREG(self._fs.lstat(place).st_mode) else None

    def _put_back(self, aside: Path, place: Path) -> None:
        number = 1
        while True:
            with suppress(FileExistsError):
                return self._fs.rename_noreplace(aside, place.with_name(names.numbered(place.name, number)))
            number += 1

    def _listed(self, folder: Path) -> list[str]:
        try:
            return sorted(self._fs.list(folder))
        except FileNotFoundError:
            return []

    def _make_folders(self, *folders: Path) -> None:
        for folder in folders:
            with suppress(FileExistsError):
                self._fs.mkdir(folder)


def _digest_of(file: BinaryIO, size: int) -> str:
    """The digest of so many bytes of an open file, as that of a kept one is said; somebody may make it larger meanwhile."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (block := file.read(min(BLOCK_BYTES, size))):
        digest.update(block)
        size -= len(block)
    file.seek(0)
    return digest.hexdigest()[:DIGITS]
