"""Files and prompts that come over the page lie in the inbox whole, under names that are free, or not at all."""

import json
import os
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from daemon.settings.checking import checked
from daemon.settings.prompts import parse_prompt
from tests.conftest import wait_until
from tests.web.asking import Site, serving


def drop(site: Site, stage: str, name: str, body: bytes = b"some bytes") -> Any:
    return site.post(f"/drops/{stage}?name={quote(os.fsencode(name), safe='')}", body=body)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_a_drop_lies_in_the_inbox_of_its_stage(site: Site) -> None:
    data = os.urandom(3_000_001)
    answer = drop(site, "encode", "cat.png", data)
    assert answer.said == {"said": "dropped: inbox/encode/cat.png", "path": "inbox/encode/cat.png", "link": "inbox/encode/cat.png"}
    assert (site.root / "inbox/encode/cat.png").read_bytes() == data
    assert everything(site.root / "inbox") == {"encode/cat.png"}


def test_a_name_that_is_taken_gets_the_next_number(site: Site) -> None:
    (site.root / "inbox/encode/cat.png").write_bytes(b"the first")
    (site.root / "inbox/encode/cat-2.png").symlink_to("nowhere")
    assert drop(site, "encode", "cat.png").said["path"] == "inbox/encode/cat-3.png"
    assert (site.root / "inbox/encode/cat.png").read_bytes() == b"the first"
    assert (site.root / "inbox/encode/cat-3.png").read_bytes() == b"some bytes"


@pytest.mark.parametrize("name", ["cat.yaml", "cat_neg.txt", "cat_mask.png"])
def test_what_goes_with_another_file_is_not_given_another_name(site: Site, name: str) -> None:
    (site.root / "inbox/2-diffuse" / name).write_bytes(b"the first")
    answer = drop(site, "diffuse", name)
    assert answer.code == 409
    assert name in answer.error
    assert everything(site.root / "inbox") == {f"2-diffuse/{name}"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../cat.png",
        "/etc/cat.png",
        "a/cat.png",
        "cat\0.png",
        ".cat.png",
        "~cat.png",
        "cat.png.part",
        "PAUSE",
        "pause.txt",
        "HOLD",
        "README.md",
        "Thumbs.db",
        "cat.exe",
        "cat",
        "cat.sync-conflict-20260101-120000.png",
        "x" * 252 + ".png",
        "é" * 130 + ".png",
    ],
)
def test_a_name_that_is_no_drops_is_refused_in_a_sentence(site: Site, name: str) -> None:
    answer = drop(site, "encode", name)
    assert answer.code == 400
    assert 0 < len(answer.error) < 400
    assert everything(site.root / "inbox") == set()


@pytest.mark.parametrize(
    "name", ["<b>.png", "a\n.png", "caf\udce9.png", "\u202egnp.png", "$(reboot).png", "%2e%2e.png", "x" * 251 + ".png"]
)
def test_a_hostile_name_is_a_name(site: Site, name: str) -> None:
    answer = drop(site, "encode", name)
    assert answer.code == 200
    assert everything(site.root / "inbox") == {f"encode/{name}"}
    assert not re.search("[\n\u202e\udce9]", answer.said["said"])
    assert site.get("/" + answer.said["link"]).body == b"some bytes"


@pytest.mark.parametrize("stage", ["", "nothing", "..", "%2e%2e", "1-text", "encode/x", "encode%2f..", "enc\u00f6de"])
def test_there_are_no_other_stages(site: Site, stage: str) -> None:
    answer = site.post(f"/drops/{quote(stage, safe='%/')}?name=cat.png", body=b"x")
    assert answer.code == 404
    assert everything(site.root) == set()


def test_a_stage_says_which_other_takes_a_file(site: Site) -> None:
    assert "encode does" in drop(site, "text", "cat.heic").error


def test_an_empty_file_is_none(site: Site) -> None:
    assert drop(site, "encode", "cat.png", b"").code == 400
    assert everything(site.root / "inbox") == set()


