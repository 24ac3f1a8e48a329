"""Which lines of an infotext are what: the prompt, the negative prompt, the parameters, and what else stands there.

The grammar is that of A1111's `modules/infotext_utils.py`, where the last line counts as parameters if it holds at least three
`Key: value` pairs. A plain prompt can look like that by accident, so `Steps:` must be one of them. Programs around it write further
lines behind the parameters, break these into several lines, or put all on one with the prompt; so the parameters are the last line
that begins with `Steps:`, and the lines that go on with it. Nothing but the standard library: the child that reads pictures
asks too.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# A1111's expression in two, each of which goes over its characters once: a run of those that a key is made of, and the value
# behind it.
KEY_CHARACTERS = re.compile(r"[\w \-/]+")
# Possessive, because a quote that is not closed is not to be remembered character by character.
VALUE = re.compile(r':\s*("(?:\\.|[^\\"])++"(?=,|$)|[^,]*)(?:,|$)')
JSON_BEGINS = re.compile(r":\s*(?=[\[{])")
MOST_JSON_VALUES = 20
NEGATIVE = "Negative prompt:"
FIRST_KEY = "Steps"
FEWEST_PAIRS = 3
STEPS = re.compile(rf"(?<![\w-]){FIRST_KEY}:\s*\d+\s*,")
# With one of these a line behind the parameters goes on with them.
CONTINUES = re.compile(
    r"(Sampler|Schedule type|CFG scale|CFG rescale|Distilled CFG Scale|Seed|Size|Model hash|Model|VAE hash|VAE|Variation seed"
    r"|Variation seed strength|Denoising strength|Mask blur|Clip skip|ENSD|RNG|Eta|Hires upscale|Hires steps|Hires upscaler"
    r"|Hires resize|Lora hashes|TI hashes|Version):",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Infotext:
    """An infotext, or plain words: `negative` is None where none is said, `pairs` is empty where there are no parameters.

    `behind` are the lines that stand behind the parameters and are none.
    """

    prompt: str
    negative: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    behind: tuple[str, ...] = ()


def split_infotext(text: str) -> Infotext:
    """Tell the lines of a text apart; values still have their quotes."""
    lines = text.strip().split("\n")
    first = _beginning(lines)
    if first is None:
        prompt, negative = _split_negative(lines)
        return Infotext(prompt, negative)
    before, own = _cut(lines[first])
    following, behind = _continued(own, lines[first + 1 :])
    pairs = tuple(pair for line in (own, *following) for pair in _pairs(line))
    if not (_are_parameters(pairs) or _are_few_but_sure(pairs)):
        prompt, negative = _split_negative(lines)
        return Infotext(prompt, negative)
    prompt, negative = _split_negative([*lines[:first], *([before] if before else [])], anywhere=bool(before))
    if negative is None and (said := [line for line in behind if line.strip().startswith(NEGATIVE)]):
        negative = said[0].strip().removeprefix(NEGATIVE).strip()
        behind = [line for line in behind if line is not said[0]]
    return Infotext(prompt, negative, pairs, tuple(line.strip() for line in behind if line.strip()))


def has_parameters(text: str) -> bool:
    """Whether a text has A1111's parameters, which tell a recipe from other words."""
    return f"{FIRST_KEY}:" in text and bool(split_infotext(text.replace("\r\n", "\n").replace("\r", "\n")).pairs)


def _beginning(lines: Sequence[str]) -> int | None:
    """The line in which the parameters begin; None where there are none."""
    for index in reversed(range(len(lines))):
        if lines[index].lstrip(" \t-/").startswith(f"{FIRST_KEY}:"):
            return index
    if _are_parameters(_pairs(lines[-1])):
        return len(lines) - 1
    return next((index for index in reversed(range(len(lines))) if STEPS.search(lines[index])), None)


def _are_parameters(pairs: Sequence[tuple[str, str]]) -> bool:
    known = any(CONTINUES.match(f"{key}:") for key, _ in pairs)
    return len(pairs) >= FEWEST_PAIRS and any(key == FIRST_KEY for key, _ in pairs) and known


def _are_few_but_sure(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the pairs of a short line are parameters all the same: a number of steps, and what else is known."""
    named = dict(pairs)
    others = [key for key in named if key != FIRST_KEY]
    return bool(others) and named.get(FIRST_KEY, "").strip().isdecimal() and all(CONTINUES.match(f"{key}:") for key in others)


def _cut(line: str) -> tuple[str, str]:
    """What stands in the line before its parameters, and these."""
    found = STEPS.search(line)
    before = line[: found.start()] if found else ""
    # A1111 takes other pairs in front of it.
    if not found or not before.strip(" \t-/") or (NEGATIVE not in before and all(":" in part for part in _parts(before))):
        return "", line
    return before.strip().removesuffix(",").strip(), line[found.start() :]


def _parts(line: str) -> list[str]:
    return [part for part in line.split(",") if part.strip()]


def _continued(line: str, rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines that go on with the parameters of a line, and those behind them that do not."""
    following: list[str] = []
    behind: list[str] = []
    open_end = line.rstrip().endswith(",")
    for other in rest:
        if other.strip() and (open_end or CONTINUES.match(other.strip())):
            following.append(other)
            open_end = other.rstrip().endswith(",")
        else:
            behind.append(other)
            open_end = False
    return following, behind


def _pairs(line: str) -> list[tuple[str, str]]:
    """The `Key: value` pairs of a line, values with their quotes."""
    return list(_each_pair(line))


def _each_pair(line: str) -> Iterator[tuple[str, str]]:
    place, tries = 0, MOST_JSON_VALUES
    while run := KEY_CHARACTERS.search(line, place):
        place = run.end()
        key = run[0].lstrip(" -/")
        if len(key) < 2:
            continue
        # Civitai and others write lists and objects without quotes around them.
        if tries and (begins := JSON_BEGINS.match(line, place)):
            tries -= 1
            end = _end_of_json(line, begins.end())
            if end is not None:
                yield key, line[begins.end() : end]
                place = end + 1
                continue
        if found := VALUE.match(line, place):
            yield key, found[1]
            place = found.end()


def _end_of_json(line: str, start: int) -> int | None:
    try:
        _, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError):
        return None
    return end if end == len(line) or line[end] == "," else None


def _split_negative(lines: Sequence[str], *, anywhere: bool = False) -> tuple[str, str | None]:
    """Prompt and negative prompt; `anywhere` also looks for it within a line."""
    for index, line in enumerate(lines):
        before, mark, first = line.partition(NEGATIVE)
        if mark and (anywhere or not before.strip()):
            prompt = "\n".join([*lines[:index], *([before] if before.strip() else [])])
            return prompt.strip().removesuffix(",").strip() if before.strip() else prompt.strip(), "\n".join(
                [first.strip(), *lines[index + 1 :]]
            ).strip()
    return "\n".join(lines).strip(), None
