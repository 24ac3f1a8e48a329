"""Models in one file under the names of their original releases, without a network: to the bit what their folder gives."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.models.registry import Model, Models
from daemon.stages import decode, diffuse, text
from tests import originals
from tests.parts import quiet, settings, start

pytestmark = pytest.mark.usefixtures("one_thread")

ALL = ["safetensors", "zip", "legacy"]
FORMS = {
    **{"sd1": ALL, "sd2": ALL, "sd2-v": ALL, "sdxl": ALL, "refiner": ["safetensors", "zip"]},
    **{kind: ["safetensors"] for kind in ("sd3", "sd3.5", "sd3-without-t5", "flux", "schnell")},
}
MATRIX = [(kind, form) for kind, forms in FORMS.items() for form in forms]


class Specimens:
    """The folders, their configurations without weights, the files, and what the folders give, each made once."""

    def __init__(self, root: Path) -> None:
        self.root, self.models = root, Models(1 << 31)
        self.folder = functools.cache(lambda kind: originals.folder(root / kind, kind))
        self.weights = functools.cache(lambda kind: originals.weights(self.folder(kind), kind))
        self.expected = functools.cache(lambda kind: self.given(self.folder(kind)))

    def configurations(self, kind: str) -> Path:
        # The shipped schedulers are those that the folders were made with; so what the file says of itself counts.
        without = "scheduler" if kind.startswith("sd2") else ""
        return originals.configurations(self.folder(kind), self.root / f"{kind}-configurations", without)

    def file(self, kind: str, form: str) -> Path:
        path = self.root / f"{kind}-{form}.{'safetensors' if form == 'safetensors' else 'ckpt'}"
        return path if path.exists() else originals.write(self.weights(kind), path, form)

    def given(self, path: Path, **model: Any) -> dict[str, torch.Tensor]:
        """Embeddings, latents and picture."""
        chosen = settings(path, scheduler=None, steps=2)
        chosen["model"] |= model
        tensors = start(self.models, chosen)
        denoised, _ = diffuse.run(self.models, tensors, chosen, quiet)
        picture, _ = decode.run(self.models, denoised, chosen, quiet)
        return {**tensors, "denoised": denoised["latents"], **picture}


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> Specimens:
    return Specimens(tmp_path_factory.mktemp("single"))


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)] == []


@pytest.mark.parametrize(("kind", "form"), MATRIX)
def test_a_single_file_gives_what_the_folder_gives(specimens: Specimens, kind: str, form: str) -> None:
    found = specimens.given(specimens.file(kind, form), parts=str(specimens.configurations(kind)))
    assert_same(found, specimens.expected(kind))
