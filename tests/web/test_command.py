"""`tiffsd web` as people and systemd start it: what it says and to whom, where the token lies, and how it ends."""

import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from daemon.cli import app
from daemon.errors import ConfigError
from daemon.extras import packages_of
from daemon.setup.obstacles import told_of_page
from daemon.web.token import token_in, usual_token_file
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon
from tests.web.asking import Site

SAID = re.compile(r"serving http://(\S+):(\d+)/; its token lies in (\S+), and ")
BLOCKED = "import sys; sys.modules.update(dict.fromkeys({}, None)); from daemon.cli import main; sys.argv[0] = 'tiffsd'; main()"


class RunningPage:
    """A process of `tiffsd web` on a free port."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        words = [sys.executable, "-m", "daemon", "web", "--port", "0", *options]
        surroundings = {key: value for key, value in os.environ.items() if key not in ("STATE_DIRECTORY", "NOTIFY_SOCKET")}
        given = {"XDG_STATE_HOME": str(folder / "state"), **environment}
        with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
            self.process = subprocess.Popen(words, cwd=folder, env={**surroundings, **given}, stdout=out, stderr=err)
        wait_until(lambda: SAID.search(self.out()) or self.process.poll() is not None, what="what it says at its start")
        found = SAID.search(self.out())
        assert found is not None, self.out() + self.err()
        self.host, self.port, self.token_file = found[1], int(found[2]), Path(found[3])

    @property
    def site(self) -> Site:
        return Site(self.folder / "spool", self.port, token=self.token_file.read_text().strip())

    def out(self) -> str:
        return (self.folder / "out.txt").read_text()

    def err(self) -> str:
        return (self.folder / "err.txt").read_text()

    def end(self, sign: int = signal.SIGTERM) -> tuple[int, float]:
        """Its exit code, and after how many seconds it came."""
        begun = time.monotonic()
        self.process.send_signal(sign)
        return self.process.wait(30), time.monotonic() - begun


@contextmanager
def running(folder: Path, *options: str, **environment: str) -> Iterator[RunningPage]:
    CliRunner().invoke(app, ["init", str(folder)], catch_exceptions=False)
    page = RunningPage(folder, *options, **environment)
    try:
        yield page
    finally:
        if page.process.poll() is None:
            page.process.kill()
            page.process.wait(30)


def test_it_serves_the_page_and_never_says_the_token_where_it_may_be_kept(tmp_path: Path) -> None:
    with running(tmp_path) as page:
        assert page.host == "127.0.0.1"
        assert page.token_file == tmp_path / "state/tiffsd/web-token"
        assert [stat.S_IMODE(path.stat().st_mode) for path in (page.token_file, page.token_file.parent)] == [0o600, 0o700]
        assert page.site.get("/").code == 200
        assert page.site.get("/?token=wrong").code == 401
        assert page.end()[0] == 0
        said = page.out() + page.err()
        assert page.site.token not in said
        assert page.err() == ""


def test_on_a_terminal_it_says_the_address_that_opens_the_page(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["init", str(tmp_path)], catch_exceptions=False)
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "daemon", "web", "--port", "0", "--token-file", str(tmp_path / "token")]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    said = b""
    with suppress(OSError):
        while b"\n" not in said:
            said += os.read(ours, 1000)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    os.close(ours)
    token = (tmp_path / "token").read_text().strip()
    assert re.search(rf"http://127\.0\.0\.1:\d+/\?token={re.escape(token)}", said.decode()), err


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_while_pages_listen(tmp_path: Path, sign: int) -> None:
    with running(tmp_path) as page:
        links = [socket.create_connection(("127.0.0.1", page.port), timeout=30) for _ in range(3)]
        for link in links:
            link.sendall(f"GET /events HTTP/1.1\r\nHost: {page.site.host}\r\nCookie: {page.site.cookie}\r\n\r\n".encode())
            assert b"200 OK" in link.recv(4096)
        code, seconds = page.end(sign)
        for link in links:
            link.close()
        assert code == 0
        assert seconds < 3
        assert page.err() == ""


def test_it_tells_systemd_when_it_answers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listens:
        listens.bind(str(tmp_path / "notify"))
        listens.settimeout(30)
        with running(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), STATE_DIRECTORY=str(tmp_path / "own")) as page:
            assert listens.recv(100) == b"READY=1"
            assert page.token_file == tmp_path / "own/web-token"


def test_who_listens_on_the_network_is_told_that_nothing_is_encrypted(tmp_path: Path) -> None:
    with running(tmp_path, "--host", "0.0.0.0", "--name", "studio.lan") as page:
        assert "nothing on the way is encrypted" in page.err()
        assert page.site.raw("GET", "/", {"Host": "studio.lan", "Cookie": page.site.cookie}).code == 200
        assert page.site.raw("GET", "/", {"Host": "evil.example", "Cookie": page.site.cookie}).code == 421


def test_it_speaks_ip_version_6(tmp_path: Path) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists() or not Path("/proc/net/if_inet6").read_text():
        pytest.skip("this machine has no IPv6")
    with running(tmp_path, "--host", "::1") as page:
        assert page.host == "[::1]"
        with socket.create_connection(("::1", page.port), timeout=30) as link:
            link.sendall(f"GET /?token={page.site.token} HTTP/1.1\r\nHost: [::1]:{page.port}\r\n\r\n".encode())
            assert b" 303 " in link.recv(4096)


def test_without_a_spool_it_says_so_and_serves(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("spool: elsewhere\n")
    page = RunningPage(tmp_path)
    try:
        assert "There is no spool at" in page.err()
        assert b"There is no spool" in page.site.get("/index.js").body
    finally:
        page.end()


def failing(folder: Path, *words: str) -> tuple[int, str]:
    (folder / "config.yaml").touch()
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    found = subprocess.run(
        [sys.executable, "-m", "daemon", "web", *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    return found.returncode, found.stderr


def test_what_it_cannot_listen_on_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = failing(tmp_path, "--port", str(taken.getsockname()[1]))
        assert code == 75
        assert "end the program that does, or choose another by --port" in said
    code, said = failing(tmp_path, "--host", "no.such.host.invalid")
    assert code == 2
    assert "is no address of this machine to listen on" in said
    assert len(said.splitlines()) == 1


# --- the token


def test_the_token_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "a/b/token"
    token = token_in(path)
    assert token_in(path) == token
    assert len(token) >= 32
    assert token_in(tmp_path / "other") != token
    assert [found.name for found in path.parent.iterdir()] == ["token"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620])
def test_a_token_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    token_in(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        token_in(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"a token with spaces", b"\xff" * 40, b"x" * 5000])
def test_what_is_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="holds no token"):
        token_in(path)


def test_a_folder_in_place_of_the_token_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read or made"):
        token_in(tmp_path)


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, "/home/me/.local/state/tiffsd/web-token"),
        ({"XDG_STATE_HOME": "/state"}, "/state/tiffsd/web-token"),
        ({"XDG_STATE_HOME": "relative"}, "/home/me/.local/state/tiffsd/web-token"),
        ({"STATE_DIRECTORY": "/var/lib/tiffsd-web", "XDG_STATE_HOME": "/state"}, "/var/lib/tiffsd-web/web-token"),
        ({"STATE_DIRECTORY": "/a:/b"}, "/a/web-token"),
    ],
)
def test_the_token_lies_where_programs_keep_what_is_theirs(environment: dict[str, str], place: str) -> None:
    assert usual_token_file(environment, Path("/home/me")) == Path(place)


# --- without what it needs


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_its_libraries_it_says_what_to_install(tmp_path: Path, missing: str) -> None:
    (tmp_path / "config.yaml").touch()
    found = subprocess.run(
        [sys.executable, "-c", BLOCKED.format([missing]), "web"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 2
    # The words of `service install --web`, and the packages of `doctor`: there may be no index that knows tiffsd.
    assert found.stderr == f"tiffsd: {told_of_page()}\n"
    assert all(package in found.stderr for package in packages_of("web"))


@pytest.mark.parametrize("words", [["--help"], ["web", "--help"], ["run", "--help"], ["status"], ["list"], ["settings"], ["pause"]])
def test_no_other_command_imports_anything_of_it(tmp_path: Path, words: Sequence[str]) -> None:
    CliRunner().invoke(app, ["init", str(tmp_path)], catch_exceptions=False)
    program = (
        "import sys, atexit; atexit.register(lambda: print('LOADED', *sys.modules, file=sys.stderr));"
        "from daemon.cli import main; sys.argv[0] = 'tiffsd'; main()"
    )
    found = subprocess.run([sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    loaded = found.stderr.partition("LOADED ")[2].split()
    assert "daemon.cli" in loaded
    assert not [name for name in loaded if name.startswith(("daemon.web", "starlette", "uvicorn"))]


def test_a_daemon_imports_nothing_of_it(tmp_path: Path) -> None:
    shadows, home = tmp_path / "shadows", tmp_path / "home"
    for folder in (shadows, home):
        folder.mkdir()
    for name in ("starlette", "uvicorn"):
        (shadows / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\nraise ImportError\n")
    running = RunningDaemon(home)
    running.surroundings = {"PYTHONPATH": f"{shadows}:{os.environ.get('PYTHONPATH', '')}"}
    try:
        running.start()
        running.drop("inbox/1-text", "cat.txt", "a cat")
        running.found("pictures/*.png")
        assert running.stop() == 0
    finally:
        running.close()
    assert not (tmp_path / "imported").exists()
