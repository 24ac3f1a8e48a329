"""Pages are told at once when there is something new to be shown, with the daemon and without; and nobody who listens keeps the
server from ending."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.spool.spool import Spool
from daemon.stages import STAGES
from daemon.web import events
from tests.conftest import wait_until
from tests.page.spools import Look
from tests.web.asking import Site, serving


class Stream:
    """One page that listens."""

    def __init__(self, link: socket.socket) -> None:
        self._link, self._heard = link, b""

    def events(self) -> list[str]:
        """The stamps that came so far."""
        self._read()
        return re.findall(r"event: changed\ndata: (.+)\n\n", self._heard.decode())

    def comments(self) -> int:
        self._read()
        return self._heard.count(b"\n: here\n\n")

    def has_ended(self) -> bool:
        return self._read() and self._heard.endswith(b"0\r\n\r\n")

    def _read(self) -> bool:
        try:
            while part := self._link.recv(65536):
                self._heard += part
        except BlockingIOError:
            return False
        return True


@contextmanager
def listening(site: Site) -> Iterator[Stream]:
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as link:
        link.sendall(f"GET /events HTTP/1.1\r\nHost: {site.host}\r\nCookie: {site.cookie}\r\n\r\n".encode())
        link.setblocking(False)
        yield Stream(link)


@contextmanager
def daemon_on(root: Path) -> Iterator[Look]:
    """A spool whose lock somebody holds, and who writes the page when asked to."""
    spool = Spool(root, {stage.name: stage.folder for stage in STAGES.values()})
    spool.acquire()
    try:
        yield Look(root)
    finally:
        spool.release()


def shown(site: Site) -> dict[str, Any]:
    text = site.get("/index.js").body.decode("ascii")
    found: dict[str, Any] = json.loads(text[text.index(",") + 1 :].removesuffix(");\n"))
    return found


def test_a_page_is_told_once_at_its_start_and_whenever_the_daemon_writes(site: Site) -> None:
    with daemon_on(site.root) as look:
        look.again()
        with listening(site) as stream:
            wait_until(lambda: len(stream.events()) == 1, what="the first event")
            (site.root / "hold/2-diffuse/cat.3f9a1c2e.tiff").write_bytes(b"x")
            look.again()
            wait_until(lambda: len(stream.events()) == 2, what="the second event")
            assert len(set(stream.events())) == 2
            assert [entry["name"] for entry in shown(site)["entries"]["held"]] == ["cat.3f9a1c2e.tiff"]


def test_a_page_sees_when_the_daemon_ends(site: Site) -> None:
    with daemon_on(site.root) as look:
        look.again()
        assert shown(site)["alive"] is True
        with listening(site) as stream:
            wait_until(stream.events, what="the first event")
            look_again = len(stream.events())
        assert look_again == 1
    with listening(site) as stream:
        wait_until(stream.events, what="an event")
    assert "true" in (site.root / "index.js").read_text().partition("complaints")[0], "what the daemon has said last stays"
    assert shown(site)["alive"] is False


def test_without_a_daemon_the_page_shows_the_folders_as_they_are(site: Site) -> None:
    with listening(site) as stream:
        wait_until(stream.events, what="the first event")
        (site.root / "inbox/1-text/cat.txt").write_text("a cat")
        site.act("pause", stage="text")
        wait_until(lambda: len(stream.events()) > 1, what="an event")
    said = shown(site)
    assert said["alive"] is False
    assert said["counts"]["waiting"] == 1
    assert said["entries"]["waiting"][0]["prompt"] == "a cat"
    assert [stage["name"] for stage in said["stages"] if stage["paused"]] == ["text"]
    site.act("hold", path="inbox/1-text/cat.txt")
    assert shown(site)["counts"] == {"held": 1, "failed": 0, "waiting": 0, "running": 0, "done": 0}
    assert not (site.root / "index.js").exists(), "it is for the daemon to write"


def test_while_nothing_is_new_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.5)
    with serving(tmp_path) as site, listening(site) as stream:
        wait_until(lambda: stream.comments() >= 2, what="two heartbeats")
        assert len(stream.events()) == 1


def test_where_the_spool_is_not_there_the_page_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        site.root.rename(tmp_path / "away")
        assert site.get("/").code == 200
        said = shown(site)
        assert said["alive"] is False
        assert "There is no spool" in said["complaints"][0]
        for answer in (
            site.get("/pictures/cat.png"),
            site.act("pause", stage="text"),
            site.act("release", path="hold/1-text/cat.txt"),
            site.post("/prompts", {"prompt": "a cat"}),
            site.post("/drops/encode?name=cat.png", body=b"x"),
        ):
            assert answer.code in (404, 503), answer.body
            assert answer.error
        assert list(tmp_path.iterdir()) != []
        assert not site.root.exists()
        (tmp_path / "away").rename(site.root)
        assert shown(site)["complaints"] == []
        assert site.act("pause", stage="text").code == 200


def test_who_listens_does_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        link = socket.create_connection(("127.0.0.1", site.port), timeout=30)
        link.sendall(f"GET /events HTTP/1.1\r\nHost: {site.host}\r\nCookie: {site.cookie}\r\n\r\n".encode())
        link.setblocking(False)
        stream = Stream(link)
        wait_until(stream.events, what="the first event")
        begun = time.monotonic()
    assert time.monotonic() - begun < 2.0
    assert stream.has_ended()
    link.close()
