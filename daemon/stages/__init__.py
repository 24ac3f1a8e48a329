"""The pipeline as a table: what each stage takes, what it gives, and where the result goes next.

    text     prompt, or a picture with a recipe  -> unit noise + embedding, married   -> diffuse
    diffuse  latents + embedding                 -> denoised latents                  -> decode
    decode   denoised latents                    -> picture                           -> pictures/
    encode   picture (and perhaps a prompt)      -> latents                           -> diffuse, or hold/3-decode
    invert   latents or a picture, and a prompt  -> the noise that makes them         -> hold/2-diffuse

The table holds facts only. All that knows the stages is keyed by its names, or made from it: the folders, the order of the scan,
the readers (`daemon/jobs/intake/readers.py`), the commands (`daemon/commands/steps.py`). The maths of a stage is the function `run`
of the module of the same name: torch tensors in, torch tensors out. Nothing here imports torch, because the front process reads
this table too (law 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

TIFFS = (".tif", ".tiff")
# Artifacts in the forms of other programs, which carry a record as a TIFF does: OpenEXR, and latents of ComfyUI.
EXR, COMFYUI = (".exr",), (".latent",)
RECORDED = (*TIFFS, *EXR)
LATENTS = (*RECORDED, *COMFYUI)
# Those that may carry a recipe, and those that are read for their pixels only.
CODED = (".png", ".jpg", ".jpeg", ".jfif", ".webp")
PICTURES = (*CODED, *RECORDED)
PHOTOS = (".gif", ".bmp", ".heic", ".heif", ".avif", ".jxl")
PROMPTS = (".txt", ".md", ".json")
MASK_ENDING = "_mask.png"
# What a proof may be saved as: the picture that would come of latents, which lies beside them.
PROOF_ENDINGS = (".proof.png", ".proof.tif", ".proof.tiff", ".proof.jpg", ".proof.jpeg", ".proof.webp")
# An empty file of this ending beside latents that wait asks for the paint on their proof to be taken now; the last is what it is
# called where endings are hidden, as Windows does.
APPLY_ENDINGS = (".apply", ".tif.apply", ".tiff.apply", ".proof.apply", ".apply.txt")


class Gives(Enum):
    """What the result of a stage is: noise for each seed, latents, or a finished picture."""

    NOISE = auto()
    LATENTS = auto()
    PICTURE = auto()


@dataclass(frozen=True)
class Stage:
    """One stage as its folder sees it: which file names start a job, and which go with them.

    `halves` maps the ending of a file that is half of a job to the ending of the half it waits for. `companions` are endings that
    never start a job; they must be there when the principal is ready. `instead` names the stage that takes an extension this one
    refuses. `gives` is what its result is, `next` the stage that takes it, and where it is `held`, it waits there for a person.
    `adapted` stages run a part of the model that LoRAs change, one that `loops` takes steps, and an `exact` one is so also where
    somebody asks for speed.
    """

    name: str
    folder: str
    extensions: tuple[str, ...]
    companions: tuple[str, ...] = (".yaml", ".yml")
    halves: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    gives: Gives = Gives.LATENTS
    next: str | None = None
    held: bool = False
    adapted: bool = False
    loops: bool = False
    exact: bool = False


TEXT = Stage(
    "text",
    "1-text",
    extensions=(*PROMPTS, *PICTURES),
    companions=(".yaml", ".yml", "_neg.txt"),
    instead={**dict.fromkeys(PHOTOS, "encode"), **dict.fromkeys(COMFYUI, "diffuse")},
    gives=Gives.NOISE,
    next="diffuse",
    adapted=True,
    exact=True,  # the embedding of a prompt is the same for all: it is cheap, and people keep it
)
DIFFUSE = Stage(
    "diffuse",
    "2-diffuse",
    extensions=LATENTS,
    companions=(".yaml", ".yml", *PROMPTS, "_neg.txt", MASK_ENDING, *PROOF_ENDINGS, *APPLY_ENDINGS),
    halves={"_latent": "_prompt", "_prompt": "_latent", "_state1": "_textstate1", "_textstate1": "_state1"},
    instead=dict.fromkeys((*CODED, *PHOTOS), "encode"),
    next="decode",
    adapted=True,
    loops=True,
)
DECODE = Stage(
    "decode",
    "3-decode",
    extensions=LATENTS,
    companions=(".yaml", ".yml", *PROOF_ENDINGS, *APPLY_ENDINGS),
    instead={**dict.fromkeys(PROMPTS, "text"), **dict.fromkeys((*CODED, *PHOTOS), "encode")},
    gives=Gives.PICTURE,
)
ENCODE = Stage(
    "encode",
    "encode",
    extensions=(*PICTURES, *PHOTOS),
    companions=(".yaml", ".yml", *PROMPTS, "_neg.txt", MASK_ENDING),
    instead=dict.fromkeys(COMFYUI, "decode"),
    next="diffuse",
)

INVERT = Stage(
    "invert",
    "invert",
    extensions=(*PICTURES, *PHOTOS, *COMFYUI),
    companions=(".yaml", ".yml", *PROMPTS, "_neg.txt"),
    next="diffuse",
    held=True,
    adapted=True,
    loops=True,
    exact=True,  # an inversion is worth its exactness only
)

APPLY = "apply"
"""What is computed as a stage is and is none, because no folder is for it: paint is put into latents, by the VAE alone."""

STAGES: Mapping[str, Stage] = {stage.name: stage for stage in (TEXT, DIFFUSE, DECODE, ENCODE, INVERT)}


def downstream_first(stages: Mapping[str, Stage] = STAGES) -> tuple[str, ...]:
    """The names of all stages, those nearest to the picture first: what is nearly done is finished before a new one is begun."""

    def steps_ahead(name: str) -> int:
        seen: list[str] = []
        following: str | None = name
        while following is not None and following not in seen:
            seen.append(following)
            following = stages[following].next
        return len(seen)

    return tuple(sorted(reversed(list(stages)), key=steps_ahead))
