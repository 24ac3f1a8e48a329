"""The files of one job by role, what lies beside the principal, and where a request may look besides."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import tiffsd
from daemon.errors import InputError, WrongPlace
from daemon.jobs.intake.resolving import resolve_settings
from daemon.jobs.originals import compared, exported_latents, names_latents, told_of_exported
from daemon.jobs.recipes import read_recipe, read_to_repeat, recipe_in, with_what_is_there
from daemon.names import id_of, shown
from daemon.pictures.decoding import read_artifact
from daemon.pictures.photos import Photo, read_photo
from daemon.pictures.sizes import largest_latents, tensor_limits
from daemon.settings.checking import as_drawn_before, as_made_before, as_made_by, checked, counting, layered
from daemon.settings.config import Config
from daemon.settings.infotext import SOFTWARE
from daemon.settings.prompts import plain_text, read_prompt, refuse_unsupported, settings_file, without_prompt
from daemon.settings.recipe import Prompt
from daemon.settings.values import PIXELS_PER_LATENT
from daemon.settings.vocabulary import FINAL, NOISE, PARTIAL, Settings
from daemon.stages import PICTURES, PROMPTS, RECORDED, TIFFS
from tiffsd.spec import NOUNS

Notes = tuple[str, ...]
BYTES_PER_CHARACTER = 4
# What a recipe says of them is not asked where its picture is encoded, which has its size.
OF_NO_CONCERN = ("width", "height", "upscale", "upscale_strength", "upscale_steps")

# What can be said beside latents in a loop, by how far they are done; what says nothing of it is taken for noise.
INPUT_KIND_OF_STATE = {tiffsd.State.FINAL: FINAL, tiffsd.State.PARTIAL: PARTIAL, tiffsd.State.NOISE: NOISE, None: NOISE}

# Latents of ComfyUI are those of a VAE; what runs the stage has its configuration.
OF_VAE = "latents of ComfyUI, brought to the units of the denoiser by the VAE of the model"

# The side of the pictures of most models, for one that the configuration says no size of.
USUAL_SIDE = 1024
# Where an artifact can go that was dropped into a stage that cannot take it.
DESTINATIONS = {
    tiffsd.Kind.LATENTS: "inbox/2-diffuse, or inbox/3-decode where they are denoised",
    tiffsd.Kind.EMBEDDING: "embeddings/, and `embedding: NAME` in a settings file uses it",
    tiffsd.Kind.PICTURE: "inbox/encode",
}


@dataclass(frozen=True)
class Files:
    """The files of one job by role, open for reading, with the names people gave them; `principal` is the one the job is about.

    `overrides` are settings from the command line; they win over all others.
    """

    members: Mapping[str, BinaryIO]
    names: Mapping[str, str]
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.names["principal"]

    def data(self, role: str, limit: int) -> bytes:
        """The bytes of a small member. Raises InputError where it is larger than `limit` bytes."""
        file = self.members[role]
        file.seek(0)
        data = file.read(limit + 1)
        if len(data) > limit:
            raise InputError(f"{self.names[role]}: this is larger than {limit} bytes; a prompt or a settings file is short text")
        return data


@dataclass(frozen=True)
class InputSources:
    """Where a request may look besides its own files: saved embeddings and kept originals."""

    config: Config
    embeddings: Path
    keep: Path | None = None


@contextmanager
def as_input_errors() -> Iterator[None]:
    """Make of a file at fault one kind of error, whoever found it: for those who do not tell these apart."""
    try:
        yield
    except tiffsd.TiffsdError as error:
        raise InputError(str(error)) from error


@contextmanager
def naming_the_stage(files: Files) -> Iterator[None]:
    """Say of a stray artifact which stage can take it."""
    try:
        yield
    except tiffsd.WrongKind as error:
        place = DESTINATIONS[tiffsd.inspect(files.members["principal"], name=files.name).kind]
        raise WrongPlace(f"{error}: {place}", place) from error


def embedded_recipe(files: Files, photo: Photo, config: Config, beside: Mapping[str, Any]) -> Prompt:
    """The recipe in a picture that is encoded; one that cannot be used, and that nothing beside it mends, is no hindrance."""
    try:
        if photo.words is not None:
            found = recipe_in(photo.words, files.name, config)
        else:
            found = read_recipe(files.members["principal"], files.name, config)
        return found.under({*beside, *OF_NO_CONCERN}).usable(files.name)
    except InputError as error:
        return without_recipe(error)


def without_recipe(error: InputError) -> Prompt:
    """No recipe, and why that of the picture cannot be used."""
    return Prompt({}, (f"recipe in the picture ignored: {error}",))


def requested_size(files: Files, beside: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The size (width, height) that is said beside a picture, to bring it to. Raises InputError for one that no picture has."""
    size = checked({key: beside[key] for key in ("width", "height") if key in beside}, files.name)
    return size.width, size.height


