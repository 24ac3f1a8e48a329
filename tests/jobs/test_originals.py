"""What an editor drops comes back from the kept original, whatever is left to find it by. No daemon, no model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import tiffsd
from daemon.errors import InputError
from daemon.jobs.explain import explain
from daemon.jobs.intake.files import InputSources
from daemon.jobs.originals import compared, exported_latents
from daemon.jobs.request import Request
from daemon.settings.config import Config
from tests.artifacts import embedding, latents, unmarried
from tests.opening import request_for
from tests.tiffsd.mistakes import ENDINGS, folder
from tiffsd import edit
from tiffsd.overlay import OVERLAY_MASK, PAINTED

DESCRIPTION, PROFILE, RECORD, TENSORS = 270, 34675, 65000, 65001


def saved_by_editor(source: Path, target: Path, *, keeping: tuple[int, ...], paint: bool = False) -> Path:
    """The file as an editor saves it that keeps only some tags; `paint` fills a corner."""
    with tifffile.TiffFile(source) as tiff:
        page = tiff.pages[0]
        pixels = page.asarray()
        tags = {code: page.tags[code].value for code in keeping}
    if paint:
        pixels[:3, :3] = 0.9
    tifffile.imwrite(
        target,
        pixels,
        metadata=None,
        photometric="minisblack",
        description=tags.get(DESCRIPTION),
        iccprofile=tags.get(PROFILE),
        extratags=[(code, 2, 0, tags[code], True) for code in (RECORD, TENSORS) if code in tags],
    )
    return target


LOSSES = {
    "nothing, by a new name": ((DESCRIPTION, PROFILE, RECORD, TENSORS), "renamed.tiff"),
    "the tensors": ((DESCRIPTION, PROFILE, RECORD), "renamed.tiff"),
    "the record": ((DESCRIPTION, PROFILE, TENSORS), "renamed.tiff"),
    "both": ((DESCRIPTION, PROFILE), "renamed.tiff"),
    "all but the profile": ((PROFILE,), "renamed.tiff"),
    "all but the id in the name": ((), "renamed.{id}.tif"),
    "all but the stem": ((), "cat.tiff"),
}


@pytest.mark.parametrize("made", [latents, embedding], ids=["latents", "embedding"])
@pytest.mark.parametrize(("keeping", "name"), LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("paint", [False, True], ids=["untouched", "painted"])
def test_whatever_is_lost_comes_back(
    made: Callable[[], tiffsd.Artifact], keeping: tuple[int, ...], name: str, paint: bool, tmp_path: Path
) -> None:
    original = made()
    keep = _kept(tmp_path, original)
    # A namesake: another artifact of the same stem, kind and size must not be taken for it.
    _kept(tmp_path, replace(original, header=replace(original.header, id=tiffsd.new_id()), tensors=_others(original)))
    name = name.format(id=original.header.id)
    path = saved_by_editor(keep, tmp_path / name, keeping=keeping, paint=paint)
    artifact = tiffsd.read(path, name=name, expect=original.header.kind)
    found = _compared(artifact, path, name=name, keep=keep.parent)
    assert found.header.id == original.header.id
    assert found.header.recipe == original.header.recipe
    assert found.header.state == original.header.state
    assert found.painted == (9 if paint else 0)
    for tensor, expected in original.tensors.items():
        differing = int((found.tensors[tensor] != expected).sum())
        assert differing == (9 if paint and tensor in {"latents"} | ({"prompt_embeds"} if made is embedding else set()) else 0)


def test_only_what_was_restored_is_said(tmp_path: Path) -> None:
    original = latents()
    keep = _kept(tmp_path, original)
    path = saved_by_editor(keep, tmp_path / "cat.tiff", keeping=(DESCRIPTION,))
    notes = _compared(tiffsd.read(path), path, name="cat.tiff", keep=keep.parent).notes
    assert any(
        f"restored from the original {original.header.id}: the record, negative_prompt_embeds, prompt_embeds" in note
        for note in notes
    )
    assert _compared(tiffsd.read(keep), keep, name=keep.name, keep=keep.parent).notes == ()


def test_a_record_that_survived_counts_before_that_of_the_kept_original(tmp_path: Path) -> None:
    original = latents(recipe={"prompt": "a red house", "steps": 20})
    keep = _kept(tmp_path, original)
    edited = replace(original, header=replace(original.header, recipe={"prompt": "a red house", "steps": 40}))
    tiffsd.write(tmp_path / "edited.tiff", edited)
    path = saved_by_editor(tmp_path / "edited.tiff", tmp_path / "cat.tiff", keeping=(DESCRIPTION, PROFILE, RECORD))
    found = _compared(tiffsd.read(path), path, name="cat.tiff", keep=keep.parent)
    assert found.header.recipe["steps"] == 40
    np.testing.assert_array_equal(found.tensors["prompt_embeds"], original.tensors["prompt_embeds"])


def test_a_stem_that_fits_two_originals_is_no_guess_but_a_sentence(tmp_path: Path) -> None:
    first = latents()
    second = replace(first, header=replace(first.header, id=tiffsd.new_id()))
    keep = _kept(tmp_path, first)
    _kept(tmp_path, second)
    path = saved_by_editor(keep, tmp_path / "cat.tiff", keeping=())
    with pytest.raises(InputError) as raised:
        _request(path, keep.parent)
    for words in (first.header.id, second.header.id, "cat.ID.tiff", "cat.txt", "cat.yaml"):
        assert words in str(raised.value)


def test_what_cannot_be_repaired_says_what_is_missing_and_the_two_ways_out(tmp_path: Path) -> None:
    keep = _kept(tmp_path, latents(seed=1))
    tiffsd.write(tmp_path / "whole.tiff", unmarried(latents()))
    path = saved_by_editor(tmp_path / "whole.tiff", tmp_path / "dog.tiff", keeping=())
    with pytest.raises(InputError, match=r"no embedding, and no original of it is kept; drop the prompt as dog\.txt .*dog\.yaml"):
        _request(path, keep.parent)


def test_an_edited_saved_embedding_gets_back_what_the_editor_dropped(tmp_path: Path) -> None:
    original = embedding()
    keep = _kept(tmp_path, original)
    (tmp_path / "embeddings").mkdir()
    saved_by_editor(keep, tmp_path / "embeddings/cat.tiff", keeping=(DESCRIPTION,), paint=True)
    tiffsd.write(tmp_path / "dog.tiff", latents(seed=3))
    (tmp_path / "dog.yaml").write_text("embedding: cat")
    request = _request(tmp_path / "dog.tiff", keep.parent, settings=tmp_path / "dog.yaml")
    np.testing.assert_array_equal(request.tensors["pooled_prompt_embeds"], original.tensors["pooled_prompt_embeds"])
    assert (request.tensors["prompt_embeds"] != original.tensors["prompt_embeds"]).sum() == 9
    assert any("cat.tiff: restored from the original" in note for note in request.notes)


def _kept(folder: Path, artifact: tiffsd.Artifact) -> Path:
    keep = folder / "keep"
    keep.mkdir(exist_ok=True)
    path = keep / f"cat.{artifact.header.id}.tiff"
    tiffsd.write(path, artifact)
    return path


def _compared(artifact: tiffsd.Artifact, path: Path, *, name: str, keep: Path) -> tiffsd.Artifact:
    with path.open("rb") as file:
        return compared(artifact, file, name=name, keep=keep)


def _others(artifact: tiffsd.Artifact) -> dict[str, np.ndarray]:
    return {name: tensor[::-1].copy() for name, tensor in artifact.tensors.items()}


def _request(path: Path, keep: Path, settings: Path | None = None) -> Request:
    members = {"principal": path}
    if settings:
        members[".yaml"] = settings
    return request_for("diffuse", members, InputSources(Config(), keep.parent / "embeddings", keep))


@pytest.mark.parametrize("name", ["cat.tiff", "renamed.tiff", "renamed.{id}.tiff"])
def test_what_a_program_changed_is_noticed_under_any_name(name: str, tmp_path: Path) -> None:
    original = latents()
    keep = _kept(tmp_path, original)
    changed = original.tensors["latents"].copy()
    changed[0, :2, :2] += 1
    path = tmp_path / name.format(id=original.header.id)
    tiffsd.write(path, replace(original, tensors={**original.tensors, "latents": changed}))
    found = _compared(tiffsd.read(path), path, name=path.name, keep=keep.parent)
    assert found.painted == 4
    assert f"4 of 1024 values differ from the original {original.header.id}" in found.notes


def test_what_a_program_changed_outside_of_a_mask_is_to_be_seen(tmp_path: Path) -> None:
    plain = latents(state=tiffsd.State.FINAL)
    original = replace(plain, tensors={**plain.tensors, OVERLAY_MASK: np.zeros((128, 128), np.uint8)})
    keep = _kept(tmp_path, original)
    changed = original.tensors["latents"].copy()
    changed[0, :2, 3] += 1
    path = tmp_path / "cat.tiff"
    tiffsd.write(path, replace(original, tensors={**original.tensors, "latents": changed}))
    found = _compared(tiffsd.read(path), path, name=path.name, keep=keep.parent)
    assert PAINTED in found.notes
    assert (found.tensors[OVERLAY_MASK][:16, 24:32] == 255).all()
    assert np.count_nonzero(found.tensors[OVERLAY_MASK]) == 16 * 8


def test_an_edit_of_what_an_editor_had_stripped_finds_its_way_back_to_the_original(tmp_path: Path) -> None:
    original = latents(history=({"stage": "text", "id": "0a0b0c0d"},))
    keep = _kept(tmp_path, original)
    stripped = saved_by_editor(keep, tmp_path / "cat.tiff", keeping=(DESCRIPTION,))
    tiffsd.write(tmp_path / "scaled.tiff", edit.scale(tiffsd.read(stripped), latents=1.5))
    found = _compared(tiffsd.read(tmp_path / "scaled.tiff"), tmp_path / "scaled.tiff", name="scaled.tiff", keep=keep.parent)
    assert found.header.recipe == original.header.recipe
    assert [entry["stage"] for entry in found.header.history] == ["text", "edit"]
    np.testing.assert_array_equal(found.tensors["prompt_embeds"], original.tensors["prompt_embeds"])
    np.testing.assert_allclose(found.tensors["latents"], original.tensors["latents"] * 1.5, atol=1e-5)
    lost = "the record, negative_prompt_embeds, prompt_embeds"
    assert found.notes == (f"restored from the original {original.header.id}: {lost}",)


def test_what_was_taken_out_on_purpose_is_not_brought_back(tmp_path: Path) -> None:
    original = latents(history=({"stage": "text", "id": "0a0b0c0d"},))
    keep = _kept(tmp_path, original)
    stripped = tiffsd.read(saved_by_editor(keep, tmp_path / "cat.tiff", keeping=(DESCRIPTION,)))
    for made in (edit.split(original)[0], edit.with_settings(stripped, {"prompt": "a dog"})):
        tiffsd.write(tmp_path / "new.tiff", made)
        found = _compared(tiffsd.read(tmp_path / "new.tiff"), tmp_path / "new.tiff", name="new.tiff", keep=keep.parent)
        assert "prompt_embeds" not in found.tensors
        assert found.header.recipe["prompt"] == made.header.recipe["prompt"]
    split = edit.split(original)[0]
    made = replace(split, header=replace(split.header, recipe={"seed": 1}))
    tiffsd.write(tmp_path / "bare.tiff", made)
    found = _compared(tiffsd.read(tmp_path / "bare.tiff"), tmp_path / "bare.tiff", name="bare.tiff", keep=keep.parent)
    assert "prompt_embeds" not in found.tensors
    assert found.header.recipe == {"seed": 1}


@pytest.mark.parametrize("extension", [".png", ".jpg", ".JPEG", ".webp", ".psd", ".exr"])
def test_latents_that_an_editor_exported_as_a_picture_are_named_by_the_id_of_the_kept_ones(extension: str, tmp_path: Path) -> None:
    keep = tmp_path / ".keep"
    keep.mkdir()
    kept, words = latents(), embedding()
    tiffsd.write(keep / f"cat.{kept.header.id}.tiff", kept)
    tiffsd.write(keep / f"words.{words.header.id}.tiff", words)
    sentence = exported_latents(f"other.{kept.header.id}{extension}", keep) or ""
    assert f"these are latents {kept.header.id}, saved as {extension.lower()}" in sentence
    assert "export as TIFF, 32-bit float" in sentence
    for name in (f"cat{extension}", f"cat.00000000{extension}", f"words.{words.header.id}{extension}", f"cat.{kept.header.id}.tif"):
        assert exported_latents(name, keep) is None
    assert exported_latents(f"cat.{kept.header.id}{extension}", tmp_path / "nowhere") is None


@pytest.fixture
def spool_with_originals(tmp_path: Path) -> Path:
    """The folder of a spool that keeps the originals of the cases."""
    cases, keep = folder(), tmp_path / "spool/.keep"
    if cases is None:
        pytest.skip("the cases are not here")
    keep.mkdir(parents=True)
    for original in (cases / "originals").iterdir():
        (keep / original.name).write_bytes(original.read_bytes())
    return tmp_path / "spool"


def test_the_daemon_ends_every_case_as_the_table_says_and_check_foretells_it(spool_with_originals: Path) -> None:
    config = Config.model_validate({"folder": spool_with_originals.parent})
    cases = folder()
    assert cases is not None
    for name, (painted, words) in ENDINGS.items():
        foretold = foreseen(cases / name, config)
        if painted is None:
            assert foretold is None or not any(is_used for is_used, sentence in foretold if "3-decode" in sentence), name
            continue
        assert foretold is not None
        sentence = next(sentence for is_used, sentence in foretold if is_used and "inbox/3-decode: decoded" in sentence)
        assert (f"{painted} of " in sentence) == (painted > 0), name
        assert words.partition(" (")[0] in sentence, name


def foreseen(path: Path, config: Config) -> list[tuple[bool, str]] | None:
    try:
        return explain(path, config)
    except tiffsd.TiffsdError:
        return None
