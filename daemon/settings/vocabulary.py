"""The one registry of settings: what each is called and checked by, where it counts, and what it means, in one entry.

Front matter, settings files, metadata, the defaults in config.yaml, the options of the command line, `tiffsd settings` and
`docs/settings.md` all come from here; `checking.py` reads what people said by it. A setting that nobody gave is None; what a stage
really used is written into the recipe of its result.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from daemon.models.schedules import SCHEDULES
from daemon.settings.values import (
    MOST_URGENT,
    SEEDS,
    Influence,
    Loras,
    MaskName,
    NameOfResults,
    PlainName,
    ProofKind,
    Rng,
    ScheduleName,
    SchedulerName,
    Seed,
    Side,
    StageName,
    StageOrStages,
    StepOrSteps,
    Text,
)
from daemon.stages import STAGES
from daemon.stages.loop import CLEAN

# Versions that computed some pictures otherwise than this one.
EARLIER = ("0.1.0",)
# That of A1111's hires fix.
UPSCALE_STRENGTH = 0.7

TEXT, PHOTO, DECODE = "a prompt", "a picture to encode", "latents to decode"
NOISE, PARTIAL, FINAL = "noise", "half-done latents", "finished latents"
PAST, PAST_PHOTO = "latents to invert", "a picture to invert"
INPUT_KINDS = (TEXT, PHOTO, NOISE, PARTIAL, FINAL, DECODE, PAST, PAST_PHOTO)
"""What a person can give settings with: what is dropped into a stage, in the diffuse stage by how far it is done."""

INPUT_KINDS_OF = {
    "text": (TEXT,),
    "encode": (PHOTO,),
    "diffuse": (NOISE, PARTIAL, FINAL),
    "decode": (DECODE,),
    "invert": (PAST, PAST_PHOTO),
}
"""What can be dropped into each stage."""

_ALL = frozenset(INPUT_KINDS)
_LOOP = _ALL - {DECODE}  # a prompt may still be encoded, and a loop is to run
_FORWARD = _LOOP - {PAST, PAST_PHOTO}
_MASKED = frozenset({PHOTO, PARTIAL, FINAL, DECODE})
_SIZED = frozenset({TEXT, PHOTO, PAST_PHOTO})
_EVERY_STAGE = tuple(STAGES)


class Batch(Enum):
    """What a setting means to pictures that could run as one batch."""

    SHARED = "all of them have the same"
    OWN = "each may have its own: it is in its tensors, or of no concern to the loop"
    ALONE = "a picture for which it is given runs alone"


@dataclass(frozen=True)
class Setting:
    """What is known of a setting besides its type and range.

    `help` is one sentence for people. It counts with the kinds of input `counts`, for the stage or for one that follows;
    `elsewhere` says why not with another. The recipes of the stages `recorded` name it though nobody gave it, because their
    results depend on it; those of the stages `used_up` do not name it any more. `neutral` is the value at which it does nothing,
    `infotext` its key in A1111's parameters, `option` its short option on the command line; `aliases` are other names for it. It
    does something only where the setting that it `needs` is given. With `of_second_pass` it may be another in a second pass, whose
    recipe is that of the first.
    """

    help: str
    counts: frozenset[str] = _ALL
    elsewhere: str = ""
    recorded: tuple[str, ...] = ()
    used_up: tuple[str, ...] = ()
    neutral: Any = None
    infotext: str | None = None
    option: str | None = None
    aliases: tuple[str, ...] = ()
    needs: str | None = None
    batch: Batch = Batch.SHARED
    of_second_pass: bool = False


class Settings(BaseModel):
    """All that a person can say about one picture."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, coerce_numbers_to_str=False)

    prompt: Annotated[
        Text | None,
        Setting(
            "What the picture shall show; `(words:1.3)`, `BREAK` and `<lora:NAME:WEIGHT>` as A1111 reads them.",
            _LOOP,
            aliases=("positive", "positive_prompt"),
            batch=Batch.OWN,
        ),
    ] = None
    negative_prompt: Annotated[
        Text | None,
        Setting(
            "What it shall not show; counts with a guidance_scale above 1.",
            _LOOP,
            option="-n",
            aliases=("negative",),
            batch=Batch.OWN,
        ),
    ] = None
    model: Annotated[
        PlainName | None,
        Setting("A model of config.yaml, by its name there.", recorded=_EVERY_STAGE, infotext="Model", option="-m"),
    ] = None
    vae: Annotated[
        PlainName | None,
        Setting(
            "A VAE of config.yaml instead of the model's own, by its name there.",
            recorded=("text", "decode", "encode", "invert"),
            infotext="VAE",
            option="-v",
        ),
    ] = None
    seed: Annotated[
        Seed,
        Setting(
            "Of all random numbers; a new one where it is left out, or -1. With rng cpu its lower 32 bits count, with nv all 64.",
            _LOOP,
            recorded=("diffuse", "encode", "invert"),
            infotext="Seed",
            option="-s",
            batch=Batch.OWN,
        ),
    ] = None
    count: Annotated[
        int | None,
        Setting(
            "Pictures of one prompt, numbered, with the seeds s, s+1, ...; or the variation seeds, where the noise is varied.",
            frozenset({TEXT}),
            "it is for prompts",
            used_up=_EVERY_STAGE,
            batch=Batch.OWN,
        ),
    ] = Field(default=None, ge=1)
    rng: Annotated[
        Rng | None,
        Setting(
            "Who draws the noise of a seed: cpu, or nv, as a GPU of NVIDIA does, which A1111's recipes mean where they are silent.",
            _FORWARD,
            "an inversion draws no noise",
            recorded=("text", "diffuse", "encode"),
            neutral="cpu",
            infotext="RNG",
            batch=Batch.OWN,
        ),
    ] = None
    ensd: Annotated[
        int | None,
        Setting(
            "Added to the seed for the noise that a solver adds at its steps (A1111's eta noise seed delta).",
            _FORWARD,
            "an inversion draws no noise",
            recorded=("text", "diffuse", "encode"),
            neutral=0,
            infotext="ENSD",
            aliases=("eta_noise_seed_delta",),
        ),
    ] = Field(default=None, gt=-SEEDS, lt=SEEDS)
    variation_seed: Annotated[
        Seed,
        Setting(
            "The seed of the noise that the first one is drawn towards; a new one where it is left out.",
            _FORWARD - {PARTIAL},
            "it counts where a loop begins",
            recorded=("text", "diffuse", "encode"),
            infotext="Variation seed",
            aliases=("subseed",),
            needs="variation_strength",
            batch=Batch.OWN,
        ),
    ] = None
    variation_strength: Annotated[
        float | None,
        Setting(
            "How far the noise is drawn towards that of the variation seed, 0 to 1.",
            _FORWARD - {PARTIAL},
            "it counts where a loop begins",
            recorded=("text", "diffuse", "encode"),
            neutral=0.0,
            infotext="Variation seed strength",
            aliases=("subseed_strength",),
            batch=Batch.OWN,
        ),
    ] = Field(default=None, ge=0, le=1)
    width: Annotated[
        Side | None,
        Setting(
            "Pixels, a multiple of 8; a picture that is dropped is scaled to it.",
            _SIZED,
            "latents have their size",
            recorded=_EVERY_STAGE,
            infotext="Size",
            option="-w",
        ),
    ] = None
    height: Annotated[
        Side | None,
        Setting(
            "Pixels, a multiple of 8; a picture that is dropped is scaled to it.",
            _SIZED,
            "latents have their size",
            recorded=_EVERY_STAGE,
            infotext="Size",
            option="-he",
        ),
    ] = None
    steps: Annotated[
        int | None,
        Setting(
            "Steps of the diffusion loop.",
            _LOOP,
            recorded=("diffuse", "invert"),
            infotext="Steps",
            option="-i",
            aliases=("num_inference_steps",),
        ),
    ] = Field(default=None, ge=1)
    guidance_scale: Annotated[
        float | None,
        Setting(
            "How strongly the prompt counts against the negative prompt; 1 and below switch the negative prompt off.",
            _LOOP,
            recorded=("diffuse", "invert"),
            infotext="CFG scale",
            option="-g",
            aliases=("cfg_scale", "cfg", "distilled_cfg_scale"),
        ),
    ] = Field(default=None, ge=0, le=1000, allow_inf_nan=False)
    guidance_rescale: Annotated[
        float | None,
        Setting(
            "Takes back the contrast that a high guidance_scale adds, 0 to 1; 0.7 is usual.",
            _LOOP,
            recorded=("diffuse", "invert"),
            neutral=0.0,
            infotext="CFG Rescale",
            aliases=("cfg_rescale",),
        ),
    ] = Field(default=None, ge=0, le=1)
    scheduler: Annotated[
        SchedulerName | None,
        Setting(
            "The solver: euler_a, dpmpp_2m_karras, ...; `automatic` is what suits the model, `default` what it was released with. "
            "Names of A1111, ComfyUI, InvokeAI, the AI Horde and diffusers are understood, with the schedule that they have there.",
            _FORWARD,
            "an inversion has its own: ddim, or flow_euler",
            recorded=("diffuse",),
            infotext="Sampler",
            option="-sch",
            aliases=("sampler", "sampler_name"),
        ),
    ] = None
    schedule: Annotated[
        ScheduleName | None,
        Setting(
            f"How the noise levels lie, as A1111 and ComfyUI compute them: {', '.join(SCHEDULES)}; `own` is what scheduler and "
            "model have by themselves, `automatic` what A1111 takes for the scheduler.",
            _FORWARD,
            "an inversion has its own",
            recorded=("diffuse",),
            infotext="Schedule type",
            aliases=("schedule_type", "scheduler_type"),
        ),
    ] = None
    eta: Annotated[
        float | None,
        Setting(
            "How much of the noise of each step is drawn anew, 0 to 1; left out, 0 for ddim and tcd, and 1 for euler_a and its "
            "like with a schedule of their own.",
            _FORWARD,
            "an inversion adds no noise",
            recorded=("diffuse",),
            infotext="Eta",
        ),
    ] = Field(default=None, ge=0, le=1)
    strength: Annotated[
        float | None,
        Setting(
            "How much of a picture, or of finished latents, is made anew, 0 to 1 (image-to-image); 0 takes what was painted on a "
            "finished picture as it is.",
            frozenset({PHOTO, FINAL}),
            "it is for pictures and finished latents",
            recorded=("encode",),
            used_up=("text",),
            infotext="Denoising strength",
            aliases=("denoising_strength", "denoise"),
            batch=Batch.ALONE,
        ),
    ] = Field(default=None, ge=0, le=1)
    mask: Annotated[
        MaskName | None,
        Setting(
            "The file NAME_mask.png in the same folder: white is made anew, black stays.",
            frozenset({PHOTO, NOISE, PARTIAL, FINAL}),
            "it is for pictures and latents",
            used_up=("text", "diffuse", "encode", "invert"),
            batch=Batch.ALONE,
        ),
    ] = None
    mask_blur: Annotated[
        int | None,
        Setting(
            "How many pixels a mask grows outward, softly, when the finished picture is laid over the one of before; 0 where it is "
            "left out, and beyond it black comes back to the bit.",
            _MASKED,
            "it is for pictures and latents under a mask",
            infotext="Mask blur",
            batch=Batch.OWN,
        ),
    ] = Field(default=None, ge=0, le=256)
    overlay: Annotated[
        bool | None,
        Setting(
            "Whether what is made anew under a mask is laid over the picture of before; false gives all as the VAE decodes it.",
            _MASKED,
            "it is for pictures and latents under a mask",
            batch=Batch.OWN,
        ),
    ] = None
    upscale: Annotated[
        float | None,
        Setting(
            "How many times larger, 1 to 8: the finished latents are enlarged and denoised once more (hires fix).",
            _FORWARD,
            infotext="Hires upscale",
            aliases=("hr_scale",),
            of_second_pass=True,
        ),
    ] = Field(default=None, gt=1, le=8)
    upscale_strength: Annotated[
        float | None,
        Setting(
            f"The strength of that second pass, 0 to 1; {UPSCALE_STRENGTH} where it is left out, and with 0 nothing is made anew.",
            _FORWARD,
            needs="upscale",
            of_second_pass=True,
        ),
    ] = Field(default=None, ge=0, le=1)
    upscale_steps: Annotated[
        int | None,
        Setting(
            "The steps of the second pass; those of the first where it is left out.",
            _FORWARD,
            infotext="Hires steps",
            needs="upscale",
            of_second_pass=True,
        ),
    ] = Field(default=None, ge=1)
    aesthetic_score: Annotated[
        float | None,
        Setting(
            "How beautiful it shall be, 0 to 10, for the refiner of XL; 6 where it is left out.",
            _LOOP,
            recorded=("diffuse", "invert"),
        ),
    ] = Field(default=None, ge=0, le=10)
    clip_skip: Annotated[
        int | None,
        Setting(
            "Which layer of the text encoder counts, as A1111 counts: 1 the last one, 2 the one before.",
            _LOOP,
            recorded=("text",),
            neutral=1,
            infotext="Clip skip",
            batch=Batch.OWN,
        ),
    ] = Field(default=None, ge=1, le=24)
    loras: Annotated[
        Loras | None,
        Setting(
            "LoRAs of the folder adapters.loras with their weights: {NAME: 0.8}, or {NAME: [TEXT_WEIGHT, DENOISER_WEIGHT]}.",
            _LOOP,
            recorded=("text", "diffuse", "invert"),
            neutral={},
        ),
    ] = None
    embedding: Annotated[
        PlainName | None,
        Setting("A saved embedding of embeddings/, instead of a prompt.", _LOOP, batch=Batch.OWN),
    ] = None
    save_embedding: Annotated[
        PlainName | None,
        Setting("Keep the embedding of the prompt in embeddings/ under this name.", _LOOP, used_up=_EVERY_STAGE, batch=Batch.OWN),
    ] = None
    prompt_influence: Annotated[
        Influence | None,
        Setting("The factor of the embedding, -100 to 100.", _LOOP, recorded=("diffuse", "invert"), neutral=1.0),
    ] = None
    latent_influence: Annotated[
        Influence | None,
        Setting(
            "The factor of the latents that the loop begins with, -100 to 100.",
            _FORWARD - {PARTIAL},
            "it counts where a loop begins",
            recorded=("diffuse",),
            neutral=1.0,
        ),
    ] = None
    start_at: Annotated[
        int | None,
        Setting(
            "The step at which the loop begins, as if those before had been done.",
            _FORWARD - {PARTIAL},
            "it counts where a loop begins",
            recorded=("diffuse",),
            batch=Batch.ALONE,
        ),
    ] = Field(default=None, ge=0)
    stop_at: Annotated[
        StepOrSteps | None,
        Setting(
            "The step, or steps, at which the half-done latents wait in hold/2-diffuse; going on gives the same bits.",
            _FORWARD,
            used_up=("diffuse", "decode", "invert"),
            batch=Batch.ALONE,
            of_second_pass=True,
        ),
    ] = None
    end_at: Annotated[
        int | None,
        Setting(
            "The step at which the loop ends early, with its estimate of the finished latents.",
            _FORWARD,
            recorded=("diffuse",),
            batch=Batch.ALONE,
        ),
    ] = Field(default=None, ge=1)
    paint_hold: Annotated[
        float | None,
        Setting(
            "How long the loop holds what was painted on a proof: up to this share of the finished latents, 0 to 1; "
            f"{CLEAN} where it is left out, 0 puts it in once, and 1 holds it to the end.",
            _FORWARD,
            "it counts in a loop",
        ),
    ] = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    dump_every: Annotated[
        int | None,
        Setting(
            "After each so many steps the latents are kept in steps/.",
            _FORWARD,
            used_up=("diffuse", "decode", "invert"),
            batch=Batch.ALONE,
            of_second_pass=True,
        ),
    ] = Field(default=None, ge=1)
    hold: Annotated[
        StageOrStages | None,
        Setting(
            "The stage, or stages, before which the result waits in hold/ for somebody to look at it.",
            _LOOP,
            batch=Batch.OWN,
            of_second_pass=True,
        ),
    ] = None
    proof: Annotated[
        ProofKind | None,
        Setting(
            "Which proof lies beside latents in hold/: usual (none of noise), full (of noise too, made in few steps), or none.",
            _ALL,
            batch=Batch.OWN,
            of_second_pass=True,
        ),
    ] = None
    then: Annotated[
        StageName | None,
        Setting(
            "The stage that the result of this one goes to, instead of the usual one.",
            _LOOP,
            used_up=_EVERY_STAGE,
            batch=Batch.OWN,
            of_second_pass=True,
        ),
    ] = None
    name: Annotated[
        NameOfResults | None,
        Setting(
            "What results are called: text with the fields {stem} (of the dropped file), {seed}, {index}, {model}, {date}; several "
            "pictures of one prompt are numbered in the order of their seeds where it does not tell them apart.",
            used_up=_EVERY_STAGE,
            neutral="{stem}",
            batch=Batch.OWN,
            of_second_pass=True,
        ),
    ] = None
    priority: Annotated[
        int | None,
        Setting(
            "Who goes first, -100 to 100; one that waits gains 1 every five minutes.",
            used_up=("decode",),
            batch=Batch.OWN,
            of_second_pass=True,
        ),
    ] = Field(default=None, ge=-MOST_URGENT, le=MOST_URGENT)
    as_of: Annotated[
        str | None,
        Setting(
            "The version of tiffsd whose picture is to come out the same, where later ones compute another: 0.1.0, whose recipes "
            "need not say it.",
            _FORWARD - {PARTIAL},
            "it counts where a loop begins",
            recorded=("diffuse", "decode"),
            used_up=("invert",),
            infotext="As of",
        ),
    ] = Field(default=None, pattern=f"^({'|'.join(map(re.escape, EARLIER))})$")
    fast: Annotated[
        bool | None,
        Setting(
            "Other numbers and batches: the same picture to the eye, but not to the bit.",
            recorded=("diffuse", "decode", "encode"),
            neutral=False,
        ),
    ] = None
    layout: Annotated[
        str | None,
        Setting("How latents lie in their file: mosaic, pages or rgba.", _LOOP, batch=Batch.OWN, of_second_pass=True),
    ] = Field(default=None, pattern="^(mosaic|pages|rgba)$")

    def given(self) -> dict[str, Any]:
        """The settings that somebody gave, as plain JSON values."""
        return self.model_dump(exclude_none=True)


REGISTRY: Mapping[str, Setting] = {
    name: next(said for said in field.metadata if isinstance(said, Setting)) for name, field in Settings.model_fields.items()
}


def kind_of(key: str) -> type:
    """What a setting is: str, int, float or bool; `object` for a list, a mapping, or one of several kinds."""
    kinds = [kind for kind in get_args(Settings.model_fields[key].annotation) if kind is not type(None)]
    plain = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]
    return plain[0] if len(plain) == 1 and plain[0] in (str, int, float, bool) else object


ALIASES: Mapping[str, str] = {alias: name for name, setting in REGISTRY.items() for alias in setting.aliases}