def test_what_is_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, limits={"file_bytes": 1000}) as site:
        assert drop(site, "encode", "cat.png", b"x" * 1000).code == 200
        assert drop(site, "encode", "dog.png", b"x" * 1001).code == 413
        assert everything(site.root / "inbox") == {"encode/cat.png"}


def begun(site: Site, *lines: str) -> socket.socket:
    """A drop whose head is sent."""
    link = socket.create_connection(("127.0.0.1", site.port), timeout=30)
    head = ["POST /drops/encode?name=cat.png HTTP/1.1", f"Host: {site.host}", *(f"{k}: {v}" for k, v in site.allowed().items())]
    link.sendall("\r\n".join([*head, *lines, "", ""]).encode())
    return link


def test_what_is_larger_than_it_said_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, limits={"file_bytes": 1000}) as site, begun(site, "Transfer-Encoding: chunked") as link:
        link.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        wait_until(lambda: everything(site.root / "inbox"), what="the drop has begun")
        link.sendall(b"1\r\nx\r\n0\r\n\r\n")
        assert b" 413 " in link.recv(4096)
        assert everything(site.root / "inbox") == set()


@pytest.mark.parametrize("how", [["Content-Length: 100000"], ["Transfer-Encoding: chunked"]])
def test_a_connection_that_breaks_leaves_nothing(site: Site, how: list[str]) -> None:
    with begun(site, *how) as link:
        link.sendall(b"100\r\n" + b"x" * 256 + b"\r\n")
        (part,) = wait_until(lambda: everything(site.root / "inbox"), what="the drop has begun")
        assert re.fullmatch(r"encode/\.\w+\.part", part), "a name that the daemon leaves alone"
    wait_until(lambda: not everything(site.root / "inbox"), what="what came of it is gone")


def test_a_server_that_ends_leaves_nothing_of_what_was_on_its_way(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        link = begun(site, "Content-Length: 100000")
        link.sendall(b"x" * 1000)
        wait_until(lambda: everything(site.root / "inbox"), what="the drop has begun")
    link.close()
    assert everything(site.root / "inbox") == set()


# --- prompts


def prompt(site: Site, words: str, settings: dict[str, Any] | None = None, name: str = "") -> Any:
    return site.post("/prompts", {"name": name, "prompt": words, "settings": settings or {}})


def read(site: Site, path: str) -> dict[str, Any]:
    data = (site.root / path).read_bytes()
    return dict(parse_prompt(data, Path(path).name, characters=100_000).settings)


def test_a_prompt_lies_in_the_inbox_as_a_person_would_write_it(site: Site) -> None:
    answer = prompt(site, "a cat, asleep", {"seed": 3, "steps": 4, "negative_prompt": "dog", "width": None})
    assert answer.said["path"] == "inbox/1-text/a-cat-asleep.txt"
    assert (site.root / answer.said["path"]).read_text() == '---\nseed: 3\nsteps: 4\nnegative_prompt: "dog"\n---\na cat, asleep\n'
    assert prompt(site, "a cat, asleep").said["path"] == "inbox/1-text/a-cat-asleep-2.txt"
    assert (site.root / "inbox/1-text/a-cat-asleep-2.txt").read_text() == "a cat, asleep\n"


WORDS = [
    "---",
    "---\nseed: 7\n---\na dog",
    "--- a cat",
    "a cat\n---\nseed: 7",
    "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512",
    "Steps: 20, Seed: 7",
    "seed: 7\na cat",
    "Negative prompt: a dog",
    '{"prompt": "a dog", "seed": 7}',
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "${jndi:ldap://x} `reboot` $(reboot) {{7*7}} %s %n",
    "quotes \" and ' and \\ and \\n and \\u0041",
    "ünï©ödé 😀 \u202e\u2028\u2029\x85\ufeff\u00a0 end",
    "a cat\r\nb\rc\td",
    "# no comment",
    "- no list",
    "*no &alias !tag %directive @x",
    "  a cat  ",
    "..",
    "../../etc/passwd",
    "PAUSE",
    "HOLD",
    "cat_neg",
    "(a cat:1.3), [dog]",
    "\x1b[31mred",
    "a " * 2000,
]


@pytest.mark.parametrize("settings", [{}, {"seed": 3, "negative_prompt": "a: 'b'\n--- # \"c\""}], ids=["bare", "set"])
@pytest.mark.parametrize("words", WORDS)
def test_hostile_words_are_words(site: Site, words: str, settings: dict[str, Any]) -> None:
    answer = prompt(site, words, settings)
    assert answer.code == 200, answer.body
    (path,) = everything(site.root)
    assert re.fullmatch(r"inbox/1-text/\w[^/\n]*\.txt", path)
    said = read(site, path)
    lines = words.replace("\r\n", "\n").replace("\r", "\n")
    assert (said.pop("prompt").strip(), said) in ((words.strip(), settings), (lines.strip(), settings))


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"steps": "four"}, "steps"),
        ({"steps": 10**9}, "steps"),
        ({"width": 16384, "height": 16384}, "pixels"),
        ({"model": "../../x"}, "model"),
        ({"model": "nothing"}, "nothing"),
        ({"scheduler": "nothing"}, "scheduler"),
        ({"nonsense": 1}, "nonsense"),
        ({"seed\n---\nx": 1}, "seed"),
        ({"": 1}, ""),
        ({"seed": {"a": [1]}}, "seed"),
        ({"seed": 1, "Seed": 2}, "seed"),
        ({"loras": {"nothing": 1.0}}, "nothing"),
        ({"embedding": "nothing"}, "nothing"),
        ({"negative_prompt": "\ud800"}, "half a character"),
        ({"priority": 1000}, "priority"),
    ],
)
def test_what_the_daemon_could_not_use_is_refused_by_its_own_sentence(site: Site, settings: dict[str, Any], about: str) -> None:
    answer = prompt(site, "a cat", settings)
    assert answer.code == 400
    assert about in answer.error
    assert everything(site.root) == set()


