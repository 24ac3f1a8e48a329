"""The limits that the child process which reads what people drop sets itself: memory and processor time, on top of what it took."""

import math
import os
import resource
from pathlib import Path

MEGAPIXEL = 1_000_000
# Generous to a machine twenty times as slow as a desktop, where decoding takes about 50 ms for each megapixel.
SECONDS_TO_BEGIN = 3
SECONDS_PER_MEGAPIXEL = 1.0


class RefusedByFormat(Exception):
    """An error of the format, to be raised again in the front: the name of its class, and its sentence."""


def limit_memory(more_bytes: int) -> None:
    """Let this process take so many bytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    wanted, (_, hard) = pages * resource.getpagesize() + more_bytes, resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def limit_time(pixels: int) -> None:
    """Let this process compute for as long as decoding so many pixels may take, from now on."""
    used = os.times()
    limit_processor_time(used.user + used.system + SECONDS_TO_BEGIN + SECONDS_PER_MEGAPIXEL * pixels / MEGAPIXEL)


def limit_processor_time(seconds: float) -> None:
    """End this process by SIGXCPU when it has computed for so long in all; a limit that is lower already stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(seconds)
    if soft == resource.RLIM_INFINITY or wanted < soft:
        # Where both are equal, the kernel kills by SIGKILL, which does not tell why.
        most = wanted + 1 if hard == resource.RLIM_INFINITY else min(wanted + 1, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (min(wanted, most), most))
