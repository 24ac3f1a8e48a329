"""All places of models that a configuration names, by kind and name: what a machine can compute with for another."""

from daemon.settings.config import BUILTIN, Config
from daemon.settings.resources import resource


def places_of(config: Config) -> dict[str, dict[str, str]]:
    """Kind ("model", "vae", "part", "lora", "textual_inversion", and what the program itself carries) to name to path.

    The part of a model is called MODEL/COMPONENT, a folder of all that a model lacks, as the model. Hub ids stand as they are."""
    parts: dict[str, str] = {}
    for name in config.models:
        found = config.model_parts(name)
        places = {name: found} if isinstance(found, str) else {f"{name}/{part}": place for part, place in (found or {}).items()}
        parts |= {key: place for key, place in places.items() if place is not None}
    return {
        "model": {name: config.model_path(name) for name in config.models},
        "vae": {name: config.vae(name) for name in config.vaes},
        "part": parts,
        "lora": {name: str(path) for name, path in config.loras().items()},
        "textual_inversion": {name: str(path) for name, path in config.textual_inversions().items()},
        BUILTIN: {BUILTIN: str(resource("models/demo"))},
    }
