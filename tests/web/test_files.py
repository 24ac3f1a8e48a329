"""What lies in the spool is sent as what it is, and as nothing else; what is hidden or leads elsewhere is not there."""

import json
import os
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.web.asking import Site

SECRET = b"a secret"
HOSTILE = [
    "<img src=x onerror=alert(1)>.txt",
    "a\nb\x1b[31m.txt",
    "\u202egnp.txt",
    "caf\udce9.txt",
    "a?b#c%2e%2f.txt",
    "'\"&;.txt",
    "😀 .txt",
    "-rf.txt",
    "javascript:alert(1).txt",
]


def quoted(name: str) -> str:
    return quote(os.fsencode(name), safe="")


@pytest.mark.parametrize(
    ("name", "kind", "attached"),
    [
        ("cat.png", "image/png", False),
        ("cat.JPG", "image/jpeg", False),
        ("cat.jpeg", "image/jpeg", False),
        ("cat.webp", "image/webp", False),
        ("cat.txt", "text/plain; charset=utf-8", False),
        ("cat.json", "text/plain; charset=utf-8", False),
        ("cat.yaml", "text/plain; charset=utf-8", False),
        ("cat.tiff", "application/octet-stream", True),
        ("cat.svg", "application/octet-stream", True),
        ("cat.html", "application/octet-stream", True),
        ("cat", "application/octet-stream", True),
    ],
)
def test_a_file_is_sent_as_what_it_is_and_runs_nothing(site: Site, name: str, kind: str, attached: bool) -> None:
    (site.root / "hold/2-diffuse" / name).write_bytes(b"<script>alert(1)</script>" * 100)
    answer = site.get(f"/hold/2-diffuse/{name}?1a2b")
    assert (answer.code, answer.body) == (200, b"<script>alert(1)</script>" * 100)
    assert answer.headers["content-type"] == kind
    assert ("attachment" in answer.headers.get("content-disposition", "")) == attached
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_file_is_called_it_is_found_by_its_link(site: Site, name: str) -> None:
    (site.root / "inbox/1-text" / name).write_bytes(b"words")
    assert site.get(f"/inbox/1-text/{quoted(name)}").body == b"words"


def test_a_listing_shows_names_as_text(site: Site) -> None:
    folder = site.root / "failed/1-text/cat.3f9a1c2e"
    folder.mkdir()
    for name in (*HOSTILE, ".hidden"):
        (folder / name).write_bytes(b"words")
    (folder / "results").mkdir()
    answer = site.get("/failed/1-text/cat.3f9a1c2e/")
    assert answer.code == 200
    text = answer.body.decode()
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "hidden" not in text
    assert 'href="./results/"' in text
    for name in HOSTILE:
        assert f'href="./{quote(os.fsencode(name))}"' in text
        assert site.get(f"/failed/1-text/cat.3f9a1c2e/{quote(os.fsencode(name))}").body == b"words"


