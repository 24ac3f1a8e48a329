"""One job as the compute side sees it: tensors and settings, read and checked, with what its result has to carry on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import tiffsd
from daemon.models.prompt_grammar import named_textual_inversions
from daemon.models.stage_settings import LoraSettings, ModelSettings, StageFacts, StageSettings
from daemon.pictures.software import made_elsewhere, versions
from daemon.settings.config import Config
from daemon.settings.vocabulary import Settings
from daemon.stages import APPLY, STAGES
from tiffsd.artifact import Tensors
from tiffsd.edit import EMBEDDING_TENSORS
from tiffsd.overlay import OVERLAYS


@dataclass(frozen=True)
class Request:
    """What to compute. `recipe` and `history` go on into the result, `notes` are what reading found, in sentences.

    `encodes_text` says that the prompt has to go through the text stage first, because no embedding came with it. `enlarged` is how
    much larger the latents are than those of the first pass where this is the second, `enlarges_next` says that one is to follow.
    With `applies` the paint on a proof is taken, and nothing else is done. `software` is what made that which this job repeats or
    goes on with, and is expected to come out the same to the last bit.
    """

    stage: str
    settings: Settings
    recipe: Mapping[str, Any]
    tensors: Tensors = field(default_factory=dict)
    source: tiffsd.Artifact | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    encodes_text: bool = False
    enlarged: float | None = None
    enlarges_next: bool = False
    applies: bool = False
    software: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageCall:
    """One run of a stage. `gives` are the tensors of its result that count; None is for all of them."""

    stage: str
    tensors: Tensors
    settings: StageSettings
    gives: tuple[str, ...] | None = None


def stage_calls(request: Request, config: Config) -> list[StageCall]:
    """The calls that a request needs: its own stage last, before it those that make what did not come with the files."""
    settings = stage_settings(request, config)
    calls = []
    if request.encodes_text:
        words: StageSettings = {**settings, "seeds": [settings["seed"]], "model": model_settings(request.settings, config, "text")}
        calls.append(StageCall("text", {}, words, gives=EMBEDDING_TENSORS))
    # The picture of before goes past the loop.
    idle = OVERLAYS if STAGES[request.stage].loops else ()
    given = {name: tensor for name, tensor in request.tensors.items() if name not in idle}
    if request.applies:
        return [*calls, apply_call(request, config)]
    if request.stage == "invert" and "picture" in given:
        pictured: StageSettings = {**settings, "model": model_settings(request.settings, config, "encode")}
        calls.append(StageCall("encode", {"picture": given.pop("picture")}, pictured, gives=("latents",)))
    return [*calls, StageCall(request.stage, given, settings)]


def apply_call(request: Request, config: Config) -> StageCall:
    """The call that puts paint into latents and does not go on with them; the request is that of the stage they are for.

    It runs where the VAE does."""
    settings: StageSettings = {**stage_settings(request, config), "model": model_settings(request.settings, config, "decode")}
    return StageCall(APPLY, request.tensors, settings)


@dataclass(frozen=True)
class Computed:
    """What the calls of a request have made so far: their tensors, and the facts of the last with the notes of all."""

    request: Request
    tensors: Tensors = field(default_factory=dict)
    facts: StageFacts = field(default_factory=StageFacts)

    def given_to(self, call: StageCall) -> StageCall:
        """The call, with what those before it made."""
        return replace(call, tensors={**call.tensors, **self.tensors})

    def after(self, call: StageCall, tensors: Tensors, facts: StageFacts) -> "Computed":
        """With the result of one more call."""
        counting = tensors if call.gives is None else {name: tensors[name] for name in call.gives if name in tensors}
        notes = [*self.facts.get("notes", ()), *facts.get("notes", ())]
        if call.gives is None:
            notes += _made_elsewhere(self.request, facts)
        return replace(self, tensors={**self.tensors, **counting}, facts={**facts, "notes": notes})


def _made_elsewhere(request: Request, facts: StageFacts) -> tuple[str, ...]:
    what = "the steps so far were" if request.source else "this picture was"
    return made_elsewhere(what, request.software, {**versions(), **facts.get("software", {})})


def stage_settings(request: Request, config: Config) -> StageSettings:
    """The settings of a request as the compute side takes them: plain JSON values, the model by its path."""
    settings = request.settings
    seed = settings.seed or 0
    header = request.source.header if request.source else None
    said = cast("StageSettings", settings.given())  # the registry has the same names, and more
    pictures = [seeded(settings.given(), index) for index in range(settings.count or 1)]
    return {
        **said,
        "seed": seed,
        "seeds": [int(picture.get("seed") or 0) for picture in pictures],
        "variation_seeds": [int(picture.get("variation_seed") or 0) for picture in pictures],
        "prompt": settings.prompt or "",
        "negative_prompt": settings.negative_prompt or "",
        "state": header.state.value if header and header.state else None,
        "step": header.step if header else None,
        "painted": request.source.painted if request.source else 0,
        "of_vae": request.source.of_vae if request.source else False,
        "enlarged": request.enlarged if header and header.state is tiffsd.State.FINAL else None,
        "model": model_settings(settings, config, request.stage),
        "loras": lora_settings(settings, config) if request.encodes_text or STAGES[request.stage].adapted else [],
        "textual_inversions": textual_inversion_settings(settings, config)
        if request.encodes_text or request.stage == "text"
        else {},
        "preview_every": config.previews.every if config.previews.enabled else None,
        "room": {"memory_bytes": int(config.compute.picture_memory_gb * 1e9), "scratch": config.compute.scratch},
    }


def seeded(recipe: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The recipe of one of several pictures: as in A1111 the seeds are counted, or where the noise is varied, those of that."""
    counted = "variation_seed" if recipe.get("variation_strength") else "seed"
    return {**recipe, counted: int(recipe.get(counted) or 0) + index}


def lora_settings(settings: Settings, config: Config) -> list[LoraSettings]:
    """The LoRAs that are asked for, and where they lie. Raises InputError for a name that the configured folder does not have."""
    weights = {name: said if isinstance(said, list) else [said, said] for name, said in (settings.loras or {}).items()}
    return [
        {"name": name, "path": config.lora(name), "text": text, "denoiser": denoiser} for name, (text, denoiser) in weights.items()
    ]


def textual_inversion_settings(settings: Settings, config: Config) -> dict[str, str]:
    """Where the textual inversions lie that prompts name. Raises InputError for one that the configured folder does not have."""
    shelf = config.textual_inversions()
    named, unknown = named_textual_inversions((settings.prompt or "", settings.negative_prompt or ""), shelf)
    return {name: config.textual_inversion(name) for name in (*unknown, *named)}


def model_settings(settings: Settings, config: Config, stage: str) -> ModelSettings:
    """Which model, and where: the configuration's names become paths here. Raises InputError for a name it does not have.

    The device is empty where the stage runs on that of the worker."""
    name, options = settings.model or "", config.options(stage)
    fast = bool(settings.fast) and not STAGES[stage].exact
    return {
        "name": name,
        "path": config.model_path(name),
        "dtype": options.dtype or config.model(name).dtype,
        "prediction_type": config.model(name).prediction_type,
        "parts": config.model_parts(name),
        "vae": config.vae(settings.vae) if settings.vae else None,
        "device": options.device or "",
        "network": config.compute.network,
        "fast": fast,
        "compiled": fast and STAGES[stage].loops and config.compute.compile,
    }
