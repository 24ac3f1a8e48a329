"""The painter's page, and what it reads and writes: the proof of what waits as levels, its latents as values, both to the bit.

    GET  /painter?path=hold/STAGE/NAME      the page
    GET  /painter/state?path=               JSON: what lies there now, and what the daemon has made of it
    GET  /painter/picture?path=             H W 3 bytes: the proof, or a finished picture to copy from
    POST /painter/picture?path=&version=    the same, saved in its place
    GET  /painter/latents?path=             C h w float32, little endian
    POST /painter/latents?path=&version=    C h w bytes, 1 where a value was painted, and C h w float32
    GET  /painter/sources?path=             JSON: what of the same size a region may be copied from

Pixels go as raw levels, so that no browser's colour management touches them. `version` names what was painted on: where another
file lies there by now, the answer is 409 and a sentence. Answers name theirs in the headers X-Tiffsd-Version, -Stamp and -Size.
"""

import html
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

import tiffsd
from daemon.errors import InputError
from daemon.names import shown
from daemon.settings.resources import resource
from daemon.web import held_files
from daemon.web.asked import as_json, body, parameter, place_named
from daemon.web.held_files import Latents, Painted, Stored
from daemon.web.painter_sources import sources_of
from daemon.web.painter_state import state_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FRAME = "web/static/painter/painter.html"
BYTES_PER_VALUE = 5  # one that says whether it was painted, and its float32

Answer = Callable[[Request], Awaitable[Response]]


def routes(root: Path, csrf: str) -> list[Route]:
    """The routes of the painter of one spool; `csrf` is the word that its page sends with what it saves."""
    painted = Painted(root)

    def reading(answer: Callable[[Path], Response], allowed: Callable[[Path, Path], Path]) -> Answer:
        async def answered(request: Request) -> Response:
            path = allowed(root, place_named(root, parameter(request, "path")))
            return await run_in_threadpool(answer, path)

        return answered

    def page(path: Path) -> Response:
        frame = resource(FRAME).read_text(encoding="utf-8")
        words = {"CSRF": csrf, "PATH": path.relative_to(root).as_posix(), "NAME": shown(path.name)}
        for key, said in words.items():
            frame = frame.replace(f"{{{{{key}}}}}", html.escape(said))
        return HTMLResponse(frame.encode("utf-8", "replace"), headers={"Content-Security-Policy": POLICY})

    def picture(path: Path) -> Response:
        file, levels = held_files.read_picture(root, held_files.picture_of(path))
        return _raw(levels.tobytes(), file, levels.shape)

    def latents(path: Path) -> Response:
        found = held_files.read_latents(root, path)
        return _raw(found.values.astype("<f4").tobytes(), found.file, found.values.shape)

    async def save_picture(request: Request) -> Response:
        path = held_files.held(root, place_named(root, parameter(request, "path")))
        levels = await body(request, 3 * held_files.MOST_PIXELS)
        file = await run_in_threadpool(painted.picture, path, parameter(request, "version"), levels)
        return as_json({"version": file.version, "stamp": file.stamp})

    async def save_latents(request: Request) -> Response:
        path = held_files.held(root, place_named(root, parameter(request, "path")))
        size = await run_in_threadpool(_size_of_latents, root, path)
        sent = await body(request, BYTES_PER_VALUE * int(np.prod(size)))
        found = await run_in_threadpool(_saved, painted, path, parameter(request, "version"), sent, size)
        return _raw(found.values.astype("<f4").tobytes(), found.file, found.values.shape)

    return [
        Route("/painter", reading(page, held_files.held)),
        Route("/painter/state", _told(root)),
        Route("/painter/picture", reading(picture, held_files.source), methods=["GET"]),
        Route("/painter/picture", save_picture, methods=["POST"]),
        Route("/painter/latents", reading(latents, held_files.source), methods=["GET"]),
        Route("/painter/latents", save_latents, methods=["POST"]),
        Route("/painter/sources", reading(lambda path: as_json({"sources": sources_of(root, path)}), held_files.held)),
    ]


def _told(root: Path) -> Answer:
    async def answered(request: Request) -> Response:
        path = held_files.held(root, place_named(root, parameter(request, "path")))
        return as_json(await run_in_threadpool(state_of, root, path, parameter(request, "id")))

    return answered


def _saved(painted: Painted, path: Path, version: str, sent: bytes, size: tuple[int, ...]) -> Latents:
    count = int(np.prod(size))
    if len(sent) != BYTES_PER_VALUE * count:
        raise InputError(f"{shown(path.name)} has {count} values, and another number was sent; load the page again")
    mask = np.frombuffer(sent, np.uint8, count).reshape(size) != 0
    values = np.frombuffer(sent, "<f4", count, count).reshape(size).astype(np.float32)
    return painted.latents(path, version, mask, values)


def _size_of_latents(root: Path, path: Path) -> tuple[int, ...]:
    with held_files.opened(root, path) as file:
        header = tiffsd.inspect(file, name=path.name)
    if header.kind is not tiffsd.Kind.LATENTS or not header.size:
        raise InputError(f"{shown(path.name)} holds no latents")
    return header.size


def _raw(content: bytes, file: Stored, size: tuple[int, ...]) -> Response:
    headers = {
        "X-Tiffsd-Version": file.version,
        "X-Tiffsd-Stamp": file.stamp,
        "X-Tiffsd-Size": ",".join(map(str, size)),
        "Cache-Control": "no-store",
    }
    return Response(content, headers=headers, media_type="application/octet-stream")
