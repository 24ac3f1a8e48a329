"""The samplers of programs that stand on ComfyUI: its names for the schedules whose numbers are not A1111's."""

import re

# What means something to A1111 and to extensions, and is text there: choices stand in the graph as they were made.
_WORDS = re.compile(r"(?<!\\)(?:\b(?:AND|BREAK)\b|\{(?=[^{}|]*\|[^{}]*\})|__(?=[^\W_][\w*/.-]{0,80}?__|\*{1,2}__))")

SCHEDULES = {"beta": "comfyui_beta", "kl_optimal": "comfyui_kl_optimal"}
"""Our names of them, where theirs mean something else here."""


def schedule(name: object) -> object:
    """A schedule of ComfyUI as it is named here."""
    return SCHEDULES.get(name, name) if isinstance(name, str) else name


def plain_words(prompt: str) -> str:
    """A prompt of theirs for our grammar: only round brackets and backslashes mean something there."""
    return _WORDS.sub(r"\\\g<0>", prompt.replace("[", r"\[").replace("]", r"\]"))
