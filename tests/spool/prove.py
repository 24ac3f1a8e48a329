"""The whole proof, story by story, with its figures: `python -m tests.spool.prove`; it ends at the first bad state."""

import logging
import time
from collections.abc import Callable, Iterator

from daemon.spool.ordering import LEFT_OUT, SPARED
from tests.spool.acts import KINDS
from tests.spool.crashes import Crashes
from tests.spool.errors import CODES, Faults
from tests.spool.meddlers import MEDDLED, MEDDLERS, meddled_with
from tests.spool.members import LIVES, Members, after_a_crash, beginnings
from tests.spool.power import Cut, Cuts, ordered, unordered
from tests.spool.stories import STORIES, Story

# What the ablation asks, three stories at most for one fsync; the other stories have no fsync that these have not.
ABLATED = ("out of attempts", "two outputs", "pair and settings", "failing", "given back", "failed and retried", "hold")
# One story is disturbed at every operation; of the others, and of what goes on after a crash, one try of so many is made.
DISTURBED, OTHERS, RECOVERED = "three outputs", 7, 199


def crashes(story: Story) -> Crashes:
    explored = Crashes(story)
    explored.explore([story.world().contents])
    return explored


def cuts(story: Story, *, twice: bool = True) -> tuple[int, int, int]:
    """How many disks a power cut can leave in the two kinds of filesystem, and after a second cut in the recovery."""
    first, loose = Cuts(story, ordered).try_all(), Cuts(story, unordered).try_all()
    second = Cuts(story, ordered)
    for contents in first.states.values() if twice and story.max_attempts > 1 else ():
        second.try_all(contents)
    bad = [*first.bad, *loose.bad, *second.bad]
    assert not bad, bad[0]
    return len(first.states), len(loose.states), len(second.states)


def cuts_in_order(story: Story, without: frozenset[str] = LEFT_OUT, *, twice: bool = True) -> tuple[int, int]:
    """The same with `durability: ordered`, or without other syncs, which is for one kind of filesystem only."""
    first, second = Cuts(story, ordered, without=without).try_all(), Cuts(story, ordered, without=without)
    for contents in first.states.values() if twice and story.max_attempts > 1 else ():
        second.try_all(contents)
    bad = [*first.bad, *second.bad]
    assert not bad, bad[0]
    return len(first.states), len(second.states)


def disturbed() -> Iterator[tuple[str, int, int, int, int]]:
    """Each kind of what a member does: how often it was survived in one story, in others, after a crash; the states it left."""
    for kind, acts in KINDS.items():
        full = Members(beginnings(DISTURBED), acts).try_all()
        others = [Members(beginnings(name), acts).try_all(every=OTHERS) for name in LIVES if name != DISTURBED]
        again = Members(after_a_crash(DISTURBED), acts).try_all(every=RECOVERED)
        states = sum(one.states for one in (full, *others, again))
        yield kind, full.survived, sum(one.survived for one in others), again.survived, states


def ablated() -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Each fsync of the daemon, and what leaving it out does in each kind of filesystem, and with `durability: ordered`: states,
    bad ones."""
    where: dict[str, list[str]] = {}
    for name in ABLATED:
        for site in Cuts(STORIES[name], ordered).try_all().sites:
            where.setdefault(site, []).append(name)
    for site, names in sorted(where.items()):
        ways: list[tuple[Cut, set[str]]] = [(ordered, {site}), (unordered, {site}), (ordered, {site, *LEFT_OUT})]
        tried = [[Cuts(STORIES[name], cut, without=without).try_all() for name in names[:3]] for cut, without in ways]
        yield site, [(sum(len(one.states) for one in kind), sum(len(one.bad) for one in kind)) for kind in tried]


def _row(say: Callable[[str], None], *cells: object) -> None:
    say("".join(f"{cell!s:>10}" if number else f"{cell!s:42}" for number, cell in enumerate(cells)))


def prove(say: Callable[[str], None]) -> None:
    """Say all figures, line by line. Raises AssertionError at what is bad."""
    _row(say, "a crash, and one in the recovery", "steps", "pairs", "states")
    for name, story in STORIES.items():
        explored = crashes(story)
        _row(say, name, len(explored.first_steps), explored.pairs, explored.states)
    _row(say, f"\nan error: {' '.join(CODES.values())}", "survived", "states")
    for name, story in STORIES.items():
        survived = Faults(story).try_all()
        _row(say, name, survived.survived, survived.crashes.states)
    _row(say, "\na crash, and a meddler before the recovery", "states")
    for meddler in MEDDLERS:
        _row(say, meddler.__name__.replace("_", " "), sum(meddled_with(STORIES[name], meddler).states for name in MEDDLED))
    _row(say, "\na member, and a crash after her", "in one", "in others", "crashed", "states")
    for kind, *counted in disturbed():
        _row(say, kind, *counted)
    _row(say, "\na power cut", "ordered", "unordered", "second")
    for name, story in STORIES.items():
        _row(say, name, *cuts(story, twice=name in ABLATED))
    for what, without in (("what is spared in order", SPARED), ("what `durability: ordered` leaves out", LEFT_OUT)):
        _row(say, f"\nwithout {what}", "ordered", "second")
        for name, story in STORIES.items():
            _row(say, name, *cuts_in_order(story, without, twice=name in ABLATED))
    _row(say, "\nbad disks without one fsync", "ordered", "unordered", "as set")
    for site, figures in ablated():
        _row(say, site, *(f"{bad}/{states}" for states, bad in figures))


def main() -> None:
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    prove(lambda line: print(line, flush=True))  # noqa: T201
    print(f"\nnone bad but those; {time.monotonic() - began:.0f} s ({time.process_time():.0f} s of CPU)")  # noqa: T201


if __name__ == "__main__":
    main()
