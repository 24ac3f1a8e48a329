"""The installed program with a few words of it changed, for a while: waits made short, or a guard taken out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.system.box import Box

PYTHON = "/opt/tiffsd/bin/python"


class Change(NamedTuple):
    """Words in a file of the package, each time they stand there, and what is to stand there instead."""

    file: str
    old: str
    new: str


# What takes minutes and hours is to be met within the seconds of a test; with each try the daemon walks its folders anew.
IMPATIENT = (
    Change("service/backoff.py", "FIRST_BACKOFF_SECONDS = 5.0", "FIRST_BACKOFF_SECONDS = 0.2"),
    Change("service/backoff.py", "LONGEST_BACKOFF_SECONDS = 300.0", "LONGEST_BACKOFF_SECONDS = 1.0"),
    Change("service/retention.py", "FIRST_SWEEP_SECONDS = 60.0", "FIRST_SWEEP_SECONDS = 0.2"),
    Change("service/retention.py", "\nSWEEP_SECONDS = 3600.0", "\nSWEEP_SECONDS = 0.2"),
)


@contextmanager
def changed(box: Box, changes: Sequence[Change]) -> Iterator[None]:
    """The files with the changes; the service takes them, and takes them back, when it is started again."""
    (package,) = box.path("/opt/tiffsd/lib").glob("python*/site-packages/daemon")
    before = {change.file: (package / change.file).read_text() for change in changes}
    try:
        for change in changes:
            text = (package / change.file).read_text()
            assert change.old in text, f"{change.file} does not say {change.old!r} any more: change it here too"
            (package / change.file).write_text(text.replace(change.old, change.new))
        yield
    finally:
        for file, text in before.items():
            (package / file).write_text(text)
