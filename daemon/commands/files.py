"""What the daemon adds to the commands on files (`tiffsd/commands.py`): the settings there are, and what would become of a file."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.commands import usual_configs
from daemon.settings.resources import resource

if TYPE_CHECKING:
    from daemon.settings.config import Config


class Knowledge:
    """Handed to those commands as their context's `obj`."""

    def checked(self, settings: dict[str, Any], where: str) -> dict[str, Any]:
        """Settings as the vocabulary has them. Raises InputError."""
        from daemon.settings.checking import checked

        return checked(settings, where).given()

    def explain(self, path: Path, told: Collection[str]) -> list[tuple[bool, str]]:
        """What the daemon would do with a file, by the usual configuration, else by the one that the program brings."""
        from daemon.jobs.explain import explain

        return explain(path, _config(), told)

    def kind_meant(self, path: Path) -> Any:
        """What a file must hold where it lies, or by the id in its name; None where it may be anything."""
        from daemon.jobs.explain import kind_meant

        return kind_meant(path, _config())

    def recipe(self, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The settings of the recipe in a PNG, JPEG or WebP, or in latents of ComfyUI, and notes. Raises InputError."""
        from daemon.jobs.named import opened
        from daemon.jobs.recipes import read_to_repeat

        with opened({"principal": path}) as members:
            found = read_to_repeat(members["principal"], path.name, _config())
        return dict(found.settings), found.notes

    def scaling(self, model: str) -> tuple[float, float] | None:
        """The scaling factor and the shift of the VAE of a configured model, where its files say them."""
        from daemon.models.vae_units import scaling_of

        config = _config()
        return scaling_of(config.model_path(model), config.model_parts(model)) if model in config.models else None


def _config() -> "Config":
    from daemon.settings.config import read_config

    return read_config(next((path for path in usual_configs() if path.is_file()), resource("config.yaml")))


@click.pass_context
def hand_over(context: click.Context) -> None:
    """Let the commands on files know what the daemon knows."""
    context.obj = Knowledge()
