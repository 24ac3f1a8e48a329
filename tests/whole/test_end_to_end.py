"""The whole of it, with the real daemon process and the embedded model: drop, hold, paint, approve, look at the picture."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel

import tiffsd
from daemon.names import id_of, stem_of
from daemon.pictures.forms import Story, write_png
from daemon.settings.resources import resource
from tests.adapters import ATTENTION, kohya, matrices, text_layers, written
from tests.conftest import THREADS, wait_until
from tests.running_daemon import RunningDaemon

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]

PROMPT = "a red house in a meadow at sunset"
SEED, STEPS, GUIDANCE = 7, 4, 4.0


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    running = RunningDaemon(tmp_path)
    running.start()
    yield running
    running.close()


def in_one_piece() -> np.ndarray:
    """The picture that diffusers makes in one call, (H, W, 3) in 0..1."""
    pipe = StableDiffusionPipeline.from_pretrained(str(resource("models/demo")), dtype=torch.float32, safety_checker=None)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe.set_progress_bar_config(disable=True)
    picture: np.ndarray = pipe(
        PROMPT,
        height=128,
        width=128,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator().manual_seed(SEED),
        output_type="np",
    ).images[0]
    return picture


def prompt(**settings: object) -> str:
    lines = "".join(f"{key}: {value}\n" for key, value in {"seed": SEED, "guidance_scale": GUIDANCE, **settings}.items())
    return f"---\n{lines}---\n{PROMPT}\n"


def paint(path: Path) -> None:
    """Fill a square of the first panel, with a program that knows nothing of TIFFSD."""
    image = Image.open(path)
    assert image.mode == "F"
    image.paste(1.0, (2, 2, 7, 7))
    image.save(path)


def test_an_unpainted_picture_is_the_one_piece_picture_and_a_painted_one_differs_where_it_was_painted(
    daemon: RunningDaemon,
) -> None:
    for name in ("plain", "painted"):
        daemon.drop("inbox/1-text", f"{name}.txt", prompt(hold="decode"))
    held = daemon.found("hold/3-decode/*.tiff", count=2)
    paint(next(path for path in held if path.name.startswith("painted")))
    for path in held:
        path.rename(daemon.spool / "inbox/3-decode" / path.name)
    pictures = {path.name.split(".")[0]: path for path in daemon.found("pictures/*.png", count=2)}

    expected = in_one_piece()
    plain = np.asarray(Image.open(pictures["plain"]))
    np.testing.assert_array_equal(plain, (expected * 255).round().astype(np.uint8))
    exact = tiffsd.read(pictures["plain"].with_suffix(".tiff")).tensors["picture"]
    np.testing.assert_array_equal(np.clip(exact, 0, 1), expected)

    difference = np.abs(np.asarray(Image.open(pictures["painted"])).astype(int) - plain).mean(axis=2)
    inside = difference[16:56, 16:56].mean()
    outside = np.concatenate([difference[80:].ravel(), difference[:, 80:].ravel()]).mean()
    assert inside > 2 * outside
    assert any("values" in note for note in _notes(pictures["painted"]))


def _notes(png: Path) -> list[str]:
    header = tiffsd.inspect(png.with_suffix(".tiff"))
    return [note for entry in header.history for note in entry.get("notes", [])]


def test_a_finished_picture_dropped_back_is_made_again_to_the_last_bit(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "cat.txt", prompt())
    (first,) = daemon.found("pictures/cat.*.png")
    daemon.drop("inbox/1-text", "again.png", first.read_bytes())
    (again,) = daemon.found("pictures/again.*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(again)), np.asarray(Image.open(first)))


def test_a_picture_with_adapters_dropped_back_is_made_again_to_the_last_bit(tmp_path: Path) -> None:
    demo = Path(resource("models/demo"))
    unet = UNet2DConditionModel.from_pretrained(demo, subfolder="unet")
    encoder = CLIPTextModel.from_pretrained(demo, subfolder="text_encoder")
    for folder in ("loras", "words"):
        (tmp_path / folder).mkdir()
    matrices_of_both = {**kohya("lora_unet_", matrices(unet, ATTENTION)), **kohya("lora_te_", text_layers(encoder))}
    written(tmp_path / "loras/fur.safetensors", matrices_of_both)
    written(tmp_path / "words/toy.safetensors", {"toy": encoder.get_input_embeddings().weight[:2].detach().float().clone()})
    running = RunningDaemon(tmp_path, adapters={"loras": "loras", "textual_inversions": "words"})
    running.start()
    try:
        running.drop("inbox/1-text", "plain.txt", prompt())
        running.drop("inbox/1-text", "cat.txt", f"{prompt().strip()}, a (toy:1.2) BREAK in snow <lora:fur:0.5>\n")
        running.drop("inbox/1-text", "gone.txt", f"{prompt().strip()} <lora:gone:1>\n")
        first, plain = (running.found(f"pictures/{name}.*.png")[0] for name in ("cat", "plain"))
        running.drop("inbox/1-text", "again.png", first.read_bytes())
        with Image.open(first) as picture:
            infotext = picture.info["parameters"]
        running.drop("inbox/1-text", "info.txt", infotext)
        again, info = (running.found(f"pictures/{name}.*.png")[0] for name in ("again", "info"))
        (error,) = running.found("failed/*/gone.*/error.txt")
        assert "there is no LoRA named 'gone'" in error.read_text()
    finally:
        running.close()
    pixels = {path.name.split(".")[0]: np.asarray(Image.open(path)) for path in (first, plain, again, info)}
    np.testing.assert_array_equal(pixels["again"], pixels["cat"])
    np.testing.assert_array_equal(pixels["info"], pixels["cat"])
    assert (pixels["plain"] != pixels["cat"]).mean() > 0.5
    assert "<lora:fur:0.5>" in infotext


def test_a_loop_that_was_stopped_and_went_on_gives_the_same_bits(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "straight.txt", prompt())
    daemon.drop("inbox/1-text", "stopped.txt", prompt(stop_at=2))
    (half_done,) = daemon.found("hold/2-diffuse/stopped.*.tiff")
    assert tiffsd.inspect(half_done).state is tiffsd.State.PARTIAL
    half_done.rename(daemon.spool / "inbox/2-diffuse" / half_done.name)
    (stopped,) = daemon.found("pictures/stopped.*.png")
    (straight,) = daemon.found("pictures/straight.*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(stopped)), np.asarray(Image.open(straight)))


def test_a_photo_with_a_prompt_goes_through_image_to_image(daemon: RunningDaemon) -> None:
    Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(daemon.folder / "photo.png")
    (daemon.spool / "inbox/encode" / "photo.txt").write_text(PROMPT)
    daemon.drop("inbox/encode", "photo.png", (daemon.folder / "photo.png").read_bytes())
    (picture,) = daemon.found("pictures/photo.*.tiff")
    history = [entry["stage"] for entry in tiffsd.inspect(picture).history]
    assert history == ["encode", "diffuse", "decode"]


def test_a_photo_without_a_prompt_waits_as_latents_on_hold(daemon: RunningDaemon) -> None:
    Image.linear_gradient("L").resize((64, 96)).convert("RGB").save(daemon.folder / "photo.png")
    daemon.drop("inbox/encode", "photo.png", (daemon.folder / "photo.png").read_bytes())
    (latents,) = daemon.found("hold/3-decode/photo.*.tiff")
    assert tiffsd.read(latents).tensors["latents"].shape == (4, 12, 8)


def test_four_pictures_of_one_prompt_have_four_seeds(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "cat.txt", prompt(count=4, hold="diffuse"))
    held = daemon.found("hold/2-diffuse/cat-*.tiff", count=4)
    assert [tiffsd.inspect(path).recipe["seed"] for path in held] == [SEED, SEED + 1, SEED + 2, SEED + 3]
    assert [stem_of(path.name) for path in held] == ["cat-1", "cat-2", "cat-3", "cat-4"]
    assert f"released to {daemon.spool / 'inbox/2-diffuse' / held[2].name}" in daemon.command("release", "cat-3").stdout
    (picture,) = daemon.found("pictures/*.png")
    assert stem_of(picture.name) == "cat-3"


def test_a_name_is_given_once_and_goes_with_the_file_through_all_stages(daemon: RunningDaemon) -> None:
    name = "{date} {stem} by {model}, {seed}"
    daemon.drop("inbox/1-text", "cat.txt", prompt(name=name, hold="decode"))
    (held,) = daemon.found("hold/3-decode/*.tiff")
    called = rf"\d{{4}}-\d\d-\d\d cat by demo, {SEED}"
    assert re.fullmatch(called, stem_of(held.name))
    assert "name" not in tiffsd.inspect(held).recipe
    (listed,) = json.loads(daemon.command("list", "held", "--json").stdout)
    assert listed["command"] == f"tiffsd release '{stem_of(held.name)}'"

    def told() -> list[object]:
        first: list[object] = json.loads((daemon.spool / "status.json").read_text())["listed"]["held"]["first"]
        return first

    assert wait_until(told, what="the daemon says so, too") == [listed]
    daemon.command("release", stem_of(held.name))
    (picture,) = daemon.found("pictures/*.png")
    assert re.fullmatch(called, stem_of(picture.name))
    assert id_of(picture.name) == tiffsd.inspect(picture.with_suffix(".tiff")).id


def test_a_saved_embedding_serves_other_latents(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "cat.txt", prompt(save_embedding="mycat", hold="diffuse"))
    (held,) = daemon.found("hold/2-diffuse/cat.*.tiff")
    daemon.found("embeddings/mycat.tiff")
    daemon.drop("inbox/1-text", "other.txt", f"---\nseed: {SEED}\nembedding: mycat\nhold: diffuse\n---\n")
    (other,) = daemon.found("hold/2-diffuse/other.*.tiff")
    first, second = tiffsd.read(held), tiffsd.read(other)
    for name in ("prompt_embeds", "negative_prompt_embeds", "latents"):
        np.testing.assert_array_equal(first.tensors[name], second.tensors[name])
    assert (daemon.spool / "embeddings/mycat.tiff").exists()


def test_what_was_made_elsewhere_says_why_its_last_bits_may_differ(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "cat.txt", prompt(stop_at=2))
    (half_done,) = daemon.found("hold/2-diffuse/cat.*.tiff")
    artifact = tiffsd.read(half_done)
    assert artifact.header.software["threads"] == str(THREADS)
    elsewhere = {**artifact.header.software, "processor": "another one"}
    moved = replace(artifact, header=replace(artifact.header, software=elsewhere))
    tiffsd.write(daemon.spool / "inbox/2-diffuse" / half_done.name, moved)
    half_done.unlink()
    (png,) = daemon.found("pictures/cat.*.png")
    header = tiffsd.inspect(png.with_suffix(".tiff"))
    unlike = f"the processor another one (here {header.software['processor']})"
    assert _notes(png).count(f"the steps so far were made with {unlike}: the last bits may differ") == 1

    record = BytesIO()
    write_png(record, np.zeros((8, 8, 3), np.float32), Story(header.recipe, (), elsewhere))
    daemon.drop("inbox/1-text", "again.png", record.getvalue())
    (again,) = daemon.found("pictures/again.*.png")
    assert any(note.startswith("this picture was made with the processor another one (here ") for note in _notes(again))
    daemon.drop("inbox/1-text", "same.png", again.read_bytes())
    (same,) = daemon.found("pictures/same.*.png")
    assert not any("the last bits may differ" in note for note in _notes(same))
