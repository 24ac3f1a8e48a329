"""Names: STEM.ID.EXT, the 255 bytes of a file name, and names that hold anything."""

import os
import sys

import pytest

import tiffsd.shown
from daemon import names


@pytest.mark.parametrize(
    ("name", "stem", "identity"),
    [
        ("cat.3f9a1c2e.tiff", "cat", "3f9a1c2e"),
        ("cat.tiff", "cat", None),
        ("cat.v2.tiff", "cat.v2", None),
        ("cat.3F9A1C2E.tiff", "cat.3F9A1C2E", None),
        ("cat.3f9a1c2e.0a0a0a0a.png", "cat.3f9a1c2e", "0a0a0a0a"),
        ("3f9a1c2e.tiff", "3f9a1c2e", None),
        ("cat", "cat", None),
        ("a cat. in 1.5 hats.txt", "a cat. in 1.5 hats", None),
    ],
)
def test_stem_and_id(name: str, stem: str, identity: str | None) -> None:
    assert names.stem_of(name) == stem
    assert names.id_of(name) == identity


def test_output_name_is_the_inverse_of_stem_and_id() -> None:
    name = names.output_name("cat", "3f9a1c2e", ".tiff")
    assert name == "cat.3f9a1c2e.tiff"
    assert (names.stem_of(name), names.id_of(name)) == ("cat", "3f9a1c2e")


def test_new_ids_are_ids() -> None:
    assert names.id_of(f"x.{names.new_id()}.y") is not None
    assert names.new_id() != names.new_id()


@pytest.mark.parametrize("stem", ["x" * 300, "\N{CAT}" * 100, os.fsdecode(b"\xff" * 300)])
def test_long_stems_give_way_to_the_id(stem: str) -> None:
    name = names.output_name(stem, "3f9a1c2e", ".tiff")
    assert 250 < len(os.fsencode(name)) <= 255
    assert name.endswith(".3f9a1c2e.tiff")
    assert len(os.fsencode(names.numbered(name, 12))) <= 255


@pytest.mark.parametrize(
    ("stem", "taken"),
    [
        ("a cat in the hat", "a cat in the hat"),
        ('a<b>c:d"e/f\\g|h?i*j', "a_b_c_d_e_f_g_h_i_j"),
        ("two\nlines\x7f", "two_lines_"),
        (os.fsdecode(b"latin-\xe9"), "latin-_"),
        ("\N{CAT} d\N{COMBINING ACUTE ACCENT}", "\N{CAT} d\N{COMBINING ACUTE ACCENT}"),
        ("why not. . ", "why not"),
        ("...", "_"),
        ("con", "con_"),
        ("Nul.v2", "Nul_.v2"),
        ("COM1", "COM1_"),
        ("lpt\N{SUPERSCRIPT TWO}", "lpt\N{SUPERSCRIPT TWO}_"),
        ("aux .x", "aux_.x"),
        ("conin$", "conin$_"),
        ("console", "console"),
        ("com10", "com10"),
        ("x" * 200, "x" * 120),
        ("\N{CAT}" * 100, "\N{CAT}" * 30),
        (os.fsdecode(b"\xff" * 300), "_" * 120),
    ],
)
def test_a_portable_stem_has_nothing_that_windows_does_not_take(stem: str, taken: str) -> None:
    assert names.portable(stem) == taken
    assert names.portable(taken) == taken
    assert len(os.fsencode(names.output_name(f"{taken}_step1000", "3f9a1c2e", ".tiff"))) <= 143


def test_numbers_go_behind_the_stem() -> None:
    assert names.numbered("cat.3f9a1c2e.tiff", 1) == "cat.3f9a1c2e.tiff"
    assert names.numbered("cat.3f9a1c2e.tiff", 2) == "cat-2.3f9a1c2e.tiff"
    assert names.numbered("cat_latent.tiff", 3, stem="cat") == "cat-3_latent.tiff"
    assert names.numbered("dog.tiff", 3, stem="cat") == "dog-3.tiff"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a/", "a\0b"])
def test_names_of_other_places_are_not_plain(name: str) -> None:
    assert not names.is_plain(name)


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("a cat\n\x1b[31m" + os.fsdecode(b"\xff") + "\N{CAT}", "a cat\\n\\x1b[31m\\udcff\N{CAT}"),
        ("\0\t\r\x7f\x85\x9b", "\\x00\\t\\r\\x7f\\x85\\x9b"),
        ("\u202egnp.exe\u2066\u200f\u061c", "\\u202egnp.exe\\u2066\\u200f\\u061c"),
        ("\u2028\u2029\ud800\ufeff", "\\u2028\\u2029\\ud800\\ufeff"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_an_escape(words: str, seen: str) -> None:
    assert names.shown(words) == seen
    assert names.shown(seen) == seen


@pytest.mark.parametrize(
    "words", ["", "a c:\\at", "\u732b\u3000\u00a0", "\U0001f469\u200d\U0001f680", "\u0645\u06cc\u200c\u062e", "e\u0301"]
)
def test_words_of_any_script_are_shown_as_they_are(words: str) -> None:
    assert names.shown(words) == words


def test_both_packages_show_the_same() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    assert names.shown(everything) == tiffsd.shown.shown(everything)
