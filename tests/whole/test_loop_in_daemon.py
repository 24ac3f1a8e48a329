"""Inpainting, stops, dumps, the second pass and inversion through the real daemon, with the embedded model."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiffsd
from tests.running_daemon import RunningDaemon

pytestmark = pytest.mark.exact

PROMPT = "a red house in a meadow at sunset"
SEED = 7


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    running = RunningDaemon(tmp_path_factory.mktemp("daemon"))
    running.start()
    yield running
    running.close()


def prompt(**settings: object) -> str:
    return "".join(["---\n", *(f"{key}: {value}\n" for key, value in {"seed": SEED, **settings}.items()), "---\n", PROMPT])


def release(daemon: RunningDaemon, path: Path, stage: str = "2-diffuse") -> None:
    path.rename(daemon.spool / "inbox" / stage / path.name)


def pixels(path: Path) -> np.ndarray:
    result: np.ndarray = tiffsd.read(path.with_suffix(".tiff")).tensors["picture"]
    return result


def notes_of(path: Path) -> list[str]:
    return [note for entry in tiffsd.inspect(path.with_suffix(".tiff")).history for note in entry.get("notes", [])]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def photo() -> bytes:
    return png(Image.radial_gradient("L").resize((128, 128)).convert("RGB"))


def right_half() -> Image.Image:
    mask = Image.new("L", (128, 128))
    mask.paste(255, (64, 0, 128, 128))
    return mask


def test_a_picture_with_a_mask_and_a_prompt_is_made_anew_under_the_mask_alone(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/encode", "plain.png", photo())
    (unmasked,) = daemon.found("hold/3-decode/plain.*.tiff")
    (daemon.spool / "inbox/encode/photo_mask.png").write_bytes(png(right_half()))
    (daemon.spool / "inbox/encode/photo.txt").write_text(prompt(hold="decode"))
    daemon.drop("inbox/encode", "photo.png", photo())
    (held,) = daemon.found("hold/3-decode/photo.*.tiff")
    made = tiffsd.read(held)
    assert [entry["stage"] for entry in made.header.history] == ["encode", "diffuse"]
    assert "mask" not in made.header.recipe
    assert made.header.recipe["strength"] == 1.0
    assert "under the mask 50% of the picture is made anew" in notes_of(held)
    kept = tiffsd.read(unmasked).tensors["latents"]
    difference = np.abs(made.tensors["latents"] - kept)
    assert difference[..., 8:].mean() > 0.3
    # The other seed draws another sample of what the encoder saw.
    assert difference[..., :8].mean() < 0.05
    held.rename(daemon.spool / "inbox/3-decode" / held.name)
    (finished,) = daemon.found("pictures/photo.*.png")
    dropped, found = (np.asarray(Image.open(source)).astype(int) for source in (BytesIO(photo()), finished))
    np.testing.assert_array_equal(found[:, :64], dropped[:, :64])
    assert np.abs(found - dropped)[:, 64:].mean() > 10


def test_a_mask_survives_an_editor_that_keeps_only_the_canvas(daemon: RunningDaemon) -> None:
    (daemon.spool / "inbox/encode/kept.yaml").write_text("strength: 0.8\nmask: other_mask.png\n")
    (daemon.spool / "inbox/encode/kept.txt").write_text(prompt(hold="diffuse"))
    daemon.drop("inbox/encode", "kept.png", photo())
    daemon.drop("inbox/encode", "other_mask.png", png(right_half()))
    (held,) = daemon.found("hold/2-diffuse/kept.*.tiff")
    mask = tiffsd.read(held).tensors["mask"]
    assert mask.shape == (16, 16)
    assert (mask[:, :8] == 0).all()
    assert (mask[:, 8:] == 1).all()
    before = tiffsd.read(held).tensors["latents"]
    canvas = Image.open(held)
    canvas.paste(1.0, (2, 2, 6, 6))
    bare = Image.fromarray(np.asarray(canvas))
    name = held.name
    held.unlink()
    data = BytesIO()
    bare.save(data, format="TIFF")
    daemon.drop("hold/2-diffuse", f"{Path(name).stem}.yaml", "hold: decode\n").rename(
        daemon.spool / "inbox/2-diffuse" / f"{Path(name).stem}.yaml"
    )
    daemon.drop("inbox/2-diffuse", name, data.getvalue())
    (done,) = daemon.found("hold/3-decode/kept.*.tiff")
    after = tiffsd.read(done).tensors["latents"]
    assert "under the mask 50% of the picture is made anew" in notes_of(done)
    assert (after[0, 2:6, 2:6] == 4).all()
    done.rename(daemon.spool / "inbox/3-decode" / done.name)
    (finished,) = daemon.found("pictures/kept.*.png")
    changed = (np.asarray(Image.open(finished)) != np.asarray(Image.open(BytesIO(photo())))).any(axis=2)[:, :64]
    # What was painted where the mask is black is seen, and nothing else is there.
    assert changed[16:48, 16:48].mean() > 0.9
    changed[16:48, 16:48] = False
    assert not changed.any()
    np.testing.assert_array_equal(after[:, 8:, :8], before[:, 8:, :8])


def test_several_stops_wait_one_after_the_other_and_change_nothing(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "straight.txt", prompt(steps=6, scheduler="unipc"))
    daemon.drop("inbox/1-text", "stopped.txt", prompt(steps=6, scheduler="unipc", stop_at=[2, 5]))
    for step in (2, 5):
        (held,) = daemon.found("hold/2-diffuse/stopped.*.tiff")
        assert tiffsd.inspect(held).step == step
        release(daemon, held)
    (stopped,), (straight,) = daemon.found("pictures/stopped.*.png"), daemon.found("pictures/straight.*.png")
    np.testing.assert_array_equal(pixels(stopped), pixels(straight))
    assert "stop_at" not in tiffsd.inspect(stopped.with_suffix(".tiff")).recipe


def test_dumped_steps_are_files_that_go_on_to_the_same_picture(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "dumped.txt", prompt(steps=5, scheduler="dpmpp_2m_sde", dump_every=2))
    (picture,) = daemon.found("pictures/dumped.*.png")
    dumps = daemon.found("steps/dumped_step*.tiff", count=2)
    assert [path.name.split(".")[0] for path in dumps] == ["dumped_step2", "dumped_step4"]
    assert [(tiffsd.inspect(path).state, tiffsd.inspect(path).step) for path in dumps] == [("partial", 2), ("partial", 4)]
    finished = pixels(picture).reshape(16, 8, 16, 8, 3).mean(axis=(1, 3)) * 255
    for path in dumps:
        half_done = tiffsd.read(path)
        assert "estimate" not in half_done.tensors
        (glance,) = daemon.found(f"previews/{path.stem}.png")
        with Image.open(glance) as image:
            seen = np.asarray(image)[8::16, 8::16]
        assert np.abs(seen - finished).mean() < np.abs(tiffsd.preview.preview(half_done) - finished).mean()
        release(daemon, path)
        (again,) = daemon.found(f"pictures/{path.name.split('.')[0]}.*.png")
        np.testing.assert_array_equal(pixels(again), pixels(picture))


def test_a_second_pass_enlarges_what_the_first_made_and_its_recipe_makes_both_again(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "large.txt", prompt(upscale=1.5, upscale_strength=0.5, upscale_steps=4))
    (first,) = daemon.found("pictures/large.*.png")
    assert size_of(first) == (192, 192)
    header = tiffsd.inspect(first.with_suffix(".tiff"))
    assert [entry["stage"] for entry in header.history] == ["text", "diffuse", "diffuse", "decode"]
    assert (header.recipe["width"], header.recipe["height"], header.recipe["steps"]) == (128, 128, 4)
    assert (
        "Denoising strength: 0.5, Hires upscale: 1.5, Hires steps: 2, Hires upscaler: Latent"
        in Image.open(first).text["parameters"]
    )
    daemon.drop("inbox/1-text", "again.png", first.read_bytes())
    (again,) = daemon.found("pictures/again.*.png")
    np.testing.assert_array_equal(pixels(again), pixels(first))
    assert not [note for note in notes_of(again) if "cannot repeat" in note or "does not repeat" in note]


def test_each_picture_of_a_count_has_a_second_pass_of_its_own_seed(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "many.txt", prompt(count=2, upscale=1.5, upscale_steps=4))
    daemon.drop("inbox/1-text", "alone.txt", prompt(seed=SEED + 1, upscale=1.5, upscale_steps=4))
    many, (alone,) = daemon.found("pictures/many-*.png", count=2), daemon.found("pictures/alone.*.png")
    by_seed = {tiffsd.inspect(path.with_suffix(".tiff")).recipe["seed"]: pixels(path) for path in many}
    assert sorted(by_seed) == [SEED, SEED + 1]
    np.testing.assert_array_equal(by_seed[SEED + 1], pixels(alone))


def test_the_second_pass_can_be_held_stopped_and_left_out(daemon: RunningDaemon) -> None:
    wanted = {"upscale": 2, "steps": 4, "scheduler": "euler_a"}
    daemon.drop("inbox/1-text", "straight2.txt", prompt(**wanted))
    daemon.drop("inbox/1-text", "held.txt", prompt(**wanted, hold="diffuse"))
    (noise,) = daemon.found("hold/2-diffuse/held.*.tiff")
    release(daemon, noise)
    (between,) = daemon.found("hold/2-diffuse/held.*.tiff")
    assert tiffsd.inspect(between).state is tiffsd.State.FINAL
    small = daemon.spool / "inbox/3-decode" / between.name.replace("held", "small")
    small.with_name(".part").write_bytes(between.read_bytes())
    small.with_name(".part").rename(small)
    (daemon.spool / "inbox/2-diffuse" / f"{between.stem}.yaml").write_text("stop_at: 3\n")
    release(daemon, between)
    (half,) = daemon.found("hold/2-diffuse/held.*.tiff")
    assert tiffsd.inspect(half).state is tiffsd.State.PARTIAL
    assert tiffsd.read(half).tensors["latents"].shape == (4, 32, 32)
    release(daemon, half)
    (straight,), (stopped,) = daemon.found("pictures/straight2.*.png"), daemon.found("pictures/held.*.png")
    np.testing.assert_array_equal(pixels(stopped), pixels(straight))
    (left_out,) = daemon.found("pictures/small.*.png")
    assert size_of(left_out) == (128, 128)
    assert "upscale" not in tiffsd.inspect(left_out.with_suffix(".tiff")).recipe


def test_latents_are_inverted_to_noise_that_makes_them_again(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "made.txt", prompt(steps=10, scheduler="euler", guidance_scale=1.0, hold="decode"))
    (final,) = daemon.found("hold/3-decode/made.*.tiff")
    latents = tiffsd.read(final).tensors["latents"]
    release(daemon, final, "invert")
    (noise,) = daemon.found("hold/2-diffuse/made.*.tiff")
    header = tiffsd.inspect(noise)
    assert (header.state, header.recipe["scheduler"], header.history[-1]["stage"]) == (tiffsd.State.NOISE, "ddim", "invert")
    assert header.history[-1]["residual"] < 1e-3
    release(daemon, noise)
    (again,) = daemon.found("hold/3-decode/made.*.tiff")
    np.testing.assert_allclose(tiffsd.read(again).tensors["latents"], latents, atol=1e-2)
    release(daemon, again, "3-decode")
    (picture,) = daemon.found("pictures/made.*.png")
    daemon.drop("inbox/1-text", "rerun.png", picture.read_bytes())
    (rerun,) = daemon.found("pictures/rerun.*.png")
    assert any("the noise of this picture was found by inversion, and no seed draws it" in note for note in notes_of(rerun))


def test_a_photo_with_a_prompt_is_inverted_too_and_one_without_is_refused(daemon: RunningDaemon) -> None:
    (daemon.spool / "inbox/invert/photo2.txt").write_text(prompt(steps=4, guidance_scale=1.0))
    daemon.drop("inbox/invert", "photo2.png", photo())
    (noise,) = daemon.found("hold/2-diffuse/photo2.*.tiff")
    assert tiffsd.read(noise).tensors["prompt_embeds"].shape[0] == 77
    daemon.drop("inbox/invert", "bare.png", photo())
    (sentence,) = daemon.found("failed/invert/bare*/error.txt")
    assert "its prompt is needed; put it beside the picture as bare.txt" in sentence.read_text()
