"""The command line; the only place that prints and the only one that sets an exit code.

What a command does to the spool is a file operation that a person could do by hand, and works with the daemon down. Modules
that cost time to load are imported by the commands that need them, because the others must answer at once.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from daemon.config import Config, read_config
from daemon.errors import ConfigError, DaemonError, SpoolError
from daemon.resources import resource
from daemon.running import read_running
from daemon.stages import STAGES
from daemon.status import Status, read_status

if TYPE_CHECKING:
    from daemon.spool import Spool

app = typer.Typer(
    help="Stable Diffusion by parts, run by folders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

DEMO_PROMPTS = {
    "house": "a red house in a meadow at sunset",
    "tree": "a blue tree in the snow at night",
    "balloon": "a yellow balloon by the sea at noon",
}
DEMO_SEED = 1
USUAL_CONFIGS = (Path("config.yaml"), Path.home() / ".config/tiffsd/config.yaml", Path("/etc/tiffsd/config.yaml"))

OnProgress = Callable[[int, int], None]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration; otherwise config.yaml here, then in ~/.config/tiffsd, then in /etc/tiffsd.",
    ),
]


def main() -> None:
    """Run the command line: 0 for done, 1 for a file at fault, 2 for a set-up at fault."""
    try:
        app(standalone_mode=True)
    except (ConfigError, SpoolError) as error:
        err.print(f"tiffsd: {error}", style="red", markup=False)
        sys.exit(2)
    except (DaemonError, OSError) as error:
        err.print(f"tiffsd: {error}", style="red", markup=False)
        sys.exit(1)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where the configuration and the folders go.")] = Path()) -> None:
    """Write config.yaml and the folders.

    Example: tiffsd init ~/pictures
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    if path.exists():
        out.print(f"{path} exists and stays as it is", markup=False)
    else:
        shutil.copyfile(resource("config.yaml"), path)
    config = read_config(path)
    _spool(config).create()
    out.print(f"configuration: {path}\nfolders:       {config.spool_folder}", markup=False)
    out.print(f"Now run `tiffsd run`, and drop a prompt into {config.spool_folder / 'inbox/1-text'}", markup=False)


@app.command()
def run(
    config: ConfigOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more in the log.")] = False,
) -> None:
    """Watch the folders until told to stop (Ctrl-C or SIGTERM).

    Example: tiffsd run --config ~/pictures/config.yaml
    """
    from daemon.service import Service
    from daemon.terminal import log_to_stderr, progress

    log_to_stderr(verbose)
    path = _config_path(config)
    service = Service(read_config(path), config_path=path)
    with progress(service.spool.root):
        service.run()


@app.command()
def once(
    config: ConfigOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more in the log.")] = False,
) -> None:
    """Work off what lies in the inboxes, and what comes of it, then end.

    Example: tiffsd once
    """
    from daemon.service import Service
    from daemon.terminal import log_to_stderr, progress

    log_to_stderr(verbose)
    path = _config_path(config)
    service = Service(read_config(path), config_path=path)
    with progress(service.spool.root):
        service.run_once()


@app.command()
def demo(
    out_folder: Annotated[Path, typer.Option("--out", help="Where the pictures go.")] = Path("demo-pictures"),
) -> None:
    """Make three pictures with the embedded model, through a spool of its own.

    Example: tiffsd demo --out /tmp/pictures
    """
    from daemon.service import Service
    from daemon.terminal import log_to_stderr, progress

    log_to_stderr(False)
    out_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tiffsd-demo-") as scratch:
        config = read_config(resource("config.yaml")).model_copy(update={"folder": Path(scratch)})
        _spool(config).create()
        for name, prompt in DEMO_PROMPTS.items():
            (config.spool_folder / "inbox/1-text" / f"{name}.txt").write_text(
                f"---\nseed: {DEMO_SEED}\n---\n{prompt}\n", encoding="utf-8"
            )
        service = Service(config)
        with progress(config.spool_folder):
            service.run_once()
        made = [_copy_new(path, out_folder) for path in sorted((config.spool_folder / "pictures").glob("*.png"))]
        reasons = [path.read_text(encoding="utf-8") for path in sorted(config.spool_folder.glob("failed/*/*/error.txt"))]
    for path in made:
        out.print(f"picture: {path}", markup=False)
    if len(made) < len(DEMO_PROMPTS):
        raise DaemonError(f"only {len(made)} of {len(DEMO_PROMPTS)} pictures were made: {' '.join(reasons)}")


