"""What lies on disk of an adapter, and what is wrong with it, told from the names in its file; torch is not needed."""

from pathlib import Path

from daemon.errors import InputError
from daemon.models.adapters.loras import matrices_of
from daemon.models.checkpoints.tensors import index_of
from daemon.models.on_disk import OnDisk
from daemon.models.unreadable import UnreadableModel


def examined_lora(path: Path) -> OnDisk:
    """Look at a LoRA; which model it fits is told when one is named with it."""
    found = examined_textual_inversion(path)
    try:
        matrices_of(path.stem, path)
    except InputError as fault:
        return OnDisk(None, found.size_bytes, found.dtypes, found.faults or (str(fault),))
    return found


def examined_textual_inversion(path: Path) -> OnDisk:
    """Look at a textual inversion."""
    try:
        index = index_of(path)
    except UnreadableModel as fault:
        return OnDisk(None, path.stat().st_size if path.is_file() else 0, (), (str(fault),))
    dtypes = {tensor.dtype for tensor in index.values() if tensor.shape}
    return OnDisk(None, sum(tensor.size_bytes for tensor in index.values()), tuple(sorted(dtypes)), ())
