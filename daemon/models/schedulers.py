"""The schedulers by the names people know, each with the diffusers class and the options behind it.

Torch-free, because the front process checks names against this table (law 4). A name may end in the spacing of the noise levels,
where the class offers it: `_karras`, `_exponential`, `_beta`, `_sgm_uniform`. Those that begin with `flow_` are for models of flow
matching (Stable Diffusion 3, Flux). `canonical` also understands A1111's names ("DPM++ 2M Karras", "Euler a"). Building the
scheduler itself is the business of `daemon/models/scheduling.py`."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.errors import InputError

SPACINGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "karras": ("Karras", {"use_karras_sigmas": True}),
    "exponential": ("Exponential", {"use_exponential_sigmas": True}),
    "beta": ("Beta", {"use_beta_sigmas": True}),
    "sgm_uniform": ("SGM Uniform", {"timestep_spacing": "trailing"}),
}
"""Of each spacing A1111's "Schedule type", and the options of diffusers' classes."""

_NONE: tuple[str, ...] = ()
_TRAILING = ("sgm_uniform",)
_SIGMAS = ("karras", "exponential", "beta")
_ALL = tuple(SPACINGS)


@dataclass(frozen=True)
class Recipe:
    """How to build one scheduler: the diffusers class, and what differs from the configuration of the model.

    `plain` is the name without the spacing.
    """

    name: str
    class_name: str
    plain: str
    spacing: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flow(self) -> bool:
        """Whether it is for models of flow matching, and for these only."""
        return self.name.startswith("flow_")


# Without it the single-step class ends at a noise level above zero.
_LOWER_ORDER_FINAL = {"lower_order_final": True}
# The shift of the schedule is decided when the scheduler is built.
_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "use_dynamic_shifting": False}

# The second column is A1111's name of the sampler, the third the spacings that the class offers.
_TABLE: tuple[tuple[str, str | None, tuple[str, ...], str, dict[str, Any]], ...] = (
    ("ddim", "DDIM", _TRAILING, "DDIMScheduler", {}),
    ("ddpm", "DDPM", _TRAILING, "DDPMScheduler", {}),
    ("pndm", "PLMS", _TRAILING, "PNDMScheduler", {"skip_prk_steps": True}),
    ("lms", "LMS", _ALL, "LMSDiscreteScheduler", {}),
    ("euler", "Euler", _ALL, "EulerDiscreteScheduler", {}),
    ("euler_a", "Euler a", _TRAILING, "EulerAncestralDiscreteScheduler", {}),
    ("heun", "Heun", _ALL, "HeunDiscreteScheduler", {}),
    ("dpm2", "DPM2", _ALL, "KDPM2DiscreteScheduler", {}),
    ("dpm2_a", "DPM2 a", _ALL, "KDPM2AncestralDiscreteScheduler", {}),
    ("dpmpp_2s", None, _SIGMAS, "DPMSolverSinglestepScheduler", {"algorithm_type": "dpmsolver++", **_LOWER_ORDER_FINAL}),
    (
        "dpmpp_sde",
        "DPM++ SDE",
        _SIGMAS,
        "DPMSolverSinglestepScheduler",
        {"algorithm_type": "sde-dpmsolver++", **_LOWER_ORDER_FINAL},
    ),
    ("dpmpp_2m", "DPM++ 2M", _ALL, "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    (
        "dpmpp_2m_sde",
        "DPM++ 2M SDE",
        _ALL,
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2},
    ),
    ("dpmpp_3m", None, _ALL, "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 3}),
    (
        "dpmpp_3m_sde",
        "DPM++ 3M SDE",
        _ALL,
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
    ),
    ("deis", "DEIS", _ALL, "DEISMultistepScheduler", {}),
    ("unipc", "UniPC", _ALL, "UniPCMultistepScheduler", {}),
    ("sa_solver", None, _ALL, "SASolverScheduler", {}),
    ("lcm", "LCM", _TRAILING, "LCMScheduler", {}),
    ("tcd", "TCD", _TRAILING, "TCDScheduler", {}),
    ("flow_euler", None, _SIGMAS, "FlowMatchEulerDiscreteScheduler", {}),
    ("flow_heun", None, _NONE, "FlowMatchHeunDiscreteScheduler", {}),
    ("flow_dpmpp_2m", None, _NONE, "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2, **_FLOW}),
    ("flow_unipc", None, _NONE, "UniPCMultistepScheduler", _FLOW),
)


def _variants(name: str, spacings: tuple[str, ...], class_name: str, options: dict[str, Any]) -> list[Recipe]:
    # What the model's own configuration says of a spacing must not come through.
    own = {key: False for spacing in spacings for key in SPACINGS[spacing][1] if key.startswith("use_")} | options
    plain = Recipe(name, class_name, name, options=own)
    return [plain, *(Recipe(f"{name}_{s}", class_name, name, s, {**own, **SPACINGS[s][1]}) for s in spacings)]


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for name, _, spacings, class_name, options in _TABLE
    for recipe in _variants(name, spacings, class_name, options)
}
NAMES: tuple[str, ...] = tuple(RECIPES)
LONGEST_NAME = 100  # characters; what is longer is no name, and looking for its nearest would take its time


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower().replace("++", "pp"))


_SAMPLERS = {row[0]: row[1] for row in _TABLE}


def _displayed(recipe: Recipe) -> tuple[str, str | None]:
    return _SAMPLERS[recipe.plain] or recipe.plain, SPACINGS[recipe.spacing][0] if recipe.spacing else None


def _spellings() -> dict[str, str]:
    theirs = {_plain(f"{sampler} {schedule or ''}"): r.name for r in RECIPES.values() for sampler, schedule in [_displayed(r)]}
    return {_plain(name): name for name in NAMES} | theirs


_SPELLINGS = _spellings()


def canonical(name: str) -> str:
    """Return our name of a scheduler given in any usual spelling.

    Capitals, blanks, `_`, `-` and `++` do not matter. Raises InputError, naming the nearest, for a scheduler that is
    not in the table."""
    name = name[:LONGEST_NAME]
    plain = _plain(name)
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    near = difflib.get_close_matches(plain, _SPELLINGS, n=1, cutoff=0)
    raise InputError(
        f"the scheduler {name!r} is not known; the nearest is {_SPELLINGS[near[0]]!r} (all of them: {', '.join(_SAMPLERS)}; "
        f"most can end in _{', _'.join(SPACINGS)})"
    )


def display(name: str) -> tuple[str, str | None]:
    """Return A1111's "Sampler" and "Schedule type" for one of our names; the type is None for the plain spacing.

    A scheduler that A1111 does not have keeps our name. Raises InputError for an unknown name.
    """
    return _displayed(RECIPES[canonical(name)])
