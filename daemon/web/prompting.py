"""Prompts that are written on the page: a file with the settings above and the words below, read once before it is dropped.

What stands in the field is meant as words. Where the words alone would be read as more, as the parameters that other programs
write below theirs, they stand in quotes among the settings.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemon.errors import ConfigError, DaemonError, InputError
from daemon.inbox.grouping import is_tied
from daemon.inbox.telling_names import is_nobodys
from daemon.jobs.foreseen import check_fits
from daemon.jobs.intake.files import Files, InputSources
from daemon.jobs.intake.readers import read_request
from daemon.jobs.request import stage_settings
from daemon.layout import EMBEDDINGS, INBOX
from daemon.names import portable, shown
from daemon.settings.checking import checked
from daemon.settings.prompts import parse_prompt, read_prompt
from daemon.settings.recipe import Prompt
from daemon.settings.values import HALF
from daemon.stages import STAGES
from daemon.web.arriving import arriving, check_name, told_of
from daemon.web.asked import MOST_JSON_BYTES, as_json, object_in
from daemon.web.facts import ReadConfig

UNNAMED, LONGEST_NAME = "prompt", 60  # of a stem in characters
# What YAML takes for the end of a line, or for no character at all, where JSON does not.
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_IN_NAMES = re.compile(r"[\W_]+")


def routes(root: Path, read_config: ReadConfig) -> list[Route]:
    """Where prompts are sent to."""

    async def prompt(request: Request) -> Response:
        said = await object_in(request)
        return as_json(await run_in_threadpool(written, root, read_config, said))

    return [Route("/prompts", prompt, methods=["POST"])]


def written(root: Path, read_config: ReadConfig, said: Mapping[str, Any]) -> dict[str, str]:
    """Drop the prompt that was said, once it was read as the daemon will read it."""
    words, settings, stem = said.get("prompt", ""), said.get("settings", {}), said.get("name", "")
    if not isinstance(words, str) or not isinstance(stem, str) or not isinstance(settings, dict):
        raise DaemonError('a prompt is {"name": "...", "prompt": "...", "settings": {...}}')
    stage = STAGES["text"]
    name = f"{_stem(stem, words)}.txt"
    check_name(stage, name)
    if is_tied(stage, name):
        raise DaemonError(f"{shown(name)} would go with another file by its name; give it another one")
    data = text_of(words, {key: value for key, value in settings.items() if value is not None and key != "prompt"}, name)
    _check(data, name, root, read_config)
    with arriving(root, root / INBOX / stage.folder, stage) as made:
        made.file.write(data)
        path = made.arrive(name)
    return told_of(stage, path)


def text_of(words: str, settings: Mapping[str, Any], where: str) -> bytes:
    """A prompt file that says these words and these settings, and nothing else. Raises InputError where they cannot be said."""
    checked({**settings, "prompt": words}, where)
    in_quotes = _file({**settings, "prompt": words}, "")
    if HALF.search(in_quotes) or "\0" in words:
        raise InputError(f"{where}: half a character (a lone surrogate), or a zero, is in it, which no text can say: take it out")
    meant = read_prompt(in_quotes.encode(), where, characters=MOST_JSON_BYTES)
    below = _file(settings, words.strip())
    return (below if _says(below, meant, where) else in_quotes).encode()


def _file(settings: Mapping[str, Any], below: str) -> str:
    head = "".join(f"{key}: {_in_yaml(value)}\n" for key, value in settings.items())
    return (f"---\n{head}---\n" if head else "") + (f"{below}\n" if below else "")


def _in_yaml(value: Any) -> str:
    # YAML reads JSON, but for a few characters.
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _says(text: str, meant: Prompt, where: str) -> bool:
    try:
        found = read_prompt(text.encode(), where, characters=MOST_JSON_BYTES)
    except InputError:
        return False
    return _all_of(found) == _all_of(meant)


def _all_of(prompt: Prompt) -> tuple[object, ...]:
    """What a prompt says, but for space around the words."""
    return {**prompt.settings, "prompt": str(prompt.settings.get("prompt", "")).strip()}, prompt.notes, prompt.faults


def _check(data: bytes, name: str, root: Path, read_config: ReadConfig) -> None:
    """Raise InputError where the daemon could not use the file."""
    try:
        config = read_config()
    except (ConfigError, OSError):
        parse_prompt(data, name, characters=MOST_JSON_BYTES)
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        sources = InputSources(config, root / EMBEDDINGS)
        request = read_request("text", Files({"principal": file}, {"principal": name}), sources)
    try:
        check_fits(request, stage_settings(request, config))
    except OSError:  # the model may be the daemon's alone to read
        return


def _stem(said: str, words: str) -> str:
    """What the file is called: as somebody said, or by the first words."""
    if said.strip():
        return portable(said.strip().removesuffix(".txt").lstrip(".~ "))
    short = _NOT_IN_NAMES.sub("-", words[:LONGEST_NAME].lower()).strip("-")
    return portable(short) if short and not is_nobodys(short) else UNNAMED
