"""A client of SMB in a process of its own, which can be killed: `SmbClient` speaks to it in lines of JSON, a call an answer.

As a program (`python -m tests.real.smb_client PORT USER`) it is the process. Names are those below the share, with `/`.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

SHARE, PASSWORD = "tiffsd", "secret of a test"


class SmbClient:
    """A person at a share of `smbd` on this machine; what the server refuses is an OSError with its words."""

    def __init__(self, port: int, user: str = "alice") -> None:
        command = [sys.executable, "-m", "tests.real.smb_client", str(port), user]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def open(self, name: str, mode: str = "wb") -> int:
        """A handle of a file, opened as Python does: wb, r+b, xb, rb; others may read, write and delete meanwhile."""
        return int(self._ask("open", name, mode))

    def truncate(self, handle: int, size: int) -> None:
        """Give a file its size, as Explorer does before it writes the content."""
        self._ask("truncate", handle, size)

    def write(self, handle: int, data: str | bytes) -> None:
        self._ask("write", handle, (data.encode() if isinstance(data, str) else data).decode("latin-1"))

    def close(self, handle: int) -> None:
        self._ask("close", handle)

    def drop(self, name: str, data: str | bytes = b"") -> None:
        """Copy a whole file there: its size first, then the content, then the end."""
        handle = self.open(name)
        self.truncate(handle, len(data.encode() if isinstance(data, str) else data))
        self.write(handle, data)
        self.close(handle)

    def save(self, name: str, data: bytes) -> None:
        """Save a file in place, as most editors do: the same file is opened, cut and written anew."""
        handle = self.open(name, "r+b")
        self.truncate(handle, 0)
        self.write(handle, data)
        self.close(handle)

    def read(self, name: str) -> bytes:
        return str(self._ask("read", name)).encode("latin-1")

    def rename(self, old: str, new: str) -> None:
        self._ask("rename", old, new)

    def remove(self, name: str) -> None:
        self._ask("remove", name)

    def names(self, folder: str) -> list[str]:
        return sorted(self._ask("names", folder))

    def die(self) -> None:
        """End as a machine does whose plug is pulled, with files open."""
        self._process.kill()
        self.leave()

    def leave(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(timeout=60)

    def _ask(self, call: str, *about: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([call, *about]) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        if "error" in said:
            raise OSError(said["error"])
        return said["answer"]


def main(port: int, user: str) -> None:
    import smbclient

    smbclient.register_session("127.0.0.1", username=user, password=PASSWORD, port=port, connection_timeout=60)
    opened: dict[int, Any] = {}

    def at(name: str) -> str:
        return "\\".join(["", "", "127.0.0.1", SHARE, *name.split("/")])

    def open_file(name: str, mode: str) -> int:
        opened[len(opened)] = smbclient.open_file(at(name), mode=mode, buffering=0, share_access="rwd", port=port)
        return len(opened) - 1

    def read(name: str) -> str:
        with smbclient.open_file(at(name), mode="rb", share_access="rwd", port=port) as file:
            return bytes(file.read()).decode("latin-1")

    calls: dict[str, Callable[..., Any]] = {
        "open": open_file,
        "truncate": lambda handle, size: opened[handle].truncate(size),
        "write": lambda handle, text: opened[handle].write(text.encode("latin-1")) if text else 0,
        "close": lambda handle: opened[handle].close(),
        "read": read,
        "rename": lambda old, new: smbclient.rename(at(old), at(new), port=port),
        "remove": lambda name: smbclient.remove(at(name), port=port),
        "names": lambda folder: smbclient.listdir(at(folder), port=port),
    }
    for line in sys.stdin:
        call, *about = json.loads(line)
        try:
            said = {"answer": calls[call](*about)}
        except OSError as error:
            said = {"error": str(error)}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
