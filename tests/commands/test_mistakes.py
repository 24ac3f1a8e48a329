"""What people get wrong in config.yaml and on the command line: each mistake with the sentence that it gets, and none is raw."""

import os
import re
import sys
from pathlib import Path

import pytest

from daemon.cli import SET_UP, main
from daemon.commands.check_config import ADVISED, FAULTY

# What libraries and Python say to programmers.
RAW = re.compile(
    r"Input should|Extra inputs|should match pattern|\[Errno|Traceback|found \{|<class|pydantic|unicode string|NoneType|0\.0\b"
)

# What stands in the file -> what is said of it. All of these keep a daemon from its start.
FAULTS = {
    "spol: pictures": "line 1: 'spol' is no key (did you mean 'spool'?)",
    "Spool: pictures": "line 1: 'Spool' is no key (did you mean 'spool'?)",
    "colour: blue": "line 1: 'colour' is no key; known here are spool, durability, models,",
    "folder: /srv": "line 1: 'folder' is no key; where the folders are is 'spool'",
    "spool: 3": "line 1: 'spool' must be the path of a file or a folder (found 3)",
    "spool: [a]": "line 1: 'spool' must be the path of a file or a folder (found ['a'])",
    "limits:\n  steps: none": "line 2: 'limits.steps' must be a whole number (found 'none')",
    "limits:\n  steps: 2.5": "line 2: 'limits.steps' must be a whole number (found 2.5)",
    "limits:\n  steps: 0": "line 2: 'limits.steps' must be greater than 0 (found 0)",
    "limits:\n  pixel: 3": "line 2: 'limits.pixel' is no key (did you mean 'pixels'?)",
    "limits:\n  priority: 101": "line 2: 'limits.priority' must be at most 100 (found 101)",
    "limits: none": "line 1: 'limits' must be a block of lines 'key: value' (found 'none')",
    "watch:\n  rescan_seconds: -1": "line 2: 'watch.rescan_seconds' must be greater than 0 (found -1)",
    "watch:\n  rescan_seconds: soon": "line 2: 'watch.rescan_seconds' must be a number (found 'soon')",
    "watch:\n  settle_second: 1": "line 2: 'watch.settle_second' is no key (did you mean 'settle_seconds'?)",
    "compute:\n  device: gpu": "line 2: 'compute.device' must be cpu, cuda, cuda:0 (or another number), or mps (found 'gpu')",
    "compute:\n  device: CUDA": "line 2: 'compute.device' must be cpu, cuda, cuda:0",
    "compute:\n  threads: many": "line 2: 'compute.threads' must be a whole number (found 'many')",
    "compute:\n  compile: perhaps": "line 2: 'compute.compile' must be true or false (found 'perhaps')",
    "compute: cuda": "line 1: 'compute' must be a block of lines 'key: value' (found 'cuda')",
    "names: nice": "line 1: 'names' must be 'portable' or 'kept' (found 'nice')",
    "proofs:\n  when: always": "line 2: 'proofs.when' must be 'hold' or 'never' (found 'always')",
    "previews:\n  every: often": "line 2: 'previews.every' must be a whole number (found 'often')",
    "pictures:\n  png: 7": "line 2: 'pictures.png' is none of true, false, 8, 16 (found 7)",
    "pictures:\n  jpeg: 101": "line 2: 'pictures.jpeg' is none of true, false, a quality from 1 to 100 (found 101)",
    "pictures:\n  gif: true": "line 2: 'pictures.gif' is no key; known here are png, tiff, jpeg, webp",
    "pictures: {png: false, tiff: false}": "line 1: 'pictures' has none of png, tiff, jpeg and webp",
    "models: [sd15]": "line 1: 'models' must be a block of lines 'key: value' (found ['sd15'])",
    "models:\n  sd15: /models/sd15": "line 2: 'models.sd15' must be a block of lines 'key: value' (found '/models/sd15')",
    "models:\n  sd15:\n    pth: x": "line 3: 'models.sd15.pth' is no key (did you mean 'path'?)",
    "models:\n  sd15:\n    dtype: float32": "line 2: 'models.sd15.path' is missing",
    "models:\n  sd15:\n    path: x\n    dtype: half": "line 4: 'models.sd15.dtype' must be 'float32', 'float16' or 'bfloat16'",
    "models:\n  ../sd15:\n    path: x": "line 2: 'models.../sd15' is not a plain name",
    "models:\n  f: {path: x, parts: {vea: y}}": "line 2: 'models.f.parts' names 'vea', which is no component of a model",
    "models:\n  f: {path: x, parts: [y]}": "line 2: 'models.f.parts' must be text (found ['y'])",
    "models:\n  f:\n    path: x\n    defaults:\n      stepz: 3": "line 5: 'models.f.defaults.stepz' is no setting (did you",
    "vaes:\n  mine: 3": "line 2: 'vaes.mine' must be text (found 3)",
    "adapters:\n  lora: loras": "line 2: 'adapters.lora' is no key (did you mean 'loras'?)",
    "adapters:\n  loras: 3": "line 2: 'adapters.loras' must be the path of a file or a folder (found 3)",
    "defaults: 3": "line 1: 'defaults' must be a block of lines 'key: value' (found 3)",
    "defaults:\n  stepz: 3": "line 2: 'defaults.stepz' is no setting (did you mean 'steps'?)",
    "defaults:\n  width: 100": "line 2: 'defaults.width' is not a multiple of 8: use 96 or 104 (found 100)",
    "defaults:\n  width: big": "line 2: 'defaults.width' must be a whole number (found 'big')",
    "defaults:\n  scheduler: eulr": "line 2: 'defaults.scheduler' the scheduler 'eulr' is not known; the nearest is 'euler'",
    "stages:\n  paint:\n    hold: true": "line 2: 'stages.paint' is not a stage: use one of text, diffuse",
    "stages:\n  diffuse:\n    hold: maybe": "line 3: 'stages.diffuse.hold' must be true or false (found 'maybe')",
    "stages:\n  diffuse: hold": "line 2: 'stages.diffuse' must be a block of lines 'key: value' (found 'hold')",
    "hooks:\n  done: rm -rf /": "line 2: 'hooks.done' must be a list in brackets, [one, two] (found 'rm -rf /')",
    "hooks:\n  done: []": "line 2: 'hooks.done' must not be empty (found [])",
    "hooks:\n  started: [x]": "line 2: 'hooks.started' is no key; known here are done, failed, review, seconds",
    "retention:\n  pictures: {days: 3}": "line 2: 'retention.pictures' is no key; known here are done, failed,",
    "retention:\n  done: {days: never}": "line 2: 'retention.done.days' must be a number (found 'never')",
}
# What is not read at all.
UNREAD = {
    "a: [": "line 2, column 1: this is not valid YAML",
    "compute:\n\tdevice: cpu": "start any token (a tab is no indentation, use spaces)",
    "spool: @here": "needs quotes)",
    "limits:\n  steps: 3\n pixels: 4": "line 3, column 2: this is not valid YAML",
    "names: kept\nnames: portable": "line 2: the key 'names' is there twice",
    "- spool": "expected lines of the form 'key: value', found a list",
    "spool": "line 1: expected lines of the form 'key: value', found 'spool'",
    "models: &all {}\nvaes: *all": "aliases (*name) are not allowed here",
}
# What is valid, and names what is not there: a daemon starts.
MISSING = {
    "models:\n  sd15:\n    path: gone": "line 3: 'models.sd15.path' is {folder}/gone, and nothing is there",
    "models:\n  sd15:\n    path: somebody/model": "line 3: 'models.sd15.path' is somebody/model, and there is no {folder}/",
    "models:\n  f:\n    path: builtin\n    parts: {vae: gone}": "line 4: 'models.f.parts.vae' is {folder}/gone, and nothing",
    "vaes:\n  mine: gone.safetensors": "line 2: 'vaes.mine' is {folder}/gone.safetensors, and nothing is there",
    "defaults:\n  model: sd15": "line 2: 'defaults.model' is 'sd15', and 'models' has: demo",
    "defaults:\n  vae: mine": "line 2: 'defaults.vae' is 'mine', and 'vaes' has: none",
    "defaults:\n  loras: {fur: 1}": "line 2: 'defaults.loras': the LoRA 'fur' is asked for",
    "adapters:\n  loras: gone": "line 2: 'adapters.loras' is {folder}/gone, and there is no such folder",
    "hooks:\n  done: [/gone/tell]": "line 2: 'hooks.done' runs /gone/tell, and there is no such program",
    "compute:\n  scratch: gone": "line 2: 'compute.scratch' is {folder}/gone, where nothing can be written",
    "stages:\n  text:\n    device: mps": "line 3: 'stages.text.device' is mps, and this machine has none",
}
# Words after `tiffsd`, beside an empty configuration -> what is said, and the exit code.
WORDS = {
    "statsu": ("No such command 'statsu'. Did you mean 'status'?", SET_UP),
    "run --confg x": ("No such option '--confg'", SET_UP),
    "run -c gone.yaml": ("gone.yaml: there is no such file; write one with `tiffsd init`", SET_UP),
    "check-config -c gone": ("gone: there is no such file", SET_UP),
    "release": ("Missing argument", SET_UP),
    "release cat": ("spool/hold; there is none at all", 1),
    "hold cat": ("spool/inbox; there is none at all", 1),
    "-c x list": (
        "-c goes behind the command, since it is one of its options: tiffsd list -c x",
        SET_UP,
    ),
    "--json status": ("--json goes behind the command, since it is one of its options: tiffsd status --json", SET_UP),
    "--bogus status": ("No such option '--bogus'", SET_UP),
    "settings stpes": ("stpes: no such setting; did you mean 'steps'?", 1),
    "settings xyzzy": ("xyzzy: no such setting; there are prompt, ", 1),
    "check gone": ("gone: there is no such file; give the path of one, as from ", 1),
    "retry cat": ("cat: there is no file of that name below", 1),
    "cancel cat": ("cat is not running; running are: none", 1),
    "pause paint": ("paint is not a stage; stages are: text, diffuse, decode, encode, invert", 1),
    "restore cat.tiff": ("cat.tiff has no id in its name", 1),
    "apply cat": ("cat: there is no file of that name below", 1),
    "list nothing": ("'nothing'", SET_UP),
    "show gone.tiff": ("gone.tiff: there is no such file; give the path of one, as from ", 1),
    "show .": (".: Is a directory", 1),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["tiffsd"])
    return tmp_path


