"""Proofs beside what waits, and the hands of people at them: a daemon in this process, with the maths of the embedded model."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image

import tiffsd
from daemon.inbox.held import HeldFiles, HoldFolder
from daemon.jobs.explain import explain
from daemon.layout import PROOFS
from daemon.names import LIMIT_BYTES
from daemon.service import proofs
from daemon.service.service import Service
from daemon.service.status import read_status
from tests.artifacts import latents
from tests.conftest import THREADS, wait_until
from tests.service.test_service import config_of
from tests.service.toy_engines import Here
from tests.thorough import mostly_thorough

IDENTITY = "3f9a1c2e"
CAT = f"cat.{IDENTITY}"
QUICK = {"compute": {"threads": THREADS}, "defaults": {"steps": 3}}
BLOCKS = slice(16, 40)

Found = TypeVar("Found")


def finished(*, seed: int = 0, **header: Any) -> tiffsd.Artifact:
    made = latents(state=tiffsd.State.FINAL, seed=seed, **header)
    smooth = np.repeat(np.repeat(made.tensors["latents"][:, ::8, ::8], 8, axis=1), 8, axis=2)
    return replace(made, header=replace(made.header, id=IDENTITY), tensors={**made.tensors, "latents": smooth})


def paint(proof: Path, *, to: Path | None = None) -> None:
    """Paint a red square on a proof, with a program that keeps nothing but pixels."""
    pixels = np.asarray(Image.open(proof).convert("RGB")).copy()
    pixels[BLOCKS, BLOCKS] = (255, 0, 0)
    Image.fromarray(pixels).save(to or proof)


class Desk:
    """A daemon, ticked while somebody waits for it, and the folders that a person has before him."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.service = Service(config_of(folder, **{**QUICK, **settings}), engine=Here)
        self.service.start()
        self.root = self.service.spool.root
        self.held, self.inbox = self.root / "hold/3-decode", self.root / "inbox/3-decode"

    def until(self, look: Callable[[], Found], what: str) -> Found:
        """Let the daemon work until it is so."""

        def ticked() -> Found:
            self.service.tick(time.monotonic())
            return look()

        found: Found = wait_until(ticked, seconds=60, what=what)
        return found

    def found(self, pattern: str) -> Path:
        """The first file that matches, once it is there."""
        return self.until(lambda: sorted(self.root.glob(pattern)), pattern)[0]

    def idle(self) -> None:
        """Let the daemon work until there is nothing left to do, and it has looked once more."""
        looks: list[bool] = []

        def is_idle() -> bool:
            if not self.service._pace.wanted.is_set():  # it has looked since the last time
                looks.append(self.service._idle() and self.service._proofs.due is None)
                self.service._request_scan()
            return looks[-4:] == [True] * 4

        self.until(is_idle, "nothing is left to do")

    def hold(self, artifact: tiffsd.Artifact, name: str = f"{CAT}.tiff", folder: str = "hold/3-decode") -> Path:
        """Put latents into a hold folder, as a person does."""
        path = self.root / folder / name
        tiffsd.write(path, artifact)
        return path

    def with_proof(self) -> tuple[Path, Path]:
        """Finished latents on hold before decode, and their proof, once that is there."""
        path = self.hold(finished())
        return path, self.found(f"hold/3-decode/{CAT}.proof.png")

    def another(self, proof: Path, before: np.ndarray[Any, Any]) -> None:
        """Wait until a proof shows something else; for a moment there is none."""

        def is_another() -> bool:
            try:
                return bool((pixels(proof) != before).any())
            except OSError:
                return False

        self.until(is_another, "another proof")

    def complaints(self) -> str:
        self.service.tick(time.monotonic())
        return "\n".join(self.service._proofs.complaints())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.service.stop()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's latents are on their way."""
    monkeypatch.setattr(proofs, "LATE_SECONDS", 0.0)


def pixels(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path).convert("RGB"))


def test_beside_latents_that_wait_lies_the_picture_that_would_come_of_them(desk: Desk) -> None:
    path, proof = desk.with_proof()
    shown = pixels(proof)
    path.rename(desk.inbox / path.name)
    assert (pixels(desk.found("pictures/cat.*.png")) == shown).all()


