"""Models sent to a machine that lacks them: whole or not at all, gone on with after a cut, and within what it allows."""

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.compute.remote import receiving
from daemon.compute.remote.fetched import FetchedModels, NotTaken, locked
from daemon.compute.remote.fetching import send
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.framing import FramedPipe, Malformed
from daemon.compute.remote.identity import reference_to
from daemon.compute.remote.receiving import BLOCK, MOST_BYTES, receive
from daemon.compute.remote.references import Reference
from daemon.compute.remote.shelf import Lacking, Shelf
from daemon.errors import ModelMissing
from tests.compute.remote.machines import Machine, named, travelled
from tests.compute.remote.test_fingerprints import flip
from tests.compute.remote.test_identity import FILES, HOSTILE, written
from tests.conftest import wait_until

MB = 1_000_000
UNET = "unet/diffusion_pytorch_model.safetensors"
WEIGHTS = {**FILES, UNET: os.urandom(3 * BLOCK + 5), "vae/diffusion_pytorch_model.safetensors": os.urandom(2 * BLOCK)}
Changed = Callable[[bytes, int], bytes | None]


def unchanged(piece: bytes, _: int) -> bytes:
    return piece


@dataclass
class Link:
    """A connection between a front and the cache of a node, where bytes may be changed, or cut off (None)."""

    fetched: FetchedModels
    changed: Changed = unchanged
    carried: int = 0
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        (out, self._wire), (wire, to_node), (back, from_node) = os.pipe(), os.pipe(), os.pipe()
        self._out, self._to_node = out, to_node
        self.front = FramedPipe(back, self._wire, most_bytes=MOST_BYTES)
        self._node = FramedPipe(wire, from_node, most_bytes=MOST_BYTES)
        self._threads = [threading.Thread(target=run) for run in (self._relay, self._serve)]
        for thread in self._threads:
            thread.start()

    def _relay(self) -> None:
        with suppress(BrokenPipeError):
            while data := os.read(self._out, 1 << 16):
                piece = self.changed(data, self.carried)
                self.carried += len(data)
                if piece is None:
                    break
                with memoryview(piece) as left:
                    while left:
                        left = left[os.write(self._to_node, left) :]
        os.close(self._out)
        os.close(self._to_node)

    def _serve(self) -> None:
        try:
            receive(self._node, self.fetched, Fingerprints())
        except (Malformed, OSError) as error:
            self.errors.append(error)
        finally:
            self._node.close()

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_: object) -> None:
        self.front.close()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return written(tmp_path / "model", WEIGHTS)


@pytest.fixture
def reference(model: Path) -> Reference:
    return reference_to(model, "model", "tiny", Fingerprints())


@pytest.fixture
def node(tmp_path: Path) -> Machine:
    (tmp_path / "node").mkdir()
    return Machine(tmp_path / "node")


def fetched_by(node: Machine, most_bytes: int = 100 * MB) -> FetchedModels:
    return FetchedModels(node.cache, most_bytes, "gpu-box")


def left(node: Machine) -> list[str]:
    """What lies in the cache, but for the lock."""
    files = [path for path in node.cache.rglob("*") if path.is_file() and path.name != "lock"]
    return sorted(str(path.relative_to(node.cache)) for path in files)


def other(tmp_path: Path, name: str, size: int = 8 * MB) -> tuple[Path, Reference]:
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(os.urandom(size))
    return path, reference_to(path, "model", name, Fingerprints())


def test_a_model_that_was_lacking_is_sent_and_found(model: Path, node: Machine, tmp_path: Path) -> None:
    front = Machine(tmp_path)
    settings = travelled(named(model), front)
    with pytest.raises(Lacking) as caught:
        node.shelf.resolve(settings)
    lacking = Reference.read(caught.value.references[0])
    told: list[int] = []
    with Link(fetched_by(node)) as link:
        send(lacking, model, link.front, sent=told.append)
    place = Path(node.shelf.resolve(settings)["model"]["path"])
    assert place.is_relative_to(node.cache)
    assert {name: (place / name).read_bytes() for name in FILES} == WEIGHTS
    assert sum(told) == lacking.bytes
    assert len(left(node)) == len(FILES) + 1  # with fingerprints
    assert place.stat().st_mode & 0o077 == 0


def test_a_single_file_is_sent_under_a_plain_name(tmp_path: Path, node: Machine) -> None:
    path, reference = other(tmp_path, "a [weird] name")
    with Link(fetched_by(node)) as link:
        send(reference, path, link.front)
    assert left(node) == [f"models/{reference.digest}/model.safetensors"]


def test_several_models_go_over_one_connection(tmp_path: Path, node: Machine) -> None:
    some = [other(tmp_path, name, 1000) for name in "abc"]
    with Link(fetched_by(node)) as link:
        for path, reference in some:
            send(reference, path, link.front)
    assert len(left(node)) == 3


