"""A hub of our own on this machine: folders served as the Hugging Face Hub serves repositories, for its real client."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves `repositories`, folders by id; `fetched` names the files that were sent whole. Of the file `halting` only the half is
    sent until `go_on` is set."""

    def __init__(self, repositories: dict[str, Path], halting: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories, self.fetched = repositories, list[str]()
        self.halting, self.go_on = halting, threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(repositories: dict[str, Path], *, halting: str | None = None) -> Iterator[Hub]:
    hub = Hub(repositories, halting)
    thread = threading.Thread(target=hub.serve_forever)
    thread.start()
    yield hub
    hub.go_on.set()
    hub.shutdown()
    thread.join()
    hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        for id, folder in self.server.repositories.items():
            if path.startswith(f"/api/models/{id}/tree/"):
                return self._answer(
                    [{"type": "file", "path": name, "size": size, "oid": oid} for name, size, oid in _files(folder)]
                )
            if path == f"/api/models/{id}" or path.startswith(f"/api/models/{id}/revision/"):
                siblings = [{"rfilename": name, "size": size, "blobId": oid} for name, size, oid in _files(folder)]
                return self._answer({"id": id, "modelId": id, "sha": REVISION, "siblings": siblings})
        return self._file(send=True)

    def do_HEAD(self) -> None:
        self._file(send=False)

    def _file(self, *, send: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        for id, folder in self.server.repositories.items():
            _, found, name = path.partition(f"/{id}/resolve/{REVISION}/")
            if found and (folder / name).is_file():
                data = (folder / name).read_bytes()
                self._head(200, len(data), ETag=f'"{_oid(data)}"', **{"X-Repo-Commit": REVISION})
                if send:
                    self.server.fetched.append(name)
                    half = len(data) // 2 if name == self.server.halting else 0
                    self.wfile.write(data[:half])
                    if half:
                        self.server.go_on.wait()
                    self.wfile.write(data[half:])
                return
        self._head(404, 0, **{"X-Error-Code": "EntryNotFound" if "/resolve/" in path else "RepoNotFound"})

    def _answer(self, said: object) -> None:
        data = json.dumps(said).encode()
        self._head(200, len(data), **{"Content-Type": "application/json"})
        self.wfile.write(data)

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def _files(folder: Path) -> list[tuple[str, int, str]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), path.stat().st_size, _oid(path.read_bytes())) for path in files]


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
