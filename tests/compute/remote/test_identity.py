"""What travels in the place of a path: what is in the files that loading reads, and nothing of the machine."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.identity import cannot_travel, portable, references_of
from daemon.compute.remote.references import MOST_FILES, NoReference, Reference
from daemon.errors import ModelMissing
from tests.compute.remote.machines import named

HEX = "0" * 64
FILES = {
    "model_index.json": b"{}",
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": b"weights",
    "vae/config.json": b'{"a": 1}',
    "vae/diffusion_pytorch_model.safetensors": b"more weights",
    "tokenizer/merges.txt": b"a b",
    "tokenizer/spiece.model": b"\x00",
    "scheduler/scheduler_config.json": b"{}",
}


def written(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def reference(settings: Mapping[str, Any], *way: str) -> Reference:
    """The reference at a place in settings, as another machine reads it."""
    said: Any = portable(settings, Fingerprints())
    for key in way:
        said = said[key]
    return Reference.read(json.loads(json.dumps(said)))


def test_a_folder_is_the_files_that_loading_reads(tmp_path: Path) -> None:
    found = reference(named(written(tmp_path / "m")), "model", "path")
    assert (found.kind, found.name, found.is_whole, found.is_file) == ("model", "tiny", True, False)
    assert sorted(file.name for file in found.files) == sorted(FILES)
    assert found.bytes == sum(map(len, FILES.values()))


BESIDE = {
    "README.md": b"see",
    ".git/config": b"[core]",
    ".gitattributes": b"*",
    "unet/.cache.json": b"{}",
    "v1-5-pruned.safetensors": b"the same in one file",
    "safety_checker/model.safetensors": b"nobody loads this",
    "unet/flax_model.msgpack": b"jax",
    "unet/onnx/model.json": b"{}",
    "LICENSE.txt": b"free",
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_lies_beside_them_does_not_count(name: str, tmp_path: Path) -> None:
    plain = reference(named(written(tmp_path / "plain")), "model", "path")
    more = reference(named(written(tmp_path / "more", {**FILES, name: BESIDE[name]})), "model", "path")
    assert plain == more
    assert plain.digest == more.digest


@pytest.mark.parametrize("name", FILES)
def test_each_of_them_counts(name: str, tmp_path: Path) -> None:
    plain = reference(named(written(tmp_path / "plain")), "model", "path")
    other = reference(named(written(tmp_path / "other", {**FILES, name: FILES[name] + b" "})), "model", "path")
    assert plain.digest != other.digest


def test_links_in_the_folder_of_a_person_are_followed(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain")
    linked = tmp_path / "linked"
    for name in FILES:
        (linked / name).parent.mkdir(parents=True, exist_ok=True)
        (linked / name).symlink_to(plain / name)
    (linked / "text_encoder").symlink_to(tmp_path / "nowhere")
    assert reference(named(linked), "model", "path") == reference(named(plain), "model", "path")


def test_a_single_file_is_known_by_its_content_and_ending_and_not_by_its_name(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b [1].SAFETENSORS", "c.ckpt"):
        (tmp_path / name).write_bytes(b"weights")
    a, b, c = (reference(named(tmp_path / name), "model", "path") for name in ("a.safetensors", "b [1].SAFETENSORS", "c.ckpt"))
    assert a == b
    assert a.is_file
    assert a.digest != c.digest


def test_nothing_of_the_machine_travels(tmp_path: Path) -> None:
    settings = {**named(written(tmp_path / "m"), network=True), "vae": "soft", "negative_prompt": "dogs", "stop_at": [1, 2]}
    said = portable(settings, Fingerprints())
    assert str(tmp_path) not in json.dumps(said)
    assert {*said} == {"model", "prompt", "negative_prompt", "seed", "stop_at"}
    assert {*said["model"]} == {"name", "path", "dtype", "vae", "parts"}
    assert settings["room"]["scratch"] == "/front/scratch"


def test_vae_parts_loras_and_inversions_each_become_a_reference(tmp_path: Path) -> None:
    model = written(tmp_path / "m")
    (tmp_path / "lora.safetensors").write_bytes(b"l")
    (tmp_path / "word.pt").write_bytes(b"w")
    settings = {
        **named(model, vae=str(model), parts={"unet": str(model / "unet"), "text_encoder_3": None}),
        "vae": "soft",
        "loras": [{"name": "ink", "path": str(tmp_path / "lora.safetensors"), "text": 1.0, "denoiser": 0.5}],
        "textual_inversions": {"word": str(tmp_path / "word.pt")},
    }
    said = portable(settings, Fingerprints())
    assert said["model"]["parts"]["text_encoder_3"] is None
    assert (said["loras"][0]["text"], said["loras"][0]["denoiser"]) == (1.0, 0.5)
    found = [found for found, _ in references_of(settings, Fingerprints())]
    assert [(one.kind, one.name) for one in found] == [
        ("model", "tiny"),
        ("vae", "soft"),
        ("part", "tiny/unet"),
        ("lora", "ink"),
        ("textual_inversion", "word"),
    ]
    # Of a whole model only the folder of the component is meant.
    assert sorted(file.name for file in found[1].files) == ["config.json", "diffusion_pytorch_model.safetensors"]
    assert [place for _, place in references_of(settings, Fingerprints())][1] == model / "vae"
    assert reference({**settings, **named(model, parts=str(model))}, "model", "parts").digest == found[0].digest


def test_a_model_on_the_hub_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = named("stabilityai/sd-turbo")
    with pytest.raises(ModelMissing, match=r"the model 'tiny' is 'stabilityai/sd-turbo' on the hub.*fetch it into a folder"):
        portable(settings, Fingerprints())
    assert cannot_travel(settings) is not None
    assert cannot_travel(named(written(tmp_path / "stabilityai" / "sd-turbo"))) is None
    assert "part 'tiny/vae'" in str(cannot_travel(named(tmp_path, parts={"vae": "owner/vae"})))


@pytest.mark.parametrize("what", ["missing", "empty", "no model", "unreadable", "many", "odd"])
def test_what_is_no_model_is_refused_with_a_sentence(what: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if what == "empty":
        place.mkdir()
    elif what == "no model":
        place = tmp_path / "model.json"
        place.write_bytes(b"{}")
    elif what == "unreadable":
        os.mkfifo(place)
    elif what == "many":
        written(place, {f"unet/{number}.json": b"" for number in range(MOST_FILES + 1)})
    elif what == "odd":
        written(place, {**FILES, "unet/a\nb.json": b"{}"})
    with pytest.raises(ModelMissing, match=r"^the model 'tiny' can|place cannot be read"):
        portable(named(place), Fingerprints())


def test_the_file_of_a_model_that_is_gone_again_is_said(tmp_path: Path) -> None:
    settings = named(written(tmp_path / "m"))
    shutil.rmtree(tmp_path / "m")
    with pytest.raises(ModelMissing, match="cannot be read"):
        portable(settings, Fingerprints())


def file(name: object = "model.safetensors", **more: Any) -> dict[str, Any]:
    return {"name": name, "bytes": 1, "sampled": HEX, "full": HEX, **more}


def said(*files: object, **more: Any) -> dict[str, Any]:
    return {"reference": {"kind": "model", "name": "tiny", "files": [*files], **more}}


HOSTILE = {
    "a path": "/etc/passwd",
    "nothing": None,
    "a number": 7,
    "a list": [],
    "empty": {},
    "more": {**said(file()), "path": "/etc"},
    "more within": said(file(), path="/etc"),
    "another kind": said(file(), kind="program"),
    "a kind that is none": said(file(), kind=["model"]),
    "an array": said(file(), kind=np.zeros(4), name=np.zeros(4)),
    "name that is none": said(file(), name=7),
    "long name": said(file(), name="x" * 256),
    "empty name": said(file(), name=""),
    "name with a line": said(file(), name="a\nb"),
    "half a letter": said(file(), name="\ud800"),
    "no files": said(),
    "files that are none": said(file(), files="abc"),
    "10,000 files": said(*(file(f"unet/{number}.json") for number in range(10_000))),
    "above": said(file("../model.safetensors")),
    "above within": said(file("unet/..")),
    "absolute": said(file("/etc/model.safetensors")),
    "home": said(file("~/../model.safetensors")),
    "here": said(file("./model.safetensors")),
    "deep": said(file("a/b/c.safetensors")),
    "nothing between": said(file("a//c.safetensors")),
    "ends in a slash": said(file("a/")),
    "backslash": said(file("..\\model.safetensors")),
    "stream": said(file("model.safetensors:x")),
    "hidden": said(file(".model.safetensors")),
    "hidden folder": said(file(".git/config.json")),
    "NUL": said(file("a\0.safetensors")),
    "escape": said(file("a\x1b[2J.safetensors")),
    "name of a file that is none": said(file(7)),
    "long name of a file": said(file("x" * 300 + ".bin")),
    "program": said(file("unet/a.json"), file("unet/layers.py")),
    "negative": said(file(bytes=-1)),
    "huge": said(file(bytes=1 << 60)),
    "huge together": said(*(file(f"unet/{number}.bin", bytes=1 << 42) for number in range(3))),
    "half a byte": said(file(bytes=1.5)),
    "true": said(file(bytes=True)),
    "no digest": said(file(full="x" * 64)),
    "short digest": said(file(sampled="0")),
    "digest that is none": said(file(full=None)),
    "twice": said(file("unet/a.json"), file("unet/a.json")),
    "twice on another system": said(file("unet/a.json"), file("unet/A.json")),
    "file and folder": said(file("unet.json"), file("unet.json/a.json")),
    "file with more": said(file(mode=0o4755)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_reference_is_refused_with_one_printable_line(what: str) -> None:
    with pytest.raises(NoReference) as caught:
        Reference.read(HOSTILE[what])
    assert str(caught.value).startswith("the other machine sent ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_reference_read_is_what_was_written() -> None:
    whole = Reference.read(said(file("unet/a.json"), file("model_index.json", bytes=0)))
    assert Reference.read(whole.written()) == whole
    assert Reference.read(said(file())).is_file
    assert Reference.read(said(file())).in_words() == "the model 'tiny' (0.00 GB in one file)"
