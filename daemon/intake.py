"""The files of one job -> a request: tensors, settings, and what is known of their history.

One of the two hands of `job.py` (the other is `results.py`). Here the precedence of settings is decided: the settings file beside
an artifact, then the artifact's own metadata, then config.yaml.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiffsd
from daemon.config import Config
from daemon.decoding import read_artifact
from daemon.errors import InputError
from daemon.names import shown, stem_of
from daemon.originals import AMBIGUOUS, NO_ORIGINAL, compared
from daemon.pictures import read_photo, read_recipe
from daemon.plain_yaml import parse_yaml
from daemon.prompts import Prompt, parse_prompt, refuse_unsupported
from daemon.request import EMBEDDING_TENSORS, Request, Tensors
from daemon.settings import PIXELS_PER_LATENT, Settings, checked, layered

# Image-to-image needs a strength; a picture dropped with a prompt and no strength gets this one, and the recipe says so.
STRENGTH_OF_A_PICTURE = 0.6
# Settings that the stage which honours them uses up; a recipe that kept them would do them again.
USED_UP = {
    "text": ("count", "save_embedding", "then", "strength"),
    "diffuse": ("count", "save_embedding", "then", "stop_at"),
    "decode": ("count", "save_embedding", "then", "priority"),
    "encode": ("count", "save_embedding", "then"),
}
# The values at which these settings do nothing: recorded, so that other defaults tomorrow do not change a recipe of today.
NEUTRAL = {"clip_skip": 1, "eta": 0.0, "guidance_rescale": 0.0, "prompt_influence": 1.0, "latent_influence": 1.0}
# What a stage's result depends on: recorded also where it came from the defaults, which may be others tomorrow.
DEPENDS_ON = {
    "text": ("model", "vae", "width", "height", "clip_skip"),
    "diffuse": (
        *(
            "model",
            "width",
            "height",
            "seed",
            "steps",
            "guidance_scale",
            "guidance_rescale",
            "scheduler",
            "eta",
            "start_at",
            "end_at",
            "aesthetic_score",
        ),
        *("prompt_influence", "latent_influence"),
    ),
    "decode": ("model", "vae", "width", "height"),
    "encode": ("model", "vae", "width", "height", "seed", "strength"),
}


Notes = tuple[str, ...]

# Where an artifact can go that was dropped into a stage that cannot take it.
TAKERS = {
    tiffsd.Kind.LATENTS: "inbox/2-diffuse, or inbox/3-decode where they are denoised",
    tiffsd.Kind.EMBEDDING: "embeddings/, and `embedding: NAME` in a settings file uses it",
    tiffsd.Kind.PICTURE: "inbox/encode",
}


@dataclass(frozen=True)
class Files:
    """The files of one job by role, with the names people gave them; `principal` is the one the job is about.

    `spoken` are settings said on the command line; they win over all others.
    """

    members: Mapping[str, Path]
    names: Mapping[str, str]
    spoken: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.names["principal"]

    def data(self, role: str, limit: int) -> bytes:
        """The bytes of a small member. Raises InputError where it is larger than `limit` bytes."""
        with self.members[role].open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InputError(f"{self.names[role]}: this is larger than {limit} bytes; a prompt or a settings file is short text")
        return data


@dataclass(frozen=True)
class Shelves:
    """Where a request may look besides its own files: saved embeddings and kept originals."""

    config: Config
    embeddings: Path
    keep: Path | None = None


def read_request(stage: str, files: Files, shelves: Shelves) -> Request:
    """Read the files of a job for a stage. Raises InputError or TiffsdError with a sentence for the person who dropped them."""
    if files.members["principal"].stat().st_size > shelves.config.limits.file_bytes:
        raise InputError(
            f"{files.name}: the file is larger than limits.file_bytes in config.yaml ({shelves.config.limits.file_bytes} bytes)"
        )
    return READERS[stage](files, shelves)


@contextmanager
def _naming_the_taker(files: Files) -> Iterator[None]:
    """Say of a stray artifact which stage can take it."""
    try:
        yield
    except tiffsd.WrongKind as error:
        raise InputError(f"{error}: {TAKERS[tiffsd.inspect(files.members['principal'], name=files.name).kind]}") from error


def _read_text(files: Files, shelves: Shelves) -> Request:
    prompt = _prompt_or_recipe(files, shelves.config)
    given = layered(prompt.settings, _spoken_beside(files, shelves.config))
    settings = _with_seed(_settle(given, files.name, shelves.config))
    tensors, found = _saved_embedding(settings.embedding, shelves)
    notes = prompt.notes + found
    if settings.strength is not None:
        notes += ("strength is for pictures and finished latents; a prompt starts from noise, so it is passed over",)
    if "negative_prompt_embeds" in tensors and settings.negative_prompt:
        notes += (f"the saved embedding {settings.embedding!r} brings its own negative prompt; the one given is passed over",)
        given.pop("negative_prompt", None)
    elif not tensors:
        given["negative_prompt"] = settings.negative_prompt or ""
    recipe = _recipe("text", settings, {**given, "seed": settings.seed})
    return Request("text", settings, recipe, tensors, notes=notes)


def _read_diffuse(files: Files, shelves: Shelves) -> Request:
    artifact = _read_latents(files, shelves)
    beside = _spoken_beside(files, shelves.config)
    late = _too_late(artifact, beside)
    settings = _settle(layered(_said_by_now(artifact), beside, _size_of(artifact)), files.name, shelves.config)
    half, found = _embedding_half(files, shelves)
    saved, found_saved = _saved_embedding(beside.get("embedding"), shelves)
    tensors = {**artifact.tensors, **half, **saved}
    encodes_text = _must_encode_text(tensors, beside, files, artifact)
    _check_startable(artifact, settings, files.name)
    notes = artifact.notes + found + found_saved + late
    said = artifact.header.recipe.get("model", settings.model)
    if artifact.header.state is tiffsd.State.PARTIAL and said != settings.model:
        notes += (f"the steps so far were made with {said!r}, and the recipe names one model only: it cannot repeat that",)
    if settings.seed is None:
        settings = _with_seed(settings)
        notes += (f"the file names no seed; {settings.seed} is used for the noise that the scheduler adds",)
    recipe = _recipe("diffuse", settings, {**artifact.header.recipe, **beside})
    if encodes_text:
        recipe.pop("embedding", None)
    return Request("diffuse", settings, recipe, tensors, artifact, artifact.header.history, notes, encodes_text)


def _read_decode(files: Files, shelves: Shelves) -> Request:
    artifact = _read_latents(files, shelves)
    beside = _spoken_beside(files, shelves.config)
    settings = _settle(layered(_said_by(artifact), beside, _size_of(artifact)), files.name, shelves.config)
    notes = artifact.notes
    if artifact.header.state is not tiffsd.State.FINAL:
        notes += (f"these latents are {_described(artifact)}, decoded as they are",)
    recipe = _recipe("decode", settings, {**artifact.header.recipe, **beside})
    said = artifact.header.recipe.get("model", settings.model)
    if said != settings.model:
        notes += (f"decoded with {settings.model!r}, while the latents were made with {said!r}: the recipe cannot repeat that",)
    tensors = {"latents": artifact.tensors["latents"]}
    return Request("decode", settings, recipe, tensors, artifact, artifact.header.history, notes)


def _read_encode(files: Files, shelves: Shelves) -> Request:
    path, config = files.members["principal"], shelves.config
    beside = _spoken_beside(files, config)
    own = _own_recipe(files, config, needed=not {"prompt", "embedding"} & beside.keys())
    given, notes = layered(own.settings, beside), own.notes
    if {"prompt", "embedding"} & given.keys() and given.get("strength") is None:
        given["strength"] = STRENGTH_OF_A_PICTURE
        notes += (f"no strength was given for image-to-image; {STRENGTH_OF_A_PICTURE} is used",)
    if (given.get("count") or 1) > 1:
        notes += ("count is for prompts; a picture is encoded once",)
    settings = _with_seed(_settle(given, files.name, config))
    size = (beside.get("width"), beside.get("height"))
    with _naming_the_taker(files):
        picture, done_to_it = read_photo(path, files.name, size=size, limit=config.limits.pixels)
    settings = settings.model_copy(update={"height": picture.shape[0], "width": picture.shape[1]})
    saved, found = _saved_embedding(settings.embedding, shelves)
    tensors = {"picture": picture, **saved}
    encodes_text = bool(given.get("prompt")) and "prompt_embeds" not in tensors
    recipe = _recipe("encode", settings, given)
    return Request("encode", settings, recipe, tensors, notes=notes + found + done_to_it, encodes_text=encodes_text)


READERS = {"text": _read_text, "diffuse": _read_diffuse, "decode": _read_decode, "encode": _read_encode}


def _own_recipe(files: Files, config: Config, *, needed: bool) -> Prompt:
    """The recipe in a picture that is encoded; one that cannot be used is no hindrance where a prompt lies beside it."""
    try:
        return read_recipe(files.members["principal"], files.name, config)
    except InputError as error:
        if needed:
            raise
        return Prompt({}, (f"the recipe in the picture is passed over: {error}",))


def _prompt_or_recipe(files: Files, config: Config) -> Prompt:
    if Path(files.name).suffix.lower() != ".png":
        return parse_prompt(files.data("principal", 4 * config.limits.characters), files.name, characters=config.limits.characters)
    recipe = read_recipe(files.members["principal"], files.name, config)
    if not {"prompt", "embedding"} & recipe.settings.keys():
        raise InputError(f"{files.name}: there is no recipe in this picture; to make latents of it, drop it into inbox/encode")
    # The recipe of one picture makes one picture, whatever the defaults say.
    return Prompt({"count": 1, **recipe.settings}, recipe.notes)


def _spoken_beside(files: Files, config: Config) -> dict[str, Any]:
    """What the companions say: NAME.txt, NAME_neg.txt, then NAME.yaml, which wins."""
    limit = 4 * config.limits.characters
    spoken: dict[str, Any] = {}
    if ".txt" in files.members:
        spoken |= parse_prompt(files.data(".txt", limit), files.names[".txt"], characters=config.limits.characters).settings
    if "_neg.txt" in files.members:
        spoken["negative_prompt"] = _plain_text(files.data("_neg.txt", limit), files.names["_neg.txt"])
    for role in (".yaml", ".yml"):
        if role in files.members:
            name = files.names[role]
            spoken |= checked(parse_yaml(_plain_text(files.data(role, limit), name), name), name).given()
    return {**spoken, **files.spoken}


def _plain_text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InputError(f"{name}: this is not UTF-8 text; save it as UTF-8") from None


def _settle(given: Mapping[str, Any], where: str, config: Config, *, defaults: Mapping[str, Any] | None = None) -> Settings:
    settings = checked(layered(config.defaults_for(given.get("model")) if defaults is None else defaults, given), where)
    limits = config.limits
    for key, limit in (("steps", limits.steps), ("count", limits.count)):
        if (getattr(settings, key) or 0) > limit:
            raise InputError(f"{where}: {key} is {getattr(settings, key)}, the limit is {limit} (limits.{key} in config.yaml)")
    if (settings.width or 0) * (settings.height or 0) > limits.pixels:
        raise InputError(
            f"{where}: {settings.width}x{settings.height} is more than {limits.pixels} pixels (limits.pixels in config.yaml)"
        )
    for text in (settings.prompt, settings.negative_prompt):
        refuse_unsupported(text or "", where)
        if len(text or "") > limits.characters:
            raise InputError(
                f"{where}: a prompt of {len(text or '')} characters exceeds {limits.characters} (limits.characters in config.yaml)"
            )
    return settings


def _read_latents(files: Files, shelves: Shelves) -> tiffsd.Artifact:
    path = files.members["principal"]
    with _naming_the_taker(files):
        artifact = read_artifact(path, expect=tiffsd.Kind.LATENTS, name=files.name)
    return artifact if shelves.keep is None else compared(artifact, path, name=files.name, keep=shelves.keep)


def _size_of(artifact: tiffsd.Artifact) -> dict[str, int]:
    _, rows, columns = artifact.tensors["latents"].shape
    return {"width": columns * PIXELS_PER_LATENT, "height": rows * PIXELS_PER_LATENT}


def _embedding_half(files: Files, shelves: Shelves) -> tuple[Tensors, Notes]:
    for role in ("_prompt", "_textstate1"):
        if role in files.members:
            return _embedding(files.members[role], files.names[role], shelves)
    return {}, ()


def _saved_embedding(name: str | None, shelves: Shelves) -> tuple[Tensors, Notes]:
    if name is None:
        return {}, ()
    path = shelves.embeddings / f"{name}.tiff"
    if path.is_symlink() or not path.is_file():
        saved = ", ".join(sorted(found.stem for found in shelves.embeddings.glob("*.tiff"))) or "none"
        raise InputError(f"there is no saved embedding {name!r}; saved are: {saved}; save one with `save_embedding: NAME`")
    return _embedding(path, path.name, shelves)


def _embedding(path: Path, name: str, shelves: Shelves) -> tuple[Tensors, Notes]:
    artifact = read_artifact(path, expect=tiffsd.Kind.EMBEDDING, name=name)
    if shelves.keep is not None:
        artifact = compared(artifact, path, name=name, keep=shelves.keep)
    tensors = {tensor: artifact.tensors[tensor] for tensor in EMBEDDING_TENSORS if tensor in artifact.tensors}
    return tensors, tuple(f"{shown(name)}: {note}" for note in artifact.notes)


def _must_encode_text(tensors: Tensors, beside: Mapping[str, Any], files: Files, artifact: tiffsd.Artifact) -> bool:
    """Whether the prompt has to be encoded first: there is no embedding, or a person changed the words beside it."""
    said = artifact.header.recipe
    words = ("prompt", "negative_prompt", "clip_skip", "model")
    changed = "embedding" not in beside and any(beside[key] != said.get(key) for key in words if key in beside)
    if "prompt" in {**said, **beside}:
        return changed or "prompt_embeds" not in tensors
    if "prompt_embeds" in tensors:
        if "negative_prompt" in beside:
            raise InputError(
                f"{files.name}: a negative prompt lies beside these latents, but the words of their prompt are not known, and both "
                f"are encoded together; put the prompt beside them as {shown(stem_of(files.name))}.txt, or take the negative away"
            )
        return False
    stem = shown(stem_of(files.name))
    why = next((note for note in artifact.notes if note.startswith((NO_ORIGINAL, AMBIGUOUS))), "none lies beside them")
    raise InputError(
        f"{files.name}: these latents have no embedding, and {why}; drop the prompt as {stem}.txt beside them, or a settings file "
        f"{stem}.yaml with a line `prompt: ...`, or `embedding: NAME` for a saved one"
    )


def _check_startable(artifact: tiffsd.Artifact, settings: Settings, name: str) -> None:
    if artifact.header.state is tiffsd.State.FINAL and settings.strength is None:
        raise InputError(
            f"{name}: these latents are finished, so there is nothing left to denoise; give a `strength` between 0 and 1 in the "
            f"settings file {shown(stem_of(name))}.yaml to make them anew (image-to-image), "
            "or drop them into inbox/3-decode to make a picture"
        )


def _described(artifact: tiffsd.Artifact) -> str:
    header = artifact.header
    if header.state is tiffsd.State.PARTIAL:
        return f"half-done (step {header.step} of {header.steps})"
    return "pure noise"


def _said_by(artifact: tiffsd.Artifact) -> dict[str, Any]:
    """The settings in an artifact's record that this version knows; the others are carried on in its recipe."""
    return {key: value for key, value in artifact.header.recipe.items() if key in Settings.model_fields}


