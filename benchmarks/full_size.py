"""A model of the size of Stable Diffusion 1.5 with random weights, for the benchmarks that share it.

4.3 GB, made once in the folder of the system's temporary files, and made again where that is gone.
"""

import shutil
import tempfile
from pathlib import Path

from benchmarks.random_models import SD1, write_model

FOLDER = Path(tempfile.gettempdir()) / "tiffsd-benchmark-sd1"
DONE = "complete"


def stable_diffusion_1() -> Path:
    """The folder of the model."""
    if not (FOLDER / DONE).exists():
        shutil.rmtree(FOLDER, ignore_errors=True)
        write_model(SD1, FOLDER, "float32")
        (FOLDER / DONE).touch()
    return FOLDER
