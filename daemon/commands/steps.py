"""Commands that run one stage on one file, without a spool: text, diffuse, decode, encode, invert."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.commands import PATH, USUAL_CONFIGS, config_option, say
from daemon.settings.resources import resource

if TYPE_CHECKING:
    from daemon.settings.config import Config

OnProgress = Callable[[int, int], None]


model_option = click.option("-m", "--model", help="A model of the configuration.")
vae_option = click.option("-v", "--vae", help="A VAE of the configuration.")


@click.command()
@click.argument("prompt")
@click.option("-o", "--output", required=True, help="The name of the file to write, without .tiff.")
@click.option("-n", "--negative-prompt", help="What it shall not show.")
@click.option("-w", "--width", type=int, help="Pixels, a multiple of 8.")
@click.option("-he", "--height", type=int, help="Pixels, a multiple of 8.")
@click.option("-i", "--steps", type=int, help="Steps of the diffusion loop, for the recipe.")
@click.option("-s", "--seed", type=int, help="The seed of the noise; random where it is left out.")
@model_option
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
        target,
        config,
        lambda chosen, show: oneshot.run_text(prompt, given, target, config=chosen, on_progress=show),
    )


@click.command()
@click.argument("name")
@click.option("-i", "--steps", type=int, help="Steps of the diffusion loop.")
@click.option("-g", "--guidance-scale", type=float, help="How strongly the prompt counts.")
@click.option("-sch", "--scheduler", help="euler, dpmpp_2m_karras, ...")
@click.option("--strength", type=float, help="How much of finished latents is made anew, 0 to 1.")
@click.option("-s", "--seed", type=int, help="The seed of the noise that a scheduler adds.")
@model_option
@click.option("-o", "--output", help="The file to write; NAME_unet.tiff where it is left out.")
@config_option
def diffuse(name: str, output: str | None, config: Path | None, **given: Any) -> None:
    """Latents and embedding -> denoised latents.

    NAME stands for NAME.tiff, or for the prototype's NAME_latent.tiff and NAME_prompt.tiff.

    Example: tiffsd diffuse cat1 -i 30 -g 7
    """
    from daemon.jobs import oneshot

    target = _with_suffix(output, ".tiff") if output else oneshot.free_target(Path(f"{name.removesuffix('.tiff')}_unet.tiff"))
    members = oneshot.find_latents(name)
    _one_shot(
        "diffuse",
        target,
        config,
        lambda chosen, show: oneshot.run("diffuse", members, given, target, config=chosen, on_progress=show),
    )


@click.command()
@click.argument("file", type=PATH)
@click.option("-o", "--output", help="The picture to write: .png, .tiff, .jpg or .webp.")
@vae_option
@model_option
@config_option
def decode(file: Path, output: str | None, config: Path | None, **given: Any) -> None:
    """Denoised latents -> picture.

    Example: tiffsd decode cat1_unet.tiff -o cat.png
    """
    from daemon.jobs import oneshot

    target = Path(output) if output else oneshot.free_target(file.with_suffix(".png"))
    _one_shot(
        "decode",
        target,
        config,
        lambda chosen, show: oneshot.run("decode", {"principal": file}, given, target, config=chosen, on_progress=show),
    )


@click.command()
@click.argument("file", type=PATH)
@click.option("-o", "--output", help="The name of the file to write, without .tiff.")
@vae_option
@model_option
@click.option("-s", "--seed", type=int, help="The seed of the encoder's sample.")
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
        target,
        config,
        lambda chosen, show: oneshot.run("encode", {"principal": file}, given, target, config=chosen, on_progress=show),
    )


@click.command()
@click.argument("name")
@click.option("-i", "--steps", type=int, help="Steps of the diffusion loop that is to give the latents back.")
@click.option("-g", "--guidance-scale", type=float, help="How strongly the prompt counts in it.")
@model_option
@click.option("-o", "--output", help="The file to write; NAME_noise.tiff where it is left out.")
@config_option
def invert(name: str, output: str | None, config: Path | None, **given: Any) -> None:
    """Finished latents and embedding -> the noise that makes them.

    NAME stands for NAME.tiff.

    Example: tiffsd invert cat1_unet -i 20 -g 4
    """
    from daemon.jobs import oneshot

    target = _with_suffix(output, ".tiff") if output else oneshot.free_target(Path(f"{name.removesuffix('.tiff')}_noise.tiff"))
    members = oneshot.find_latents(name)
    _one_shot(
        "invert",
        target,
        config,
        lambda chosen, show: oneshot.run("invert", members, given, target, config=chosen, on_progress=show),
    )


def _one_shot(stage: str, target: Path, config: Path | None, work: Callable[["Config", OnProgress], list[str]]) -> None:
    from daemon.service.terminal import bar
    from daemon.settings.config import read_config

    found = next((path for path in ([config] if config else USUAL_CONFIGS) if path.is_file()), resource("config.yaml"))
    with bar() as bars:
        task = bars.add_task(stage, total=None)
        notes = work(read_config(found), lambda step, steps: bars.update(task, completed=step, total=steps))
    for note in notes:
        say(note, err=True)
    say(f"wrote {target}")


def _with_suffix(name: str, suffix: str) -> Path:
    return Path(name if name.endswith(suffix) else name + suffix)
