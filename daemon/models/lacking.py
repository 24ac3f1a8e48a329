"""What a single file lacks to be a whole model, in sentences; torch is not needed."""

from pathlib import Path

from daemon.models.families import Family
from daemon.models.families.family import T5


def component(path: Path, name: str, family: Family) -> str:
    """The sentence for a component that is not in the file."""
    if name == "vae":
        return f"{path} holds no vae: name one under `vaes` in config.yaml and `vae: NAME` in the model's `defaults`"
    words = f", {name.replace('text_encoder', 'tokenizer')}: FOLDER" if family.components[name] == T5 else ""
    return (
        f"{path} holds no {name}: name the file or the folder that has it under the model's `parts` in config.yaml, e.g. "
        f"`parts: {{{name}: PLACE{words}}}`"
    )


def vocabulary(path: Path, name: str, family: Family) -> str:
    """The sentence for a tokenizer that is not shipped: that of a T5."""
    encoder = name.replace("tokenizer", "text_encoder")
    spared = f", or `{encoder}: null`, which leaves the T5 out" if name in family.optional else ""
    return (
        f"the vocabulary of the T5 of {path} comes from you: name the folder of the {name} of a model in diffusers layout under "
        f"the model's `parts` in config.yaml, e.g. `parts: {{{name}: FOLDER}}`{spared}"
    )
