"""A hostile hour, in a few minutes: what tries to write the journal's lines is dropped by the hundred, and each event is one entry.

How many events there were is known from the folders: each job ends in failed/ or in done/.
"""

import os
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from daemon.stages import STAGES
from tests.conftest import wait_until
from tests.system.installed import SETTINGS, SPOOL, Installed
from tests.whole.test_hostile_words import DROPS, FORGED, NAME, WORDS, front, is_text, png

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.slow, pytest.mark.timeout(600)]

ROUNDS = 6
INFO, WARNING, ERROR = "6", "4", "3"
FINISHED = re.compile(rf"({'|'.join(STAGES)}) (h\d+)(?:\\n|_).* -> \S.* [0-9.]+ s(, waited [0-9.]+ s)?(; held: .*)?")
REFUSED = re.compile(rf"({'|'.join(STAGES)}) (h\d+)(?:\\n|_).*: (refused|failed): ")
# What is made of a name that Windows does not take has another one.
STEM = re.compile(r"h\d+(?=[\n_])")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def enormous_png() -> bytes:
    """It says that it has more pixels than anybody has memory for."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def damaged_png() -> bytes:
    """Codecs complain of it, each in its own words, to wherever they write."""
    whole = png(WORDS)
    return whole[:60] + bytes(200) + whole[60:]


PICTURES = [
    (".png", enormous_png()),
    (".png", damaged_png()),
    (".png", png(WORDS)[:-30]),
    (".webp", b"RIFF\xff\xff\xff\xffWEBPVP8L" + bytes(99)),
]
# Journald cuts lines of more than 48 kB in pieces. Each of these is six signs in the log, and as many as a prompt may have.
MARKS = "\u202e" * 19_000
LONG_WORDS = [
    (".txt", front(f'"{MARKS}": 1', prompt="")),
    (".txt", front(f'model: "{MARKS}"', prompt="")),
    (".txt", f"<lora:{MARKS}:1>".encode()),
]
HOSTILE = {**DROPS, "1-text": [*DROPS["1-text"], *LONG_WORDS], "encode": [*DROPS["encode"], *PICTURES]}


def drop_all(service: Installed, numbers: Iterator[int]) -> int:
    """Each of them once, under a name of its own; how many they are."""
    dropped = 0
    for inbox, files in HOSTILE.items():
        for ending, data in files:
            folder = service.spool / "inbox" / inbox
            (folder / ".part").write_bytes(data)
            (folder / ".part").rename(folder / f"h{next(numbers)}{NAME}{ending}")
            dropped += 1
    return dropped


def is_idle(service: Installed) -> bool:
    work = service.spool / ".work"
    folders = [work, *service.spool.glob("inbox/*"), work]  # twice, for jobs move from the one to the other
    return not any(not path.name.startswith(".") for folder in folders for path in folder.iterdir())


def stems(paths: Iterator[Path]) -> Counter[str]:
    """How often each dropped file, or what was made of it, is there."""
    found = (STEM.match(path.name) for path in paths)
    return Counter(match[0] for match in found if match)


@pytest.fixture
def hour(service: Installed) -> Iterator[list[dict[str, Any]]]:
    """What the journal has of it."""
    # The second: how long a name that no stage knows may be a program's temporary one.
    watch = {**SETTINGS["watch"], "settle_unleased_seconds": 1.0}
    service.configure(defaults={"steps": 2, "width": 64, "height": 64}, watch=watch)
    service.control("restart")
    cursor = service.cursor()
    numbers = count(1)
    for _ in range(ROUNDS):
        drop_all(service, numbers)
        wait_until(lambda: is_idle(service), seconds=200, what="all was done or refused")
    yield [entry for entry in service.journal(after=cursor) if entry["_TRANSPORT"] == "stdout"]
    service.box.sh(f"cd {SPOOL}; rm -rf failed/*/* done/*/* pictures/* hold/*/* previews/*")


def test_each_event_of_a_hostile_hour_is_one_line_of_the_journal(service: Installed, hour: list[dict[str, Any]]) -> None:
    pid = str(service.pid())
    assert [entry for entry in hour if not (isinstance(entry["MESSAGE"], str) and is_text(entry["MESSAGE"]))] == []
    assert [entry["MESSAGE"][:300] for entry in hour if entry["_PID"] != pid or "_LINE_BREAK" in entry] == []
    assert [entry["MESSAGE"] for entry in hour if entry["MESSAGE"].startswith((" ", FORGED))] == []
    assert {entry["PRIORITY"] for entry in hour} <= {INFO, WARNING, ERROR}
    refused = [(entry, REFUSED.match(entry["MESSAGE"])) for entry in hour]
    finished = [(entry, FINISHED.fullmatch(entry["MESSAGE"])) for entry in hour]
    assert {entry["PRIORITY"] for entry, match in refused if match} == {ERROR}
    assert {entry["PRIORITY"] for entry, match in finished if match} == {INFO}
    assert Counter(match[2] for _, match in refused if match) == stems(service.spool.glob("failed/*/*"))
    assert Counter(match[2] for _, match in finished if match) == stems(service.spool.glob("done/*/*"))
    errors = [entry["MESSAGE"] for entry, match in refused if entry["PRIORITY"] == ERROR and not match]
    assert errors == [], "an error that no folder knows of"
    assert len(list(service.spool.glob("failed/*/*"))) >= ROUNDS * 20
    assert os.listdir(service.spool / ".work") == []
