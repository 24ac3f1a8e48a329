"""Editors used without the advice in the table, and every coding that libtiff writes: exact, or refused with what to do."""

from pathlib import Path

import pytest

import tiffsd
from tests.editors.conftest import need
from tests.editors.driving import EDITORS
from tests.editors.edits import Edit, Job
from tests.editors.outcomes import Outcome, Verdict, judged
from tests.editors.programs import FLOATS, HDRI, Q16, call
from tests.editors.specimens import specimens

SPECIMENS = {specimen.name: specimen for specimen in specimens()}
MOSAIC, PAGES, RGBA = "final, 4 channels", "final, 4 channels, pages", "final, 4 channels, rgba"

LIBTIFF_CODINGS = (
    "-B",
    "-8 -r 8",
    "-t -w 32 -l 32 -c lzw:3",
    "-c lzw:2",
    "-c zip:3",
    "-c zip:2 -B",
    "-c zstd:3",
    "-c lzma:2",
    "-c packbits",
)


def saved(editor_name: str, specimen: str, folder: Path, *command: str) -> Outcome:
    """What is left of a specimen that IN OUT, or a command with these two words in it, has saved again."""
    editor = next(editor for editor in EDITORS if editor.name == editor_name)
    need(editor)
    job = Job(SPECIMENS[specimen], Edit.SAVE, folder / "in.tiff", folder / "out.tiff")
    tiffsd.write(job.source, job.specimen.artifact)
    places = {"IN": job.source, "OUT": job.target}
    call(*(places.get(word, word) for word in command))
    return judged(editor, job)


@pytest.mark.parametrize("specimen", [MOSAIC, RGBA])
@pytest.mark.parametrize("coding", LIBTIFF_CODINGS)
def test_every_coding_of_libtiff_is_exact(coding: str, specimen: str, tmp_path: Path) -> None:
    assert saved("libtiff", specimen, tmp_path, "tiffcp", *coding.split(), "IN", "OUT").verdict is Verdict.EXACT


@pytest.mark.parametrize("coding", ["-B -c zip:3", "-B -c lzw:3"])
def test_the_corrupt_files_of_libtiff_with_predictor_3_and_swapped_bytes_are_refused(coding: str, tmp_path: Path) -> None:
    outcome = saved("libtiff", MOSAIC, tmp_path, "tiffcp", *coding.split(), "IN", "OUT")
    assert outcome.why.endswith("paint over them, or go back to the file before the program that made them")


def test_oiiotool_premultiplies_rgba_unless_told_otherwise_and_is_refused(tmp_path: Path) -> None:
    outcome = saved("oiiotool", RGBA, tmp_path, "oiiotool", "IN", "-o", "OUT")
    assert "premultiplied alpha" in outcome.why


def test_libvips_opens_only_the_first_page_unless_told_otherwise_and_is_refused(tmp_path: Path) -> None:
    outcome = saved("libvips", PAGES, tmp_path, "vips", "copy", "IN", "OUT")
    assert "save all pages" in outcome.why


@pytest.mark.parametrize("specimen", [MOSAIC, "final, 16 channels", "embedding", PAGES])
def test_imagemagick_hdri_is_exact_without_its_options_too(specimen: str, tmp_path: Path) -> None:
    assert saved("ImageMagick HDRI", specimen, tmp_path, HDRI, "IN", "OUT").verdict is Verdict.EXACT


@pytest.mark.parametrize("specimen", [MOSAIC, "final, 16 channels", "embedding", PAGES])
def test_floats_that_imagemagick_computed_in_16_bits_are_seen_through(specimen: str, tmp_path: Path) -> None:
    assert saved("ImageMagick Q16", specimen, tmp_path, Q16, "IN", *FLOATS, "OUT").verdict is Verdict.STEPS


def test_rgba_that_imagemagick_clipped_is_refused(tmp_path: Path) -> None:
    outcome = saved("ImageMagick Q16", RGBA, tmp_path, Q16, "IN", *FLOATS, "OUT")
    assert "was clipped by an editor" in outcome.why
