"""The whole of the server's program: the gate, and behind it the routes; what goes wrong is said in a sentence."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from daemon.beneath import FolderMissing
from daemon.errors import DaemonError, InUse, NotThere
from daemon.machine import advice, is_machines
from daemon.settings.config import read_config
from daemon.web import acting, dropping, events, facts, files, page, painter, prompting
from daemon.web.arriving import Taken
from daemon.web.asked import TooLarge, as_json
from daemon.web.gate import Gate, Keys
from daemon.web.held_files import Changed
from daemon.web.showing import Facts, Showing
from tiffsd.spec import TiffsdError


def new_app(
    root: Path,
    config: Path,
    facts_of: Facts,
    *,
    token: str,
    names: Collection[str],
    is_closing: Callable[[], bool] = lambda: False,
) -> Starlette:
    """The program for one spool, by the names that it may be asked under; `facts_of` tells of a spool without a daemon."""
    keys, read, showing = Keys(token), partial(read_config, config), Showing(root, facts_of)
    routes = [
        *page.routes(showing, keys),
        *files.routes(root),
        *events.routes(showing, is_closing),
        *facts.routes(root, read),
        *acting.routes(root),
        *prompting.routes(root, read),
        *dropping.routes(root, read),
        *painter.routes(root, keys.csrf),
    ]
    sentences: dict[Any, Callable[[Request, Exception], Response]] = {
        HTTPException: _of_http,
        DaemonError: partial(_of_ours, root),
        TiffsdError: partial(_of_ours, root),
        OSError: lambda _request, error: _of_system(root, error),
    }
    app = Starlette(routes=routes, middleware=[Middleware(Gate, keys=keys, names=names)], exception_handlers=sentences)
    # It would redirect to the address that was asked.
    app.router.redirect_slashes = False
    return app


def _of_http(_request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    sentence = {404: "There is nothing at this address.", 405: "That cannot be asked of this address."}.get(
        code, "That went wrong."
    )
    return as_json({"error": sentence}, code)


def _of_ours(root: Path, _request: Request, error: Exception) -> Response:
    codes = {NotThere: 404, TooLarge: 413, Taken: 409, Changed: 409}
    code = next((code for kind, code in codes.items() if isinstance(error, kind)), 400)
    return as_json({"error": acting.shortened(root, str(error))}, code)


def _of_system(root: Path, error: Exception) -> Response:
    if not isinstance(error, OSError):
        raise error
    if isinstance(error, InUse):
        code, sentence = 409, "another program has the file open; try again in a moment"
    elif is_machines(error):
        code, sentence = 507, f"{error.strerror}; {advice(error)}"
    elif isinstance(error, FolderMissing) and error.filename == str(root):
        code, sentence = 503, "the spool is not there"
    elif isinstance(error, PermissionError):
        code, sentence = 403, "this server's user may not do that there"
    else:
        code, sentence = 404, "there is no such file there"
    return as_json({"error": sentence}, code)
