"""What happens when people edit: the table of DESIGN section 2, row by row, against the real daemon."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

import tiffsd
from tests.artifacts import file_of, latents, unmarried
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

QUICK = {"steps": 2, "scheduler": "ddim"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    running = RunningDaemon(tmp_path_factory.mktemp("edits"))
    running.start()
    yield running
    running.close()


def married(**header: object) -> tiffsd.Artifact:
    recipe = {"prompt": "a red house", "negative_prompt": "", "model": "demo", "seed": 1, **QUICK}
    return latents(recipe=recipe, **header)


def paint(path: Path, value: float = 1.0) -> None:
    with Image.open(path) as image:
        image.load()
    image.paste(value, (2, 2, 7, 7))
    image.save(path)


def settled(daemon: RunningDaemon) -> None:
    """Wait until the daemon has looked at its folders twice more: a marker goes through and is refused."""
    for marker in ("marker-a.tiff", "marker-b.tiff"):
        daemon.drop("inbox/1-text", marker, b"x")
        daemon.found(f"failed/1-text/{Path(marker).stem}.*/error.txt")


def test_saving_in_place_while_on_hold_does_nothing_until_the_file_is_moved(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "held.txt", "---\nseed: 1\nhold: diffuse\nsteps: 2\n---\na red house")
    (held,) = daemon.found("hold/2-diffuse/held.*.tiff")
    paint(held, 0.9)
    paint(held, 0.1)
    settled(daemon)
    assert held.exists()
    moved = held.rename(daemon.spool / "inbox/2-diffuse" / held.name)
    (picture,) = daemon.found("pictures/held.*.tiff")
    assert not moved.exists()
    painted = [entry.get("painted", 0) for entry in tiffsd.inspect(picture).history]
    assert painted == [0, 25, 0]


def test_saving_in_a_paused_inbox_does_nothing_until_the_stage_goes_on(daemon: RunningDaemon) -> None:
    pause = daemon.drop("inbox/3-decode", "PAUSE", b"")
    settled(daemon)
    path = daemon.drop("inbox/3-decode", "paused.tiff", file_of(married(state=tiffsd.State.FINAL)))
    paint(path)
    settled(daemon)
    assert path.exists()
    pause.unlink()
    daemon.found("pictures/paused.*.png")


def test_a_save_in_the_moment_of_the_claim_gives_old_or_new_content_and_never_a_mix(daemon: RunningDaemon) -> None:
    path = daemon.spool / "inbox/1-text" / "racing.txt"
    versions = [f"---\nstepz: {number}\n---\n" + f"{number % 10}" * 5000 for number in range(40)]
    for number, version in enumerate(versions):
        with path.open("w") as file:
            file.write(version[:3000])
            file.flush()
            os.fsync(file.fileno())
            file.write(version[3000:])
        # Around the settle time, so that some saves meet the claim.
        ended = time.monotonic() + 0.03 + 0.01 * (number % 6)
        wait_until(lambda: time.monotonic() > ended, what="the pause between two saves")  # noqa: B023
    wait_until(lambda: not path.exists() and not list(daemon.spool.glob(".work/*")), what="all saves are worked off")
    contents = [found.read_text() for found in daemon.spool.glob("failed/1-text/racing*/racing*.txt")]
    assert set(contents) <= set(versions)
    assert len(contents) == len(set(contents)) > 1
    assert versions[-1] in contents


def test_each_file_saved_under_another_name_is_a_job_of_its_own_with_its_parent_in_the_record(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "first.txt", "---\nseed: 5\nhold: diffuse\nsteps: 2\n---\na red house")
    (held,) = daemon.found("hold/2-diffuse/first.*.tiff")
    identity = tiffsd.inspect(held).id
    data = held.read_bytes()
    for name in ("again.tiff", "once-more.tiff"):
        path = daemon.folder / name
        path.write_bytes(data)
        paint(path)
        daemon.drop("inbox/2-diffuse", name, path.read_bytes())
    results = daemon.found("pictures/again.*.tiff") + daemon.found("pictures/once-more.*.tiff")
    headers = [tiffsd.inspect(path) for path in results]
    assert len({header.id for header in headers}) == 2
    for header in headers:
        stages = {entry["stage"]: entry for entry in header.history}
        assert stages["text"]["id"] == identity
        assert stages["diffuse"]["painted"] == 25
        assert any("restored from the original" in note for note in stages["diffuse"]["notes"])


def test_noise_dropped_into_decode_is_decoded_as_it_is_and_the_record_says_so(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/3-decode", "noise.tiff", file_of(married()))
    (picture,) = daemon.found("pictures/noise.*.tiff")
    assert any("pure noise, decoded as they are" in note for note in tiffsd.inspect(picture).history[-1]["notes"])


def test_a_cropped_mosaic_is_refused_with_the_way_out(daemon: RunningDaemon) -> None:
    path = daemon.folder / "cropped.tiff"
    path.write_bytes(file_of(married()))
    with Image.open(path) as image:
        cropped = image.crop((0, 0, 32, 20))
        description = image.tag_v2[270]
    cropped.save(path, tiffinfo={270: description})
    daemon.drop("inbox/2-diffuse", "cropped.tiff", path.read_bytes())
    (error,) = daemon.found("failed/2-diffuse/cropped.*/error.txt")
    assert "cropped.tiff" in error.read_text()
    assert "pages" in error.read_text()


def test_a_cropped_pages_file_counts_in_its_new_size(daemon: RunningDaemon) -> None:
    path = daemon.folder / "narrow.tiff"
    path.write_bytes(file_of(married(), tiffsd.Layout.PAGES))
    with Image.open(path) as pages:
        cropped = [page.copy().crop((0, 0, 8, 16)) for page in ImageSequence.Iterator(pages)]
        description = pages.tag_v2.get(270, "")
    cropped[0].save(path, save_all=True, append_images=cropped[1:], tiffinfo={270: description})
    daemon.drop("inbox/2-diffuse", "narrow.tiff", path.read_bytes())
    (daemon.spool / "inbox/2-diffuse" / "narrow.txt").write_text("a red house")
    (picture,) = daemon.found("pictures/narrow.*.tiff")
    assert tiffsd.inspect(picture).size == (128, 64, 3)


@pytest.mark.parametrize(
    ("place", "kind", "taker"), [("2-diffuse", "picture", "inbox/encode"), ("encode", "latents", "inbox/2-diffuse")]
)
def test_an_artifact_in_a_stage_that_cannot_take_it_names_the_stage_that_can(
    daemon: RunningDaemon, place: str, kind: str, taker: str
) -> None:
    picture = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    header = tiffsd.Header(kind=tiffsd.Kind.PICTURE, id=tiffsd.new_id(), layout=tiffsd.Layout.RGB, size=picture.shape)
    made = tiffsd.Artifact(header, {"picture": picture}) if kind == "picture" else married()
    daemon.drop(f"inbox/{place}", f"stray-{kind}.tiff", file_of(made))
    (error,) = daemon.found(f"failed/{place}/stray-{kind}.*/error.txt")
    assert taker in error.read_text()


def test_a_file_deleted_from_an_inbox_or_from_hold_is_cancelled_silently(daemon: RunningDaemon) -> None:
    (daemon.spool / "inbox/2-diffuse/PAUSE").touch()
    path = daemon.drop("inbox/2-diffuse", "deleted.tiff", file_of(married()))
    settled(daemon)
    path.unlink()
    (daemon.spool / "inbox/2-diffuse/PAUSE").unlink()
    settled(daemon)
    assert not [found for found in daemon.spool.rglob("deleted*") if found.is_file()]


def test_latents_without_an_embedding_say_the_two_ways_out(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/2-diffuse", "lonely.tiff", file_of(unmarried(married())))
    (error,) = daemon.found("failed/2-diffuse/lonely.*/error.txt")
    assert "lonely.txt" in error.read_text()
    assert "lonely.yaml" in error.read_text()


def test_latents_without_an_embedding_go_on_with_the_prompt_beside_them(daemon: RunningDaemon) -> None:
    (daemon.spool / "inbox/2-diffuse/wordless.yaml").write_text("prompt: a blue tree\nsteps: 2\nhold: decode\n")
    daemon.drop("inbox/2-diffuse", "wordless.tiff", file_of(unmarried(married())))
    (held,) = daemon.found("hold/3-decode/wordless.*.tiff")
    assert tiffsd.inspect(held).recipe["prompt"] == "a blue tree"


def test_the_halves_of_the_prototype_wait_for_each_other_and_then_run(daemon: RunningDaemon) -> None:
    whole = married()
    daemon.drop("inbox/2-diffuse", "pair_latent.tiff", file_of(unmarried(whole)))
    wait_until(lambda: "pair_prompt.tiff" in (daemon.spool / "status.json").read_text(), what="the status names the missing half")
    header = tiffsd.Header(
        kind=tiffsd.Kind.EMBEDDING,
        id=tiffsd.new_id(),
        layout=tiffsd.Layout.STRIP,
        size=(77, 77, 128),
        recipe={"prompt": "a red house"},
    )
    embedding = {name: whole.tensors[name] for name in ("prompt_embeds", "negative_prompt_embeds")}
    daemon.drop("inbox/2-diffuse", "pair_prompt.tiff", file_of(tiffsd.Artifact(header, embedding)))
    daemon.found("pictures/pair.*.png")


def test_a_gate_file_holds_what_comes_after_and_lets_dropped_files_run(daemon: RunningDaemon) -> None:
    gate = daemon.drop("hold/3-decode", "HOLD", b"")
    daemon.drop("inbox/2-diffuse", "gated.tiff", file_of(latents(recipe={"model": "demo", "steps": 2, "prompt": "x", "seed": 1})))
    (held,) = daemon.found("hold/3-decode/gated.*.tiff")
    np.testing.assert_array_equal(tiffsd.read(held).tensors["latents"].shape, (4, 16, 16))
    held.rename(daemon.spool / "inbox/3-decode" / held.name)
    daemon.found("pictures/gated.*.png")
    gate.unlink()
