"""Who has no token, no cookie, another Host or another origin gets nothing, of whatever route there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from daemon.commands.web import _facts
from daemon.web.app import new_app
from daemon.web.serving import allowed_names
from tests.web.asking import TOKEN, Answer, Site, serving

SAMPLES = {"path": "pictures/cat.png", "stage": "text", "name": "app.js"}


def all_routes() -> list[tuple[str, str]]:
    """Each method and address of the program, so that none that is new can be forgotten."""
    app = new_app(Path("/nowhere"), Path("/nowhere.yaml"), _facts, token=TOKEN, names=())
    found = []
    for route in app.routes:
        assert isinstance(route, Route), "what is mounted must be looked into here, too"
        path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda gap: SAMPLES[gap[1]], route.path)
        found += [(method, path) for method in sorted(route.methods or ())]
    return found


ROUTES = all_routes()
POSTS = [path for method, path in ROUTES if method == "POST"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("gate"), names=("studio.lan",)) as found:
        (found.root / "pictures/cat.png").write_bytes(b"a secret picture")
        yield found


def gives_nothing(answer: Answer) -> bool:
    """Whether an answer is one plain sentence, and no cookie."""
    return (
        b"secret" not in answer.body and b"{" not in answer.body and "set-cookie" not in answer.headers and len(answer.body) < 200
    )


def test_there_are_routes_to_ask() -> None:
    assert {"/", "/index.js", "/events", "/facts", "/acts", "/prompts", "/drops/text", "/web/app.js"} <= {
        path for _, path in ROUTES
    }
    assert POSTS


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("cookie", [None, "", "tiffsd_web=", "tiffsd_web=0", f"tiffsd_web={TOKEN}", f"other={TOKEN}", "\xff;;="])
def test_without_the_cookie_there_is_nothing(site: Site, method: str, path: str, cookie: str | None) -> None:
    headers = {**site.allowed(), "Cookie": cookie}
    answer = site.raw(method, path, {name: value for name, value in headers.items() if value is not None}, b"{}")
    assert answer.code == 401
    assert gives_nothing(answer)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "127.0.0.1.evil.example", "localhost.", "a@localhost", "", "[::2]"]
)
def test_under_another_name_there_is_nothing(site: Site, method: str, path: str, host: str) -> None:
    said = host.replace("PORT", str(site.port))
    headers = {**site.allowed(), "Host": said, "Origin": f"http://{said}"}
    answer = site.raw(method, path, headers, b"{}")
    assert answer.code == 421
    assert gives_nothing(answer)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("csrf", [None, "", "0", TOKEN])
def test_without_the_word_of_the_page_nothing_is_changed(site: Site, path: str, csrf: str | None) -> None:
    headers = {**site.allowed(), "X-Tiffsd-Csrf": csrf}
    answer = site.raw("POST", path, {name: value for name, value in headers.items() if value is not None}, b"{}")
    assert answer.code == 403
    assert "error" in answer.said


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "origin", [None, "", "null", "http://evil.example", "http://localhost:1", "http://HOST.evil.example", "HOST"]
)
def test_from_another_origin_nothing_is_changed(site: Site, path: str, origin: str | None) -> None:
    headers = site.allowed()
    del headers["Origin"]
    if origin is not None:
        headers["Origin"] = origin.replace("HOST", site.host)
    assert site.raw("POST", path, headers, b"{}").code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_no_way_round(site: Site, method: str) -> None:
    assert site.raw(method, "/acts", {"Cookie": site.cookie}, b"{}").code == 403
    assert site.raw(method, "/pictures/cat.png", {}).code == 401


@pytest.mark.parametrize("token", ["", "0", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), "%00", "%ff", "%F0%9F%98%80"])
def test_a_wrong_token_brings_no_cookie(site: Site, token: str) -> None:
    answer = site.raw("GET", f"/?token={token}", {})
    assert answer.code == 401
    assert gives_nothing(answer)


def test_a_wrong_token_is_wrong_also_for_who_is_in(site: Site) -> None:
    assert site.get("/?token=wrong").code == 401


def test_the_token_counts_for_the_page_alone(site: Site) -> None:
    for method, path in ROUTES:
        if path != "/":
            assert site.raw(method, f"{path}?token={TOKEN}", {}, b"{}").code == 401


def test_the_cookie_is_for_this_site_and_for_no_script(site: Site) -> None:
    said = site.raw("GET", f"/?token={TOKEN}", {}).headers["set-cookie"]
    assert TOKEN not in said
    assert {"httponly", "path=/", "samesite=strict"} <= {part.strip().lower() for part in said.split(";")}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "studio.lan"])
def test_it_may_be_asked_by_its_names_at_whatever_port_leads_there(site: Site, name: str) -> None:
    host = f"{name}:9000"
    assert site.raw("GET", "/", {"Host": host, "Cookie": site.cookie}).code == 200
    answer = site.raw("POST", "/acts", {**site.allowed(), "Host": host, "Origin": f"http://{host.lower()}"}, b"{}")
    assert answer.code == 400
    assert "no such act" in answer.error


def test_what_speaks_https_before_it_has_the_same_name(site: Site) -> None:
    headers = {**site.allowed(), "Host": "studio.lan", "Origin": "https://studio.lan"}
    assert site.raw("POST", "/acts", headers, b"{}").code == 400


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_answer_forbids_browsers_what_they_need_not_do(site: Site, method: str, path: str) -> None:
    if path == "/events":
        return
    headers = site.raw(method, path, site.allowed(), b"{}" if method == "POST" else None).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_no_name_is_allowed_for_all_addresses_but_those_of_this_machine() -> None:
    assert allowed_names("0.0.0.0", ["Studio.lan"]) == {"localhost", "127.0.0.1", "[::1]", "studio.lan"}
    assert "[fe80::1]" in allowed_names("fe80::1", ())


def test_the_address_that_was_reached_is_ours(tmp_path: Path) -> None:
    with serving(tmp_path, host="0.0.0.0") as site:
        assert site.raw("GET", "/", {"Host": "127.0.0.1", "Cookie": site.cookie}).code == 200
        assert site.raw("GET", "/", {"Host": "10.0.0.1", "Cookie": site.cookie}).code == 421


def test_two_hosts_are_none(site: Site) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as link:
        link.sendall(f"GET / HTTP/1.1\r\nHost: {site.host}\r\nHost: evil.example\r\nCookie: {site.cookie}\r\n\r\n".encode())
        assert int(link.recv(100).split()[1]) in (400, 421)
