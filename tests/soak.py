"""Live with the daemon for a while: `python -m tests.soak --minutes 30`.

A person who never rests drops prompts in every manner, paints held latents, releases and deletes, drops rubbish, pauses stages;
meanwhile the daemon and its worker are killed, stopped and started again, and the disk is full for moments. A book says what must
exist. At the end of every round (about half a minute) the world is calmed, everything must be there exactly once with the exact
numbers, and the daemon's file descriptors and memory are taken. Needs root for the small disk.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tiffsd
from tests.conftest import wait_until
from tests.real.disk import SmallDisk
from tests.real.fast_daemon import FastDaemon
from tests.real.fast_worker import noise_of
from tests.real.kills import retry_what_died_twice

ROUND_SECONDS = 30.0
INBOXES = ("1-text", "2-diffuse", "3-decode")
MEMORY_MEGABYTES = 20.0  # growth in the last third, in which nothing is killed
DESCRIPTORS = 4


@dataclass
class Book:
    """What must exist: the latents each picture is made of, by stem, and the rubbish that must have failed."""

    pictures: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    held: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    rubbish: set[str] = field(default_factory=set)


class Soak:
    """One spool on a small disk, one daemon, one restless person."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = SmallDisk(folder / "disk", megabytes=96)
        self.folder = folder
        self.book = Book()
        self.did: Counter[str] = Counter()
        self.number = 0
        self.vitals: list[tuple[float, int, float]] = []

    def run(self, *, seconds: float) -> None:
        """Soak for so long; raise AssertionError where anything is lost, doubled, wrong, or grows."""
        with self.disk:
            self.daemon = FastDaemon(self.folder / "daemon", spool=self.disk.place / "spool")
            try:
                self.daemon.start()
                began = time.monotonic()
                length = min(ROUND_SECONDS, seconds / 4)
                while (elapsed := time.monotonic() - began) < seconds * 2 / 3:
                    self._round(length, violent=True)
                    self._take_vitals(elapsed)
                self.vitals.clear()
                while (elapsed := time.monotonic() - began) < seconds or len(self.vitals) < 2:
                    self._round(length, violent=False)
                    self._take_vitals(elapsed)
                assert self.daemon.stop() == 0
            finally:
                self.daemon.close()
        self._check_level()

    def _round(self, seconds: float, *, violent: bool) -> None:
        deadline = time.monotonic() + seconds
        gentle: list[tuple[Callable[[], None], int]] = [
            *((self.drop, 40), (self.drop_slowly, 6), (self.paint, 12), (self.release, 30)),
            *((self.discard, 3), (self.drop_rubbish, 4), (self.pause, 3), (self.resume, 6), (self.fill, 2), (self.free, 6)),
        ]
        rough: list[tuple[Callable[[], None], int]] = [(self.kill, 2), (self.kill_worker, 2), (self.restart, 1)]
        actions, weights = zip(*(gentle + rough * violent), strict=True)
        while time.monotonic() < deadline:
            (action,) = self.rng.choices(actions, weights)
            with suppress(OSError):  # a person on a full disk fails too, and tries again later
                action()
                self.did[action.__name__] += 1
            self._pass(self.rng.expovariate(8))
        self._calm_down()
        self._check()

    def _pass(self, seconds: float) -> None:
        """Let time go by; the daemon must not end meanwhile."""
        assert self.daemon.process is not None
        with suppress(subprocess.TimeoutExpired):
            self.daemon.process.wait(timeout=seconds)
            raise AssertionError(self.daemon.log()[-3000:])

    # -- what the person does -----------------------------------------------------------------------------------------------------

    def _next(self) -> tuple[str, str]:
        self.number += 1
        stem = f"cat{self.number}"
        return stem, f"{stem} of the soak, very" + " very" * self.rng.randrange(60)

    def drop(self) -> None:
        stem, text = self._next()
        part = self.disk.place / ".person.part"
        part.write_text(text)
        part.rename(self.daemon.spool / "inbox/1-text" / f"{stem}.txt")
        self.book.held[stem] = noise_of(text)

    def drop_slowly(self) -> None:
        """Write in place, with a pause in the middle."""
        stem, text = self._next()
        path = self.daemon.spool / "inbox/1-text" / f"{stem}.txt"
        with path.open("w") as file:
            try:
                file.write(text[:20])
                file.flush()
                self._pass(self.rng.uniform(0, 0.5))
                file.write(text[20:])
                file.flush()
            except OSError:
                path.unlink()
                raise
        self.book.held[stem] = noise_of(text)

    def _held(self) -> Path:
        found = list((self.daemon.spool / "hold/2-diffuse").glob("cat*.tiff"))
        if not found:
            raise FileNotFoundError
        return self.rng.choice(found)

    def paint(self) -> None:
        """Paint a stroke over held latents, and save as editors do."""
        path = self._held()
        artifact = tiffsd.read(path)
        latents = artifact.tensors["latents"].copy()
        latents[:, self.rng.randrange(8), :] = self.rng.randrange(-3, 4)
        tiffsd.write(path, tiffsd.Artifact(artifact.header, {**artifact.tensors, "latents": latents}))
        self.book.held[path.name.split(".")[0]] = latents

    def release(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            path = self._held()
            path.rename(self.daemon.spool / "inbox/2-diffuse" / path.name)
            stem = path.name.split(".")[0]
            self.book.pictures[stem] = self.book.held.pop(stem)

    def discard(self) -> None:
        path = self._held()
        path.unlink()
        del self.book.held[path.name.split(".")[0]]

    def drop_rubbish(self) -> None:
        self.number += 1
        stem = f"rubbish{self.number}"
        place, name, content = self.rng.choice(
            [("1-text", f"{stem}.docx", b"PK"), ("3-decode", f"{stem}.tiff", b"II*\0 no"), ("2-diffuse", f"{stem}.txt.tiff", b"")]
        )
        part = self.disk.place / ".person.part"
        part.write_bytes(content)
        part.rename(self.daemon.spool / "inbox" / place / name)
        self.book.rubbish.add(stem)

    def pause(self) -> None:
        (self.daemon.spool / "inbox" / self.rng.choice(INBOXES) / "PAUSE").touch()

    def resume(self) -> None:
        for inbox in INBOXES:
            (self.daemon.spool / "inbox" / inbox / "PAUSE").unlink(missing_ok=True)

    # -- what the world does ------------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        self.disk.fill(pages_left=self.rng.randrange(12))

    def free(self) -> None:
        self.disk.free()

    def kill(self) -> None:
        self.daemon.kill()
        self.daemon.launch()

    def kill_worker(self) -> None:
        for child in Path(f"/proc/{self.daemon.pid()}/task").glob("*/children"):
            for pid in child.read_text().split():
                if b"fast_worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)

    def restart(self) -> None:
        wait_until(self.daemon.is_watching, what="the daemon is up")
        assert self.daemon.stop() == 0, self.daemon.log()[-3000:]
        self.daemon.launch()

    # -- what must be -------------------------------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        self.resume()
        self.free()
        wait_until(self.daemon.is_watching, what="the daemon is up")

    def _check(self) -> None:
        with suppress(AssertionError):
            wait_until(self._is_settled, seconds=120, what="all is done")
        problems = self._problems()
        assert not problems, "\n".join([*problems, self.daemon.log()[-5000:], self.daemon.tree()])
        self._put_away()

    def _is_settled(self) -> bool:
        retry_what_died_twice(self.daemon)
        spool = self.daemon.spool
        return not (any((spool / ".work").iterdir()) or self._problems())

    def _problems(self) -> list[str]:
        spool = self.daemon.spool
        found: list[str] = []
        for place, ending, wanted in (
            ("hold/2-diffuse", ".tiff", self.book.held),
            ("pictures", ".tiff", self.book.pictures),
            ("pictures", ".png", self.book.pictures),
        ):
            there = Counter(path.name.split(".")[0] for path in spool.glob(f"{place}/*{ending}"))
            found += [
                f"{stem}{ending} is {there[stem]} times in {place}, not {int(stem in wanted)}"
                for stem in {*there, *wanted}
                if there[stem] != (stem in wanted)
            ]
        failed = Counter(path.name.split(".")[0] for path in spool.glob("failed/*/*"))
        found += [
            f"{stem} failed {failed[stem]} times, not {int(stem in self.book.rubbish)}"
            for stem in {*failed, *self.book.rubbish}
            if failed[stem] != (stem in self.book.rubbish)
        ]
        return found + ([] if found else self._wrong_numbers())

    def _wrong_numbers(self) -> list[str]:
        spool = self.daemon.spool
        wrong = []
        for path in spool.glob("hold/2-diffuse/*.tiff"):
            if not np.array_equal(tiffsd.read(path).tensors["latents"], self.book.held[path.name.split(".")[0]]):
                wrong.append(f"{path.name} holds other numbers than it must")
        for path in spool.glob("pictures/*.tiff"):
            latents = self.book.pictures[path.name.split(".")[0]] / 2
            picture = np.repeat(np.repeat(latents[:3].transpose(1, 2, 0), 8, 0), 8, 1)
            if not np.array_equal(tiffsd.read(path).tensors["picture"], picture):
                wrong.append(f"{path.name} is not the picture of its latents")
        return wrong

    def _put_away(self) -> None:
        """Take what is finished out of the spool, as people do, so that the small disk lasts."""
        spool = self.daemon.spool
        for path in [*spool.glob("pictures/*"), *spool.glob("done/*/*")]:
            path.unlink()
        for folder in spool.glob("failed/*/*"):
            shutil.rmtree(folder)
        held = {path.name for path in spool.glob("hold/2-diffuse/*")}
        for path in spool.glob(".keep/*"):
            if path.name not in held:
                path.unlink()
        self.did["pictures checked"] += len(self.book.pictures)
        self.book.pictures.clear()
        self.book.rubbish.clear()

    def _take_vitals(self, elapsed: float) -> None:
        process = Path(f"/proc/{self.daemon.pid()}")
        descriptors = len(list((process / "fd").iterdir()))
        megabytes = int((process / "status").read_text().split("VmRSS:")[1].split()[0]) / 1024
        self.vitals.append((elapsed, descriptors, megabytes))
        sys.stdout.write(f"{elapsed:6.0f} s  {descriptors} descriptors  {megabytes:.1f} MB  {dict(self.did)}\n")
        sys.stdout.flush()

    def _check_level(self) -> None:
        """Descriptors and memory of the last third: level, but for what a first full round needs."""
        _, descriptors, megabytes = self.vitals[0]
        for elapsed, more, larger in self.vitals[1:]:
            assert more <= descriptors + DESCRIPTORS, f"{more} descriptors after {elapsed:.0f} s, {descriptors} before"
            assert larger <= megabytes + MEMORY_MEGABYTES, f"{larger:.0f} MB after {elapsed:.0f} s, {megabytes:.0f} MB before"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Soak(Path(folder), seed=given.seed).run(seconds=given.minutes * 60)
    sys.stdout.write("nothing lost, nothing doubled, all numbers exact\n")


if __name__ == "__main__":
    main()
