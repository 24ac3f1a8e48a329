"""What must hold of a spool: at every moment, and when all is done. Contents say which file is which; names may have numbers."""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from tests.spool.stories import FOLDERS, Story, Task

REPORTS = {"error.txt", "error.json", "error-report.txt", "error-report.json"}
EDITED = b" and edited"  # what a person's edit leaves behind a content

Found = dict[Path, bytes]


def check_always(story: Story, found: Found, *, deleted: Collection[bytes] = ()) -> None:
    """Nothing lost, nothing doubled, nothing torn in sight, whatever has happened so far."""
    known = {content for task in story.tasks for content in [*task.drops.values(), *task.results]} | set(story.others.values())
    for path, content in found.items():
        if is_visible(path) and content.removesuffix(EDITED) not in known:
            assert is_report(path), f"{path} holds something else: {content!r}"
            assert content.endswith(b"\n"), f"{path} is torn"
    everywhere = Counter(content.removesuffix(EDITED) for content in found.values())
    out_of_sight = Counter(content for path, content in found.items() if path.parts[0] == ".work" and path.parts[2] == "out")
    for task in (task for task in story.tasks if task.applies):
        _check_not_approved(task, found)
    results = {content for task in story.tasks for content in task.results}
    for content in _first(story):
        expected = 0 if content in deleted else 1
        assert everywhere[content] == expected, f"{content!r} is there {everywhere[content]} times"
    for content in results:
        published = everywhere[content] - out_of_sight[content]
        assert published <= (content not in deleted), f"{content[:30]!r} is published {published} times"


def _check_not_approved(task: Task, found: Found) -> None:
    """Latents on hold whose paint is to be taken are in an inbox only together with the sign that says so."""
    latents, *_, sign = task.drops.values()
    there = {content: {path.parent for path in filter(is_waiting, found) if found[path] == content} for content in (latents, sign)}
    alone = there[latents] - there[sign]
    assert not alone, f"{latents!r} lies in {alone} as if somebody had approved it"


def check_end(
    story: Story, found: Found, *, deleted: Collection[bytes] = (), may_fail: bool = False, but: Collection[Task] = ()
) -> None:
    """Every job is over: done with all its outputs once, or failed with none; `may_fail` says whether crashes explain a failure.

    All `but` those whose files somebody else has moved: of them, nothing is lost or doubled.
    """
    check_always(story, found, deleted=deleted)
    hidden = [path for path in found if not is_visible(path)]
    assert not hidden, f"{hidden} are left over"
    places: dict[bytes, Path] = {content.removesuffix(EDITED): path for path, content in found.items()}
    for task in (task for task in story.tasks if task not in but):
        _check_task(story, task, places, found, deleted=deleted, may_fail=may_fail)


def _check_task(
    story: Story, task: Task, places: dict[bytes, Path], found: Found, *, deleted: Collection[bytes], may_fail: bool
) -> None:
    where = {place(places[content]) for content in task.drops.values() if content in places}
    assert len(where) <= 1, f"the files of one job are in {where}"
    made = [content in places for content in task.results if content not in deleted]
    if where == {"done"}:
        assert all(made), f"{task} is done without all of its outputs"
        return
    assert not any(made), f"{task} is not done and has outputs"
    if where == {"failed"}:
        kind = _kind_of_failure(places[next(iter(task.drops.values()))].parent, found)
        assert (kind == "test" and "fail" in story.ways) or (kind == "crashed" and may_fail), f"{task} failed: {kind}"
    else:
        assert where <= {"hold", "taken"}, f"{task} waits in {where} for ever"


def _kind_of_failure(folder: Path, found: Found) -> str:
    for name in ("error-report.json", "error.json"):
        if folder / name in found:
            facts: dict[str, str] = json.loads(found[folder / name])
            return facts.get("kind", "unknown")
    raise AssertionError(f"{folder} has no report")


def _first(story: Story) -> Iterable[bytes]:
    """What is there from the start, and from then on always."""
    yield from (content for task in story.tasks[: story.dropped] for content in task.drops.values())
    yield from story.others.values()


def is_visible(path: Path) -> bool:
    return path.parts[0] not in {".work", ".trash"}


def is_report(path: Path) -> bool:
    return path.parts[0] == "failed" and path.name in REPORTS


def place(path: Path) -> str:
    """The kind of folder that a file is in."""
    return path.parts[0]


def is_waiting(path: Path) -> bool:
    """Whether a file lies in an inbox."""
    return path.parts[0] == "inbox" and path.parts[1] in FOLDERS.values()
