"""What alice does inside by system calls of her own; the tests run it as `python -c`, so it needs the standard library alone.

Each verb makes a number of tries and prints how many of them the system let her do. Between two tries it waits for a moment: on a
machine of two processors the daemon must have its turn too.
"""

import ctypes
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2
MOMENT_SECONDS = 0.001
# As the canaries are called.
NAMES = [f"c{number:03}{'.yaml' if number % 2 else '.png'}" for number in range(20)]
LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    """Let two names change places, in one step."""
    if LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one))


def tried(act: Callable[[], object], tries: int) -> int:
    """How often it succeeded."""
    done = 0
    for _ in range(tries):
        with suppress(OSError):
            act()
            done += 1
        time.sleep(MOMENT_SECONDS)
    return done


def exchange_with_a_link(folder: Path, target: Path, tries: int) -> int:
    """Exchange a folder with a link to another one; what the other one has is always in the folder too, and some of it is new."""
    link = folder.with_name(f"{folder.name}-link")
    link.symlink_to(target)
    real, newest = os.open(folder, os.O_RDONLY), itertools.cycle(NAMES)

    def act() -> None:
        exchange(folder, link)
        with suppress(FileNotFoundError):
            os.unlink(next(newest), dir_fd=real)
        for name in set(NAMES) - set(os.listdir(real)):
            with os.fdopen(os.open(name, os.O_CREAT | os.O_WRONLY, 0o660, dir_fd=real), "w") as file:
                file.write("priority: 1")

    done = tried(act, tries)
    if folder.is_symlink():
        exchange(folder, link)
    link.unlink()
    return done


def exchange_with_a_fifo(file: Path, until_gone: Path) -> int:
    """Exchange a file with a FIFO, until another file is gone."""
    fifo, done = file.with_name(f".{file.name}.fifo"), 0
    os.mkfifo(fifo)
    fifo.chmod(0o666)
    while until_gone.exists():
        done += tried(lambda: exchange(file, fifo), 10)
    return done


def put_links_into_jobs(spool: Path, target: Path, tries: int) -> int:
    """Put a link in place of the files of every job; and drop a file for the next job."""
    drop = spool / "inbox/1-text/cat.txt"

    def act() -> None:
        if not drop.exists():
            drop.write_text("---\nhold: diffuse\n---\na cat\n")
        for job in (spool / ".work").iterdir():
            if not (job / "in").is_symlink():
                (job / "in").rename(job / "in-aside")
                (job / "in").symlink_to(target)

    return tried(act, tries)


def reword_jobs(spool: Path, text: str, tries: int) -> int:
    """Put other words in place of the prompt of every job."""

    def act() -> None:
        for prompt in (spool / ".work").glob("*/in/*.txt"):
            if prompt.read_text() != text:
                hers = spool / "inbox/1-text/.hers"
                hers.write_text(text)
                hers.rename(prompt)

    return tried(act, tries)


def pause_with_hostile_settings(inbox: Path, count: int) -> int:
    """Pictures in a paused inbox, each with settings that are dear to search for a mask by hand."""
    (inbox / "PAUSE").touch()
    for number in range(count):
        (inbox / f"h{number}.yaml").write_bytes(b"mask:" + b"\t" * 2000 + b"a" * 2000 + b'""')
        (inbox / f"h{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return count


VERBS: dict[str, Callable[..., int]] = {
    verb.__name__: verb
    for verb in (exchange_with_a_link, exchange_with_a_fifo, put_links_into_jobs, reword_jobs, pause_with_hostile_settings)
}


def main(verb: str, *words: str) -> None:
    """A word that begins with a slash is a path, one of digits a number."""
    arguments = [Path(word) if word.startswith("/") else int(word) if word.isdigit() else word for word in words]
    json.dump(VERBS[verb](*arguments), sys.stdout)


if __name__ == "__main__":
    os.umask(0o007)
    main(*sys.argv[1:])
