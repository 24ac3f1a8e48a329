"""The command that gathers what a bug report needs, shows it, and writes it where somebody wants that."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.commands import PATH, config_option, config_path, say, spool_root
from daemon.commands.completing import OF_ANY
from daemon.errors import DaemonError
from daemon.names import shown

if TYPE_CHECKING:
    from daemon.jobs.case import Case, Found
    from daemon.jobs.redacting import Redaction

PACKAGES = (
    *("tiffsd", "torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "scipy", "tifffile", "imagecodecs"),
    *("pillow", "watchdog", "pydantic", "click", "rich", "ray", "gguf", "starlette", "uvicorn"),
)
# What changes what the program does, and holds no secret.
VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "HSA_OVERRIDE_GFX_VERSION", "LANG", "LC_ALL", "MKL_CBWR"),
    *("OMP_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", "TZ"),
)
JOURNAL = ("journalctl", "--quiet", "--no-pager", "--no-hostname", "--output=short-iso", "--lines=50000")
UNITS = ("_SYSTEMD_UNIT=tiffsd.service", "+", "_SYSTEMD_USER_UNIT=tiffsd.service")
MOST_LINES, MOST_LOG_BYTES, JOURNAL_SECONDS = 200, 8 << 20, 10
OF_A_TRACEBACK = re.compile(r"(\S+ \S+: )? {4}")
MOUNTS = Path("/proc/self/mounts")
MEMORY = Path("/proc/meminfo")
CPU = Path("/proc/cpuinfo")


@click.command("report")
@click.argument("name", shell_complete=OF_ANY)
@click.option("-o", "--output", type=PATH, help="The file to write it to, once it was shown; it must not be there yet.")
@click.option("--yes", "-y", is_flag=True, help="Write it without a question.")
@click.option("--no-prompts", is_flag=True, help="Leave the words of prompts out.")
@click.option("--log", "log_file", type=PATH, help="A file with the daemon's log; otherwise the journal is asked.")
@config_option
def report(name: str, output: Path | None, yes: bool, no_prompts: bool, log_file: Path | None, config: Path | None) -> None:
    """Gather what a bug report needs: versions, configuration, the records and the log lines of one job; no secrets are in it.

    NAME is a file in the spool, the folder of a failed job, or the stem of one. It is shown before it is written, and sent nowhere.

    Example: tiffsd report cat.3f9a1c2e -o cat-report.md
    """
    if output is not None and output.exists():
        raise DaemonError(f"{output}: there is such a file already, and it stays as it is; name another one")
    text = gathered(name, config, log_file=log_file, prompts=not no_prompts)
    click.echo(text)
    if output is None:
        say("Nothing was written: `-o FILE` does that.", err=True)
    elif yes or click.confirm(f"Write this to {output}?", err=True):
        _write(output, text)
        say(f"written: {output}", err=True)


def _write(output: Path, text: str) -> None:
    try:
        with output.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text + "\n")
    except OSError as error:
        raise DaemonError(f"{output}: cannot be written: {error.strerror}") from error


def gathered(name: str, config: Path | None, *, log_file: Path | None = None, prompts: bool = True) -> str:
    """The report on a job, as Markdown. Raises NotThere where the spool knows nothing of that name."""
    from daemon.jobs.case import Case

    path, root = config_path(config), spool_root(config)
    redaction, case = _redaction(path, prompts=prompts), Case(root, name)
    files = case.files()
    sections = [
        ("Versions", _lines(_versions())),
        ("Machine", _lines(_machine(root))),
        ("Configuration, as far as it is not the usual one", _configuration(path, redaction)),
        ("The daemon", _state(root)),
        ("Files of the job", "\n".join(one.line() for one in files)),
        *case.told(files, redaction),
        ("Log lines of the job", _log(case, files, log_file)),
    ]
    blocks = [f"## {title}\n\n```\n{words.replace('```', '` ` `').rstrip()}\n```" for title, words in sections if words]
    text = redaction.text("\n\n".join([f"# tiffsd report: {case.stem}", *blocks]))
    return "\n".join(map(shown, text.split("\n")))


def _redaction(path: Path, *, prompts: bool) -> "Redaction":
    """Knows the secrets of this user's environment, of the hub, and of the configuration."""
    from daemon.jobs.redacting import Redaction, is_secretive, secrets_in
    from daemon.settings.plain_yaml import read_yaml

    values = [value for name, value in os.environ.items() if is_secretive(name)]
    said: dict[str, Any] = {}
    with suppress(DaemonError):
        said = read_yaml(path)
    hooks = said.get("hooks")
    arguments = chain.from_iterable(
        command[1:] for command in (hooks.values() if isinstance(hooks, dict) else ()) if isinstance(command, list)
    )
    known = [*values, *_hub_tokens(os.environ), *secrets_in(said), *map(str, arguments)]
    return Redaction(known, home=str(Path.home()), prompts=prompts)


