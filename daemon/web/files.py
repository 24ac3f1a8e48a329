"""The files of the spool, and those of the page: opened in the one way, and sent so that none is taken for a page of ours."""

import html
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path, PurePath
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from daemon.beneath import Beneath
from daemon.errors import NotThere
from daemon.inbox.arrivals import is_private_elsewhere
from daemon.layout import DONE, EMBEDDINGS, FAILED, HOLD, INBOX, PICTURES, PREVIEWS, RUNNING, STEPS
from daemon.names import shown
from daemon.settings.resources import resource
from daemon.web.asked import place_of

SHOWN = (PICTURES, PREVIEWS, HOLD, INBOX, FAILED, RUNNING, STEPS, EMBEDDINGS, DONE)
KINDS = {
    **{".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"},
    **dict.fromkeys((".txt", ".md", ".json", ".yaml", ".yml"), "text/plain; charset=utf-8"),
}
OF_PAGE = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
OTHER = "application/octet-stream"
SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"
CHUNK_BYTES = 256 * 1024
# The link to a picture says by a number which version is meant, and is another one whenever the picture is.
KEPT, ASKED_AGAIN = "private, max-age=31536000, immutable", "private, no-cache"


class _Whole(Convertor[str]):
    """The rest of an address, line breaks too: a name may hold them."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Override: as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Override: as it is."""
        return value


register_url_convertor("whole", _Whole())


class OpenFile(Response):
    """Sends a file that is open, and closes it."""

    def __init__(self, file: BinaryIO, size: int, headers: dict[str, str], media_type: str) -> None:
        super().__init__(None, headers=headers, media_type=media_type)
        self.headers["content-length"] = str(size)
        self._file, self._size = file, size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send as much as there was when it was opened: it may grow meanwhile."""
        del receive
        with self._file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            left = 0 if scope["method"] == "HEAD" else self._size
            while left > 0 and (part := await run_in_threadpool(self._file.read, min(left, CHUNK_BYTES))):
                left -= len(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def routes(root: Path) -> list[Route]:
    """What people may look at in a spool, and what the page is made of."""
    return [*(Route(f"/{kind}/{{path:whole}}", _spool_file(root)) for kind in SHOWN), Route("/web/{name:whole}", _page_file)]


def _spool_file(root: Path) -> Callable[[Request], Response]:
    beneath = Beneath(root)

    def answer(request: Request) -> Response:
        quoted = request.scope["raw_path"].decode("ascii").lstrip("/")
        path = place_of(root, quoted.removesuffix("/"))
        if quoted.endswith("/"):
            return _listing(beneath, path)
        return _sent(beneath, path, kept=bool(request.url.query))

    return answer


def _sent(beneath: Beneath, path: Path, *, kept: bool) -> Response:
    file = beneath.plain(path)
    found = os.fstat(file.fileno())
    if is_private_elsewhere(found.st_mode, found.st_nlink):
        file.close()
        raise NotThere(f"{shown(path.name)} has another name elsewhere, and not everybody may read it")
    kind = KINDS.get(path.suffix.lower(), OTHER)
    headers = {"Content-Security-Policy": SANDBOX, "Cache-Control": KEPT if kept and kind.startswith("image/") else ASKED_AGAIN}
    if kind == OTHER:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(os.fsencode(path.name), safe='')}"
    return OpenFile(file, found.st_size, headers, kind)


def _listing(beneath: Beneath, folder: Path) -> Response:
    """The names in a folder of the spool, as plain links."""
    with beneath.folder(folder, os.O_RDONLY) as descriptor:
        names = sorted(name for name in os.listdir(descriptor) if not name.startswith("."))
        lines = "".join(_line(name, _is_folder(name, descriptor)) for name in names)
    where = html.escape(shown(str(PurePath(*folder.parts[len(beneath.root.parts) :]))))
    title = f"<!doctype html><html lang=en><meta charset=utf-8><title>{where}</title><h1>{where}</h1>"
    return HTMLResponse(f"{title}<ul>{lines}</ul>".encode("utf-8", "replace"))


def _line(name: str, is_folder: bool) -> str:
    slash = "/" if is_folder else ""
    # With ./ before it no name is taken for a scheme.
    return f'<li><a href="./{quote(os.fsencode(name))}{slash}">{html.escape(shown(name))}{slash}</a>'


def _is_folder(name: str, descriptor: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
    except OSError:  # gone meanwhile
        return False


def _page_file(request: Request) -> Response:
    """A module or a stylesheet of the page."""
    name = request.path_params["name"]
    if name not in _page_files():
        raise NotThere(f"the page has no file {shown(name)}")
    return Response(resource(f"web/static/{name}").read_bytes(), headers={"Cache-Control": ASKED_AGAIN}, media_type=_kind(name))


@cache
def _page_files() -> frozenset[str]:
    home = resource("web/static")
    found = (path for path in home.rglob("*") if path.is_file())
    return frozenset(path.relative_to(home).as_posix() for path in found)


def _kind(name: str) -> str:
    return OF_PAGE.get(PurePath(name).suffix, OTHER)
