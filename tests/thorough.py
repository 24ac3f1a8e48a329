"""The cases of a test of which a few are run each time, and all of them by `make test-thorough`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def mostly_thorough(cases: Iterable[Any], *, always: Callable[..., bool]) -> list[Any]:
    """The cases, each one value or a tuple of several; those that are not to be run `always` are marked."""
    found = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        found.append(pytest.param(*values, marks=() if always(*values) else pytest.mark.thorough))
    return found
