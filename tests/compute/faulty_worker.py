"""The real worker, in which some jobs fail as the libraries do at a GPU: how stands in their prompt.

Of a broken device every later call of the process fails, as CUDA has it.
"""

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from daemon.compute import worker
from daemon.stages import diffuse

ASSERT = (
    "CUDA error: device-side assert triggered\n"
    "Search for `cudaErrorAssert' in https://docs.nvidia.com/cuda/ for more information.\n"
    "CUDA kernel errors might be asynchronously reported at some other API call."
)
HUGE = (
    "CUDA out of memory. Tried to allocate 30.00 GiB. GPU 0 has a total capacity of 23.69 GiB of which 12.69 MiB is free. "
    "If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True."
)
CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"

broken: list[Exception] = []


def warm(models: Any) -> list[str]:
    """The components that are loaded."""
    return sorted(key.name for key in models._warm)


def fail_as_said(models: Any, settings: Mapping[str, Any]) -> None:
    """Do what the prompt asks for: "sticky", "huge" (an error that names what is loaded), "cublas", "dies" or "endless"."""
    if broken:
        raise broken[0]
    words = settings["prompt"].split()
    if "sticky" in words:
        broken.append(getattr(torch, "AcceleratorError", RuntimeError)(ASSERT))
        raise broken[0]
    if "huge" in words:
        raise torch.OutOfMemoryError(HUGE.replace("memory.", f"memory beside {warm(models)}."))
    if "cublas" in words:
        raise RuntimeError(CUBLAS)
    if "dies" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "endless" in words:
        threading.Event().wait()


def faulty_run(models: Any, tensors: Any, settings: Mapping[str, Any], progress: Any) -> Any:
    def crowded(step: int, *more: Any) -> None:
        """Be too large beside another model, which shows in the midst of the loop."""
        if step == 2 and "crowded" in settings["prompt"].split() and "vae" in warm(models):
            raise torch.OutOfMemoryError(HUGE)
        progress(step, *more)

    fail_as_said(models, settings)
    return run(models, tensors, settings, crowded)


def faulty_run_together(models: Any, tensors: Any, settings: Sequence[Mapping[str, Any]], progress: Any) -> Any:
    for one in settings:
        fail_as_said(models, one)
    return run_together(models, tensors, settings, progress)


run, run_together = diffuse.run, diffuse.run_together

if __name__ == "__main__":
    diffuse.run, diffuse.run_together = faulty_run, faulty_run_together
    worker.main(*map(int, sys.argv[1:]))
