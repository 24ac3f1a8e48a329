"""The schedulers by the names people know, each with the diffusers class and the options behind it.

Torch-free, because the front process checks names against this table (law 4). The names are those of DESIGN section 2,
with `_karras`, `_exponential` or `_beta` appended where the class can space its noise levels so; `canonical` also
understands A1111's ("DPM++ 2M Karras", "Euler a"). Building the scheduler itself is the business of
`daemon/models/scheduling.py`."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.errors import InputError

SPACINGS: Mapping[str, str] = {
    "karras": "use_karras_sigmas",
    "exponential": "use_exponential_sigmas",
    "beta": "use_beta_sigmas",
}


@dataclass(frozen=True)
class Recipe:
    """How to build one scheduler: the diffusers class, and what differs from the configuration of the model."""

    name: str
    class_name: str
    options: Mapping[str, Any] = field(default_factory=dict)


# Without it the single-step class ends at a noise level above zero.
_LOWER_ORDER_FINAL = {"lower_order_final": True}

# The second column is A1111's name of the sampler, the third says whether the class offers the spacings.
_TABLE: tuple[tuple[str, str | None, bool, str, dict[str, Any]], ...] = (
    ("ddim", "DDIM", False, "DDIMScheduler", {}),
    ("ddpm", "DDPM", False, "DDPMScheduler", {}),
    ("pndm", "PLMS", False, "PNDMScheduler", {"skip_prk_steps": True}),
    ("lms", "LMS", True, "LMSDiscreteScheduler", {}),
    ("euler", "Euler", True, "EulerDiscreteScheduler", {}),
    ("euler_a", "Euler a", False, "EulerAncestralDiscreteScheduler", {}),
    ("heun", "Heun", True, "HeunDiscreteScheduler", {}),
    ("dpm2", "DPM2", True, "KDPM2DiscreteScheduler", {}),
    ("dpm2_a", "DPM2 a", True, "KDPM2AncestralDiscreteScheduler", {}),
    ("dpmpp_2s", None, True, "DPMSolverSinglestepScheduler", {"algorithm_type": "dpmsolver++", **_LOWER_ORDER_FINAL}),
    (
        "dpmpp_sde",
        "DPM++ SDE",
        True,
        "DPMSolverSinglestepScheduler",
        {"algorithm_type": "sde-dpmsolver++", **_LOWER_ORDER_FINAL},
    ),
    ("dpmpp_2m", "DPM++ 2M", True, "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    (
        "dpmpp_2m_sde",
        "DPM++ 2M SDE",
        True,
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2},
    ),
    ("dpmpp_3m", None, True, "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 3}),
    (
        "dpmpp_3m_sde",
        "DPM++ 3M SDE",
        True,
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
    ),
    ("deis", "DEIS", True, "DEISMultistepScheduler", {}),
    ("unipc", "UniPC", True, "UniPCMultistepScheduler", {}),
    ("sa_solver", None, True, "SASolverScheduler", {}),
    ("lcm", "LCM", False, "LCMScheduler", {}),
    ("tcd", "TCD", False, "TCDScheduler", {}),
    ("flow_euler", None, False, "FlowMatchEulerDiscreteScheduler", {}),
    ("flow_heun", None, False, "FlowMatchHeunDiscreteScheduler", {}),
)


def _variants(name: str, spaced: bool, class_name: str, options: dict[str, Any]) -> list[Recipe]:
    plain = [Recipe(name, class_name, {**options, **dict.fromkeys(SPACINGS.values(), False)} if spaced else options)]
    keys = SPACINGS.items() if spaced else ()
    return plain + [Recipe(f"{name}_{spacing}", class_name, {**plain[0].options, key: True}) for spacing, key in keys]


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for name, _, spaced, class_name, options in _TABLE
    for recipe in _variants(name, spaced, class_name, options)
}
NAMES: tuple[str, ...] = tuple(RECIPES)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower().replace("++", "pp"))


def _spellings() -> dict[str, str]:
    spellings = {_plain(name): name for name in NAMES}
    for name, a1111, *_ in _TABLE:
        for spacing in ("", *SPACINGS):
            full = f"{name}_{spacing}" if spacing else name
            if a1111 and full in RECIPES:
                spellings[_plain(f"{a1111} {spacing}")] = full
    return spellings


_SPELLINGS = _spellings()


def canonical(name: str) -> str:
    """Return our name of a scheduler given in any usual spelling.

    Capitals, blanks, `_`, `-` and `++` do not matter. Raises InputError, naming the nearest, for a scheduler that is
    not in the table."""
    plain = _plain(name)
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    near = difflib.get_close_matches(plain, _SPELLINGS, n=1, cutoff=0)
    raise InputError(
        f"the scheduler {name!r} is not known; the nearest is {_SPELLINGS[near[0]]!r} (all of them: {', '.join(NAMES)})"
    )


def display(name: str) -> tuple[str, str | None]:
    """Return A1111's "Sampler" and "Schedule type" for one of our names; the type is None for the plain spacing.

    A scheduler that A1111 does not have keeps our name. Raises InputError for an unknown name.
    """
    name = canonical(name)
    base, _, spacing = name.rpartition("_")
    if spacing not in SPACINGS:
        base, spacing = name, ""
    a1111 = next((row[1] for row in _TABLE if row[0] == base), None)
    return a1111 or base, spacing.capitalize() or None
