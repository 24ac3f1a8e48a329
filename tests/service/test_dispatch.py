"""Whose turn it is: the model that is loaded goes on for a while, and nobody waits for ever."""

import time
from collections import deque
from pathlib import Path

from daemon.errors import InUse
from daemon.inbox.grouping import Drop, Member
from daemon.inbox.ranking import BUDGET_SECONDS
from daemon.jobs.probe import Stated
from daemon.service.dispatch import FAIR_TURN, LONGEST_SECONDS, MOST_PASSES, DispatchPolicy
from daemon.settings.config import Config

CONFIG = Config.model_validate({"models": {"demo": {"path": "builtin"}, "other": {"path": "builtin"}}})


def drop(stem: str, owner: int | None = None, priority: int = 0) -> Drop:
    return Drop((Member("principal", Path(f"{stem}.txt"), (0, 0, 0, 0, 0)),), stem, owner, priority)


def turns(models: dict[str, str], config: Config = CONFIG) -> DispatchPolicy:
    return DispatchPolicy(lambda path: Stated(model=models.get(path.stem)), lambda: config)


def order(chosen: DispatchPolicy, now: float = 0.0, **ready: list[str | Drop]) -> list[str]:
    queues = {stage: deque(map(_as_drop, drops)) for stage, drops in ready.items()}
    taken = []
    while (turn := chosen.take(queues, now)) is not None:
        taken.append(turn[1].stem)
    return taken


def _as_drop(said: str | Drop) -> Drop:
    return said if isinstance(said, Drop) else drop(said)


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

    chosen = DispatchPolicy(read, lambda: CONFIG)
    assert order(chosen, text=["a", "b", "c"]) == ["a", "b", "c"]
    held.clear()
    assert order(chosen, text=["a", "b", "c"]) == ["a", "c", "b"]


def test_nobody_passes_one_of_higher_priority() -> None:
    urgent = drop("b", priority=5)
    assert order(turns({"b": "other"}), decode=[], text=[urgent, "a"]) == ["b", "a"]
    chosen = turns({"b": "other", "c": "other"})
    assert order(chosen, text=["a"]) == ["a"]
    assert order(chosen, text=[urgent, "a", "c"]) == ["b", "c", "a"]


def test_with_one_model_no_file_is_looked_into() -> None:
    def never(path: Path) -> Stated:
        raise AssertionError(f"{path} was read")

    alone = DispatchPolicy(never, lambda: Config())
    assert order(alone, text=["a", "b"], diffuse=["c"]) == ["a", "b", "c"]


def test_the_prompt_counts_where_the_settings_file_does_not_say() -> None:
    said = {"b.yaml": Stated(priority=5), "b.txt": Stated(model="other"), "c.txt": Stated(model="other")}
    members = tuple(
        Member(role, Path(f"b{ending}"), (0, 0, 0, 0, 0)) for role, ending in (("principal", ".txt"), (".yaml", ".yaml"))
    )
    chosen = DispatchPolicy(lambda path: said.get(path.name, Stated()), lambda: CONFIG)
    assert order(chosen, text=["c", "a", Drop(members, "b")]) == ["c", "b", "a"]


def test_looking_for_drops_of_the_loaded_model_takes_only_a_moment() -> None:
    looked = []

    def slowly(path: Path) -> Stated:
        looked.append(path.stem)
        deadline = time.monotonic() + BUDGET_SECONDS / 4
        while time.monotonic() < deadline:
            pass
        return Stated(model="other")

    chosen, queue = DispatchPolicy(slowly, lambda: CONFIG), deque(drop(f"a{number}") for number in range(40))
    assert chosen.take({"text": queue}, 0.0) is not None
    assert len(looked) < 20


ALICE, BOB, CAROL = 1000, 1001, 1002


def many(owner: int | None, count: int = 20, priority: int = 0) -> list[str | Drop]:
    return [drop(f"{owner}-{number}", owner, priority) for number in range(count)]


def test_owners_take_turns_whatever_one_of_them_has_and_in_which_stages() -> None:
    taken = order(turns({}), decode=many(ALICE), diffuse=many(ALICE), text=[*many(ALICE), drop("b", BOB), drop("b2", BOB)])
    assert sorted(taken.index(stem) for stem in ("b", "b2")) == [1, 3]


def test_whoever_comes_anew_is_next() -> None:
    chosen, queue = turns({}), {"text": deque(map(_as_drop, many(ALICE)))}
    for _ in range(5):
        chosen.take(queue, 0.0)
    queue["text"].append(drop("b", BOB))
    turn = chosen.take(queue, 0.0)
    assert turn is not None
    assert turn[1].stem == "b"


def test_those_who_are_not_known_share_one_turn() -> None:
    taken = order(turns({}), text=[*many(None, 5), drop("a", ALICE), drop("a2", ALICE)])
    assert [taken.index("a"), taken.index("a2")] == [1, 3]


def test_the_higher_priority_goes_first_and_every_fourth_turn_is_for_who_waits_longest() -> None:
    taken = order(turns({}), text=[*many(ALICE, priority=100), drop("b", BOB), drop("c", CAROL)])
    assert [taken.index("b"), taken.index("c")] == [FAIR_TURN, 2 * FAIR_TURN], "the first turn was nobody else's"


def test_priorities_count_between_owners_before_their_turns() -> None:
    taken = order(turns({}), text=[drop("a", ALICE), drop("b", BOB, 5), drop("b2", BOB, 5), drop("a2", ALICE)])
    assert taken == ["b", "b2", "a", "a2"]


def test_a_fair_turn_is_not_lost_to_the_model_that_is_loaded() -> None:
    models = {stem: "other" for stem in ("b", "c")}
    taken = order(turns(models), text=[*many(ALICE, 60, priority=9), drop("b", BOB)])
    assert taken.index("b") <= FAIR_TURN + MOST_PASSES
