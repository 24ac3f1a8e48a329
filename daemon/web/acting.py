"""What the buttons of the page do: what a person does at the folders, by the same functions as the commands."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemon.beneath import Beneath
from daemon.errors import DaemonError, NotThere
from daemon.jobs import acts, priorities
from daemon.layout import FAILED, HOLD, INBOX, RUNNING
from daemon.names import shown
from daemon.stages import STAGES
from daemon.web.asked import as_json, object_in, place_named, place_of

FOLDERS = frozenset(stage.folder for stage in STAGES.values())
# Where that must lie which an act is about.
PLACES = {
    "release": (HOLD,),
    "apply": (HOLD,),
    "retry": (FAILED,),
    "cancel": (RUNNING,),
    "hold": (INBOX,),
    "restore": (HOLD, FAILED),
    "prioritise": (INBOX, HOLD),
}


def routes(root: Path) -> list[Route]:
    """Where acts are asked for."""

    async def act(request: Request) -> Response:
        said = await object_in(request)
        return as_json({"said": await run_in_threadpool(done, root, said)})

    return [Route("/acts", act, methods=["POST"])]


def done(root: Path, said: Mapping[str, Any]) -> str:
    """Do what was asked for; the sentence that says so."""
    name = said.get("act")
    if not isinstance(name, str) or name not in {**PLACES, **acts.ON_STAGES}:
        raise DaemonError(f"there is no such act; there are: {', '.join([*PLACES, *acts.ON_STAGES])}")
    if name in acts.ON_STAGES:
        sentence = acts.ON_STAGES[name](root, str(said.get("stage"))[:40])
    elif name == "prioritise":
        sentence = priorities.prioritise(root, _place(root, name, said), said.get("priority"))
    else:
        sentence = _ON_FILES[name](root, _place(root, name, said))
    return shortened(root, sentence)


def shortened(root: Path, sentence: str) -> str:
    """A sentence without the place of the spool, which is nobody's concern at the page."""
    return shown(sentence.replace(f"{root}/", ""))


def _place(root: Path, act: str, said: Mapping[str, Any]) -> Path:
    """What an act is about: by its `path` as it is shown, or by its `link`, byte for byte. Raises NotThere."""
    link, path = said.get("link"), said.get("path")
    if isinstance(link, str):
        place = place_of(root, link.split("?")[0].removesuffix("/"))
    elif isinstance(path, str):
        place = place_named(root, path.removesuffix("/"))
    else:
        raise DaemonError("an act is about a path, or a stage")
    kind, *inside = place.parts[len(root.parts) :]
    if kind not in PLACES[act] or len(inside) != _depth(act, kind) or (kind != RUNNING and inside[0] not in FOLDERS):
        raise NotThere(f"{act} is for what lies in {' or '.join(PLACES[act])}")
    if not Beneath(root).lexists(place):
        raise NotThere(f"{place} is not there any more")
    return place


def _depth(act: str, kind: str) -> int:
    """How deep that lies which an act is about: originals are asked for by the name of a file, also of one in a failed job."""
    return 1 if kind == RUNNING else 3 if kind == FAILED and act == "restore" else 2


def _retry(root: Path, path: Path) -> str:
    return "; ".join(acts.retry(root, path)) or f"there was nothing in {path} to be tried again"


_ON_FILES: Mapping[str, Callable[[Path, Path], str]] = {
    "release": acts.release,
    "apply": acts.apply,
    "hold": acts.hold,
    "retry": _retry,
    "cancel": lambda root, path: acts.cancel(root, path.name),
    "restore": lambda root, path: acts.restore(root, path.name),
}
