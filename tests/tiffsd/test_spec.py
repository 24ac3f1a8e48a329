"""The specification stands on its own: a second reader written from it alone, and nothing in the code that it does not name."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

import tiffsd
from tests import second_reader
from tests.artifacts import file_of
from tiffsd import Artifact, Header, Kind, Layout, State, spec
from tiffsd.header import render

FAMILIES = (4, 16, 8, 3)
RECIPE = {"prompt": "猫", "seed": 7}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def samples() -> Iterator[Artifact]:
    """Artifacts of every kind and layout, of several numbers of channels, with and without sigma."""
    for layout in (Layout.MOSAIC, Layout.PAGES, Layout.RGBA):
        for channels in FAMILIES if layout is not Layout.RGBA else (4,):
            for sigma in (None, 2.5):
                header = Header(Kind.LATENTS, "3f9a1c2e", layout, (channels, 6, 8), state=State.PARTIAL, sigma=sigma, recipe=RECIPE)
                others = {"prompt_embeds": normal(7, 5), "mask": normal(6, 8) > 0, "scheduler.step": np.array(3)}
                yield Artifact(header, {"latents": normal(channels, 6, 8), **others})
    for rows in ((5, 3), (5, 0), (0, 3)):
        halves = {"prompt_embeds": normal(rows[0], 4), "negative_prompt_embeds": normal(rows[1], 4)}
        tensors = {name: half for name, half in halves.items() if len(half)} | {"pooled_prompt_embeds": normal(9)}
        yield Artifact(Header(Kind.EMBEDDING, "3f9a1c2e", Layout.STRIP, (*rows, 4), recipe=RECIPE), tensors)
    for dtype in (np.float32, np.float16):
        yield Artifact(
            Header(Kind.PICTURE, "3f9a1c2e", Layout.RGB, (5, 7, 3), recipe=RECIPE), {"picture": normal(5, 7, 3).astype(dtype)}
        )


@pytest.mark.parametrize("artifact", list(samples()), ids=lambda a: f"{a.header.layout}-{a.header.size}-{a.header.sigma}")
def test_a_second_reader_written_from_the_specification_gives_the_same_tensors(artifact: Artifact) -> None:
    data = file_of(artifact)

    record, exact, seen = second_reader.read(data)

    assert json.loads(json.dumps(record)) == json.loads(render(artifact.header)[1])
    ours = tiffsd.read(io.BytesIO(data))
    assert set(exact) == set(artifact.tensors) == set(ours.tensors)
    for name, tensor in exact.items():
        np.testing.assert_array_equal(tensor, artifact.tensors[name])
        np.testing.assert_array_equal(tensor, ours.tensors[name])
    unit = (artifact.header.sigma**2 + 1) ** 0.5 if artifact.header.sigma is not None else 1.0
    for name in seen.keys() & artifact.tensors.keys():
        meant, pixels = artifact.tensors[name], np.abs(artifact.tensors[name]) / (8 * unit) + 0.5
        assert (np.abs(seen[name] - meant) <= 2.0**-24 * (8 * unit * pixels + np.abs(meant))).all(), "the error of section 3"


def test_a_second_reader_sees_the_profile_and_the_names_of_pages() -> None:
    for artifact in samples():
        pages = second_reader.pages_of(file_of(artifact))
        names = [page.get(285) for page in pages]
        layout = artifact.header.layout
        assert names == ([b"channel %d" % k for k in range(len(pages))] if layout is Layout.PAGES else [None] * len(pages))
        space = {Layout.RGB: b"sRGB", Layout.RGBA: b"linear RGB"}.get(layout, b"linear gray")
        assert all(b"TIFFSD " + space + b" 3f9a1c2e" in page[34675] for page in pages)


def test_the_worked_example_is_what_is_written() -> None:
    header = Header(Kind.LATENTS, "3f9a1c2e", Layout.MOSAIC, (4, 1, 1), state=State.FINAL, recipe={"prompt": "a cat"})
    data = file_of(Artifact(header, {"latents": np.array([-4, 0, 1, 4], np.float32).reshape(4, 1, 1)}))

    dump = "".join(re.findall(r"^    [0-9a-f]{4}  ((?:[0-9a-f]{8} ?)+)", spec.__doc__ or "", re.MULTILINE))

    assert bytes.fromhex(dump) == data
    _, exact, seen = second_reader.read(data)
    assert exact["latents"].ravel().tolist() == seen["latents"].ravel().tolist() == [-4, 0, 1, 4]


def test_the_tags_of_the_specification_are_those_that_are_written() -> None:
    tables = (spec.__doc__ or "").partition("2. Artifacts")[0]
    types = {"SHORT": 3, "LONG": 4, "ASCII": 2, "UNDEFINED": 7}
    rows = re.findall(r"^    (\d+) +\w+ +([A-Z]+) +(\w+) ", tables, re.MULTILINE)
    said = {int(code): (types[kind], count) for code, kind, count in rows}
    for artifact in samples():
        with tifffile.TiffFile(io.BytesIO(file_of(artifact))) as tiff:
            for page in tiff.pages:
                found = {tag.code: (int(tag.dtype), tag.count) for tag in page.tags if tag.code not in (282, 283, 296, 305)}
                assert found.keys() <= said.keys()
                for code, (kind, count) in found.items():
                    assert kind == said[code][0]
                    assert said[code][1] in ("any", "n" if count == page.samplesperpixel else "", str(count))


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
        spec.MOST_TAGS,
        spec.MOST_TAGS_OF_ALL,
        spec.MOST_NUMBERS,
        spec.MOST_PLACES,
        spec.MOST_MARKS,
        spec.LARGEST_TABLE_BYTES,
        spec.MOST_CHANNELS,
        spec.LARGEST_RECORD_BYTES,
        spec.LARGEST_TENSORS_BYTES,
    ):
        assert f" {number:.0f} " in re.sub(r"[;,\n]", " ", limits)
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
