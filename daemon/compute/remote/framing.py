"""Messages between machines as bytes: JSON and raw arrays, so that nothing that comes in can run anything. Without torch.

    4 bytes   TSD1
    4 bytes   the length of the head, u32 little endian
    8 bytes   the length of all arrays together, u64 little endian
    head      {"message": [...], "arrays": [{"dtype": "<f4", "shape": [4, 8, 8]}, ...]} as JSON in UTF-8, where {"$array": 0} in the
              message stands for the first of the arrays; each is there once
    arrays    their bytes, little endian, in C order, one behind the other

A message is a tuple of plain JSON values and arrays; tuples within it come out as lists. JSON has here no NaN, no infinity, no name
twice in one object, and no integer beyond 64 bits; the values of arrays may be what they like. All lengths are looked at before
anything of that size is taken, and memory grows with the bytes that have come: who lies about a size gains nothing by it.
"""

import json
import math
import os
import select
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from daemon.compute.pipe import let_go

MAGIC = b"TSD1"
LENGTHS = struct.Struct("<IQ")
PLACE = "$array"
MOST_HEAD_BYTES = 8 << 20
MOST_BYTES = 8 << 30
MOST_ARRAYS = 4096
MOST_DIMENSIONS = 8
MOST_DEPTH = 32
MOST_VALUES = 1 << 20  # of the JSON: small ones take many times the memory of their text
SMALLEST, LARGEST = -(1 << 63), (1 << 64) - 1
LONGEST_NUMBER = 40  # characters: the reader of JSON takes any number of digits, and the longer the slower
PIECE_BYTES = 1 << 20
OF_A_SHELL = "if the shell of that account prints words when somebody logs in, let it do so for terminals only"
DTYPES = {
    np.dtype(code).str: np.dtype(code)
    for code in ("?", "<u1", "<i1", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")
}
Array = NDArray[Any]


class Malformed(ConnectionError):
    """What came is no message; the text says what was expected and what was found. Nothing more can be read behind it."""


class FramedPipe:
    """Messages over two descriptors, which it closes. Any thread may send, one at a time receives.

    `most_bytes` bounds the arrays of one message. `last_heard` is when bytes came last, by `time.monotonic`: a large message is a
    sign of life while it comes. `patience` is for how many seconds in a row nothing may come (None: for as long as it likes).
    """

    def __init__(self, read_fd: int, write_fd: int, *, most_bytes: int = MOST_BYTES) -> None:
        self.last_heard = time.monotonic()
        self.patience: float | None = None
        self._read_fd, self._write_fd, self._most_bytes = read_fd, write_fd, most_bytes
        self._sending = threading.Lock()

    def send(self, message: Sequence[Any]) -> None:
        """Send a message whole. Raises ValueError for what can be no message, before anything of it is sent, and OSError."""
        head, arrays = _packed(message, self._most_bytes)
        with self._sending:
            _write(self._write_fd, memoryview(head))
            for array in arrays:
                view = array.reshape(-1).view(np.uint8).data
                _write(self._write_fd, view)
                let_go(view)

    def recv(self) -> tuple[Any, ...]:
        """The next message, waited for; its arrays are writable. Raises Malformed, TimeoutError where patience ends, OSError, and
        EOFError where no more comes."""
        if (magic := bytes(self._taken(len(MAGIC)))) != MAGIC:
            raise Malformed(f"expected a message, which begins with {MAGIC!r}, and found {magic!r}; {OF_A_SHELL}")
        head_bytes, array_bytes = LENGTHS.unpack(self._taken(LENGTHS.size))
        if head_bytes > MOST_HEAD_BYTES:
            raise Malformed(f"expected the head of a message, of at most {MOST_HEAD_BYTES} bytes, and found one of {head_bytes}")
        if array_bytes > self._most_bytes:
            raise Malformed(f"expected arrays of at most {self._most_bytes} bytes in a message, and found {array_bytes}")
        message, forms = _head(self._taken(head_bytes), array_bytes)
        arrays = [self._array(dtype, shape) for dtype, shape in forms]
        places = set(range(len(arrays)))
        restored = tuple(_restored(part, arrays, places) for part in message)
        if places:
            raise Malformed(f"expected each array to have its place in the message, and found none for the one at {min(places)}")
        return restored

    def close(self) -> None:
        """Close both descriptors; nobody may be reading."""
        for descriptor in {self._read_fd, self._write_fd}:
            os.close(descriptor)

    def _array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        data = self._taken(math.prod(shape) * dtype.itemsize)
        # A truth value of another byte is neither true nor false to whom computes with it.
        if dtype == np.bool_ and (np.frombuffer(data, np.uint8) > 1).any():
            raise Malformed("expected an array of truth values, of bytes 0 and 1, and found another byte")
        return np.frombuffer(data, dtype).reshape(shape)

    def _taken(self, count: int) -> bytearray:
        """The next bytes, so many of them."""
        data, piece = bytearray(), memoryview(bytearray(min(count, PIECE_BYTES)))
        while len(data) < count:
            self._await_bytes()
            found = os.readv(self._read_fd, [piece[: count - len(data)]])
            if not found:
                raise EOFError("the connection ended")
            self.last_heard = time.monotonic()
            data += piece[:found]
        return data

    def _await_bytes(self) -> None:
        if self.patience is not None:
            poll = select.poll()
            poll.register(self._read_fd, select.POLLIN)
            if not poll.poll(self.patience * 1000):
                raise TimeoutError(f"nothing was heard for {self.patience:g} s")


def _packed(message: Sequence[Any], most_bytes: int) -> tuple[bytes, list[Array]]:
    """What a message is before its arrays, as bytes, and the arrays as they are sent. Raises ValueError."""
    arrays: list[Array] = []
    plain = [_plain(part, arrays, 1) for part in message]
    forms = [{"dtype": array.dtype.str, "shape": array.shape} for array in arrays]
    head = json.dumps({"message": plain, "arrays": forms}, allow_nan=False, separators=(",", ":")).encode()
    array_bytes = sum(array.nbytes for array in arrays)
    for what, count, most in (
        ("bytes of words and numbers", len(head), MOST_HEAD_BYTES),
        ("values", _values(head), MOST_VALUES),
        ("arrays", len(arrays), MOST_ARRAYS),
        ("bytes of arrays", array_bytes, most_bytes),
    ):
        if count > most:
            raise ValueError(f"a message of {count} {what} cannot be sent to another machine; {most} is the most")
    return MAGIC + LENGTHS.pack(len(head), array_bytes) + head, arrays


def _plain(value: Any, arrays: list[Array], depth: int) -> Any:
    """A value as JSON has it, with its arrays taken out. Raises ValueError."""
    if depth > MOST_DEPTH:
        raise ValueError("what is nested so deep cannot be sent to another machine")
    if isinstance(value, np.ndarray):
        arrays.append(_as_sent(value))
        return {PLACE: len(arrays) - 1}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        if PLACE in value or not all(isinstance(name, str) for name in value):
            raise ValueError(f"a mapping with other names than words, or with {PLACE}, cannot be sent to another machine")
        return {name: _plain(inner, arrays, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, arrays, depth + 1) for inner in value]
    if isinstance(value, bool | str | None) or (isinstance(value, int) and SMALLEST <= value <= LARGEST):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(f"a value such as {value!r:.80} cannot be sent to another machine")


def _as_sent(array: Array) -> Array:
    # Not ascontiguousarray, which makes a list of one value of an array without dimensions.
    array = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    if array.dtype.str not in DTYPES or array.ndim > MOST_DIMENSIONS:
        raise ValueError(f"an array of {array.ndim} dimensions and of type {array.dtype} cannot be sent to another machine")
    return array


def _head(data: bytearray, array_bytes: int) -> tuple[Sequence[Any], list[tuple[np.dtype[Any], tuple[int, ...]]]]:
    """The message of a head, with places for arrays in it, and type and shape of each of them. Raises Malformed."""
    head = _json(data)
    if not isinstance(head, dict) or head.keys() != {"message", "arrays"}:
        raise Malformed("expected a message and its arrays in the head, and found something else")
    message, said = head["message"], head["arrays"]
    if not isinstance(message, list) or not isinstance(said, list) or len(said) > MOST_ARRAYS:
        raise Malformed(f"expected a list as message, with at most {MOST_ARRAYS} arrays, and found something else")
    forms = [_form(form, array_bytes) for form in said]
    expected = sum(math.prod(shape) * dtype.itemsize for dtype, shape in forms)
    if expected != array_bytes:
        raise Malformed(f"expected arrays of {expected} bytes, by their shapes, and found {array_bytes}")
    return message, forms


def _form(said: Any, array_bytes: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    if not isinstance(said, dict) or said.keys() != {"dtype", "shape"}:
        raise Malformed("expected type and shape of an array, and found something else")
    name, shape = said["dtype"], said["shape"]
    if not isinstance(name, str) or name not in DTYPES:
        raise Malformed(f"expected an array of one of the types {', '.join(DTYPES)}, and found {name!r:.80}")
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise Malformed(f"expected the shape of an array, at most {MOST_DIMENSIONS} sizes, and found {shape!r:.80}")
    # An array without values may have any size beside its 0 as far as its bytes go, and numpy refuses large ones.
    if math.prod(size or 1 for size in shape) * DTYPES[name].itemsize > max(array_bytes, MOST_BYTES):
        raise Malformed(f"expected the shape of an array of at most {MOST_BYTES} bytes, and found {shape!r:.80}")
    return DTYPES[name], tuple(shape)


def _restored(value: Any, arrays: Sequence[Array], places: set[int], depth: int = 1) -> Any:
    """A value with its arrays put in, each taken out of the places that are left. Raises Malformed."""
    if depth > MOST_DEPTH:
        raise Malformed(f"expected values within values {MOST_DEPTH} deep at most, and found deeper ones")
    if isinstance(value, list):
        return [_restored(inner, arrays, places, depth + 1) for inner in value]
    if not isinstance(value, dict):
        return value
    if PLACE not in value:
        return {name: _restored(inner, arrays, places, depth + 1) for name, inner in value.items()}
    place = value[PLACE]
    if len(value) > 1 or type(place) is not int or place not in places:
        raise Malformed(f"expected the number of an array that was not named before, and found {place!r:.80}")
    places.remove(place)
    return arrays[place]


def _json(data: bytearray) -> Any:
    if _values(data) > MOST_VALUES:
        raise Malformed(f"expected at most {MOST_VALUES} values in a message, and found more")
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_object, parse_constant=_no_number, parse_int=_integer, parse_float=_float
        )
    except (ValueError, RecursionError) as error:  # which its sentences on JSON are, and on UTF-8
        raise Malformed(f"expected a message in JSON, and found none ({error!s:.200})") from error


def _values(head: bytes | bytearray) -> int:
    """How many values there are in JSON at most."""
    return sum(head.count(sign) for sign in (b",", b"[", b"{"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice in one object")
    return found


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= LONGEST_NUMBER else LARGEST + 1
    if not SMALLEST <= number <= LARGEST:
        raise ValueError(f"the number {digits:.40} has more than 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits) if len(digits) <= LONGEST_NUMBER else math.inf
    if not math.isfinite(number):
        raise ValueError(f"the number {digits:.40} is too large or too long")
    return number


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _write(descriptor: int, view: memoryview) -> None:
    written = 0
    while written < len(view):
        written += os.write(descriptor, view[written:])
