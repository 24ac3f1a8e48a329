"""Prompt text -> the settings it says: plain text, YAML front matter + text, or an A1111 infotext; and back.

The grammar of the infotext is that of A1111's `modules/infotext_utils.py`: the last line counts as parameters where it holds at
least three `Key: value` pairs. A plain prompt can look like that by accident, so `Steps:` must be one of them.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from daemon.errors import InputError
from daemon.models.prompt_grammar import check_syntax, render_loras
from daemon.models.schedulers import Named, display, paired, read_name, usual_eta, written_before
from daemon.settings.checking import as_made_by, by_their_names, layered, with_loras_cut_out
from daemon.settings.plain_yaml import parse_yaml
from daemon.settings.vocabulary import REGISTRY, UPSCALE_STRENGTH, kind_of

# A1111's expression in two, each of which goes over its characters once: a run of those that a key is made of, and the value
# behind it.
KEY_CHARACTERS = re.compile(r"[\w \-/]+")
VALUE = re.compile(r':\s*("(?:\\.|[^\\"])+"(?=,|$)|[^,]*)(?:,|$)')
FENCE = re.compile(r"\s*---[ \t]*(\n|\Z)")
FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(?P<head>.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
NEGATIVE = "Negative prompt:"
SOFTWARE = "tiffsd"
LATENT_UPSCALER = "Latent"


@dataclass(frozen=True)
class Prompt:
    """What a prompt file says: settings in the one vocabulary, and what could not be honoured, in sentences.

    Of a picture's recipe `software` is what made the picture, as far as it says.
    """

    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    software: Mapping[str, Any] = field(default_factory=dict)


def parse_prompt(data: bytes, where: str, *, characters: int) -> Prompt:
    """Read the bytes of a prompt file; `characters` bounds its length. Raises InputError naming the file and the way out."""
    text = _bounded(data, where, characters)
    prompt = _with_front_matter(text, where) if FENCE.match(text) else _infotext(text)
    prompt = replace(prompt, settings=with_loras_cut_out(prompt.settings, where))
    words = str(prompt.settings.get("prompt", ""))
    if not words.strip() and "embedding" not in prompt.settings:
        raise InputError(f"{where}: there is no prompt in this file; write what the picture shall show and drop it again")
    for part in (words, str(prompt.settings.get("negative_prompt", ""))):
        refuse_unsupported(part, where)
    return prompt


def front_matter(data: bytes, where: str, *, characters: int) -> Mapping[str, Any]:
    """The settings at the head of a prompt file, unchecked; empty where it is plain. Raises InputError as `parse_prompt` does."""
    text = _bounded(data, where, characters)
    return _split_front_matter(text, where)[0] if FENCE.match(text) else {}


def settings_file(data: bytes, where: str) -> Mapping[str, Any]:
    """The settings in the bytes of a settings file, unchecked. Raises InputError naming the file and the way out."""
    return parse_yaml(plain_text(data, where), where)


def plain_text(data: bytes, where: str) -> str:
    """The text of a file that holds nothing else. Raises InputError."""
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InputError(f"{where}: this is not UTF-8 text; save it as UTF-8") from None


def _bounded(data: bytes, where: str, characters: int) -> str:
    text = _decoded(data, where)
    if len(text) > characters:
        raise InputError(
            f"{where}: the prompt has {len(text)} characters, the limit is {characters} (limits.characters in config.yaml)"
        )
    return text


def _decoded(data: bytes, where: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: this is not UTF-8 text (byte {error.start} is {data[error.start]:#04x}); save it as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{where}: this holds zero bytes, so it is no text; a prompt is plain UTF-8 text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _with_front_matter(text: str, where: str) -> Prompt:
    spoken, rest = _split_front_matter(text, where)
    inner = _infotext(rest)
    written = {key: value for key, value in inner.settings.items() if key != "prompt" or value}
    return Prompt(layered(written, spoken), inner.notes)


def _split_front_matter(text: str, where: str) -> tuple[dict[str, Any], str]:
    """The settings at the head of a text, and what stands below them."""
    found = FRONT_MATTER.match(text)
    if not found:
        raise InputError(f"{where}: the front matter that starts with --- has no closing --- line; add one above the prompt")
    return by_their_names(parse_yaml(found["head"], where), where), text[found.end() :]


def _infotext(text: str) -> Prompt:
    *lines, last = text.strip().split("\n")
    pairs = _pairs(last)
    if len(pairs) < 3 or not any(key == "Steps" for key, _ in pairs):
        lines, pairs = [*lines, last], []
    prompt, negative = _split_negative(lines)
    settings: dict[str, Any] = {"prompt": prompt}
    if negative is not None:
        settings["negative_prompt"] = negative
    read, notes = _parameters({key: _unquoted(value) for key, value in pairs})
    return Prompt({**settings, **read}, notes)


def _pairs(line: str) -> list[tuple[str, str]]:
    """The `Key: value` pairs of a line, values with their quotes."""
    pairs, place = [], 0
    while run := KEY_CHARACTERS.search(line, place):
        place = run.end()
        key = run[0].lstrip(" -/")
        found = VALUE.match(line, place) if len(key) > 1 else None
        if found:
            pairs.append((key, found[1]))
            place = found.end()
    return pairs


def _split_negative(lines: list[str]) -> tuple[str, str | None]:
    for index, line in enumerate(lines):
        if line.strip().startswith(NEGATIVE):
            first = line.strip().removeprefix(NEGATIVE).strip()
            return "\n".join(lines[:index]).strip(), "\n".join([first, *lines[index + 1 :]]).strip()
    return "\n".join(lines).strip(), None


def _unquoted(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except json.JSONDecodeError:
            return value
    return value.strip()


NUMBERS: Mapping[str, tuple[str, type]] = {
    setting.infotext: (key, kind_of(key))
    for key, setting in REGISTRY.items()
    if setting.infotext not in (None, "Size", "Clip skip") and kind_of(key) in (int, float)
}
# A1111's names of samplers mean its own schedules, so ours stand in keys of their own, which win.
OUR_SCHEDULER, OUR_SCHEDULE = "tiffsd scheduler", "tiffsd schedule"
# Our `rng` for each "RNG"; GPU is what A1111 takes its silence for.
RNGS: Mapping[str, str] = {"CPU": "cpu", "NV": "nv", "GPU": "nv"}
ON_THE_CPU = "ComfyUI"
# The samplers whose noise A1111 and ComfyUI draw from a Brownian tree.
OF_A_TREE = frozenset({"dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde"})
# Keys that name the software or repeat what the picture itself shows.
SILENT = frozenset(
    {
        *("Version", "RNG", "Size", "Sampler", "Schedule type", "Clip skip", "Model", "VAE", "Model hash", "VAE hash"),
        *(OUR_SCHEDULER, OUR_SCHEDULE, "Distilled CFG Scale", "Discard penultimate sigma"),
        *("Lora hashes", "TI hashes", "Hires upscaler", "Hires resize", "As of"),
    }
)
# They are told apart without regard to capitals: "CFG rescale" is written in three ways.
_KEYS = {key.lower(): key for key in (*NUMBERS, *SILENT)}


def _parameters(pairs: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    settings: dict[str, Any] = {}
    pairs = {_KEYS.get(key.lower(), key): value for key, value in pairs.items()}
    notes = [
        f"'{key}: {value}' of the recipe ignored: tiffsd has no such setting"
        for key, value in pairs.items()
        if key not in {*NUMBERS, *SILENT}
    ]
    for key, (name, number) in NUMBERS.items():
        if key in pairs:
            settings[name] = _number(pairs[key], number, key)
    if "Size" in pairs:
        settings["width"], settings["height"] = _size(pairs["Size"])
    second, unlike = _second_pass(settings, pairs)
    settings |= second
    notes += unlike
    if second:
        settings.pop("strength", None)
    if "Distilled CFG Scale" in pairs:
        notes += _distilled(settings, pairs["Distilled CFG Scale"])
    named, unlike = _scheduler(pairs)
    settings |= named
    notes += unlike
    if int(_number(pairs.get("Clip skip", "1"), int, "Clip skip")) > 1:
        settings["clip_skip"] = int(pairs["Clip skip"])
    for key, name in (("Model", "model"), ("VAE", "vae")):
        if key in pairs:
            settings[name] = pairs[key]
    noise, of_the_noise = _noise(pairs, str(settings.get("scheduler", "")))
    settings |= noise
    notes += of_the_noise
    settings |= {"as_of": pairs["As of"]} if "As of" in pairs else as_made_by(pairs.get("Version", "").removeprefix(f"{SOFTWARE} "))
    return settings, tuple(notes)


def _noise(pairs: Mapping[str, str], scheduler: str) -> tuple[dict[str, Any], list[str]]:
    """By whom a recipe's noise was drawn, and notes on what of it comes out otherwise here."""
    version = pairs.get("Version", "")
    if not pairs or version.startswith(f"{SOFTWARE} "):
        return ({"rng": pairs.get("RNG", "CPU").lower()} if pairs else {}), []
    said = pairs.get("RNG", "CPU" if ON_THE_CPU in version else "GPU")
    notes = []
    if said not in RNGS:
        notes.append(f"'RNG: {said}' of the recipe ignored: known are {', '.join(RNGS)}, and the noise of a GPU is used (rng: nv)")
    rng = RNGS.get(said, "nv")
    if rng == "nv":
        notes.append("the recipe's noise is that of a GPU, as A1111 draws it, and is drawn in the same way here (rng: nv)")
    if scheduler in OF_A_TREE:
        notes.append(
            f"the noise that {scheduler} adds at its steps comes from a Brownian tree in the program that made it, which is not "
            "reproduced: the same seed gives another picture here"
        )
    return {"rng": rng}, notes


