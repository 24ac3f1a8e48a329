"""Program and specification agree: what a reader written from the text alone makes of a file is what the program makes of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.agreement import corpus, reader
from tests.agreement.comparison import by_the_program, compared, difference, report

PARTS = 8


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus, of whose files one in eight is compared, of every family; `python -m tests.agreement` compares all."""
    folder = tmp_path_factory.mktemp("corpus")
    names = corpus.write(folder)
    (folder / "index.json").write_text(json.dumps(names[::PARTS]))
    return folder


def test_there_are_as_many_files_as_are_said_and_a_quarter_must_be_refused(files: Path) -> None:
    names = json.loads((files / "index.json").read_text())
    assert len(list(files.glob("*.tif"))) == corpus.FILES == 1500
    refused = [name for name in names if not (files / "originals" / name).exists() and by_the_program(str(files / name))["refused"]]
    assert 0.15 < len(refused) / len(names) < 0.35


@pytest.mark.filterwarnings("ignore")
def test_a_reader_written_from_the_text_alone_agrees_with_the_program(files: Path) -> None:
    found = compared(reader.read, files)
    assert not found, report(found)


@pytest.mark.parametrize(
    ("change", "sort"),
    [
        ({"refused": True}, "only the reader refuses"),
        ({"kind": "picture"}, "kind"),
        ({"painted": 1}, "painted"),
        ({"state": None}, "state"),
        ({"tensors": {}}, "names of tensors"),
        ({"tensors": {"latents": np.zeros((4, 8, 8))}}, "type or shape"),
        ({"tensors": {"latents": np.full((4, 8, 8), 1e-45, np.float32)}}, "bits"),
        ({"tensors": {"latents": np.full((4, 8, 8), -0.0, np.float32)}}, "bits"),
    ],
)
def test_the_comparison_sees_every_difference(change: dict[str, object], sort: str) -> None:
    answer = {"refused": False, "kind": "latents", "id": "3f9a1c2e", "layout": "mosaic", "state": "noise", "painted": 0}
    program = {**answer, "tensors": {"latents": np.zeros((4, 8, 8), np.float32)}}
    found = difference(program, {**program, **change})
    assert found is not None
    assert found[0] == sort
    assert difference(program, {**program}) is None
