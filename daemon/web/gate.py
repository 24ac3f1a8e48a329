"""Who gets in: the address asked must be ours, the cookie right, and what changes anything must come from our own page.

A page of another site cannot read what we answer, but it can make a browser ask us, and a name of its own may lead here (DNS
rebinding). So the Host must be one that is allowed, the cookie is not sent for other sites, and a POST needs a word that only our
page knows, and our own address as its origin.
"""

import hashlib
import hmac
import re
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.web.asked import as_json

COOKIE, CSRF_HEADER = "tiffsd_web", "x-tiffsd-csrf"
READING = ("GET", "HEAD")
HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}
NO_TOKEN = "This page needs its token: open the address that `tiffsd web` has said, or see the file it named."
NOT_OUR_HOST = "That is not an address of this server; `tiffsd web --name` allows another name."


class Keys:
    """What opens the gate, all made from the token: it is said once, and then the cookie says that it was."""

    def __init__(self, token: str) -> None:
        self._token = token
        self.cookie, self.csrf = self._derived("cookie"), self._derived("csrf")

    def is_token(self, said: str) -> bool:
        """Whether this is the token."""
        return _same(said, self._token)

    def is_cookie(self, said: str) -> bool:
        """Whether this is what the cookie must say."""
        return _same(said, self.cookie)

    def is_csrf(self, said: str) -> bool:
        """Whether this is the word that our page knows."""
        return _same(said, self.csrf)

    def _derived(self, purpose: str) -> str:
        return hmac.new(self._token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


class Gate:
    """Stands before all routes. `names` are the host names by which the server may be asked, in small letters."""

    def __init__(self, app: ASGIApp, *, keys: Keys, names: Collection[str]) -> None:
        self._app, self._keys, self._names = app, keys, frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            return
        answer = self._refusal(Request(scope)) or self._app
        await answer(scope, receive, _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        hosts = request.headers.getlist("host")
        found = HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None or not self._is_ours(found["name"].lower(), request):
            return PlainTextResponse(NOT_OUR_HOST, 421)
        if request.method == "GET" and request.url.path == "/" and "token" in request.query_params:
            return self._introduced(request)
        if not self._keys.is_cookie(request.cookies.get(COOKIE, "")):
            return PlainTextResponse(NO_TOKEN, 401)
        if request.method not in READING and not self._is_of_our_page(request, hosts[0]):
            return as_json({"error": "That did not come from this page; load it again."}, 403)
        return None

    def _is_ours(self, name: str, request: Request) -> bool:
        # The address itself that was reached is no name that somebody could have let lead here.
        reached = request.scope.get("server") or ("",)
        return name in self._names or name.strip("[]") == reached[0]

    def _introduced(self, request: Request) -> Response:
        if not self._keys.is_token(request.query_params["token"]):
            return PlainTextResponse(NO_TOKEN, 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, self._keys.cookie, path="/", httponly=True, samesite="strict", max_age=400 * 24 * 3600)
        return answer

    def _is_of_our_page(self, request: Request, host: str) -> bool:
        # By https only where something before us speaks it; then too the name is the one that was asked.
        origins = {f"http://{host}".lower(), f"https://{host}".lower()}
        said = request.headers.getlist("origin")
        return len(said) == 1 and said[0].lower() in origins and self._keys.is_csrf(request.headers.get(CSRF_HEADER, ""))


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


def _same(said: str, expected: str) -> bool:
    return hmac.compare_digest(said.encode("utf-8", "surrogatepass"), expected.encode())
