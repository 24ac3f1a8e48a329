"""What this program is made of, as the files that it makes say it."""

import platform
from functools import cache
from importlib.metadata import version
from types import MappingProxyType

PACKAGES = ("tiffsd", "torch", "diffusers", "transformers", "numpy")


@cache
def versions() -> MappingProxyType[str, str]:
    """The version of Python and of each package that pictures depend on; looking them up takes longer than writing a small file."""
    return MappingProxyType({"python": platform.python_version(), **{name: version(name) for name in PACKAGES}})
