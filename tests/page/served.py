"""`tiffsd web` as a process of its own, beside the daemon of a test or without one."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import wait_until


@contextmanager
def served(folder: Path, config: Path, *, port: int = 0) -> Iterator[str]:
    """The address with its token, for as long as the server runs; `folder` is for its token and its log."""
    log, token = folder / "web.txt", folder / "token"
    words = ["-m", "daemon", "web", "--port", str(port), "--token-file", str(token), "-c", str(config)]
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *words], cwd=config.parent, stdout=output, stderr=output)
    try:
        yield wait_until(lambda: _address(process, log, token), what="the server says its address")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _address(process: "subprocess.Popen[bytes]", log: Path, token: Path) -> str:
    said = log.read_text()
    assert process.poll() is None, said
    found = re.search(r"http://\S+/", said)
    return f"{found[0]}?token={token.read_text().strip()}" if found else ""
