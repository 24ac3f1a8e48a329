"""Whose turn it is: the model that is loaded goes on for a while, and nobody waits for ever."""

import time
from collections import deque
from pathlib import Path

from daemon.errors import InUse
from daemon.inbox.grouping import Drop, Member
from daemon.inbox.ranking import BUDGET_SECONDS
from daemon.jobs.probe import Stated
from daemon.service.dispatch import LONGEST_SECONDS, MOST_PASSES, Turns
from daemon.settings.config import Config

CONFIG = Config.model_validate({"models": {"demo": {"path": "builtin"}, "other": {"path": "builtin"}}})


def drop(stem: str) -> Drop:
    return Drop((Member("principal", Path(f"{stem}.txt"), (0, 0, 0, 0, 0)),), stem)


def turns(models: dict[str, str], urgent: dict[str, int] | None = None, config: Config = CONFIG) -> Turns:
    return Turns(lambda path: Stated((urgent or {}).get(path.stem, 0), models.get(path.stem)), lambda: config)


def order(chosen: Turns, now: float = 0.0, **ready: list[str]) -> list[str]:
    queues = {stage: deque(map(drop, stems)) for stage, stems in ready.items()}
    taken = []
    while (turn := chosen.take(queues, now)) is not None:
        taken.append(turn[1].stem)
    return taken


def test_drops_of_the_loaded_model_pass_those_of_another() -> None:
    models = {stem: "other" for stem in ("b", "d", "f")}
    assert order(turns(models), text=["a", "b", "c", "d", "e", "f"]) == ["a", "c", "e", "b", "d", "f"]


def test_what_is_nearly_done_with_the_loaded_model_goes_first() -> None:
    models = {"x": "other", "b": "other"}
    assert order(turns(models), decode=["x"], diffuse=["a", "b"], text=["c"]) == ["x", "b", "a", "c"]


def test_one_is_passed_by_so_many_and_no_more() -> None:
    stems = [f"a{number}" for number in range(2 * MOST_PASSES)]
    taken = order(turns({"b": "other"}), text=[stems[0], "b", *stems[1:]])
    assert taken.index("b") == 1 + MOST_PASSES


def test_one_is_passed_for_so_long_and_no_longer() -> None:
    chosen, queues = turns({"b": "other"}), {"text": deque(map(drop, ["a", "b", "c", "d"]))}
    times = (0.0, 1.0, 2.0 + LONGEST_SECONDS, 3.0 + LONGEST_SECONDS)
    taken = [chosen.take(queues, now) for now in times]
    assert [turn[1].stem for turn in taken if turn] == ["a", "c", "b", "d"]


def test_what_another_program_holds_is_read_again_the_next_time() -> None:
    held = {"b"}

    def read(path: Path) -> Stated:
        if path.stem in held:
            raise InUse
        return Stated(model="other" if path.stem == "b" else None)

    chosen = Turns(read, lambda: CONFIG)
    assert order(chosen, text=["a", "b", "c"]) == ["a", "b", "c"]
    held.clear()
    assert order(chosen, text=["a", "b", "c"]) == ["a", "c", "b"]


def test_nobody_passes_one_of_higher_priority() -> None:
    urgent = {"b": 5}
    assert order(turns({"b": "other"}, urgent), decode=[], text=["b", "a"]) == ["b", "a"]
    chosen = turns({"b": "other", "c": "other"}, urgent)
    assert order(chosen, text=["a"]) == ["a"]
    assert order(chosen, text=["b", "a", "c"]) == ["b", "c", "a"]


def test_with_one_model_no_file_is_looked_into() -> None:
    def never(path: Path) -> Stated:
        raise AssertionError(f"{path} was read")

    alone = Turns(never, lambda: Config())
    assert order(alone, text=["a", "b"], diffuse=["c"]) == ["a", "b", "c"]


def test_the_prompt_counts_where_the_settings_file_does_not_say() -> None:
    said = {"b.yaml": Stated(model="other"), "b.txt": Stated(priority=5, model="demo"), "c.txt": Stated(priority=2)}
    members = tuple(
        Member(role, Path(f"b{ending}"), (0, 0, 0, 0, 0)) for role, ending in (("principal", ".txt"), (".yaml", ".yaml"))
    )
    queue = deque([drop("a"), Drop(members, "b"), drop("c")])
    chosen = Turns(lambda path: said.get(path.name, Stated()), lambda: CONFIG)
    chosen.take({"text": deque([drop("a")])}, 0.0)
    queue.popleft()
    turn = chosen.take({"text": queue}, 0.0)
    assert turn is not None
    assert turn[1].stem == "b", "its priority is 5, and c may not pass it"


def test_looking_for_drops_of_the_loaded_model_takes_only_a_moment() -> None:
    looked = []

    def slowly(path: Path) -> Stated:
        looked.append(path.stem)
        deadline = time.monotonic() + BUDGET_SECONDS / 4
        while time.monotonic() < deadline:
            pass
        return Stated(model="other")

    chosen, queue = Turns(slowly, lambda: CONFIG), deque(drop(f"a{number}") for number in range(40))
    assert chosen.take({"text": queue}, 0.0) is not None
    assert len(looked) < 20