OTHER_NAMES = ["cat.png", f"{CAT}.proof copy.png", f"{CAT}_painted.JPG", "mine.png"]


@pytest.mark.parametrize("name", mostly_thorough(OTHER_NAMES, always=OTHER_NAMES[0].__eq__))
def test_a_painted_proof_under_another_name_is_told_which_one_it_should_have(name: str, desk: Desk) -> None:
    path, proof = desk.with_proof()
    unpainted = pixels(proof)
    paint(proof, to=desk.held / name)
    desk.until(lambda: f"hold/3-decode/{name} is no proof by its name" in desk.complaints(), "it is told of")
    assert f"give it the name {proof.name} to have its paint used" in desk.complaints()
    (desk.held / name).rename(proof)
    desk.until(lambda: not desk.complaints(), "nothing is told any more")
    path.rename(desk.inbox / path.name)
    assert (pixels(desk.found("pictures/cat.*.png")) != unpainted).any()


def test_of_several_latents_none_is_guessed(desk: Desk) -> None:
    _, proof = desk.with_proof()
    desk.hold(finished(seed=1), name="cat.0000000b.tiff")
    paint(proof, to=desk.held / "cat.png")
    desk.until(lambda: "give it the name of its latents with .proof.png instead of .tiff" in desk.complaints(), "it is told of")


def test_a_proof_is_neither_counted_nor_listed_and_goes_with_its_latents(desk: Desk) -> None:
    path, proof = desk.with_proof()
    status = read_status(desk.root, now=desk.service.spool._fs.now())
    assert status.stages["decode"].held == 1
    path.unlink()
    desk.until(lambda: not proof.exists(), "the proof is gone too")
    assert not list(desk.root.glob("failed/*/*"))


def test_half_done_latents_show_what_the_loop_saw_where_it_stopped(desk: Desk) -> None:
    (desk.root / "inbox/1-text/cat.txt").write_text("---\nstop_at: 2\nseed: 1\n---\na red house")
    shown = desk.found("hold/2-diffuse/cat.*.proof.png")
    assert pixels(shown).shape == (128, 128, 3)
    assert desk.service.compute.stages == ["text", "diffuse", "decode"]  # type: ignore[attr-defined]


def test_half_done_latents_that_were_painted_by_hand_show_what_the_loop_sees_of_them_now(desk: Desk) -> None:
    (desk.root / "inbox/1-text/cat.txt").write_text("---\nstop_at: 2\nseed: 1\n---\na red house")
    proof = desk.found("hold/2-diffuse/cat.*.proof.png")
    before, path = pixels(proof), proof.with_name(proof.name.replace(".proof.png", ".tiff"))
    artifact = tiffsd.read(path)
    changed = artifact.tensors["latents"].copy()
    changed[:, :8, :8] = 2
    tiffsd.write(path, replace(artifact, tensors={**artifact.tensors, "latents": changed}))
    desk.another(proof, before)
    assert desk.service.compute.stages[3:] == ["diffuse", "decode"]  # type: ignore[attr-defined]


def test_of_noise_there_is_no_proof_unless_somebody_asks_for_a_full_one(desk: Desk) -> None:
    said = {"prompt": "a red house", "negative_prompt": "", "model": "demo", "seed": 1}
    desk.hold(latents(), "cat.tiff", "hold/2-diffuse")
    desk.hold(latents(recipe={**said, "proof": "full"}), "dog.tiff", "hold/2-diffuse")
    assert desk.found("hold/2-diffuse/*.proof.png").name == "dog.proof.png"
    desk.idle()
    assert not list(desk.held.parent.glob("*/cat.proof.png"))


def test_no_proof_where_none_is_wanted(tmp_path: Path) -> None:
    said = {"prompt": "a red house", "model": "demo", "proof": "none"}
    for folder, settings, recipe in ((tmp_path / "a", {"proofs": {"when": "never"}}, {}), (tmp_path / "b", {}, {"recipe": said})):
        folder.mkdir()
        desk = Desk(folder, **settings)
        desk.hold(finished(**recipe))
        desk.idle()
        assert not list(desk.root.glob("hold/*/*.png"))
        desk.service.stop()


