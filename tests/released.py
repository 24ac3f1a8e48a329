"""The schedulers of the released models, to the letter as their repositories configure them (but for `_diffusers_version`).

Specimens are made with these, and what the package ships is compared with them: `daemon/models/configs/README.md` says from where
each is known. Where a key is missing diffusers takes the default of whatever class is asked for, so that a key too many counts too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers

_STEPS = {"num_train_timesteps": 1000}
_BETAS = {**_STEPS, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "trained_betas": None}
_OF_STABLE_DIFFUSION = {**_BETAS, "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1}
_OF_XL = {
    **_OF_STABLE_DIFFUSION,
    **{"_class_name": "EulerDiscreteScheduler", "interpolation_type": "linear", "prediction_type": "epsilon"},
    **{"sample_max_value": 1.0, "timestep_spacing": "leading", "use_karras_sigmas": False},
}
_FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", **_STEPS}
_OF_FLUX = {**_FLOW, "base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15}

SCHEDULERS: Mapping[str, Mapping[str, Any]] = {
    "stable-diffusion-1": {**_OF_STABLE_DIFFUSION, "_class_name": "PNDMScheduler"},
    "stable-diffusion-2-epsilon": {**_OF_STABLE_DIFFUSION, "_class_name": "PNDMScheduler", "prediction_type": "epsilon"},
    "stable-diffusion-2-v": {**_OF_STABLE_DIFFUSION, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"},
    "stable-diffusion-xl": _OF_XL,
    "stable-diffusion-xl-refiner": _OF_XL,
    "stable-diffusion-3-medium": {**_FLOW, "shift": 3.0},
    "stable-diffusion-3.5-medium": {**_FLOW, "shift": 3.0},
    "stable-diffusion-3.5-large": {**_FLOW, "shift": 3.0},
    "flux-dev": {**_OF_FLUX, "shift": 3.0, "use_dynamic_shifting": True},
    "flux-schnell": {**_OF_FLUX, "shift": 1.0, "use_dynamic_shifting": False},
}
"""By the folder of the package that stands for them."""


def scheduler(kind: str, **options: Any) -> Any:
    """The scheduler of a released model, with some options of its own."""
    config = {**SCHEDULERS[kind], **options}
    return getattr(diffusers, config["_class_name"]).from_config(config)


def configured(folder: Path, kind: str, **options: Any) -> Path:
    """Configure the scheduler of the model in a folder as the release does, and not as diffusers saves it; return the folder.

    What diffusers saves has the defaults of one class in it, which then count for all others."""
    config = {**SCHEDULERS[kind], **options}
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
