"""A daemon that makes the pictures of one Setting: started, handed folders of prompts, asked when the last picture is there."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from benchmarks.one_piece import REPOSITORY, Setting
from tests.running_daemon import RunningDaemon

LOOK_SECONDS = 0.02  # a look costs what the daemon would otherwise have
LONGEST_SECONDS = 1200.0


class DaemonOn(RunningDaemon):
    """The daemon, as config.yaml has it but for the setting and `changes` under `compute` and `defaults`; a context.

    `program` is the module that runs as `tiffsd`, `environment` what it has beside ours.
    """

    def __init__(
        self,
        folder: Path,
        setting: Setting,
        *,
        models: Mapping[str, str] | None = None,
        compute: Mapping[str, object] | None = None,
        defaults: Mapping[str, object] | None = None,
        program: str = "daemon",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self.program = program
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})}
        os.environ["PYTHONPATH"] = str(REPOSITORY)
        super().__init__(
            folder,
            watch={"rescan_seconds": 5.0, "settle_seconds": 0.3, "settle_unleased_seconds": 5.0, "empty_grace_seconds": 30.0},
            compute={"threads": setting.threads, **(compute or {})},
            models={name: {"path": path} for name, path in (models or {"m": setting.model}).items()},
            defaults={
                "model": next(iter(models or {"m": ""})),
                "width": setting.width,
                "height": setting.height,
                "steps": setting.steps,
                "guidance_scale": setting.guidance_scale,
                "scheduler": setting.scheduler,
                **(defaults or {}),
            },
        )

    def __enter__(self) -> Self:
        with (self.folder / "log.txt").open("ab") as log:
            command = [sys.executable, "-m", self.program, "run"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stderr=log, stdout=log)
        self._wait(self.is_watching)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.close()

    def make(self, prompts: Sequence[str], *, models: Sequence[str] = ()) -> float:
        """Drop the prompts, each with its number as its seed, and wait until the last picture is there.

        Returns the seconds since the first of them was claimed: before it they only had to lie still."""
        before = self._count()
        for number, prompt in enumerate(prompts):
            model = f"model: {models[number % len(models)]}\n" if models else ""
            self.drop("inbox/1-text", f"{number}.txt", f"---\nseed: {number}\n{model}---\n{prompt}\n")
        self._wait(lambda: len(list((self.spool / "inbox/1-text").glob("*.txt"))) < len(prompts))
        claimed = time.perf_counter()
        self._wait(lambda: self._count() >= before + len(prompts))
        return time.perf_counter() - claimed

    def _count(self) -> int:
        return sum(name.endswith(".png") for name in os.listdir(self.spool / "pictures"))

    def _wait(self, condition: object) -> None:
        assert callable(condition)
        deadline = time.monotonic() + LONGEST_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.tree()}\n{self.log()[-3000:]}")
            time.sleep(LOOK_SECONDS)

    def differences(self, folder: Path) -> list[float]:
        """How far each picture is from the one of its number in a folder: the mean over its values, of 255."""
        return [
            float(np.abs(_values(path) - _values(folder / f"{path.name.split('.')[0]}.png")).mean())
            for path in (self.spool / "pictures").glob("*.png")
        ]


def _values(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.int16)