def test_without_a_worker_none_is_made_where_none_may_be_started_for_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, proofs={"start_worker": False})
    desk.service.compute.describe = lambda: {"alive": False}  # type: ignore[method-assign]
    desk.hold(finished())
    desk.idle()
    assert not list(desk.root.glob("hold/*/*.png"))
    del desk.service.compute.describe  # type: ignore[attr-defined]
    desk.found("hold/3-decode/*.proof.png")
    desk.service.stop()


def test_latents_that_are_saved_again_show_another_proof(desk: Desk) -> None:
    path, proof = desk.with_proof()
    before = pixels(proof)
    tiffsd.write(path, finished(seed=5))
    desk.another(proof, before)


def test_other_latents_under_the_same_name_get_a_proof_of_their_own(desk: Desk) -> None:
    path, proof = desk.with_proof()
    before = pixels(proof)
    other = finished(seed=5)
    tiffsd.write(path, replace(other, header=replace(other.header, id="00c0ffee")))
    desk.another(proof, before)
    assert not list(desk.root.glob("failed/*/*"))


def test_what_somebody_has_painted_on_is_never_written_again(desk: Desk) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    painted = proof.read_bytes()
    tiffsd.write(path, finished(seed=5))
    desk.idle()
    assert proof.read_bytes() == painted


def test_what_the_paint_leads_to_is_shown_in_the_previews(desk: Desk) -> None:
    _, proof = desk.with_proof()
    paint(proof)
    red = pixels(desk.found(f"previews/{CAT}.png"))[BLOCKS, BLOCKS].reshape(-1, 3).mean(axis=0)
    assert red[0] > 150
    assert red[1:].max() < 100


