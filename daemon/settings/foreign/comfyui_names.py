"""The samplers of programs that stand on ComfyUI: its names for the schedules whose numbers are not A1111's."""

SCHEDULES = {"beta": "comfyui_beta", "kl_optimal": "comfyui_kl_optimal"}
"""Our names of them, where theirs mean something else here."""


def schedule(name: object) -> object:
    """A schedule of ComfyUI as it is named here."""
    return SCHEDULES.get(name, name) if isinstance(name, str) else name


def plain_words(prompt: str) -> str:
    """A prompt of theirs for our grammar: square brackets are plain characters there."""
    return prompt.replace("[", r"\[").replace("]", r"\]")
