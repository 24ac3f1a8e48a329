"""Paint that outlives the loop: latents with paint on them, and what the loop holds of it, as a file carries it from stop to stop.

Half-done latents are a x0 + s n. Where x0 was painted on, D is added to it and n stays: so the latents change by a D, and after
each step the loop puts x0 + D back there, with n at the level of the next timestep, as it does with the picture outside of a mask.
One change of the latents alone would be denoised away. Noise is half-done latents before the first step.

    C latent channels   h, w latent height and width   D the difference that the paint makes
"""

from collections.abc import Mapping

import torch

from daemon.errors import InputError
from daemon.models.masking import MASK, MASKED, PICTURE, Inpainting, hardened
from daemon.models.overlaying import OVERLAY_MASK, opened
from daemon.models.partial_schedule import PartialSchedule
from daemon.models.solver_state import PREFIX
from daemon.models.stage_settings import StageFacts, StageSettings
from daemon.stages.loop import CLEAN, HELD, HELD_LATENTS, HELD_MASK, HELD_NOISE, PAINT
from daemon.stages.painting import Paint

HALF_DONE = ("noise", "partial")

Tensors = dict[str, torch.Tensor]


def with_paint(
    paint: Paint, tensors: Mapping[str, torch.Tensor], settings: StageSettings, schedule: PartialSchedule | None = None
) -> Tensors:
    """Return what belongs to latents (C, h, w) once paint is on them: held_mask, held_latents and held_noise too of half-done ones.

    `schedule` is the rest of the loop of half-done latents, or of noise; there is none of finished ones. The memory of the solver,
    which does not fit them, and what only says what was painted are left out. Raises InputError where the paint that is held
    already does not fit the latents."""
    out = {name: tensor for name, tensor in tensors.items() if name not in PAINT and not name.startswith(PREFIX)}
    latents = out["latents"][None].to(paint.difference)
    if schedule is None:
        out = {name: tensor for name, tensor in out.items() if name not in HELD}
        return {**out, **_beside(paint, out), "latents": paint.on(latents)[0].cpu()}
    a, s = schedule.factors()
    # Noise is stored as it was drawn; the loop begins with this many times as much of it.
    scale = _scale(schedule, settings) if settings["state"] == "noise" else 1.0
    taken = paint.on(latents, a / scale) if scale else latents
    held = _joined(paint.held(latents * scale, a, s), out)
    return {**out, **_beside(paint, out), **held, "latents": taken[0].cpu()}


def held_for(tensors: Mapping[str, torch.Tensor], latents: torch.Tensor) -> Inpainting | None:
    """Return the paint that a loop on latents (1, C, h, w) holds, as its mask and picture; None where there is none.

    Raises InputError where it does not fit the latents."""
    if HELD_MASK not in tensors:
        return None
    mask = _checked(tensors, latents.shape)[HELD_MASK].float()
    if not bool(mask.any()):
        return None
    picture, noise = (tensors[name][None].to(latents) for name in (HELD_LATENTS, HELD_NOISE))
    return Inpainting((1 - mask).to(latents).expand(latents.shape), picture, noise)


def hold(schedule: PartialSchedule, held: Inpainting | None, settings: StageSettings) -> None:
    """Let a loop hold paint, as the loop takes latents, as long as `paint_hold` says."""
    if held is not None:
        schedule.hold(held, _until(settings))


def facts_of_hold(
    tensors: Mapping[str, torch.Tensor], schedule: PartialSchedule, settings: StageSettings, *, steps: int, stops: bool
) -> tuple[StageFacts, list[str]]:
    """Return what is to be recorded of the paint that a loop of `steps` held, and the sentence on it; `stops` says that it is not
    at its end."""
    blocks = int((tensors[HELD_MASK] > 0).sum()) if HELD_MASK in tensors else 0
    until = _until(settings)
    if not blocks:
        idle = settings.get("paint_hold") is not None and not stops
        return {}, ["paint_hold ignored: no paint is held at these steps"] if idle else []
    if schedule.held_step is None:
        said = f"what was painted ({_blocks(blocks)}) was put in, and not held (paint_hold {until:g})"
    elif stops and schedule.holds:
        said = f"what was painted ({_blocks(blocks)}) is held, also when the loop goes on (paint_hold {until:g})"
    else:
        said = f"what was painted ({_blocks(blocks)}) was held until step {schedule.held_step} of {steps} (paint_hold {until:g})"
    return {"paint_hold": until}, [said]


def told(paint: Paint) -> str:
    """Return how much was painted, in a sentence."""
    count, of = int(paint.blocks.sum()), paint.blocks.numel()
    return f"painted on its proof: {count} of {_blocks(of)} ({count / of:.0%})"


def _blocks(count: int) -> str:
    return f"{count} block{'' if count == 1 else 's'}"


def _until(settings: StageSettings) -> float:
    said = settings.get("paint_hold")
    return CLEAN if said is None else said


def _scale(schedule: PartialSchedule, settings: StageSettings) -> float:
    influence = settings.get("latent_influence")
    return float(schedule.scaled(torch.ones(()))) * (1.0 if influence is None else influence)


def _beside(paint: Paint, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """The picture of before under a mask of the person's own, with the paint on it: so it shows there too."""
    found, blocks = dict[str, torch.Tensor](), paint.blocks.cpu()
    if PICTURE in tensors:
        found[PICTURE] = paint.on(tensors[PICTURE][None].to(paint.difference))[0].cpu()
    if MASKED in tensors and MASK in tensors:
        seen = hardened(tensors[MASK], (blocks.shape[0], blocks.shape[1])) < 1
        found[MASKED] = torch.where(blocks & seen, paint.on(tensors[MASKED][None].to(paint.difference))[0].cpu(), tensors[MASKED])
    if OVERLAY_MASK in tensors:
        found[OVERLAY_MASK] = opened(tensors[OVERLAY_MASK], blocks)
    return found


def _joined(new: Inpainting, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """What is held by a file: the new paint where it is, beside it what was held before."""
    assert new.picture is not None
    assert new.noise is not None
    blocks = new.mask[0, 0].cpu() == 0
    mask, picture, noise = blocks, *(torch.where(blocks, part[0].cpu(), 0.0) for part in (new.picture, new.noise))
    if HELD_MASK in tensors:
        before = _checked(tensors, new.picture.shape)
        mask = torch.where(blocks, torch.ones_like(before[HELD_MASK]), before[HELD_MASK])
        picture, noise = (
            torch.where(blocks, one, before[name].to(one)) for one, name in ((picture, HELD_LATENTS), (noise, HELD_NOISE))
        )
    return {HELD_MASK: mask, HELD_LATENTS: picture, HELD_NOISE: noise}


def _checked(tensors: Mapping[str, torch.Tensor], shape: torch.Size) -> Mapping[str, torch.Tensor]:
    wanted = {HELD_MASK: shape[2:], HELD_LATENTS: shape[1:], HELD_NOISE: shape[1:]}
    wrong = [name for name in HELD if name not in tensors or tensors[name].shape != wanted[name]]
    if wrong:
        raise InputError(
            f"these latents bring paint that is to be held, and of it {', '.join(wrong)} is missing or of another size than the "
            "latents; paint on their proof anew, and take held_mask, held_latents and held_noise out of the file"
        )
    return tensors
