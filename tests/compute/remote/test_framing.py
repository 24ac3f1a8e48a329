"""Messages as bytes: what goes in comes out to the bit, and what is no message is refused before it costs anything."""

import json
import math
import os
import random
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from daemon.compute.remote.framing import DTYPES, LENGTHS, MAGIC, MOST_DEPTH, MOST_HEAD_BYTES, FramedPipe, Malformed
from tests.compute.remote.streams import received, sent
from tests.conftest import wait_until

FUZZED = 6000
MIB = 1 << 20
SETTINGS = {
    "model": {"name": "demo", "path": "builtin", "dtype": "float32", "vae": None, "device": "cpu", "parts": {"vae": None}},
    "prompt": "ein rotes Haus, \u8d64\u3044\u5bb6 \U0001f3e0 \udcff",
    "loras": [{"name": "ink", "path": "x", "text": 0.1, "denoiser": -0.0}],
    "seed": 2**63 + 11,
    "seeds": [1, 2**64 - 1, -(2**63)],
    "guidance_scale": 7.1,
    "eta": 5e-324,
    "width": None,
    "overlay": True,
}
FACTS = {
    "state": "final",
    "sigma": None,
    "dumps": [{"step": 3, "sigma": 0.1 + 0.2}],
    "notes": ["a note"],
    "software": {"processor": "x"},
    "seconds": 1 / 3,
}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal to the bit, of one type, tuples and lists aside."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and (one.dtype, one.shape, one.tobytes()) == (
            other.dtype,
            other.shape,
            other.tobytes(),
        )
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and repr(one) == repr(other)


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    made = {name: rng.integers(0, 2, 24).astype(dtype).reshape(2, 3, 4) for name, dtype in DTYPES.items()}
    nan = np.array([np.nan, -np.nan, np.inf, -0.0, 1.5], np.float32)
    nan.view(np.uint32)[0] |= 0x1234  # which NaN it is stays too
    return {
        **made,
        "nan": nan,
        "half": np.array([np.nan, 6e-8, -np.inf], np.float16),
        "0-d": np.array(2.5),
        "0-d bool": np.array(True),
        "empty": np.zeros((0, 4, 8), np.float32),
        "none at all": np.zeros((0,), bool),
        "transposed": np.arange(24, dtype=np.float32).reshape(4, 6).T,
        "every second": np.arange(24)[::2],
        "backwards": np.arange(24, dtype=np.uint8)[::-1],
    }


def head(message: Any, forms: Any = (), *, arrays: int = 0) -> bytes:
    """A frame with any head."""
    return framed(json.dumps({"message": message, "arrays": list(forms)}).encode(), arrays)


def framed(text: bytes, arrays: int = 0, data: bytes | None = None) -> bytes:
    return MAGIC + LENGTHS.pack(len(text), arrays) + text + (bytes(min(arrays, MIB)) if data is None else data)


MESSAGES: list[tuple[Any, ...]] = [
    ("run", "diffuse", [(7, arrays(), SETTINGS), (8, {}, SETTINGS)]),
    ("done", 7, {"latents": np.random.default_rng(1).standard_normal((4, 8, 8)).astype(np.float32)}, FACTS),
    ("estimate", 7, np.zeros((4, 8, 8), np.float16)),
    ("failed", 7, "InputError", "its sentence", "Traceback ...\n"),
    ("log", "daemon", 30, "words\x1b\n", None),
    ("progress", 7, 1, 20),
    ("beat",),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[0])
def test_a_message_comes_out_to_the_bit(message: tuple[Any, ...]) -> None:
    assert same(received(sent(message)), [message])


def test_messages_lie_one_behind_the_other() -> None:
    assert same(received(sent(*MESSAGES)), MESSAGES)


def test_arrays_come_out_writable() -> None:
    array = received(sent(("estimate", 1, np.zeros(3))))[0][2]
    array[0] = 1
    assert array[0] == 1


def test_arrays_of_the_other_byte_order_come_out_with_their_values() -> None:
    array = np.arange(5, dtype=">f4")
    assert same(received(sent(("x", array)))[0][1], array.astype("<f4"))


def test_numbers_of_numpy_come_out_as_plain_ones() -> None:
    assert same(received(sent(("x", np.float32(0.1), np.int64(3), np.bool_(True)))), [("x", float(np.float32(0.1)), 3, True)])


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 2**64, object, b"bytes", {1: 2}, {"$array": 0}, np.array(["words"]), np.zeros(2, complex), {1, 2}],
    ids=repr,
)
def test_what_can_be_no_message_is_not_sent_in_part(value: Any) -> None:
    written = os.memfd_create("sent")
    pipe = FramedPipe(written, written)
    with pytest.raises(ValueError, match="cannot be sent to another machine"):
        pipe.send(("x", np.zeros(4), value))
    assert os.fstat(written).st_size == 0
    pipe.close()


