"""The recipe of Easy Diffusion: each setting is a text of its own in a PNG, under its name, or a key of one JSON object."""

from collections.abc import Mapping
from typing import Any

from daemon.settings.foreign.recipe import Foreign, file_name, loras, made, translated

PROGRAM = "Easy Diffusion"
NAMES = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "num_inference_steps": "steps",
    "guidance_scale": "guidance_scale",
    "width": "width",
    "height": "height",
    "sampler_name": "scheduler",
    "scheduler_name": "schedule",
    "use_stable_diffusion_model": "model",
    "use_vae_model": "vae",
    "prompt_strength": "strength",
}
SILENT = (
    "output_format",
    "output_quality",
    "stream_image_progress",
    "session_id",
    "use_lora_model",
    "lora_alpha",
    "used_random_seed",
)
MARK = "num_inference_steps"
KEYS = (
    *NAMES,
    *SILENT,
    "clip_skip",
    "use_upscale",
    "use_face_correction",
    "use_hypernetwork_model",
    "tiling",
    "use_controlnet_model",
)


def is_recipe(record: Mapping[str, Any]) -> bool:
    """Whether a record, or the texts of a PNG, are those of Easy Diffusion."""
    return {"prompt", "seed", MARK} <= record.keys()


def read(recipe: Mapping[str, Any]) -> Foreign:
    """The recipe in a record of its keys, or in the texts of a PNG."""
    said, notes = translated({key: value for key, value in recipe.items() if key != "clip_skip"}, NAMES, SILENT)
    # It says only whether one layer is left out.
    if str(recipe.get("clip_skip")).lower() == "true":
        said["clip_skip"] = 2
    if named := recipe.get("use_lora_model"):
        names = named if isinstance(named, list) else [named]
        weights = recipe.get("lora_alpha", 1.0)
        given = weights if isinstance(weights, list) else [weights] * len(names)
        said["loras"] = loras(list(zip(names, given, strict=False)))
    return made(PROGRAM, {**said, "model": file_name(said.get("model")), "vae": file_name(said.get("vae")), "rng": "cpu"}, notes)
