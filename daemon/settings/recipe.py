"""What a prompt file, or the recipe in a picture, says; and what of it cannot be honoured."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from daemon.errors import InputError

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
    inversions that a recipe says it used. Of a picture's recipe `software` is what made the picture, as far as it says.
    """

    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    software: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    of_recipe: frozenset[str] = frozenset()
    inversions: tuple[str, ...] = ()

    def under(self, said: Collection[str]) -> "Prompt":
        """The prompt without the faults of settings that are said elsewhere, where they win."""
        left = {key: fault for key, fault in self.faults.items() if not {key, *INSTEAD.get(key, ())} & set(said)}
        return replace(self, faults=left)

    def usable(self, where: str) -> "Prompt":
        """The prompt, where it has no fault. Raises InputError with the first one, naming the file `where`."""
        for fault in self.faults.values():
            raise InputError(f"{where}: {fault}")
        return self
