"""What people drop may be malicious: nothing is followed, nothing that blocks is opened, no file says what only config.yaml may."""

import os
import pickle
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

SECRET = "a secret of somebody else"


def refused(daemon: RunningDaemon, inbox: str, stem: str) -> str:
    (error,) = daemon.found(f"failed/{inbox}/{stem}.*/error.txt")
    return error.read_text(encoding="utf-8")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's path must be short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


def a_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


ODDITIES: list[tuple[str, Callable[[Path], None], str]] = [
    ("link", lambda path: path.symlink_to(path.parents[3] / "secret"), "symbolic link"),
    ("dangling", lambda path: path.symlink_to("/no/such/file"), "symbolic link"),
    ("folder", lambda path: path.symlink_to("/etc"), "symbolic link"),
    ("fifo", os.mkfifo, "FIFO"),
    ("socket", a_socket, "socket"),
    *([("device", a_device, "device")] if os.geteuid() == 0 else []),  # only root makes devices
]
INBOXES = {"1-text": ".txt", "2-diffuse": ".tiff"}


@pytest.mark.parametrize(("stem", "word"), [(stem, word) for stem, _, word in ODDITIES])
@pytest.mark.parametrize("inbox", INBOXES)
def test_what_is_no_file_is_refused_and_neither_followed_nor_opened(
    daemon: RunningDaemon, secret: Path, inbox: str, stem: str, word: str
) -> None:
    assert word in refused(daemon, inbox, stem)
    assert secret.read_text() == SECRET
    assert not list(daemon.spool.glob(f"done/*/{stem}*"))


@pytest.mark.parametrize("companion", [".yaml", "_neg.txt"])
def test_a_companion_that_is_a_link_is_refused_with_its_file(daemon: RunningDaemon, secret: Path, companion: str) -> None:
    stem = f"with{companion.replace('.', '-')}"
    (daemon.spool / "inbox/1-text" / f"{stem}{companion}").symlink_to(secret)
    daemon.drop("inbox/1-text", f"{stem}.txt", "a cat")
    assert "symbolic link" in refused(daemon, "1-text", stem)
    assert SECRET not in refused(daemon, "1-text", stem)


def test_a_second_name_of_a_private_file_is_refused_and_the_file_stays_as_it_is(daemon: RunningDaemon, secret: Path) -> None:
    before = secret.stat()
    os.link(secret, daemon.spool / "inbox/1-text/hard.txt")
    sentence = refused(daemon, "1-text", "hard")
    assert "second name" in sentence
    assert SECRET not in sentence
    after = secret.stat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    assert secret.read_text() == SECRET


def test_a_second_name_of_a_file_that_everybody_may_read_is_as_good_as_a_copy(daemon: RunningDaemon) -> None:
    shared = daemon.folder / "shared.txt"
    shared.write_text("---\nstepz: 3\n---\na cat")
    shared.chmod(0o644)
    os.link(shared, daemon.spool / "inbox/1-text/linked.txt")
    assert "stepz" in refused(daemon, "1-text", "linked"), "it was read as a job"
    assert shared.read_text() == "---\nstepz: 3\n---\na cat"


def front_matter(*lines: str) -> str:
    return "\n".join(["---", *lines, "---", "a cat"])


BOMB = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(12)]
TEXTS: list[tuple[str, str, list[str]]] = [
    ("python tag", front_matter("seed: !!python/object/apply:os.system ['touch /tmp/owned']"), ["not valid YAML"]),
    ("unknown tag", front_matter("seed: !secret 1"), ["not valid YAML"]),
    ("alias bomb", front_matter(*BOMB), ["aliases", "not allowed"]),
    ("deep", front_matter("seed: " + "[" * 5000), ["not valid YAML"]),
    ("hooks", front_matter("hooks: {done: [/bin/sh]}"), ["'hooks' is no setting"]),
    ("spool", front_matter("spool: /etc"), ["'spool' is no setting"]),
    ("models", front_matter("models: {x: {path: /etc}}"), ["'models' is no setting"]),
    ("network", front_matter("network: true"), ["'network' is no setting"]),
    ("device", front_matter("device: cuda"), ["'device' is no setting"]),
    ("limits", front_matter("limits: {steps: 100000}"), ["'limits' is no setting"]),
    ("model path", front_matter("model: /etc/passwd"), ["'model'", "never a path"]),
    ("model up", front_matter("model: ../../secret"), ["'model'", "never a path"]),
    ("vae path", front_matter("vae: ./secret"), ["'vae'", "never a path"]),
    ("embedding up", front_matter("embedding: ../.keep/cat"), ["'embedding'", "never a path"]),
    ("embedding out", front_matter("save_embedding: ../../../owned"), ["'save_embedding'", "never a path"]),
    ("embedding hidden", front_matter("save_embedding: .owned"), ["'save_embedding'", "never a path"]),
    ("then out", front_matter("then: ../../owned"), ["'then'", "is not a stage"]),
    ("hold out", front_matter("hold: /tmp"), ["'hold'", "is not a stage"]),
    ("too many", front_matter("count: 1000000"), ["limits.count"]),
    ("too far", front_matter("steps: 100000000"), ["limits.steps"]),
    ("priority", front_matter("priority: 1000000"), ["'priority'"]),
]


