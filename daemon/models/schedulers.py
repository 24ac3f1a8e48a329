"""The schedulers by the names people know, each with the class and the options behind it.

Torch-free, because the front process checks names against this table (law 4). A scheduler is a solver, and a schedule says how the
noise levels lie that it goes through (`schedules.py`). The bare names are those of diffusers and keep the schedule of the model; a
name may end in one of the spacings that diffusers' class offers itself: `_karras`, `_exponential`, `_beta`, `_sgm_uniform`. Those
that begin with `flow_` are for models of flow matching (Stable Diffusion 3, Flux).

The names of A1111, ComfyUI, InvokeAI, the AI Horde, SD.Next and of diffusers' classes are understood too (`read_name`): those of
A1111 and ComfyUI with the schedule that they have there. Building a scheduler is the business of `daemon/models/scheduling.py`."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daemon.errors import InputError
from daemon.models.schedules import OWN, SCHEDULES

SPACINGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "karras": ("Karras", {"use_karras_sigmas": True}),
    "exponential": ("Exponential", {"use_exponential_sigmas": True}),
    "beta": ("Beta", {"use_beta_sigmas": True}),
    "sgm_uniform": ("SGM Uniform", {"timestep_spacing": "trailing"}),
}
"""Of each spacing A1111's "Schedule type", and the options of diffusers' classes."""

AUTOMATIC = "automatic"
"""The name of the scheduler that suits the family of the model."""
RELEASED = "default"
"""The name of the scheduler that the model was released with."""

_NONE: tuple[str, ...] = ()
_TRAILING = ("sgm_uniform",)
_SIGMAS = ("karras", "exponential", "beta")
_ALL = tuple(SPACINGS)
_ITSELF = "itself"


@dataclass(frozen=True)
class Recipe:
    """How to build one scheduler: the class, and what differs from the configuration of the model.

    `plain` is the name without the spacing. `scheduled` is the class that takes a schedule of its own, one of diffusers or of
    `solvers.py`; None where there is none, because it is bound to the timesteps of the model. With `discards` the schedule loses
    its last level but one."""

    name: str
    class_name: str
    plain: str
    spacing: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    scheduled: str | None = None
    discards: bool = False

    @property
    def flow(self) -> bool:
        """Whether it is for models of flow matching, and for these only."""
        return self.name.startswith("flow_")


class Named(NamedTuple):
    """What a name stands for: our name of the scheduler, and that of the schedule; None where it says nothing of it."""

    scheduler: str
    schedule: str | None = None


# Without it the single-step class ends at a noise level above zero.
_LOWER_ORDER_FINAL = {"lower_order_final": True}
# The shift of the schedule is decided when the scheduler is built.
_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "use_dynamic_shifting": False}


@dataclass(frozen=True)
class _Row:
    """One scheduler: its names, the spacings that its class offers, the class and its options.

    `sampler` is A1111's name and `automatic` the schedule that it has there by itself; `eta` is what the
    class that takes a schedule has where nobody says it; `scheduled` and `discards` as in Recipe."""

    name: str
    sampler: str | None
    spacings: tuple[str, ...]
    class_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scheduled: str | None = None
    automatic: str | None = "normal"
    discards: bool = False
    eta: float = 0.0


_SINGLE, _MULTI = "DPMSolverSinglestepScheduler", "DPMSolverMultistepScheduler"
_PP, _SDE = {"algorithm_type": "dpmsolver++"}, {"algorithm_type": "sde-dpmsolver++"}
_SECOND, _THIRD = {"solver_order": 2}, {"solver_order": 3}

_TABLE: tuple[_Row, ...] = (
    _Row("ddim", "DDIM", _TRAILING, "DDIMScheduler", scheduled="DDIM", automatic="ddim_timesteps"),
    _Row("ddpm", "DDPM", _TRAILING, "DDPMScheduler", scheduled="DDPM"),
    _Row("pndm", "PLMS", _TRAILING, "PNDMScheduler", {"skip_prk_steps": True}, automatic=None),
    _Row("lms", "LMS", _ALL, "LMSDiscreteScheduler", scheduled=_ITSELF),
    _Row("euler", "Euler", _ALL, "EulerDiscreteScheduler", scheduled=_ITSELF),
    _Row("euler_a", "Euler a", _TRAILING, "EulerAncestralDiscreteScheduler", scheduled="EulerAncestral", eta=1.0),
    _Row("heun", "Heun", _ALL, "HeunDiscreteScheduler", scheduled="Heun"),
    _Row("dpm2", "DPM2", _ALL, "KDPM2DiscreteScheduler", scheduled="DPM2", automatic="karras", discards=True),
    _Row(
        "dpm2_a",
        "DPM2 a",
        _ALL,
        "KDPM2AncestralDiscreteScheduler",
        scheduled="DPM2Ancestral",
        eta=1.0,
        automatic="karras",
        discards=True,
    ),
    _Row("dpmpp_2s", None, _SIGMAS, _SINGLE, {**_PP, **_LOWER_ORDER_FINAL}, automatic=None),
    _Row("dpmpp_2s_a", "DPM++ 2S a", _NONE, "DPMpp2SAncestral", scheduled=_ITSELF, eta=1.0, automatic="karras"),
    _Row(
        "dpmpp_sde",
        "DPM++ SDE",
        _SIGMAS,
        _SINGLE,
        {**_SDE, **_LOWER_ORDER_FINAL},
        scheduled="DPMppSDE",
        eta=1.0,
        automatic="karras",
    ),
    _Row("dpmpp_2m", "DPM++ 2M", _ALL, _MULTI, {**_PP, **_SECOND}, scheduled=_ITSELF, automatic="karras"),
    _Row(
        "dpmpp_2m_sde", "DPM++ 2M SDE", _ALL, _MULTI, {**_SDE, **_SECOND}, scheduled="DPMpp2MSDE", eta=1.0, automatic="exponential"
    ),
    _Row(
        "dpmpp_2m_sde_heun",
        "DPM++ 2M SDE Heun",
        _ALL,
        _MULTI,
        {**_SDE, **_SECOND, "solver_type": "heun"},
        scheduled="DPMpp2MSDEHeun",
        eta=1.0,
        automatic="exponential",
    ),
    _Row("dpmpp_3m", None, _ALL, _MULTI, {**_PP, **_THIRD}, scheduled=_ITSELF),
    _Row(
        "dpmpp_3m_sde",
        "DPM++ 3M SDE",
        _ALL,
        _MULTI,
        {**_SDE, **_THIRD},
        scheduled="DPMpp3MSDE",
        eta=1.0,
        automatic="exponential",
        discards=True,
    ),
    _Row("deis", "DEIS", _ALL, "DEISMultistepScheduler", automatic=None),
    _Row("unipc", None, _ALL, "UniPCMultistepScheduler", scheduled=_ITSELF, discards=True),
    _Row(
        "unipc_bh1",
        "UniPC",
        _NONE,
        "UniPCMultistepScheduler",
        # Its first kind cannot end where there is no noise.
        {"solver_type": "bh1", "final_sigmas_type": "sigma_min"},
        scheduled=_ITSELF,
        automatic="time_uniform",
        discards=True,
    ),
    _Row("sa_solver", None, _ALL, "SASolverScheduler", automatic=None),
    _Row("lcm", "LCM", _TRAILING, "LCMScheduler", scheduled="LCM", automatic="lcm_timesteps"),
    _Row("tcd", "TCD", _TRAILING, "TCDScheduler", automatic=None),
    _Row("dpm_fast", "DPM fast", _NONE, "DPMFast", scheduled=_ITSELF, eta=1.0),
    _Row("restart", "Restart", _NONE, "Restart", scheduled=_ITSELF, automatic="karras"),
    _Row("er_sde", "ER SDE", _NONE, "ERSDE", scheduled=_ITSELF),
    _Row("res_multistep", "Res Multistep", _NONE, "RESMultistep", scheduled=_ITSELF),
    _Row("res_multistep_a", "Res Multistep Ancestral", _NONE, "RESMultistepAncestral", scheduled=_ITSELF, eta=1.0),
    _Row("gradient_estimation", "Gradient Estimation", _NONE, "GradientEstimation", scheduled=_ITSELF),
    _Row("euler_cfg_pp", "Euler CFG++", _NONE, "EulerCFGpp", scheduled=_ITSELF),
    _Row("euler_a_cfg_pp", "Euler a CFG++", _NONE, "EulerAncestralCFGpp", scheduled=_ITSELF, eta=1.0),
    _Row("flow_euler", None, _SIGMAS, "FlowMatchEulerDiscreteScheduler", scheduled=_ITSELF),
    _Row("flow_heun", None, _NONE, "FlowMatchHeunDiscreteScheduler", scheduled=_ITSELF),
    _Row("flow_dpmpp_2m", None, _NONE, _MULTI, {**_PP, **_SECOND, **_FLOW}, scheduled=_ITSELF),
    _Row("flow_unipc", None, _NONE, "UniPCMultistepScheduler", _FLOW, scheduled=_ITSELF),
    _Row("flow_lcm", None, _SIGMAS, "FlowMatchLCMScheduler", scheduled=_ITSELF),
)


def _variants(row: _Row) -> list[Recipe]:
    # What the model's own configuration says of a spacing must not come through.
    own = {key: False for spacing in row.spacings for key in SPACINGS[spacing][1] if key.startswith("use_")} | dict(row.options)
    scheduled = row.class_name if row.scheduled == _ITSELF else row.scheduled
    plain = Recipe(row.name, row.class_name, row.name, options=own, scheduled=scheduled, discards=row.discards)
    spaced = [Recipe(f"{row.name}_{s}", row.class_name, row.name, s, {**own, **SPACINGS[s][1]}) for s in row.spacings]
    return [plain, *spaced]


RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for row in _TABLE for recipe in _variants(row)}
NAMES: tuple[str, ...] = tuple(RECIPES)
LONGEST_NAME = 100  # characters; what is longer is no name, and looking for its nearest would take its time

_ROWS = {row.name: row for row in _TABLE}
_BARE = tuple(_ROWS)

# Names that other programs have for the same.
_COMFYUI = {
    "euler_ancestral": "euler_a",
    "euler_ancestral_cfg_pp": "euler_a_cfg_pp",
    "dpm_2": "dpm2",
    "dpm_2_ancestral": "dpm2_a",
    "dpmpp_2s_ancestral": "dpmpp_2s_a",
    "dpmpp_sde_gpu": "dpmpp_sde",
    "dpmpp_2m_sde_gpu": "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun_gpu": "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde_gpu": "dpmpp_3m_sde",
    "res_multistep_ancestral": "res_multistep_a",
    "uni_pc": "unipc_bh1",
    "uni_pc_bh2": "unipc",
}
_HORDE = {
    "k_lms": "lms",
    "k_heun": "heun",
    "k_euler": "euler",
    "k_euler_a": "euler_a",
    "k_dpm_2": "dpm2",
    "k_dpm_2_a": "dpm2_a",
    "k_dpm_fast": "dpm_fast",
    "k_dpmpp_2s_a": "dpmpp_2s_a",
    "k_dpmpp_2m": "dpmpp_2m",
    "k_dpmpp_sde": "dpmpp_sde",
}
_INVOKEAI = {"kdpm_2": "dpm2", "kdpm_2_a": "dpm2_a"}
_INVOKEAI_KARRAS = ("deis", "dpmpp_2s", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m", "dpmpp_sde", "euler", "heun", "lms", "unipc")
_DIFFUSERS = {"DPMSolverSDEScheduler": "dpmpp_sde", _MULTI: "dpmpp_2m", _SINGLE: "dpmpp_2s", "UniPCMultistepScheduler": "unipc"}

# What people ask for and cannot have, and what does the same for them.
_INSTEAD = {
    "dpmadaptive": ("dpmpp_2m_karras", "it chooses its steps as it goes, and a loop here has steps that can be counted"),
    "kdpmadaptive": ("dpmpp_2m_karras", "it chooses its steps as it goes, and a loop here has steps that can be counted"),
    "heunpp2": ("heun", "it is Heun with a third evaluation"),
    "ipndm": ("lms", "it is a linear multistep method too"),
    "ipndmv": ("lms", "it is a linear multistep method for uneven steps too"),
    "expheun2x0": ("heun", "it is Heun in the logarithm of the noise"),
    "expheun2x0sde": ("dpmpp_sde", "it is stochastic with two evaluations too"),
    "seeds2": ("dpmpp_sde", "it is stochastic with two evaluations too"),
    "seeds3": ("dpmpp_3m_sde", "it is stochastic of third order too"),
    "sasolverpece": ("sa_solver", "it is the same with a second evaluation"),
    "ddimcfgpp": ("euler_cfg_pp", "in these latents DDIM is Euler"),
    "dpmpp2mcfgpp": ("euler_cfg_pp", "it takes the prediction without the prompt too"),
    "dpmpp2sancestralcfgpp": ("euler_a_cfg_pp", "it takes the prediction without the prompt too"),
    "resmultistepcfgpp": ("res_multistep", "it is the same without CFG++"),
    "resmultistepancestralcfgpp": ("res_multistep_a", "it is the same without CFG++"),
    "gradientestimationcfgpp": ("gradient_estimation", "it is the same without CFG++"),
}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower().replace("++", "pp"))


def _labels() -> dict[str, str]:
    """Each spelling of a schedule, without what does not matter, and its name; the longest first."""
    said = {_plain(word): name for name, s in SCHEDULES.items() for word in (name, s.label or name, *s.spellings)}
    return dict(sorted(said.items(), key=lambda pair: -len(pair[0])))


_LABELS = _labels()


def _spellings() -> dict[str, Named]:
    """What other programs write, without what does not matter, and what they mean by it."""
    theirs = {_plain(name): Named(ours, "normal") for name, ours in {**_COMFYUI, **_HORDE}.items()}
    theirs |= {_plain(f"{name}_k"): Named(f"{name}_karras") for name in _INVOKEAI_KARRAS}
    theirs |= {_plain(name): Named(ours) for name, ours in _INVOKEAI.items()}
    theirs |= {_plain(f"{name}_k"): Named(f"{ours}_karras") for name, ours in _INVOKEAI.items()}
    classes = {row.class_name: row.name for row in reversed(_TABLE) if row.class_name.endswith("Scheduler")} | _DIFFUSERS
    theirs |= {_plain(name.removesuffix(end)): Named(ours) for name, ours in classes.items() for end in ("", "Scheduler")}
    theirs |= {_plain(row.sampler): Named(row.name, row.automatic) for row in _TABLE if row.sampler}
    return theirs


_SPELLINGS = _spellings()


def read_name(name: str) -> Named:
    """Return what a name of a scheduler means, in any usual spelling.

    Our own names come first, as they are written here; in others capitals, blanks, `_`, `-` and `++` do not matter, and one of
    A1111 may end in its "Schedule type". Raises InputError, with what would do instead, for a scheduler that is not known."""
    name = name[:LONGEST_NAME]
    ours = name.replace("-", "_")
    if ours in RECIPES or ours in (AUTOMATIC, RELEASED):
        return Named(ours)
    if theirs := {**_COMFYUI, **_HORDE}.get(ours.lower()):
        # Without what does not matter some of them are names of another program.
        return Named(theirs, "normal")
    plain = _plain(name)
    if plain in (AUTOMATIC, RELEASED):
        return Named(plain)
    found = _SPELLINGS.get(plain) or _SPELLINGS.get(plain.removeprefix("sample")) or _with_schedule(plain)
    if found is None and plain in _INSTEAD:
        other, why = _INSTEAD[plain]
        raise InputError(f"the scheduler {name!r} is not offered: {why}; {other} does much the same")
    if found is None:
        raise InputError(f"the scheduler {name!r} is not known{_nearest(plain)} (all of them: {', '.join(_BARE)})")
    return found


def _with_schedule(plain: str) -> Named | None:
    """What a sampler with a schedule behind it means; None for neither."""
    bare = {_plain(name): name for name in _BARE}
    if (sampler := plain.removesuffix(AUTOMATIC)) in _SPELLINGS:
        return _SPELLINGS[sampler]
    for label, schedule in _LABELS.items():
        sampler = plain.removesuffix(label)
        if sampler == plain:
            continue
        solver = _SPELLINGS[sampler].scheduler if sampler in _SPELLINGS else bare.get(sampler)
        if solver is not None and solver in RECIPES:
            return paired(RECIPES[solver].plain, schedule)
    return Named(bare[plain]) if plain in bare else None


def _nearest(plain: str) -> str:
    known = {**{_plain(name): name for name in NAMES}, **{key: found.scheduler for key, found in _SPELLINGS.items()}}
    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.75)
    return f"; the nearest is {known[near[0]]!r}" if near else ""


def canonical(name: str) -> str:
    """Return our name of a scheduler given in any usual spelling. Raises InputError as `read_name` does."""
    return read_name(name).scheduler


def canonical_schedule(name: str) -> str:
    """Return our name of a schedule given in any usual spelling, `automatic` included. Raises InputError for another."""
    plain = _plain(name[:LONGEST_NAME])
    if plain in (OWN, AUTOMATIC):
        return plain
    if plain not in _LABELS:
        near = difflib.get_close_matches(plain, _LABELS, n=1, cutoff=0.75)
        nearest = f"; the nearest is {_LABELS[near[0]]!r}" if near else ""
        raise InputError(f"the schedule {name[:LONGEST_NAME]!r} is not known{nearest} (all of them: {OWN}, {', '.join(SCHEDULES)})")
    return _LABELS[plain]


def paired(scheduler: str, schedule: str | None) -> Named:
    """Return the scheduler and schedule that are meant where the schedule is said beside the name of a scheduler.

    Raises InputError where a scheduler is not known, or takes no schedule."""
    named = read_name(scheduler)
    if schedule is None:
        return named
    schedule = canonical_schedule(schedule)
    if schedule == AUTOMATIC:
        # A name with a spacing has its schedule already.
        row = _ROWS.get(named.scheduler)
        return Named(named.scheduler, named.schedule or (row.automatic if row else None))
    if named.scheduler == AUTOMATIC or schedule == OWN:
        return Named(named.scheduler, schedule)
    if named.scheduler == RELEASED:
        raise InputError(f"the schedule {schedule} needs a scheduler by its name, and {RELEASED!r} is that of the model, as it is")
    recipe = RECIPES[RECIPES[named.scheduler].plain]
    if recipe.scheduled is None and (spaced := f"{recipe.name}_{schedule}") in RECIPES:
        return Named(spaced)
    if recipe.scheduled is None:
        raise InputError(
            f"the scheduler {recipe.name} takes no schedule, because it goes by the timesteps of the model; leave {schedule!r} "
            "out, or use another: ddim, euler, dpmpp_2m, ..."
        )
    check_flow(recipe, schedule)
    return Named(recipe.name, schedule)


def check_flow(recipe: Recipe, schedule: str) -> None:
    """Raise InputError for a schedule that makes no sense for a scheduler of flow matching."""
    if recipe.flow and not SCHEDULES[schedule].flow:
        raise InputError(f"the schedule {schedule} was made for models of noise prediction, and {recipe.name} is for flow matching")


_OF_FLOW = {
    **{name: f"flow_{name}" for name in ("euler", "heun", "dpmpp_2m", "unipc", "lcm")},
    "unipc_bh1": "flow_unipc",
}


def fitting(name: str, *, flow: bool, family: str, default: str) -> str | None:
    """Return the scheduler that a name means for a family of models, of flow matching or not; None is that of the model itself.

    `default` is what `automatic` means there. `euler` and its like mean their form for flow matching where the family needs it.
    Raises InputError for a scheduler that does not fit."""
    if name == RELEASED:
        return None
    recipe = RECIPES[default if name == AUTOMATIC else name]
    if recipe.flow == flow:
        return recipe.name
    if flow and recipe.plain in _OF_FLOW:
        other = RECIPES[_OF_FLOW[recipe.plain]]
        spaced = f"{other.name}_{recipe.spacing}"
        return spaced if recipe.spacing and spaced in RECIPES else other.name
    own = [row.name for row in _TABLE if RECIPES[row.name].flow == flow]
    wanted = f"those of flow matching: {', '.join(own)}" if flow else "those of noise prediction: ddim, euler, ..."
    raise InputError(
        f"the scheduler {name!r} does not fit this model; {family} takes {wanted}: give another one in the file, or "
        "under the model's `defaults` in config.yaml"
    )


def usual_eta(scheduler: str | None, schedule: str | None) -> float:
    """Return the eta that a scheduler has where nobody says it."""
    row = _ROWS.get(scheduler or "")
    return row.eta if row and (schedule not in (None, OWN) or row.scheduled == _ITSELF) else 0.0


def written_before(sampler: str, label: str | None) -> str:
    """Return our name of a scheduler that tiffsd up to 0.2.0 wrote as A1111's "Sampler" and "Schedule type"."""
    name = next((row.name for row in _TABLE if sampler in (row.sampler, row.name)), None) or canonical(sampler)
    spacing = next((spacing for spacing, (written, _) in SPACINGS.items() if written == label), None)
    spaced = f"{name}_{spacing}"
    return spaced if spacing and spaced in RECIPES else name


def display(scheduler: str, schedule: str | None = None) -> Named:
    """Return A1111's "Sampler" and "Schedule type" for one of our schedulers; the type is None for the plain spacing.

    A scheduler that A1111 does not have keeps our name. Raises InputError for an unknown name."""
    name = canonical(scheduler)
    if name not in RECIPES:
        return Named(name)
    recipe = RECIPES[name]
    label = SPACINGS[recipe.spacing][0] if recipe.spacing else None
    if schedule is not None and schedule in SCHEDULES:
        label = SCHEDULES[schedule].label or schedule
    return Named(_ROWS[recipe.plain].sampler or recipe.plain, label)