def _hub_tokens(environment: Mapping[str, str]) -> Iterator[str]:
    """The tokens of the hub's programs, where they keep them."""
    home = Path(environment.get("HF_HOME") or Path.home() / ".cache/huggingface")
    for path in (Path(environment.get("HF_TOKEN_PATH") or home / "token"), home / "stored_tokens"):
        with suppress(OSError):
            yield from re.findall(r"[^\s=]{8,}", path.read_text(encoding="utf-8", errors="replace"))


def _lines(facts: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts.items() if value)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _machine(root: Path) -> dict[str, str]:
    usual = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, C library {' '.join(platform.libc_ver())}",
        "processor": f"{_first_of(CPU, 'model name')}, {os.cpu_count()} processors",
        "memory": _first_of(MEMORY, "MemTotal"),
        "filesystem of the spool": _filesystem(root),
        **usual,
    }


def _first_of(table: Path, key: str) -> str:
    """The value of the first line of that key in a table of the kernel's."""
    with suppress(OSError):
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return ""


def _filesystem(root: Path) -> str:
    """The kind of the filesystem that a folder lies on, and what is free there."""
    with suppress(OSError):
        mounts = [line.split() for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()]
        above = [mount for mount in mounts if len(mount) > 2 and root.resolve().is_relative_to(mount[1])]
        free = os.statvfs(root)
        return f"{max(above, key=lambda mount: len(mount[1]))[2]}, {free.f_bavail * free.f_frsize / 1e9:.1f} GB free"
    return ""


def _configuration(path: Path, redaction: "Redaction") -> str:
    """What is set otherwise than by default, as JSON, or what is wrong with the file, without what was found there."""
    from daemon.settings.config import FOLDER, examined

    try:
        config, faults = examined(path)
    except DaemonError as error:
        config, faults = None, [str(error)]
    if config is None:
        return "\n".join(re.sub(r" ?\(found .*\)| found .*", "", fault) for fault in faults)
    said = config.model_dump(mode="json", exclude_defaults=True, exclude={FOLDER})
    hooks = {event: _program(command) for event, command in said.get("hooks", {}).items()}
    said |= {"hooks": hooks} if hooks else {}
    return json.dumps(redaction.value(said), indent=1, ensure_ascii=False)


def _program(command: Any) -> Any:
    """A hook by the name of its program alone: arguments may be anything."""
    return f"{Path(command[0]).name}, with {len(command) - 1} arguments" if isinstance(command, list) else command


def _state(root: Path) -> str:
    from daemon.commands.report import current

    status = current(root)
    return "\n".join([f"running: {status.alive}", status.line(), *status.complaints])


def _log(case: "Case", files: "list[Found]", log_file: Path | None) -> str:
    """The lines of the log that name a file of the job, with the tracebacks below them; the last of many."""
    names = {case.stem, *case.ids, *(one.path.name for one in files)}
    wanted = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in sorted(names, key=len, reverse=True)))
    text = _journal() if log_file is None else _end_of(log_file)
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        inside = bool(wanted.search(line)) or (inside and OF_A_TRACEBACK.match(line) is not None)
        found += [line] * inside
    if not found and log_file is None:
        return "none in the journal, as far as this user may read it; --log FILE names a file with the log"
    return "\n".join(found[-MOST_LINES:]) or f"none in {log_file}"


def _journal() -> str:
    try:
        said = subprocess.run([*JOURNAL, *UNITS], capture_output=True, timeout=JOURNAL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.decode("utf-8", "replace")


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        raise DaemonError(f"{path}: the log cannot be read: {error.strerror}") from error
