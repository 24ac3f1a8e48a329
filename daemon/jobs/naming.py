"""What results are called: by what was dropped, or as the setting `name` says, and numbered where one prompt makes several.

A name is given once. Where it is made, the setting is used up: from there on the name of the file carries it, and who renames the
file in between has renamed the picture. The id, which tells all files apart, comes behind it.
"""

from collections.abc import Mapping
from datetime import datetime

from daemon.errors import InputError
from daemon.inbox.grouping import is_tied
from daemon.inbox.telling_names import conflict_of, is_nobodys
from daemon.jobs.request import Request, seeded
from daemon.names import LIMIT_BYTES, output_name, shown, stem_of
from daemon.settings.config import Config
from daemon.settings.values import NAME_FIELD
from daemon.stages import STAGES, Gives

BY_STEM = "{stem}"
AN_ID = "00000000"
PORTABLE_LIMIT_BYTES = 143  # of a whole name, in the encrypted folders of a NAS
# What may stand behind a stem: the step of a dump, the id, and the longest ending of a companion, or of a sign beside a file.
_LONGEST_ENDING = max(map(len, (".tiff.restore", *(ending for stage in STAGES.values() for ending in stage.companions))))
_ROOM_BYTES = len("_step1000") + len(f".{AN_ID}") + _LONGEST_ENDING


def stems_of(request: Request, stem: str, config: Config, now: datetime) -> list[str]:
    """The stems of the results, one for each picture in the order of their seeds, made of the `stem` of what was dropped."""
    count = (request.settings.count or 1) if STAGES[request.stage].gives is Gives.NOISE else 1
    limit = (PORTABLE_LIMIT_BYTES if config.names == "portable" else LIMIT_BYTES) - _ROOM_BYTES
    numbers = [f"{index:0{len(str(count))}}" for index in range(1, count + 1)]
    pattern = request.settings.name or BY_STEM
    facts = {
        "stem": config.stem_for(stem),
        "model": request.settings.model or "",
        "date": now.date().isoformat(),
    }
    given = request.settings.given()
    called = [
        _filled(pattern, {**facts, "index": number, "seed": str(seeded(given, index)["seed"]) if "seed" in given else ""}, limit)
        for index, number in enumerate(numbers)
    ]
    if len(set(called)) < count:
        called = [f"{_cut(one, limit - len(number) - 1)}-{number}" for one, number in zip(called, numbers, strict=True)]
    return [config.stem_for(one) for one in called]


def check_name(request: Request, dropped: str, config: Config) -> None:
    """Raise InputError where the setting `name` makes what the inboxes would not take for a file of its own.

    `dropped` is the name of the file that the job is about."""
    pattern = request.settings.name
    if pattern is None:
        return
    if "{seed}" in pattern and request.settings.seed is None:
        raise InputError(f"{dropped}: 'name' is to have the {{seed}} in it, and none is known of these latents; take the field out")
    for stem in stems_of(request, stem_of(dropped), config, datetime.now().astimezone()):
        name = output_name(stem, AN_ID, ".tiff")
        if is_nobodys(name) or conflict_of(name) or any(is_tied(stage, name) for stage in STAGES.values()):
            raise InputError(
                f"{dropped}: 'name' ({pattern}) would make {shown(stem)!r}, which the next inbox takes for half of a "
                "pair, or for a file that is not to be used; choose another beginning and ending"
            )


def _filled(pattern: str, facts: Mapping[str, str], limit: int) -> str:
    """The pattern with its fields filled in, of at most `limit` bytes: the stem gives way first."""
    stem = facts["stem"]
    while True:
        called = _with_fields(pattern, {**facts, "stem": stem})
        if _size(called) <= limit or not stem or BY_STEM not in pattern:
            return _cut(called, limit)
        stem = stem[:-1]


def _with_fields(pattern: str, facts: Mapping[str, str]) -> str:
    return NAME_FIELD.sub(lambda field: facts[field[1]], pattern)


def _cut(words: str, limit: int) -> str:
    while _size(words) > limit:
        words = words[:-1]
    return words


def _size(words: str) -> int:
    return len(words.encode("utf-8", "surrogateescape"))
