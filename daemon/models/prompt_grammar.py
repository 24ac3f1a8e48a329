"""The grammar of a prompt, which is A1111's: weights in brackets, BREAK, LoRAs in angle brackets, names of textual inversions.

    (words)         count 1.1 times           [words]   count 1 / 1.1 times        (words:1.3)   count as said
    BREAK           begins a new chunk        brackets nest; one that is never closed runs to the end
    \\( \\) \\[ \\] \\\\   are plain characters     <lora:NAME:WEIGHT>, <lora:NAME:TEXT_WEIGHT:DENOISER_WEIGHT> name a LoRA
    \\AND \\BREAK \\{a|b} \\__a__   are plain words: what stands behind the backslash

The grammar as A1111 documents it, in `modules/prompt_parser.py`. Torch-free, because the front process checks prompts with it.
Sentences of errors begin with the fault; the reader of the file puts the file's name before them.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from daemon.errors import InputError

HEAVIER, LIGHTER = 1.1, 1 / 1.1
LARGEST_WEIGHT = 100.0
# With more of them open at once a weight is beyond all use, and a prompt of brackets alone would take its time.
DEEPEST = 48

_TOKEN = re.compile(
    r"""\\(?P<escaped>[()\[\]\\] | AND\b | BREAK\b | \{(?=[^{}|]*\|[^{}]*\}) | __(?=[^\W_][\w*/.-]{0,80}?__|\*{1,2}__))
    | (?P<opening>[(\[])
    | :\s*(?P<weight>[+-]?[\d.]+)\s*\)
    | (?P<closing>[)\]])
    | [^\\()\[\]:]+ | . """,
    re.VERBOSE | re.DOTALL,
)
_OPENING_OF = {")": "(", "]": "["}
# What may begin with blanks is looked for at the first of them only, and no character can belong to either of two repetitions: else
# a prompt of blanks, or of digits, takes the square of its time.
_BREAK = re.compile(r"(?:(?<!\s)\s+)?\bBREAK\b\s*")
_LORA = re.compile(r"(?:(?<![ \t])[ \t]+)?<(?:lora|lyco):([^<>]*)>")
_NETWORK = re.compile(r"<(?:lora|lyco|hypernet):")
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)\s*")
_AND = re.compile(r"\bAND\b")
# What programs and extensions replace by other words before anything is encoded, each within what it may span.
_BRACES = re.compile(r"\{([^{}]*)\}")
_WILDCARD = re.compile(r"(?<![^\W_])__[^\W_][\w*/.-]{0,80}?__(?![^\W_])|(?<![^\W_])__\*{1,2}__")
_OF_SWARMUI = re.compile(
    r"<(?:random|wildcard|alternate|alt|fromto|repeat|segment|object|region|preset|setvar|var|embed|trigger|comment)\b[^<>:]*:[^<>]*>"
)
_EMBEDDING = re.compile(r"\bembedding:(\w[\w.-]*)")

LoraWeight = float | list[float]
"""The weight of a LoRA, or two: that in the text encoders and that in the denoiser."""


@dataclass(frozen=True)
class Words:
    """Words that count with one weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Name:
    """The name of a textual inversion, where it stands among words."""

    name: str


Sections = tuple[tuple[Words, ...], ...]
"""A prompt: its words between one BREAK and the next."""


