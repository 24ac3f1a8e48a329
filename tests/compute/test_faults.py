"""Faults of a device in the real worker: whose fault they are, and that the next call has a worker that works."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daemon.compute.blame import Blame
from daemon.compute.faults import breaks_device, figures, is_out_of_memory
from daemon.compute.local import WORKER, LocalWorkers
from daemon.compute.process import WorkerProcess
from daemon.compute.stopwatch import GRACE_SECONDS, Due, Stopwatch
from daemon.errors import DeviceBroken, InputError, ModelMissing, OutOfMemory, TooLong, WorkerDied, WorkersDie
from tests import tiny
from tests.compute.faulty_worker import ASSERT, CUBLAS, HUGE
from tests.compute.test_local import SECONDS, noise, settings
from tests.conftest import wait_until

ACCELERATOR_ERROR = getattr(torch, "AcceleratorError", RuntimeError)
LACKING = [
    MemoryError(),
    torch.OutOfMemoryError(HUGE),
    ACCELERATOR_ERROR("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError(CUBLAS),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.8 GB, other allocations: 0 bytes, max allowed: 18.13 GB)."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
    RuntimeError("std::bad_alloc"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    RuntimeError("unable to mmap 4 bytes from file <x>: Cannot allocate memory (12)"),
]
BROKEN = [
    ACCELERATOR_ERROR(ASSERT),
    RuntimeError(ASSERT),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: the launch timed out and was terminated"),
    RuntimeError("CUDA error: misaligned address"),
    RuntimeError("CUDA error: hardware stack error"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA driver error: unknown error"),
    RuntimeError("HIP error: the operation cannot be performed in the present state"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasSgemm(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED_CUDART"),
    RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
]
OURS = [
    KeyError("latents"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input."),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    InputError("'out of memory.txt' says CUDA error: nonsense"),
]


def caused(error: BaseException) -> ModelMissing:
    missing = ModelMissing("its unet is not readable")
    missing.__cause__ = error
    return missing


@pytest.mark.parametrize("error", LACKING, ids=str)
def test_lack_of_memory_is_known_under_each_of_its_names(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert is_out_of_memory(caused(error)), "also while a model is read"
    assert not breaks_device(error)


@pytest.mark.parametrize("error", BROKEN, ids=str)
def test_a_broken_device_is_known_under_each_of_its_names(error: Exception) -> None:
    assert breaks_device(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("error", OURS, ids=str)
def test_what_is_a_fault_of_ours_or_of_a_file_is_taken_for_neither(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert not breaks_device(error)


def test_the_figures_are_kept_and_the_advice_of_the_library_is_not() -> None:
    said = "CUDA out of memory. Tried to allocate 30.00 GiB. GPU 0 has a total capacity of 23.69 GiB of which 12.69 MiB is free"
    assert figures(torch.OutOfMemoryError(HUGE), "cuda") == said
    assert figures(caused(MemoryError()), "cpu").startswith("MemoryError; the machine has ")


def test_one_job_that_ends_each_fresh_worker_is_at_fault_itself_and_two_in_a_row_are_not() -> None:
    blame, died = Blame(), WorkerDied("it died")
    assert blame.judged("diffuse", "poison", died) is died
    assert blame.judged("diffuse", "poison", died) is died
    second = blame.judged("diffuse", "another", died)
    assert isinstance(second, WorkersDie)
    assert "it died; fresh workers have ended at 2 different files in a row" in str(second)
    assert isinstance(blame.judged("diffuse", "another", died), WorkersDie), "though it is the same one again"


def test_what_is_done_in_between_shows_that_the_machine_is_well() -> None:
    blame, died = Blame(), WorkerDied("it died")
    blame.judged("diffuse", "poison", died)
    blame.worker_started()
    blame.call_finished("text")
    assert isinstance(blame.judged("diffuse", "another", died), WorkersDie), "another stage says nothing of this one"
    blame.worker_started()
    blame.call_finished("diffuse")
    assert blame.judged("diffuse", "another", died) is died, "the worker was not fresh any more"
    blame.worker_started()
    assert blame.judged("diffuse", "a third", died) is died


def test_time_that_a_model_takes_to_load_does_not_count() -> None:
    watch = Stopwatch()
    assert watch.look(0.0, 60.0) is Due.NOTHING
    watch.begin([1])
    assert watch.look(100.0, 60.0) is Due.NOTHING
    watch.begin([])
    assert watch.look(900.0, 60.0) is Due.NOTHING
    watch.begin([1])
    assert [watch.look(now, 60.0) for now in (1000.0, 1059.9)] == [Due.NOTHING] * 2
    assert watch.look(1060.0, None) is Due.NOTHING, "a limit that was taken back meanwhile"
    assert [watch.look(now, 60.0) for now in (1060.0, 1061.0)] == [Due.STOP, Due.NOTHING]
    assert watch.look(1060.0 + GRACE_SECONDS, 60.0) is Due.END


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalWorkers]:
    monkeypatch.setattr("daemon.compute.local.WORKER", "tests.compute.faulty_worker")
    limit: list[float | None] = [None]
    local = LocalWorkers(threads=1, batch=3, job_seconds=lambda: limit[0])
    local.limit = limit  # type: ignore[attr-defined]
    yield local
    local.close()


@pytest.fixture
def submit(local: LocalWorkers, folder: Path) -> Callable[..., Any]:
    def submitted(prompt: str, *, key: str | None = None, **more: Any) -> Any:
        return local.submit("diffuse", noise(), settings(folder, prompt=prompt, **more), key=key, job=prompt).future

    return submitted


def test_a_broken_device_costs_the_call_that_broke_it_and_no_other(local: LocalWorkers, submit: Callable[..., Any]) -> None:
    assert submit("a cat").result(SECONDS)
    pid = local.describe()["pid"]
    calls = [submit("a sticky cat"), submit("a red cat"), submit("a blue cat")]
    with pytest.raises(DeviceBroken, match=r"the device cpu failed in the middle of the job \(CUDA error: device-side assert"):
        calls[0].result(SECONDS)
    assert all(call.result(SECONDS) for call in calls[1:])
    assert local.describe()["pid"] != pid


@pytest.mark.thorough
def test_a_batch_that_breaks_the_device_is_run_one_by_one_and_only_the_one_fails(
    local: LocalWorkers, submit: Callable[..., Any]
) -> None:
    with local.changed:  # so that none is taken before all are there
        calls = [submit(prompt, key="k") for prompt in ("a red cat", "a sticky cat", "a blue cat")]
    outcomes = [type(call.exception(SECONDS)).__name__ for call in calls]
    assert outcomes == ["NoneType", "DeviceBroken", "NoneType"]


@pytest.mark.thorough
def test_fresh_workers_that_end_at_different_files_are_the_fault_of_the_machine(submit: Callable[..., Any]) -> None:
    first, second = submit("dies first"), submit("dies second")
    assert type(first.exception(SECONDS)) is WorkerDied
    assert isinstance(second.exception(SECONDS), WorkersDie)
    assert submit("a cat").result(SECONDS)
    assert type(submit("dies second").exception(SECONDS)) is WorkerDied


def test_what_does_not_fit_beside_another_model_is_tried_again_without_it_to_the_same_bits(
    local: LocalWorkers, submit: Callable[..., Any], folder: Path
) -> None:
    chosen = {"scheduler": "euler_a", "steps": 3}
    alone = submit("a crowded cat", **chosen).result(SECONDS)[0]["latents"]
    decoded = local.submit("decode", {"latents": noise()["latents"]}, settings(folder, prompt="a cat"))
    assert decoded.future.result(SECONDS)
    assert np.array_equal(submit("a crowded cat", **chosen).result(SECONDS)[0]["latents"], alone)


@pytest.mark.thorough
def test_for_what_does_not_fit_alone_the_models_are_thrown_out_once_and_not_each_time(
    local: LocalWorkers, submit: Callable[..., Any], folder: Path
) -> None:
    said = []
    for _ in range(3):
        decoded = local.submit("decode", {"latents": noise()["latents"]}, settings(folder, prompt="a cat"))
        assert decoded.future.result(SECONDS)
        said.append(str(submit("a huge cat").exception(SECONDS)))
    assert ["beside []" in one for one in said] == [True, False, False]
    assert "beside ['vae']" in said[2]


@pytest.mark.parametrize(("prompt", "figure"), [("a huge cat", "Tried to allocate 30.00 GiB"), ("a cublas cat", "ALLOC_FAILED")])
def test_what_does_not_fit_at_all_says_so_and_leaves_the_worker_and_its_models(
    local: LocalWorkers, submit: Callable[..., Any], prompt: str, figure: str
) -> None:
    assert submit("a cat").result(SECONDS)
    pid = local.describe()["pid"]
    with pytest.raises(OutOfMemory, match=figure):
        submit(prompt).result(SECONDS)
    assert submit("a cat").result(SECONDS)
    assert local.describe()["pid"] == pid


def test_the_worker_says_when_it_reads_a_model_and_when_it_computes(folder: Path) -> None:
    process = WorkerProcess(WORKER, threads=1, budget_bytes=1 << 30)
    chosen = settings(folder)
    said: list[tuple[Any, ...]] = []
    for number in (1, 2):
        process.pipe.send(("run", "decode", [(number, {"latents": noise()["latents"]}, with_device(chosen))]))
        while (message := process.pipe.recv())[0] != "done":
            said.append(message)
    process.end(kill=True)
    process.pipe.close()
    assert [message[1] for message in said if message[0] == "computing"] == [[1], [], [1], [2]]


def with_device(chosen: dict[str, Any]) -> dict[str, Any]:
    return {**chosen, "model": {**chosen["model"], "device": "cpu"}}


def ticked(local: LocalWorkers, call: Any, *, seconds: float = 1.0) -> None:
    """Let time pass until a call is over: so many seconds for each look."""
    looks = itertools.count()
    wait_until(lambda: (local.tick(next(looks) * seconds), call.done())[1], seconds=SECONDS, what="the call is over")


def test_a_job_that_takes_too_long_is_stopped_at_its_next_step(local: LocalWorkers, submit: Callable[..., Any]) -> None:
    assert submit("a cat").result(SECONDS)
    pid, local.limit[0] = local.describe()["pid"], 0.6  # type: ignore[attr-defined]
    long = submit("a cat", steps=900)
    ticked(local, long, seconds=0.02)  # slow enough for the step to end by itself
    with pytest.raises(TooLong, match=r"for the 0\.01 minutes that limits\.job_minutes in config\.yaml allows"):
        long.result()
    assert submit("a cat").result(SECONDS)
    assert local.describe()["pid"] == pid, "its worker goes on"


def test_a_step_that_takes_too_long_is_ended_with_its_worker_and_the_next_call_runs(
    local: LocalWorkers, submit: Callable[..., Any]
) -> None:
    local.limit[0] = 3.0  # type: ignore[attr-defined]
    endless, behind = submit("an endless cat"), submit("a cat")
    ticked(local, endless)
    with pytest.raises(TooLong):
        endless.result()
    assert behind.result(SECONDS)


@pytest.mark.thorough
def test_of_a_batch_that_takes_too_long_each_gets_the_whole_time_alone(local: LocalWorkers, submit: Callable[..., Any]) -> None:
    local.limit[0] = 20.0  # type: ignore[attr-defined]
    with local.changed:
        calls = [submit(prompt, key="k") for prompt in ("a red cat", "an endless cat", "a blue cat")]
    ticked(local, calls[1], seconds=0.1)
    local.limit[0] = None  # type: ignore[attr-defined]
    outcomes = [type(call.exception(SECONDS)).__name__ for call in calls]
    assert outcomes == ["NoneType", "TooLong", "NoneType"]


@pytest.mark.thorough
def test_a_batch_that_is_stopped_at_a_step_goes_on_one_by_one_in_the_same_worker(
    local: LocalWorkers, submit: Callable[..., Any], folder: Path
) -> None:
    assert submit("a cat").result(SECONDS)
    pid, local.limit[0] = local.describe()["pid"], 1.0  # type: ignore[attr-defined]
    chosen = settings(folder, steps=900)
    with local.changed:
        calls = [local.submit("diffuse", noise(), chosen, key="k") for _ in range(2)]
    looks = itertools.count()
    # Slow enough for the worker to end by itself.
    wait_until(lambda: (local.tick(next(looks) / 50), all(call.key is None for call in calls))[1], what="they are back")
    local.limit[0] = None  # type: ignore[attr-defined]
    assert all(call.future.result(SECONDS) for call in calls)
    assert local.describe()["pid"] == pid
