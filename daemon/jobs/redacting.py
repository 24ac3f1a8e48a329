"""What is left out of words that somebody hands on: secrets, by their values, by their form, and by the names of what holds them.

Each of the three ways alone misses some: a value that is known is found wherever it stands, a form without anybody knowing it, and
what stands under a name such as `password` is left out whatever it looks like.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LEFT_OUT, NO_PROMPT = "(left out)", "(a prompt, left out)"
SHORTEST_VALUE = 5  # characters; what is shorter stands in too many words

_NAME = r"(?:token(?!iz)|secret|passw|passphrase|pwd|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|credential|authoriz|cookie)"
_NAMED = rf"[\w-]*{_NAME}[\w-]*[\"']?\s*"
_SECRETIVE = re.compile(_NAME, re.IGNORECASE)
_FORMS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), LEFT_OUT),
    (re.compile(r"(?<=://)[^/\s@\"']+(?=@)"), LEFT_OUT),
    (re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), LEFT_OUT),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), LEFT_OUT),
    (re.compile(r"\b(?:hf_|gh[opsu]_|github_pat_|glpat-|xox[abp]-|sk-|r8_|AKIA|AIza)[\w-]{8,}"), LEFT_OUT),
    (re.compile(rf"({_NAMED}[:=]\s*)(?!\(left out)(?:\"[^\"]*\"|'[^']*'|[^\s,;&}}\]\"']+)", re.IGNORECASE), rf"\1{LEFT_OUT}"),
)
PROMPTS = ("prompt", "negative_prompt")


def is_secretive(name: str) -> bool:
    """Whether what has this name is a secret, whatever it looks like."""
    return _SECRETIVE.search(name) is not None


class Redaction:
    """Takes secrets out of texts; `secrets` are values that are known, `home` the folder whose name tells who somebody is.

    With `prompts` false the values of prompts go too, where they stand under their names, and wherever else they were `hide`d.
    """

    def __init__(self, secrets: Iterable[str], *, home: str = "", prompts: bool = True) -> None:
        self._secrets = sorted({value for value in secrets if len(value) >= SHORTEST_VALUE}, key=len, reverse=True)
        self._hidden: list[str] = []
        self._home = home.rstrip("/")
        self.prompts = prompts

    def hide(self, prompt: str) -> None:
        """Let a prompt be left out from now on, where prompts are."""
        if not self.prompts and len(prompt) >= SHORTEST_VALUE:
            self._hidden = sorted({*self._hidden, prompt, *filter(_is_long, prompt.splitlines())}, key=len, reverse=True)

    def text(self, words: str) -> str:
        """The words without the secrets in them."""
        for value in self._secrets:
            words = words.replace(value, LEFT_OUT)
        for form, instead in _FORMS:
            words = form.sub(instead, words)
        for prompt in self._hidden:
            words = words.replace(prompt, NO_PROMPT)
        return re.sub(rf"{re.escape(self._home)}(?=[/\s\"':,]|$)", "~", words) if self._home else words

    def value(self, value: Any, name: str = "") -> Any:
        """A value as JSON has it, without what stands in it under a secretive name."""
        if is_secretive(name) and not isinstance(value, bool | int | float | None):
            return LEFT_OUT
        if name in PROMPTS and value and not self.prompts:
            return NO_PROMPT
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner, name) for inner in value]
        return self.text(value) if isinstance(value, str) else value


def secrets_in(values: Any, name: str = "") -> Iterator[str]:
    """The texts that stand under secretive names in values as YAML and JSON have them."""
    if isinstance(values, Mapping):
        for key, inner in values.items():
            yield from secrets_in(inner, f"{name} {key}")
    elif isinstance(values, list | tuple):
        for inner in values:
            yield from secrets_in(inner, name)
    elif isinstance(values, str) and is_secretive(name):
        yield values


def _is_long(line: str) -> bool:
    return len(line.strip()) >= SHORTEST_VALUE
