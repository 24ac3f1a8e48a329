"""The token that opens the page: in a private file, made at the first start."""

import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from daemon.errors import ConfigError
from daemon.names import new_id

NAME = "web-token"
TOKEN = re.compile(r"[A-Za-z0-9_.~-]{16,200}")


def usual_token_file(environment: Mapping[str, str], home: Path) -> Path:
    """Where the token lies where nobody says: in the service's own folder, else among what programs keep of a user's."""
    if given := environment.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given) / NAME
    kept = environment.get("XDG_STATE_HOME", "")
    return (Path(kept) if kept.startswith("/") else home / ".local/state") / "tiffsd" / NAME


def token_in(path: Path) -> str:
    """The token in a file, which is made where it is missing. Raises ConfigError, also where others may read it."""
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            mode, said = os.fstat(file.fileno()).st_mode, file.read(1000)
    except OSError as error:
        raise ConfigError(f"the token in {path} cannot be read or made ({error.strerror}); name another by --token-file") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path} is open to others, and who reads it may do all that the page does; run `chmod 600 {path}`")
    token = said.decode("ascii", "replace").strip()
    if not TOKEN.fullmatch(token):
        raise ConfigError(f"{path} holds no token of 16 to 200 letters, digits and -_.~; delete it, and the next start makes one")
    return token


def _make(path: Path) -> None:
    """Make the file, whole or not at all; one that somebody else makes meanwhile counts."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{NAME}.{new_id()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(secrets.token_urlsafe(32).encode("ascii") + b"\n")
    try:
        if not path.exists():
            part.rename(path)
    finally:
        part.unlink(missing_ok=True)