def parse_weights(prompt: str) -> Sections:
    """Read the weights of a prompt; at least one section. Raises InputError where a weight is no number or beyond all use."""
    pieces: list[tuple[str, float, int]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    section = 0
    for found in _TOKEN.finditer(prompt):
        token, brackets = found[0], opened.get(_OPENING_OF.get(found[0][-1], ""))
        if found["opening"]:
            opened[token].append(len(pieces))
            _check_depth(opened)
        elif brackets and (found["weight"] or found["closing"]):
            _multiply(pieces, brackets.pop(), _factor(found))
        elif found["escaped"]:
            pieces.append((found["escaped"], 1.0, section))
        else:
            for index, part in enumerate(_BREAK.split(token)):
                section += index > 0
                pieces.append((part, 1.0, section))
    for bracket, factor in (("(", HEAVIER), ("[", LIGHTER)):
        for start in opened[bracket]:
            _multiply(pieces, start, factor)
    sections: list[list[tuple[str, float, int]]] = [[] for _ in range(section + 1)]
    for piece in pieces:
        sections[piece[2]].append(piece)
    return tuple(map(_merged, sections))


def _check_depth(opened: Mapping[str, Collection[int]]) -> None:
    if sum(map(len, opened.values())) > DEEPEST:
        raise InputError(f"the prompt opens more than {DEEPEST} brackets in each other; write the weight as (words:1.5)")


def _factor(found: re.Match[str]) -> float:
    if found["closing"]:
        return HEAVIER if found["closing"] == ")" else LIGHTER
    try:
        return float(found["weight"])
    except ValueError:
        raise InputError(
            f"the prompt says the weight {found['weight']!r:.60}, expected a number as in (words:1.3); correct it"
        ) from None


def _multiply(pieces: list[tuple[str, float, int]], start: int, factor: float) -> None:
    for index in range(start, len(pieces)):
        text, weight, section = pieces[index]
        pieces[index] = (text, weight * factor, section)


def _merged(pieces: list[tuple[str, float, int]]) -> tuple[Words, ...]:
    words = [
        Words("".join(text for text, _, _ in same), weight)
        for weight, same in ((weight, list(group)) for weight, group in groupby(pieces, key=lambda piece: piece[1]))
    ]
    for said in words:
        if not math.isfinite(said.weight) or abs(said.weight) > LARGEST_WEIGHT:
            raise InputError(
                f"the prompt weighs {said.text!r:.60} by {said.weight:g}, and weights are within -{LARGEST_WEIGHT:g} and "
                f"{LARGEST_WEIGHT:g}; use smaller ones"
            )
    return tuple(words)


def check_syntax(prompt: str) -> None:
    """Raise InputError where a prompt uses syntax that cannot be honoured, and would otherwise be encoded as words."""
    parse_weights(prompt)
    found = _NETWORK.search(prompt)
    end = prompt.find(">", found.end()) if found else -1
    if found and end >= 0:
        what = "hypernetworks cannot be used" if found[0].startswith("<hypernet") else "a LoRA is named in the prompt alone"
        raise InputError(f"the prompt holds {prompt[found.start() : end + 1]!r:.60}; {what}: take it out")
    bare = _without_escaped(prompt)
    for words, how in _replaced_elsewhere(bare):
        raise InputError(f"the prompt holds {words!r:.60}; {how}")
    if text := schedule_in(prompt):
        raise InputError(
            f"the prompt holds {text!r:.60}; prompt schedules [a:b:0.5] and alternation [a|b] cannot be done and would be read as "
            "words: take it out (a backslash before a bracket makes it a plain bracket)"
        )
    if _AND.search(bare):
        raise InputError(
            "the prompt holds 'AND'; AND cannot be done, which A1111 makes a picture of two prompts by, and it would be read as a "
            "word: take it out, or write \\AND where the word is meant"
        )


def _replaced_elsewhere(prompt: str) -> Iterator[tuple[str, str]]:
    """What other programs replace by words of their choice, and the rest of the sentence on it."""
    chosen = [(found[0], "a choice {a|b} is not made") for found in _BRACES.finditer(prompt) if "|" in found[1]]
    for words, how in (*chosen, *((found[0], "a wildcard __name__ is not filled in") for found in _WILDCARD.finditer(prompt))):
        yield (
            words,
            f"{how} here, and it would be read as words: write the words that are meant, or a backslash before it "
            f"(\\{words:.60}) where it is itself meant as words",
        )
    how = "what SwarmUI does in angle brackets is not done here, and it would be read as words: write the words that are meant"
    yield from ((found[0], how) for found in _OF_SWARMUI.finditer(prompt))


def _without_escaped(prompt: str) -> str:
    """A prompt of the same length without what a backslash makes plain characters or words."""
    return _TOKEN.sub(lambda found: "\0" * len(found[0]) if found["escaped"] else found[0], prompt)


def schedule_in(prompt: str) -> str | None:
    """The first schedule or alternation in a prompt: square brackets with a bar of their own, or with a number after a colon."""
    opened: list[tuple[str, int]] = []
    barred: set[int] = set()
    colons: dict[int, int] = {}
    for found in _TOKEN.finditer(prompt):
        token, innermost = found[0], opened[-1] if opened else ("", -1)
        closes = _OPENING_OF.get(token[-1]) if found["closing"] or found["weight"] else None
        if found["opening"]:
            opened.append((token, found.start()))
        elif closes and innermost[0] == closes:
            start = opened.pop()[1]
            if start in barred or (start in colons and _NUMBER.fullmatch(prompt, colons[start], found.start())):
                return prompt[start : found.end()]
        elif innermost[0] == "[" and token == ":":
            colons[innermost[1]] = found.end()
        elif innermost[0] == "[" and "|" in token:
            barred.add(innermost[1])
    return None


def cut_loras(prompt: str) -> tuple[str, dict[str, LoraWeight]]:
    """The words of a prompt without the LoRAs it names, and these with their weights; one that is named twice counts twice.

    Raises InputError where one is written otherwise."""
    weights: dict[str, tuple[float, float]] = {}
    for found in _LORA.finditer(prompt):
        name, text, denoiser = _lora(found)
        before = weights.get(name, (0.0, 0.0))
        weights[name] = (before[0] + text, before[1] + denoiser)
    words = _LORA.sub("", prompt).strip() if weights else prompt
    return words, {name: text if text == denoiser else [text, denoiser] for name, (text, denoiser) in weights.items()}


def _lora(found: re.Match[str]) -> tuple[str, float, float]:
    """Name, weight in the text encoders, weight in the denoiser; A1111 also names the weights: te=0.5, unet=0.8."""
    name, *said = (part.strip() for part in found[1].split(":"))
    named = dict(part.split("=", 1) for part in said if "=" in part)
    placed = [part for part in said if "=" not in part]
    try:
        if not name or len(placed) > 2 or named.keys() - {"te", "unet"}:
            raise ValueError
        text = float(named.get("te", placed[0] if placed else 1.0))
        return name, text, float(named.get("unet", placed[1] if len(placed) == 2 else text))
    except ValueError:
        raise InputError(
            f"the prompt holds {found[0].strip()!r:.60}; a LoRA is named as <lora:NAME:WEIGHT> or "
            "<lora:NAME:TEXT_WEIGHT:DENOISER_WEIGHT>, with numbers"
        ) from None


def render_loras(loras: Mapping[str, LoraWeight]) -> str:
    """LoRAs as A1111 writes them into a prompt: the inverse of `cut_loras`."""
    weights = {name: weight if isinstance(weight, list) else [weight] for name, weight in loras.items()}
    return " ".join(f"<lora:{name}:{':'.join(map(repr, said))}>" for name, said in weights.items())


def split_names(text: str, names: Collection[str]) -> list[str | Name]:
    """Words and, among them, those names that stand as words of their own: NAME, <NAME> or embedding:NAME, in any case."""
    if not names:
        return [text]
    # Of two names that begin alike the longer one counts.
    known = {name.lower(): name for name in names}
    longest_first = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
    pattern = re.compile(rf"<({longest_first})>|(?<![\w-])(?:embedding:)?({longest_first})(?![\w-])", re.IGNORECASE)
    pieces: list[str | Name] = []
    end = 0
    for found in pattern.finditer(text):
        pieces += [text[end : found.start()], Name(known[(found[1] or found[2]).lower()])]
        end = found.end()
    return [piece for piece in (*pieces, text[end:]) if piece]


def named_textual_inversions(prompts: Iterable[str], names: Collection[str]) -> tuple[list[str], list[str]]:
    """Those of the names that prompts hold, and the names after embedding: that are none of them."""
    texts = [words.text for prompt in prompts for section in parse_weights(prompt) for words in section]
    pieces = [piece for text in texts for piece in split_names(text, names)]
    known = dict.fromkeys(piece.name for piece in pieces if isinstance(piece, Name))
    return list(known), [found for piece in pieces if isinstance(piece, str) for found in _EMBEDDING.findall(piece)]