@pytest.mark.parametrize("words", ["", " \n ", "\ud800", "\0", "x" * 30_000])
def test_words_that_are_none_are_refused(site: Site, words: str) -> None:
    answer = prompt(site, words)
    assert answer.code == 400
    assert len(answer.error) < 500
    assert everything(site.root) == set()


@pytest.mark.parametrize(
    "said", [{"prompt": 1}, {"prompt": "a cat", "settings": []}, {"prompt": "a cat", "name": 7}, {"settings": {}}]
)
def test_a_prompt_of_another_form_is_refused(site: Site, said: object) -> None:
    assert site.post("/prompts", said).code == 400


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cat", "cat.txt"),
        ("cat.txt", "cat.txt"),
        ("../../cat", "_.._cat.txt"),
        (".cat", "cat.txt"),
        ("~cat", "cat.txt"),
        ("a/b:c", "a_b_c.txt"),
        ("con", "con_.txt"),
        ("é" * 200, "é" * 60 + ".txt"),
        ("a\nb", "a_b.txt"),
    ],
)
def test_a_prompt_has_a_portable_name(site: Site, name: str, path: str) -> None:
    assert prompt(site, "a cat", name=name).code == 200
    assert everything(site.root / "inbox/1-text") == {path}


@pytest.mark.parametrize("name", ["PAUSE", "readme", "cat_neg", "cat~"])
def test_a_prompt_is_not_called_what_is_no_prompts(site: Site, name: str) -> None:
    assert prompt(site, "a cat", name=name).code == (200 if name == "cat~" else 400)


def test_without_a_configuration_a_prompt_is_still_read_first(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        site.config.write_text("nonsense: 1\n")
        assert prompt(site, "a cat", {"steps": "four"}).code == 400
        assert prompt(site, "a cat", {"steps": 4}).code == 200


def test_every_setting_of_the_registry_can_be_said(site: Site) -> None:
    rows = {row["name"]: row for row in site.get("/facts").said["settings"]}
    said = {"seed": 1, "steps": 4, "fast": True, "guidance_scale": 2.5, "priority": 5, "hold": "decode", "name": "{stem}"}
    assert said.keys() <= rows.keys()
    path = prompt(site, "a cat", said).said["path"]
    assert checked(read(site, path), "here").given() == checked({**said, "prompt": "a cat"}, "here").given()
    assert json.dumps(rows)
