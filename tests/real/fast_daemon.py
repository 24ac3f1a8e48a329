"""The daemon of these tests, and the book of what must come of what was dropped."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import tiffsd
from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.conftest import wait_until
from tests.real.fast_worker import noise_of
from tests.running_daemon import RunningDaemon

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = {
    "watch": {
        "rescan_seconds": 0.5,
        "settle_seconds": 0.05,
        "settle_unleased_seconds": 0.3,
        "empty_grace_seconds": 1.0,
        "empty_grace_unleased_seconds": 1.0,
    },
    "defaults": {"width": 64, "height": 64},
    "stages": {"diffuse": {"hold": True}},
    "previews": False,
    # They would be one more thread that touches files.
    "proofs": {"when": "never"},
}


class FastDaemon(RunningDaemon):
    """A real daemon whose jobs take milliseconds; prompts end as noise in hold/2-diffuse. `before` are words before the command."""

    words = ("-m", "tests.real.fast_program", "run")

    def __init__(
        self, folder: Path, *, spool: Path | None = None, events: bool = True, before: Sequence[str] = (), **changes: object
    ) -> None:
        self.folder = folder
        self.spool = spool or folder / "spool"
        self.before = tuple(before)
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)} | ({} if events else {"NO_EVENTS": "1"})
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        merged = {key: {**CONFIG.get(key, {}), **value} if isinstance(value, dict) else value for key, value in changes.items()}
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump({**CONFIG, **merged, "spool": str(self.spool)}), encoding="utf-8")
        Spool(self.spool, {stage.name: stage.folder for stage in STAGES.values()}).create()

    def launch(self) -> int:
        """Start the daemon without waiting for it; its process id."""
        command = [*self.before, sys.executable, *self.words]
        with (self.folder / "log.txt").open("ab") as log:
            self._log_before = log.tell()
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=log, stdout=log)
        return self.process.pid

    def is_watching(self) -> bool:
        """Whether it says so in its log; on a full disk there is no status to tell."""
        assert self.process is not None
        assert self.process.poll() is None, self.log()[-3000:]
        with (self.folder / "log.txt").open("rb") as log:
            log.seek(self._log_before)
            return f"watching {self.spool}".encode() in log.read()

    def start(self) -> int:
        pid = self.launch()
        wait_until(self.is_watching, what="the daemon is watching")
        return pid

    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


class Ledger:
    """What was dropped, and what must have become of it: each prompt done once, from exactly the bytes that were dropped."""

    def __init__(self, daemon: FastDaemon) -> None:
        self.daemon = daemon
        self.texts: dict[str, str] = {}

    def drop(self, stem: str, text: str) -> Path:
        """Drop a prompt, whole, and enter it."""
        self.texts[stem] = text
        return self.daemon.drop("inbox/1-text", f"{stem}.txt", text)

    def enter(self, stem: str, text: str) -> None:
        """Enter a prompt that somebody else drops."""
        self.texts[stem] = text

    def settle(self, *, seconds: float = 60.0) -> None:
        """Wait until all that was dropped is archived, and check all of it."""
        with suppress(AssertionError):
            wait_until(lambda: len(self.archived()) >= len(self.texts), seconds=seconds, what="all is archived")
            wait_until(lambda: not any((self.daemon.spool / ".work").iterdir()), what="no job is left")
        problems = self.problems()
        assert not problems, "\n".join([*problems, self.daemon.log()[-3000:], self.daemon.tree()[-3000:]])

    def archived(self) -> list[Path]:
        """The prompts in done/."""
        return list(self.daemon.spool.glob("done/*/*.txt"))

    def problems(self) -> list[str]:
        """What is not as it must be, in words."""
        spool = self.daemon.spool
        results = [path for path in spool.glob("hold/2-diffuse/*.tiff") if not path.name.startswith(".")]
        done = Counter(path.name.split(".")[0] for path in results)
        used = Counter(path.read_bytes() for path in self.archived())
        wanted = Counter(text.encode() for text in self.texts.values())
        found = [f"{stem} was made {done[stem]} times" for stem in {**self.texts, **done} if done[stem] != 1]
        found += [f"{count} too many of {text[:40]!r} are archived" for text, count in (used - wanted).items()]
        found += [f"{text[:40]!r} is not archived" for text in wanted - used]
        found += [f"{path.relative_to(spool)} is left" for path in spool.glob("failed/*/*")]
        return found + [f"{path.name} is not what its prompt makes" for path in results if not self._is_right(path)]

    def _is_right(self, path: Path) -> bool:
        text = self.texts.get(path.name.split(".")[0], "")
        artifact = tiffsd.read(path)
        return artifact.header.recipe["prompt"] == text and np.array_equal(artifact.tensors["latents"], noise_of(text))


def stages_of(daemon: FastDaemon) -> dict[str, dict[str, Any]]:
    """What the daemon says of each stage."""
    stages: dict[str, dict[str, Any]] = json.loads((daemon.spool / "status.json").read_text(encoding="utf-8"))["stages"]
    return stages


def says(daemon: FastDaemon, stage: str, key: str, value: object) -> None:
    """Wait until the daemon says this of a stage."""
    wait_until(lambda: stages_of(daemon)[stage][key] == value, what=f"{key} of {stage} is {value!r}")


def texts_of(daemon: FastDaemon, stem: str) -> list[str]:
    """The contents of the prompts of a stem that were used, in done/."""
    names = re.compile(re.escape(stem) + r"(-\d+)?\.txt")
    return [path.read_text() for path in daemon.spool.glob("done/*/*.txt") if names.fullmatch(path.name)]


def came_of(daemon: FastDaemon, stem: str, *texts: str) -> None:
    """Wait for what came of a prompt, and check it: each of the texts was used once, whole, and nothing else was."""
    results = daemon.found(f"hold/2-diffuse/{stem}.*.tiff", count=len(texts))
    wait_until(lambda: len(texts_of(daemon, stem)) >= len(texts), what=f"{stem} is archived")
    assert sorted(texts_of(daemon, stem)) == sorted(texts)
    assert sorted(tiffsd.read(path).header.recipe["prompt"] for path in results) == sorted(texts)
    for path in results:
        artifact = tiffsd.read(path)
        np.testing.assert_array_equal(artifact.tensors["latents"], noise_of(artifact.header.recipe["prompt"]))
    assert not list(daemon.spool.glob(f"failed/*/{stem}.*"))
