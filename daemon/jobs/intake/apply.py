"""Latents that wait, and paint on their proof -> a request for latents with the paint in them, without a step of the loop.

Whatever lies beside them goes into the record of the new ones: settings, words, a mask.
"""

from daemon.jobs.intake.embeddings import embedding_half, must_encode_text
from daemon.jobs.intake.files import (
    INPUT_KIND_OF_STATE,
    Files,
    InputSources,
    companion_settings,
    read_latents,
    recipe_settings,
    size_of,
)
from daemon.jobs.intake.masks import mask_of_latents
from daemon.jobs.intake.proofs import paint_on_proof
from daemon.jobs.intake.resolving import resolve_settings, with_seed
from daemon.jobs.request import Request
from daemon.settings.checking import layered
from daemon.settings.vocabulary import DECODE
from daemon.stages import APPLY_ENDINGS, STAGES
from daemon.stages.loop import PAINT


def asks_to_apply(files: Files) -> bool:
    """Whether the paint on a proof is to be taken, and the latents go on waiting."""
    return any(role in files.members for role in APPLY_ENDINGS)


def read_apply(stage: str, files: Files, sources: InputSources) -> Request:
    """Read latents that wait for a stage, what lies beside them, and what was painted on their proof."""
    artifact = read_latents(files, sources)
    loops = STAGES[stage].loops
    beside, ignored = companion_settings(files, sources.config, INPUT_KIND_OF_STATE[artifact.header.state] if loops else DECODE)
    settings = resolve_settings(layered(recipe_settings(artifact), beside, size_of(artifact)), files.name, sources.config)
    half, found = embedding_half(files, sources) if loops else ({}, ())
    mask, told_mask = mask_of_latents(files, artifact, limit=sources.config.limits.pixels) if loops else ({}, ())
    paint, told = paint_on_proof(files, artifact, sources)
    kept = {name: tensor for name, tensor in artifact.tensors.items() if name not in PAINT}
    tensors = {**kept, **half, **mask, **paint}
    words = {"prompt", "negative_prompt", "clip_skip", "model", "loras"} & beside.keys()
    encodes_text = loops and bool(words) and must_encode_text(tensors, beside, files, artifact)
    return Request(
        stage,
        with_seed(settings),
        # A name is given once.
        {key: value for key, value in {**artifact.header.recipe, **beside}.items() if key != "name"},
        tensors,
        artifact,
        artifact.header.history,
        artifact.notes + found + ignored + told_mask + told,
        encodes_text,
        applies=True,
        software=artifact.header.software,
    )