def test_what_is_there_already_is_not_sent(model: Path, reference: Reference, node: Machine) -> None:
    for most in (reference.bytes, 10_000):
        with Link(fetched_by(node)) as link:
            send(replace(reference, name="another"), model, link.front)
        assert link.carried < most + 10_000


@pytest.mark.parametrize("at", [0, 500, 3 * BLOCK // 2, 3 * BLOCK, 5 * BLOCK])
def test_after_a_cut_it_goes_on_where_it_was(at: int, model: Path, reference: Reference, node: Machine) -> None:
    cut = Link(fetched_by(node), lambda piece, before: piece if before + len(piece) <= at else None)
    with cut, pytest.raises((EOFError, OSError)):
        send(reference, model, cut.front)
    assert not list(fetched_by(node).folder.glob("*"))
    with Link(fetched_by(node)) as link:
        send(reference, model, link.front)
    assert len(left(node)) == len(FILES)
    # Whole blocks stay, and none of what was there is sent twice.
    assert link.carried < reference.bytes - max(at - BLOCK - 10_000, 0) + 10_000


def test_a_beginning_that_is_another_is_sent_anew(model: Path, reference: Reference, node: Machine) -> None:
    part = fetched_by(node).incoming / reference.digest / UNET
    part.parent.mkdir(parents=True)
    part.write_bytes(WEIGHTS[UNET][: 2 * BLOCK])
    flip(part, BLOCK)
    with Link(fetched_by(node)) as link:
        send(reference, model, link.front)
    assert link.carried > reference.bytes
    assert (fetched_by(node).published(reference) / UNET).read_bytes() == WEIGHTS[UNET]


def test_a_part_that_is_too_long_is_cut_to_its_length(model: Path, reference: Reference, node: Machine) -> None:
    part = fetched_by(node).incoming / reference.digest / UNET
    part.parent.mkdir(parents=True)
    part.write_bytes(WEIGHTS[UNET] + b"more")
    with Link(fetched_by(node)) as link:
        send(reference, model, link.front)
    assert link.carried < reference.bytes - len(WEIGHTS[UNET]) + 10_000
    assert (fetched_by(node).published(reference) / UNET).read_bytes() == WEIGHTS[UNET]


def test_a_bit_that_flips_on_the_way_is_refused_and_that_file_thrown_away(model: Path, reference: Reference, node: Machine) -> None:
    def flipped(piece: bytes, before: int) -> bytes:
        at = 2 * BLOCK - before
        return piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :] if 0 <= at < len(piece) else piece

    with (
        Link(fetched_by(node), flipped) as link,
        pytest.raises(NotTaken, match=r"did not arrive as it was sent: unet/diffusion_pytorch_model\.safetensors has another SHA"),
    ):
        send(reference, model, link.front)
    assert not any(UNET in name or name.startswith("models/") for name in left(node))
    with Link(fetched_by(node)) as again:
        send(reference, model, again.front)
    assert again.carried < reference.bytes - 2 * BLOCK + 10_000
    assert len(left(node)) == len(FILES)


def test_a_model_that_changes_while_it_is_sent_is_not_kept(model: Path, reference: Reference, node: Machine) -> None:
    flip(model / UNET, 10)
    with Link(fetched_by(node)) as link, pytest.raises(NotTaken, match="did not arrive as it was sent"):
        send(reference, model, link.front)
    os.truncate(model / UNET, BLOCK)
    with Link(fetched_by(node)) as link, pytest.raises(ModelMissing, match="was changed while it was sent"):
        send(reference, model, link.front)
    assert not any(name.startswith("models/") for name in left(node))


def test_a_machine_that_allows_none_says_what_it_lacks_and_what_to_do(model: Path, reference: Reference, node: Machine) -> None:
    sentence = r"gpu-box lacks the model 'tiny' \(0.01 GB in 8 files\) and takes no models.*set fetch_gb under `compute`"
    with Link(fetched_by(node, 0)) as link, pytest.raises(NotTaken, match=sentence):
        send(reference, model, link.front)
    assert link.carried < 10_000
    assert left(node) == []


def test_more_than_it_allows_is_refused_before_anything_is_sent(model: Path, reference: Reference, node: Machine) -> None:
    with Link(fetched_by(node, reference.bytes - 1)) as link, pytest.raises(NotTaken, match=r"fetch_gb .* allows 0.00\d+ GB"):
        send(reference, model, link.front)
    assert link.carried < 10_000
    assert left(node) == []


def test_more_than_its_disk_has_is_refused(node: Machine, reference: Reference, model: Path) -> None:
    files = (replace(reference.files[0], bytes=1 << 42), *reference.files[1:])
    with Link(fetched_by(node, 1 << 43)) as link, pytest.raises(NotTaken, match=r"the disk of .* there has \d+\.\d\d GB left"):
        send(replace(reference, files=files), model, link.front)


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path, node: Machine) -> None:
    some = [other(tmp_path, name) for name in "abc"]
    fetched = fetched_by(node, 20 * MB)
    for number, (path, reference) in enumerate(some[:2]):
        with Link(fetched) as link:
            send(reference, path, link.front)
        os.utime(fetched.published(reference), (number, number))
    assert node.shelf.place_of(some[0][1]) is not None  # which is now the one used last, and in use
    with Link(fetched) as link:
        send(some[2][1], some[2][0], link.front)
    assert [fetched.published(reference).exists() for _, reference in some] == [True, False, True]


