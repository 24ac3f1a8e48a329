"""What the id of a model on the Hugging Face Hub looks like."""

import re

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")


def is_hub_id(path: str) -> bool:
    """Whether a path that is not on the disk could be the id of a model on the hub, OWNER/NAME."""
    return _ID.fullmatch(path) is not None and not path.lower().endswith(_FILES)
