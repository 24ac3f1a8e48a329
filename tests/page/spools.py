"""Spools for the tests of the page, and a look at one as the daemon does it."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.jobs.overview import Overview
from daemon.jobs.page.page import LISTED, Page
from daemon.service.status import page_facts, read_status, why_waiting
from daemon.spool.spool import Spool
from daemon.stages import STAGES


def new_spool(root: Path) -> Path:
    Spool(root, {stage.name: stage.folder for stage in STAGES.values()}).create()
    return root


class Look:
    """What the daemon does with each status: a look at the folders, and the page of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.overview, self.page = root, Overview(root, first=LISTED), Page(root)
        self.data: dict[str, Any] = {}

    def again(self, *, alive: bool = True, worker: Mapping[str, Any] | None = None) -> None:
        now = datetime.now().astimezone()
        status = read_status(self.root, now=now, alive=alive, worker=worker)
        listed = self.overview.look(status.running, why=why_waiting(status.stages))
        self.page.write(self.overview, listed, status.running, now=now, facts=page_facts(status))
        text = (self.root / "index.js").read_text("ascii")
        self.data = json.loads(text[text.index(",") + 1 :].removesuffix(");\n"))

    def entries(self, kind: str) -> list[dict[str, Any]]:
        self.again()
        return list(self.data["entries"][kind])