def test_what_is_computed_with_stays_and_the_sentence_says_so(tmp_path: Path, node: Machine) -> None:
    (path, reference), (new_path, new) = other(tmp_path, "a"), other(tmp_path, "b")
    fetched = fetched_by(node, 10 * MB)
    with Link(fetched) as link:
        send(reference, path, link.front)
    with locked(fetched.published(reference), fcntl.LOCK_SH) as held:
        assert held
        with Link(fetched) as link, pytest.raises(NotTaken, match=r"computes with now take too much of the 0.01 GB"):
            send(new, new_path, link.front)
    assert fetched.published(reference).exists()
    with Link(fetched) as link:
        send(new, new_path, link.front)
    assert not fetched.published(reference).exists()


def test_a_shelf_holds_what_it_gave_and_lets_go_at_its_end(tmp_path: Path, node: Machine) -> None:
    path, reference = other(tmp_path, "a")
    fetched = fetched_by(node)
    with Link(fetched) as link:
        send(reference, path, link.front)
    shelf: Shelf = node.shelf
    for _ in range(2):
        assert shelf.place_of(reference) == fetched.published(reference) / "model.safetensors"
    with locked(fetched.published(reference), fcntl.LOCK_EX) as ours:
        assert not ours
    shelf.close()
    with locked(fetched.published(reference), fcntl.LOCK_EX) as ours:
        assert ours


def test_a_damaged_copy_is_replaced_also_under_who_computed_with_it(tmp_path: Path, node: Machine) -> None:
    path, reference = other(tmp_path, "a")
    fetched, shelf = fetched_by(node), node.shelf
    place = fetched.published(reference) / "model.safetensors"
    for _ in range(2):
        with Link(fetched) as link:
            send(reference, path, link.front)
        assert place.read_bytes() == path.read_bytes()
        assert shelf.place_of(reference) == place
        flip(place, 4 * MB)
        assert shelf.place_of(reference) is None


def test_what_was_begun_and_never_came_makes_room_first(tmp_path: Path, node: Machine) -> None:
    (path, reference), (begun_path, begun) = other(tmp_path, "a"), other(tmp_path, "b")
    fetched = fetched_by(node, 10 * MB)
    with Link(fetched, lambda piece, before: piece if before < 4 * MB else None) as link, suppress(EOFError, OSError):
        send(begun, begun_path, link.front)
    assert (fetched.incoming / begun.digest).exists()
    with Link(fetched) as link:
        send(reference, path, link.front)
    assert left(node) == [f"models/{reference.digest}/model.safetensors"]


