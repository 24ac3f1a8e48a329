"""`tiffsd worker --receive` as a process, with pipes: what ssh starts on a machine that lacks a model."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from daemon.compute.remote.cache import cache_folder
from daemon.compute.remote.fetched import NotTaken
from daemon.compute.remote.fetching import send
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.framing import FramedPipe
from daemon.compute.remote.identity import reference_to
from daemon.compute.remote.receiving import BLOCK
from daemon.compute.remote.references import Reference
from daemon.compute.remote.shelf import Shelf
from tests.compute.remote.test_identity import FILES, written
from tests.house import REPOSITORY

pytestmark = pytest.mark.slow

WEIGHTS = {**FILES, "unet/diffusion_pytorch_model.safetensors": os.urandom(20 * BLOCK)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return written(tmp_path / "model", WEIGHTS)


@pytest.fixture
def reference(model: Path) -> Reference:
    return reference_to(model, "model", "tiny", Fingerprints())


@contextmanager
def receiver(folder: Path, fetch_gb: float = 1) -> Iterator[tuple[FramedPipe, "subprocess.Popen[bytes]"]]:
    """The process on the other machine, and the pipe to it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(f"compute: {{fetch_gb: {fetch_gb}}}\n")
    environment = {name: value for name, value in os.environ.items() if name != "CACHE_DIRECTORY"}
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon", "worker", "--receive", "-c", folder / "config.yaml"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=REPOSITORY,
            env={**environment, "XDG_CACHE_HOME": str(folder)},
            bufsize=0,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield FramedPipe(process.stdout.fileno(), process.stdin.fileno()), process
    finally:
        with suppress(OSError):
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.wait()
        process.stdout.close()


def shelf(folder: Path) -> Shelf:
    return Shelf(dict, Fingerprints(), cache_folder({"XDG_CACHE_HOME": str(folder)}))


def test_a_model_goes_to_the_cache_of_the_user_there(model: Path, reference: Reference, tmp_path: Path) -> None:
    with receiver(tmp_path / "node") as (pipe, process):
        send(reference, model, pipe)
    assert process.returncode == 0
    assert (tmp_path / "node" / "stderr").read_bytes() == b""
    place = shelf(tmp_path / "node").place_of(reference)
    assert place is not None
    assert place.is_relative_to(tmp_path / "node" / "tiffsd" / "models")


def test_one_that_allows_none_refuses_with_the_sentence_and_its_name(model: Path, reference: Reference, tmp_path: Path) -> None:
    with receiver(tmp_path / "node", 0) as (pipe, process):
        with pytest.raises(
            NotTaken, match=f"^{socket.gethostname()} lacks the model 'tiny' .* takes no models from other machines"
        ):
            send(reference, model, pipe)
        assert process.wait(60) == 0
    assert shelf(tmp_path / "node").place_of(reference) is None


@pytest.mark.parametrize("blocks", [1, 10, 19])
def test_one_that_is_killed_in_the_middle_goes_on_where_it_was(
    blocks: int, model: Path, reference: Reference, tmp_path: Path
) -> None:
    told: list[int] = []
    with receiver(tmp_path / "node") as (pipe, process):

        def kill_in_the_middle(count: int) -> None:
            told.append(count)
            if sum(told) > blocks * BLOCK and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()

        with pytest.raises((OSError, EOFError)):
            send(reference, model, pipe, sent=kill_in_the_middle)
    again: list[int] = []
    with receiver(tmp_path / "node") as (pipe, _):
        send(reference, model, pipe, sent=again.append)
    assert sum(again) == reference.bytes
    # At once comes what was there; at most what was on the way comes twice.
    assert max(again) >= (blocks - 2) * BLOCK
    assert shelf(tmp_path / "node").place_of(reference) is not None


def test_what_is_no_daemon_is_said_in_one_line(tmp_path: Path) -> None:
    with receiver(tmp_path / "node") as (_, process):
        assert process.stdin is not None
        process.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
        assert process.wait(60) == 2
    said = (tmp_path / "node" / "stderr").read_text()
    assert "no daemon that it understands" in said
    assert "Traceback" not in said