PLACES = ("front matter", "settings file")


def drop_text(daemon: RunningDaemon, stem: str, text: str, place: str) -> None:
    if place == "settings file":
        daemon.drop("inbox/1-text", f"{stem} in {place}.yaml", text.removeprefix("---\n").removesuffix("\n---\na cat"))
        text = "a cat"
    daemon.drop("inbox/1-text", f"{stem} in {place}.txt", text)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon that finds all of the above in its inboxes when it starts."""
    running = RunningDaemon(tmp_path_factory.mktemp("security"))
    (running.folder / "secret").write_text(SECRET)
    (running.folder / "secret").chmod(0o600)
    for inbox, extension in INBOXES.items():
        for stem, make, _ in ODDITIES:
            make(running.spool / "inbox" / inbox / f"{stem}{extension}")
    for stem, text, _ in TEXTS:
        for place in PLACES:
            drop_text(running, stem, text, place)
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def secret(daemon: RunningDaemon) -> Path:
    return daemon.folder / "secret"


@pytest.mark.parametrize(("stem", "words"), [(stem, words) for stem, _, words in TEXTS])
@pytest.mark.parametrize("place", PLACES)
def test_a_file_cannot_say_what_only_the_configuration_may(daemon: RunningDaemon, stem: str, words: list[str], place: str) -> None:
    sentence = refused(daemon, "1-text", f"{stem} in {place}")
    for word in words:
        assert word in sentence
    assert not Path("/tmp/owned").exists()
    assert not list(daemon.folder.glob("owned*"))


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_is_never_unpickled(daemon: RunningDaemon) -> None:
    owned = daemon.folder / "owned-by-pickle"
    names = ("latents.pt", "weights.ckpt", "pickled.tiff", "array.npy")
    for name in names:
        daemon.drop("inbox/2-diffuse", name, pickle.dumps(Evil(owned)))
    for name in names:
        assert name in refused(daemon, "2-diffuse", Path(name).stem)
    assert not owned.exists()


def tiff_of(width: int, height: int) -> bytes:
    """A TIFF of 200 bytes that says it is that large."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, height)]
    tags += [(279, 4, 0xFFFFFFF0), (339, 3, 3)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


@pytest.mark.parametrize("inbox", ["2-diffuse", "3-decode", "encode"])
def test_a_picture_that_says_it_is_enormous_is_refused_before_memory_is_taken(daemon: RunningDaemon, inbox: str) -> None:
    assert daemon.process is not None
    daemon.drop(f"inbox/{inbox}", "bomb.tiff", tiff_of(4_000_000_000, 4_000_000_000))
    assert "bomb.tiff" in refused(daemon, inbox, "bomb")
    peak = Path(f"/proc/{daemon.process.pid}/status").read_text().split("VmHWM:")[1].split()[0]
    assert int(peak) < 200_000


def test_names_go_nowhere_but_into_the_spool(daemon: RunningDaemon) -> None:
    outside = set(os.listdir(daemon.folder))
    for name in (
        "..txt",
        "...txt.txt",
        "%2e%2e%2fowned.txt",
        "..\\owned.txt",
        "{stem}.txt",
        "-rf.txt",
        "a\nb.txt",
        "$(touch owned).txt",
    ):
        daemon.drop("inbox/1-text", name, "---\nstepz: 1\n---\nx")
    wait_until(lambda: not [name for name in os.listdir(daemon.spool / "inbox/1-text") if name[0] != "."], what="all are refused")
    assert set(os.listdir(daemon.folder)) == outside


@pytest.mark.parametrize("lay_open", ["file", "folder"])
def test_a_configuration_that_everybody_can_write_is_not_obeyed_by_root_or_a_service(tmp_path: Path, lay_open: str) -> None:
    daemon = RunningDaemon(tmp_path)
    (daemon.config if lay_open == "file" else tmp_path).chmod(0o777)
    environment = {} if os.geteuid() == 0 else {"NOTIFY_SOCKET": "/no/such/socket"}
    result = daemon.command("run", check=False, environment=environment)
    assert result.returncode == 2
    assert "everybody can write" in result.stderr
    assert "chmod o-w" in result.stderr
    assert not (daemon.spool / "status.json").exists()


def test_a_configuration_in_the_spool_is_not_obeyed_by_root_or_a_service(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    daemon.config.write_text(yaml.safe_dump({"spool": "."}))
    environment = {} if os.geteuid() == 0 else {"NOTIFY_SOCKET": "/no/such/socket"}
    result = daemon.command("run", check=False, environment=environment)
    assert result.returncode == 2
    assert "lies in the spool" in result.stderr


def test_the_daemon_still_serves_after_all_of_it(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "last.txt", "---\nstepz: 1\n---\na cat")
    assert "stepz" in refused(daemon, "1-text", "last")
    assert daemon.process is not None
    assert daemon.process.poll() is None