def test_paint_goes_along_when_the_latents_are_moved_alone(desk: Desk) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    path.rename(desk.inbox / path.name)
    made = pixels(desk.found("pictures/cat.*.png"))
    assert made[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150
    assert desk.found(f"done/*/{CAT}.proof.png")
    assert not proof.exists()


def test_latents_outside_of_the_painted_blocks_stay_the_same_to_the_bit(desk: Desk) -> None:
    path, proof = desk.with_proof()
    before = tiffsd.read(path).tensors["latents"]
    paint(proof)
    path.with_suffix(".apply").touch()
    desk.until(lambda: not path.exists(), "it is applied")
    after = tiffsd.read(desk.found("hold/3-decode/cat.????????.tiff")).tensors["latents"]
    changed = (before != after).any(axis=0)
    assert changed[2:5, 2:5].all()
    assert changed.sum() == 9


def test_an_untouched_proof_changes_nothing_and_is_taken_away(desk: Desk) -> None:
    path, proof = desk.with_proof()
    path.rename(desk.inbox / path.name)
    desk.found("pictures/cat.*.png")
    desk.until(lambda: not proof.exists(), "the proof is gone")
    assert not list(desk.root.glob("done/*/*.proof.png"))


@pytest.mark.parametrize("first", ["latents", "proof"])
@pytest.mark.parametrize("meanwhile", ["at once", "after some looks"])
def test_both_are_moved_in_either_order(desk: Desk, first: str, meanwhile: str) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    for moved in (path, proof) if first == "latents" else (proof, path):
        if moved.exists():  # the claim of the latents may have taken it
            moved.rename(desk.inbox / moved.name)
        if meanwhile == "after some looks":
            for _ in range(5):
                desk.service._request_scan()
                desk.service.tick(time.monotonic())
    made = pixels(desk.found("pictures/cat.*.png"))
    assert made[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150
    desk.idle()
    assert not list(desk.root.glob("failed/*/*"))


def test_a_proof_that_is_moved_alone_waits_and_names_its_latents(desk: Desk) -> None:
    _, proof = desk.with_proof()
    paint(proof)
    proof.rename(desk.inbox / proof.name)
    desk.idle()
    (waiting,) = desk.service._intake.scans["decode"].waiting
    assert waiting.reason == f"is a proof, and waits for its latents, {CAT}.tiff; move them here too, from hold/ if they lie there"
    assert (desk.inbox / proof.name).exists()


def test_a_proof_under_another_name_is_known_by_what_it_says_of_itself(desk: Desk) -> None:
    path, proof = desk.with_proof()
    with Image.open(proof) as image:
        image.load()
        levels = np.asarray(image.convert("RGB")).copy()
        levels[BLOCKS, BLOCKS] = (255, 0, 0)
        from PIL.PngImagePlugin import PngInfo

        kept = PngInfo()
        kept.add_text("Comment", image.info["Comment"])
    Image.fromarray(levels).save(desk.inbox / "my version.proof.png", pnginfo=kept)
    desk.idle()
    path.rename(desk.inbox / path.name)
    made = pixels(desk.found("pictures/cat.*.png"))
    assert made[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("place", ["hold", "inbox"])
def test_paint_that_comes_after_its_latents_were_used_fails_with_a_sentence(desk: Desk, place: str) -> None:
    path, proof = desk.with_proof()
    path.rename(desk.inbox / path.name)
    shown = proof.read_bytes()
    desk.found("pictures/cat.*.png")
    desk.until(lambda: not proof.exists(), "the untouched proof is gone")
    late = (desk.held if place == "hold" else desk.inbox) / proof.name
    late.write_bytes(shown)
    paint(late)
    error = desk.found("failed/3-decode/cat.*/error.txt").read_text()
    assert f"{proof.name} came too late for {CAT}.tiff" in error
    assert desk.found(f"failed/3-decode/cat.*/{proof.name}")


@pytest.mark.parametrize("stage", ["1-text", "encode", "invert"])
def test_a_proof_in_a_stage_that_takes_none_is_refused_with_the_place_where_it_belongs(desk: Desk, stage: str) -> None:
    _, proof = desk.with_proof()
    proof.rename(desk.root / "inbox" / stage / proof.name)
    error = desk.found(f"failed/{stage}/cat.*/error.txt").read_text()
    assert "is the proof of latents" in error
    assert "restore" not in error
    assert "hold/2-diffuse or hold/3-decode" in error


def test_a_painted_proof_of_deleted_latents_stays_and_is_named(desk: Desk) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    path.unlink()
    desk.idle()
    assert proof.exists()
    assert f"hold/3-decode/{proof.name} was painted on" in desk.complaints()
    desk.hold(finished())
    desk.idle()
    assert not desk.complaints()


@pytest.mark.parametrize("sign", [f"{CAT}.apply", f"{CAT}.tiff.apply", f"{CAT}.apply.txt", "cat.apply", "cat.APPLY"])
def test_paint_is_applied_where_somebody_asks_for_it_and_the_latents_go_on_waiting(desk: Desk, sign: str) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    (desk.held / sign).touch()
    new = desk.found("hold/3-decode/cat.????????.proof.png")
    desk.until(lambda: not path.exists() and not (desk.held / sign).exists(), "the old ones are gone")
    new = desk.found("hold/3-decode/cat.????????.proof.png")
    assert new != proof
    shown = pixels(new)
    assert shown[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150
    assert {path.name, proof.name, sign} <= {found.name for found in desk.root.glob("done/*/*")}
    header = tiffsd.inspect(desk.found("hold/3-decode/cat.????????.tiff"))
    assert header.parent == IDENTITY
    assert header.history[-1]["painted_blocks"] == 9


def test_paint_on_half_done_latents_is_applied_and_held_by_the_rest_of_the_loop(desk: Desk) -> None:
    (desk.root / "inbox/1-text/cat.txt").write_text("---\nstop_at: 1\nseed: 1\nscheduler: ddim\n---\na red house")
    proof = desk.found("hold/2-diffuse/cat.*.proof.png")
    path = proof.with_name(proof.name.replace(".proof.png", ".tiff"))
    paint(proof)
    path.with_suffix(".apply").touch()
    desk.until(lambda: not path.exists(), "the pair is taken")
    new = desk.found("hold/2-diffuse/cat.*.proof.png")
    assert pixels(new)[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150
    artifact = tiffsd.read(new.with_name(new.name.replace(".proof.png", ".tiff")))
    assert (artifact.header.state, artifact.header.step, artifact.header.steps) == (tiffsd.State.PARTIAL, 1, 3)
    assert "held_mask" in artifact.tensors


def test_settings_beside_latents_go_into_the_record_of_the_new_ones(desk: Desk) -> None:
    path, proof = desk.with_proof()
    path.with_suffix(".yaml").write_text("priority: 7")
    paint(proof)
    path.with_suffix(".apply").touch()
    desk.until(lambda: not path.exists(), "the pair is taken")
    assert tiffsd.inspect(desk.found("hold/3-decode/cat.????????.tiff")).recipe["priority"] == 7


def test_there_is_nothing_to_apply_where_nothing_is_painted(desk: Desk) -> None:
    path, proof = desk.with_proof()
    path.with_suffix(".apply").touch()
    desk.idle()
    assert f"nothing is painted on the proof of {path.name}" in desk.complaints()
    assert path.exists()
    paint(proof)
    desk.until(lambda: not path.exists(), "it is applied once something is painted")


def test_a_painted_proof_that_went_ahead_gets_no_rival_and_is_used_when_its_latents_are_released(desk: Desk) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    proof.rename(desk.inbox / proof.name)
    desk.idle()
    assert not proof.exists()
    assert desk.service.spool.release_hold(path) == desk.inbox / path.name
    made = pixels(desk.found("pictures/cat.*.png"))
    assert made[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150


def test_of_two_proofs_the_painted_one_counts(desk: Desk) -> None:
    path, proof = desk.with_proof()
    shown = proof.read_bytes()
    paint(proof)
    proof.rename(desk.inbox / "hers.proof.png")
    with_id = desk.inbox / f"hers.{IDENTITY}.proof.png"
    (desk.inbox / "hers.proof.png").rename(with_id)
    desk.idle()
    proof.write_bytes(shown)
    path.rename(desk.inbox / path.name)
    proof.rename(desk.inbox / proof.name)
    made = pixels(desk.found("pictures/cat.*.png"))
    assert made[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150


def test_paint_that_cannot_be_used_is_told_of_while_the_latents_wait(desk: Desk) -> None:
    _, proof = desk.with_proof()
    Image.open(proof).resize((64, 64)).save(proof)
    desk.idle()
    assert "the paint on the proof of hold/3-decode/" in desk.complaints()
    assert "not of the size of the proof, 128x128" in desk.complaints()


@pytest.mark.parametrize("sign", [f"{CAT}.proof.apply"])
def test_who_names_the_proof_means_its_latents(desk: Desk, sign: str) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    (desk.held / sign).touch()
    desk.until(lambda: not path.exists(), "it is applied")


def test_a_second_name_of_a_file_that_not_everybody_may_read_shows_nothing_of_it(desk: Desk) -> None:
    private = desk.root.parent / "private.tiff"
    tiffsd.write(private, finished())
    private.chmod(0o600)
    (desk.held / f"{CAT}.tiff").hardlink_to(private)
    desk.idle()
    assert not list(desk.held.glob("*.png"))
    private.unlink()
    desk.found(f"hold/3-decode/{CAT}.proof.png")


def test_a_second_name_of_a_private_picture_is_no_paint(desk: Desk) -> None:
    path, proof = desk.with_proof()
    private = desk.root.parent / "private.png"
    paint(proof, to=private)
    private.chmod(0o600)
    (desk.root / f"inbox/2-diffuse/other.{IDENTITY}.proof.png").hardlink_to(private)
    desk.idle()
    path.rename(desk.inbox / path.name)
    desk.found("pictures/cat.*.png")
    assert not list(desk.root.glob("done/*/*.proof.png"))


def test_paint_is_found_among_as_many_versions_as_are_kept(desk: Desk) -> None:
    path, proof = desk.with_proof()
    levels = pixels(proof)
    for number in range(40):
        (desk.root / PROOFS / f"{IDENTITY}.{number:012}.{number:016}.png").write_bytes(proof.read_bytes()[:-1] + bytes([number]))
    paint(proof)
    path.rename(desk.inbox / path.name)
    assert (pixels(desk.found("pictures/cat.*.png")) != levels).any()


def test_check_foretells_what_is_painted_and_where_a_proof_belongs(desk: Desk) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    assert "9 of 256 blocks painted on its proof" in str(explain(path, desk.service.config))
    assert explain(proof, desk.service.config) == [
        (True, f"goes with {CAT}.tiff, of which it is the proof, on hold or into an inbox")
    ]


def test_who_approves_latents_wants_more_than_their_paint_to_be_applied(desk: Desk) -> None:
    path, proof = desk.with_proof()
    path.with_suffix(".apply").touch()
    desk.idle()
    paint(proof)
    desk.service.spool.release_hold(path)
    assert desk.found("pictures/cat.*.png")
    assert not list(desk.root.glob("hold/*/*")) + list(desk.root.glob("inbox/*/*"))


def test_what_somebody_has_written_into_a_sign_stays_where_latents_are_approved(desk: Desk) -> None:
    path, _ = desk.with_proof()
    sign = path.with_suffix(".apply")
    sign.write_text("a note to myself")
    desk.service.spool.release_hold(path)
    assert sign.read_text() == "a note to myself"


def test_a_sign_of_no_latents_that_wait_is_named(desk: Desk) -> None:
    (desk.held / "dog.apply").touch()
    desk.idle()
    assert "hold/3-decode/dog.apply asks for the paint on a proof to be applied" in desk.complaints()
    (desk.held / "dog.apply").unlink()
    desk.idle()
    assert not desk.complaints()


def test_a_picture_of_another_size_is_refused_and_nothing_is_lost(desk: Desk) -> None:
    path, proof = desk.with_proof()
    Image.open(proof).resize((64, 64)).save(proof)
    path.rename(desk.inbox / path.name)
    error = desk.found("failed/3-decode/cat.*/error.txt").read_text()
    assert "not of the size of the proof, 128x128" in error
    assert desk.found(f"failed/3-decode/cat.*/{proof.name}")


def test_a_program_that_changed_the_whole_picture_is_told_from_a_brush(desk: Desk) -> None:
    path, proof = desk.with_proof()
    Image.fromarray(255 - pixels(proof)).save(proof)
    path.rename(desk.inbox / path.name)
    assert "100% of the picture differs from the proof" in desk.found("failed/3-decode/cat.*/error.txt").read_text()


def test_thin_strokes_are_told_of(desk: Desk) -> None:
    path, proof = desk.with_proof()
    levels = pixels(proof).copy()
    levels[60, 8:80] = (255, 0, 0)
    Image.fromarray(levels).save(proof)
    path.rename(desk.inbox / path.name)
    history = json.dumps(tiffsd.inspect(desk.found("pictures/cat.*.tiff")).history)
    assert "thin strokes" in history


def test_two_painted_proofs_of_the_same_latents_are_one_too_many(desk: Desk) -> None:
    path, proof = desk.with_proof()
    paint(proof, to=proof.with_suffix(".tiff"))
    paint(proof)
    path.rename(desk.inbox / path.name)
    for one in desk.held.glob("*.proof.*"):
        one.rename(desk.inbox / one.name)
    assert "were both painted on" in desk.found("failed/3-decode/cat.*/error.txt").read_text()


@pytest.mark.parametrize("ending", [".proof.tiff", ".proof.tif", ".proof.webp", ".PROOF.PNG"])
def test_paint_counts_in_every_form_that_a_proof_may_be_saved_in(desk: Desk, ending: str) -> None:
    path, proof = desk.with_proof()
    options = {"lossless": True} if ending == ".proof.webp" else {}
    levels = pixels(proof).copy()
    levels[BLOCKS, BLOCKS] = (255, 0, 0)
    target = desk.held / f"{CAT}{ending}"
    if ending == ".PROOF.PNG":
        proof.unlink()
    Image.fromarray(levels).save(target, **options)
    path.rename(desk.inbox / path.name)
    made = pixels(desk.found("pictures/cat.*.png"))
    assert made[20:36, 20:36].reshape(-1, 3).mean(axis=0)[0] > 150


def test_of_several_proofs_that_were_shown_the_paint_is_on_the_one_it_differs_from_least(desk: Desk) -> None:
    path, proof = desk.with_proof()
    first = proof.read_bytes()
    tiffsd.write(path, finished(seed=5))
    desk.another(proof, pixels(proof))
    proof.write_bytes(first)  # an editor still had the first one open
    paint(proof)
    path.with_suffix(".apply").touch()
    desk.until(lambda: not path.exists(), "it is applied")
    assert tiffsd.inspect(desk.found("hold/3-decode/cat.????????.tiff")).history[-1]["painted_blocks"] == 9


def test_a_job_goes_first_and_the_proof_is_made_after_it(desk: Desk) -> None:
    desk.hold(finished())
    (desk.root / "inbox/1-text/dog.txt").write_text("a dog")
    desk.found("pictures/dog.*.png")
    desk.found("hold/3-decode/*.proof.png")
    assert desk.service.compute.stages[:2] == ["text", "diffuse"]  # type: ignore[attr-defined]


def test_once_makes_the_proofs_of_what_waits_and_ends(tmp_path: Path) -> None:
    service = Service(config_of(tmp_path, **QUICK, stages={"decode": {"hold": True}}), engine=Here)
    service.spool.create()
    (service.spool.inbox("text") / "cat.txt").write_text("a red house")
    assert service.run_once()
    assert len(list(service.spool.root.glob("hold/3-decode/cat.*.proof.png"))) == 1


def test_a_name_leaves_room_for_the_longest_ending_of_what_lies_beside_it(desk: Desk) -> None:
    stem = "c" * (LIMIT_BYTES - len(f".{IDENTITY}.tiff"))
    path = desk.hold(finished(), f"{stem}.{IDENTITY}.tiff")
    proof = desk.found("hold/3-decode/*.proof.png")
    assert len(proof.name) <= LIMIT_BYTES
    paint(proof)
    path.rename(desk.inbox / path.name)
    desk.found("done/*/*.proof.png")


def test_a_proof_finds_its_latents_by_the_id_where_they_have_another_name_by_now(desk: Desk) -> None:
    path, proof = desk.with_proof()
    paint(proof)
    path.rename(desk.inbox / f"hat.{IDENTITY}.tiff")
    proof.rename(desk.inbox / proof.name)
    desk.found("pictures/hat.*.png")
    assert desk.found(f"done/*/{proof.name}")


def test_a_file_that_cannot_be_proved_is_told_of_once_and_stays(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.hold(replace(finished(), header=replace(finished().header, recipe={"model": "nobody"})))
    desk.idle()
    assert [record.message for record in caplog.records if "no proof of hold/3-decode/" in record.message] != []
    assert (desk.held / f"{CAT}.tiff").exists()


def test_proofs_that_nobody_waits_for_any_more_are_deleted_by_the_retention(desk: Desk) -> None:
    path, _ = desk.with_proof()
    folder = desk.root / PROOFS
    old = folder / f"{IDENTITY}.aaaaaaaaaaaa.bbbbbbbbbbbbbbbb.png"
    old.write_bytes(b"png")
    gone = folder / "00000000.aaaaaaaaaaaa.bbbbbbbbbbbbbbbb.png"
    gone.write_bytes(b"png")
    desk.service.retention.sweep(time.time() + 400 * 86400)
    assert path.exists()
    assert old.exists()
    assert not gone.exists()


def test_where_nothing_is_known_to_have_changed_looks_take_a_thousandth_of_the_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.idle()
    looks: list[Path] = []
    seen = HoldFolder.look

    def counted(folder: HoldFolder, now: float) -> HeldFiles:
        looks.append(folder.folder)
        return seen(folder, now)

    monkeypatch.setattr(HoldFolder, "look", counted)
    monkeypatch.setattr(proofs, "IDLE_SHARE", 1e-9)
    now = time.monotonic()
    desk.service._proofs.due = None
    for after in (0.0, 1.0, 60.0):
        desk.service._proofs.look(now + after, news=False)
    assert len(looks) == 2  # one look at both folders
    desk.service._proofs.look(now + 61, news=True)
    assert len(looks) == 4
