"""Which errors of the libraries say that memory is lacking, and which that the context of the device in this process is broken.

The libraries raise RuntimeError for nearly everything, so that words must tell. Lack of memory is looked for first: it comes under
the same names as the rest.

    words                                     whose, and where they are made
    CUDA error: ..., CUDA driver error: ...   c10/cuda/CUDAException.cpp, aten/src/ATen/cuda/Exceptions.h; the rest is CUDA's own
                                              name of the error (cudaGetErrorString)
    HIP error: ...                            the same files, as they are translated for ROCm
    Triton Error [CUDA]: ...                  the driver of compiled kernels
    ..._STATUS_EXECUTION_FAILED and the like  the libraries' enumerations: cuBLAS, cuDNN, cuSOLVER, cuSPARSE, hipBLAS, MIOpen
    an illegal memory access ... and others   CUDA's runtime API, "Data types used by CUDA Runtime", enum cudaError: those of which
                                              it says that the process must be terminated and relaunched
    CUDA out of memory. ...                   c10/cuda/CUDACachingAllocator.cpp (torch.OutOfMemoryError)
    MPS backend out of memory ...             aten/src/ATen/mps/MPSAllocator.mm
    ..._STATUS_ALLOC_FAILED and the like      the libraries' enumerations, in cuDNN 9 also ..._DEVICE_ALLOCATION_FAILED
    DefaultCPUAllocator: can't allocate ...   c10/core/impl/alloc_cpu.cpp, "not enough memory" on Windows
    std::bad_alloc                            C++
    Cannot allocate memory                    strerror(ENOMEM)

Of the errors of CUDA all are taken for lasting that are not lack of memory. Some are not; but to replace a worker costs seconds,
and to go on with a broken one costs every job that comes after.
"""

import errno
import os
import re
from collections.abc import Iterator

from daemon.errors import DaemonError

LACKING = re.compile(
    r"out of memory"
    r"|not enough memory"
    r"|can(?:'t|not) allocate memory"
    r"|std::bad_alloc"
    r"|cudaErrorMemoryAllocation|hipErrorOutOfMemory"
    r"|_STATUS_(?:\w+_)?ALLOC(?:ATION)?_FAILED",
    re.IGNORECASE,
)
BROKEN = re.compile(
    r"\b(?:CUDA|HIP)(?: driver| runtime)? error\b"
    r"|Triton Error \[(?:CUDA|HIP)\]"
    r"|_STATUS_(?:\w+_)?(?:EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR|NOT_INITIALIZED)"
    r"|miopenStatus(?:UnknownError|InternalError|NotInitialized)"
    r"|device-side assert triggered"
    r"|illegal memory access was encountered"
    r"|illegal instruction was encountered"
    r"|unspecified launch failure"
    r"|the launch timed out and was terminated"
    r"|hardware stack error"
    r"|misaligned address"
    r"|invalid program counter"
    r"|uncorrectable (?:ECC|NVLink) error",
    re.IGNORECASE,
)
# By their names, because this module does not know torch.
LACKING_KINDS = {"MemoryError", "OutOfMemoryError"}
BROKEN_KINDS = {"AcceleratorError"}
# Of the sentence with the figures; behind it torch gives advice that nobody can follow from here.
END_OF_FIGURES = re.compile(r"\s*(?:If reserved but unallocated memory|See documentation for|Use PYTORCH_MPS|\n)")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says, or was raised because another says, that memory is lacking."""
    return any(_is_lack(cause) for cause in _causes(error))


def breaks_device(error: BaseException) -> bool:
    """Whether the process can compute nothing more on its device after this error."""
    return not is_out_of_memory(error) and any(_says(cause, BROKEN_KINDS, BROKEN) for cause in _causes(error))


def figures(error: BaseException, device: str) -> str:
    """What an error for lack of memory says of how much was asked for and how much there is on the device, as one line."""
    said = next((cause for cause in _causes(error) if _is_lack(cause)), error)
    words = END_OF_FIGURES.split(str(said).strip())[0].rstrip(". ") or type(said).__name__
    return f"{words}; the machine has {_memory_bytes() / 1e9:.1f} GB" if device == "cpu" else words


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _is_lack(error: BaseException) -> bool:
    return _says(error, LACKING_KINDS, LACKING) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def _says(error: BaseException, kinds: set[str], words: re.Pattern[str]) -> bool:
    if isinstance(error, DaemonError):
        return False  # a sentence of ours, which may name anything
    return not kinds.isdisjoint(kind.__name__ for kind in type(error).__mro__) or bool(words.search(str(error)))


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
