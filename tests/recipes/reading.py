"""What the daemon reads of a picture's recipe, over a configuration that has what the specimens name."""

import io
from pathlib import Path

from daemon.jobs.recipes import read_recipe, recipe_in
from daemon.pictures.decoding import TextInPicture
from daemon.pictures.words import words_of
from daemon.settings.config import Config
from daemon.settings.recipe import Prompt
from tests.opening import opening


def configured(folder: Path) -> Config:
    """A configuration with the model `demo`, the VAE `fine` and the LoRA `fur`."""
    (folder / "loras").mkdir(exist_ok=True)
    (folder / "loras" / "fur.safetensors").touch()
    return Config(folder=folder, vaes={"fine": "nobody/fine"}, adapters={"loras": "loras"})


def recipe_of(data: bytes, name: str, config: Config) -> Prompt:
    """The recipe in the bytes of a picture, without the child process in which its words are looked for."""
    words = words_of(io.BytesIO(data), name, characters=config.limits.characters, digest=False)
    return recipe_in(TextInPicture(**{**words, "notes": tuple(words["notes"])}), name, config)


def recipe_by_the_child(data: bytes, name: str, config: Config) -> Prompt:
    """The same by way of that child."""
    path = config.folder / name
    path.write_bytes(data)
    return opening(read_recipe, path, path.name, config)
