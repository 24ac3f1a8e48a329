"""Checking what people said: names, ranges and sentences; what counts with what was dropped; and which of several layers wins."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from daemon.errors import InputError
from daemon.models.prompt_grammar import cut_loras
from daemon.models.schedulers import paired, read_name, usual_eta
from daemon.settings.faults import reason_of
from daemon.settings.vocabulary import ALIASES, EARLIER, REGISTRY, Settings

DRAWN_BEFORE: Mapping[str, Any] = {"rng": "cpu", "ensd": 0, "variation_strength": 0.0}
MOST_FAULTS = 4  # that one sentence tells
LONGEST_KEY = 60  # characters of a key that is no setting, in sentences and where its nearest is looked for


def checked(values: Mapping[str, Any], where: str) -> Settings:
    """Validate settings, under any of their names; `where` names the file they stand in.

    Raises InputError with one sentence, which tells the first few faults."""
    values = with_schedule_named(with_loras_cut_out(by_their_names(values, where), where), where)
    faults = _unknown([key for key in values if key not in REGISTRY])
    try:
        settings = Settings.model_validate({key: value for key, value in values.items() if key in REGISTRY})
    except ValidationError as error:
        faults = [*sentences_of(error), *faults]
    if faults:
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise InputError(f"{where}: {'; '.join(faults[:MOST_FAULTS])}{more}")
    return settings


def _unknown(keys: Sequence[object]) -> list[str]:
    """The sentences on keys that are no settings; what there is is listed once."""
    said = [str(key)[:LONGEST_KEY] for key in keys]
    near = [_nearest(key) for key in said]
    every = "" if all(near) else f"; known are {', '.join(REGISTRY)}"
    sentences = [f"'{key}' is no setting{instead}" for key, instead in zip(said, near, strict=True)]
    return [*sentences[:-1], sentences[-1] + every] if sentences else []


def by_their_names(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings without aliases. Raises InputError where one is said twice, under two names."""
    named: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, value in values.items():
        name = _NAMES.get(_plain(key), key) if isinstance(key, str) else key
        if name in named:
            other, own = sorted((key, written[name]), key=lambda said: said == name)
            beside = " (how the noise levels lie is 'schedule')" if name == "scheduler" else ""
            raise InputError(f"{where}: '{other}' is another name of '{own}', and both are given; keep one of them{beside}")
        named[name], written[name] = value, key
    return named


def _plain(key: str) -> str:
    return key.lower().replace(" ", "_").replace("-", "_")


# Also by the keys of A1111's parameters, but for those that hold two settings.
_NAMES = {
    **{_plain(setting.infotext): name for name, setting in REGISTRY.items() if setting.infotext not in (None, "Size")},
    **ALIASES,
    **{name: name for name in REGISTRY},
}


def with_schedule_named(values: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The settings with the schedule that the name of a scheduler means, as A1111's "DPM++ 2M Karras", where none is said.

    Raises InputError, naming the file `where`, for a scheduler that takes no schedule."""
    scheduler, schedule = values.get("scheduler"), values.get("schedule")
    if not isinstance(scheduler, str) or not isinstance(schedule, str | None):
        return values
    try:
        named = paired(scheduler, schedule)
    except InputError as error:
        raise InputError(f"{where}: 'scheduler': {error}") from error
    return {**values, "scheduler": named.scheduler, **({"schedule": named.schedule} if named.schedule else {})}


def counting(input_kind: str, said: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What of the settings that somebody gave counts with this one of INPUT_KINDS, and a note on each that does not."""
    kept = {key: value for key, value in said.items() if key not in REGISTRY or input_kind in REGISTRY[key].counts}
    return kept, tuple(ignored(key, input_kind) for key in said if key not in kept)


def ignored(key: str, input_kind: str) -> str:
    """The sentence on a setting that does not count there."""
    reason = REGISTRY[key].elsewhere
    return f"{key} ignored: it does not count for {input_kind}" + (f" ({reason})" if reason else "")


def with_loras_cut_out(values: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The settings with those LoRAs under `loras` that the prompt names, and the prompt without them; they win over those said.

    Raises InputError, naming the file `where`, for one that is not named as A1111 does."""
    prompt, said = values.get("prompt"), values.get("loras") or {}
    if not isinstance(prompt, str) or not isinstance(said, Mapping):
        return values
    try:
        words, named = cut_loras(prompt)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return {**values, "prompt": words, "loras": {**said, **named}} if named else values


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over each other: a later layer wins, and None says nothing.

    A schedule goes with the scheduler that it was said for, and an eta with both: where a later layer names others, they are gone.
    """
    laid: dict[str, Any] = {}
    for layer in layers:
        said = {key: value for key, value in layer.items() if value is not None}
        other = "scheduler" in said and _names_another(said["scheduler"], laid.get("scheduler"))
        if other:
            laid.pop("schedule", None)
        if other or "schedule" in said:
            laid.pop("eta", None)
        laid |= said
    return laid


def _names_another(scheduler: object, than: object) -> bool:
    """Whether the name of a scheduler is another than before, or has a schedule of its own."""
    try:
        named = [read_name(name) for name in (scheduler, than) if isinstance(name, str)]
    except InputError:
        return True
    return len(named) < 2 or named[0].schedule is not None or named[0].scheduler != named[1].scheduler


def as_made_by(version: object) -> dict[str, Any]:
    """The setting without which this version makes something else of a recipe of that one; nothing where there is no difference."""
    return {"as_of": version} if version in EARLIER else {}


def as_drawn_before(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe with a seed means of its noise where it is silent, so that no default changes it; nothing for others."""
    return dict(DRAWN_BEFORE) if "seed" in recipe else {}


def as_made_before(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a finished picture, whose words leave out an eta that is the usual one."""
    scheduler = recipe.get("scheduler")
    eta = {"eta": usual_eta(scheduler, recipe.get("schedule"))} if isinstance(scheduler, str) else {}
    return as_drawn_before(recipe) | eta


def sentences_of(error: ValidationError) -> list[str]:
    """The first fault of each setting that pydantic found one in, as sentences with key, rule and value."""
    first: dict[object, str] = {}
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"] if part not in ("float", "[key]"))
        first.setdefault(fault["loc"][:1], f"'{key}' {reason_of(fault)} (found {fault['input']!r:.80})")
    return list(first.values())


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(_plain(key), _NAMES, n=1, cutoff=0.7)
    return f" (did you mean '{_NAMES[near[0]]}'?)" if near else ""
