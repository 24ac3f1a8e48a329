"""Each act is what the command of the same purpose does: the same files lie in the same places afterwards."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tiffsd
from daemon.beneath import Beneath
from daemon.cli import app
from daemon.inbox.inbox import Inbox
from daemon.jobs.probe import Probe
from daemon.jobs.running import RunningFile
from daemon.stages import STAGES
from tests.artifacts import latents
from tests.page.spools import new_spool
from tests.web.asking import Site

FAILED = '{"stem": "cat", "files": {"principal": "cat.txt", ".yaml": "cat.yaml"}}'


def filled(root: Path) -> None:
    """Something of each kind; the same in each spool."""
    for name in ("cat.3f9a1c2e.tiff", "dog.0a1b2c3d.tiff"):
        tiffsd.write(root / "hold/2-diffuse" / name, latents())
    (root / "hold/2-diffuse/cat.3f9a1c2e.proof.png").write_bytes(b"a proof")
    (root / "hold/2-diffuse/cat.3f9a1c2e.yaml").write_text("steps: 3\n")
    (root / "inbox/2-diffuse/owl.0a1b2c3e.tiff").write_bytes(b"")
    (root / "inbox/1-text/tree.txt").write_text("a tree")
    (root / "inbox/1-text/tree.yaml").write_text("steps: 3\n")
    failed = root / "failed/1-text/cat.ffffffff"
    failed.mkdir()
    for name, text in {"cat.txt": "a cat", "cat.yaml": "steps: 3", "error.txt": "It failed.", "error.json": FAILED}.items():
        (failed / name).write_text(text)
    (failed / "cat.ffffffff.tiff").write_bytes(b"")
    RunningFile(root, "diffuse", name="cat.12345678.txt").start()


def tree(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): b"" if path.suffix == ".tiff" or path.parent.name == "running" else path.read_bytes()
        for path in paths
    }


ACTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"act": "release", "path": "hold/2-diffuse/cat.3f9a1c2e.tiff"}, ["release", "cat.3f9a1c2e.tiff"]),
    ({"act": "release", "link": "hold/2-diffuse/cat%2E3f9a1c2e.tiff?12ab"}, ["release", "cat.3f9a1c2e.tiff"]),
    ({"act": "release", "path": "hold/2-diffuse/cat.3f9a1c2e.proof.png"}, ["release", "cat.3f9a1c2e.proof.png"]),
    ({"act": "apply", "path": "hold/2-diffuse/cat.3f9a1c2e.tiff"}, ["apply", "cat.3f9a1c2e.tiff"]),
    ({"act": "hold", "path": "inbox/1-text/tree.txt"}, ["hold", "tree.txt"]),
    ({"act": "retry", "path": "failed/1-text/cat.ffffffff"}, ["retry", "cat.ffffffff"]),
    ({"act": "retry", "link": "failed/1-text/cat.ffffffff/"}, ["retry", "cat.ffffffff"]),
    ({"act": "cancel", "path": "running/cat.12345678.txt"}, ["cancel", "cat.12345678"]),
    ({"act": "restore", "path": "hold/2-diffuse/cat.3f9a1c2e.tiff"}, ["restore", "cat.3f9a1c2e.tiff"]),
    ({"act": "restore", "path": "failed/1-text/cat.ffffffff/cat.ffffffff.tiff"}, ["restore", "cat.ffffffff.tiff"]),
    ({"act": "pause", "stage": "diffuse"}, ["pause", "diffuse"]),
    ({"act": "gate_on", "stage": "decode"}, ["hold", "decode"]),
]


@pytest.mark.parametrize(("said", "words"), ACTS, ids=lambda part: " ".join(part) if isinstance(part, list) else "")
def test_an_act_moves_what_the_command_moves(site: Site, tmp_path: Path, said: dict[str, Any], words: list[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").write_text("")
    new_spool(other / "spool")
    for root in (site.root, other / "spool"):
        filled(root)
    before = tree(site.root)

    answer = site.post("/acts", said)
    command = CliRunner().invoke(app, [*words, "-c", str(other / "config.yaml")], catch_exceptions=False)

    assert answer.code == 200, answer.body
    assert tree(site.root) == tree(other / "spool") != before
    told = command.output.replace(f"{other / 'spool'}/", "").strip().split("\n")
    assert answer.said["said"] == "; ".join(told)


@pytest.mark.parametrize(("on", "off", "folder"), [("pause", "resume", "inbox"), ("gate_on", "gate_off", "hold")])
def test_a_sign_is_taken_away_by_whatever_name_it_has(site: Site, on: str, off: str, folder: str) -> None:
    assert site.act(on, stage="diffuse").code == 200
    (sign,) = (site.root / folder / "2-diffuse").iterdir()
    sign.rename(sign.with_name(f"{sign.name.lower()}.txt"))
    assert site.act(off, stage="diffuse").code == 200
    assert site.names(f"{folder}/2-diffuse") == set()


NOWHERE = [
    "",
    "/",
    "hold",
    "hold/2-diffuse",
    "config.yaml",
    "../secret.3f9a1c2e.tiff",
    "hold/2-diffuse/../../../secret.3f9a1c2e.tiff",
    "hold/../hold/2-diffuse/cat.3f9a1c2e.tiff",
    "/etc/passwd",
    ".work/job/in/cat.tiff",
    ".keep/cat.3f9a1c2e.tiff",
    "hold/2-diffuse/.cat.tiff.part",
    "done/2026-01-01/cat.tiff",
    "pictures/cat.png",
    "hold/2-diffuse/cat\x00.tiff",
    "hold/2-diffuse/\ud800.tiff",
    "hold/elsewhere/cat.3f9a1c2e.tiff",
    "running/../hold/2-diffuse/cat.3f9a1c2e.tiff",
    "failed/1-text/nothing.00000000",
    "running/nothing.txt",
    "hold/2-diffuse/nothing.tiff",
    "x" * 5000,
]
STRANGE: list[dict[str, Any]] = [
    {},
    {"act": None},
    {"act": "delete", "path": "hold/2-diffuse/cat.3f9a1c2e.tiff"},
    {"act": ["release"], "path": "hold/2-diffuse/cat.3f9a1c2e.tiff"},
    {"act": "release"},
    {"act": "release", "path": 7},
    {"act": "release", "stage": "diffuse"},
    {"act": "pause"},
    {"act": "pause", "stage": "../hold"},
    {"act": "pause", "stage": {"x": 1}},
    {"act": "release", "link": "hold/..%2f..%2fsecret.3f9a1c2e.tiff"},
    {"act": "release", "link": "hold/%2e%2e/%2e%2e/secret.3f9a1c2e.tiff"},
    {"act": "release", "link": "file:///etc/passwd"},
    {"act": "release", "path": "inbox/1-text/tree.txt"},
    {"act": "hold", "path": "hold/2-diffuse/cat.3f9a1c2e.tiff"},
    {"act": "cancel", "path": "hold/2-diffuse/cat.3f9a1c2e.tiff"},
    {"act": "retry", "path": "hold/2-diffuse/cat.3f9a1c2e.tiff"},
    {"act": "restore", "path": "inbox/2-diffuse/owl.0a1b2c3e.tiff"},
    {"act": "apply", "path": "inbox/2-diffuse/owl.0a1b2c3e.tiff"},
    {"act": "prioritise", "path": "failed/1-text/cat.ffffffff", "priority": 5},
]


@pytest.mark.parametrize("act", ["", "release", "apply", "hold", "retry", "cancel", "restore", "prioritise"])
def test_what_is_none_of_its_business_is_refused_in_a_sentence(site: Site, act: str) -> None:
    filled(site.root)
    beside = site.root.parent / "secret.3f9a1c2e.tiff"
    beside.write_bytes(b"")
    before = tree(site.root.parent)
    for said in [{"act": act, "path": path, "priority": 5} for path in NOWHERE] if act else STRANGE:
        answer = site.post("/acts", said)
        assert answer.code in (400, 404), (said, answer.body)
        assert 0 < len(answer.error) < 500
        assert tree(site.root.parent) == before, said


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"7", b"null", b"{", b"\xff", b"[" * 100_000, b'{"act": "release", "path": ' + b"9" * 5000 + b"}"]
)
def test_what_is_no_object_is_refused(site: Site, body: bytes) -> None:
    answer = site.post("/acts", body=body)
    assert answer.code == 400
    assert answer.error


def test_what_is_too_long_is_not_read(site: Site) -> None:
    assert site.post("/acts", body=b" " * 1_000_001).code == 413


def test_a_link_in_place_of_a_held_file_is_moved_and_not_followed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(b"a secret")
    (site.root / "hold/1-text/cat.txt").symlink_to(tmp_path / "secret.txt")
    site.act("release", path="hold/1-text/cat.txt")
    assert (site.root / "inbox/1-text/cat.txt").is_symlink()
    site.act("prioritise", path="inbox/1-text/cat.txt", priority=3)
    assert (tmp_path / "secret.txt").read_bytes() == b"a secret"


def test_a_folder_of_the_spool_that_became_a_link_is_not_followed(site: Site, tmp_path: Path) -> None:
    filled(site.root)
    elsewhere = tmp_path / "elsewhere"
    (site.root / "inbox/2-diffuse").rename(tmp_path / "real")
    elsewhere.mkdir()
    (site.root / "inbox/2-diffuse").symlink_to(elsewhere)
    assert site.act("release", path="hold/2-diffuse/cat.3f9a1c2e.tiff").code >= 400
    assert site.act("pause", stage="diffuse").code >= 400
    assert list(elsewhere.iterdir()) == []
    assert (site.root / "hold/2-diffuse/cat.3f9a1c2e.tiff").exists()


def test_a_name_that_only_its_link_can_say_is_released(site: Site) -> None:
    name = "caf\udce9\n.tiff"
    (site.root / "hold/3-decode" / name).write_bytes(b"x")
    answer = site.act("release", link="hold/3-decode/caf%E9%0A.tiff")
    assert answer.code == 200
    assert "\n" not in answer.said["said"]
    assert site.names("inbox/3-decode") == {name}


# --- priorities


def order(root: Path, stage: str = "text") -> list[str]:
    """In which order a real scan offers what waits."""
    probe = Probe(Beneath(root), lambda: 20_000)
    inbox = Inbox(
        STAGES[stage],
        root / "inbox" / STAGES[stage].folder,
        settle_seconds=0.0,
        settle_unleased_seconds=0.0,
        empty_grace_seconds=0.0,
        read_priority=lambda path: probe.read(path).priority,
    )
    scan = inbox.scan(0.0)
    assert not scan.refused
    return [drop.principal.path.name for drop in scan.ready]


def waiting(root: Path, *names: str, folder: str = "inbox/1-text", content: str = "a cat") -> None:
    for number, name in enumerate(names):
        path = root / folder / name
        path.write_text(content)
        os.utime(path, (number, number))


def test_a_priority_changes_the_order_of_a_real_scan(site: Site) -> None:
    waiting(site.root, "a.txt", "b.txt", "c.txt")
    assert order(site.root) == ["a.txt", "b.txt", "c.txt"]
    answer = site.act("prioritise", path="inbox/1-text/c.txt", priority=10)
    assert answer.said["said"] == "inbox/1-text/c.txt has priority 10, by inbox/1-text/c.yaml"
    assert order(site.root) == ["c.txt", "a.txt", "b.txt"]
    site.act("prioritise", path="inbox/1-text/b.txt", priority=20)
    assert order(site.root) == ["b.txt", "c.txt", "a.txt"]
    site.act("prioritise", path="inbox/1-text/b.txt", priority=-1)
    assert order(site.root) == ["c.txt", "a.txt", "b.txt"]
    assert (site.root / "inbox/1-text/b.yaml").read_text() == "priority: -1\n"


def test_a_priority_counts_over_that_in_the_file(site: Site) -> None:
    waiting(site.root, "a.txt", content="---\npriority: 50\n---\na cat")
    waiting(site.root, "b.txt")
    site.act("prioritise", path="inbox/1-text/b.txt", priority=60)
    assert order(site.root) == ["b.txt", "a.txt"]


@pytest.mark.parametrize(
    ("stage", "name"),
    [("diffuse", "cat.3f9a1c2e.tiff"), ("encode", "cat.png"), ("decode", "cat.3f9a1c2e.tiff"), ("invert", "cat.png")],
)
def test_each_stage_takes_a_priority(site: Site, stage: str, name: str) -> None:
    folder = f"inbox/{STAGES[stage].folder}"
    waiting(site.root, f"a{Path(name).suffix}", name, folder=folder)
    assert site.act("prioritise", path=f"{folder}/{name}", priority=5).code == 200
    assert order(site.root, stage)[0] == name


@pytest.mark.parametrize("name", ["cat_latent.tiff", "cat_prompt.tiff"])
def test_a_pair_takes_a_priority_by_either_half(site: Site, name: str) -> None:
    waiting(site.root, "a.tiff", "cat_latent.tiff", "cat_prompt.tiff", folder="inbox/2-diffuse")
    assert site.act("prioritise", path=f"inbox/2-diffuse/{name}", priority=5).code == 200
    assert order(site.root, "diffuse")[0] == "cat_latent.tiff"


def test_what_is_on_hold_takes_its_priority_along(site: Site) -> None:
    waiting(site.root, "z.txt", folder="hold/1-text")
    waiting(site.root, "a.txt")
    site.act("prioritise", path="hold/1-text/z.txt", priority=5)
    site.act("release", path="hold/1-text/z.txt")
    assert order(site.root) == ["z.txt", "a.txt"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("steps: 3\n", "steps: 3\npriority: 7\n"),
        ("steps: 3", "steps: 3\npriority: 7\n"),
        ("# mine\npriority: 3  # low\nsteps: 3\n", "# mine\npriority: 7\nsteps: 3\n"),
        ("\ufeffsteps: 3\r\npriority: 2\r\n", "steps: 3\npriority: 7\n"),
        ("steps: 3\npriority : 3\n", "steps: 3\npriority: 7\n"),
        ("# nothing\n", "# nothing\npriority: 7\n"),
        ("", "priority: 7\n"),
        ('negative_prompt: "a\n  priority: 3\n  b"\n', 'negative_prompt: "a\n  priority: 3\n  b"\npriority: 7\n'),
    ],
)
def test_a_settings_file_keeps_what_somebody_has_written_into_it(site: Site, before: str, after: str) -> None:
    waiting(site.root, "a.txt", "cat.txt")
    (site.root / "inbox/1-text/cat.yaml").write_bytes(before.encode())
    answer = site.act("prioritise", path="inbox/1-text/cat.txt", priority=7)
    assert answer.code == 200, answer.body
    assert (site.root / "inbox/1-text/cat.yaml").read_text() == after
    assert order(site.root) == ["cat.txt", "a.txt"]


@pytest.mark.parametrize("text", ["{steps: 3}", '{"steps": 3}', "priority:\n  3\n", "steps: [", "steps: 3\n...\n", "- 1\n"])
def test_a_settings_file_that_no_program_may_change_stays(site: Site, text: str) -> None:
    waiting(site.root, "cat.txt")
    (site.root / "inbox/1-text/cat.yaml").write_text(text)
    answer = site.act("prioritise", path="inbox/1-text/cat.txt", priority=7)
    assert answer.code == 400
    assert (site.root / "inbox/1-text/cat.yaml").read_text() == text
    assert site.names("inbox/1-text") == {"cat.txt", "cat.yaml"}


def test_two_files_of_one_name_do_not_share_a_priority(site: Site) -> None:
    waiting(site.root, "cat.txt", "cat.png")
    for name in ("cat.txt", "cat.png"):
        assert site.act("prioritise", path=f"inbox/1-text/{name}", priority=7).code == 400
    assert site.names("inbox/1-text") == {"cat.txt", "cat.png"}


@pytest.mark.parametrize("priority", [None, "5", 5.0, True, 101, -101, 10**30, [5]])
def test_what_is_no_priority_is_refused(site: Site, priority: object) -> None:
    waiting(site.root, "cat.txt")
    assert site.act("prioritise", path="inbox/1-text/cat.txt", priority=priority).code == 400
    assert site.names("inbox/1-text") == {"cat.txt"}


def test_a_file_that_begins_meanwhile_leaves_no_settings_behind(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(site.root, "cat.txt")
    rename: Callable[[Beneath, Path, Path], None] = Beneath.rename

    def claimed_first(self: Beneath, source: Path, target: Path) -> None:
        (site.root / "inbox/1-text/cat.txt").unlink(missing_ok=True)
        rename(self, source, target)

    monkeypatch.setattr(Beneath, "rename", claimed_first)
    assert site.act("prioritise", path="inbox/1-text/cat.txt", priority=7).code == 404
    assert site.names("inbox/1-text") == set()
