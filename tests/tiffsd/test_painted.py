"""A program that paints on latents as an editor would: what it does not touch stays exact, and what it does counts as paint."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tiffsd
from tests.artifacts import embedding, latents
from tiffsd.reading import exact_tensors

SIGMAS = [None, 0.03, 14.6146]
LAYOUTS = [tiffsd.Layout.MOSAIC, tiffsd.Layout.PAGES, tiffsd.Layout.RGBA]


def file_of(stored: tiffsd.Artifact, shown: np.ndarray[Any, Any]) -> io.BytesIO:
    file = io.BytesIO()
    tiffsd.write_painted(file, stored, shown)
    return file


def stored_in(file: io.BytesIO) -> tiffsd.Artifact:
    """What a file has for its exact tensors, as a program takes it that paints on."""
    tensors, why = exact_tensors(file)
    assert why is None
    return replace(tiffsd.read(file), tensors=tensors)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sigma", SIGMAS)
def test_what_is_not_painted_is_exact_and_what_is_painted_counts(layout: tiffsd.Layout, sigma: float | None) -> None:
    made = latents(sigma=sigma, state=tiffsd.State.PARTIAL)
    stored = replace(made, header=replace(made.header, layout=layout))
    shown = stored.tensors["latents"].copy()
    shown[1, 3:6, 2:9] = 2.5
    read = tiffsd.read(file_of(stored, shown))
    assert read.painted == 21
    was, found = stored.tensors["latents"], read.tensors["latents"]
    assert (found[shown == was] == was[shown == was]).all()
    assert found[1, 3:6, 2:9] == pytest.approx(2.5, abs=1e-5)
    assert read.header.id == stored.header.id


@pytest.mark.parametrize("sigma", SIGMAS)
def test_what_was_painted_before_stays_the_same_to_the_bit_when_somebody_paints_on(sigma: float | None) -> None:
    stored = latents(sigma=sigma, state=tiffsd.State.PARTIAL)
    first = tiffsd.read(file_of(stored, stored.tensors["latents"] + np.float32(0.3))).tensors["latents"]
    shown = first.copy()
    shown[0, :4, :4] = -9
    again = tiffsd.read(file_of(stored, shown)).tensors["latents"]
    assert (again[shown == first] == first[shown == first]).all()
    assert again[0, :4, :4] == pytest.approx(-9, abs=1e-4)


def test_showing_the_exact_values_again_takes_the_paint_away(tmp_path: Any) -> None:
    stored = latents()
    path = tmp_path / "cat.tiff"
    tiffsd.write_painted(path, stored, stored.tensors["latents"] + 1)
    with path.open("rb") as file:
        found = stored_in(io.BytesIO(file.read()))
    assert (found.tensors["latents"] == stored.tensors["latents"]).all()
    read = tiffsd.read(file_of(found, found.tensors["latents"]))
    assert read.painted == 0
    assert (read.tensors["latents"] == stored.tensors["latents"]).all()


def test_all_that_a_canvas_does_not_show_stays_as_it_was() -> None:
    stored = latents(state=tiffsd.State.PARTIAL, step=3, steps=9)
    memory = {**stored.tensors, "scheduler.model_outputs.0": np.arange(6, dtype=np.float32)}
    stored = replace(stored, tensors=memory)
    file = file_of(stored, stored.tensors["latents"] * 2)
    found = stored_in(file)
    assert {name: tensor.tobytes() for name, tensor in found.tensors.items()} == {
        name: tensor.tobytes() for name, tensor in memory.items()
    }
    assert found.header == stored.header
    assert "scheduler.model_outputs.0" not in tiffsd.read(file).tensors


def test_an_original_repairs_it_as_it_repairs_what_an_editor_saved() -> None:
    stored = latents()
    shown = stored.tensors["latents"].copy()
    shown[2, :5] = 1
    read = tiffsd.read(file_of(stored, shown))
    repaired = tiffsd.repair(read, stored)
    assert (repaired.tensors["latents"][shown == stored.tensors["latents"]] == shown[shown == stored.tensors["latents"]]).all()


@pytest.mark.parametrize(
    ("stored", "shown", "error", "words"),
    [
        (embedding(), np.zeros((4, 16, 16), np.float32), tiffsd.WrongKind, "only latents"),
        (latents(), np.zeros((4, 8, 16), np.float32), tiffsd.BadShape, "must be equal"),
        (latents(), np.full((4, 16, 16), np.nan, np.float32), tiffsd.BadValues, "finite"),
        (latents(), np.full((4, 16, 16), 1e6, np.float32), tiffsd.BadValues, "stay within"),
    ],
)
def test_what_could_not_be_read_again_is_refused(
    stored: tiffsd.Artifact, shown: np.ndarray[Any, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        file_of(stored, shown)