def _second_pass(settings: Mapping[str, Any], pairs: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """A1111's hires fix, which counts the steps that are run, as our settings, which count those of the schedule; and notes."""
    notes = []
    upscale = settings.get("upscale")
    if upscale is None and "Hires resize" in pairs and settings.get("width"):
        width, height = _size(pairs["Hires resize"])
        upscale = width / settings["width"]
        if round(upscale * settings["height"]) != height:
            notes.append(
                f"the recipe's 'Hires resize: {width}x{height}' crops, and tiffsd enlarges the whole picture by {upscale:g}"
            )
    if upscale is None:
        return {}, notes
    strength = settings.get("strength") or UPSCALE_STRENGTH
    run = settings.get("upscale_steps") or settings.get("steps", 1)
    if pairs.get("Hires upscaler", LATENT_UPSCALER) != LATENT_UPSCALER:
        notes.append(f"the recipe was upscaled by {pairs['Hires upscaler']!r}, and tiffsd enlarges the latents, bilinear")
    try:
        steps = math.ceil(run / strength)
    except (OverflowError, ValueError):
        raise InputError(
            f"the recipe says {run!s:.20} steps of strength {strength:g} for its hires fix, and no schedule has so many; "
            "correct it or delete the line of parameters"
        ) from None
    return {"upscale": upscale, "upscale_strength": strength, "upscale_steps": steps}, notes


def _number(text: str, number: type, key: str) -> Any:
    try:
        return number(text)
    except ValueError:
        raise InputError(
            f"the recipe says '{key}: {text}', expected a number; correct it or delete the line of parameters"
        ) from None


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not found:
        raise InputError(f"the recipe says 'Size: {text}', expected WIDTHxHEIGHT such as 512x768")
    return int(found[1]), int(found[2])


def _distilled(settings: dict[str, Any], said: str) -> list[str]:
    """Forge's guidance of Flux, which we have under the name of every guidance; and a note where there were two."""
    true_scale = settings.get("guidance_scale", 1.0)
    settings["guidance_scale"] = _number(said, float, "Distilled CFG Scale")
    if true_scale == 1:
        return []
    return [f"'CFG scale: {true_scale:g}' of the recipe ignored: beside the distilled guidance of Flux tiffsd takes no other"]


def _scheduler(pairs: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The scheduler and the schedule of a recipe, and notes."""
    if OUR_SCHEDULER in pairs:
        named = paired(pairs[OUR_SCHEDULER], pairs.get(OUR_SCHEDULE))
        return _said(named), []
    if "Sampler" not in pairs:
        return {}, []
    sampler, schedule = pairs["Sampler"], pairs.get("Schedule type", "")
    version = pairs.get("Version", "")
    if version.startswith(SOFTWARE):
        # Before it wrote its own names, it wrote the nearest that A1111 has.
        return _said(Named(written_before(sampler, schedule or None))), []
    if not schedule and BEFORE_SCHEDULES.match(version) and sampler not in OF_THEIR_OWN and not _with_schedule_behind(sampler):
        schedule = "Uniform"
    if schedule in ("", "Automatic", "Default"):
        return _said(read_name(sampler)), []
    named = read_name(sampler)
    if named.scheduler in BY_TIMESTEPS and sampler in BY_TIMESTEPS[named.scheduler]:
        return _said(named), [f"'Schedule type: {schedule}' of the recipe ignored: A1111 ignores it for {sampler} too"]
    if (sampler, schedule) == ("LCM", "Uniform"):
        return _said(named), []  # A1111 asks the model for its levels then, and that of LCM has fifty
    return _said(paired(named.scheduler, schedule)), []


def _said(named: Named) -> dict[str, Any]:
    return {"scheduler": named.scheduler, **({"schedule": named.schedule} if named.schedule else {})}


def _with_schedule_behind(sampler: str) -> bool:
    return sampler.endswith((" Karras", " Exponential"))


# A1111 made the schedule a choice of its own in 1.9; until then a sampler without one behind it went evenly.
# Forge writes its own version before that of A1111.
BEFORE_SCHEDULES = re.compile(r"(f[\d.]+-?v|v?)1\.[0-8]\b|v?0\.")
# These had a schedule of their own then, too.
OF_THEIR_OWN = ("Restart", "LCM", "DDIM", "PLMS", "UniPC")
# These of A1111 go by timesteps and not by noise levels.
BY_TIMESTEPS: Mapping[str, tuple[str, ...]] = {"ddim": ("DDIM",), "pndm": ("PLMS",), "unipc_bh1": ("UniPC",)}


def refuse_unsupported(prompt: str, where: str) -> None:
    """Raise InputError, naming the file `where`, for a prompt whose syntax is wrong or would be encoded as words."""
    try:
        check_syntax(prompt)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def render_infotext(recipe: Mapping[str, Any], version: str) -> str:
    """The recipe of a picture in A1111's form, as other programs read it from a PNG."""
    own = recipe.get("scheduler"), recipe.get("schedule")
    sampler, schedule = display(own[0], own[1]) if own[0] else (None, None)
    size = f"{recipe['width']}x{recipe['height']}" if "width" in recipe and "height" in recipe else None
    pairs = {
        "Steps": recipe.get("steps"),
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": recipe.get("guidance_scale"),
        "Seed": recipe.get("seed"),
        **_variation_pairs(recipe),
        "Size": size,
        "Model": recipe.get("model"),
        "VAE": recipe.get("vae"),
        "Denoising strength": recipe.get("strength"),
        **_second_pass_pairs(recipe),
        "Clip skip": recipe["clip_skip"] if recipe.get("clip_skip", 1) > 1 else None,
        "CFG Rescale": recipe.get("guidance_rescale") or None,
        "Eta": recipe.get("eta") if recipe.get("eta", 0.0) != usual_eta(*own) else None,
        "As of": recipe.get("as_of"),
        "ENSD": recipe.get("ensd") or None,
        "RNG": str(recipe.get("rng") or "cpu").upper(),
        OUR_SCHEDULER: own[0],
        OUR_SCHEDULE: own[1],
        "Version": f"{SOFTWARE} {version}",
    }
    lines = [" ".join(filter(None, (str(recipe.get("prompt", "")), render_loras(recipe.get("loras") or {}))))]
    if recipe.get("negative_prompt"):
        lines.append(f"{NEGATIVE} {recipe['negative_prompt']}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items() if value is not None))
    return "\n".join(lines).strip()


def _variation_pairs(recipe: Mapping[str, Any]) -> dict[str, Any]:
    strength = recipe.get("variation_strength") or None
    return {"Variation seed": recipe.get("variation_seed") if strength else None, "Variation seed strength": strength}


def _second_pass_pairs(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `_second_pass`."""
    if "upscale" not in recipe:
        return {}
    strength = recipe.get("upscale_strength", UPSCALE_STRENGTH)
    steps = recipe.get("upscale_steps") or recipe.get("steps", 1)
    return {
        "Denoising strength": strength,
        "Hires upscale": recipe["upscale"],
        "Hires steps": int(steps * strength),
        "Hires upscaler": LATENT_UPSCALER,
    }


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if any(mark in text for mark in ',:\n"') else text
