"""`index.html` and `index.js` at the root of a spool: written where what they say has changed, and not touched otherwise.

The one holds the page, and for those without scripts a plain list; the other what the page shows, which it reads again every few
seconds. A script, since nothing else may be read by a page that was opened as a file. What the page may do is said by its policy:
run its own script and that of index.js, show pictures from beside itself, and reach nothing else.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from daemon.jobs.overview import First, Overview
from daemon.jobs.page.entries import Entries, Entry, Looks, Told, is_latents
from daemon.jobs.page.finished import FinishedPictures
from daemon.jobs.running import Running
from daemon.jobs.wording import Wording
from daemon.names import stem_of
from daemon.settings.resources import resource
from daemon.spool.atomic import atomic_replace
from daemon.spool.filesystem import Filesystem

PAGE, DATA = "index.html", "index.js"
FILES = (PAGE, DATA)
LISTED, PICTURES = 100, 400  # of each kind, of what is done today
PLAIN = 20  # of each kind, where there are no scripts
POLICY = (
    "default-src 'none'; script-src SCRIPT 'self' file:; style-src STYLE; img-src 'self' file:; base-uri 'none'; form-action 'none'"
)
HEADINGS = {"held": "Waits for you", "running": "Running", "failed": "Failed", "waiting": "Waiting", "done": "Done today"}


class Page:
    """The page of one spool, from one look to the next."""

    def __init__(self, root: Path) -> None:
        self._root, self._fs = root, Filesystem(root)
        self._finished = FinishedPictures(root, most=PICTURES)
        self._entries = Entries()
        self._written: dict[str, bytes] = {}

    @property
    def is_behind(self) -> bool:
        """Whether there is more to be read at the next look."""
        return self._finished.is_behind

    def write(
        self,
        overview: Overview,
        listed: Mapping[str, First],
        running: Sequence[Running],
        *,
        now: datetime,
        facts: Mapping[str, Any],
    ) -> None:
        """Write what has changed of both files; `facts` is what the daemon says of itself. Raises OSError."""
        told, counts = self._told(overview, listed, running, now)
        self._replace(DATA, data_text({**facts, "counts": counts}, told), _begun(now))
        self._replace(PAGE, page_text(told, counts))

    def data(
        self,
        overview: Overview,
        listed: Mapping[str, First],
        running: Sequence[Running],
        *,
        now: datetime,
        facts: Mapping[str, Any],
    ) -> str:
        """What index.js would say, for those who show it where nobody writes it."""
        told, counts = self._told(overview, listed, running, now)
        return _begun(now) + data_text({**facts, "counts": counts}, told)

    def _told(
        self, overview: Overview, listed: Mapping[str, First], running: Sequence[Running], now: datetime
    ) -> tuple[dict[str, list[Told]], dict[str, int]]:
        """The entries of each kind, and how many there are in all."""
        self._entries.begin()
        with ExitStack() as stack:
            looks = Looks(self._root, stack)
            lying = {kind: self._entries.listed(listed[kind].first, overview, looks) for kind in ("held", "failed", "waiting")}
            runs = self._entries.running(listed["running"].first, running, looks)
            done = self._entries.finished(self._finished.look(now), _by_stem(overview, listed["done"]))
        told = {**lying, "running": runs, "done": done}
        counts = {kind: len(listed[kind].first) + listed[kind].more for kind in told} | {"done": self._finished.count}
        return told, counts

    def _replace(self, name: str, text: str, stamp: str = "") -> None:
        """Write a file where its text has changed, with a stamp before it that has no say in that."""
        digest = hashlib.sha256(text.encode("ascii")).digest()
        if self._written.get(name) != digest:
            atomic_replace(self._fs, self._root / name, (stamp + text).encode("ascii"))
            self._written[name] = digest


def _begun(now: datetime) -> str:
    """How index.js begins: with the time, which alone makes no other of it."""
    return f'tiffsdPage("{now.isoformat(timespec="seconds")}"'


def _by_stem(overview: Overview, used: First) -> dict[str, Wording]:
    """What the latest latents of a stem have said that were used: the recipe of a picture that cannot be read for it."""
    said = {stem_of(entry.name): overview.said_of(entry)[1] for entry in used.first if is_latents(entry.name)}
    return {stem: wording for stem, wording in said.items() if wording.prompt}


def data_text(facts: Mapping[str, Any], told: Mapping[str, Sequence[Told]]) -> str:
    """What index.js says behind the time, in ASCII."""
    entries = ",".join(f'"{kind}":[{",".join(one.text for one in told[kind])}]' for kind in HEADINGS)
    return f',{json.dumps(facts)[:-1]},"entries":{{{entries}}}}});\n'


def page_text(told: Mapping[str, Sequence[Told]], counts: Mapping[str, int]) -> str:
    """The page in ASCII, with a plain list for those without scripts."""
    before, after = frame(POLICY)
    return before + _escaped("".join(_plain(kind, told[kind], counts[kind]) for kind in HEADINGS)) + after


@cache
def frame(policy: str, head: str = "") -> tuple[str, str]:
    """The page before and behind its plain list: with what it may do, in which STYLE and SCRIPT stand for its own, and more of a
    head."""
    style, script = (resource(f"jobs/page/page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    whole = resource("jobs/page/page.html").read_text("utf-8")
    may = policy.replace("STYLE", _hash(style)).replace("SCRIPT", _hash(script))
    for gap, text in {"POLICY": may, "HEAD": head, "STYLE": style, "SCRIPT": script}.items():
        whole = whole.replace(f"{{{{{gap}}}}}", text)
    before, _, after = whole.partition("{{LIST}}")
    return before, after


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _plain(kind: str, told: Sequence[Told], count: int) -> str:
    items = "".join(_item(one.entry) for one in told[:PLAIN])
    more = f"<p>and {count - PLAIN} more</p>" if count > PLAIN else ""
    return f"<h2>{HEADINGS[kind]}: {count}</h2>" + (f"<ul>{items}</ul>{more}" if items else "")


def _item(entry: Entry) -> str:
    target = entry.get("link") or entry["picture"]
    name = f'<a href="{html.escape(target)}">{html.escape(entry["name"])}</a>'
    # What runs says more with each step, and this page is written seldom.
    keys = ("stage", "prompt", "command") if entry["kind"] == "running" else ("stage", "prompt", "reason", "command")
    return f"<li>{name} {html.escape(' · '.join(entry[key] for key in keys if key in entry))}</li>"


def _escaped(text: str) -> str:
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
