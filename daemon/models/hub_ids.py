"""What the id of a model on the Hugging Face Hub looks like, and where what was fetched of one lies."""

import re
from pathlib import Path

from daemon.models.there import is_there

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")


def is_hub_id(path: str) -> bool:
    """Whether a path that is not on the disk could be the id of a model on the hub, OWNER/NAME."""
    return _ID.fullmatch(path) is not None and not path.lower().endswith(_FILES)


def fetched_folder(id: str) -> Path | None:
    """The folder of what was fetched of a hub id, as it lies on the hub; None where nothing was."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(id, local_files_only=True, allow_patterns=[]))
    except (OSError, ValueError):  # nothing is there, or the client finds fault with the id
        return None


def place_of(path: str) -> Path | None:
    """Where the folder or file of a path or hub id lies on this machine; None where it does not."""
    if is_there(path):
        return Path(path)
    return fetched_folder(path) if is_hub_id(path) else None
