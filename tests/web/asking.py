"""A server of the page on a free port of the loopback, and how a browser, or somebody who is none, asks it."""

import http.client
import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from daemon.commands.web import _facts
from daemon.web.serving import PageServer
from tests.page.spools import new_spool
from tests.running_daemon import CONFIG

TOKEN = "a-token-of-the-tests-0123456789"


@dataclass(frozen=True)
class Answer:
    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.said["error"])


@dataclass
class Site:
    """One server: the spool behind it, and who has come in by the token."""

    root: Path
    port: int
    token: str = TOKEN
    config: Path = Path()
    configured: str = ""

    def clear(self) -> None:
        """Have an empty spool again, and the configuration as it was."""
        shutil.rmtree(self.root)
        new_spool(self.root)
        self.config.write_text(self.configured, encoding="utf-8")

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @cached_property
    def cookie(self) -> str:
        """The cookie that the token brings."""
        answer = self.raw("GET", f"/?token={self.token}", {})
        assert (answer.code, answer.headers["location"]) == (303, "/")
        return answer.headers["set-cookie"].partition(";")[0]

    @cached_property
    def csrf(self) -> str:
        """The word that the page knows."""
        found = re.search(rb'<meta name="csrf" content="([0-9a-f]+)">', self.raw("GET", "/", {"Cookie": self.cookie}).body)
        assert found is not None
        return found[1].decode()

    def allowed(self) -> dict[str, str]:
        """What a POST of the page has with it."""
        return {"Cookie": self.cookie, "X-Tiffsd-Csrf": self.csrf, "Origin": f"http://{self.host}"}

    def raw(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Ask with exactly these headers; a Host among them counts instead of the usual one."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                link.putheader(name, value)
            if body is not None:
                link.putheader("Content-Length", str(len(body)))
            link.endheaders(body)
            answer = link.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            link.close()

    def get(self, path: str) -> Answer:
        return self.raw("GET", path, {"Cookie": self.cookie})

    def post(self, path: str, said: Any = None, *, body: bytes = b"") -> Answer:
        return self.raw("POST", path, self.allowed(), body if said is None else json.dumps(said).encode())

    def act(self, act: str, **said: Any) -> Answer:
        return self.post("/acts", {"act": act, **said})

    def names(self, folder: str) -> set[str]:
        return {path.name for path in (self.root / folder).iterdir()}


@contextmanager
def serving(folder: Path, *, host: str = "127.0.0.1", names: tuple[str, ...] = (), **changes: Any) -> Iterator[Site]:
    """The page of a spool in this folder, served until the block ends."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")
    root = new_spool(folder / "spool")
    server = PageServer(root, config, _facts, host=host, port=0, token=TOKEN, names=names)
    ready = threading.Event()
    thread = threading.Thread(target=server.run, kwargs={"ready": ready.set})
    thread.start()
    try:
        assert ready.wait(30)
        yield Site(root, server.port, config=config, configured=config.read_text(encoding="utf-8"))
    finally:
        server.close()
        thread.join(30)
        assert not thread.is_alive()
