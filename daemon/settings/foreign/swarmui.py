"""The recipe of SwarmUI: a JSON object in `parameters` or in the comment of a JPEG, whose part `sui_image_params` is the recipe."""

from collections.abc import Mapping
from typing import Any

from daemon.settings.foreign.comfyui_names import schedule
from daemon.settings.foreign.recipe import Foreign, file_name, loras, made, not_read, translated

PROGRAM, MARK = "SwarmUI", "sui_image_params"
NAMES = {
    "prompt": "prompt",
    "negativeprompt": "negative_prompt",
    "model": "model",
    "vae": "vae",
    "seed": "seed",
    "steps": "steps",
    "cfgscale": "guidance_scale",
    "width": "width",
    "height": "height",
    "sampler": "scheduler",
    "scheduler": "schedule",
    "clipstopatlayer": "clip_skip",
    "initimagecreativity": "strength",
    "variationseed": "variation_seed",
    "variationseedstrength": "variation_strength",
}
SILENT = (
    "swarm_version",
    "date",
    "generation_time",
    "aspectratio",
    "images",
    "automaticvae",
    "nopreviews",
    "imageformat",
    "prep_time",
)
GUIDANCE_OF_FLUX = "fluxguidancescale"
LORAS, WEIGHTS = "loras", "loraweights"


def read(record: Mapping[str, Any]) -> Foreign:
    """The recipe in a record that has `sui_image_params`."""
    recipe = record[MARK]
    if not isinstance(recipe, dict):
        return not_read(PROGRAM, f"its {MARK} are no JSON object")
    named, weights = _list(recipe.get(LORAS)), _list(recipe.get(WEIGHTS))
    rest = {key: value for key, value in recipe.items() if key not in (LORAS, WEIGHTS, GUIDANCE_OF_FLUX)}
    said, notes = translated(rest, NAMES, SILENT)
    if named:
        said["loras"] = loras([(name, weights[index] if index < len(weights) else 1.0) for index, name in enumerate(named)])
    if GUIDANCE_OF_FLUX in recipe:
        said["guidance_scale"] = recipe[GUIDANCE_OF_FLUX]
    if "clip_skip" in said:
        said["clip_skip"] = _from_the_end(said["clip_skip"])
    if "scheduler" not in said:
        notes.append(f"the recipe of {PROGRAM} names no sampler, as it does where the model's own was used")
    said |= {"model": file_name(said.get("model")), "vae": file_name(said.get("vae")), "schedule": schedule(said.get("schedule"))}
    return made(PROGRAM, {**said, "rng": "cpu"}, notes)


def _list(value: object) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if isinstance(value, list) else []


def _from_the_end(layer: object) -> object:
    return -layer if isinstance(layer, int) and layer < 0 else layer
