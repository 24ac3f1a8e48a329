"""The page as it is served: the one that the daemon writes, with what makes it act, and the data that it shows."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from daemon.jobs.page.page import DATA, frame
from daemon.web.gate import Keys
from daemon.web.showing import Showing

POLICY = (
    "default-src 'none'; script-src SCRIPT 'self'; style-src STYLE 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
# A policy in a page cannot say this.
IN_NO_FRAME = "frame-ancestors 'none'"


def routes(showing: Showing, keys: Keys) -> list[Route]:
    """The page, and what it shows."""

    def page(_request: Request) -> Response:
        return HTMLResponse(page_text(keys), headers={"Content-Security-Policy": IN_NO_FRAME})

    def data(_request: Request) -> Response:
        return Response(showing.data(), headers={"Content-Type": "text/javascript; charset=utf-8"})

    return [Route("/", page), Route(f"/{DATA}", data)]


def page_text(keys: Keys) -> str:
    """The page with the word that lets it act, which is hexadecimal digits."""
    head = (
        f'\n<meta name="csrf" content="{keys.csrf}">\n'
        '<link rel="icon" href="web/icon.svg">\n<link rel="stylesheet" href="web/web.css">\n'
        '<script type="module" src="web/app.js"></script>'
    )
    before, after = frame(POLICY, head)
    # Without a referrer browsers send no origin either, by which we know our own page.
    return before.replace('content="no-referrer"', 'content="same-origin"') + after