def test_what_is_too_large_is_not_sent() -> None:
    written = os.memfd_create("sent")
    pipe = FramedPipe(written, written, most_bytes=100)
    for value, what in (
        (np.zeros(101, np.uint8), "101 bytes of arrays"),
        ("x" * (MOST_HEAD_BYTES + 1), "words"),
        ([0] * MIB, "values"),
    ):
        with pytest.raises(ValueError, match=what):
            pipe.send(("x", value))
    pipe.close()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


FORM = {"dtype": "<f4", "shape": [1]}
WRONG = {
    "another magic": b"SSH-2.0-OpenSSH_9.6 and more words",
    "a long head": MAGIC + LENGTHS.pack(MOST_HEAD_BYTES + 1, 0) + bytes(64),
    "no JSON": framed(b"hello"),
    "no UTF-8": framed(b'{"message":["\xff"],"arrays":[]}'),
    "a list": framed(b"[]"),
    "no arrays": framed(b'{"message":[]}'),
    "more": framed(b'{"message":[],"arrays":[],"x":1}'),
    "a message that is none": head({}),
    "a name twice": framed(b'{"message":[],"message":[],"arrays":[]}'),
    "a name twice within": framed(b'{"message":[{"a":1,"a":1}],"arrays":[]}'),
    "NaN": framed(b'{"message":[NaN],"arrays":[]}'),
    "Infinity": framed(b'{"message":[-Infinity],"arrays":[]}'),
    "a large float": framed(b'{"message":[1e999],"arrays":[]}'),
    "a large number": head([2**64]),
    "a negative number": head([-(2**63) - 1]),
    "a million digits": framed(b'{"message":[' + b"9" * MIB + b'],"arrays":[]}'),
    "a million digits of a float": framed(b'{"message":[0.' + b"9" * MIB + b'],"arrays":[]}'),
    "too deep": head([nested(MOST_DEPTH)]),
    "much too deep": framed(b'{"message":' + b"[" * 500_000),
    "too many values": framed(b'{"message":[' + b"0," * (MIB + 1) + b'0],"arrays":[]}'),
    "an unknown type": head([{"$array": 0}], [{"dtype": "|O", "shape": [1]}], arrays=8),
    "a type that is none": head([{"$array": 0}], [{"dtype": ["<f4"], "shape": [1]}], arrays=4),
    "the other byte order": head([{"$array": 0}], [{"dtype": ">f4", "shape": [1]}], arrays=4),
    "a negative size": head([{"$array": 0}], [{"dtype": "<f4", "shape": [-1]}]),
    "a size that is none": head([{"$array": 0}], [{"dtype": "<f4", "shape": [True]}], arrays=4),
    "a broken size": head([{"$array": 0}], [{"dtype": "<f4", "shape": [1.0]}], arrays=4),
    "many dimensions": head([{"$array": 0}], [{"dtype": "<f4", "shape": [1] * 9}], arrays=4),
    "nothing, endlessly large": head([{"$array": 0}], [{"dtype": "<f4", "shape": [0, 2**60, 2**60]}]),
    "more bytes than the shapes": head([{"$array": 0}], [FORM], arrays=5),
    "fewer bytes than the shapes": head([{"$array": 0}], [FORM], arrays=3),
    "arrays without a form": head([], arrays=4),
    "a form without a type": head([{"$array": 0}], [{"shape": [1]}], arrays=4),
    "an array without a place": head([], [FORM], arrays=4),
    "an array at two places": head([{"$array": 0}, {"$array": 0}], [FORM], arrays=4),
    "an array that is not there": head([{"$array": 1}], [FORM], arrays=4),
    "an array before the first": head([{"$array": -1}], [FORM], arrays=4),
    "an array with a name more": head([{"$array": 0, "x": 1}], [FORM], arrays=4),
    "an array by a word": head([{"$array": "0"}], [FORM], arrays=4),
    "too many arrays": head([{"$array": n} for n in range(4097)], [{"dtype": "|u1", "shape": [0]}] * 4097),
    "neither true nor false": framed(b'{"message":[{"$array":0}],"arrays":[{"dtype":"|b1","shape":[1]}]}', 1, b"\x02"),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_message_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(Malformed, match=r"^expected .* found ") as caught:
        received(data)
    assert len(str(caught.value)) < 600


def test_words_of_a_shell_are_told_for_what_they_are() -> None:
    with pytest.raises(Malformed, match="prints words when somebody logs in"):
        received(b"Hello\n")


def test_arrays_beyond_the_bound_are_refused_before_they_come() -> None:
    with pytest.raises(Malformed, match="at most 1000 bytes in a message, and found 1001"):
        received(framed(b"", 1001), most_bytes=1000)


def test_a_message_that_breaks_off_is_an_end_wherever_it_does() -> None:
    data = sent(("estimate", 7, np.zeros((2, 3))))
    assert received(b"") == []
    for length in range(1, len(data)):
        with pytest.raises(EOFError):
            received(data[:length])


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_who_claims_8_gib_and_sends_little_costs_little() -> None:
    form = {"dtype": "|u1", "shape": [8 << 30]}
    text = json.dumps({"message": [{"$array": 0}], "arrays": [form]}).encode()
    data = MAGIC + LENGTHS.pack(len(text), 8 << 30) + text + bytes(MIB)
    tracemalloc.reset_peak()
    with pytest.raises(EOFError):
        received(data)
    assert tracemalloc.get_traced_memory()[1] < 64 * MIB


def test_damaged_streams_are_read_or_refused_and_nothing_else() -> None:
    whole = sent(*MESSAGES)
    chance = random.Random(20)
    outcomes, sentences = {"read": 0, "refused": 0, "ended": 0}, list[str]()
    for _ in range(FUZZED):
        try:
            received(damaged(whole, chance), most_bytes=64 * MIB)
            outcome = "read"
        except Malformed as error:
            outcome = "refused"
            sentences.append(str(error))
        except EOFError:
            outcome = "ended"
        outcomes[outcome] += 1
    assert min(outcomes.values()) > FUZZED / 50, outcomes
    assert [said for said in sentences if "\n" in said or len(said) > 600] == []


@pytest.mark.usefixtures("traced")
def test_damaged_streams_cost_no_more_memory_than_whole_ones() -> None:
    whole = sent(*MESSAGES)
    chance = random.Random(21)
    for _ in range(300):
        data = damaged(whole, chance)
        tracemalloc.reset_peak()
        with suppress(Malformed, EOFError):
            received(data)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """A stream with something wrong with it, or all of it."""
    kind = chance.randrange(6)
    data = bytearray(whole)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return MAGIC + chance.randbytes(chance.randrange(200))
    if kind == 2:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 3:
        place = chance.randrange(len(data))
        del data[place : place + chance.randrange(1, 20)]
    elif kind == 4:
        place = chance.randrange(len(data))
        data[place:place] = chance.randbytes(chance.randrange(1, 20))
    else:
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.choice([0, 0xFF, *b'"[]{}:,0919.-eEN$', chance.randrange(256)])
    return bytes(data)


def test_threads_that_send_at_once_do_not_mix_their_messages() -> None:
    read, write = os.pipe()
    sender, receiver = FramedPipe(os.dup(read), write), FramedPipe(read, os.dup(write))
    threads = [threading.Thread(target=lambda n=n: [sender.send(("x", n, np.full(5000, n))) for _ in range(20)]) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(80):
        _, number, array = receiver.recv()
        assert (array == number).all()
    for thread in threads:
        thread.join()
    sender.close()
    receiver.close()


def test_when_bytes_came_last_is_known_while_a_message_comes() -> None:
    read, write = os.pipe()
    pipe = FramedPipe(read, write)
    pipe.last_heard = 0.0
    before = time.monotonic()
    os.write(write, sent(("x", np.zeros(100)))[:50])
    reader = threading.Thread(target=_read_to_the_end, args=[pipe])
    reader.start()
    wait_until(lambda: pipe.last_heard >= before, what="the time of the first bytes")
    os.close(write)
    reader.join()
    os.close(read)


def test_patience_ends_where_nothing_comes_and_not_while_bytes_come() -> None:
    read, write = os.pipe()
    pipe = FramedPipe(read, write)
    pipe.patience = 0.2
    with pytest.raises(TimeoutError, match=r"nothing was heard for 0\.2 s"):
        pipe.recv()
    pipe.send(("beat",))
    assert pipe.recv() == ("beat",)
    os.write(write, MAGIC)
    with pytest.raises(TimeoutError):
        pipe.recv()
    pipe.close()


def _read_to_the_end(pipe: FramedPipe) -> None:
    with suppress(EOFError):
        pipe.recv()
