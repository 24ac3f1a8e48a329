"""Machines that compute for this daemon and are away: what is said of them among what people should see to."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from daemon.names import shown


def away(workers: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each machine that is lost, by what an engine describes of its workers: since when, and why."""
    lost = {one["node"]: one for one in workers if one.get("lost_since") is not None}
    return [
        f"the worker on {shown(node)} is {one['state']} since {_time(one['lost_since'])}: {one['reason']}"
        for node, one in lost.items()
    ]


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch).isoformat(sep=" ", timespec="seconds")
