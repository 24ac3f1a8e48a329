"""Prompt text -> the settings it says: plain text, YAML front matter + text, an A1111 infotext, or a JSON object.

`infotext.py` has the parameters of the infotext, `foreign/` the recipes of other programs.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from daemon.errors import InputError
from daemon.models.prompt_grammar import check_syntax
from daemon.models.schedulers import paired, read_name
from daemon.settings.checking import by_their_names, layered, with_loras_cut_out
from daemon.settings.foreign.recipe import parsed
from daemon.settings.foreign.telling import of_record
from daemon.settings.infotext import loras_not_named, read_infotext
from daemon.settings.plain_yaml import parse_yaml
from daemon.settings.recipe import Prompt
from daemon.settings.unfenced import has_settings, settings_without_fence

FENCE = re.compile(r"\s*---[ \t]*(\n|\Z)")
FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(?P<head>.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
JSON_ENDING = ".json"
# What editors of Windows write at the beginning of a text in UTF-16, as Notepad's "Unicode" and PowerShell's `>` do.
UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


# What error.txt of a failed job has below its sentence; `daemon/spool/failures.py` writes it.
_REPORT = re.compile(r"^Dropped: .+\n(?:To try again|To go on): ", re.MULTILINE)


def parse_prompt(data: bytes, where: str, *, characters: int) -> Prompt:
    """Read the bytes of a prompt file; `characters` bounds its length. Raises InputError naming the file and the way out."""
    prompt = read_prompt(data, where, characters=characters).usable(where)
    words = str(prompt.settings.get("prompt", ""))
    if not words.strip() and "embedding" not in prompt.settings:
        raise without_prompt(where)
    for part in (words, str(prompt.settings.get("negative_prompt", ""))):
        refuse_unsupported(part, where)
    return prompt


def read_prompt(data: bytes, where: str, *, characters: int) -> Prompt:
    """The same of a file beside which another may say more: what cannot be honoured is among its faults, and it may have no prompt.

    Raises InputError where it is no text, or its front matter cannot be read."""
    text = _bounded(data, where, characters)
    if where.lower().endswith(JSON_ENDING):
        return _json(text, where)
    prompt = _with_front_matter(text, where) if FENCE.match(text) else _bare(text, where)
    return _with_loras_named(prompt, text)


def read_labelled(text: str) -> Prompt:
    """The infotext of a picture: what stands in it was labelled a recipe."""
    prompt = _with_loras_named(read_infotext(text.replace("\r\n", "\n").replace("\r", "\n")), text)
    return replace(prompt, of_recipe=prompt.of_recipe | {"prompt", "negative_prompt", "loras"})


def without_prompt(where: str) -> InputError:
    """The error of a prompt file that says nothing to be shown."""
    return InputError(f"{where}: there is no prompt in this file; write what the picture shall show and drop it again")


def read_foreign(recipe: Mapping[str, Any]) -> Prompt:
    """The recipe of another program, as `foreign/recipe.py` has it, in our vocabulary."""
    said, notes, faults = (
        dict(recipe["said"]),
        [f"made by {recipe['program']}, whose recipe is read", *recipe["notes"]],
        dict[str, str](),
    )
    sampler, schedule = said.pop("scheduler", None), said.pop("schedule", None)
    if sampler is not None:
        try:
            named = paired(str(sampler), None if schedule is None else str(schedule)) if schedule else read_name(str(sampler))
            said |= {"scheduler": named.scheduler, **({"schedule": named.schedule} if named.schedule else {})}
        except InputError as error:
            faults["scheduler"] = str(error)
    prompt = Prompt(said, tuple(notes), faults=faults, of_recipe=frozenset({*said, "loras"}))
    return _with_loras_named(prompt, "")


def front_matter(data: bytes, where: str, *, characters: int) -> Mapping[str, Any]:
    """The settings at the head of a prompt file, unchecked; empty where it is plain. Raises InputError as `parse_prompt` does."""
    text = _bounded(data, where, characters)
    if where.lower().endswith(JSON_ENDING):
        record = parsed(text)
        return {} if record is None or of_record(record) else by_their_names(parse_yaml(text, where), where)
    return _split_front_matter(text, where)[0] if FENCE.match(text) else {}


def settings_file(data: bytes, where: str) -> Mapping[str, Any]:
    """The settings in the bytes of a settings file, unchecked. Raises InputError naming the file and the way out."""
    return parse_yaml(plain_text(data, where), where)


def plain_text(data: bytes, where: str) -> str:
    """The text of a file that holds nothing else. Raises InputError."""
    return _decoded(data, where).strip()


def refuse_unsupported(prompt: str, where: str) -> None:
    """Raise InputError, naming the file `where`, for a prompt whose syntax is wrong or would be encoded as words."""
    try:
        check_syntax(prompt)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _bounded(data: bytes, where: str, characters: int) -> str:
    text = _decoded(data, where)
    if len(text) > characters:
        raise InputError(
            f"{where}: the prompt has {len(text)} characters, the limit is {characters} (limits.characters in config.yaml)"
        )
    return text


def _decoded(data: bytes, where: str) -> str:
    code = UTF16.get(data[:2])
    try:
        text = data.decode(code).removeprefix("\ufeff") if code else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        named = "UTF-16, though it begins as such" if code else "UTF-8"
        raise InputError(
            f"{where}: this is not {named} text (byte {error.start} is {data[error.start]:#04x}); save it as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{where}: this holds zero bytes, so it is no text; a prompt is plain UTF-8 text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _bare(text: str, where: str) -> Prompt:
    """Plain words, an infotext, or the JSON that people copy out of other programs.

    Raises InputError where words look like settings, which stand between lines of ---, or are those of a report of ours."""
    if _REPORT.search(text):
        raise InputError(
            f"{where}: this is the report on a job that failed, and no prompt; delete it, and move what it names instead"
        )
    record = parsed(text)
    if record is not None and (of_record(record) or has_settings(record)):
        return _json(text, where)
    prompt = read_infotext(text)
    if not prompt.of_recipe and (line := settings_without_fence(text)):
        raise InputError(
            f"{where}: the line {line[:60]!r} looks like a setting, and settings stand above the prompt, between two lines of ---; "
            "put these there; or, where it is meant as words, two lines of --- above it with nothing between them"
        )
    return prompt


def _json(text: str, where: str) -> Prompt:
    """A JSON object: our settings with the prompt among them, or the recipe of another program."""
    record = parsed(text)
    if record is None:
        raise InputError(f'{where}: this is no JSON object; write settings as {{"prompt": "a cat", "steps": 20}}, or a .txt')
    foreign = of_record(record)
    if foreign is not None and foreign.unread:
        raise InputError(f"{where}: {foreign.unread}; write its prompt into a .txt")
    if foreign is not None:
        return read_foreign({"program": foreign.program, "said": foreign.said, "notes": foreign.notes})
    # JSON is YAML, and read within its limits: keys that are said twice are refused, too.
    return _with_loras_named(Prompt(by_their_names(parse_yaml(text, where), where)), "")


def _with_front_matter(text: str, where: str) -> Prompt:
    spoken, rest = _split_front_matter(text, where)
    inner = read_infotext(rest).under(spoken)
    below = str(inner.settings.get("prompt", "")).strip()
    if spoken.get("prompt") is not None and below not in ("", str(spoken["prompt"]).strip()):
        raise InputError(f"{where}: the prompt is said twice, above as {str(spoken['prompt'])[:40]!r} and below; keep one of them")
    written = {key: value for key, value in inner.settings.items() if key != "prompt" or value}
    return replace(inner, settings=layered(written, spoken), of_recipe=inner.of_recipe - spoken.keys())


def _split_front_matter(text: str, where: str) -> tuple[dict[str, Any], str]:
    """The settings at the head of a text, and what stands below them."""
    found = FRONT_MATTER.match(text)
    if not found:
        raise InputError(f"{where}: the front matter that starts with --- has no closing --- line; add one above the prompt")
    first_line = text.count("\n", 0, found.start("head")) + 1
    return by_their_names(parse_yaml(found["head"], where, first_line=first_line), where), text[found.end() :]


def _with_loras_named(prompt: Prompt, text: str) -> Prompt:
    """The prompt with the LoRAs that its words name as settings, and notes on those that a recipe only has the hashes of."""
    try:
        settings = with_loras_cut_out(prompt.settings, "")
    except InputError as error:
        return replace(prompt, faults={"prompt": str(error).removeprefix(": "), **prompt.faults})
    named: Collection[str] = settings.get("loras") or ()
    more = loras_not_named(text, named) if prompt.of_recipe and text else ()
    return replace(prompt, settings=settings, notes=(*prompt.notes, *more))
