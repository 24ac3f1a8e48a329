"""The exact tensors as text: the same with the library that is fast and without it."""

import base64
import binascii
import importlib
import json

import numpy as np
import pytest
from safetensors.numpy import save

from tiffsd import exact

NOT_BASE64 = [b"QUI", b"Q", b"QU I=", b"QUI=QUJD", b"QUI==", b"=QUI", b"QUJD\n", b"QUJ\xff", "QUJ\xe9"]


@pytest.fixture(params=["binascii", "pybase64"])
def coder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pybase64 is not installed its half is left out."""
    fast = None if request.param == "binascii" else pytest.importorskip("pybase64")
    monkeypatch.setattr(exact, "pybase64", fast)


def test_the_fast_coder_is_taken_where_it_is_installed() -> None:
    installed = importlib.util.find_spec("pybase64") is not None
    assert (exact.pybase64 is not None) == installed


@pytest.mark.usefixtures("coder")
@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000])
def test_tensors_come_back_from_their_text_and_can_be_written_to(size: int) -> None:
    tensors = {"latents": np.arange(size, dtype=np.float32), "generator_state": np.arange(size % 256, dtype=np.uint8)}
    text = exact.encode_tensors(tensors, artifact_id="3f9a1c2e")
    assert b"\n" not in text
    back = exact.decode_tensors(text.decode(), artifact_id="3f9a1c2e")
    assert not isinstance(back, str)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)
        assert back[name].flags.writeable


@pytest.mark.usefixtures("coder")
def test_the_text_is_that_of_rfc_4648() -> None:
    text = exact.encode_tensors({"latents": np.ones(3, np.float32)}, artifact_id="3f9a1c2e")
    assert binascii.b2a_base64(binascii.a2b_base64(text, strict_mode=True), newline=False) == text


@pytest.mark.usefixtures("coder")
@pytest.mark.parametrize("text", NOT_BASE64)
def test_what_is_no_base64_is_damaged(text: bytes | str) -> None:
    assert "damaged" in str(exact.decode_tensors(text, artifact_id="3f9a1c2e"))


@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "f8", "i8", "u8"])
def test_the_text_is_that_of_the_safetensors_library(dtype: str) -> None:
    values = np.random.default_rng(5).random((2, 1, 7))
    tensors = {"B": values.astype("f4"), 'a"é\n': (9 * values).astype(dtype), "scheduler.n": np.array(1)}
    expected = base64.b64encode(save(tensors, metadata={"id": "3f9a1c2e"}))
    assert exact.encode_tensors(tensors, artifact_id="3f9a1c2e") == expected


def test_a_table_of_very_many_tensors_is_not_parsed() -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    table = {"__metadata__": {"id": "3f9a1c2e"}, **{f"t{number}": empty for number in range(20_000)}}
    head = json.dumps(table).encode()
    text = base64.b64encode(len(head).to_bytes(8, "little") + head)
    assert "damaged" in str(exact.decode_tensors(text, artifact_id="3f9a1c2e"))


def test_tensors_of_another_artifact_are_not_believed() -> None:
    text = exact.encode_tensors({"latents": np.zeros((4, 2, 2), np.float32)}, artifact_id="0a0b0c0d")
    assert isinstance(exact.decode_tensors(text, artifact_id="0a0b0c0d"), dict)
    assert exact.decode_tensors(text, artifact_id="3f9a1c2e") == "they belong to artifact '0a0b0c0d'"