@pytest.mark.parametrize(
    "path",
    [
        "/.work/secret.txt",
        "/.keep/secret.txt",
        "/.trash/secret.txt",
        "/.lock",
        "/status.json",
        "/index.html",
        "/config.yaml",
        "/hold/../.keep/secret.txt",
        "/hold/%2e%2e/.keep/secret.txt",
        "/hold/..%2f.keep%2fsecret.txt",
        "/hold/x%2f..%2f..%2f.keep%2fsecret.txt",
        "/hold/2-diffuse%2f.secret.txt.part",
        "/hold/2-diffuse/..%2f..%2f.keep%2fsecret.txt",
        "/hold/2-diffuse/%2e%2e/%2e%2e/%2ekeep/secret.txt",
        "/hold/2-diffuse/....//secret.txt",
        "/hold//2-diffuse/secret.txt",
        "/hold/2-diffuse/secret.txt%00.png",
        "/hold/2-diffuse/%00",
        "/hold/2-diffuse/.secret.txt.part",
        "/hold/2-diffuse",
        "/hold/2-diffuse/nothing.txt",
        "/hold/2-diffuse/" + "x" * 300,
        "/pictures/link.txt",
        "/pictures/away/secret.txt",
        "/pictures/away/",
        "/pictures/fifo.txt",
        "/web/../gate.py",
        "/web/%2e%2e/gate.py",
        "/web/..%2fgate.py",
        "/web//etc/passwd",
        "/web/",
        "/web/nothing.js",
        "/painting",
    ],
)
def test_what_is_not_to_be_seen_is_not_there(site: Site, path: str, tmp_path: Path) -> None:
    for folder in (".work", ".keep", ".trash", "hold/2-diffuse"):
        (site.root / folder / "secret.txt").write_bytes(SECRET)
    (site.root / "hold/2-diffuse/.secret.txt.part").write_bytes(SECRET)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (site.root / "pictures/link.txt").symlink_to(tmp_path / "secret.txt")
    (site.root / "pictures/away").symlink_to(tmp_path)
    os.mkfifo(site.root / "pictures/fifo.txt")
    answer = site.get(path)
    assert answer.code == 404
    assert SECRET not in answer.body
    assert str(tmp_path) not in answer.body.decode()


def test_a_file_that_is_somebodys_elsewhere_is_not_shown(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "secret.txt").chmod(0o640)
    os.link(tmp_path / "secret.txt", site.root / "hold/2-diffuse/cat.txt")
    assert site.get("/hold/2-diffuse/cat.txt").code == 404
    (tmp_path / "secret.txt").chmod(0o644)
    assert site.get("/hold/2-diffuse/cat.txt").body == SECRET


def test_a_large_file_is_sent_whole_while_others_are_answered(site: Site) -> None:
    data = os.urandom(1 << 20) * 40
    (site.root / "pictures/large.tiff").write_bytes(data)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(site.get("/pictures/large.tiff").body)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert site.get("/facts").code == 200
    for thread in threads:
        thread.join(60)
    assert found == [data] * 4


def test_a_head_is_the_same_without_the_file(site: Site) -> None:
    (site.root / "pictures/cat.png").write_bytes(b"12345")
    answer = site.raw("HEAD", "/pictures/cat.png", {"Cookie": site.cookie})
    assert (answer.code, answer.headers["content-length"], answer.body) == (200, "5", b"")


def test_the_page_is_that_of_the_daemon_and_reaches_its_own_address_alone(site: Site) -> None:
    answer = site.get("/")
    text = answer.body.decode()
    assert '<script type="module" src="web/app.js"></script>' in text
    assert '<link rel="stylesheet" href="web/web.css">' in text
    assert "connect-src 'self'" in text
    assert "file:" not in text.partition("</head>")[0].partition("<style>")[0]
    assert "unsafe" not in text.partition("<style>")[0]
    assert site.get("/web/app.js").headers["content-type"].startswith("text/javascript")
    assert site.get("/web/web.css").headers["content-type"].startswith("text/css")


def test_the_facts_name_what_there_is(site: Site) -> None:
    (site.root / "embeddings/mood.tiff").write_bytes(b"")
    said = site.get("/facts").said
    assert [stage["name"] for stage in said["stages"]] == ["text", "diffuse", "decode", "encode", "invert"]
    assert said["models"] == ["demo"]
    assert said["embeddings"] == ["mood"]
    assert {"seed", "steps", "priority"} <= {row["name"] for row in said["settings"]}
    assert {"euler", "automatic"} <= set(said["schedulers"])
    assert "karras" in said["schedules"]
    assert said["limits"]["pixels"] > 0


def test_a_wrong_configuration_hides_no_more_than_what_it_says(site: Site) -> None:
    site.config.write_text(json.dumps({"spool": "spool", "nonsense": 1}))
    said = site.get("/facts").said
    assert "nonsense" in said["fault"]
    assert said["stages"]
    assert site.get("/").code == 200
