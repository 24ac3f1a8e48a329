"""The values that settings take: each kind checked, with the sentence that says what is wrong with another."""

import difflib
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from daemon.errors import InputError
from daemon.models.prompt_grammar import LoraWeight
from daemon.models.schedulers import canonical, canonical_schedule
from daemon.stages import MASK_ENDING, STAGES

PIXELS_PER_LATENT = 8
MOST_URGENT = 100
LONGEST_ADAPTER_NAME = 250
NAME = re.compile(r"[\w][\w .+-]{0,99}")
SEEDS = 2**64
CPU, NV = "cpu", "nv"
PROOFS = USUAL_PROOF, FULL_PROOF, NO_PROOF = "usual", "full", "none"
RANDOM_SEED = -1
"""What A1111 says for no seed."""
NAME_FIELDS = ("stem", "seed", "index", "model", "date")
NAME_FIELD = re.compile(r"\{([^{}]*)\}")
LONGEST_NAME = 100  # characters, before its fields are filled in
# By Microsoft's "Naming Files, Paths, and Namespaces"; of slashes the sentence is another.
NOT_IN_NAMES = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
HALF = re.compile(r"[\ud800-\udfff]")  # JSON can say it, UTF-8 cannot


def _on_the_grid(value: Any) -> Any:
    if isinstance(value, int) and value % PIXELS_PER_LATENT:
        below = value - value % PIXELS_PER_LATENT
        nearest = f"{below} or {below + PIXELS_PER_LATENT}" if below > 0 else f"{PIXELS_PER_LATENT}"
        raise ValueError(f"is not a multiple of {PIXELS_PER_LATENT}: use {nearest}")
    return value


def _unsaid(value: Any) -> Any:
    return None if value == RANDOM_SEED and type(value) is int else value


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str) and HALF.search(value):
        raise ValueError("holds half a character (a lone surrogate), which no model can read: take it out")
    return value


def _plain_name(value: Any) -> Any:
    if isinstance(value, str) and not NAME.fullmatch(value):
        raise ValueError("is not a plain name: use letters, digits, spaces, dots and dashes, never a path")
    return value


def _adapter_name(value: Any) -> Any:
    # It is looked up among the names of a folder's files, and never made part of a path.
    if isinstance(value, str) and not (1 <= len(value) <= LONGEST_ADAPTER_NAME and value.isprintable()):
        raise ValueError(f"is not the name of a file: use up to {LONGEST_ADAPTER_NAME} characters that can be seen")
    return value


def _name_of_results(value: Any) -> Any:
    if isinstance(value, dict) and [*value.values()] == [None]:
        value = f"{{{next(iter(value))}}}"  # `name: {stem}` without quotes is a mapping in YAML, and nobody means one
    if isinstance(value, str):
        _check_fields(NAME_FIELD.findall(value))
        _check_fixed(NAME_FIELD.sub("", value))
        if not value or value.strip() != value or value[0] in ".~" or len(value) > LONGEST_NAME:
            raise ValueError(
                f"is no name for a file: it must have 1 to {LONGEST_NAME} characters, begin neither with a dot nor with a tilde, "
                "and have no space at either end"
            )
        _whole_characters(value)
    return value


def _check_fields(fields: list[str]) -> None:
    for field in fields:
        if field not in NAME_FIELDS:
            near = difflib.get_close_matches(field, NAME_FIELDS, n=1, cutoff=0.5)
            meant = f" (did you mean {{{near[0]}}}?)" if near else ""
            known = ", ".join(f"{{{name}}}" for name in NAME_FIELDS)
            raise ValueError(f"has no field {{{field[:30]}}}{meant}: its fields are {known}")


def _check_fixed(words: str) -> None:
    """What stands between the fields of a name."""
    if "/" in words or "\\" in words:
        raise ValueError("is a name and never a path: take the slashes out")
    if "{" in words or "}" in words:
        raise ValueError("has a brace that belongs to no field: write {seed}, with both")
    if found := NOT_IN_NAMES.search(words):
        raise ValueError(f"holds {found[0]!r}, which no name on Windows or a share can have: take it out")


def _mask_name(value: Any) -> Any:
    if isinstance(value, str) and not (NAME.fullmatch(value) and value.lower().endswith(MASK_ENDING)):
        raise ValueError(f"is not the name of a mask: it must end in {MASK_ENDING}, which tells it from pictures of their own")
    return value


def _steps(value: Any) -> Any:
    steps = value if isinstance(value, list) else [value]
    if not steps or not all(type(step) is int and step >= 1 for step in steps):
        raise ValueError("is not a step to stop at, from 1 up, or a list of them: use 12, or [6, 12]")
    return sorted(set(steps)) if isinstance(value, list) else value


def _lora_weight(value: Any) -> Any:
    numbers = value if isinstance(value, list) and len(value) == 2 else [value]
    if not all(type(number) in (int, float) and abs(number) <= 100 for number in numbers):
        raise ValueError("is not the weight of a LoRA: use a number within -100 and 100, or [TEXT_WEIGHT, DENOISER_WEIGHT]")
    return value


def _known_rng(value: Any) -> Any:
    if isinstance(value, str) and value.lower() not in (CPU, NV):
        raise ValueError(f"is not known: use {CPU}, or {NV} for the noise of a GPU")
    return value.lower() if isinstance(value, str) else value


def _known_proof(value: Any) -> Any:
    if isinstance(value, str) and value.lower() not in PROOFS:
        raise ValueError(f"is not a proof: use one of {', '.join(PROOFS)}")
    return value.lower() if isinstance(value, str) else value


def _known_scheduler(value: Any) -> Any:
    return _read(canonical, value)


def _known_schedule(value: Any) -> Any:
    return _read(canonical_schedule, value)


def _read(reader: Callable[[str], str], value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return reader(value)
    except InputError as error:
        raise ValueError(str(error)) from error


def _known_stage(value: Any) -> Any:
    if isinstance(value, str) and value not in STAGES:
        raise ValueError(f"is not a stage: use one of {', '.join(STAGES)}")
    return value


def _known_stages(value: Any) -> Any:
    for stage in value if isinstance(value, list) else [value]:
        _known_stage(stage)
    return list(dict.fromkeys(value)) if isinstance(value, list) and all(isinstance(stage, str) for stage in value) else value


Seed = Annotated[Annotated[int, Field(ge=0, lt=SEEDS)] | None, BeforeValidator(_unsaid)]
Side = Annotated[int, BeforeValidator(_on_the_grid), Field(ge=8, le=16_384)]
Text = Annotated[str, BeforeValidator(_whole_characters)]
PlainName = Annotated[str, BeforeValidator(_plain_name)]
AdapterName = Annotated[str, BeforeValidator(_adapter_name)]
SchedulerName = Annotated[str, BeforeValidator(_known_scheduler)]
ScheduleName = Annotated[str, BeforeValidator(_known_schedule)]
StageName = Annotated[str, BeforeValidator(_known_stage)]
StageOrStages = Annotated[str | list[str], BeforeValidator(_known_stages)]
Rng = Annotated[str, BeforeValidator(_known_rng)]
ProofKind = Annotated[str, BeforeValidator(_known_proof)]
NameOfResults = Annotated[str, BeforeValidator(_name_of_results)]
MaskName = Annotated[str, BeforeValidator(_mask_name)]
StepOrSteps = Annotated[int | list[int], BeforeValidator(_steps)]
Loras = dict[AdapterName, Annotated[LoraWeight, BeforeValidator(_lora_weight)]]
Influence = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
