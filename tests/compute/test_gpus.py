"""Which GPUs are counted: a program in the place of `nvidia-smi` says what a driver would, and a folder is that of the driver."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.compute import gpus as module
from daemon.compute.gpus import VISIBLE, gpus

Say = Callable[..., None]
TWO = "GPU 0: NVIDIA A100 (UUID: GPU-aa)\nGPU 1: NVIDIA A100 (UUID: GPU-bb)\n"
DIVIDED = (
    "GPU 0: NVIDIA A100 (UUID: GPU-aa)\n  MIG 3g.20gb     Device  0: (UUID: MIG-a1)\n  MIG 3g.20gb     Device  1: (UUID: MIG-a2)\n"
    "GPU 1: NVIDIA A100 (UUID: GPU-bb)\n"
)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """A function that lets the driver say this, by its program or, with `folder`, by its folder only."""
    monkeypatch.setattr(module, "NVIDIA_SMI", (str(tmp_path / "nvidia-smi"),))
    monkeypatch.setattr(module, "DRIVER", tmp_path / "gpus")

    def say(text: str, *, code: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {code}\n")
        program.chmod(0o755)

    return say


@pytest.mark.parametrize(
    ("said", "found"),
    [(TWO, ["GPU-aa", "GPU-bb"]), (DIVIDED, ["MIG-a1", "MIG-a2", "GPU-bb"])],
    ids=["whole", "divided"],
)
def test_the_driver_names_its_gpus_and_of_one_that_is_divided_the_parts(driver: Say, said: str, found: list[str]) -> None:
    driver(said)
    assert gpus({}) == found


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("1", ["1"]),
        ("1, 0", ["1", "0"]),
        ("0,1,2", ["0", "1"]),
        ("0,-1,1", ["0"]),
        ("-1", []),
        ("", []),
        ("GPU-b", ["GPU-b"]),
        ("GPU-aa,GPU-zz", ["GPU-aa"]),
        ("0,0", ["0"]),
    ],
)
def test_of_what_is_set_already_counts_what_cuda_would_take(driver: Say, visible: str, found: list[str]) -> None:
    driver(TWO)
    assert gpus({VISIBLE: visible}) == found


def test_the_names_of_parts_that_are_set_are_taken(driver: Say) -> None:
    driver(DIVIDED)
    assert gpus({VISIBLE: "MIG-a2,MIG-GPU-aa/1/0"}) == ["MIG-a2", "MIG-GPU-aa/1/0"]


@pytest.mark.usefixtures("driver")
def test_without_the_program_the_folder_of_the_driver_tells(tmp_path: Path) -> None:
    for number, name in enumerate(["GPU-aa", "GPU-bb"]):
        (tmp_path / f"gpus/0000:0{number}:00.0").mkdir(parents=True)
        (tmp_path / f"gpus/0000:0{number}:00.0/information").write_text(f"Model: \t A100\nGPU UUID: \t {name}\nBus Type: \t PCIe\n")
    assert gpus({}) == ["GPU-aa", "GPU-bb"]


def test_where_nothing_tells_nobody_knows_and_what_is_set_is_believed(driver: Say) -> None:
    assert gpus({}) is None
    driver("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", code=9)
    assert gpus({}) is None
    assert gpus({VISIBLE: "0,3"}) == ["0", "3"]
