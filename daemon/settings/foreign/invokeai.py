"""The recipes of InvokeAI: `invokeai_metadata` since version 3, `sd-metadata` of version 2, and the command line in `Dream`."""

import re
from collections.abc import Mapping
from typing import Any

from daemon.settings.foreign.recipe import Foreign, file_name, loras, made, not_read, translated

PROGRAM = "InvokeAI"
NAMES = {
    "positive_prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "guidance_scale",
    "guidance": "guidance_scale",
    "cfg_rescale_multiplier": "guidance_rescale",
    "scheduler": "scheduler",
    "width": "width",
    "height": "height",
    "clip_skip": "clip_skip",
    "strength": "strength",
    "model": "model",
    "vae": "vae",
    "loras": "loras",
    "rand_device": "rng",
}
SILENT = ("app_version", "generation_mode", "app_id", "type", "model_hash", "init_image", "regions", "canvas_v2_metadata")
NAMES_OF_2 = {
    "prompt": "prompt",
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "guidance_scale",
    "sampler": "scheduler",
    "width": "width",
    "height": "height",
    "strength": "strength",
}
DREAM = {"s": "steps", "S": "seed", "C": "guidance_scale", "W": "width", "H": "height", "A": "scheduler", "f": "strength"}
_DREAM_PROMPT = re.compile(r'\s*"(?P<prompt>[^"]*)"(?P<rest>.*)', re.DOTALL)
_DREAM_OPTION = re.compile(r"(?<!\S)-{1,2}(?P<key>\w+)[ =]?(?P<value>[^\s-]\S*)?")
# Its weights: (words)1.2, (words)++ and word++; what joins whole prompts is not read.
_WEIGHT = re.compile(r"(?P<words>\([^()]*\)|\w+(?=\+))(?:(?P<signs>\++|-+)|(?P<number>\d*\.?\d+))")
_JOINS = (".and(", ".blend(", ".swap(")
HEAVIER, LIGHTER = 1.1, 0.9
_NEGATIVE = re.compile(r"\[([^\[\]]*)\]")


def read(recipe: Mapping[str, Any]) -> Foreign:
    """The recipe in `invokeai_metadata`."""
    said, notes = translated(recipe, NAMES, SILENT)
    said |= {"model": _model(said.get("model")), "vae": _model(said.get("vae")), "loras": _loras(said.get("loras"))}
    said["rng"] = "cpu" if said.get("rng") in (None, "cpu") else "nv"
    # It counts the layers that are left out.
    skipped = said.pop("clip_skip", None)
    if isinstance(skipped, int) and skipped > 0:
        said["clip_skip"] = skipped + 1
    return made(PROGRAM, {**said, **_weighted(said, notes)}, notes)


def read_2(record: Mapping[str, Any]) -> Foreign:
    """The recipe in `sd-metadata`."""
    image = record.get("image")
    if not isinstance(image, dict):
        return not_read(PROGRAM, "its sd-metadata have no part `image`")
    said, notes = translated(image, NAMES_OF_2, SILENT)
    prompt = said.get("prompt")
    if isinstance(prompt, list):
        parts = [part for part in prompt if isinstance(part, dict)]
        if len(parts) != 1:
            return not_read(PROGRAM, f"its prompt has {len(prompt)} parts, which are blended")
        said["prompt"] = parts[0].get("prompt")
    said["model"] = file_name(record.get("model_weights"))
    return made(PROGRAM, {**said, **_without_negative(said.get("prompt")), "rng": "cpu"}, notes)


def read_dream(text: str) -> Foreign:
    """The recipe in the command line of `Dream`."""
    found = _DREAM_PROMPT.match(text)
    if not found:
        return not_read(PROGRAM, "its command line does not begin with a prompt in quotes")
    options = {option["key"]: option["value"] or True for option in _DREAM_OPTION.finditer(found["rest"])}
    said, notes = translated(options, DREAM)
    return made(PROGRAM, {**said, **_without_negative(found["prompt"]), "rng": "cpu"}, notes)


def _weighted(said: Mapping[str, Any], notes: list[str]) -> dict[str, str]:
    """The prompts in our grammar, and a note on what they do that it cannot."""
    prompts = {key: said[key] for key in ("prompt", "negative_prompt") if isinstance(said.get(key), str)}
    for key, prompt in prompts.items():
        notes += [f"{join}...) in the {key.replace('_', ' ')} ignored: it is read as words" for join in _JOINS if join in prompt]
    return {key: weighted(prompt) for key, prompt in prompts.items()}


def weighted(prompt: str) -> str:
    """A prompt of theirs in our grammar: a plus counts 1.1 times, a minus 0.9 times, a number as it says."""
    return _WEIGHT.sub(_as_a_weight, prompt)


def _as_a_weight(found: re.Match[str]) -> str:
    words, signs = found["words"].removeprefix("(").removesuffix(")"), (found["signs"] or "")[:20]
    weight = float(found["number"]) if found["number"] else (HEAVIER if "+" in signs else LIGHTER) ** len(signs)
    return f"({words}:{weight:.4g})"


def _without_negative(prompt: object) -> dict[str, str]:
    """Version 2 had the negative prompt in square brackets within the prompt."""
    if not isinstance(prompt, str):
        return {}
    negative = ", ".join(part.strip() for part in _NEGATIVE.findall(prompt) if part.strip())
    words = _NEGATIVE.sub("", prompt).strip().rstrip(",").strip()
    return {"prompt": words, **({"negative_prompt": negative} if negative else {})}


def _model(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("name") or value.get("model_name")
    return file_name(value)


def _loras(value: object) -> Mapping[str, Any]:
    entries = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    return loras([(_model(entry.get("model") or entry.get("lora")), entry.get("weight", 1.0)) for entry in entries])
