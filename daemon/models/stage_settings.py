"""What a stage is told, and what it tells of its result: plain JSON values, which travel to a worker and back beside the arrays.

Made by `daemon/jobs/request.py` from what people said (`daemon/settings/vocabulary.py` says what each setting means), read by the
stages and what they stand on. Nothing here imports torch: the front makes these.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict


class ModelSettings(TypedDict):
    """Which model, where it lies, and how it runs: the fields of `registry.ModelSpec`. An empty device is that of the worker."""

    name: str
    path: str
    dtype: NotRequired[str]
    vae: NotRequired[str | None]
    device: NotRequired[str]
    network: NotRequired[bool]
    prediction_type: NotRequired[str | None]
    parts: NotRequired[Any]
    fast: NotRequired[bool]
    compiled: NotRequired[bool]


class LoraSettings(TypedDict):
    """A LoRA and where it lies, with its weights in the text encoders and in what runs in the loop."""

    name: str
    path: str
    text: float
    denoiser: float


class RoomSettings(TypedDict):
    """What a picture may take: bytes of main memory, and the folder of the scratch files beyond it."""

    memory_bytes: int
    scratch: str


class StageSettings(TypedDict, total=False):
    """One call of a stage. `model` is always there; the rest is what the stage needs of it, or what somebody gave.

    `seeds` and `variation_seeds` are those of all pictures, `seed` the first. `state`, `step`, `painted`, `of_vae` and `enlarged`
    tell of the latents that come with the call: what they are, how far, how many values a person painted, whether they are in the
    units of the VAE still, and how much larger they are to become. `preview_every` is after how many steps an estimate is shown.
    """

    model: ModelSettings
    prompt: str
    negative_prompt: str
    textual_inversions: Mapping[str, str]
    loras: Sequence[LoraSettings]
    clip_skip: int | None
    seed: int
    seeds: Sequence[int]
    rng: str | None
    ensd: int | None
    variation_seed: int | None
    variation_seeds: Sequence[int]
    variation_strength: float | None
    count: int | None
    width: int | None
    height: int | None
    steps: int
    guidance_scale: float
    guidance_rescale: float | None
    scheduler: str | None
    schedule: str | None
    eta: float | None
    aesthetic_score: float | None
    strength: float | None
    prompt_influence: float | None
    latent_influence: float | None
    start_at: int | None
    stop_at: int | Sequence[int] | None
    end_at: int | None
    as_of: str | None
    mask_blur: int | None
    overlay: bool | None
    dump_every: int | None
    paint_hold: float | None
    state: str | None
    step: int | None
    painted: int
    of_vae: bool
    enlarged: float | None
    preview_every: int | None
    fast: bool | None
    room: RoomSettings


class Dump(TypedDict):
    """Half-done latents of a single step: their tensors have the names `steps.STEP.NAME`."""

    step: int
    sigma: float | None


class StageFacts(TypedDict, total=False):
    """What is told of a result. `sigma`, `step` and `steps` are of half-done latents, `width` and `height` of noise, `residual` of
    an inversion; `scheduler`, `schedule`, `eta` and `strength` are what counts where nobody said it, or otherwise; `overlay` is
    of latents that the picture under their mask rides along with; `painted_blocks` is how many were painted on a proof, and
    `paint_hold` how long that was held; `numbers`, `software`, `seconds` and `loading_seconds` of what
    computed it."""

    state: str
    sigma: float | None
    step: int
    steps: int
    width: int
    height: int
    dumps: Sequence[Dump]
    scheduler: str
    schedule: str
    eta: float | None
    strength: float
    residual: float
    timestep_spacing: str
    overlay: bool
    painted_blocks: int
    paint_hold: float
    notes: Sequence[str]
    numbers: str
    software: Mapping[str, str]
    seconds: float
    loading_seconds: float
