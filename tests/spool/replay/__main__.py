"""The proof on real filesystems, with its figures: `python -m tests.spool.replay [STORY ...]`; it ends at the first bad disk."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from daemon.spool.ordering import LEFT_OUT, SPARED
from tests.spool.replay import guest
from tests.spool.replay.kinds import IN_ORDER, KINDS, OUT_OF_ORDER
from tests.spool.stories import STORIES

DURABILITY = {"ordered": LEFT_OUT, "full": SPARED}
# Without which sync besides those of `ordered` this story ends badly on a real filesystem too.
CONTROL = "one output"
NEEDED = ("claim.json: content", "attempt.json: content", "output: content", "commit.json: content", "attempt.json: its place")

Question = tuple[object, ...]


def replayed(kind: str, story: str, without: frozenset[str]) -> list[Question]:
    """What is asked of one story: on a quiet machine, and on a busy one."""
    return [("replayed", kind, story, sorted(without), busy) for busy in (False, True)]


def figures(questions: list[Question]) -> tuple[int, int, int, list[str]]:
    """The cuts, disks and spools of them all, and what was bad."""
    told = list(guest.answers(questions))
    cuts, disks, spools = (sum(one[name] for one in told) for name in ("cuts", "disks", "spools"))
    return cuts, disks, spools, [bad for one in told for bad in one["bad"]]


def prove(say: Callable[[str], None], stories: Sequence[str]) -> None:
    """Say all figures, line by line. Raises AssertionError at what is bad, or is not and must be."""
    say(f"Linux {guest.version()}: why `durability: ordered` is refused")
    for kind, told in zip(KINDS, guest.answers([("refused", kind) for kind in KINDS]), strict=True):
        assert told["why"] == KINDS[kind].refused, f"{kind} is refused because {told['why']}, and not because {KINDS[kind].refused}"
        say(f"{kind:60}{told['why'] or 'it is not'}")
    for title, kind, story, without, must_be_bad in _rows(stories):
        cuts, disks, spools, bad = figures(replayed(kind, story, without))
        say(f"{title:60}{cuts:8} cuts{disks:8} disks{spools:6} spools{len(bad):6} bad")
        assert bool(bad) == must_be_bad, bad[0] if bad else f"{title}: no cut misses it"


def _rows(stories: Sequence[str]) -> Iterator[tuple[str, str, str, frozenset[str], bool]]:
    for kind in IN_ORDER:
        yield from ((f"{kind}, without {site}", kind, CONTROL, LEFT_OUT | {site}, True) for site in NEEDED)
    yield f"{OUT_OF_ORDER}, ordered, where it is refused", OUT_OF_ORDER, CONTROL, LEFT_OUT, True
    for story in stories:
        yield f"{OUT_OF_ORDER}, full, {story}", OUT_OF_ORDER, story, frozenset(), False
    for name, without in DURABILITY.items():
        for story in stories:
            yield from ((f"{kind}, {name}, {story}", kind, story, without, False) for kind in IN_ORDER)


def main() -> None:
    lacking = guest.missing()
    if lacking:
        sys.exit(f"No power can be cut here: {lacking}.")
    try:
        guest.fetch()
    except subprocess.CalledProcessError:
        sys.exit(
            f"No power can be cut here: apt-get cannot fetch {guest.PACKAGE}, the kernel of the guest; apt-get update may help."
        )
    stories = sys.argv[1:] or list(STORIES)
    if unknown := [name for name in stories if name not in STORIES]:
        sys.exit(f"{unknown[0]} is no story; these are: {', '.join(STORIES)}")
    began = time.monotonic()
    prove(lambda line: print(line, flush=True), stories)  # noqa: T201
    print(f"\nnone bad but those without a sync; {time.monotonic() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
