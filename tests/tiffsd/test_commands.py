"""The commands on files, as people type them: alone, and with what the daemon knows."""

import json
import os
import re
import shlex
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import daemon.cli
import tiffsd
import tiffsd.commands
from daemon.pictures.exif import ExifText, render_exif
from tests.artifacts import embedding_of, half_done, latents, picture
from tests.conftest import YARDSTICK, processor_seconds
from tests.house import REPOSITORY
from tiffsd import Kind, State, edit
from tiffsd.difference import compare

REAL = REPOSITORY.parent / "shared" / "seed-artifacts"
real_files = pytest.mark.skipif(not REAL.is_dir(), reason="the prototype's files are not there")

Said = Callable[..., str]
COMMANDS = tiffsd.commands.app.commands


def said(*words: str, app: click.Group = daemon.cli.app, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def written_by(*words: str) -> tiffsd.Artifact:
    """Run a command that writes one file, and read that."""
    return tiffsd.read(said(*words).strip().removeprefix("wrote "))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples speak of, and no configuration in sight."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(daemon.commands.files, "usual_configs", list)
    cat = latents(recipe={"prompt": "a red house", "model": "demo", "seed": 1, "width": 128, "height": 128, "steps": 20})
    lay_out(tmp_path, cat)
    return tmp_path


def lay_out(folder: Path, cat: tiffsd.Artifact) -> None:
    tiffsd.write(folder / "cat.tiff", cat)
    tiffsd.write(folder / "dog.tiff", latents(seed=2))
    tiffsd.write(folder / "painted.tiff", edit.scale(cat, latents=1.5))
    tiffsd.write(folder / "moon.tiff", latents(seed=3, height=8, width=8))
    tiffsd.write(folder / "picture.tiff", picture(128, 128))
    alone, words = edit.split(latents(seed=4))
    tiffsd.write(folder / "cat_latent.tiff", alone)
    tiffsd.write(folder / "cat_prompt.tiff", words)
    mask = Image.new("L", (128, 128))
    mask.paste(255, (64, 0, 128, 128))
    mask.save(folder / "left-half.png")


# All of them


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("app", [daemon.cli.app, tiffsd.commands.app], ids=["tiffsd", "python -m tiffsd"])
@pytest.mark.usefixtures("desk")
def test_the_example_in_a_commands_help_works(command: str, app: click.Group) -> None:
    (example,) = re.findall(r"Example: tiffsd (.*)", COMMANDS[command].help or "")
    words = shlex.split(example)
    assert words[0] == command
    assert f"Example: tiffsd {command}" in said(command, "--help", app=app)
    assert said(*words, app=app)


def test_help_answers_before_numpy_is_loaded() -> None:
    program = "import sys; import daemon.cli, tiffsd.commands; print(sorted({'numpy', 'tifffile', 'PIL'} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


def test_help_answers_at_once() -> None:
    def took(*words: str) -> float:
        return processor_seconds([sys.executable, *words])

    bare = min(took("-c", YARDSTICK) for _ in range(3))
    assert min(took("-m", "tiffsd", "--help") for _ in range(3)) < 1.4 * bare


def test_the_commands_need_no_daemon(desk: Path) -> None:
    program = (
        "import sys; from tiffsd.__main__ import main; sys.argv[1:] = ['check', 'cat.tiff']; sys.modules['daemon'] = None; main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=desk)
    assert (result.returncode, result.stdout) == (0, "cat.tiff: valid: latents, noise, 128x128 pixels, with their embedding\n")


@pytest.mark.parametrize("module", ["tiffsd", "daemon"])
def test_a_fault_is_one_line_and_exit_code_1(module: str, desk: Path) -> None:
    words = [sys.executable, "-m", module, "crop", "cat.tiff", "60x60+4+0"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=desk)
    assert result.returncode == 1
    assert result.stderr.strip() == "tiffsd: the region 60x60+4+0 is off the grid of latents, which is 8 pixels; use 56x56+0+0"


def test_a_name_that_nobody_said_replaces_no_file_and_one_that_was_said_does(desk: Path) -> None:
    said("preview", "cat.tiff")
    with pytest.raises(FileExistsError, match=r"cat\.png exists"):
        said("preview", "cat.tiff")
    said("preview", "dog.tiff", "-o", "cat.png")
    before = tiffsd.inspect("cat.tiff").id
    assert written_by("crop", "cat.tiff", "64x64", "-o", "cat.tiff").header.parent == before
    assert not list(desk.glob(".*.part"))


def test_a_result_lies_beside_its_origin_with_its_own_id_in_place_of_the_old(desk: Path) -> None:
    (desk / "there").mkdir()
    (desk / "cat.tiff").rename(desk / "there/cat.v2.3f9a1c2e.TIF")
    line = said("crop", "there/cat.v2.3f9a1c2e.TIF", "64x64").strip()
    (made,) = set((desk / "there").iterdir()) - {desk / "there/cat.v2.3f9a1c2e.TIF"}
    assert made.name == f"cat.v2.{tiffsd.inspect(made).id}.tiff"
    assert line == f"wrote there/{made.name}"


# Show and check


@pytest.mark.usefixtures("desk")
def test_show_says_what_a_file_is_to_people_and_programs() -> None:
    tiffsd.write("half.tiff", half_done())
    text = said("show", "cat.tiff", "half.tiff")
    for words in ("cat.tiff: latents", "state noise", 'prompt: "a red house"', "channel 3: mean", "step 12 of 20", "sigma 3"):
        assert words in text
    found = json.loads(said("show", "--json", "half.tiff"))
    assert (found["kind"], found["recipe"]["seed"], found["step"], found["file"]) == ("latents", 1, 12, "half.tiff")
    assert found["tensors"]["latents"] == {"dtype": "float32", "shape": [4, 16, 16]}
    channel = half_done().tensors["latents"][2].astype(np.float64)
    assert found["statistics"]["channel 2"]["mean"] == pytest.approx(channel.mean())
    assert found["statistics"]["channel 2"]["largest"] == channel.max()


def test_check_reads_everything_and_goes_on_after_a_fault(desk: Path) -> None:
    (desk / "empty.tiff").touch()
    result = CliRunner().invoke(tiffsd.commands.app, ["check", "empty.tiff", "none.tiff", "cat.tiff", "picture.tiff"])
    assert result.exit_code == 1
    assert "empty.tiff: not valid: empty.tiff is empty" in result.stderr
    assert "none.tiff" in result.stderr
    assert "cat.tiff: valid: latents, noise" in result.stdout
    assert "picture.tiff: valid: picture, 128x128 pixels" in result.stdout


@pytest.mark.parametrize(
    ("artifact", "sentences"),
    [
        (latents(recipe={"prompt": "x", "steps": 20}), ["inbox/2-diffuse: 20 steps of 20 by"]),
        (half_done(), ["inbox/2-diffuse: 8 steps of 20"]),
        (edit.with_settings(half_done(), {"stop_at": 16}), ["inbox/2-diffuse: 4 steps of 20, which stop at 16"]),
        (edit.with_settings(latents(), {"prompt": "b"}), ["inbox/2-diffuse: the prompt is encoded, then"]),
        (
            latents(state=State.FINAL),
            ["inbox/3-decode: decoded to a picture of 128x128", "inbox/2-diffuse: refused: it.tiff: these"],
        ),
        (latents(state=State.FINAL, recipe={"strength": 0.5, "steps": 10}), ["inbox/3-decode", "inbox/2-diffuse: 5 steps of 10"]),
        (latents(recipe={"model": "unheard of"}), ["inbox/2-diffuse: refused", "unheard of"]),
        (picture(128, 64), ["inbox/encode: the prompt is encoded, then encoded to latents of 64x128"]),
        (embedding_of("a blue tree"), ["goes to embeddings/"]),
    ],
)
@pytest.mark.usefixtures("desk")
def test_check_foretells_what_the_daemon_would_do(artifact: tiffsd.Artifact, sentences: list[str]) -> None:
    tiffsd.write("it.tiff", artifact)
    text = said("check", "it.tiff", code=int("unheard of" in sentences))
    for sentence in sentences:
        assert sentence in text


def test_check_names_every_inbox_that_takes_a_tiff(desk: Path) -> None:
    tifffile.imwrite(desk / "gray.tiff", np.random.default_rng(1).random((64, 64), np.float32))
    text = said("check", "gray.tiff")
    assert "inbox/encode: encoded to latents of 64x64 pixels" in text
    assert "inbox/3-decode: decoded to a picture of 256x256 pixels" in text
    assert "inbox/3-decode: decoded to a picture" in said("check", "cat.tiff")
    tiffsd.write(desk / "told.tiff", picture(64, 64))
    assert "inbox/1-text: noise and embedding for 1 of 64x64" in said("check", "told.tiff")


@pytest.mark.parametrize(
    ("artifact", "sentence"),
    [
        (latents(channels=16), "the latents are (16, 16, 16), and the model 'demo' (Stable Diffusion 1 or 2) takes 4 channels"),
        (latents(recipe={"prompt": "x", "scheduler": "flow_euler"}), "the scheduler 'flow_euler' does not fit this model"),
    ],
)
@pytest.mark.usefixtures("desk")
def test_check_foretells_what_does_not_fit_the_model(artifact: tiffsd.Artifact, sentence: str) -> None:
    tiffsd.write("it.tiff", artifact)
    assert f"inbox/2-diffuse: refused: {sentence}" in CliRunner().invoke(daemon.cli.app, ["check", "it.tiff"]).output


def test_check_foretells_an_encoder_that_a_clip_skip_leaves_empty(desk: Path) -> None:
    (desk / "skip.txt").write_text("---\nclip_skip: 12\n---\na cat")
    assert "clip_skip 12 leaves nothing of the text encoder, which has 2 layers" in said("check", "skip.txt", code=1)


def test_show_and_check_say_how_many_values_are_painted_and_warn_where_it_is_nearly_all(desk: Path) -> None:
    for name, side, warning in (("little.tiff", 3, False), ("all.tiff", 32, True)):
        (desk / name).write_bytes((desk / "cat.tiff").read_bytes())
        pixels = tifffile.memmap(desk / name, page=0, mode="r+")
        pixels[:side, :side] = 0.123
        pixels.flush()
        del pixels
        for command in ("show", "check"):
            text = said(command, name)
            assert f"{side * side} of 1024 values are painted" in text
            assert ("that is nearly all of them" in text) == warning
    assert "painted" not in said("show", "cat.tiff") + said("check", "cat.tiff")


@pytest.mark.parametrize("module", ["tiffsd", "daemon"])
def test_check_does_not_blame_a_file_for_a_pipe_that_nobody_reads(module: str, desk: Path) -> None:
    program = (
        "import os, subprocess, sys\n"
        "reading, writing = os.pipe(); os.close(reading)\n"
        f"done = subprocess.run([sys.executable, '-m', {module!r}, 'check', 'cat.tiff'], stdout=writing, stderr=subprocess.PIPE)\n"
        "sys.stderr.buffer.write(done.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=desk)
    assert result.stderr == ""


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_show_and_preview_print_the_recipe_of_a_picture(extension: str, desk: Path) -> None:
    name = f"told.{extension}"
    text = "a red house\nSteps: 20, Sampler: Euler a, Seed: 7, Size: 64x48"
    image, extras = Image.new("RGB", (64, 48)), {}
    if extension == "png":
        extras["pnginfo"] = PngInfo()
        extras["pnginfo"].add_text("parameters", text)
    else:
        extras["exif"] = b"Exif\0\0" * (extension == "jpg") + render_exif(ExifText(infotext=text), "nobody")
    image.save(desk / name, **extras)
    for command in ("show", "preview"):
        told = said(command, name)
        assert told.startswith(f"{name}: a {extension.upper()} picture, 64x48 pixels\n")
        assert 'prompt: "a red house"' in told
        assert "seed: 7" in told
    facts = json.loads(said("show", "--json", name))
    assert (facts["kind"], facts["size"], facts["recipe"]["seed"]) == ("picture", [48, 64, 3], 7)
    image.save(desk / f"silent.{extension}")
    assert "there is no recipe in it" in said("show", f"silent.{extension}")
    assert "is a picture already" in said("preview", name, "-o", "x.png", code=2)
    (desk / f"bad.{extension}").write_bytes(b"no picture")
    with pytest.raises(tiffsd.NotTiffsd, match="is no picture"):
        said("show", f"bad.{extension}")


def test_check_looks_at_what_lies_beside_the_file(desk: Path) -> None:
    assert "with cat_prompt.tiff" in said("check", "cat_latent.tiff")
    (desk / "cat.yaml").write_text("steps: 7\n")
    assert "7 steps of 7 by the scheduler that suits the model, model demo, with cat.yaml" in said("check", "cat.tiff")


def test_check_knows_prompts_and_photos_where_the_daemon_is_there(desk: Path) -> None:
    (desk / "cat.txt").write_text("---\nwidth: 64\nheight: 64\n---\na cat")
    (desk / "bad.txt").write_text("---\nstepz: 1\n---\na cat")
    Image.new("RGB", (64, 64)).save(desk / "photo.jpg")
    text = said("check", "cat.txt", "bad.txt", "photo.jpg", code=1)
    assert "cat.txt: inbox/1-text: noise and embedding for 1 of 64x64 pixels, model demo" in text
    assert "bad.txt: inbox/1-text: refused: bad.txt: 'stepz' is no setting" in text
    assert "photo.jpg: inbox/encode: encoded to latents of 64x64 pixels" in text
    (desk / "cat.xcf").write_bytes(b"gimp xcf")
    assert "no inbox takes such a file" in said("check", "cat.xcf", code=1)
    assert said("check", "cat.txt", "photo.jpg")
    alone = CliRunner().invoke(tiffsd.commands.app, ["check", "cat.txt"])
    assert alone.exit_code == 1
    assert "is not a TIFF file" in alone.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cat.sync-conflict-20261130-120000-ABCDEF7.txt", "is a copy that a sync program made because cat.txt was changed in two"),
        ("Hold.txt", "is the sign HOLD, and no file to be used; rename it if it is meant to be"),
        ("._cat.txt", "has a name that programs give to files of their own; rename it if it is meant to be used"),
    ],
)
def test_check_knows_the_names_that_no_inbox_uses(name: str, sentence: str, desk: Path) -> None:
    (desk / name).write_text("a cat")
    assert f"{name} {sentence}" in said("check", name, code=1)


def test_check_pairs_what_the_daemon_pairs(desk: Path) -> None:
    (desk / "cat_latent.tiff").rename(desk / "cat_latent.0a0b0c0d.tiff")
    (desk / "cat_prompt.tiff").rename(desk / "cat_prompt.3f9a1c2e.tiff")
    text = said("check", "cat_latent.0a0b0c0d.tiff", "cat_prompt.3f9a1c2e.tiff")
    assert "with cat_prompt.3f9a1c2e.tiff" in text
    assert "with cat_latent.0a0b0c0d.tiff" in text
    assert "the prompt is encoded" not in text
    assert "embeddings/" not in text
    (desk / "cat_prompt.3f9a1c2e.tiff").rename(desk / "dog_prompt.tiff")
    assert "inbox/2-diffuse: waits for cat_prompt.tiff" in said("check", "cat_latent.0a0b0c0d.tiff")
    assert "inbox/2-diffuse: waits for dog_latent.tiff" in said("check", "dog_prompt.tiff")


def test_check_knows_companions(desk: Path) -> None:
    (desk / "bird_neg.txt").write_text("rain")
    assert said("check", "bird_neg.txt") == "bird_neg.txt: inbox/1-text: goes with bird.txt\n"
    (desk / "bird.txt").write_text("a bird")
    assert "noise and embedding for 1 of 128x128 pixels, model demo, with bird.txt" in said("check", "bird_neg.txt")
    (desk / "bird.yaml").write_text("steps: 7")
    assert "goes with the file of its name" in said("check", "bird.yaml")


# The others


@pytest.mark.usefixtures("desk")
def test_preview_is_as_large_as_the_picture_or_shows_the_canvas() -> None:
    said("preview", "cat.tiff", "-o", "colours.png")
    said("preview", "cat.tiff", "--canvas", "-o", "canvas.png")
    with Image.open("colours.png") as colours, Image.open("canvas.png") as canvas:
        assert (colours.size, canvas.size) == ((128, 128), (32, 32))


@pytest.mark.usefixtures("desk")
def test_diff_says_what_differs_and_shows_it() -> None:
    text = said("diff", "cat.tiff", "painted.tiff", "-o", "difference.png")
    assert "channel 0: 256 of 256 values differ, at most" in text
    with Image.open("difference.png") as shown:
        assert shown.size == (128, 128)
        assert shown.getextrema()[0][1] == 255
    assert said("diff", "cat.tiff", "cat.tiff").endswith("no difference\n")
    said("set", "cat.tiff", "steps=21", "-o", "longer.tiff")
    assert "steps: 20 and 21" in said("diff", "cat.tiff", "longer.tiff")


@pytest.mark.usefixtures("desk")
def test_a_mask_of_any_format_blends_alike() -> None:
    levels = np.zeros((128, 128), np.uint16)
    levels[:, 64:] = 65535
    Image.fromarray(levels).save("deep.png")
    header = tiffsd.Header(Kind.PICTURE, tiffsd.new_id(), tiffsd.Layout.RGB, (128, 128, 3))
    tiffsd.write("mask.tiff", tiffsd.Artifact(header, {"picture": np.repeat((levels / 65535)[..., None], 3, 2).astype(np.float32)}))
    made = [written_by("blend", "cat.tiff", "dog.tiff", "--mask", mask) for mask in ("left-half.png", "deep.png", "mask.tiff")]
    assert compare(made[0], made[1]).none
    assert compare(made[0], made[2]).none
    whole = compare(tiffsd.read("dog.tiff"), made[0])
    assert np.count_nonzero(whole.distance[:, 8:]) == 0
    assert np.count_nonzero(whole.distance[:, :8]) == 8 * 16


@pytest.mark.usefixtures("desk")
def test_set_checks_the_vocabulary_where_the_daemon_is_there() -> None:
    made = written_by("set", "cat.tiff", "steps=30", "scheduler=Euler a", "prompt=2024", "seed=")
    assert made.header.recipe == {
        "prompt": "2024",
        "model": "demo",
        "width": 128,
        "height": 128,
        "steps": 30,
        "scheduler": "euler_a",
        "schedule": "normal",  # as A1111 means it
    }
    for word in ("stepz=3", "steps=0", "steps=many", "model=../secret"):
        result = CliRunner().invoke(daemon.cli.app, ["set", "cat.tiff", word])
        assert result.exit_code == 1, word
        assert "the command line" in str(result.exception)
    assert "steps=many" not in said("set", "cat.tiff", "colour=red", app=tiffsd.commands.app)
    for word in ("steps", "=3"):
        assert CliRunner().invoke(daemon.cli.app, ["set", "cat.tiff", word]).exit_code == 2


@pytest.mark.usefixtures("desk")
def test_what_is_written_has_the_ending_of_a_tiff_file() -> None:
    assert said("crop", "cat.tiff", "64x64", "-o", "small") == "wrote small.tiff\n"
    assert tiffsd.read("small.tiff").header.kind is Kind.LATENTS
    assert "let it end in .tiff" in said("crop", "cat.tiff", "64x64", "-o", "small.png", code=2)


@pytest.mark.usefixtures("desk")
def test_latents_go_to_the_prototypes_files_and_back() -> None:
    text = said("convert", "cat.tiff", "--prototype", "-o", "old")
    assert text == "wrote old_latent.tiff\nwrote old_prompt.tiff\n"
    back, cat = written_by("convert", "old_latent.tiff"), tiffsd.read("cat.tiff")
    assert back.header.state is State.NOISE
    np.testing.assert_allclose(back.tensors["latents"], cat.tensors["latents"], rtol=2**-10)
    married = written_by("marry", "old_latent.tiff", "old_prompt.tiff")
    np.testing.assert_array_equal(married.tensors["prompt_embeds"], cat.tensors["prompt_embeds"])
    np.testing.assert_array_equal(married.tensors["negative_prompt_embeds"], cat.tensors["negative_prompt_embeds"])


@pytest.mark.usefixtures("desk")
def test_finished_latents_go_to_the_prototypes_file_and_back() -> None:
    tiffsd.write("done.tiff", latents(state=State.FINAL, height=32))
    assert said("convert", "done.tiff", "--prototype").startswith("wrote done_unet.tiff\n")
    back = written_by("convert", "done_unet.tiff")
    assert back.header.state is State.FINAL
    np.testing.assert_allclose(back.tensors["latents"], tiffsd.read("done.tiff").tensors["latents"], rtol=2**-10)


@pytest.mark.parametrize(
    ("artifact", "sentence"),
    [
        (half_done(), "half-done"),
        (latents(channels=16), "16 channels"),
        (picture(), "holds a picture"),
        (embedding_of("a blue tree", rows=3), "two halves"),
    ],
)
def test_what_the_prototype_had_no_file_for_is_not_written(artifact: tiffsd.Artifact, sentence: str, desk: Path) -> None:
    tiffsd.write("it.tiff", artifact)
    result = CliRunner().invoke(daemon.cli.app, ["convert", "it.tiff", "--prototype"])
    assert result.exit_code == 1
    assert sentence in str(result.exception)
    assert not list(desk.glob("it_*"))


@real_files
@pytest.mark.parametrize("name", ["deer3_state1.tiff", "Deer3_state2.tiff", "deer3_textstate1.tiff"])
def test_the_prototypes_own_files_become_tiffsd_and_themselves_again(name: str, desk: Path) -> None:
    (desk / name).write_bytes((REAL / name).read_bytes())
    made = said("convert", name, "-o", "new.tiff")
    assert made == "wrote new.tiff\n"
    assert tiffsd.inspect("new.tiff").history[-1]["notes"]
    (again,) = said("convert", "new.tiff", "--prototype").strip().removeprefix("wrote ").splitlines()
    for old, new in zip(planes(desk / name), planes(desk / again), strict=True):
        np.testing.assert_allclose(new, old, rtol=2**-10)


def planes(path: Path) -> list[np.ndarray]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        return [page.asarray().astype(np.float32) for page in tiff.pages]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("scale", "cat.tiff"), "say a factor other than 1"),
        (("convert", "cat.tiff"), "is TIFFSD already; say what is to change"),
        (("convert", "cat.tiff", "--prototype", "--layout", "pages"), "say no others"),
        (("blend", "cat.tiff", "dog.tiff", "--mask", "left-half.png", "--weight", "0.5"), "give one of the two"),
    ],
)
def test_words_that_say_nothing_or_too_much_are_refused(words: tuple[str, ...], sentence: str, desk: Path) -> None:
    before = set(desk.iterdir())
    result = CliRunner().invoke(daemon.cli.app, list(words))
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())
    assert set(desk.iterdir()) == before


