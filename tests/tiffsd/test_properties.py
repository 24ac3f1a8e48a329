"""Properties of the format, for any artifact: what is written comes back, and what was painted is told from what was not."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tiffsd
from tiffsd import Artifact, Header, Kind, Layout, State

ID = "3f9a1c2e"
NAMED = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds", "mask")

sides = st.integers(1, 9)
values = st.floats(-7000, 7000, width=32)
tame = st.floats(-9, 9, width=32)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
records = st.dictionaries(st.text(), anything, max_size=4)
other_names = st.text(min_size=1, max_size=12).filter(lambda name: name not in ("__metadata__", "latents", "picture", *NAMED))
dtypes = st.sampled_from(["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]).map(np.dtype)
others = st.dictionaries(
    other_names.map(lambda name: f"scheduler.{name}") | other_names.filter(lambda name: "embeds" not in name),
    arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, max_dims=3, max_side=4, min_side=0)),
    max_size=3,
)


def floats(shape: tuple[int, ...], elements: st.SearchStrategy[float] = values) -> st.SearchStrategy[Any]:
    return arrays.arrays(np.float32, shape, elements=elements)


@st.composite
def headers(draw: st.DrawFn, kind: Kind, layout: Layout, size: tuple[int, ...]) -> Header:
    state = draw(st.none() | st.sampled_from(State)) if kind is Kind.LATENTS else None
    return Header(
        kind,
        draw(st.text("0123456789abcdef", min_size=8, max_size=8)),
        layout,
        size,
        parent=draw(st.none() | st.just("00000001")),
        state=state,
        sigma=draw(st.none() | st.floats(0, 200)) if state else None,
        step=draw(st.none() | st.integers(0, 10**6)),
        steps=draw(st.none() | st.integers(0, 10**6)),
        recipe=draw(records),
        history=tuple(draw(st.lists(records, max_size=2))),
        software=draw(st.dictionaries(st.text(), st.text(), max_size=2)),
        extra=draw(
            st.dictionaries(st.text(min_size=1).map(lambda key: f"x-{key}"), anything.filter(lambda v: v is not None), max_size=2)
        ),
    )


@st.composite
def latents(draw: st.DrawFn, elements: st.SearchStrategy[float] = values) -> Artifact:
    layout = draw(st.sampled_from([Layout.MOSAIC, Layout.PAGES, Layout.RGBA]))
    size = (4 if layout is Layout.RGBA else draw(st.integers(1, 18)), draw(sides), draw(sides))
    tensors = {"latents": draw(floats(size, elements)), **draw(others)}
    if layout is Layout.RGBA:
        tensors["latents"] /= 10  # raw values reach the largest pixel sooner
    if draw(st.booleans()):
        tensors["prompt_embeds"], tensors["negative_prompt_embeds"] = draw(floats((3, 5))), draw(floats((2, 5)))
    if draw(st.booleans()):
        tensors["mask"] = draw(arrays.arrays(np.bool_, size[1:]))
    return Artifact(draw(headers(Kind.LATENTS, layout, size)), tensors)


@st.composite
def embeddings(draw: st.DrawFn) -> Artifact:
    prompt, negative, width = draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(st.integers(1, 6))
    prompt += not prompt and not negative
    halves = {"prompt_embeds": draw(floats((prompt, width))), "negative_prompt_embeds": draw(floats((negative, width)))}
    tensors = {name: half for name, half in halves.items() if len(half)} | draw(others)
    if draw(st.booleans()):
        tensors["pooled_prompt_embeds"] = draw(floats((3,)))
    return Artifact(draw(headers(Kind.EMBEDDING, Layout.STRIP, (prompt, negative, width))), tensors)


@st.composite
def pictures(draw: st.DrawFn) -> Artifact:
    size = (draw(sides), draw(sides), 3)
    picture = draw(floats(size, st.floats(-1000, 1000, width=32)))
    if draw(st.booleans()):
        picture = picture.astype(np.float16)
    return Artifact(draw(headers(Kind.PICTURE, Layout.RGB, size)), {"picture": picture, **draw(others)})


def written(artifact: Artifact) -> io.BytesIO:
    file = io.BytesIO()
    tiffsd.write(file, artifact)
    file.seek(0)
    return file


@settings(max_examples=80, deadline=None)
@given(latents() | embeddings() | pictures())
def test_any_artifact_comes_back_whole(artifact: Artifact) -> None:
    file = written(artifact)
    found = tiffsd.read(file, expect=artifact.header.kind)

    assert found.header == artifact.header == tiffsd.inspect(file)
    assert tiffsd.find_id(file) == artifact.header.id
    assert (found.notes, found.painted) == ((), 0)
    assert set(found.tensors) == set(artifact.tensors)
    for name, tensor in artifact.tensors.items():
        wanted = tensor.astype(np.float32) if name == "picture" else tensor
        assert found.tensors[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found.tensors[name], wanted)


@settings(max_examples=30, deadline=None)
@given(latents() | embeddings(), st.sampled_from(Layout))
def test_any_layout_of_an_artifact_holds_the_same_tensors(artifact: Artifact, layout: Layout) -> None:
    if layout not in tiffsd.spec.LAYOUTS[artifact.header.kind] or (layout is Layout.RGBA and artifact.header.size[0] != 4):
        return
    tame_artifact = replace(artifact, tensors={k: t / 100 if t.dtype == np.float32 else t for k, t in artifact.tensors.items()})
    file = io.BytesIO()
    tiffsd.write(file, tame_artifact, layout=layout)
    found = tiffsd.read(file)

    assert found.header == replace(artifact.header, layout=layout)
    for name, tensor in tame_artifact.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], tensor)


@settings(max_examples=80, deadline=None)
@given(latents(elements=tame), st.data())
def test_any_painting_counts_where_it_is_and_nowhere_else(artifact: Artifact, data: st.DataObject) -> None:
    file = written(artifact)
    with tifffile.TiffFile(file) as tiff:
        pages = np.stack([page.asarray() for page in tiff.pages])
    what = data.draw(arrays.arrays(np.uint8, pages.shape, elements=st.integers(0, 3)))
    paint = data.draw(arrays.arrays(np.float32, pages.shape, elements=st.floats(1 / 64, 2, width=32)))
    step = 2.0**-20 * np.maximum(1, np.abs(pages))
    painted = np.select([what == 1, what == 2, what == 3], [paint, pages + step / 3, pages + 3 * step], pages).astype(np.float32)
    painted.flat[0] = 1.5  # beyond white: not a canvas in 16-bit steps, nor a clipped one

    found = tiffsd.read(_repainted(file, painted))

    # Section 3 and 6 of the specification, pixel by pixel.
    exact = artifact.tensors["latents"].astype(np.float64)
    unit = (artifact.header.sigma**2 + 1) ** 0.5 if artifact.header.sigma is not None else 1.0
    raw = artifact.header.layout is Layout.RGBA
    zero, unit = (0.0, unit) if raw else (0.5, 8 * unit)
    pixels = _in_place(painted, artifact.header)
    expected = (zero + exact / unit).astype(np.float32)
    untouched = np.abs(pixels.astype(np.float64) - expected) <= 2.0**-20 * np.maximum(1, np.abs(pixels))
    wanted = np.where(untouched, artifact.tensors["latents"], ((pixels.astype(np.float64) - zero) * unit).astype(np.float32))
    np.testing.assert_array_equal(found.tensors["latents"], wanted)
    assert found.painted == untouched.size - untouched.sum()
    memory = {name for name in artifact.tensors if name.startswith("scheduler.")}
    assert set(found.tensors) == set(artifact.tensors) - (memory if found.painted else set())


def _in_place(pages: np.ndarray, header: Header) -> np.ndarray:
    """Pixels of the pages in the places of the latents."""
    channels, height, width = header.size
    if header.layout is Layout.PAGES:
        return pages
    if header.layout is Layout.RGBA:
        return np.moveaxis(pages[0], -1, 0)
    columns = next(c for c in range(1, channels + 1) if channels % c == 0 and c * c >= channels)
    panels = [(k // columns * height, k % columns * width) for k in range(channels)]
    return np.stack([pages[0, top : top + height, left : left + width] for top, left in panels])


def _repainted(file: io.BytesIO, pages: np.ndarray) -> io.BytesIO:
    """The same file with other pixels, as a program writes that paints in place."""
    copy = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as tiff:
        for page, pixels in zip(tiff.pages, pages, strict=True):
            start, count = page.dataoffsets[0], page.databytecounts[0]
            copy[start : start + count] = pixels.astype("<f4").tobytes()
    return io.BytesIO(bytes(copy))