def test_two_fronts_that_send_the_same_model_at_once_send_it_once(
    model: Path, reference: Reference, node: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_waits, waited = threading.Event(), []

    def held(piece: bytes, before: int) -> bytes:
        if before > BLOCK:
            assert second_waits.wait(60)
        return piece

    def pause(_: float) -> None:
        waited.append(1)
        second_waits.set()
        threading.Event().wait(0.01)

    monkeypatch.setattr("daemon.compute.remote.fetched.time.sleep", pause)
    with Link(fetched_by(node), held) as first, Link(fetched_by(node)) as second:
        sending = threading.Thread(target=send, args=(reference, model, first.front))
        sending.start()
        wait_until(lambda: first.carried > BLOCK, what="the first to be sent")
        send(reference, model, second.front)
        sending.join(60)
    assert waited
    assert first.carried > reference.bytes
    assert second.carried < 10_000
    assert len(left(node)) == len(FILES)


def test_who_is_slow_to_answer_says_that_it_lives(node: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "BEAT_SECONDS", 0.01)
    with Link(fetched_by(node)) as link:
        assert [link.front.recv() for _ in range(3)] == [("beat",)] * 3


def answers(node: Machine, *messages: Any, most_bytes: int = 100 * MB) -> tuple[list[Any], list[BaseException]]:
    """What the node says to messages, and what its end was."""
    found: list[Any] = []
    with Link(fetched_by(node, most_bytes)) as link:
        with suppress(BrokenPipeError):
            for message in messages:
                link.front.send(message)
        with suppress(EOFError):
            while True:
                found.append(link.front.recv())
    return found, link.errors


@pytest.mark.parametrize("what", [what for what in HOSTILE if what != "half a letter"])
def test_a_hostile_reference_is_refused_and_writes_nothing(what: str, node: Machine) -> None:
    said, errors = answers(node, ("take", 1, HOSTILE[what]))
    assert [message[0] for message in said] == ["refused"]
    assert errors == []
    assert left(node) == []


def small(name: str = "unet/a.json", size: int = 10) -> dict[str, Any]:
    empty = {"name": name, "bytes": size, "sampled": "0" * 64, "full": "0" * 64}
    return {"reference": {"kind": "model", "name": "tiny", "files": [empty]}}


TAKE = ("take", 1, small())
NO_MESSAGES: dict[str, list[Any]] = {
    "a word": [("give", "/etc/passwd")],
    "nothing": [()],
    "numbers": [(np.zeros(4),)],
    "numbers for a protocol": [("take", np.zeros(4), {}, {})],
    "numbers for a file": [TAKE, ("file", np.zeros(2, np.int64), np.zeros(2, np.int64))],
    "block first": [TAKE, ("block", np.zeros(10, np.uint8))],
    "another file": [TAKE, ("file", 1, 0)],
    "file that is none": [TAKE, ("file", "unet/a.json", 0)],
    "true": [TAKE, ("file", 0, False)],
    "behind": [TAKE, ("file", 0, 5)],
    "before": [TAKE, ("file", 0, -1)],
    "too much": [TAKE, ("file", 0, 0), ("block", np.zeros(11, np.uint8))],
    "nothing in a block": [TAKE, ("file", 0, 0), ("block", np.zeros(0, np.uint8))],
    "words": [TAKE, ("file", 0, 0), ("block", "0123456789")],
    "other numbers": [TAKE, ("file", 0, 0), ("block", np.zeros(1, np.float32))],
    "a table": [TAKE, ("file", 0, 0), ("block", np.zeros((1, 1), np.uint8))],
    "huge block": [TAKE, ("file", 0, 0), ("block", np.zeros(2 * MOST_BYTES, np.uint8))],
}


@pytest.mark.parametrize("what", NO_MESSAGES)
def test_what_is_no_message_of_this_protocol_ends_the_connection(what: str, node: Machine, tmp_path: Path) -> None:
    with Link(fetched_by(node)) as link, suppress(BrokenPipeError, ValueError):
        link.front = replaced(link)
        for message in NO_MESSAGES[what]:
            link.front.send(message)
            if message == TAKE:
                assert link.front.recv() == ("have", [[0, hashlib.sha256().hexdigest()]])
    assert [type(error) for error in link.errors] == [Malformed]
    assert not any(name.startswith("models/") for name in left(node))
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


def replaced(link: Link) -> FramedPipe:
    """The same end, with no bound on what is sent."""
    read, write = link.front._read_fd, link.front._write_fd
    return FramedPipe(read, write)


def test_another_version_of_this_protocol_is_refused_with_a_sentence(node: Machine) -> None:
    said, _ = answers(node, ("take", 2, small()))
    assert said[0][1] == "the two machines have different versions of tiffsd; install the same on both"


@contextmanager
def answering(answer: Any) -> Iterator[FramedPipe]:
    """A connection to a far end that says one thing, whatever it hears."""
    (heard, out), (back, said) = os.pipe(), os.pipe()
    far_end, pipe = FramedPipe(heard, said), FramedPipe(back, out)
    far_end.send(answer)
    yield pipe
    far_end.close()
    pipe.close()


ANSWERS: dict[str, Any] = {
    "nothing": (),
    "a word": ("thanks",),
    "numbers": (np.zeros(4),),
    "numbers of files": ("have", np.zeros((8, 2))),
    "too few": ("have", []),
    "no list": ("have", 7),
    "more than there is": ("have", [[10**9, "0"]] * 8),
    "negative": ("have", [[-1, "0"]] * 8),
    "no digest": ("have", [[0, 0]] * 8),
    "no sentence": ("refused", 7),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_is_none_ends_the_connection(what: str, model: Path, reference: Reference) -> None:
    with answering(ANSWERS[what]) as pipe, pytest.raises(Malformed, match="expected"):
        send(reference, model, pipe)


def test_a_refusal_is_shown_as_one_short_line(model: Path, reference: Reference) -> None:
    with answering(("refused", "no\n\x1b[2J" + "x" * 5000)) as pipe, pytest.raises(NotTaken) as caught:
        send(reference, model, pipe)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1100
