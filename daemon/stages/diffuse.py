"""Diffuse: noise, half-done latents or finished latents, and an embedding, become denoised latents.

Source: the denoising loop of diffusers' own pipeline, run with only the UNet and the scheduler in it; where the loop
starts and ends is the business of the Segment around the scheduler.

    C latent channels   h, w latent height and width   T tokens   D width of the text encoder
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.registry import Model, Models
from daemon.models.scheduling import PREFIX, Segment, build, index_of, pack, unpack
from daemon.stages.schedulers import canonical


@dataclass(frozen=True)
class Loop:
    """Which of the `steps` of a schedule run: `start` up to `end`; `finish` takes the last one all the way."""

    start: int
    end: int
    steps: int
    finish: bool

    @property
    def partial(self) -> bool:
        return self.end < self.steps and not self.finish


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], progress: Progress
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Denoise latents (C, h, w) under prompt_embeds and negative_prompt_embeds (T, D).

    `state` says what the latents are: "noise" (unit noise), "partial" (half-done, at `step` of `steps`) or "final"
    (image-to-image: `strength` 0..1 or `start_at` says where to start). `stop_at` leaves half-done latents, with the
    solver's history and the generator's state beside them; `end_at` finishes early. `painted` above 0 says that the
    history no longer fits the latents. Facts: state, sigma (half-done latents of a sigma-scaled scheduler), step,
    steps, notes. Raises InputError where model, latents, embedding and settings do not belong together."""
    model, notes = Model.of(settings), list[str]()
    unet = models.component(model, "unet")
    embeddings = _embeddings(tensors, settings, unet)
    latents = _latents(tensors, settings, unet)
    loop = _loop(settings, notes)
    segment = _segment(models, tensors, settings, loop, notes, progress)
    generator = _generator(tensors, settings, latents, notes)
    if settings["state"] == "final":
        noise = torch.randn(latents.shape, generator=generator)
        latents = segment.noised(latents, noise.to(latents.device, latents.dtype))
    denoised = _denoise(models.pipeline(model, unet=unet, scheduler=segment), latents, embeddings, generator, settings)
    out = {"latents": model.finite(denoised[0].float().cpu())}
    if loop.partial:
        out |= pack(_name(settings), loop.steps, segment.history()) | {"generator_state": generator.get_state()}
    return out, {
        "state": "partial" if loop.partial else "final",
        "sigma": segment.sigma() if loop.partial else None,
        "step": loop.end,
        "steps": loop.steps,
        "notes": notes,
    }


def _denoise(
    pipe: Any,
    latents: torch.Tensor,
    embeddings: Mapping[str, torch.Tensor],
    generator: torch.Generator,
    settings: Mapping[str, Any],
) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    denoised: torch.Tensor = pipe(
        **embeddings,
        latents=latents,
        # Only their grid is checked: the size of the latents counts.
        height=latents.shape[-2] * 8,
        width=latents.shape[-1] * 8,
        num_inference_steps=settings["steps"],
        guidance_scale=settings["guidance_scale"],
        guidance_rescale=settings.get("guidance_rescale") or 0.0,
        eta=settings.get("eta") or 0.0,
        generator=generator,
        output_type="latent",
        return_dict=False,
    )[0]
    return denoised


def _latents(tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], unet: Any) -> torch.Tensor:
    latents = tensors["latents"]
    if latents.ndim != 3 or latents.shape[0] != unet.config.in_channels:
        raise InputError(
            f"the latents are {tuple(latents.shape)}, and the model {settings['model']['name']!r} takes "
            f"{unet.config.in_channels} channels; use the model they were made with"
        )
    latents = latents.float() * _influence(settings, "latent_influence")
    return latents[None].to(unet.device, unet.dtype)  # (1, C, h, w)


def _embeddings(tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], unet: Any) -> dict[str, torch.Tensor]:
    wanted = ["prompt_embeds"] + ["negative_prompt_embeds"] * (settings["guidance_scale"] > 1)
    for name in wanted:
        if name not in tensors:
            half = "embedding" if name == "prompt_embeds" else "negative half of an embedding"
            way_out = "" if name == "prompt_embeds" else ", or guidance_scale: 1, which needs none"
            raise InputError(f"the latents come without the {half}; add the prompt they are to follow{way_out}")
    embeddings = {name: tensors[name].float() for name in wanted}
    widths = {name: tuple(embedding.shape) for name, embedding in embeddings.items()}
    fits = all(len(shape) == 2 and shape[1] == unet.config.cross_attention_dim for shape in widths.values())
    if not fits or len(set(widths.values())) > 1:
        raise InputError(
            f"the embedding is {' and '.join(map(str, widths.values()))}, and the model {settings['model']['name']!r} "
            f"takes tokens of width {unet.config.cross_attention_dim}; make the embedding with the same model"
        )
    embeddings["prompt_embeds"] = embeddings["prompt_embeds"] * _influence(settings, "prompt_influence")
    return {name: embedding[None].to(unet.device, unet.dtype) for name, embedding in embeddings.items()}  # (1, T, D)


