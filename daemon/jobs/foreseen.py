"""What a stage would refuse of a request because it does not belong to the model, told without loading that or torch."""

from contextlib import suppress

from daemon.jobs.request import Request
from daemon.models import fits
from daemon.models.described import Described
from daemon.models.families.family import T5
from daemon.models.schedulers import fitting, paired
from daemon.models.stage_settings import StageSettings
from daemon.models.unreadable import UnreadableModel
from daemon.stages import STAGES


def check_fits(request: Request, settings: StageSettings) -> None:
    """Raise InputError, with the sentence of the stage, where a request does not fit its model as far as that lies on this disk."""
    with suppress(UnreadableModel, KeyError):  # of which nothing tells, the stage will
        model = Described(settings["model"])
        if request.encodes_text or (request.stage == "text" and not request.tensors):
            _check_scheduler(settings, model)
            _check_clip_skip(settings, model)
        if request.stage == "decode":
            fits.check_decodable(request.tensors["latents"].shape, settings["model"]["name"], model.config("vae"))
        elif STAGES[request.stage].loops:
            _check_tensors(request, settings, model)
        if request.stage == "diffuse":
            _check_scheduler(settings, model)


def _check_scheduler(settings: StageSettings, model: Described) -> None:
    if (said := settings.get("scheduler")) is not None:
        name, family = paired(said, settings.get("schedule")).scheduler, model.family
        fitting(name, flow=family.flow, family=family.name, default=family.default_scheduler)


def _check_clip_skip(settings: StageSettings, model: Described) -> None:
    skip = settings.get("clip_skip")
    if skip and model.family.skippable:
        encoders = [model.config(name) for name in model.family.skippable if model.family.components[name][1] != T5[1]]
        fits.check_clip_skip(skip, min((int(config["num_hidden_layers"]) for config in encoders), default=skip))


def _check_tensors(request: Request, settings: StageSettings, model: Described) -> None:
    name, family, denoiser = settings["model"]["name"], model.family, model.config(model.family.denoiser)
    shapes = {key: tensor.shape for key, tensor in request.tensors.items()}
    wanted = fits.wanted_of_embedding(family, denoiser, model.index, settings["guidance_scale"])
    if not request.encodes_text:
        fits.check_whole(shapes.keys(), wanted)
        fits.check_embedding({key: shapes[key] for key in wanted}, name, family, denoiser, model.index)
    if "latents" in shapes:
        fits.check_latents(shapes["latents"], name, family, denoiser)
