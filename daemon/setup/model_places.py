"""Where other programs keep their models: ComfyUI, A1111 and its forks, InvokeAI, and the cache of the Hugging Face Hub."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_PROGRAMS = ("ComfyUI", "comfyui", "stable-diffusion-webui", "stable-diffusion-webui-forge", "sd-webui-forge-classic", "Fooocus")
_FOLDERS = ("models", "embeddings")
_INVOKE = "invokeai/models"
# Where people put programs in a home, and where they are put for all.
_IN_HOME = ("", "Documents", "Downloads", "ai", "AI", "apps", "git", "src", "code", "projects", "sd")
_FOR_ALL = ("/opt", "/srv", "/workspace", "/models")
# What holds programs and no models, and has very many files.
PASSED_OVER = frozenset(("venv", "env", "node_modules", "site-packages", "custom_nodes", "extensions", "__pycache__", "lost+found"))
DEEPEST = 8
HUB = "models--"
"""How the hub's cache calls the folder of a repository: models--OWNER--NAME."""


def usual_places(home: Path, environ: Mapping[str, str]) -> list[Path]:
    """The folders there are of those programs."""
    roots = [*(home / name for name in _IN_HOME), *map(Path, _FOR_ALL)]
    programs = [root / name for root in roots for name in _PROGRAMS]
    programs += [Path(said).expanduser() for key in ("COMFYUI_PATH", "COMFYUI_HOME") if (said := environ.get(key))]
    found = [program / folder for program in programs for folder in _FOLDERS]
    invoke = environ.get("INVOKEAI_ROOT")
    found += [Path(invoke).expanduser() / "models" if invoke else home / _INVOKE, Path("/models"), hub_cache(home, environ)]
    return [*{_identity(place): place for place in found if place.is_dir()}.values()]


def hub_cache(home: Path, environ: Mapping[str, str]) -> Path:
    """Where the client of the hub keeps what it fetches."""
    if said := environ.get("HF_HUB_CACHE"):
        return Path(said).expanduser()
    if said := environ.get("HF_HOME"):
        return Path(said).expanduser() / "hub"
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache").expanduser() / "huggingface/hub"


def folders_below(top: Path, is_one: Callable[[Path, list[str]], bool]) -> Iterator[tuple[Path, list[str], bool]]:
    """The folders from `top` down with the names in them, and whether each is one model, below which nothing is looked for.

    Links are followed, once. Of a repository in the hub's cache there is the newest state alone."""
    seen: set[tuple[int, int]] = set()
    waiting = [(snapshot(top) or top, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if not folder.is_dir() or (identity := _identity(folder)) in seen:
            continue
        seen.add(identity)
        names = _names(folder)
        whole = is_one(folder, names)
        yield folder, names, whole
        if not whole and depth < DEEPEST:
            below = [folder / name for name in reversed(names) if name.lower() not in PASSED_OVER]
            waiting += [(snapshot(path) or path, depth + 1) for path in below]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return []


def snapshot(repository: Path) -> Path | None:
    """The newest state of a repository in the hub's cache; None where the folder is none, or has none."""
    if not repository.name.startswith(HUB):
        return None
    there = [path for path in (repository / "snapshots").glob("*") if path.is_dir()]
    try:
        main = (repository / "refs/main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        main = ""
    return next((path for path in there if path.name == main), max(there, key=lambda path: path.stat().st_mtime_ns, default=None))


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
