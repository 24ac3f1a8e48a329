"""The versions that two machines have to agree on, read without loading any of it: the last bits of a result hang on them."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

DECIDING = ("tiffsd", "torch", "diffusers", "transformers", "numpy", "tifffile")


def versions() -> dict[str, str]:
    """The version of each package that decides on results; "none" for one that is not installed."""
    return {name: _version(name) for name in DECIDING}


def disagreement(here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """In one sentence where the versions of two machines differ; None where they agree."""
    differing = [
        f"{name} {there.get(name, 'none')} there and {here.get(name, 'none')} here"
        for name in DECIDING
        if _released(here.get(name)) != _released(there.get(name))
    ]
    if not differing:
        return None
    return (
        f"its versions are not those of this machine, so its results would not be: {', '.join(differing)}; install the same on both"
    )


def _released(version: str | None) -> str | None:
    """A version without what names its build: torch for a GPU (2.13.0+cu126) is that for none (2.13.0+cpu)."""
    return version and version.partition("+")[0]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
