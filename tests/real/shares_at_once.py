"""Many drops over Samba, sftp and Syncthing at once, and the pictures read all the while.

As a program (`python -m tests.real.shares_at_once [--no-lease]`) it prints how long
it takes from the last write of a file, wherever that was, until the daemon has taken it.
"""

import io
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from PIL import Image

import tiffsd
from tests.conftest import wait_until
from tests.outside import outside
from tests.real.fast_daemon import FastDaemon
from tests.real.fast_worker import noise_of
from tests.real.host import ALICE, GROUP, Host
from tests.real.samba import Samba
from tests.real.smb_client import SmbClient
from tests.real.ssh import Ssh
from tests.real.syncthings import Syncthing

WAYS = ("samba", "sftp", "syncthing")
EACH = 20
LOOK_SECONDS = 0.01


@dataclass
class Watched:
    """What was seen while the drops ran: when each file left the inbox, and how often whole pictures were read."""

    taken: dict[str, float] = field(default_factory=dict)
    read: Counter[str] = field(default_factory=Counter)
    torn: list[str] = field(default_factory=list)


class Shares:
    """Three ways to one spool, with their people; a context manager."""

    def __init__(self, host: Host, *, leases: bool) -> None:
        self._host, self._leases, self._ends = host, leases, ExitStack()

    def __enter__(self) -> "Shares":
        self.samba = self._ends.enter_context(Samba(self._host))
        self.ssh = self._ends.enter_context(Ssh(self._host))
        mine = self._host.folder / "mine"
        mine.mkdir()
        os.chown(mine, ALICE, GROUP)
        near, self.far = Syncthing(self._host, "near", self._host.spool), Syncthing(self._host, "far", mine)
        near.start(self.far)
        self.far.start(near)
        self.daemon = self._host.daemon(leases=self._leases, name="at-once", stages={"diffuse": {"hold": False}})
        wait_until(lambda: (mine / "inbox/1-text").is_dir() and self.far.in_sync(), what="Syncthing has the folders")
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def drop_all(self) -> Watched:
        """Drop EACH prompts by each way at once, wait until all are pictures, and watch."""
        seen = Watched()
        with self._watching(seen), self._reading(seen), ThreadPoolExecutor(len(WAYS)) as threads:
            for done in [threads.submit(self._drop, way, stems(way)) for way in WAYS]:
                done.result()
            self.daemon.found("pictures/*.png", count=EACH * len(WAYS), seconds=100)
            wait_until(lambda: not list(self.daemon.spool.glob(".work/*")), what="no job is left")
        return seen

    def drop_alone(self, seen: Watched) -> None:
        """Drop one prompt by each way, one after the other, when nothing else is to be done."""
        with self._watching(seen):
            for way in WAYS:
                self._drop(way, [alone(way)])
                self.daemon.found(f"pictures/{alone(way)}.*.png")
                wait_until(partial(seen.taken.__contains__, f"{alone(way)}.txt"), what=f"{alone(way)} is taken")

    def _drop(self, way: str, names: list[str]) -> None:
        {"samba": self._by_samba, "sftp": self._by_sftp, "syncthing": self._by_syncthing}[way](names)

    def _by_samba(self, names: list[str]) -> None:
        client = self.samba.client()
        for stem in names:
            handle = client.open(f"inbox/1-text/{stem}.txt")
            client.truncate(handle, len(prompt(stem)))
            half = len(prompt(stem)) // 2
            client.write(handle, prompt(stem)[:half])
            client.write(handle, prompt(stem)[half:])
            client.close(handle)

    def _by_sftp(self, names: list[str]) -> None:
        source = self._host.folder / "sftp"
        source.mkdir(exist_ok=True)
        batch = ""
        for stem in names:
            (source / f"{stem}.txt").write_text(prompt(stem))
            batch += f'put "{source}/{stem}.txt" "{self._host.spool}/inbox/1-text/{stem}.txt"\n'
        command = ["sftp", "-q", "-b", "-", "-F", str(self.ssh.folder / "config"), "box"]
        subprocess.run(command, input=batch.encode(), env=outside(), check=True, capture_output=True, timeout=100)

    def _by_syncthing(self, names: list[str]) -> None:
        for stem in names:
            (self.far.folder / f"inbox/1-text/{stem}.txt").write_text(prompt(stem))

    @contextmanager
    def _watching(self, seen: Watched) -> Iterator[None]:
        """Note within the block when a file has left the inbox."""
        inbox, ended = self.daemon.spool / "inbox/1-text", threading.Event()

        def watch() -> None:
            here: set[str] = set()
            while not ended.wait(LOOK_SECONDS):
                now = {name for name in os.listdir(inbox) if name.endswith(".txt") and not name.startswith(".")}
                seen.taken |= dict.fromkeys(here - now, time.time())
                here = now

        with _running(watch, ended):
            yield

    @contextmanager
    def _reading(self, seen: Watched) -> Iterator[None]:
        """Read within the block every picture that is there, over the share, again and again."""
        client, ended = self.samba.client("bob"), threading.Event()

        def read_all() -> None:
            while not ended.is_set():
                for name in client.names("pictures"):
                    _read(client, name, seen)

        with _running(read_all, ended):
            yield


