"""What is added where: a toy stage and a toy family, made up here, run in a copy of the program, and the files they touch counted.

A toy engine stands in `tests/service/test_engines.py`.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import tiffsd
from tests import tiny
from tests.parts import SIZE
from tests.program_copy import ProgramCopy
from tests.running_daemon import CONFIG

MIRROR_MATHS = '''"""Mirror: latents become those of the picture as a mirror shows it."""


def run(models, tensors, settings, progress):
    progress(1, 1)
    return {"latents": tensors["latents"].flip(-1).contiguous()}, {"state": "final"}
'''

TOY_FAMILY = '''"""Toys: Stable Diffusion, but for an empty negative prompt, which is all zeros."""

from daemon.models.families.stable_diffusion import STABLE_DIFFUSION, StableDiffusion


class Toy(StableDiffusion):
    def empty_negative(self, index):
        return True


TOY = Toy(**{**vars(STABLE_DIFFUSION), "name": "Toy Diffusion", "unsupported": frozenset({"clip_skip"})})
'''


@pytest.fixture
def program(tmp_path: Path) -> ProgramCopy:
    return ProgramCopy(tmp_path / "program")


def spool_of(program: ProgramCopy, folder: Path, model: Path) -> Path:
    """A spool of the changed program, with one model."""
    models = {"tiny": {"path": str(model), "defaults": {"width": SIZE, "height": SIZE}}}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "models": models, "defaults": {"model": "tiny", "steps": 2}}))
    program.tiffsd("init", folder=folder)
    return folder / "spool"


def latents(size: int) -> tiffsd.Artifact:
    values = np.random.default_rng(0).standard_normal((4, size // 8, size // 8), dtype=np.float32)
    header = tiffsd.Header(
        kind=tiffsd.Kind.LATENTS,
        id=tiffsd.new_id(),
        layout=tiffsd.Layout.MOSAIC,
        size=values.shape,
        state=tiffsd.State.FINAL,
        recipe={"prompt": "a cat", "model": "tiny", "width": size, "height": size},
    )
    return tiffsd.Artifact(header, {"latents": values})


@pytest.mark.timeout(300)
def test_a_stage_is_three_files_a_row_of_the_table_its_maths_and_its_reader(program: ProgramCopy, tmp_path: Path) -> None:
    program.replace(
        "daemon/stages/__init__.py",
        "(TEXT, DIFFUSE, DECODE, ENCODE, INVERT)",
        '(TEXT, DIFFUSE, DECODE, ENCODE, INVERT, Stage("mirror", "mirror", TIFFS, next="decode"))',
    )
    program.write("daemon/stages/mirror.py", MIRROR_MATHS)
    program.replace(
        "daemon/jobs/intake/readers.py",
        '"invert": read_invert',
        '"invert": read_invert, "mirror": lambda *asked: replace(read_decode(*asked), stage="mirror")',
    )
    assert len(program.touched()) <= 3

    spool = spool_of(program, tmp_path / "home", tiny.stable_diffusion(tmp_path / "tiny", version=2))
    cat = latents(SIZE)
    tiffsd.write(spool / "inbox/mirror/cat.tiff", cat)
    tiffsd.write(tmp_path / "home/dog.tiff", replace(cat, header=replace(cat.header, id=tiffsd.new_id())))
    (spool / "hold/3-decode/HOLD").touch()
    program.tiffsd("once", folder=tmp_path / "home")
    program.tiffsd("mirror", "dog.tiff", "-o", "mirrored.tiff", folder=tmp_path / "home")

    (held,) = spool.glob("hold/3-decode/cat.*.tiff")
    for path in (held, tmp_path / "home/mirrored.tiff"):
        made = tiffsd.read(path)
        np.testing.assert_array_equal(made.tensors["latents"], cat.tensors["latents"][:, :, ::-1])
        assert made.header.history[-1]["stage"] == "mirror"


@pytest.mark.timeout(300)
def test_a_family_is_two_files_a_row_of_the_table_and_what_sets_it_apart(program: ProgramCopy, tmp_path: Path) -> None:
    program.replace(
        "daemon/models/families/__init__.py", '    "FluxPipeline": FLUX,\n', '    "FluxPipeline": FLUX,\n    "ToyPipeline": TOY,\n'
    )
    program.replace(
        "daemon/models/families/__init__.py",
        "\nFAMILIES: ",
        "from daemon.models.families.toy import TOY\n\nFAMILIES: ",
    )
    program.write("daemon/models/families/toy.py", TOY_FAMILY)
    assert len(program.touched()) <= 2

    model = tiny.stable_diffusion(tmp_path / "tiny", version=2)
    index = model / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "ToyPipeline"}))
    spool = spool_of(program, tmp_path / "home", model)
    (spool / "inbox/1-text/cat.txt").write_text("---\nseed: 1\nclip_skip: 2\n---\na cat")
    log = program.tiffsd("once", folder=tmp_path / "home")

    (picture,) = spool.glob("pictures/cat.*.tiff")
    stages = [entry["stage"] for entry in tiffsd.read(picture).header.history]
    assert stages == ["text", "diffuse", "decode"]
    assert "clip_skip ignored: Toy Diffusion does not support it" in log
    married = [tiffsd.read(path) for path in spool.glob("done/**/cat.*.tiff")]
    negatives = [artifact.tensors["negative_prompt_embeds"] for artifact in married if "negative_prompt_embeds" in artifact.tensors]
    assert negatives
    assert not np.any(negatives)
