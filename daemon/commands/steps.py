"""Commands that run one stage on one file, without a spool: text, diffuse, decode, encode, invert."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.commands import PATH, config_option, say, usual_configs
from daemon.commands.stage_options import StageCommand
from daemon.settings.resources import resource

if TYPE_CHECKING:
    from daemon.jobs.oneshot import Written
    from daemon.settings.config import Config

    Work = Callable[[Config, Callable[[int, int], None]], Written]


@click.command(cls=StageCommand)
@click.argument("prompt")
@click.option("-o", "--output", required=True, help="The name of the file to write, without .tiff.")
@config_option
def text(prompt: str, output: str, config: Path | None, **given: Any) -> None:
    """Prompt -> latents and embedding in one file.

    PROMPT is what the picture shall show.

    Example: tiffsd text "a cat" -o cat1 -w 768 -he 512 -i 30
    """
    from daemon.jobs import oneshot

    target = _with_suffix(output, ".tiff")
    _one_shot(
        "text",
        config,
        lambda chosen, show: oneshot.run_text(prompt, given, target, config=chosen, on_progress=show),
    )


@click.command(cls=StageCommand)
@click.argument("source", metavar="NAME")
@click.option("-o", "--output", help="The file to write; NAME_unet.tiff where it is left out.")
@config_option
def diffuse(source: str, output: str | None, config: Path | None, **given: Any) -> None:
    """Latents and embedding -> denoised latents.

    NAME stands for NAME.tiff, or for the prototype's NAME_latent.tiff and NAME_prompt.tiff.

    Example: tiffsd diffuse cat1 -i 30 -g 7
    """
    from daemon.jobs import oneshot

    target = _with_suffix(output, ".tiff") if output else oneshot.free_target(Path(f"{source.removesuffix('.tiff')}_unet.tiff"))
    members = oneshot.find_latents(source)
    _one_shot(
        "diffuse",
        config,
        lambda chosen, show: oneshot.run("diffuse", members, given, target, config=chosen, on_progress=show),
    )


@click.command(cls=StageCommand)
@click.argument("file", type=PATH)
@click.option("-o", "--output", help="The picture to write: .png, .tiff, .jpg or .webp.")
@config_option
def decode(file: Path, output: str | None, config: Path | None, **given: Any) -> None:
    """Denoised latents -> picture.

    Example: tiffsd decode cat1_unet.tiff -o cat.png
    """
    from daemon.jobs import oneshot

    target = Path(output) if output else oneshot.free_target(file.with_suffix(".png"))
    _one_shot(
        "decode",
        config,
        lambda chosen, show: oneshot.run("decode", {"principal": file}, given, target, config=chosen, on_progress=show),
    )


@click.command(cls=StageCommand)
@click.argument("file", type=PATH)
@click.option("-o", "--output", help="The name of the file to write, without .tiff.")
@config_option
def encode(file: Path, output: str | None, config: Path | None, **given: Any) -> None:
    """Picture -> latents.

    FILE is a picture: PNG, JPEG, WebP or TIFF.

    Example: tiffsd encode photo.png -o photo
    """
    from daemon.jobs import oneshot

    target = _with_suffix(output, ".tiff") if output else oneshot.free_target(file.with_suffix(".tiff"))
    _one_shot(
        "encode",
        config,
        lambda chosen, show: oneshot.run("encode", {"principal": file}, given, target, config=chosen, on_progress=show),
    )


@click.command(cls=StageCommand)
@click.argument("source", metavar="NAME")
@click.option("-o", "--output", help="The file to write; NAME_noise.tiff where it is left out.")
@config_option
def invert(source: str, output: str | None, config: Path | None, **given: Any) -> None:
    """Finished latents and embedding -> the noise that makes them.

    NAME stands for NAME.tiff.

    Example: tiffsd invert cat1_unet -i 20 -g 4
    """
    from daemon.jobs import oneshot

    target = _with_suffix(output, ".tiff") if output else oneshot.free_target(Path(f"{source.removesuffix('.tiff')}_noise.tiff"))
    members = oneshot.find_latents(source)
    _one_shot(
        "invert",
        config,
        lambda chosen, show: oneshot.run("invert", members, given, target, config=chosen, on_progress=show),
    )


COMMANDS: dict[str, click.Command] = {"text": text, "diffuse": diffuse, "decode": decode, "encode": encode, "invert": invert}


def command_of(stage: str) -> click.Command:
    """The command that runs a stage on a file; a stage without one of its own in COMMANDS gets one that takes FILE and -o."""
    return COMMANDS.get(stage) or _plain(stage)


def _plain(stage: str) -> click.Command:
    @click.command(stage, help=f"Run the stage {stage} on FILE.")
    @click.argument("file", type=PATH)
    @click.option("-o", "--output", type=PATH, required=True, help="The file to write.")
    @config_option
    def run(file: Path, output: Path, config: Path | None) -> None:
        from daemon.jobs import oneshot

        _one_shot(
            stage,
            config,
            lambda chosen, show: oneshot.run(stage, {"principal": file}, {}, output, config=chosen, on_progress=show),
        )

    return run


def _one_shot(stage: str, config: Path | None, work: "Work") -> None:
    from daemon.service.progress import steps_shown
    from daemon.settings.config import read_config

    found = next((path for path in ([config] if config else usual_configs()) if path.is_file()), resource("config.yaml"))
    with steps_shown(stage) as show:
        written = work(read_config(found), show)
    for note in written.notes:
        say(note, err=True)
    say(f"wrote {written.path}")


def _with_suffix(name: str, suffix: str) -> Path:
    return Path(name if name.endswith(suffix) else name + suffix)