def _said_by_now(artifact: tiffsd.Artifact) -> dict[str, Any]:
    """The same for the next loop: where one has finished, the factor of the latents is used up and counts only if said anew."""
    said = _said_by(artifact)
    if artifact.header.state is tiffsd.State.FINAL and any(entry.get("stage") == "diffuse" for entry in artifact.header.history):
        said.pop("latent_influence", None)
    return said


def _too_late(artifact: tiffsd.Artifact, beside: dict[str, Any]) -> Notes:
    """Take out, in place, what counts only where a loop begins; and say so."""
    if artifact.header.state is tiffsd.State.PARTIAL and beside.pop("latent_influence", None) is not None:
        return ("latent_influence counts where the loop begins, and these latents are half-done; it is passed over",)
    return ()


def _recipe(stage: str, settings: Settings, said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, and what the stage's result depends on, without what the stage uses up."""
    values = {key: getattr(settings, key) for key in DEPENDS_ON[stage]}
    used = {key: value for key in values if (value := NEUTRAL.get(key) if values[key] is None else values[key]) is not None}
    return {key: value for key, value in {**said, **used}.items() if key not in USED_UP[stage]}


def _with_seed(settings: Settings) -> Settings:
    return settings if settings.seed is not None else settings.model_copy(update={"seed": secrets.randbelow(2**32)})