def ran(*words: str) -> int | str | None:
    """The exit code of `tiffsd WORDS`."""
    sys.argv = ["tiffsd", *words]
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def said(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    both = told.out + told.err
    assert not RAW.search(both), both
    return both


@pytest.mark.parametrize("text", FAULTS)
def test_a_wrong_configuration_is_named_by_line_key_and_value_and_no_daemon_starts(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.yaml").write_text(text)
    assert ran("check-config") == FAULTY
    assert f"config.yaml: {FAULTS[text]}" in said(capsys)
    assert ran("run") == SET_UP
    assert f"config.yaml: {FAULTS[text]}" in said(capsys)


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_no_plain_yaml_is_named_by_its_line(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.yaml").write_text(text)
    assert ran("check-config") == FAULTY
    told = said(capsys)
    assert "config.yaml: " in told
    assert UNREAD[text] in told


@pytest.mark.parametrize("text", MISSING)
def test_what_is_named_and_not_there_is_said_by_its_line(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.yaml").write_text(text)
    assert ran("check-config") == ADVISED
    assert f"config.yaml: {MISSING[text].format(folder=folder)}" in said(capsys)


@pytest.mark.parametrize("words", WORDS)
def test_wrong_words_on_the_command_line_get_a_sentence(words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.yaml").write_text("{}")
    sentence, code = WORDS[words]
    assert ran(*words.split()) == code
    assert sentence in said(capsys)


def test_every_fault_of_a_file_is_named_at_once_in_the_order_of_its_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.yaml").write_text("limits:\n  steps: 0\nspol: x\ncompute:\n  workers: -1\n")
    assert ran("check-config") == FAULTY
    assert re.findall(r"line \d+", said(capsys)) == ["line 2", "line 3", "line 5"]
    assert ran("run") == SET_UP
    assert "(and 2 more: `tiffsd check-config` names all)" in said(capsys)


def test_a_folder_stands_for_the_configuration_in_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pictures").mkdir()
    (folder / "pictures/config.yaml").write_text("{}")
    assert ran("check-config", "-c", "pictures") == 0
    assert "pictures/config.yaml: nothing is wrong with it" in said(capsys)


def test_where_there_is_no_configuration_the_places_are_named_that_were_looked_at(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (Path("config.yaml"), folder / "home/config.yaml", folder / "etc/config.yaml")
    monkeypatch.setattr("daemon.commands.USUAL_CONFIGS", places)
    for command in ("run", "status", "check-config"):
        assert ran(command) == SET_UP
        told = said(capsys)
        assert all(str(place.absolute()) in told for place in places)
        assert "`tiffsd init`" in told


@pytest.mark.parametrize("place", ["spool", "spool/inbox/1-text", "spool/pictures"])
def test_from_inside_a_spool_its_own_configuration_is_found(
    place: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ran("init", "studio") == 0
    monkeypatch.chdir(folder / "studio" / place)
    said(capsys)
    assert ran("check-config") == 0
    assert f"{folder}/studio/config.yaml: nothing is wrong with it" in said(capsys)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_configuration_that_somebody_else_put_beside_a_spool_counts_for_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ran("init", "studio") == 0
    os.chown(folder / "studio/config.yaml", 12345, -1)
    monkeypatch.chdir(folder / "studio/spool")
    monkeypatch.setattr("daemon.commands.USUAL_CONFIGS", (Path("config.yaml"),))
    said(capsys)
    assert ran("check-config") == SET_UP
    assert "there is no configuration" in said(capsys)


@pytest.mark.parametrize(
    ("command", "place"), [("release", "hold/2-diffuse"), ("hold", "inbox/2-diffuse"), ("retry", "failed/1-text")]
)
def test_a_name_that_is_not_there_is_answered_with_those_that_are(
    command: str, place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.yaml").write_text("spool: spool\n")
    for name in ("dog.3f9a1c2e", "cow.3f9a1c2f"):
        path = folder / "spool" / place / (name if command == "retry" else f"{name}.tiff")
        (path / "dog.txt" if command == "retry" else path).parent.mkdir(parents=True, exist_ok=True)
        (path / "dog.txt" if command == "retry" else path).touch()
    (folder / "spool" / place / ("HOLD" if command == "release" else ".DS_Store")).touch()
    assert ran(command, "cat") == 1
    ending = "" if command == "retry" else ".tiff"
    assert f"; there are cow.3f9a1c2f{ending}, dog.3f9a1c2e{ending}" in said(capsys).replace("\n", " ")


def test_a_restore_of_what_has_no_id_is_answered_with_what_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.yaml").write_text("spool: spool\n")
    (folder / "spool/hold/2-diffuse").mkdir(parents=True)
    (folder / "spool/hold/2-diffuse/dog.3f9a1c2e.tiff").touch()
    assert ran("restore", "cat") == 1
    assert "cat has no id in its name; there are dog.3f9a1c2e.tiff" in said(capsys)