@contextmanager
def _running(work: Callable[[], None], ended: threading.Event) -> Iterator[None]:
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(work)
        try:
            yield
        finally:
            ended.set()
        future.result()


def _read(client: SmbClient, name: str, seen: Watched) -> None:
    data = client.read(f"pictures/{name}")
    try:
        if name.endswith(".png"):
            Image.open(io.BytesIO(data)).load()
        else:
            tiffsd.read(io.BytesIO(data))
        seen.read[name] += 1
    except (OSError, tiffsd.TiffsdError) as error:
        seen.torn.append(f"{name}: {error}")


def alone(way: str) -> str:
    return f"{way} alone"


def stems(way: str) -> list[str]:
    return [f"{way} {number}" for number in range(EACH)]


def prompt(stem: str) -> str:
    return f"a house, {stem}, " + "very " * 100 + "old"


def problems(daemon: FastDaemon) -> list[str]:
    """What did not come of the drops as it must, in words."""
    found = []
    for stem in [stem for way in WAYS for stem in stems(way)]:
        used = [path.read_text() for path in daemon.spool.glob(f"done/*/{stem}.txt")]
        pictures = list(daemon.spool.glob(f"pictures/{stem}.*.tiff"))
        wanted = np.repeat(np.repeat(noise_of(prompt(stem))[:3].transpose(1, 2, 0) / 2, 8, 0), 8, 1)
        if used != [prompt(stem)] or len(pictures) != 1:
            found.append(f"{stem}: used {len(used)} times, {len(pictures)} pictures")
        elif not np.allclose(tiffsd.read(pictures[0]).tensors["picture"], wanted, atol=1e-6):
            found.append(f"{stem}: another picture")
    return found + [str(path) for path in daemon.spool.glob("failed/*/*")]


def latencies(daemon: FastDaemon, seen: Watched, names: list[str]) -> list[float]:
    """Seconds from the last write of each file, wherever that was, until the daemon had taken it."""
    used = {path.name: path.stat().st_mtime for path in daemon.spool.glob("done/*/*.txt")}
    return [seen.taken[f"{stem}.txt"] - used[f"{stem}.txt"] for stem in names if f"{stem}.txt" in seen.taken]


def figures(daemon: FastDaemon, seen: Watched) -> str:
    """A line for each share."""
    lines = [f"{sum(seen.read.values())} reads of {len(seen.read)} pictures, {len(seen.torn)} torn"]
    for way in WAYS:
        waited = latencies(daemon, seen, stems(way))
        median, most = statistics.median(waited), max(waited)
        lines.append(f"{way:10} {len(waited)} files, closed to claimed: median {median:.2f} s, most {most:.2f} s")
        lines += [f"{way:10} alone: {waited:.2f} s" for waited in latencies(daemon, seen, [alone(way)])]
    return "\n".join(lines)


def main() -> None:
    with Host() as host, Shares(host, leases="--no-lease" not in sys.argv) as shares:
        seen = shares.drop_all()
        shares.drop_alone(seen)
        sys.stdout.write("\n".join([figures(shares.daemon, seen), *problems(shares.daemon), *seen.torn]) + "\n")


if __name__ == "__main__":
    main()
