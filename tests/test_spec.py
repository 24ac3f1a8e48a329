"""The specification stands on its own: a second reader written from it alone, and nothing in the code that it does not name."""

import base64
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

import tiffsd
from tiffsd import Header, Kind, Layout, State, spec


def read_by_the_book(data: bytes) -> tuple[dict[int, object], np.ndarray]:
    """Tags and pixels of a gray TIFFSD file, with nothing but section 1, 3 and 4 of the specification."""
    assert data[:4] == b"II*\0"
    start = struct.unpack_from("<I", data, 4)[0]
    tags: dict[int, object] = {}
    for k in range(struct.unpack_from("<H", data, start)[0]):
        code, dtype, count, value = struct.unpack_from("<HHII", data, start + 2 + 12 * k)
        if dtype in (2, 7) and count > 4:
            tags[code] = data[value : value + count].rstrip(b"\0")
        else:
            tags[code] = value if dtype == 4 else value & 0xFFFF
    pixels = np.frombuffer(data, "<f4", count=tags[256] * tags[257], offset=tags[273])
    return tags, pixels.reshape(tags[257], tags[256])


def test_a_second_reader_can_be_written_from_the_specification(tmp_path: Path) -> None:
    latents = np.random.default_rng(1).standard_normal((4, 6, 8)).astype(np.float32)
    header = Header(Kind.LATENTS, "3f9a1c2e", Layout.MOSAIC, (4, 6, 8), state=State.PARTIAL, sigma=2.0, recipe={"seed": 7})
    tiffsd.write(tmp_path / "x.tiff", tiffsd.Artifact(header, {"latents": latents}))

    tags, canvas = read_by_the_book((tmp_path / "x.tiff").read_bytes())

    assert (tags[259], tags[262], tags[277], tags[278]) == (1, 1, 1, 12), "uncompressed, black is zero, gray, one strip"
    assert json.loads(tags[270]) == {
        "tiffsd": 1, "kind": "latents", "id": "3f9a1c2e", "layout": "mosaic", "size": [4, 6, 8], "state": "partial", "sigma": 2.0,
    }  # fmt: skip
    assert json.loads(tags[65000])["recipe"] == {"seed": 7}
    assert b"TIFFSD linear gray 3f9a1c2e" in tags[34675]
    expected = (0.5 + latents.astype(float) / (8 * 5**0.5)).astype(np.float32)
    np.testing.assert_array_equal(canvas, np.block([[expected[0], expected[1]], [expected[2], expected[3]]]))
    blob = base64.b64decode(tags[65001])
    length = struct.unpack_from("<Q", blob)[0]
    table = json.loads(blob[8 : 8 + length])
    begin, end = table["latents"]["data_offsets"]
    assert table["__metadata__"] == {"id": "3f9a1c2e"}
    assert blob[8 + length + begin : 8 + length + end] == latents.tobytes()


def test_every_kind_layout_state_tag_and_error_is_in_the_specification() -> None:
    text = spec.__doc__ or ""
    for word in (*Kind, *Layout, *State):
        assert word in text
    for tag in (spec.DESCRIPTION_TAG, spec.PROFILE_TAG, spec.RECORD_TAG, spec.TENSORS_TAG):
        assert str(tag) in text
    for error in tiffsd.TiffsdError.__subclasses__():
        assert error.__name__ in text


def test_the_numbers_of_the_specification_are_those_of_the_code() -> None:
    limits = (spec.__doc__ or "").partition("8. Limits")[2]
    for number in (
        spec.LARGEST_PIXEL,
        spec.LARGEST_EMBEDDING_PIXEL,
        spec.LARGEST_SIDE,
        spec.MOST_PAGES,
        spec.MOST_CHANNELS,
        spec.LARGEST_RECORD_BYTES,
        spec.LARGEST_TENSORS_BYTES,
    ):
        assert f" {number:.0f} " in limits.replace("\n", " ")
    assert f"2^{spec.MOST_SAMPLES[Kind.LATENTS].bit_length() - 1} of latents and embeddings" in limits
    assert f"2^{spec.MOST_SAMPLES[Kind.PICTURE].bit_length() - 1} of pictures" in limits
    assert f"{spec.CLIPPED_SHARE:.0%}".replace("%", " % (CLIPPED_SHARE)") in (spec.__doc__ or "")
    assert f"{spec.CUT_SHARE:.0%}".replace("%", " % (CUT_SHARE)") in (spec.__doc__ or "")


def test_the_errors_are_value_errors_that_the_public_face_exports() -> None:
    assert issubclass(tiffsd.TiffsdError, ValueError)
    assert {error.__name__ for error in tiffsd.TiffsdError.__subclasses__()} < set(tiffsd.__all__)


def test_importing_the_format_is_light() -> None:
    code = "import sys, tiffsd; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    here = Path(tiffsd.__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here).stdout
    for heavy in ("torch", "PIL", "scipy", "yaml", "daemon", "diffusers"):
        assert f"'{heavy}'" not in found
