"""What messages between machines look like, checked where they come in: a wrong one ends the connection, and nothing else.

    daemon -> far end   ("hello", {protocol, versions, heartbeat_seconds, silence_seconds, threads, level})
                        ("run", stage, [[id, arrays, settings], ...])   ("cancel", id)   ("beat",)   ("end",)
    far end -> daemon   ("hello", {protocol, versions, host, device, processor, fetches, models})
                        ("refused", sentence)   ("beat",)
                        what a worker says, see `daemon/compute/worker.py` and `worker_log.py`
                        ("lacking", [id, ...], [reference, ...])   the models of these calls are not there; they were not begun
                        ("died", sentence)   the worker process there ended in the middle of a job; the connection ends behind it

What settings mean is checked by who uses them; here they are plain values of a call that names a model. Facts are checked one by
one, since they go into files.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from daemon.compute.remote.framing import Malformed
from daemon.compute.worker_log import LONGEST
from daemon.names import shown
from daemon.stages import APPLY, STAGES

PROTOCOL = 1
MOST_TOGETHER = 256
MOST_SECONDS = 3600.0
LONGEST_NAME, LONGEST_SENTENCE, LONGEST_TRACE = 200, 4000, 20_000
LONGEST_TEXT = 1 << 20
NAME = re.compile(r"[A-Za-z_][\w.\- ]{0,199}\Z", re.ASCII)


class Form(NamedTuple):
    """What a value must be: in words, and as a question."""

    words: str
    fits: Callable[[Any], bool]


def _text(most: int) -> Form:
    return Form(f"words of at most {most} characters", lambda value: isinstance(value, str) and len(value) <= most)


def _whole(least: int, most: int) -> Form:
    return Form(f"a whole number from {least} to {most}", lambda value: type(value) is int and least <= value <= most)


def _number(least: float, most: float) -> Form:
    return Form(f"a number from {least:g} to {most:g}", lambda value: type(value) in (int, float) and least <= value <= most)


def _array(*ranks: int) -> Form:
    return Form(
        f"an array of {ranks[0]} to {ranks[-1]} dimensions", lambda value: isinstance(value, np.ndarray) and value.ndim in ranks
    )


def _or_none(form: Form) -> Form:
    return Form(f"{form.words}, or null", lambda value: value is None or form.fits(value))


def _list(form: Form, *, least: int = 0, most: int = 4096) -> Form:
    return Form(
        f"a list of {least} to {most}, each {form.words}",
        lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(form.fits, value)),
    )


def _named(form: Form, *, most: int = 4096) -> Form:
    return Form(
        f"at most {most} names, each with {form.words}",
        lambda value: (
            isinstance(value, dict)
            and len(value) <= most
            and all(len(name) <= LONGEST_NAME and form.fits(inner) for name, inner in value.items())
        ),
    )


def _record(forms: Mapping[str, Form], *, whole: bool = True) -> Form:
    """A mapping with these names; with `whole` all of them."""
    return Form(
        "; ".join(f"{name}: {form.words}" for name, form in forms.items()),
        lambda value: (
            isinstance(value, dict)
            and (value.keys() == forms.keys() if whole else value.keys() <= forms.keys())
            and all(forms[name].fits(inner) for name, inner in value.items())
        ),
    )


def _sequence(*forms: Form) -> Form:
    return Form(
        f"[{', '.join(form.words for form in forms)}]",
        lambda value: (
            isinstance(value, list)
            and len(value) == len(forms)
            and all(form.fits(inner) for form, inner in zip(forms, value, strict=True))
        ),
    )


def _without_arrays(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_without_arrays, value.values()))
    return all(map(_without_arrays, value)) if isinstance(value, list) else not isinstance(value, np.ndarray)


BOOL = Form("true or false", lambda value: isinstance(value, bool))
ID = _whole(0, 1 << 53)
SHORT, SENTENCE, TRACE = _text(LONGEST_NAME), _text(LONGEST_SENTENCE), _text(LONGEST_TRACE)
KIND = Form("the name of an error", lambda value: isinstance(value, str) and NAME.match(value) is not None)
STAGE = Form("the name of a stage", lambda value: isinstance(value, str) and (value in STAGES or value == APPLY))
SIZE = _whole(0, 1 << 31)
ANY_NUMBER = Form("a number", lambda value: type(value) in (int, float))
ARRAYS = _named(_array(*range(6)), most=1024)
VERSIONS = _named(SHORT, most=64)
PLAIN = Form("plain values", _without_arrays)
SETTINGS = Form(
    "settings that name a model",
    lambda value: isinstance(value, dict) and isinstance(value.get("model"), dict) and _without_arrays(value),
)
REFERENCE = Form("a reference to a model", lambda value: isinstance(value, dict) and bool(value) and _without_arrays(value))
FACTS = _record(
    {
        "state": SHORT,
        "sigma": _or_none(ANY_NUMBER),
        "step": SIZE,
        "steps": SIZE,
        "width": SIZE,
        "height": SIZE,
        "dumps": _list(_record({"step": SIZE, "sigma": _or_none(ANY_NUMBER)})),
        "scheduler": SHORT,
        "schedule": SHORT,
        "eta": _or_none(ANY_NUMBER),
        "strength": ANY_NUMBER,
        "residual": ANY_NUMBER,
        "timestep_spacing": SHORT,
        "overlay": BOOL,
        "painted_blocks": SIZE,
        "paint_hold": _or_none(ANY_NUMBER),
        "notes": _list(_text(LONGEST_TEXT), most=1024),
        "numbers": SHORT,
        "software": _named(SHORT, most=64),
        "seconds": ANY_NUMBER,
        "loading_seconds": ANY_NUMBER,
    },
    whole=False,
)

FROM_DAEMON: Mapping[str, Sequence[Form]] = {
    "hello": [
        _record(
            {
                "protocol": ID,
                "versions": VERSIONS,
                "heartbeat_seconds": _number(0.01, MOST_SECONDS),
                "silence_seconds": _number(0.01, MOST_SECONDS),
                "threads": _whole(0, 1024),
                "level": _whole(0, 100),
            }
        )
    ],
    "run": [STAGE, _list(_sequence(ID, ARRAYS, SETTINGS), least=1, most=MOST_TOGETHER)],
    "cancel": [ID],
    "beat": [],
    "end": [],
}
FROM_FAR_END: Mapping[str, Sequence[Form]] = {
    "hello": [
        _record(
            {
                "protocol": ID,
                "versions": VERSIONS,
                "host": SHORT,
                "device": SHORT,
                "processor": SHORT,
                "fetches": BOOL,
                "models": _list(SHORT),
            }
        )
    ],
    "refused": [SENTENCE],
    "beat": [],
    "computing": [_list(ID, most=MOST_TOGETHER)],
    "progress": [ID, SIZE, SIZE],
    "estimate": [ID, _array(2, 3, 4)],
    "done": [ID, ARRAYS, FACTS],
    "failed": [ID, KIND, SENTENCE, TRACE],
    "broken": [SENTENCE, TRACE],
    "log": [SHORT, _whole(0, 100), _text(LONGEST), _or_none(_text(LONGEST))],
    "lacking": [_list(ID, least=1, most=MOST_TOGETHER), _list(REFERENCE, least=1, most=1024)],
    "died": [SENTENCE],
}


def check_from_daemon(message: tuple[Any, ...]) -> tuple[Any, ...]:
    """The message, which came from a daemon. Raises Malformed for what no daemon says."""
    return _checked(message, FROM_DAEMON, "a daemon")


def check_from_worker(message: tuple[Any, ...]) -> tuple[Any, ...]:
    """The message, which came from the far end. Raises Malformed for what no worker says."""
    return _checked(message, FROM_FAR_END, "a worker on another machine")


def shortened(message: tuple[Any, ...]) -> tuple[Any, ...]:
    """An answer of a worker with its words cut to what may be sent: of sentences the beginning, of tracebacks the end."""
    if message[0] == "failed":
        _, number, kind, sentence, trace = message
        return "failed", number, kind, sentence[:LONGEST_SENTENCE], trace[-LONGEST_TRACE:]
    if message[0] == "broken":
        return "broken", message[1][:LONGEST_SENTENCE], message[2][-LONGEST_TRACE:]
    if message[0] == "log":
        return "log", message[1][:LONGEST_NAME], *message[2:]
    return message


def _checked(message: tuple[Any, ...], kinds: Mapping[str, Sequence[Form]], who: str) -> tuple[Any, ...]:
    kind = message[0] if message else None
    if not isinstance(kind, str) or kind not in kinds:
        raise Malformed(f"expected one of {', '.join(kinds)} from {who}, and found {shown(repr(kind))[:80]}")
    forms, parts = kinds[kind], message[1:]
    if len(parts) != len(forms):
        raise Malformed(f"expected {len(forms)} values behind {kind!r} from {who}, and found {len(parts)}")
    for form, part in zip(forms, parts, strict=True):
        if not form.fits(part):
            raise Malformed(f"expected behind {kind!r} from {who} {form.words:.300}; found {_told(part)}")
    return message


def _told(part: Any) -> str:
    if isinstance(part, np.ndarray):
        return f"an array of {part.ndim} dimensions"
    return shown(repr(part))[:200]