@pytest.mark.parametrize(
    "command", ["crop cat.tiff 64x64", "split cat.tiff", "diff cat.tiff dog.tiff", "convert cat.tiff --prototype"]
)
@pytest.mark.parametrize("folder", [".", "/"])
@pytest.mark.usefixtures("desk")
def test_a_folder_is_no_name_for_a_result(command: str, folder: str) -> None:
    result = CliRunner().invoke(daemon.cli.app, [*shlex.split(command), "-o", folder])
    assert isinstance(result.exception, IsADirectoryError)
    assert f"{folder} is a folder" in str(result.exception)


def test_a_mask_that_is_a_bomb_is_refused_with_a_sentence(desk: Path) -> None:
    bomb = bytearray((desk / "left-half.png").read_bytes())
    bomb[16:24] = (60_000).to_bytes(4) * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4)
    (desk / "bomb.png").write_bytes(bomb)
    result = CliRunner().invoke(daemon.cli.app, ["blend", "cat.tiff", "dog.tiff", "--mask", "bomb.png"])
    assert isinstance(result.exception, tiffsd.TooLarge)
    assert "bomb.png has more pixels than any picture" in str(result.exception)


# Files that try the terminal

HOSTILE = "a\n  seed: 7\x1b[2J\x9b31m\u202e\u2028\ud800"
SEEN = "\\x9b31m\\u202e\\u2028\\ud800"


