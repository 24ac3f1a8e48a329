"""The server beside a real daemon: a prompt is cancelled while it runs, tried again, held, released, and becomes a picture."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon
from tests.web.asking import Site, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@contextmanager
def both(folder: Path) -> Iterator[tuple[Site, RunningDaemon]]:
    with serving(folder) as site:
        running = RunningDaemon(folder)
        try:
            running.start()
            yield site, running
        finally:
            running.close()


def entries(site: Site, kind: str) -> list[dict[str, Any]]:
    text = site.get("/index.js").body.decode("ascii")
    said = json.loads(text[text.index(",") + 1 :].removesuffix(");\n"))
    assert said["alive"] is True
    return list(said["entries"][kind])


def first(site: Site, kind: str, stage: str) -> dict[str, Any]:
    """The first of a kind for a stage, once the page shows one."""

    def look() -> Any:
        return next((entry for entry in entries(site, kind) if entry.get("stage") == stage), None)

    found: dict[str, Any] = wait_until(look, seconds=120, what=f"{kind} for {stage} on the page")
    return found


def test_a_prompt_goes_its_way_by_the_page_alone(tmp_path: Path) -> None:
    with both(tmp_path) as (site, running):
        assert site.post("/prompts", {"name": "long", "prompt": "a cat", "settings": {"steps": 1000}}).code == 200
        assert site.act("cancel", link=first(site, "running", "diffuse")["link"]).code == 200
        failed = first(site, "failed", "diffuse")
        assert "cancelled" in failed["reason"].lower()

        assert site.act("gate_on", stage="diffuse").code == 200
        assert site.act("pause", stage="diffuse").code == 200
        assert site.act("retry", link=failed["link"]).code == 200
        waiting = first(site, "waiting", "diffuse")
        assert site.act("hold", link=waiting["link"]).code == 200
        assert site.act("resume", stage="diffuse").code == 200

        assert site.post("/prompts", {"name": "short", "prompt": "a red house", "settings": {"steps": 4}}).code == 200
        held = wait_until(
            lambda: [entry for entry in entries(site, "held") if entry["job"] == "short"], seconds=120, what="the short one is held"
        )
        assert site.act("release", link=held[0]["link"]).code == 200
        running.found("pictures/short*.png")
        (done,) = wait_until(lambda: entries(site, "done"), what="the picture on the page")
        picture = site.get(f"/{done['picture']}")
        assert picture.body.startswith(b"\x89PNG")
        assert picture.headers["content-type"] == "image/png"
        assert running.stop() == 0
