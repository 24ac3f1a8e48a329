"""What a file of a spool says to people: its prompt, its settings and its way, or why nobody can read that now; and of a failed job
the sentence.

Only what can be read without a codec, and within bounds: the words in a coded picture are for the decoder, when their turn comes.
"""

import errno
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import DaemonError, InUse
from daemon.jobs.emptied import REPORT, is_emptied
from daemon.jobs.heads import Heads
from daemon.names import shown
from daemon.settings.prompts import read_prompt
from daemon.spool.failures import ELSEWHERE
from daemon.stages import CODED, LATENTS, PHOTOS, PROMPTS

LONGEST_PROMPT_BYTES = 64 * 1024
LONGEST_SENTENCE_BYTES = 4096
MOST_SETTINGS, LONGEST_VALUE, MOST_STEPS = 24, 200, 16
TOLD_FIRST = ("seed", "width", "height", "steps", "guidance_scale", "scheduler", "model", "strength", "negative_prompt")
BY_HAND = {"painted": "edited by hand", "painted_blocks": "painted on its proof", "overlay": "laid over the picture of before"}
IN_USE = "another program has the file open"
FORBIDDEN = "this user may not read the file"
LINK = "it is a link, which is not followed"
IN_PICTURE = "if it has one it is in the picture, which is read when its turn comes"
PASSING = (IN_USE, FORBIDDEN)
"""What may end without any change of the file."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The prompt of a file; `unread` is why it is not known, `state` how far latents are done, `settings` what else it asks for.

    `way` are the stages that it went through, each with its seconds and what was done by hand before it.
    """

    prompt: str = ""
    unread: str = ""
    state: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    way: tuple[tuple[str, str, str], ...] = ()


def wording_of(beneath: Beneath, path: Path, heads: Heads | None = None) -> Wording:
    """What a file says of itself; an artifact by its head among the `heads`, where it was read before."""
    suffix = path.suffix.lower()
    if suffix in CODED + PHOTOS:
        return Wording(unread=IN_PICTURE)
    try:
        return _said(beneath, path, heads or Heads()) if suffix in LATENTS + PROMPTS else Wording()
    except InUse:
        return Wording(unread=IN_USE)
    except PermissionError:
        return Wording(unread=FORBIDDEN)
    except OSError as error:
        return Wording(unread=LINK if error.errno == errno.ELOOP else error.strerror or str(error))
    except (DaemonError, tiffsd.TiffsdError) as error:
        return Wording(unread=str(error).removeprefix(f"{path.name}: "))


def _said(beneath: Beneath, path: Path, heads: Heads) -> Wording:
    with beneath.plain(path) as file:
        if path.suffix.lower() in LATENTS:
            header = heads.read_once(file, path.name)
            return Wording(
                str(header.recipe.get("prompt", "")),
                state=_state(header),
                settings=_settings(header.recipe),
                way=tuple(_step(entry) for entry in header.history[-MOST_STEPS:]),
            )
        text = read_prompt(file.read(LONGEST_PROMPT_BYTES), path.name, characters=LONGEST_PROMPT_BYTES)
        return Wording(str(text.settings.get("prompt", "")), settings=_settings(text.settings))


def _settings(recipe: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a recipe says beside the prompt, those first that people look for."""
    said = {key: value for key, value in recipe.items() if key != "prompt" and value not in (None, "", [], {}, False)}
    order = {key: index for index, key in enumerate(TOLD_FIRST)}
    keys = sorted(said, key=lambda key: order.get(key, len(order)))[:MOST_SETTINGS]
    return tuple((shown(key)[:40], shown(_plain(said[key]))[:LONGEST_VALUE]) for key in keys)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str).strip('"')


def _step(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """One entry of a history: the stage, its seconds, and what was done by hand before it."""
    seconds = entry.get("seconds")
    by_hand = [words for key, words in BY_HAND.items() if entry.get(key)]
    return shown(str(entry.get("stage", "")))[:40], f"{seconds:.1f}" if isinstance(seconds, int | float) else "", ", ".join(by_hand)


def _state(header: tiffsd.Header) -> str:
    match header.state:
        case tiffsd.State.NOISE:
            return "noise"
        case tiffsd.State.PARTIAL:
            return f"half-done latents, step {header.step} of {header.steps}"
        case tiffsd.State.FINAL:
            return "finished latents"
        case _:
            return ""


@dataclass(frozen=True, slots=True)
class Inside:
    """What the folder of a failed job says: the file that may say its prompt, of several the first by name, and why it has failed.

    `is_emptied` is whether somebody has taken out all but the reports, `goes_elsewhere` whether a retry would only fail again.
    """

    speaks: Path | None = None
    sentence: str = ""
    is_emptied: bool = False
    goes_elsewhere: bool = False


def inside_of(beneath: Beneath, folder: Path) -> Inside:
    """Look into the folder of a failed job."""
    sentence, goes_elsewhere = _report(beneath, folder)
    return Inside(_file_inside(beneath, folder), sentence, is_emptied(beneath, folder), goes_elsewhere)


def _file_inside(beneath: Beneath, folder: Path) -> Path | None:
    """The file of a failed job that may say its prompt; of several the first by name."""
    with suppress(OSError):
        inside = (name for name in beneath.names(folder) if name != REPORT and Path(name).suffix.lower() in LATENTS + PROMPTS)
        return next((folder / name for name in sorted(inside) if name != "error.json"), None)
    return None


def _report(beneath: Beneath, folder: Path) -> tuple[str, bool]:
    """Why a job has failed, and whether its report names another place for its files."""
    with suppress(OSError), beneath.plain(folder / REPORT) as file:
        sentence, _, more = file.read(LONGEST_SENTENCE_BYTES).decode("utf-8", "replace").partition("\n")
        return sentence, f"\n{ELSEWHERE}" in more
    return "", False
