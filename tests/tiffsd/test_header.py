"""Metadata: what is written comes back, what is wrong is refused with a sentence, what is unknown is kept."""

import io
import json
from typing import Any

import pytest
from PIL import ImageCms

from tests.artifacts import file_of, latents
from tiffsd import BadHeader, Header, Kind, Layout, NewerFormat, State, TooLarge, new_id
from tiffsd.header import header_from, id_in_name, marks_in, parse, render
from tiffsd.profile import id_in_profile, profile
from tiffsd.spec import MOST_MARKS

HEADER = Header(
    Kind.LATENTS,
    "3f9a1c2e",
    Layout.PAGES,
    (4, 64, 96),
    parent="00000001",
    state=State.PARTIAL,
    sigma=3.25,
    step=12,
    steps=30,
    recipe={"prompt": "a müde Katze", "seed": 2**63, "loras": []},
    history=({"stage": "text", "seconds": 0.5, "notes": ["one"]},),
    software={"tiffsd": "0.1.0"},
    extra={"colour": "blue"},
)


def record(**changes: Any) -> dict[str, Any]:
    """The smallest record, with changes."""
    return {"tiffsd": 1, "kind": "latents", "id": "3f9a1c2e", "layout": "mosaic", "size": [4, 8, 8]} | changes


def test_what_is_rendered_is_parsed_again() -> None:
    _, full = render(HEADER)
    assert header_from(parse(full) or {}, name="x.tiff") == HEADER


def test_both_texts_are_one_line_of_ascii_without_a_key_shape() -> None:
    for text in render(HEADER):
        assert text.isascii()
        assert "\n" not in text
        assert '"shape"' not in text


def test_the_essentials_leave_out_what_can_be_long() -> None:
    essentials = json.loads(render(HEADER)[0])
    assert list(essentials) == ["tiffsd", "kind", "id", "layout", "size", "state", "sigma", "step", "steps"]


def test_unknown_keys_are_kept() -> None:
    header = header_from(record(mood="calm"), name="x.tiff")
    assert header.extra == {"mood": "calm"}
    assert json.loads(render(header)[1])["mood"] == "calm"


def test_a_newer_version_is_refused_with_a_sentence_that_says_so() -> None:
    with pytest.raises(NewerFormat, match=r"cat\.tiff is written in version 2 of TIFFSD.* update tiffsd"):
        header_from(record(tiffsd=2, kind="song"), name="cat.tiff")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tiffsd", 0),
        ("tiffsd", "1"),
        ("tiffsd", True),
        ("kind", "song"),
        ("kind", None),
        ("id", "3F9A1C2E"),
        ("id", 12345678),
        ("layout", "rgb"),
        ("layout", ["mosaic"]),
        ("size", [4, 8]),
        ("size", [4, 8, 8.0]),
        ("size", [4, 8, -8]),
        ("size", [0, 8, 8]),
        ("size", [4096, 8, 8]),
        ("size", "4x8x8"),
        ("parent", "me"),
        ("state", "ready"),
        ("sigma", -1),
        ("sigma", 1.234e222),
        ("sigma", 10**400),
        ("sigma", "3"),
        ("step", 1.5),
        ("steps", -1),
        ("recipe", ["a cat"]),
        ("history", {"stage": "text"}),
        ("history", ["text"]),
        ("software", 1),
    ],
)
def test_a_key_of_the_wrong_type_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(BadHeader, match=f'cat\\.tiff has "{key}"'):
        header_from(record(**{key: value}), name="cat.tiff")


def test_rgba_needs_four_channels() -> None:
    with pytest.raises(BadHeader, match="four channels"):
        header_from(record(layout="rgba", size=[16, 8, 8]), name="cat.tiff")


@pytest.mark.parametrize(
    "text", [None, "", "Created with GIMP", "{", '{"shape": [4, 8, 8]}', "[1]", '{"tiffsd": NaN}', "[" * 100_000]
)
def test_other_text_is_no_metadata(text: str | None) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("recipe", [{"seed": object()}, {"cfg": float("nan")}])
def test_what_json_cannot_hold_is_refused_when_written(recipe: dict[str, Any]) -> None:
    with pytest.raises(BadHeader, match="cannot be written as JSON"):
        render(Header(Kind.LATENTS, "3f9a1c2e", Layout.MOSAIC, (4, 8, 8), recipe=recipe))


def test_new_ids_are_eight_hexadecimal_digits() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(id_in_name(f"cat.{i}.tiff") == i for i in ids)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cat.3f9a1c2e.tiff", "3f9a1c2e"),
        ("cat.3f9a1c2e.TIF", "3f9a1c2e"),
        ("cat.00000001.3f9a1c2e.tiff", "3f9a1c2e"),
        ("cat.3f9a1c2e-2.tiff", "3f9a1c2e"),
        ("cat.3f9a1c2e (copy).tiff", "3f9a1c2e"),
        ("cat.tiff", None),
        ("3f9a1c2e.tiff", None),
        ("cat.3f9a1c2e5.tiff", None),
        ("cat.3F9A1C2E.tiff", None),
    ],
)
def test_the_id_is_found_in_the_name(name: str, found: str | None) -> None:
    assert id_in_name(name) == found


@pytest.mark.parametrize(("layout", "space"), [*zip(Layout, ("GRAY", "GRAY", "RGB ", "GRAY", "RGB "), strict=True)])
def test_profiles_are_valid_and_carry_the_id(layout: Layout, space: str) -> None:
    data = profile(layout, "3f9a1c2e")
    opened = ImageCms.ImageCmsProfile(io.BytesIO(data)).profile
    assert opened.xcolor_space == space
    assert opened.profile_description.endswith("3f9a1c2e")
    assert id_in_profile(data) == "3f9a1c2e"
    assert id_in_profile(ImageCms.ImageCmsProfile(io.BytesIO(data)).tobytes()) == "3f9a1c2e"


def test_the_srgb_profile_is_srgb_for_a_colour_engine() -> None:
    ours = ImageCms.ImageCmsProfile(io.BytesIO(profile(Layout.RGB, "3f9a1c2e"))).profile
    theirs = ImageCms.createProfile("sRGB")
    for name in ("red_primary", "green_primary", "blue_primary"):
        for mine, other in zip(getattr(ours, name)[0], getattr(theirs, name)[0], strict=True):
            assert mine == pytest.approx(other, abs=2e-4)


def test_foreign_profiles_have_no_id() -> None:
    assert id_in_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) is None
    assert id_in_profile(b"") is None


def test_marks_are_counted_outside_of_texts_where_there_are_many() -> None:
    assert marks_in('{"a": [1, 2]}') == 4
    assert marks_in(json.dumps({"prompt": ",:[{" * MOST_MARKS + '\\"', "n": [1]})) == 5
    assert marks_in("[" * 10 * MOST_MARKS) == MOST_MARKS + 1
    assert marks_in(b'"' + b"," * 10 * MOST_MARKS) == 0


def test_what_could_not_be_read_again_is_not_written() -> None:
    history = tuple({"stage": "edit"} for _ in range(MOST_MARKS))
    artifact = latents(history=history)
    with pytest.raises(TooLarge, match="more than 65536 values in tag 65000"):
        file_of(artifact)
