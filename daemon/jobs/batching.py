"""Which calls may run as one batch: those of an equal key. Nothing here imports torch: the front process asks.

A picture of a batch differs from the same picture alone in the last bits (sums are made in another order), so only those go
together that ask for speed, `fast: true`. Half-done latents, masks and whatever else is a picture's own run alone.
"""

import json

from daemon.jobs.request import StageCall
from daemon.settings.vocabulary import REGISTRY, Batch
from daemon.stages.loop import HELD, PAINT

OF_A_PICTURE = frozenset({"seeds", "variation_seeds", *(key for key, setting in REGISTRY.items() if setting.batch is Batch.OWN)})
ALONE = ("preview_every", "enlarged", *(key for key, setting in REGISTRY.items() if setting.batch is Batch.ALONE))


def batch_key(call: StageCall) -> str | None:
    """The key of a call; None where it runs alone."""
    settings = call.settings
    if call.stage != "diffuse" or not settings.get("fast") or settings.get("state") != "noise":
        return None
    if not call.tensors.keys().isdisjoint(("mask", *PAINT, *HELD)) or any(settings.get(name) is not None for name in ALONE):
        return None
    shapes = {name: array.shape for name, array in sorted(call.tensors.items())}
    common = {name: value for name, value in sorted(settings.items()) if name not in OF_A_PICTURE}
    return json.dumps([call.stage, shapes, common], default=str, sort_keys=True)