@app.command()
def status(
    config: ConfigOption = None, as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False
) -> None:
    """Say what waits, runs, is held, is done and has failed; works with the daemon down.

    Example: tiffsd status --json
    """
    root = read_config(_config_path(config)).spool_folder
    counted = _with_the_daemons_word(root, read_status(root, now=datetime.now().astimezone()))
    if as_json:
        out.print_json(json.dumps(asdict(counted)))
    else:
        out.print(_status_table(counted))
        out.print(f"daemon: {'running' if counted.alive else 'not running'}; {counted.line()}", markup=False)


@app.command()
def show(files: Annotated[list[Path], typer.Argument(help="TIFFSD files.")]) -> None:
    """Say what a file is: kind, size, recipe, history.

    Example: tiffsd show spool/hold/2-diffuse/cat.3f9a1c2e.tiff
    """
    from daemon import oneshot

    for path in files:
        out.print(oneshot.describe(path), markup=False)


@app.command()
def release(
    files: Annotated[list[Path], typer.Argument(help="Files in hold/, or names of them.")], config: ConfigOption = None
) -> None:
    """Approve files that wait on hold: move them to their inbox.

    Example: tiffsd release cat.3f9a1c2e.tiff
    """
    spool = _spool(read_config(_config_path(config)))
    for path in files:
        out.print(f"released to {spool.release_hold(_located(path, spool.root / 'hold'))}", markup=False)


@app.command()
def retry(
    folders: Annotated[list[Path], typer.Argument(help="Folders in failed/, or names of them.")],
    config: ConfigOption = None,
) -> None:
    """Run failed jobs again: move their files back to their inbox.

    Example: tiffsd retry cat.3f9a1c2e
    """
    spool = _spool(read_config(_config_path(config)))
    for path in folders:
        for moved in spool.retry(_located(path, spool.root / "failed")):
            out.print(f"tried again: {moved}", markup=False)


@app.command()
def cancel(
    names: Annotated[list[str], typer.Argument(help="Names in running/, with or without .txt.")],
    config: ConfigOption = None,
) -> None:
    """Cancel running jobs; their files go to failed/, so that nothing is lost.

    Example: tiffsd cancel cat.3f9a1c2e
    """
    root = read_config(_config_path(config)).spool_folder
    for name in names:
        path = root / "running" / f"{name.removesuffix('.txt')}.txt"
        if not path.is_file():
            running = ", ".join(job.name for job in read_running(root)) or "none"
            raise DaemonError(f"{name} is not running; running are: {running}")
        path.unlink()
        out.print(f"cancelled: {name}", markup=False)


@app.command()
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


@app.command()
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


@app.command()
def decode(
    file: Annotated[Path, typer.Argument(help="Latents.")],
    output: Annotated[str | None, typer.Option("-o", "--output", help="The picture to write, .png or .tiff.")] = None,
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


@app.command()
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


def _one_shot(stage: str, target: Path, config: Path | None, work: Callable[[Config, OnProgress], list[str]]) -> None:
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


def _config_path(given: Path | None) -> Path:
    return given or next((path for path in USUAL_CONFIGS if path.is_file()), USUAL_CONFIGS[0])


def _spool(config: Config) -> "Spool":
    from daemon.spool import Spool

    return Spool(config.spool_folder, {stage.name: stage.folder for stage in STAGES.values()})


def _located(path: Path, under: Path) -> Path:
    """A path as given, or the one entry of that name in the folders below `under`."""
    if path.exists():
        return path.parent.resolve() / path.name
    found = list(under.glob(f"*/{path.name}"))
    if len(found) != 1:
        raise DaemonError(f"{path}: there {'is no file' if not found else 'are several files'} of that name below {under}")
    return found[0]


def _copy_new(path: Path, folder: Path) -> Path:
    return Path(shutil.copyfile(path, folder / path.name))


def _with_the_daemons_word(root: Path, counted: Status) -> Status:
    """Add what only the living daemon knows, from its status.json."""
    if not counted.alive:
        return counted
    try:
        said = json.loads((root / "status.json").read_text(encoding="utf-8"))
        return read_status(
            root,
            now=datetime.now().astimezone(),
            alive=True,
            troubles={name: stage["degraded"] for name, stage in said["stages"].items() if stage["degraded"]},
            waits={name: stage["waits"] for name, stage in said["stages"].items()},
            gates=[name for name, stage in said["stages"].items() if stage["gated"]],
            worker=said["worker"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return counted


def _status_table(counted: Status) -> Table:
    table = Table("stage", "waiting", "on hold", "failed", "state")
    for name, stage in counted.stages.items():
        state = ["paused"] * stage.paused + ["gate on"] * stage.gated + [stage.degraded or ""]
        table.add_row(
            name,
            str(stage.waiting),
            str(stage.held),
            str(stage.failed),
            ", ".join(filter(None, [*state, *stage.waits])),
        )
    for line in counted.running:
        table.add_row("running", "", "", "", line)
    return table
