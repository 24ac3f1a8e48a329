"""The same bits: results do not hang on where weights lie in memory, and files say what computed them."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from daemon.compute import process
from daemon.models import processor
from daemon.models.processor import computed_on, cpu_name
from daemon.pictures.software import made_elsewhere
from tests.moved_weights import SIZES, differing
from tests.real.programs import needed

pytestmark = pytest.mark.exact

EMULATED_AMD = ("qemu-x86_64", "-cpu", "EPYC-Milan")
CPUS = {
    "model name\t: AMD EPYC 9B45\ncpu family\t: 26\nmodel\t\t: 2\n\nmodel name: another\n": "AMD EPYC 9B45 (family 26, model 2)",
    "CPU implementer\t: 0x41\nCPU part\t: 0xd40\n": f"{platform.machine()} (implementer 0x41, part 0xd40)",
    "": platform.machine(),
}
HERE = {"torch": "2.13.0", "processor": "an AMD", "instruction_set": "AVX512", "threads": "2"}


@pytest.mark.parametrize("size", SIZES)
def test_a_layer_gives_the_same_bits_wherever_its_weights_lie(size: tuple[int, int, int]) -> None:
    assert differing(*size) == 0


@pytest.mark.emulated
@pytest.mark.timeout(900)
def test_an_emulated_amd_gives_the_same_bits_in_the_environment_of_a_worker_and_not_without() -> None:
    needed(EMULATED_AMD[0])
    ours = process.environment()
    bare = {name: value for name, value in ours.items() if name not in process.SAME_BITS}
    command = [*EMULATED_AMD, sys.executable, "-m", "tests.moved_weights"]
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for environment in (bare, ours)]
    without, within = (int(run.stdout) for run in runs)
    assert without > 0, "this emulation does not show what is guarded against, so it proves nothing"
    assert within == 0


def test_a_worker_has_the_variable_and_leaves_one_that_somebody_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    assert process.environment()["MKL_CBWR"] == "AUTO"
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert process.environment()["MKL_CBWR"] == "COMPATIBLE"


@pytest.mark.parametrize(("cpuinfo", "name"), CPUS.items())
def test_a_processor_has_a_name_that_tells_its_kind(cpuinfo: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert cpu_name(tmp_path / "cpuinfo") == name
    assert cpu_name(tmp_path / "missing") == platform.machine()


def test_what_computes_is_told_with_instructions_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, ours in processor.CHOOSING.items():
        monkeypatch.setenv(variable, ours)
    processor._cpu.cache_clear()
    told = computed_on("cpu")
    assert told["processor"] == cpu_name()
    assert told["instruction_set"] == torch.backends.cpu.get_cpu_capability()
    assert told["threads"] == str(torch.get_num_threads())
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    processor._cpu.cache_clear()
    assert computed_on("cpu")["instruction_set"].endswith(" (MKL_CBWR=COMPATIBLE)")
    processor._cpu.cache_clear()


def test_what_was_made_elsewhere_says_in_what_it_differs() -> None:
    recorded = {**HERE, "processor": "an Intel\n", "threads": "1", "python": "3.11", "wonder": "5"}
    assert made_elsewhere("this picture was", recorded, HERE) == (
        "this picture was made with the processor an Intel\\n (here an AMD), the number of threads 1 (here 2): "
        "the last bits may differ",
    )
    assert made_elsewhere("this picture was", HERE, {**HERE, "python": "3.13"}) == ()
    assert made_elsewhere("this picture was", {}, HERE) == (), "pictures of 0.1.0 do not say it"
    assert made_elsewhere("this picture was", HERE, {"torch": "2.13.0"}) == (), "nothing is known of a stage that said nothing"
