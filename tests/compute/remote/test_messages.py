"""What messages between machines look like: what both sides say is taken, and what they never say ends the connection."""

import re
from typing import Any

import numpy as np
import pytest

from daemon.compute.remote.framing import Malformed
from daemon.compute.remote.messages import (
    FROM_DAEMON,
    FROM_FAR_END,
    LONGEST_SENTENCE,
    LONGEST_TRACE,
    PROTOCOL,
    check_from_daemon,
    check_from_worker,
    shortened,
)
from daemon.compute.remote.versions import disagreement, versions
from daemon.models.stage_settings import StageFacts
from tests.compute.remote.test_framing import FACTS, SETTINGS

LATENTS = np.zeros((4, 8, 8), np.float32)
HELLO = {
    "protocol": PROTOCOL,
    "versions": versions(),
    "heartbeat_seconds": 3.0,
    "silence_seconds": 30,
    "threads": 0,
    "level": 30,
}
GREETED = {
    "protocol": PROTOCOL,
    "versions": versions(),
    "host": "gpu-box",
    "device": "cuda",
    "processor": "NVIDIA H200",
    "fetches": False,
    "models": ["demo"],
}
REFERENCE = {"reference": {"kind": "model", "name": "demo", "files": [{"name": "a", "bytes": 3}]}}
RUN = ("run", "diffuse", [[1, {"latents": LATENTS}, SETTINGS]])
SAID_BY_DAEMON: list[tuple[Any, ...]] = [
    ("hello", HELLO),
    RUN,
    ("run", "apply", [[2, {}, SETTINGS]]),
    ("cancel", 1),
    ("beat",),
    ("end",),
]
SAID_BY_WORKER: list[tuple[Any, ...]] = [
    ("hello", GREETED),
    ("refused", "its versions are others"),
    ("beat",),
    ("computing", [1, 2]),
    ("computing", []),
    ("progress", 1, 2, 20),
    ("estimate", 1, LATENTS),
    ("done", 1, {"latents": LATENTS, "steps.3.latents": LATENTS, "seed": np.array(3)}, FACTS),
    ("failed", 1, "InputError", "a sentence", "Traceback ..."),
    ("broken", "a sentence", ""),
    ("log", "daemon.stages", 30, "words", None),
    ("log", "daemon.stages", 30, "words", "Traceback ..."),
    ("lacking", [1, 2], [REFERENCE]),
    ("died", "a sentence"),
]
NEVER_BY_DAEMON: list[tuple[Any, ...]] = [
    (),
    (1,),
    (["run"],),
    ("eval", "1"),
    ("done", 1, {}, FACTS),
    ("hello",),
    ("hello", {**HELLO, "more": 1}),
    ("hello", {name: value for name, value in HELLO.items() if name != "level"}),
    ("hello", HELLO | {"threads": True}),
    ("hello", HELLO | {"threads": -1}),
    ("hello", HELLO | {"silence_seconds": 0}),
    ("hello", HELLO | {"heartbeat_seconds": "3"}),
    ("hello", HELLO | {"versions": {"torch": 2}}),
    ("hello", HELLO | {"versions": {"torch": "2" * 1000}}),
    ("run", "diffuse"),
    ("run", "diffuse", []),
    ("run", "os", [[1, {}, SETTINGS]]),
    ("run", "../x", [[1, {}, SETTINGS]]),
    ("run", ["diffuse"], [[1, {}, SETTINGS]]),
    ("run", "diffuse", [[1, {}, SETTINGS]] * 257),
    ("run", "diffuse", [[1, {}]]),
    ("run", "diffuse", [["1", {}, SETTINGS]]),
    ("run", "diffuse", [[True, {}, SETTINGS]]),
    ("run", "diffuse", [[1, {"latents": [0.0]}, SETTINGS]]),
    ("run", "diffuse", [[1, {"latents": np.zeros([1] * 6)}, SETTINGS]]),
    ("run", "diffuse", [[1, {"x" * 201: LATENTS}, SETTINGS]]),
    ("run", "diffuse", [[1, {}, {"prompt": "no model"}]]),
    ("run", "diffuse", [[1, {}, {"model": "demo"}]]),
    ("run", "diffuse", [[1, {}, {**SETTINGS, "prompt": [LATENTS]}]]),
    ("cancel", -1),
    ("cancel", 1.0),
    ("cancel", 1, 2),
    ("beat", 1),
    ("end", None),
]
NEVER_BY_WORKER: list[tuple[Any, ...]] = [
    (),
    (None,),
    RUN,
    ("hello", GREETED | {"fetches": 1}),
    ("hello", GREETED | {"host": None}),
    ("hello", GREETED | {"models": "demo"}),
    ("hello", GREETED | {"models": [1]}),
    ("refused", 1),
    ("refused", "x" * (LONGEST_SENTENCE + 1)),
    ("beat", "x"),
    ("computing", 1),
    ("computing", ["1"]),
    ("computing", [1] * 257),
    ("progress", 1, 2),
    ("progress", 1, -2, 20),
    ("progress", 1, 2.0, 20),
    ("estimate", 1, [0.0]),
    ("estimate", 1, np.zeros(4)),
    ("done", 1, {}),
    ("done", 1, LATENTS, FACTS),
    ("done", 1, {"latents": "x"}, FACTS),
    ("done", 1, {}, {"unknown": 1}),
    ("done", 1, {}, {"step": "3"}),
    ("done", 1, {}, {"step": 1 << 40}),
    ("done", 1, {}, {"overlay": 1}),
    ("done", 1, {}, {"sigma": "x"}),
    ("done", 1, {}, {"state": LATENTS}),
    ("done", 1, {}, {"dumps": [{"step": 1}]}),
    ("done", 1, {}, {"dumps": [{"step": 1, "sigma": 1, "more": 1}]}),
    ("done", 1, {}, {"notes": "x"}),
    ("done", 1, {}, {"software": {"processor": None}}),
    ("failed", 1, "__import__('os')", "a sentence", ""),
    ("failed", 1, "", "a sentence", ""),
    ("failed", 1, "InputError", None, ""),
    ("failed", 1, "InputError", "a sentence", None),
    ("broken", "a sentence"),
    ("log", "daemon", "30", "words", None),
    ("log", "daemon", 30, "x" * 4001, None),
    ("log", "daemon", 30, "words", 1),
    ("lacking", [], [REFERENCE]),
    ("lacking", [1], []),
    ("lacking", [1], ["demo"]),
    ("lacking", [1], [{"reference": LATENTS}]),
    ("died",),
]