def read_photo_and_words(files: Files, config: Config, beside: Mapping[str, Any], *, alpha: bool = False) -> Photo:
    """The principal as a picture fitted to the size that is said beside it, or to that of the model's pictures where it is too
    large, with what it says, from one reading of it; and with the mask that its transparency makes, where `alpha` asks for that."""
    limits, size = config.limits, requested_size(files, beside)
    usual = config.defaults_for(beside.get("model"))
    area = (usual.get("width") or USUAL_SIDE) * (usual.get("height") or USUAL_SIDE)
    read = partial(read_photo, size=size, limit=limits.pixels, area=area, characters=limits.characters, alpha=alpha)
    with naming_the_stage(files):
        return read(files.members["principal"], files.name)


def refuse_exported(photo: Photo, files: Files, sources: InputSources) -> None:
    """Raise InputError for latents that an editor exported as a picture: by what is in it, else by the name of a gray one."""
    if photo.canvas is not None:
        raise InputError(told_of_exported(files.name, photo.canvas))
    if sources.keep and (sentence := exported_latents(files.name, sources.keep)) and photo.is_gray:
        raise InputError(sentence)
    # Whether it is gray is asked last: that reads all of its pixels, which the front has no room for.
    if sources.keep and Path(files.name).suffix.lower() in TIFFS and names_latents(files.name, sources.keep) and photo.is_gray:
        raise named_as_latents(files.name)


def named_as_latents(name: str) -> InputError:
    """The error on a picture that has the name of kept latents: an editor may have left nothing else of them."""
    place = DESTINATIONS[tiffsd.Kind.LATENTS]
    said = f"{name} has the name of latents {id_of(name)}, and this place takes pictures; move it to {place}"
    return WrongPlace(f"{said}, or give a picture another name", place)


def for_its_own_model(
    photo: Photo, own: Mapping[str, Any], files: Files, config: Config, beside: Mapping[str, Any], *, alpha: bool = False
) -> Photo:
    """The photo once more, where it was made smaller for the default model and its own recipe means another one."""
    reduced = photo.scaled and not {"width", "height"} & beside.keys()
    if not reduced or "model" in beside or own.get("model") is None:
        return photo
    return read_photo_and_words(files, config, {**beside, "model": own["model"]}, alpha=alpha)


def prompt_or_recipe(files: Files, sources: InputSources) -> Prompt:
    """What the principal of a text job says: a prompt file, or a picture with a recipe."""
    config = sources.config
    file, extension = files.members["principal"], Path(files.name).suffix.lower()
    if extension not in PICTURES:
        return _prompt(files, "principal", config)
    if extension in RECORDED and (kind := tiffsd.inspect(file, name=files.name).kind) is not tiffsd.Kind.PICTURE:
        place = DESTINATIONS[kind]
        said = f"{files.name} holds {NOUNS[kind]}, and this place takes prompts and pictures with a recipe"
        raise WrongPlace(f"{said}; move it to {place}", place)
    recipe = read_to_repeat(file, files.name, config)
    # The paint that was held is not repeated.
    recipe = replace(recipe, settings={key: value for key, value in recipe.settings.items() if key != "paint_hold"})
    if not {"prompt", "embedding"} & recipe.settings.keys():
        if sources.keep and (sentence := exported_latents(files.name, sources.keep)):
            raise InputError(sentence)
        why = f" ({'; '.join(recipe.notes)})" if recipe.notes else ""
        said = f"{files.name}: there is no recipe in this picture{why}"
        raise WrongPlace(f"{said}; to make latents of it, drop it into inbox/encode", "inbox/encode")
    # The recipe of one picture makes one picture, whatever the defaults say.
    return replace(recipe, settings={"count": 1, **as_made_before(recipe.settings), **recipe.settings})


def companion_settings(files: Files, config: Config, input_kind: str) -> tuple[dict[str, Any], Notes]:
    """What the companions say: NAME.txt (or .md, or .json), NAME_neg.txt, then NAME.yaml, which wins; as far as it counts for what
    was dropped, one of INPUT_KINDS. And a note on what does not."""
    limit = BYTES_PER_CHARACTER * config.limits.characters
    spoken: dict[str, Any] = {}
    prompt: Prompt | None = None
    notes: Notes = ()
    role = _prompt_beside(files)
    if role is not None:
        prompt = _prompt(files, role, config)
        spoken |= prompt.settings
    if "_neg.txt" in files.members:
        spoken["negative_prompt"] = plain_text(files.data("_neg.txt", limit), files.names["_neg.txt"])
    for ending in (".yaml", ".yml"):
        if ending in files.members:
            name = files.names[ending]
            said = checked(settings_file(files.data(ending, limit), name), name).given()
            spoken = layered(spoken, said)
            prompt = prompt and prompt.under(said)
    spoken = layered(spoken, files.overrides)
    if prompt is not None and role is not None:
        name, prompt = files.names[role], prompt.under(files.overrides)
        _check_usable(prompt, name, spoken)
        notes = tuple(f"{shown(name)}: {note}" for note in prompt.notes)
    kept, ignored = counting(input_kind, spoken)
    return kept, notes + ignored


