"""The page with a server, under systemd: a user of its own in the group, who does what a member does, and no more."""

import shlex

import pytest

from daemon.layout import PRIVATE
from tests.conftest import wait_until
from tests.system.installed import SPOOL, Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

SET_UP = "/opt/tiffsd/bin/tiffsd service install --web --yes"
TOKEN = "/var/lib/tiffsd-web/web-token"
# A browser, as far as the gate can tell: the cookie for the token, the word of the page, its own origin.
CLIENT = """
import http.cookiejar, json, re, sys, urllib.request
where, token = "http://127.0.0.1:7860", open("{token}").read().strip()
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
page = browser.open(where + "/?token=" + token).read().decode()
csrf = re.search('name="csrf" content="([0-9a-f]+)"', page)[1]
for path, said in json.loads(sys.argv[1]):
    head = {{"X-Tiffsd-Csrf": csrf, "Origin": where, "Content-Type": "application/json"}}
    asked = urllib.request.Request(where + path, json.dumps(said).encode(), head) if said is not None else where + path
    print(browser.open(asked).read().decode(errors="replace"))
"""


@pytest.fixture
def web(service: Installed) -> Installed:
    service.box.sh(SET_UP)
    wait_until(lambda: property_of(service, "ActiveState") == "active", what="the page is served")
    return service


def property_of(installed: Installed, name: str) -> str:
    return installed.box.run("systemctl", "show", "tiffsd-web", "--value", "--property", name).stdout.strip()


def asked(installed: Installed, requests: str) -> str:
    script = CLIENT.format(token=TOKEN)
    return installed.box.sh(f"/opt/tiffsd/bin/python -c {shlex.quote(script)} {shlex.quote(requests)}")


def test_a_prompt_on_the_page_becomes_a_picture_and_what_waits_goes_on(web: Installed) -> None:
    said = asked(web, '[["/prompts", {"name": "seen", "prompt": "a red house", "settings": {"hold": "diffuse"}}]]')
    assert "inbox/1-text/seen.txt" in said
    (held,) = web.found("hold/2-diffuse/seen.*.tiff")
    released = asked(web, f'[["/acts", {{"act": "release", "path": "hold/2-diffuse/{held.name}"}}]]')
    assert "released" in released
    web.found("pictures/seen.*.png")
    # What it dropped is the group's, for others to move on.
    (used,) = web.spool.glob("done/*/seen.txt")
    assert used.stat().st_gid == web.spool.stat().st_gid


def test_its_user_is_a_member_and_not_the_daemon(web: Installed) -> None:
    pid = property_of(web, "MainPID")
    user, group = web.box.sh(f"ps -o user:20=,group:20= -p {pid}").split()
    assert (user, group) == ("tiffsd-web", "tiffsd")
    assert web.box.sh(f"stat -c '%U %a' {TOKEN}").split() == ["tiffsd-web", "600"]
    as_it = ("setpriv", "--reuid", "tiffsd-web", "--regid", "tiffsd", "--clear-groups", "ls")
    seen = {place: web.box.run(*as_it, f"{SPOOL}/{place}", check=False).returncode == 0 for place in ("pictures", *PRIVATE)}
    assert seen == {"pictures": True, **dict.fromkeys(PRIVATE, False)}
    token = web.box.path(TOKEN).read_text().strip()
    assert token not in web.box.run("journalctl", "--unit=tiffsd-web").stdout


def test_it_ends_and_begins_without_the_daemon(web: Installed) -> None:
    web.control("stop")
    assert '"alive": false' in asked(web, '[["/index.js", null]]')
    web.box.run("systemctl", "stop", "tiffsd-web")
    assert property_of(web, "Result") == "success"
