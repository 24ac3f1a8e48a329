"""The words of ssh's command line, and the worker behind it, as far as no other machine is needed for that."""

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.compute.addresses import SshAddress
from daemon.compute.engine import new_engine, placed
from daemon.compute.protocol import EngineOptions
from daemon.compute.remote.absence import Absence
from daemon.compute.remote.connection import Connection, Silent
from daemon.compute.remote.framing import FramedPipe, Malformed
from daemon.compute.remote.patience import Patience
from daemon.compute.remote.ssh import Ssh, usual_config
from daemon.compute.remote.worker import RemoteWorker, Unreached


def test_the_command_line_lets_nothing_through_but_the_pipe() -> None:
    words = Ssh().arguments(SshAddress.parse("ssh://ann@gpu-box:2222"))
    assert words[0] == "ssh"
    options = {words[place + 1] for place, word in enumerate(words) if word == "-o"}
    assert options >= {
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "ForwardAgent=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "RequestTTY=no",
        "ConnectTimeout=10",
    }
    assert words[-7:] == ["-p", "2222", "-l", "ann", "--", "gpu-box", "tiffsd worker"]
    assert "-F" not in words


def test_what_is_started_there_and_the_configuration_may_be_said() -> None:
    ssh = Ssh(Path("/etc/tiffsd/ssh_config"), ("/opt/my tools/tiffsd", "worker"))
    words = ssh.arguments(SshAddress.parse("ssh://box"), "--receive")
    assert words[1:3] == ["-F", "/etc/tiffsd/ssh_config"]
    assert words[-3:] == ["--", "box", "'/opt/my tools/tiffsd' worker --receive"]
    assert "-l" not in words
    assert "-p" not in words


def test_the_services_own_configuration_counts_for_its_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "ssh_config"
    assert usual_config(user="tiffsd", file=file) is None, "there is none"
    file.touch()
    assert usual_config(user="tiffsd", file=file) == file
    assert usual_config(user="ann", file=file) is None


def test_places_count_as_workers_and_those_of_this_machine_have_its_gpus() -> None:
    found = placed(EngineOptions(device="cuda", places=("local", "ssh://box", "local")), look=lambda _: ["0", "1"], environ={})
    assert (found.workers, found.gpus) == (3, ("0", "1"))
    alone = placed(EngineOptions(device="cuda", places=("ssh://box", "ssh://box")), look=lambda _: [], environ={})
    assert (alone.workers, alone.gpus, alone.places) == (2, (), ("ssh://box", "ssh://box"))


def test_an_engine_of_places_starts_nothing_before_its_first_call() -> None:
    engine = new_engine(EngineOptions(places=("local", "ssh://box.invalid")))
    engine.tick(0.0)
    engine.tick(100.0)
    workers = engine.describe()["workers"]
    assert [(one["node"], one["state"], one["lost_since"], one["reason"], one["model"]) for one in workers] == [
        ("local", "idle", None, None, None),
        ("box.invalid", "idle", None, None, None),
    ]
    engine.close()


def test_a_program_that_is_not_there_is_an_error_of_the_machine() -> None:
    with pytest.raises(FileNotFoundError):
        RemoteWorker(["/nowhere/ssh"], "box", Patience())


def test_the_last_words_of_ssh_are_the_reason() -> None:
    worker = RemoteWorker(
        ["sh", "-c", "echo one >&2; echo 'ann@box: Permission denied (publickey).' >&2; exit 255"], "box", Patience()
    )
    with pytest.raises(Unreached, match=r"^ann@box: Permission denied \(publickey\)\.$"):
        worker.greet()
    assert not worker.alive()


def test_what_is_said_beside_the_messages_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    worker = RemoteWorker(["sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' 'y' >&2; exit 255"], "box", Patience())
    with caplog.at_level(logging.DEBUG), pytest.raises(Unreached) as away:
        worker.greet()
    assert len(str(away.value)) <= 300
    assert caplog.text == "", "before it has greeted, its words are the reason and no more"


@pytest.fixture
def ends() -> Iterator[tuple[Connection, FramedPipe, socket.socket]]:
    ours, theirs = socket.socketpair()
    connection = Connection(ours, Patience(greet=1.0, heartbeat=0.05, silence=0.5))
    yield connection, FramedPipe(theirs.fileno(), theirs.fileno()), theirs
    connection.close()
    theirs.close()


def test_silence_ends_a_connection_and_a_beat_keeps_it(ends: tuple[Connection, FramedPipe, socket.socket]) -> None:
    connection, far, _ = ends
    for _ in range(3):
        far.send(("beat",))
    far.send(("progress", 1, 2, 3))
    assert connection.recv() == ("progress", 1, 2, 3)
    with pytest.raises(Silent, match=r"nothing was heard for 0\.5 s"):
        connection.recv()
    with pytest.raises((ConnectionError, EOFError)):
        connection.recv()


def test_what_no_worker_says_ends_a_connection(ends: tuple[Connection, FramedPipe, socket.socket]) -> None:
    connection, far, _ = ends
    far.send(("run", "text", []))
    with pytest.raises(Malformed, match="and found 'run'"):
        connection.recv()


def test_a_connection_that_is_cut_frees_who_sends(ends: tuple[Connection, FramedPipe, socket.socket]) -> None:
    connection, _, _ = ends
    caught: list[BaseException] = []

    def send() -> None:
        try:
            for _ in range(1000):
                connection.send(("log", "x" * 4000, 20, "y" * 4000, None))
        except ConnectionError as error:
            caught.append(error)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    sender.join(0.3)
    assert sender.is_alive(), "nobody reads at the other end"
    connection.cut()
    sender.join(60)
    assert len(caught) == 1


def test_an_absence_begins_once_and_the_waits_grow_until_it_is_of_use() -> None:
    absence = Absence(Patience())
    assert absence.begin(0.0, epoch=1000.0, reason="no route")
    assert not absence.begin(1.0, epoch=1001.0, reason="no route"), "which is no news"
    assert absence.begin(3.0, epoch=1003.0, reason="no key")
    assert (absence.since, absence.seconds_left(3.0, wanted=True)) == (1000.0, 4.0)
    absence.end(4.0)
    assert absence.since is None
    absence.was_lost(5.0)
    absence.begin(5.0, epoch=1005.0, reason="lost")
    assert absence.seconds_left(5.0, wanted=True) == 8.0, "it had been there for a second only"
    absence.end(6.0)
    absence.was_lost(100.0)
    absence.begin(100.0, epoch=1100.0, reason="lost")
    assert absence.seconds_left(100.0, wanted=True) == 1.0
