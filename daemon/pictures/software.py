"""What this program is made of, and what it ran on, as the files that it makes say it."""

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from daemon.names import shown

PACKAGES = ("tiffsd", "torch", "diffusers", "transformers", "numpy")
# What the last bits of a result depend on, as a sentence names it.
DECIDING = {
    **{"torch": "torch", "diffusers": "diffusers", "transformers": "transformers", "numpy": "numpy"},
    **{"processor": "the processor", "instruction_set": "the instruction set", "threads": "the number of threads"},
}
LONGEST_VALUE = 80


@cache
def versions() -> MappingProxyType[str, str]:
    """The version of Python and of each package that pictures depend on; looking them up takes longer than writing a small file."""
    return MappingProxyType({"python": platform.python_version(), **{name: version(name) for name in PACKAGES}})


def made_elsewhere(what: str, recorded: Mapping[str, Any], here: Mapping[str, str]) -> tuple[str, ...]:
    """The sentence on why what a file records is not made again to the last bit; none where both are alike, or nothing tells."""
    unlike = [
        f"{noun} {shown(str(recorded[key]))[:LONGEST_VALUE]} (here {here[key]})"
        for key, noun in DECIDING.items()
        if key in recorded and key in here and recorded[key] != here[key]
    ]
    return (f"{what} made with {', '.join(unlike)}: the last bits may differ",) if unlike else ()