def _prompt_beside(files: Files) -> str | None:
    """The role of the prompt that lies beside the principal, if one does. Raises InputError where several do."""
    roles = [role for role in PROMPTS if role in files.members]
    if len(roles) > 1:
        names = " and ".join(shown(files.names[role]) for role in roles)
        raise InputError(f"{files.name}: {names} both say what it is to show; take one of them away")
    return next(iter(roles), None)


def _prompt(files: Files, role: str, config: Config) -> Prompt:
    """A prompt file, without what its recipe names and is not there; its faults are for who knows what lies beside it."""
    characters = config.limits.characters
    prompt = read_prompt(files.data(role, BYTES_PER_CHARACTER * characters), files.names[role], characters=characters)
    return with_what_is_there(prompt, config)


def _check_usable(prompt: Prompt, name: str, said: Mapping[str, Any]) -> None:
    """Raise InputError where a prompt file cannot be honoured, and nothing that is said beside it mends that."""
    prompt.usable(name)
    if name.lower().endswith(".json") and "prompt" not in prompt.settings:
        checked(prompt.settings, name)  # settings alone, as a settings file has them
    elif not str(said.get("prompt", "")).strip() and "embedding" not in said:
        raise without_prompt(name)
    for key in ("prompt", "negative_prompt"):
        refuse_unsupported(str(said.get(key, "")), name)


def check_file_size(files: Files, config: Config) -> None:
    """Raise InputError where the principal is larger than the configuration allows."""
    if os.fstat(files.members["principal"].fileno()).st_size > config.limits.file_bytes:
        raise InputError(
            f"{files.name}: the file is larger than limits.file_bytes in config.yaml ({config.limits.file_bytes} bytes)"
        )


def read_latents(files: Files, sources: InputSources) -> tiffsd.Artifact:
    """The principal as latents, compared with the original that was kept of it."""
    file = files.members["principal"]
    limits = sources.config.limits
    largest, tensors = largest_latents(limits.pixels), tensor_limits(limits.pixels, limits.characters)
    with naming_the_stage(files):
        artifact = read_artifact(file, expect=tiffsd.Kind.LATENTS, name=files.name, largest=largest, tensors=tensors)
    found = artifact if sources.keep is None else compared(artifact, file, name=files.name, keep=sources.keep)
    if found.of_vae:
        found = _with_graph(found, files, sources.config)
    return replace(found, notes=(*found.notes, found.told_painted)) if found.told_painted else found


def _with_graph(artifact: tiffsd.Artifact, files: Files, config: Config) -> tiffsd.Artifact:
    """Latents of ComfyUI with the recipe of the graph in their file; one that cannot be used stops no latents."""
    try:
        found = read_recipe(files.members["principal"], files.name, config).under(OF_NO_CONCERN).usable(files.name)
        said = {key: value for key, value in found.settings.items() if key not in OF_NO_CONCERN}
        resolve_settings(said, files.name, config)  # within the limits
    except InputError as error:
        said, found = {}, without_recipe(error)
    header = replace(artifact.header, recipe={**said, **artifact.header.recipe})
    return replace(artifact, header=header, notes=(*artifact.notes, OF_VAE, *found.notes))


def size_of(artifact: tiffsd.Artifact) -> dict[str, int]:
    """The size of the picture that latents stand for, as settings."""
    _, rows, columns = artifact.tensors["latents"].shape
    return {"width": columns * PIXELS_PER_LATENT, "height": rows * PIXELS_PER_LATENT}


def recipe_settings(artifact: tiffsd.Artifact) -> dict[str, Any]:
    """The settings in an artifact's record that this version knows; the others are carried on in its recipe."""
    header = artifact.header
    looped = header.state is not tiffsd.State.NOISE and any(entry.get("stage") == "diffuse" for entry in header.history)
    as_made = as_made_by(header.software.get(SOFTWARE)) if looped else {}
    return {
        **as_made,
        **as_drawn_before(header.recipe),
        **{key: value for key, value in header.recipe.items() if key in Settings.model_fields},
    }
