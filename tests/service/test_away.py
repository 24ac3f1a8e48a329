"""What is said of machines that compute and are away."""

from daemon.service.away import away


def test_a_machine_that_is_lost_is_said_once_with_its_reason_and_one_that_is_there_or_idle_is_not() -> None:
    there = {"node": "box", "state": "ready", "lost_since": None, "reason": None}
    lost = {"node": "gpu", "state": "away", "lost_since": 0.0, "reason": "ssh: connect to host gpu port 22: No route to host"}
    told = away([there, lost, lost, {"device": "cpu", "alive": True}])
    assert len(told) == 1
    assert told[0].startswith("the worker on gpu is away since 19")
    assert told[0].endswith(": ssh: connect to host gpu port 22: No route to host")
