"""The one vocabulary of settings: front matter, settings files, metadata, defaults in config.yaml, long options of the command
line.

A setting that nobody gave is None here; what a stage really used is written into the recipe of its result. Which of two values
counts is decided by `layered`: the later layer wins.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from daemon.errors import InputError
from daemon.models.prompt_grammar import LoraWeight, cut_loras
from daemon.models.schedulers import canonical
from daemon.stages import MASK_ENDING, STAGES

PIXELS_PER_LATENT = 8
MOST_URGENT = 100
LONGEST_KEY = 60  # characters of a key that is no setting, in sentences and where its nearest is looked for
# That of A1111's hires fix.
UPSCALE_STRENGTH = 0.7
NAME = re.compile(r"[\w][\w .+-]{0,99}")
HALF = re.compile(r"[\ud800-\udfff]")  # JSON can say it, UTF-8 cannot


def _on_the_grid(value: Any) -> Any:
    if isinstance(value, int) and value % PIXELS_PER_LATENT:
        below = value - value % PIXELS_PER_LATENT
        raise ValueError(f"is not a multiple of {PIXELS_PER_LATENT}: use {below} or {below + PIXELS_PER_LATENT}")
    return value


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str) and HALF.search(value):
        raise ValueError("holds half a character (a lone surrogate), which no model can read: take it out")
    return value


def _plain_name(value: Any) -> Any:
    if isinstance(value, str) and not NAME.fullmatch(value):
        raise ValueError("is not a plain name: use letters, digits, spaces, dots and dashes, never a path")
    return value


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


def _known_scheduler(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return canonical(value)
    except InputError as error:
        raise ValueError(str(error)) from error


def _known_stage(value: Any) -> Any:
    if isinstance(value, str) and value not in STAGES:
        raise ValueError(f"is not a stage: use one of {', '.join(STAGES)}")
    return value


Side = Annotated[int, BeforeValidator(_on_the_grid), Field(ge=8, le=16_384)]
Words = Annotated[str, BeforeValidator(_whole_characters)]
PlainName = Annotated[str, BeforeValidator(_plain_name)]
SchedulerName = Annotated[str, BeforeValidator(_known_scheduler)]
StageName = Annotated[str, BeforeValidator(_known_stage)]
MaskName = Annotated[str, BeforeValidator(_mask_name)]
StepOrSteps = Annotated[int | list[int], BeforeValidator(_steps)]
Loras = dict[PlainName, Annotated[LoraWeight, BeforeValidator(_lora_weight)]]
Influence = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


class Settings(BaseModel):
    """All that a person can say about one picture; units and ranges stand beside each key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, coerce_numbers_to_str=False)

    prompt: Words | None = None
    negative_prompt: Words | None = None
    model: PlainName | None = None
    vae: PlainName | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    count: int | None = Field(default=None, ge=1)
    width: Side | None = None
    height: Side | None = None
    steps: int | None = Field(default=None, ge=1)
    guidance_scale: float | None = Field(default=None, ge=0, le=1000, allow_inf_nan=False)
    guidance_rescale: float | None = Field(default=None, ge=0, le=1)
    scheduler: SchedulerName | None = None
    eta: float | None = Field(default=None, ge=0, le=1)
    strength: float | None = Field(default=None, gt=0, le=1)
    mask: MaskName | None = None
    upscale: float | None = Field(default=None, gt=1, le=8)
    upscale_strength: float | None = Field(default=None, gt=0, le=1)
    upscale_steps: int | None = Field(default=None, ge=1)
    aesthetic_score: float | None = Field(default=None, ge=0, le=10)
    clip_skip: int | None = Field(default=None, ge=1, le=24)
    loras: Loras | None = None
    embedding: PlainName | None = None
    save_embedding: PlainName | None = None
    prompt_influence: Influence | None = None
    latent_influence: Influence | None = None
    start_at: int | None = Field(default=None, ge=0)
    stop_at: StepOrSteps | None = None
    end_at: int | None = Field(default=None, ge=1)
    dump_every: int | None = Field(default=None, ge=1)
    hold: StageName | None = None
    then: StageName | None = None
    priority: int | None = Field(default=None, ge=-MOST_URGENT, le=MOST_URGENT)
    fast: bool | None = None
    layout: str | None = Field(default=None, pattern="^(mosaic|pages|rgba)$")

    def given(self) -> dict[str, Any]:
        """The settings that somebody gave, as plain JSON values."""
        return self.model_dump(exclude_none=True)


def checked(values: Mapping[str, Any], where: str) -> Settings:
    """Validate settings; `where` names the file they stand in. Raises InputError with one sentence about the first fault."""
    values = with_loras_cut_out(values, where)
    for key in values:
        if key not in Settings.model_fields:
            said = str(key)[:LONGEST_KEY]
            raise InputError(f"{where}: '{said}' is no setting{_nearest(said)}; known are {', '.join(Settings.model_fields)}")
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        raise InputError(f"{where}: {sentence_of(error)}") from error


def with_loras_cut_out(values: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The settings with those LoRAs under `loras` that the prompt names, and the prompt without them; they win over those said.

    Raises InputError, naming the file `where`, for one that is not named as A1111 does."""
    prompt, said = values.get("prompt"), values.get("loras") or {}
    if not isinstance(prompt, str) or not isinstance(said, Mapping):
        return values
    try:
        words, named = cut_loras(prompt)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return {**values, "prompt": words, "loras": {**said, **named}} if named else values


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over each other: a later layer wins, and None says nothing."""
    return {key: value for layer in layers for key, value in layer.items() if value is not None}


def sentence_of(error: ValidationError) -> str:
    """The first fault pydantic found, as a sentence with key, rule and value."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"] if part not in ("float", "[key]"))
    reason = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else _lower(fault["msg"])
    return f"'{key}' {reason} (found {fault['input']!r:.80})"


def _lower(message: str) -> str:
    return message.replace("Input should", "should", 1)


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, Settings.model_fields, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
