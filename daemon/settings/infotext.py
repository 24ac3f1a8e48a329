"""The meaning of A1111's parameters: each key of an infotext in our vocabulary, or a note on it; and an infotext of a recipe."""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from daemon.errors import InputError
from daemon.models.prompt_grammar import render_loras
from daemon.models.schedulers import RECIPES, Named, display, paired, read_name, usual_eta, written_before
from daemon.settings.checking import as_made_by
from daemon.settings.foreign.comfyui_names import schedule as schedule_of_comfyui
from daemon.settings.infotext_lines import NEGATIVE, split_infotext
from daemon.settings.recipe import Prompt
from daemon.settings.vocabulary import REGISTRY, UPSCALE_STRENGTH, kind_of

SOFTWARE = "tiffsd"
LATENT_UPSCALER = "Latent"
LONGEST_SHOWN, MOST_HASHED = 80, 50

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
WITHOUT_NOISE = (
    "the recipe says 'Denoising strength: 0' for its hires fix, so it enlarges and makes nothing anew, which a second pass here "
    "cannot; give an upscale_strength above 0 in a settings file beside it, or take 'Hires upscale' out"
)
# Keys that name the software or repeat what the picture itself shows.
SILENT = frozenset(
    {
        *("Version", "RNG", "Size", "Sampler", "Schedule type", "Clip skip", "Model", "VAE", "Model hash", "VAE hash"),
        *(OUR_SCHEDULER, OUR_SCHEDULE, "Distilled CFG Scale", "Scheduler"),
        *("Lora hashes", "TI hashes", "Hires upscaler", "Hires resize", "As of"),
    }
)
# They are told apart without regard to capitals: "CFG rescale" is written in three ways.
_KEYS = {key.lower(): key for key in (*NUMBERS, *SILENT)}


def read_infotext(text: str) -> Prompt:
    """Plain words, or an infotext: its settings, notes on what is not honoured, and faults."""
    found = split_infotext(text)
    words: dict[str, Any] = {"prompt": found.prompt}
    if found.negative is not None:
        words["negative_prompt"] = found.negative
    if not found.pairs:
        return Prompt(words)
    read = _parameters(found.pairs)
    behind = [f"the line {line[:LONGEST_SHOWN]!r} behind the parameters of the recipe ignored" for line in found.behind]
    told = _told_of_noise(read.settings) if "rng" in read.settings and not _is_ours(dict(found.pairs)) else {}
    return Prompt(
        {**words, **read.settings},
        (*read.notes, *told.values(), *behind),
        faults=read.faults,
        of_recipe=frozenset({*words, *read.settings, "loras"}),
        inversions=tuple(_hashed(dict(found.pairs).get("TI hashes", ""))),
        notes_on=told,
    )


def _is_ours(pairs: Mapping[str, str]) -> bool:
    return pairs.get("Version", "").startswith(f"{SOFTWARE} ")


@dataclass
class _Reading:
    """What was read of parameters so far: settings, the faults of those that cannot be, and notes on all that is not honoured."""

    settings: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def read(self, setting: str, reader: Callable[[], tuple[Mapping[str, Any], list[str]]]) -> None:
        """Add what a reader finds, or the fault of the setting that it is for."""
        try:
            found, told = reader()
        except InputError as error:
            self.faults[setting] = str(error)
        else:
            self.settings.update(found)
            self.notes.extend(told)


def _parameters(said: Sequence[tuple[str, str]]) -> _Reading:
    pairs: dict[str, str] = {}
    for key, value in said:
        # What is said once more, by a template behind the parameters, is not what was run.
        pairs.setdefault(_KEYS.get(key.lower(), key), _unquoted(value))
    reading = _Reading(notes=[_ignored(key, value) for key, value in pairs.items() if key not in {*NUMBERS, *SILENT}])
    settings = reading.settings
    for key, (name, number) in NUMBERS.items():
        if key in pairs:
            reading.read(name, partial(_as_setting, name, pairs[key], number, key))
    if "Size" in pairs:
        reading.read("width", lambda: (_size_as_settings(pairs["Size"]), []))
    reading.read("upscale", lambda: _second_pass(settings, pairs))
    if "upscale" in settings and settings.pop("strength", None) == 0:
        reading.faults["upscale_strength"] = WITHOUT_NOISE
    if "Distilled CFG Scale" in pairs:
        reading.read("guidance_scale", lambda: _distilled(settings, pairs["Distilled CFG Scale"]))
    reading.read("scheduler", lambda: _scheduler(pairs))
    if "Clip skip" in pairs:
        reading.read("clip_skip", lambda: (_clip_skip(pairs["Clip skip"]), []))
    settings |= {name: pairs[key] for key, name in (("Model", "model"), ("VAE", "vae")) if key in pairs}
    reading.read("rng", lambda: _noise(pairs))
    settings |= {"as_of": pairs["As of"]} if "As of" in pairs else as_made_by(pairs.get("Version", "").removeprefix(f"{SOFTWARE} "))
    return reading