@pytest.mark.parametrize("message", SAID_BY_DAEMON, ids=lambda message: message[0])
def test_what_a_daemon_says_is_taken(message: tuple[Any, ...]) -> None:
    assert check_from_daemon(message) is message


@pytest.mark.parametrize("message", SAID_BY_WORKER, ids=lambda message: message[0])
def test_what_a_worker_says_is_taken(message: tuple[Any, ...]) -> None:
    assert check_from_worker(message) is message


def test_of_each_kind_there_is_one_that_is_taken_and_one_that_is_not() -> None:
    assert {message[0] for message in SAID_BY_DAEMON} == FROM_DAEMON.keys()
    assert {message[0] for message in SAID_BY_WORKER} == FROM_FAR_END.keys()
    for kind in FROM_DAEMON:
        assert any(message[:1] == (kind,) for message in NEVER_BY_DAEMON), kind
    for kind in FROM_FAR_END:
        assert any(message[:1] == (kind,) for message in NEVER_BY_WORKER), kind


@pytest.mark.parametrize("message", NEVER_BY_DAEMON, ids=lambda message: re.sub(r"\W+", " ", repr(message))[:60])
def test_what_no_daemon_says_is_refused(message: tuple[Any, ...]) -> None:
    with pytest.raises(Malformed, match=r"^expected .* found ") as caught:
        check_from_daemon(message)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("message", NEVER_BY_WORKER, ids=lambda message: re.sub(r"\W+", " ", repr(message))[:60])
def test_what_no_worker_says_is_refused(message: tuple[Any, ...]) -> None:
    with pytest.raises(Malformed, match=r"^expected .* found ") as caught:
        check_from_worker(message)
    assert len(str(caught.value)) < 800


def test_every_fact_of_a_stage_is_known() -> None:
    values: dict[str, Any] = dict.fromkeys(StageFacts.__annotations__, 1)
    words = dict.fromkeys(("state", "scheduler", "schedule", "timestep_spacing", "numbers"), "x")
    lists: dict[str, Any] = {"dumps": [{"step": 1, "sigma": None}], "notes": ["x"], "software": {"torch": "2"}, "overlay": True}
    message = ("done", 1, {}, values | words | lists)
    assert check_from_worker(message) is message


@pytest.mark.parametrize(
    "message",
    [
        ("failed", 1, "KeyError", "x" * 10**6, "y" * 10**6 + "the end"),
        ("broken", "x" * 10**6, "y" * 10**6 + "the end"),
        ("log", "x" * 10**6, 30, "words", None),
        ("beat",),
    ],
    ids=lambda message: message[0],
)
def test_long_words_of_a_worker_are_cut_to_what_is_taken(message: tuple[Any, ...]) -> None:
    cut = check_from_worker(shortened(message))
    if message[0] in ("failed", "broken"):
        assert cut[-1].endswith("the end")
        assert len(cut[-1]) == LONGEST_TRACE


def test_versions_that_differ_are_named_with_both_sides() -> None:
    here = versions()
    assert disagreement(here, here) is None
    said = disagreement(here, {**here, "torch": "0.1", "numpy": "none", "pillow": "1"})
    assert said is not None
    assert f"torch 0.1 there and {here['torch']} here" in said
    assert "numpy none there" in said
    assert "diffusers" not in said
    assert disagreement(here, {}) is not None


def test_torch_for_a_gpu_there_is_torch_for_none_here() -> None:
    assert disagreement({**versions(), "torch": "2.13.0+cpu"}, {**versions(), "torch": "2.13.0+cu126"}) is None
    assert disagreement({**versions(), "torch": "2.13.0"}, {**versions(), "torch": "2.13.0+cu126"}) is None
    assert disagreement({**versions(), "torch": "2.13.0+cpu"}, {**versions(), "torch": "2.13.1+cpu"}) is not None
