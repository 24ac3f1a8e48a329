"""What a prompt file, or the recipe in a picture, says; and what of it cannot be honoured."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from daemon.errors import InputError
from daemon.names import shown

# By which settings said elsewhere one that cannot be honoured is overridden, beside itself.
INSTEAD: Mapping[str, tuple[str, ...]] = {
    "prompt": ("embedding",),
    "schedule": ("scheduler",),
    "upscale_strength": ("upscale",),
    "upscale_steps": ("upscale",),
}


@dataclass(frozen=True)
class Prompt:
    """What a prompt file says: settings in the one vocabulary, and what could not be honoured, in sentences.

    `faults` are the sentences on settings that cannot be read, by their names: each is an error where nobody says another value.
    `of_recipe` are the settings that stand in a recipe, where another program may have written them. `inversions` are the textual
    inversions that a recipe says it used. `notes_on` are those of the notes that hold only while nobody says another value of a
    setting. Of a picture's recipe `software` is what made the picture, as far as it says.
    """

    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    software: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    of_recipe: frozenset[str] = frozenset()
    inversions: tuple[str, ...] = ()
    notes_on: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # They quote a file, and stand in logs, on terminals and in other files.
        object.__setattr__(self, "notes", tuple(shown(note) for note in self.notes))
        for name in ("faults", "notes_on"):
            object.__setattr__(self, name, {key: shown(sentence) for key, sentence in getattr(self, name).items()})

    def under(self, said: Collection[str]) -> "Prompt":
        """The prompt without the faults of settings that are said elsewhere, where they win, and without the notes on them."""
        left = {key: fault for key, fault in self.faults.items() if not {key, *INSTEAD.get(key, ())} & set(said)}
        untrue = {note for key, note in self.notes_on.items() if key in said}
        return replace(self, faults=left, notes=tuple(note for note in self.notes if note not in untrue))

    def usable(self, where: str) -> "Prompt":
        """The prompt, where it has no fault. Raises InputError with the first one, naming the file `where`."""
        for fault in self.faults.values():
            raise InputError(f"{where}: {fault}")
        return self