def _ignored(key: str, value: str) -> str:
    return f"'{key[:LONGEST_SHOWN]}: {value[:LONGEST_SHOWN]}' of the recipe ignored: tiffsd has no such setting"


def _as_setting(name: str, said: str, number: type, key: str) -> tuple[dict[str, Any], list[str]]:
    return {name: _number(said, number, key)}, []


def _clip_skip(said: str) -> dict[str, Any]:
    layer = int(_number(said, int, "Clip skip"))
    return {"clip_skip": layer} if layer > 1 else {}


def _size_as_settings(said: str) -> dict[str, Any]:
    width, height = _size(said)
    return {"width": width, "height": height}


def _hashed(said: str) -> list[str]:
    """The names in "TI hashes" and "Lora hashes": NAME: HASH, NAME: HASH."""
    return [name for part in _unquoted(said).split(",") if (name := part.partition(":")[0].strip())][:MOST_HASHED]


def loras_not_named(text: str, loras: Collection[str]) -> tuple[str, ...]:
    """The notes on LoRAs whose hashes a recipe has, and which its prompt does not name."""
    hashed = _hashed(dict(split_infotext(text).pairs).get("Lora hashes", ""))
    return tuple(
        f"LoRA {name[:LONGEST_SHOWN]!r} of the recipe's 'Lora hashes' ignored: its prompt does not name it as <lora:{name[:40]}:1>"
        for name in hashed
        if name not in loras
    )


def _noise(pairs: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """By whom a recipe's noise was drawn."""
    if not pairs or _is_ours(pairs):
        return ({"rng": pairs.get("RNG", "CPU").lower()} if pairs else {}), []
    said = pairs.get("RNG", "CPU" if ON_THE_CPU in pairs.get("Version", "") else "GPU")
    notes = []
    if said not in RNGS:
        notes.append(f"'RNG: {said}' of the recipe ignored: known are {', '.join(RNGS)}, and the noise of a GPU is used (rng: nv)")
    return {"rng": RNGS.get(said, "nv")}, notes


def _told_of_noise(settings: Mapping[str, Any]) -> dict[str, str]:
    """By the setting that it is of, what of another program's noise comes out otherwise here."""
    told, scheduler = {}, settings.get("scheduler")
    if settings["rng"] == "nv":
        told["rng"] = "the recipe's noise is that of a GPU, as A1111 draws it, and is drawn in the same way here (rng: nv)"
    if scheduler in OF_A_TREE:
        told["scheduler"] = (
            f"the noise that {scheduler} adds at its steps comes from a Brownian tree in the program that made it, which is not "
            "reproduced: the same seed gives another picture here"
        )
    return told


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
    strength = settings.get("strength", UPSCALE_STRENGTH)
    run = settings.get("upscale_steps") or settings.get("steps", 1)
    if pairs.get("Hires upscaler", LATENT_UPSCALER) != LATENT_UPSCALER:
        notes.append(f"the recipe was upscaled by {pairs['Hires upscaler']!r}, and tiffsd enlarges the latents, bilinear")
    if strength == 0:
        return {"upscale": upscale, "upscale_steps": run}, notes
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


def _distilled(settings: Mapping[str, Any], said: str) -> tuple[dict[str, Any], list[str]]:
    """Forge's guidance of Flux, which we have under the name of every guidance; and a note where there were two."""
    true_scale = settings.get("guidance_scale", 1.0)
    distilled = {"guidance_scale": _number(said, float, "Distilled CFG Scale")}
    if true_scale == 1:
        return distilled, []
    return distilled, [
        f"'CFG scale: {true_scale:g}' of the recipe ignored: beside the distilled guidance of Flux tiffsd takes no other"
    ]


def _scheduler(pairs: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The scheduler and the schedule of a recipe, and notes."""
    if OUR_SCHEDULER in pairs:
        named = paired(pairs[OUR_SCHEDULER], pairs.get(OUR_SCHEDULE))
        return _said(named), []
    schedule = pairs.get("Schedule type", pairs.get("Scheduler", ""))
    if "Sampler" not in pairs:
        return {}, [f"'Schedule type: {schedule}' of the recipe ignored: it names no sampler"] if schedule else []
    sampler = pairs["Sampler"]
    version = pairs.get("Version", "")
    if version.startswith(SOFTWARE):
        # Before it wrote its own names, it wrote the nearest that A1111 has.
        return _said(Named(written_before(sampler, schedule or None))), []
    if ON_THE_CPU in version:
        return _said(_of_comfyui(sampler, schedule)), []
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


def _of_comfyui(sampler: str, schedule: str) -> Named:
    named = read_name(sampler)
    if schedule:
        return paired(named.scheduler, str(schedule_of_comfyui(schedule)))
    # A bare name of its own, which is ours too; what takes no schedule there has none here.
    takes_one = named.scheduler in RECIPES and RECIPES[named.scheduler].scheduled is not None
    return paired(named.scheduler, "normal") if named.schedule is None and takes_one else named


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


def _unquoted(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except json.JSONDecodeError:
            return value
    return value.strip()


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
        "Mask blur": recipe.get("mask_blur") or None,
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
