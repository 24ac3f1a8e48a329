"""Commands that run one stage on one file, without a spool: text, diffuse, decode, encode."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.commands import USUAL_CONFIGS, ConfigOption, err, out
from daemon.resources import resource

if TYPE_CHECKING:
    from daemon.config import Config

OnProgress = Callable[[int, int], None]


def text(
    prompt: Annotated[str, typer.Argument(help="What the picture shall show.")],
    output: Annotated[str, typer.Option("-o", "--output", help="The name of the file to write, without .tiff.")],
    negative_prompt: Annotated[str | None, typer.Option("-n", "--negative-prompt", help="What it shall not show.")] = None,
    width: Annotated[int | None, typer.Option("-w", "--width", help="Pixels, a multiple of 8.")] = None,
    height: Annotated[int | None, typer.Option("-he", "--height", help="Pixels, a multiple of 8.")] = None,
    steps: Annotated[int | None, typer.Option("-i", "--steps", help="Steps of the diffusion loop, for the recipe.")] = None,
    seed: Annotated[int | None, typer.Option("-s", "--seed", help="The seed of the noise; random where it is left out.")] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="A model of the configuration.")] = None,
    config: ConfigOption = None,
) -> None:
    """Prompt -> latents and embedding in one file.

    Example: tiffsd text "a cat" -o cat1 -w 768 -he 512 -i 30
    """
    given = {
        "negative_prompt": negative_prompt,
        "width": width,
        "height": height,
        "steps": steps,
        "seed": seed,
        "model": model,
    }
    from daemon import oneshot

    target = _with_suffix(output, ".tiff")
    _one_shot(
        "text",
        target,
        config,
        lambda chosen, show: oneshot.run_text(prompt, given, target, config=chosen, on_progress=show),
    )


def diffuse(
    name: Annotated[str, typer.Argument(help="NAME for NAME.tiff, or for the prototype's NAME_latent.tiff and NAME_prompt.tiff.")],
    steps: Annotated[int | None, typer.Option("-i", "--steps", help="Steps of the diffusion loop.")] = None,
    guidance_scale: Annotated[float | None, typer.Option("-g", "--guidance-scale", help="How strongly the prompt counts.")] = None,
    scheduler: Annotated[str | None, typer.Option("-sch", "--scheduler", help="euler, dpmpp_2m_karras, ...")] = None,
    strength: Annotated[float | None, typer.Option("--strength", help="How much of finished latents is made anew, 0 to 1.")] = None,
    seed: Annotated[int | None, typer.Option("-s", "--seed", help="The seed of the noise that a scheduler adds.")] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="A model of the configuration.")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The file to write; NAME_unet.tiff where it is left out.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Latents and embedding -> denoised latents.

    Example: tiffsd diffuse cat1 -i 30 -g 7
    """
    from daemon import oneshot

    given = {
        "steps": steps,
        "guidance_scale": guidance_scale,
        "scheduler": scheduler,
        "strength": strength,
        "seed": seed,
        "model": model,
    }
    target = _with_suffix(output, ".tiff") if output else oneshot.free_target(Path(f"{name.removesuffix('.tiff')}_unet.tiff"))
    members = oneshot.find_latents(name)
    _one_shot(
        "diffuse",
        target,
        config,
        lambda chosen, show: oneshot.run("diffuse", members, given, target, config=chosen, on_progress=show),
    )


def decode(
    file: Annotated[Path, typer.Argument(help="Latents.")],
    output: Annotated[str | None, typer.Option("-o", "--output", help="The picture to write: .png, .tiff, .jpg or .webp.")] = None,
    vae: Annotated[str | None, typer.Option("-v", "--vae", help="A VAE of the configuration.")] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="A model of the configuration.")] = None,
    config: ConfigOption = None,
) -> None:
    """Denoised latents -> picture.

    Example: tiffsd decode cat1_unet.tiff -o cat.png
    """
    from daemon import oneshot

    target = Path(output) if output else oneshot.free_target(file.with_suffix(".png"))
    given = {"vae": vae, "model": model}
    _one_shot(
        "decode",
        target,
        config,
        lambda chosen, show: oneshot.run("decode", {"principal": file}, given, target, config=chosen, on_progress=show),
    )


def encode(
    file: Annotated[Path, typer.Argument(help="A picture: PNG, JPEG, WebP or TIFF.")],
    output: Annotated[str | None, typer.Option("-o", "--output", help="The name of the file to write, without .tiff.")] = None,
    vae: Annotated[str | None, typer.Option("-v", "--vae", help="A VAE of the configuration.")] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="A model of the configuration.")] = None,
    seed: Annotated[int | None, typer.Option("-s", "--seed", help="The seed of the encoder's sample.")] = None,
    config: ConfigOption = None,
) -> None:
    """Picture -> latents.

    Example: tiffsd encode photo.png -o photo
    """
    from daemon import oneshot

    target = _with_suffix(output, ".tiff") if output else oneshot.free_target(file.with_suffix(".tiff"))
    given = {"vae": vae, "model": model, "seed": seed}
    _one_shot(
        "encode",
        target,
        config,
        lambda chosen, show: oneshot.run("encode", {"principal": file}, given, target, config=chosen, on_progress=show),
    )


def _one_shot(stage: str, target: Path, config: Path | None, work: Callable[["Config", OnProgress], list[str]]) -> None:
    from daemon.config import read_config
    from daemon.terminal import bar

    found = next((path for path in ([config] if config else USUAL_CONFIGS) if path.is_file()), resource("config.yaml"))
    with bar() as bars:
        task = bars.add_task(stage, total=None)
        notes = work(read_config(found), lambda step, steps: bars.update(task, completed=step, total=steps))
    for note in notes:
        err.print(note, markup=False)
    out.print(f"wrote {target}", markup=False)


def _with_suffix(name: str, suffix: str) -> Path:
    return Path(name if name.endswith(suffix) else name + suffix)
