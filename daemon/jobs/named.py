"""Files that a person names on the command line: opened as she may open them, wherever they lie and whatever leads there."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def opened(members: Mapping[str, Path]) -> Iterator[Mapping[str, BinaryIO]]:
    """Files by role, open for reading within the block."""
    with ExitStack() as stack:
        yield {role: stack.enter_context(path.open("rb")) for role, path in members.items()}
