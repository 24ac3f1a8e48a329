"""Install the wheel as people do, with `pipx` and `uv tool`, in clean homes, and make a picture:  python -m tests.installs

Not among the tests, because it fetches all that tiffsd stands on, for each tool and each Python anew. Of torch that is the build
for the CPU only where somebody says so: by PIP_EXTRA_INDEX_URL and UV_TORCH_BACKEND=cpu, or a folder of wheels in PIP_FIND_LINKS.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from tests.wheel import built_wheel

TOOLS = ("pipx", "uv")
PICTURES = 3


class Failed(Exception):
    """A step of an installation did not do what it should; the text is what it said."""


def main() -> None:
    """Try each tool with each Python, print the seconds, and exit with 1 where one failed."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    asked.add_argument("--tools", default=",".join(TOOLS), help="Which, separated by commas.")
    asked.add_argument("--pythons", default=f"{sys.version_info[0]}.{sys.version_info[1]}", help="Which, such as 3.11,3.12.")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="tiffsd-installs-") as scratch:
        wheel = built_wheel(_made(Path(scratch) / "checkout"))
        programs = _tools(Path(scratch) / "tools", given.tools.split(","))
        outcomes = [_told(wheel, tool, version, Path(scratch)) for tool in programs.items() for version in given.pythons.split(",")]
    sys.exit(0 if all(outcomes) else 1)


def _tools(folder: Path, names: list[str]) -> dict[str, Path]:
    """The tools by name, those of the PATH or fetched for this."""
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        venv.create(folder, with_pip=True)
        _run([folder / "bin/python", "-m", "pip", "install", "--quiet", *missing], dict(os.environ))
    return {name: Path(shutil.which(name) or folder / "bin" / name) for name in names}


def _told(wheel: Path, tool: tuple[str, Path], version: str, scratch: Path) -> bool:
    """Try one, and print what came of it in one line; whether it is as it should be."""
    name, program = tool
    python = next(_pythons(version), None)
    if python is None:
        _say(f"{name:5} Python {version:5} not tried: there is no such Python here")
        return True
    home = _made(scratch / f"{name}-{version}")
    try:
        said = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in _tried(wheel, name, program, python, home))
    except Failed as error:
        _say(f"{name:5} Python {version:5} FAILED:\n{error}")
        return False
    finally:
        shutil.rmtree(home, ignore_errors=True)
    _say(f"{name:5} Python {version:5} {said}")
    return True


def _tried(wheel: Path, name: str, program: Path, python: Path, home: Path) -> Iterator[tuple[str, float]]:
    """Install, ask for the version, make the demo's pictures, uninstall: each with its seconds. Raises Failed."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "XDG_", "PIPX_", "UV_TOOL"))
    }
    places = {"PIPX_HOME": home / "pipx", "PIPX_BIN_DIR": home / "bin", "UV_TOOL_DIR": home / "uv", "UV_TOOL_BIN_DIR": home / "bin"}
    environment = {
        **_wheels_for_uv(kept.get("PIP_FIND_LINKS", ""), home),
        **kept,
        **{key: str(place) for key, place in places.items()},
        "HOME": str(home),
    }
    verb = ["tool", "install"] if name == "uv" else ["install"]
    yield "installed in", _run([program, *verb, "--python", python, wheel], environment)
    tiffsd = home / "bin/tiffsd"
    yield "says its version in", _run([tiffsd, "--version"], environment)
    yield "demo in", _run([tiffsd, "demo", "--out", home / "pictures"], environment)
    made = len(list((home / "pictures").glob("*.png")))
    if made != PICTURES:
        raise Failed(f"the demo made {made} pictures")
    yield "gone in", _run([program, *(["tool"] if name == "uv" else []), "uninstall", "tiffsd"], environment)
    if tiffsd.exists():
        raise Failed(f"{tiffsd} is still there")


def _wheels_for_uv(folder: str, home: Path) -> dict[str, str]:
    """The variables by which uv takes the wheels that pip is told of: of torch it would else take that of the index."""
    if not folder:
        return {}
    pins = {"==".join(wheel.name.split("-")[:2]) for wheel in Path(folder).glob("torch-*.whl")}
    (home / "constraints.txt").write_text("\n".join(pins))
    return {"UV_FIND_LINKS": folder, "UV_CONSTRAINT": str(home / "constraints.txt")}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(words: list[object], environment: dict[str, str]) -> float:
    """Run a command to its end; its seconds. Raises Failed with what it said."""
    begun = time.monotonic()
    done = subprocess.run([str(word) for word in words], env=environment, cwd=tempfile.gettempdir(), capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return time.monotonic() - begun


def _pythons(version: str) -> Iterator[Path]:
    """Those of a version, by name on the PATH, then among pyenv's, as `make test-pythons` looks for them."""
    found = [Path(path) for path in [shutil.which(f"python{version}")] if path]
    for python in [*found, *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]:
        said = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True)
        if said.stdout.strip() == version:
            yield python


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
