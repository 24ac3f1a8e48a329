"""Which of the models that were found become entries of config.yaml, under which names; and which do not, and why."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.names import portable
from daemon.settings.config import Config
from daemon.settings.plain_yaml import folder_beside
from daemon.settings.values import NAME
from daemon.setup.config_text import Entries
from daemon.setup.found_models import Found, Passed, shelf_of

SHELVES = {"lora": "loras", "textual inversion": "textual_inversions"}
"""The keys under `adapters` for the folders of each kind."""


@dataclass(frozen=True)
class News:
    """The entries, what each is in a few words by its name, the sentences on what config.yaml has already, and what was passed."""

    entries: Entries
    notes: dict[str, str]
    known: list[str]
    passed: list[Passed]


def news(found: Sequence[Found | Passed], tops: Iterable[Path], config: Config | None) -> News:
    """What of this is new to a configuration; all of it where there is none."""
    there = _there(config)
    known = [f"{named} is there already: {path}" for path, named in there.items() if path in {_real(one.path) for one in found}]
    fresh = [one for one in found if isinstance(one, Found) and _real(one.path) not in there]
    models, vaes = dict[str, Found](), dict[str, Found]()
    taken = {"model": set(config.models) if config else {"demo"}, "vae": set(config.vaes) if config else set()}
    for one in fresh:
        if one.kind in taken:
            (models if one.kind == "model" else vaes)[_free_name(one.name, taken[one.kind])] = one
    adapters, notes, passed = _shelves(fresh, list(tops), config)
    entries = Entries(
        {name: {"path": str(one.path), **one.options} for name, one in models.items()},
        {name: str(one.path) for name, one in vaes.items()},
        adapters,
    )
    notes |= {name: one.words for name, one in (vaes | models).items()}
    return News(entries, notes, known, [one for one in found if isinstance(one, Passed)] + passed)


def _there(config: Config | None) -> dict[Path, str]:
    """What the configuration names, by where it really lies."""
    if config is None:
        return {}
    named = {f"models.{name}": config.model_path(name) for name in config.models}
    named |= {f"vaes.{name}": config.vae(name) for name in config.vaes}
    return {_real(Path(path)): key for key, path in named.items()}


def _real(path: Path) -> Path:
    return path.resolve()


def _free_name(name: str, taken: set[str]) -> str:
    """A name that config.yaml takes, that no other has, and that is like this one; it is taken from then on."""
    plain = re.sub(r"[^\w .+-]", "_", portable(name), flags=re.ASCII).strip(" .+-")[:90] or "model"
    plain = plain if NAME.fullmatch(plain) else f"model {plain}"
    free = next(one for number in range(1, len(taken) + 2) if (one := plain if number == 1 else f"{plain}-{number}") not in taken)
    taken.add(free)
    return free


def _shelves(
    fresh: Sequence[Found], tops: Sequence[Path], config: Config | None
) -> tuple[dict[str, str], dict[str, str], list[Passed]]:
    """The folders of adapters: one of each kind can be named, and it is the one with the most in it."""
    adapters, notes, passed = dict[str, str](), dict[str, str](), list[Passed]()
    for kind, key in SHELVES.items():
        counted = Counter(_shelf(one.path, tops) for one in fresh if one.kind == kind)
        said: Path | None = getattr(config.adapters, key) if config else None
        named = folder_beside(config.folder, said) if config and said else None
        ranked = [folder for folder, _ in counted.most_common() if named is None or not _real(folder).is_relative_to(named)]
        if ranked and named is None:
            chosen = ranked.pop(0)
            adapters[key], notes[key] = str(chosen), f"{counted[chosen]} found there"
        where = named or adapters.get(key)
        why = f"holds {kind}s, and `adapters.{key}` can name one folder, which is {where}; link to it from there"
        passed += [Passed(folder, why) for folder in ranked]
    return adapters, notes, passed


def _shelf(path: Path, tops: Sequence[Path]) -> Path:
    return shelf_of(path, next((top for top in tops if path.is_relative_to(top)), path.parent))
