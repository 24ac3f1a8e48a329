"""The command line as people type it."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import tiffsd
import tiffsd.commands
from daemon.cli import app
from daemon.errors import DaemonError
from daemon.pictures.software import versions
from daemon.settings.config import read_config
from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.artifacts import latents
from tests.conftest import YARDSTICK, processor_seconds, wait_until
from tests.house import REPOSITORY
from tests.running_daemon import RunningDaemon

SEED_ARTIFACTS = REPOSITORY.parent / "shared" / "seed-artifacts"


def said(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@contextmanager
def alive(home: Path) -> Iterator[None]:
    """To the commands a daemon runs."""
    spool = Spool(home / "spool", {"text": "1-text"})
    spool.acquire()
    try:
        yield
    finally:
        spool.release()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    said("init")
    return tmp_path


@pytest.mark.parametrize("command", app.list_commands(click.Context(app)))
def test_every_command_has_one_sentence_and_an_example(command: str) -> None:
    text = said(command, "--help")
    assert f"Example: tiffsd {command}" in text


@pytest.mark.parametrize("app", [app, tiffsd.commands.app], ids=["tiffsd", "python -m tiffsd"])
def test_the_version_is_that_of_pyproject(app: click.Group) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert CliRunner().invoke(app, ["--version"]).output == f"tiffsd {version}\n"
    assert tiffsd.__version__ == version == versions()["tiffsd"]


def test_init_writes_the_configuration_and_the_folders_and_spares_what_is_there(home: Path) -> None:
    for stage in STAGES.values():
        assert (home / "spool/inbox" / stage.folder).is_dir()
        assert (home / "spool/hold" / stage.folder).is_dir()
    (home / "config.yaml").write_text("spool: elsewhere\n")
    said("init")
    assert (home / "config.yaml").read_text() == "spool: elsewhere\n"


def test_init_ends_with_the_line_that_goes_on_as_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "tiffsd"
    program.write_text("")
    program.chmod(0o755)
    assert said("init", "my pictures").endswith(
        f"Now run `cd '{tmp_path}/my pictures' && tiffsd run`, and drop a prompt into {tmp_path}/my pictures/spool/inbox/1-text\n"
    )
    assert "Now run `tiffsd run`, and" in said("init")
    program.unlink()
    assert f"Now run `{sys.prefix}/bin/tiffsd run`, and" in said("init")


def test_status_and_complaints_show_what_others_wrote_as_text(home: Path) -> None:
    (home / "spool/running/cat\x1b[2J.0a1b2c3d.txt").write_text("text: step 1\x1b]0;forged\x07\u202e\u2028\n")
    with alive(home):
        page = said("status")
    assert "\\x1b[2J" in page
    assert all(line.isprintable() for line in page.split("\n"))
    words = [sys.executable, "-m", "daemon", "cancel", "a\n\x1b[2J\u202e" + os.fsdecode(b"\xff")]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=home)
    assert result.returncode == 1
    assert result.stderr.startswith("tiffsd: a\\n\\x1b[2J\\u202e\\udcff is not running")
    assert result.stderr.count("\n") == 1


def test_status_counts_the_folders_for_programs_too(home: Path) -> None:
    (home / "spool/inbox/1-text/cat.txt").write_text("a cat")
    (home / "spool/hold/2-diffuse/HOLD").touch()
    status = json.loads(said("status", "--json", code=3))
    assert status["alive"] is False
    assert status["stages"]["text"]["waiting"] == 1
    assert status["stages"]["diffuse"] | {"waits": []} == {
        "waiting": 0,
        "held": 0,
        "failed": 0,
        "paused": False,
        "gated": True,
        "degraded": None,
        "waits": [],
    }


def test_release_moves_a_held_file_to_its_inbox_by_its_bare_name(home: Path) -> None:
    tiffsd.write(home / "spool/hold/2-diffuse/cat.0a1b2c3d.tiff", latents())
    said("release", "cat.0a1b2c3d.tiff")
    assert (home / "spool/inbox/2-diffuse/cat.0a1b2c3d.tiff").exists()


def test_release_of_a_file_that_is_not_there_says_so(home: Path) -> None:
    result = CliRunner().invoke(app, ["release", "dog.tiff"])
    assert result.exit_code != 0
    assert "no file of that name" in str(result.exception)
    assert home.exists()


def test_show_says_what_a_file_is(tmp_path: Path) -> None:
    path = tmp_path / "cat.tiff"
    tiffsd.write(path, latents())
    text = said("show", str(path))
    for word in ("latents", "noise", "a red house", "demo"):
        assert word in text


def test_a_spool_made_by_init_can_be_taken_by_a_daemon(home: Path) -> None:
    config = read_config(home / "config.yaml")
    spool = Spool(config.spool_folder, {stage.name: stage.folder for stage in STAGES.values()})
    spool.acquire()
    spool.check()
    spool.release()


@pytest.mark.parametrize(("words", "most"), [("--help", 1.8), ("--version", 1.8), ("status", 1.8), ("show cat.tiff", 3.0)])
def test_the_command_line_answers_at_once(words: str, most: float, home: Path) -> None:
    """In processor time beside that of a yardstick, because the machine may be doing other things; see benchmarks/start.py."""
    tiffsd.write(home / "cat.tiff", latents())

    def seconds(*arguments: str) -> float:
        return processor_seconds([sys.executable, *arguments], folder=home)

    with alive(home):
        pairs = [(seconds("-m", "daemon", *words.split()), seconds("-c", YARDSTICK)) for _ in range(5)]
    assert min(ours for ours, _ in pairs) < most * min(theirs for _, theirs in pairs)


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (
            "status",
            {"numpy", "PIL", "tifffile", "watchdog", "torch", "pydantic", "daemon.settings.config", "daemon.service.service"},
        ),
        ("--version", {"numpy", "PIL", "tifffile", "watchdog", "torch", "pydantic", "rich", "yaml", "daemon.settings.config"}),
        ("show cat.tiff", {"PIL", "watchdog", "torch", "pydantic", "rich", "yaml", "daemon.settings.config"}),
        ("hold decode", {"numpy", "PIL", "tifffile", "watchdog", "torch", "pydantic", "rich", "daemon.settings.config"}),
    ],
)
def test_a_command_loads_no_more_than_it_needs(words: str, heavy: set[str], home: Path) -> None:
    tiffsd.write(home / "cat.tiff", latents())
    program = f"import sys; from daemon.cli import app; app({words.split()}, standalone_mode=False); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=home, capture_output=True, text=True, check=True)
    assert heavy & set(result.stdout.split()) == set()


def test_status_watch_shows_what_changes_until_it_is_interrupted(home: Path) -> None:
    ours, theirs = os.openpty()
    # A shell that starts the tests in the background has them ignore Ctrl-C, and their children inherit that.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "daemon", "status", "--watch"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}) as watching:
        os.close(theirs)
        seen = b""

        def sees(words: bytes) -> bool:
            nonlocal seen
            seen += os.read(ours, 65536)
            return words in seen

        wait_until(lambda: sees(b"0 waiting"), what="the table")
        (home / "spool/inbox/1-text/cat.txt").write_text("a cat")
        wait_until(lambda: sees(b"1 waiting"), what="the new file in the table")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=20) == 0
    os.close(ours)


def test_status_of_a_spool_needs_only_the_spools_place_from_the_configuration(home: Path) -> None:
    (home / "config.yaml").write_text("spool: spool\nnonsense: true\n")
    assert "0 waiting" in said("status", code=3)
    (home / "config.yaml").write_text("spool: [a, b]\n")
    result = CliRunner().invoke(app, ["status"])
    assert "'spool' must be the path of a folder" in str(result.exception)


@pytest.mark.thorough
def test_the_twins_of_the_prototypes_scripts_make_a_picture_step_by_step(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    daemon.command("text", "a red house", "-o", "house", "-w", "128", "-he", "64", "-i", "3", "-s", "5")
    assert tiffsd.inspect(tmp_path / "house.tiff").recipe["steps"] == 3
    daemon.command("diffuse", "house", "-g", "4")
    daemon.command("decode", "house_unet.tiff", "-o", "house.png")
    with Image.open(tmp_path / "house.png") as picture:
        assert picture.size == (128, 64)
        assert "Seed: 5" in picture.text["parameters"]
    daemon.command("encode", "house.png", "-o", "photo")
    assert tiffsd.read(tmp_path / "photo.tiff").tensors["latents"].shape == (4, 8, 16)


def test_a_file_at_fault_ends_a_command_with_one_line_and_code_1(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    (tmp_path / "no.tiff").write_text("no picture")
    result = daemon.command("decode", "no.tiff", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("tiffsd: no.tiff")
    assert "Traceback" not in result.stderr


def test_a_name_that_nobody_said_replaces_no_file(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    (tmp_path / "photo.tiff").write_text("mine")
    refused = daemon.command("encode", "photo.png", check=False)
    assert refused.returncode == 1
    assert "photo.tiff exists" in refused.stderr
    assert (tmp_path / "photo.tiff").read_text() == "mine"


@pytest.mark.thorough
@pytest.mark.skipif(not SEED_ARTIFACTS.is_dir(), reason="the prototype's files are not here")
def test_the_prototypes_own_pair_runs_through_diffuse_and_its_result_decodes(tmp_path: Path) -> None:
    from tests import tiny

    tiny.stable_diffusion(tmp_path / "model", width=768)
    daemon = RunningDaemon(tmp_path, models={"tiny": {"path": "model"}}, defaults={"model": "tiny"})
    for name in ("deer3_state1.tiff", "deer3_textstate1.tiff", "Deer3_state2.tiff"):
        (tmp_path / name).write_bytes((SEED_ARTIFACTS / name).read_bytes())
    daemon.command("diffuse", "deer3", "-i", "2", "-g", "7", "-s", "1")
    denoised = tiffsd.read(tmp_path / "deer3_unet.tiff")
    assert denoised.header.state is tiffsd.State.FINAL
    assert np.isfinite(denoised.tensors["latents"]).all()
    daemon.command("decode", "Deer3_state2.tiff", "-o", "deer.png")
    with Image.open(tmp_path / "deer.png") as picture:
        assert picture.size == (denoised.tensors["latents"].shape[2] * 8, denoised.tensors["latents"].shape[1] * 8)


def test_a_failed_job_is_tried_again_by_its_bare_name(home: Path) -> None:
    (home / "spool/inbox/1-text/bad.txt").write_text("---\nstepz: 1\n---\na cat")
    said("once", code=1)
    (failed,) = (home / "spool/failed/1-text").iterdir()
    said("retry", failed.name)
    assert (home / "spool/inbox/1-text/bad.txt").exists()


def test_restore_asks_for_an_original_in_the_inbox_of_the_stage_where_its_file_is(home: Path) -> None:
    (home / "spool/hold/3-decode/cat.3f9a1c2e.tiff").write_bytes(b"spoilt")
    said("restore", "cat.3f9a1c2e.tiff", "dog.3f9a1c2f.tiff")
    assert (home / "spool/inbox/3-decode/cat.3f9a1c2e.tiff.restore").exists()
    assert (home / "spool/inbox/2-diffuse/dog.3f9a1c2f.tiff.restore").exists()
    with pytest.raises(DaemonError, match=r"cow\.tiff has no id in its name"):
        said("restore", "cow.tiff")


def test_a_backup_keeps_the_configuration_for_who_may_read_it_and_overwrites_nothing(home: Path) -> None:
    (home / "config.yaml").chmod(0o640)
    said("backup", "there")
    kept = home / "there/config-of-then.yaml"
    assert kept.read_bytes() == (home / "config.yaml").read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o640
    other, victim = home / "other", home / "victim"
    other.mkdir()
    victim.write_text("mine")
    (other / "config-of-then.yaml").symlink_to(victim)
    with pytest.raises(DaemonError, match="nothing is overwritten"):
        said("backup", "other")
    assert victim.read_text() == "mine"
    assert not (other / "spool").exists()


def test_restore_takes_the_stem_of_the_one_artifact_that_has_it(home: Path) -> None:
    held = home / "spool/hold/3-decode"
    for name in ("cat.3f9a1c2e.tiff", "cat.3f9a1c2e.proof.png", "dog.3f9a1c2f.tiff", "dog.3f9a1c20.tiff"):
        (held / name).write_bytes(b"spoilt")
    said("restore", "cat")
    assert (home / "spool/inbox/3-decode/cat.3f9a1c2e.tiff.restore").exists()
    with pytest.raises(DaemonError, match=r"several of that name: dog\.3f9a1c20\.tiff, dog\.3f9a1c2f\.tiff; say which"):
        said("restore", "dog")