def _influence(settings: Mapping[str, Any], name: str) -> float:
    factor = settings.get(name)
    return 1.0 if factor is None else float(factor)


def _loop(settings: Mapping[str, Any], notes: list[str]) -> Loop:
    steps = int(settings["steps"])
    start = _start(settings, steps)
    if not 0 <= start < steps:
        raise InputError(f"nothing is left to do: the loop would start at step {start} of {steps}; {_way_out(settings)}")
    ends = {name: settings.get(name) for name in ("stop_at", "end_at")}
    # A file that was stopped at step 12 still carries stop_at: 12 when it goes on from there.
    ahead = {name: int(end) for name, end in ends.items() if end is not None and end > start}
    if ends["end_at"] is not None and "end_at" not in ahead:
        notes.append(f"end_at {ends['end_at']} is not ahead of step {start}, where the loop starts, and was passed over")
    end = min([steps, *ahead.values()])
    return Loop(start, end, steps, finish=end < steps and ahead.get("end_at") == end)


def _way_out(settings: Mapping[str, Any]) -> str:
    return "raise strength or steps" if settings["state"] == "final" else "lower start_at or raise steps"


def _start(settings: Mapping[str, Any], steps: int) -> int:
    state, start_at, strength = settings["state"], settings.get("start_at"), settings.get("strength")
    if state == "partial":
        step = start_at if settings.get("step") is None else settings["step"]
        if step is None:
            raise InputError("the half-done latents do not say at which step they are; give it as start_at")
        return int(step)
    if state == "noise":
        return int(start_at or 0)
    if strength is not None:
        return steps - min(int(steps * strength), steps)
    if start_at is None:
        raise InputError(
            "these latents are finished: to change them (image-to-image) they need strength, from 0 (hardly) to 1 "
            "(all new), in NAME.yaml beside the file; to see them, put them into inbox/3-decode"
        )
    return int(start_at)


def _name(settings: Mapping[str, Any]) -> str | None:
    name = settings.get("scheduler")
    return None if name is None else canonical(name)


def _segment(
    models: Models,
    tensors: Mapping[str, torch.Tensor],
    settings: Mapping[str, Any],
    loop: Loop,
    notes: list[str],
    progress: Progress,
) -> Segment:
    model, name = Model.of(settings), _name(settings)
    scheduler = build(name, models.config(model, "scheduler"))
    try:
        scheduler.set_timesteps(loop.steps, device=model.device)
    except ValueError as error:
        raise InputError(f"the scheduler {name} cannot run {loop.steps} steps: {error}") from error
    if hasattr(scheduler, "alphas_cumprod") and scheduler.timesteps.max() > scheduler.config.num_train_timesteps - 1:
        # The offset of one step of Stable Diffusion's schedulers leaves the table when every timestep is wanted.
        raise InputError(f"the scheduler {name} cannot run {loop.steps} steps with this model; give fewer steps")
    resumed = settings["state"] == "partial" and loop.start > 0
    history = _history(tensors, settings, loop, notes) if resumed else None
    last = index_of(loop.end, loop.steps, scheduler)
    return Segment(
        scheduler,
        loop.steps,
        first=index_of(loop.start, loop.steps, scheduler),
        # The estimate of the finished latents is made at the first of the two timesteps of an order-2 step.
        last=index_of(loop.end - 1, loop.steps, scheduler) + 1 if loop.finish else last,
        history=history,
        unit_noise=settings["state"] == "noise",
        warm_up=resumed and history is None,
        finish=loop.finish,
        report=progress,
    )


def _history(
    tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], loop: Loop, notes: list[str]
) -> dict[str, Any] | None:
    saved = {key: tensor for key, tensor in tensors.items() if key.startswith(PREFIX)}
    history = unpack(saved, _name(settings), loop.steps, device=Model.of(settings).device)
    if history is not None and settings.get("painted"):
        notes.append(f"the latents were painted on, so the solver starts afresh at step {loop.start}")
        return None
    if history is None:
        notes.append(f"the file holds no history of the solver, which starts afresh at step {loop.start}")
    return history


def _generator(
    tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], latents: torch.Tensor, notes: list[str]
) -> torch.Generator:
    generator, state = torch.Generator("cpu"), settings["state"]
    if "generator_state" in tensors:
        return _restored(generator, tensors["generator_state"])
    seed = settings.get("seed")
    if seed is None:
        notes.append("no seed is known for these latents; noise that is added comes from seed 0")
    generator.manual_seed(seed or 0)
    if state != "final":
        torch.randn(latents.shape, generator=generator)
    if state == "partial":
        notes.append("the state of the random numbers was lost; a scheduler that adds noise goes on with other noise")
    return generator


def _restored(generator: torch.Generator, state: torch.Tensor) -> torch.Generator:
    try:
        return generator.set_state(state)
    except (RuntimeError, TypeError) as error:
        raise InputError("the generator state in the file is not readable; remove it, and give a seed") from error