@pytest.mark.parametrize("module", ["tiffsd", "daemon"])
def test_what_a_file_says_is_shown_as_text(module: str, desk: Path) -> None:
    name = "cat\n\x1b[2J" + os.fsdecode(b"\xff") + ".tiff"
    tiffsd.write(desk / name, latents(recipe={"prompt": HOSTILE, HOSTILE: 1}, history=[{"stage": HOSTILE}]))

    def lines(*words: str) -> list[str]:
        result = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, timeout=60, cwd=desk)
        told = (result.stdout + result.stderr).split("\n")
        assert all(line.isprintable() for line in told)
        return told

    shown = lines("show", name)
    assert shown[0].startswith("cat\\n\\x1b[2J\\udcff.tiff: latents ")
    assert [line[:10] for line in shown if SEEN in line] == ["  prompt: ", "  a\\n  see", "  history:"]
    assert lines("show", "--json", name)[1:] == [""]
    assert lines("check", name)[0].startswith("cat\\n\\x1b[2J\\udcff.tiff: valid")
    assert any(SEEN in line for line in lines("diff", name, "cat.tiff"))
    assert lines("crop", name, "64x64+0+0")[0].startswith("wrote cat\\n\\x1b[2J\\udcff.")
    assert len(lines("crop", name, "60x60+4+0")) == 2
    assert lines("convert", "cat.tiff", "--dtype", HOSTILE[:-1])[-2].startswith("Error: Invalid value for --dtype: a\\n  seed: 7")
    assert lines(HOSTILE[:-1])[-2].startswith("Error: No such command 'a\\")
