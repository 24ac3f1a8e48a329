"""The files of one job -> a request: tensors, settings, and what is known of their history.

One of the two hands of `job.py` (the other is `results.py`). Here the precedence of settings is decided: the settings file beside
an artifact, then the artifact's own metadata, then config.yaml.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import tiffsd
from daemon.config import Config, parse_yaml
from daemon.errors import InputError
from daemon.names import id_of, shown, stem_of
from daemon.pictures import read_photo, read_recipe
from daemon.prompts import Prompt, parse_prompt, refuse_unsupported
from daemon.request import EMBEDDING_TENSORS, Request, Tensors
from daemon.settings import PIXELS_PER_LATENT, Settings, checked, layered

# Image-to-image needs a strength; a picture dropped with a prompt and no strength gets this one, and the recipe says so.
STRENGTH_OF_A_PICTURE = 0.6
# Settings that the stage which honours them uses up; a recipe that kept them would do them again.
USED_UP = {
    "text": ("count", "save_embedding", "then"),
    "diffuse": ("then", "stop_at"),
    "decode": ("then",),
    "encode": ("count", "save_embedding", "then"),
}
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
        ),
        *("prompt_influence", "latent_influence"),
    ),
    "decode": ("model", "vae", "width", "height"),
    "encode": ("model", "vae", "width", "height", "seed", "strength"),
}


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
    try:
        return READERS[stage](files, shelves)
    except tiffsd.WrongKind as error:
        raise InputError(f"{error}: {TAKERS[tiffsd.inspect(files.members['principal'], name=files.name).kind]}") from error


def _read_text(files: Files, shelves: Shelves) -> Request:
    prompt = _prompt_or_recipe(files, shelves.config)
    given = layered(prompt.settings, _spoken_beside(files, shelves.config))
    settings = _with_seed(_settle(given, files.name, shelves.config))
    words = {"negative_prompt": settings.negative_prompt or "", "seed": settings.seed}
    tensors = _saved_embedding(settings.embedding, shelves)
    return Request("text", settings, _recipe("text", settings, {**given, **words}), tensors, notes=prompt.notes)


def _read_diffuse(files: Files, shelves: Shelves) -> Request:
    artifact = _read_latents(files, shelves)
    beside = _spoken_beside(files, shelves.config)
    settings = _settle(layered(_said_by(artifact), beside, _size_of(artifact)), files.name, shelves.config)
    tensors = {**artifact.tensors, **_embedding_half(files), **_saved_embedding(beside.get("embedding"), shelves)}
    encodes_text = _must_encode_text(tensors, beside, files, artifact)
    _check_startable(artifact, settings, files.name)
    notes = artifact.notes
    if settings.seed is None:
        settings = _with_seed(settings)
        notes += (f"the file names no seed; {settings.seed} is used for the noise that the scheduler adds",)
    recipe = _recipe("diffuse", settings, {**artifact.header.recipe, **beside})
    return Request("diffuse", settings, recipe, tensors, artifact, artifact.header.history, notes, encodes_text)


def _read_decode(files: Files, shelves: Shelves) -> Request:
    artifact = _read_latents(files, shelves)
    beside = _spoken_beside(files, shelves.config)
    settings = _settle(layered(_said_by(artifact), beside, _size_of(artifact)), files.name, shelves.config)
    notes = artifact.notes
    if artifact.header.state is not tiffsd.State.FINAL:
        notes += (f"these latents are {_described(artifact)}, decoded as they are",)
    recipe = _recipe("decode", settings, {**artifact.header.recipe, **beside})
    tensors = {"latents": artifact.tensors["latents"]}
    return Request("decode", settings, recipe, tensors, artifact, artifact.header.history, notes)


def _read_encode(files: Files, shelves: Shelves) -> Request:
    path, config = files.members["principal"], shelves.config
    beside = _spoken_beside(files, config)
    given = layered(read_recipe(path, files.name, config).settings, beside)
    notes: tuple[str, ...] = ()
    if given.get("prompt") and given.get("strength") is None:
        given["strength"] = STRENGTH_OF_A_PICTURE
        notes = (f"no strength was given for image-to-image; {STRENGTH_OF_A_PICTURE} is used",)
    settings = _with_seed(_settle(given, files.name, config))
    size = (beside.get("width"), beside.get("height"))
    picture, done_to_it = read_photo(path, files.name, size=size, limit=config.limits.pixels)
    settings = settings.model_copy(update={"height": picture.shape[0], "width": picture.shape[1]})
    tensors = {"picture": picture, **_saved_embedding(settings.embedding, shelves)}
    encodes_text = bool(given.get("prompt")) and "prompt_embeds" not in tensors
    recipe = _recipe("encode", settings, given)
    return Request("encode", settings, recipe, tensors, notes=notes + done_to_it, encodes_text=encodes_text)


READERS = {"text": _read_text, "diffuse": _read_diffuse, "decode": _read_decode, "encode": _read_encode}


def _prompt_or_recipe(files: Files, config: Config) -> Prompt:
    if Path(files.name).suffix.lower() != ".png":
        return parse_prompt(files.data("principal", 4 * config.limits.characters), files.name, characters=config.limits.characters)
    recipe = read_recipe(files.members["principal"], files.name, config)
    if "prompt" not in recipe.settings:
        raise InputError(f"{files.name}: there is no recipe in this picture; to make latents of it, drop it into inbox/encode")
    return recipe


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
    settings = checked(layered(config.defaults if defaults is None else defaults, given), where)
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
    """The latents of a job; what an editor dropped is put back from the original that the daemon kept when it wrote the file."""
    path = files.members["principal"]
    artifact = tiffsd.read(path, expect=tiffsd.Kind.LATENTS, name=files.name)
    whole = "prompt_embeds" in artifact.tensors and artifact.header.recipe
    if whole or shelves.keep is None:
        return artifact
    identity = tiffsd.find_id(path, files.name)
    original = next((kept for kept in shelves.keep.iterdir() if identity and id_of(kept.name) == identity), None)
    if original:
        return tiffsd.repair(artifact, tiffsd.read(original, name=original.name), name=files.name)
    return _repaired_by_stem(artifact, files.name, shelves.keep)


def _repaired_by_stem(artifact: tiffsd.Artifact, name: str, keep: Path) -> tiffsd.Artifact:
    """Without an id only one original of that stem may be meant, of the same size, and half of the canvas must agree with it."""
    namesakes = [kept for kept in keep.iterdir() if stem_of(kept.name) == stem_of(name)]
    if len(namesakes) != 1:
        return artifact
    original = tiffsd.read(namesakes[0], name=namesakes[0].name)
    if original.header.size != artifact.header.size:
        return artifact
    repaired = tiffsd.repair(artifact, original, name=name)
    return repaired if repaired.painted * 2 <= repaired.tensors["latents"].size else artifact


def _size_of(artifact: tiffsd.Artifact) -> dict[str, int]:
    _, rows, columns = artifact.tensors["latents"].shape
    return {"width": columns * PIXELS_PER_LATENT, "height": rows * PIXELS_PER_LATENT}


def _embedding_half(files: Files) -> dict[str, NDArray[Any]]:
    for role in ("_prompt", "_textstate1"):
        if role in files.members:
            half = tiffsd.read(files.members[role], expect=tiffsd.Kind.EMBEDDING, name=files.names[role])
            return {name: half.tensors[name] for name in EMBEDDING_TENSORS if name in half.tensors}
    return {}


def _saved_embedding(name: str | None, shelves: Shelves) -> dict[str, NDArray[Any]]:
    if name is None:
        return {}
    path = shelves.embeddings / f"{name}.tiff"
    if path.is_symlink() or not path.is_file():
        saved = ", ".join(sorted(found.stem for found in shelves.embeddings.glob("*.tiff"))) or "none"
        raise InputError(f"there is no saved embedding {name!r}; saved are: {saved}; save one with `save_embedding: NAME`")
    saved_artifact = tiffsd.read(path, expect=tiffsd.Kind.EMBEDDING, name=path.name)
    return {tensor: saved_artifact.tensors[tensor] for tensor in EMBEDDING_TENSORS if tensor in saved_artifact.tensors}


def _must_encode_text(tensors: Tensors, beside: Mapping[str, Any], files: Files, artifact: tiffsd.Artifact) -> bool:
    """Whether the prompt has to be encoded first: there is no embedding, or a person changed the words beside it."""
    said = artifact.header.recipe
    if "prompt_embeds" in tensors:
        words = ("prompt", "negative_prompt", "clip_skip")
        return "embedding" not in beside and any(beside[key] != said.get(key) for key in words if key in beside)
    if "prompt" in said or "prompt" in beside:
        return True
    stem = shown(stem_of(files.name))
    raise InputError(
        f"{files.name}: these latents have no embedding, and no original of them was kept; "
        f"drop the prompt as {stem}.txt beside them, or a settings file {stem}.yaml with a line `prompt: ...`, "
        "or `embedding: NAME` for a saved one"
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


def _recipe(stage: str, settings: Settings, said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, and what the stage's result depends on, without what the stage uses up."""
    used = {key: value for key in DEPENDS_ON[stage] if (value := getattr(settings, key)) is not None}
    return {key: value for key, value in {**said, **used}.items() if key not in USED_UP[stage]}


def _with_seed(settings: Settings) -> Settings:
    return settings if settings.seed is not None else settings.model_copy(update={"seed": secrets.randbelow(2**32)})
