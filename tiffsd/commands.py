"""The commands on files: `tiffsd show`, `crop`, `set` and so on; `python -m tiffsd` has them without the daemon.

Places and sizes are in pixels of the picture: WIDTHxHEIGHT+LEFT+TOP. A result is written beside its origin as STEM.ID.tiff with a
new id, or where -o says, which may replace a file. Modules that cost time to load are imported by the commands that need them.
"""

import difflib
import json
import logging
import re
import shlex
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from tiffsd.shown import in_words, shown
from tiffsd.spec import SUFFIXES, Layout, NotTiffsd, TiffsdError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tiffsd.artifact import Artifact
    from tiffsd.exchange import Form
    from tiffsd.latent_file import Scaling
    from tiffsd.spec import Kind

SIDE_OF_A_PREVIEW = 8  # pixels for one value of latents, as in the finished picture
NAME = re.compile(r"(?P<stem>.+?)(\.[0-9a-f]{8})?(\.tiff?|\.exr|\.latent)?", re.IGNORECASE)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
# Pillow has a limit of its own, which a program may have switched off.
MOST_PIXELS = 2**27
PROSE = ("prompt", "negative_prompt")  # a prompt of "2024" is words

PATH = click.Path(path_type=Path)
as_json_option = click.option("--json", "as_json", is_flag=True, help="The same for programs.")
HELP = {"help_option_names": ["-h", "--help"]}
version_option = click.version_option(package_name="tiffsd", message="tiffsd %(version)s")
output_option = click.option("-o", "--output", type=PATH, help="The file to write; it is replaced where it exists.")


class Commands(click.Group):
    """Commands whose list gives the whole first sentence of each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Override click, which cuts sentences at the end of the line."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, (command.help or "").partition("\n\n")[0]) for name, command in commands if command])

    def invoke(self, ctx: click.Context) -> Any:
        """Override click, whose complaints repeat what was typed, and so the names of files, as they are."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise click.UsageError(shown(error.format_message()), error.ctx) from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Override click, which does not say where an option belongs that stands before its command."""
        typed = [*args]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if (line := self._typed_right(ctx, typed)) is None:
                raise
            said = f"{error.option_name} goes behind the command, since it is one of its options: {line}"
            raise click.UsageError(said, error.ctx) from error

    def _typed_right(self, ctx: click.Context, typed: list[str]) -> str | None:
        """The line with the options behind the command that have stood before it; None where they are not the command's."""
        words = ((index, word) for index, word in enumerate(typed) if not word.startswith("-"))
        found = ((index, word, command) for index, word in words if (command := self.get_command(ctx, word)))
        index, word, command = next(found, (0, "", None))
        known = {option for parameter in command.params for option in parameter.opts} if command else set[str]()
        if not index or typed[0].partition("=")[0] not in known:
            return None
        return shlex.join([ctx.info_name or "tiffsd", word, *typed[index + 1 :], *typed[:index]])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Override click, which names no command that may be meant."""
        near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1) if args else []
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            meant = f" Did you mean {near[0]!r}?" if near and "Did you mean" not in error.message else ""
            raise click.UsageError(error.message + meant, error.ctx) from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click hands it over
        """In the order in which they are defined."""
        return list(self.commands)


@click.group(cls=Commands, context_settings=HELP)
@version_option
def app() -> None:
    """Look at TIFFSD files, and edit them without an editor."""


class Knowledge(Protocol):
    """What a daemon adds to these commands, handed over as the context's `obj`."""

    def checked(self, settings: dict[str, Any], where: str) -> dict[str, Any]:
        """Settings as the vocabulary has them. Raises an error for a person."""

    def explain(self, path: Path, told: Collection[str]) -> list[tuple[bool, str]]:
        """What the daemon would do with a file, in sentences, and whether it would use it; without the notes that were `told`."""

    def kind_meant(self, path: Path) -> "Kind | None":
        """What a file must hold where it lies, or by the id in its name; None where it may be anything."""

    def recipe(self, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The recipe in a picture that is no TIFF, or in latents of ComfyUI, and notes. Raises an error for a person."""

    def scaling(self, model: str) -> tuple[float, float] | None:
        """The scaling factor and the shift of a model's VAE; None where the model, or what it says of them, is not known."""


@app.command()
@click.argument("files", nargs=-1, required=True, type=PATH)
@as_json_option
@click.pass_obj
def show(knowledge: Knowledge | None, files: tuple[Path, ...], as_json: bool) -> None:
    """Say what a file is: kind, size, recipe, history, statistics of each channel; of a PNG, JPEG or WebP size and recipe.

    Example: tiffsd show cat.tiff
    """
    from tiffsd.summary import describe, outline

    for path in files:
        if knowledge and path.suffix.lower() in PICTURE_SUFFIXES:
            _show_picture(knowledge, path, as_json=as_json)
            continue
        artifact = _read(path)
        # Its lines are shown one by one, in `describe`, and JSON writes what cannot be seen in its own way.
        click.echo(json.dumps({"file": str(path), **outline(artifact)}) if as_json else f"{shown(path.name)}: {describe(artifact)}")


@app.command()
@click.argument("files", nargs=-1, required=True, type=PATH)
@click.pass_obj
def check(knowledge: Knowledge | None, files: tuple[Path, ...]) -> None:
    """Say whether a file is valid, and what the daemon would do with it; exit with 1 where one is not, or would be refused.

    FILES are files of any kind.

    Example: tiffsd check cat.tiff
    """
    faults = 0
    for path in files:
        try:
            is_well, lines = _verdict(path, knowledge)
        except FileNotFoundError:
            is_well, lines = False, []
            _say(f"{path}: there is no such file; give the path of one, as from {Path.cwd()}", err=True)
        except (TiffsdError, OSError) as error:
            is_well, lines = False, []
            _say(f"{path.name}: not valid: {in_words(error)}", err=True)
        # Out here: a pipe that nobody reads any more is no fault of the file.
        for line in lines:
            _say(f"{path.name}: {line}")
        faults += not is_well
    if faults:
        raise click.exceptions.Exit(1)


@app.command()
@click.argument("file", type=PATH)
@click.option("--canvas", is_flag=True, help="The canvas as an editor shows it, instead of colours.")
@click.option("-o", "--output", type=PATH, help="The PNG to write; FILE.png where it is left out.")
@click.pass_obj
def preview(knowledge: Knowledge | None, file: Path, canvas: bool, output: Path | None) -> None:
    """Write a PNG to glance at: latents in colours, without a VAE; one block for each value.

    Of a PNG, JPEG or WebP, which can be glanced at, say its recipe.

    Example: tiffsd preview cat.tiff -o cat.png
    """
    from tiffsd import preview as previews
    from tiffsd.spec import Kind

    if knowledge and file.suffix.lower() in PICTURE_SUFFIXES:
        if output or canvas:
            raise click.UsageError(f"{shown(file.name)} is a picture already; leave out -o and --canvas")
        _show_picture(knowledge, file, as_json=False)
        return
    artifact = _at_a_glance(_read(file))
    levels = previews.canvas(artifact) if canvas else previews.preview(artifact)
    factor = SIDE_OF_A_PREVIEW if artifact.header.kind is Kind.LATENTS and not canvas else 1
    _write_png(output or _unused(file.with_suffix(".png")), previews.enlarged(levels, factor))


@app.command()
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.option("-o", "--output", type=PATH, help="A PNG of where they differ: white is most.")
def diff(first: Path, second: Path, output: Path | None) -> None:
    """Say where two artifacts differ: per channel, in other tensors, in the recipe.

    Example: tiffsd diff cat.tiff painted.tiff -o difference.png
    """
    from tiffsd.difference import compare, heat
    from tiffsd.preview import enlarged
    from tiffsd.spec import Kind

    one = _read(first)
    found = compare(one, _read(second))
    for channel in found.channels:
        share = f"{channel.differ} of {channel.values} values differ"
        _say(f"{channel.name}: {share}, at most {channel.largest:.6g}, {channel.mean:.6g} in the mean")
    for name in found.tensors:
        _say(f"{name}: differs")
    for key, (here, there) in found.recipe.items():
        _say(f"{key}: {json.dumps(here, ensure_ascii=False)} and {json.dumps(there, ensure_ascii=False)}")
    if found.none:
        _say("no difference")
    if output:
        factor = SIDE_OF_A_PREVIEW if one.header.kind is Kind.LATENTS else 1
        _write_png(output, enlarged(heat(found.distance), factor))


@app.command()
@click.argument("file", type=PATH)
@click.option("--layout", type=click.Choice([*map(str, Layout)]), help="How latents lie on the canvas: mosaic, pages or rgba.")
@click.option("--dtype", help="Of a picture: float16 or float32.")
@click.option("--prototype", is_flag=True, help="Write the files of the prototype of 2023.")
@click.option("--form", type=click.Choice(["tiff", "exr", "latent"]), help="The form to write, where -o does not say it.")
@click.option("--model", help="Whose VAE latents of ComfyUI are of: sd1, sd2, sdxl, sd3, flux, or one of config.yaml.")
@click.option("--scaling-factor", type=float, help="That of the VAE, where no model says it.")
@click.option("--shift-factor", type=float, help="That of the VAE, beside its scaling factor; else 0.")
@output_option
@click.pass_obj
def convert(
    knowledge: Knowledge | None,
    file: Path,
    layout: str | None,
    dtype: str | None,
    prototype: bool,
    form: str | None,
    model: str | None,
    scaling_factor: float | None,
    shift_factor: float | None,
    output: Path | None,
) -> None:
    """Write the same in another layout or precision, as OpenEXR or latents of ComfyUI, or the prototype's files, and back.

    Example: tiffsd convert cat.tiff -o cat.exr
    """
    from tiffsd.exchange import FORMATS, Form, form_of

    if dtype not in (None, "float16", "float32"):
        raise click.BadParameter(f"{dtype} is neither float16 nor float32", param_hint="--dtype")
    if prototype and (layout or dtype or form):
        raise click.BadParameter("the prototype's files have one layout and one precision; say no others", param_hint="--prototype")
    written = Form(form) if form else (output and form_of(output)) or Form.TIFF
    artifact, factors = _read(file), _Factors(model, scaling_factor, shift_factor)
    factors.check_needed(artifact, written)
    foreign = written is not Form.TIFF or form_of(file) not in (written, None)
    if not (prototype or layout or dtype or foreign or _gains_by_writing(artifact)):
        what = "say what is to change: --layout, --dtype, --form or --prototype"
        raise click.BadParameter(f"{file.name} is {FORMATS[written]} already; {what}")
    artifact = _of_the_denoiser(artifact, file, factors, knowledge)
    if prototype:
        _write_prototype(artifact, file, output)
    else:
        _write_converted(artifact, file, output, written, _changes(layout, dtype), factors, knowledge)


@app.command()
@click.argument("file", type=PATH)
@click.argument("region")
@output_option
def crop(file: Path, region: str, output: Path | None) -> None:
    """Cut a region out of latents or of a picture.

    REGION is WIDTHxHEIGHT+LEFT+TOP in pixels of the picture.

    Example: tiffsd crop cat.tiff 64x64+32+0
    """
    from tiffsd.edit import crop as cropped
    from tiffsd.region import parse_region

    _write(cropped(_read(file), parse_region(region)), file, output)


@app.command()
@click.argument("source", type=PATH)
@click.argument("into", type=PATH)
@click.option("--at", required=True, help="Where its upper left corner goes: +LEFT+TOP in pixels of the picture.")
@click.option("--region", help="The part to paste, WIDTHxHEIGHT+LEFT+TOP; else all.")
@output_option
def paste(source: Path, into: Path, at: str, region: str | None, output: Path | None) -> None:
    """Put a region of one artifact into another at a place.

    SOURCE is what to paste, INTO what to paste it into.

    Example: tiffsd paste moon.tiff cat.tiff --at +64+16
    """
    from tiffsd.edit import paste as pasted
    from tiffsd.region import parse_corner, parse_region

    left, top = parse_corner(at)
    part = parse_region(region) if region else None
    _write(pasted(_read(source), _read(into), left=left, top=top, region=part), into, output)


@app.command()
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@click.option("--weight", type=click.FloatRange(0, 1), help="0 is the first file, 1 the second; 0.5 where it is left out.")
@click.option("--mask", type=PATH, help="A picture: black is the first file, white the second.")
@output_option
def blend(first: Path, second: Path, weight: float | None, mask: Path | None, output: Path | None) -> None:
    """Mix two artifacts by a weight or by a mask; noise stays noise.

    Example: tiffsd blend cat.tiff dog.tiff --mask left-half.png
    """
    from tiffsd.edit import blend as blended

    if mask and weight is not None:
        raise click.BadParameter("a mask says the weight of each place; give one of the two", param_hint="--mask")
    share = 0.5 if weight is None else weight
    _write(blended(_read(first), _read(second), _read_mask(mask) if mask else share), first, output)


@app.command()
@click.argument("file", type=PATH)
@click.option("--latents", default=1.0, show_default=True, help="The factor for latents, -100 to 100.")
@click.option("--prompt", default=1.0, show_default=True, help="The factor for the prompt's embedding, -100 to 100.")
@output_option
def scale(file: Path, latents: float, prompt: float, output: Path | None) -> None:
    """Multiply latents or the prompt's embedding by a factor, as `latent_influence` and `prompt_influence` do.

    Example: tiffsd scale cat.tiff --prompt 1.2
    """
    from tiffsd.edit import scale as scaled

    if latents == prompt == 1:
        raise click.BadParameter("say a factor other than 1: --latents or --prompt")
    _write(scaled(_read(file), latents=latents, prompt=prompt), file, output)


@app.command()
@click.argument("latents", type=PATH)
@click.argument("embedding", type=PATH)
@output_option
def marry(latents: Path, embedding: Path, output: Path | None) -> None:
    """Put a text embedding into the latents' file, in the place of the one there.

    EMBEDDING is an embedding, or other latents with one.

    Example: tiffsd marry cat_latent.tiff cat_prompt.tiff -o cat.tiff
    """
    from tiffsd.edit import marry as married
    from tiffsd.spec import Kind

    _write(married(_read(latents, Kind.LATENTS), _read(embedding)), latents, output)


@app.command()
@click.argument("file", type=PATH)
@click.option("-o", "--output", type=PATH, help="NAME for NAME_latent.tiff and NAME_prompt.tiff.")
def split(file: Path, output: Path | None) -> None:
    """Take the text embedding out of the latents' file: two files, which the daemon takes as a pair.

    Example: tiffsd split cat.tiff -o cat
    """
    from tiffsd.edit import split as halves

    for ending, half in zip(("_latent", "_prompt"), halves(_read(file)), strict=True):
        name = _ending_in(output, f"{ending}.tiff") if output else None
        _write(half, file.with_name(f"{_stem(file)}{ending}.tiff"), name)


@app.command("set")
@click.argument("file", type=PATH)
@click.argument("settings", nargs=-1, required=True, metavar="KEY=VALUE...")
@output_option
@click.pass_obj
def set_(knowledge: Knowledge | None, file: Path, settings: tuple[str, ...], output: Path | None) -> None:
    """Change settings in a file's recipe.

    KEY= takes a setting out.

    Example: tiffsd set cat.tiff steps=30 "prompt=a black cat"
    """
    from tiffsd.edit import with_settings

    said = dict(_setting(word) for word in settings)
    if knowledge:
        given = {key: value for key, value in said.items() if value is not None}
        said |= knowledge.checked(given, "the command line")
    _write(with_settings(_read(file), said), file, output)


def _say(words: str, *, err: bool = False) -> None:
    """Say one line to whoever runs the command."""
    click.echo(shown(words), err=err)


def _verdict(path: Path, knowledge: Knowledge | None) -> tuple[bool, list[str]]:
    """Whether a file is valid, and used by the daemon where that is known; and what there is to say of it."""
    from tiffsd.summary import headline

    lines, told = list[str](), list[str]()
    path.stat()  # of what is not there nothing can be said by its name
    # Prompts and photos are no artifacts, but a daemon takes them.
    if knowledge is None or path.suffix.lower() in SUFFIXES:
        artifact = _read(path)
        told = [*artifact.notes, *([artifact.told_painted] if artifact.told_painted else [])]
        lines = [f"valid: {headline(artifact)}", *(f"note: {note}" for note in told)]
    foretold = knowledge.explain(path, told) if knowledge else []
    is_well = not foretold or any(is_used for is_used, _ in foretold)
    if not is_well and knowledge and lines:
        _check_as_meant(path, knowledge)
    return is_well, [*lines, *(sentence for _, sentence in foretold)]


def _check_as_meant(path: Path, knowledge: Knowledge) -> None:
    """Raise TiffsdError for a file that is sound, but not as what it must be where it lies or by its id."""
    from tiffsd.spec import WrongKind

    with suppress(WrongKind):  # of which the daemon tells
        _read(path, knowledge.kind_meant(path))


def _show_picture(knowledge: Knowledge, path: Path, *, as_json: bool) -> None:
    """Say of a PNG, JPEG or WebP what an artifact of it would say: size, recipe, notes."""
    width, height = _picture_size(path)
    recipe, notes = knowledge.recipe(path)
    if as_json:
        facts = {"file": str(path), "kind": "picture", "size": [height, width, 3], "recipe": recipe, "notes": list(notes)}
        click.echo(json.dumps(facts))
        return
    _say(f"{path.name}: a {path.suffix[1:].upper()} picture, {width}x{height} pixels")
    for key, value in recipe.items():
        _say(f"  {key}: {json.dumps(value, ensure_ascii=False)}")
    for note in notes if recipe else (*notes, "there is no recipe in it"):
        _say(f"  note: {note}")


def _picture_size(path: Path) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    from tiffsd.spec import TooLarge

    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            return image.size
    except UnidentifiedImageError as error:
        raise NotTiffsd(f"{path.name} is no picture, though it has the name of one; save it again") from error
    except Image.DecompressionBombError as error:
        raise TooLarge(f"{path.name} has more pixels than any picture; make it smaller") from error


def _setting(word: str) -> tuple[str, Any]:
    """ "steps=30" -> ("steps", 30); a value is JSON where it is, else words; None for "steps="."""
    key, found, value = word.partition("=")
    if not found or not key:
        raise click.BadParameter(f"{word!r} is no setting; write KEY=VALUE, such as steps=30")
    if not value:
        return key, None
    try:
        return key, value if key in PROSE else json.loads(value)
    except ValueError:
        return key, value


def _read(path: Path, expect: Any = None) -> "Artifact":
    from tiffsd.reading import read

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it complains of ends in a sentence here
    return read(path, expect=expect, name=path.name)


def _read_mask(path: Path) -> "NDArray[np.float64]":
    """A mask picture of any format as weights (H, W), black 0 to white 1."""
    import numpy as np
    from PIL import Image

    from tiffsd.spec import Kind, TooLarge

    if path.suffix.lower() in (*SUFFIXES, ".exr"):
        weights: NDArray[np.float64] = _read(path, Kind.PICTURE).tensors["picture"].mean(axis=2, dtype=np.float64).clip(0, 1)
        return weights
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            wide = image.mode.startswith("I")  # 16 bits, which convert("L") would clip instead of scale
            levels = np.asarray(image if wide else image.convert("L"), np.float64)
    except Image.DecompressionBombError as error:
        raise TooLarge(f"{path.name} has more pixels than any picture; make a mask of the size of what is blended") from error
    return levels / (65535 if wide else 255)


def _gains_by_writing(artifact: "Artifact") -> bool:
    """Whether the file is not what TIFFSD would write: of another program, or saved by one."""
    known = artifact.header.recipe or artifact.header.history
    return bool(artifact.notes or artifact.painted or not known)


def _of_artifact(output: Path, endings: tuple[str, ...] = SUFFIXES, what: str = "a TIFF file") -> Path:
    """The name that a person gave to an artifact, with an ending."""
    if output.suffix and output.suffix.lower() not in endings:
        raise click.UsageError(f"{output} ends in {output.suffix}, and what is written is {what}; let it end in {endings[-1]}")
    return output if output.suffix or output.is_dir() else output.with_name(f"{output.name}{endings[-1]}")


def _write(artifact: "Artifact", origin: Path, output: Path | None) -> None:
    from tiffsd.file import write

    path = _of_artifact(output) if output else _unused(origin.with_name(f"{_stem(origin)}.{artifact.header.id}.tiff"))
    write(path, artifact)
    _say(f"wrote {path}")


def _changes(layout: str | None, dtype: str | None) -> dict[str, Any]:
    return {"layout": Layout(layout) if layout else None, "dtype": dtype}


def _write_converted(
    artifact: "Artifact",
    origin: Path,
    output: Path | None,
    form: "Form",
    changes: dict[str, Any],
    factors: "_Factors",
    knowledge: Knowledge | None,
) -> None:
    """Write an artifact in a form; where nothing else changes and nothing is to be told, it is the same one and keeps its id."""
    from tiffsd.edit import convert as converted
    from tiffsd.exchange import FORMATS, Form, form_of, laid_out_for, write_as

    rewritten = form is Form.TIFF and form_of(origin) in (form, None)
    if rewritten or any(changes.values()) or artifact.notes or artifact.painted:
        artifact = converted(artifact, **changes)
    if not changes["layout"]:
        artifact = laid_out_for(artifact, form, form_of(origin))
    scaling = factors.of(artifact, knowledge) if form is Form.LATENT else None
    endings = SUFFIXES if form is Form.TIFF else (form.suffix,)
    named = f"{_stem(origin)}.{artifact.header.id}{form.suffix}"
    path = _of_artifact(output, endings, FORMATS[form]) if output else _unused(origin.with_name(named))
    for note in write_as(path, form, artifact, scaling):
        _say(f"note: {note}", err=True)
    _say(f"wrote {path}")


def _write_prototype(artifact: "Artifact", origin: Path, output: Path | None) -> None:
    from tiffsd.file import write_plain
    from tiffsd.prototype import ending, plain

    stem = _stem(origin).removesuffix(ending(origin.name) or "")
    for name, planes in plain(artifact.tensors, artifact.header).items():
        path = _ending_in(output, f"{name}.tiff") if output else _unused(origin.with_name(f"{stem}{name}.tiff"))
        write_plain(path, planes)
        _say(f"wrote {path}")


@dataclass(frozen=True)
class _Factors:
    """What a person says of the VAE whose units ComfyUI has latents in."""

    model: str | None
    factor: float | None
    shift: float | None

    def check_needed(self, artifact: "Artifact", form: "Form") -> None:
        """Raise an error for what was said and would not be used."""
        if self == _Factors(None, None, None):
            return
        if not (artifact.of_vae or form == "latent"):
            raise click.BadParameter("only latents of ComfyUI are in other units; leave out --model and the factors")
        if (self.shift is not None and self.factor is None) or (self.model and self.factor is not None):
            raise click.BadParameter("say --model, or --scaling-factor and perhaps --shift-factor beside it")

    def of(self, artifact: "Artifact", knowledge: Knowledge | None) -> "Scaling":
        """The scaling that is meant: the one that was said, else that of the model, else that of the recipe's model."""
        from tiffsd.latent_file import SCALINGS, Scaling

        if self.factor is not None:
            return Scaling(self.factor, self.shift or 0.0)
        model = self.model or artifact.header.recipe.get("model")
        found = knowledge.scaling(str(model)) if knowledge and model else None
        if found:
            return Scaling(*found)
        if str(model) in SCALINGS:
            return SCALINGS[str(model)]
        known = f"the model {model!r} does not say what its VAE has; " if model else ""
        raise click.UsageError(
            f"ComfyUI has latents in the units of their VAE, and which that is must be said: {known}give --model "
            f"({', '.join(SCALINGS)}, or one of config.yaml) or --scaling-factor"
        )


def _of_the_denoiser(artifact: "Artifact", path: Path, factors: _Factors, knowledge: Knowledge | None) -> "Artifact":
    """Latents of ComfyUI in the units of the format, with the recipe of the graph in their file; others as they are."""
    from tiffsd.latent_file import scaled

    if not artifact.of_vae:
        return artifact
    if knowledge:
        recipe, notes = knowledge.recipe(path)
        artifact = replace(artifact, header=replace(artifact.header, recipe=recipe), notes=(*artifact.notes, *notes))
    return scaled(artifact, factors.of(artifact, knowledge))


def _at_a_glance(artifact: "Artifact") -> "Artifact":
    """Latents of ComfyUI as they would be of the usual model with so many channels, which a glance can do with."""
    from tiffsd.latent_file import SCALINGS, scaled

    return scaled(artifact, SCALINGS["sd1" if artifact.header.size[0] == 4 else "flux"]) if artifact.of_vae else artifact


def _write_png(path: Path, levels: "NDArray[np.uint8]") -> None:
    from PIL import Image

    from tiffsd.atomic import replacing

    with replacing(path) as file:
        Image.fromarray(levels).save(file, format="PNG")
    _say(f"wrote {path}")


def _stem(path: Path) -> str:
    """What a person called the file: its name without id and extension."""
    found = NAME.fullmatch(path.name)
    return found["stem"] if found else path.name


def _ending_in(output: Path, ending: str) -> Path:
    if not output.name:
        raise IsADirectoryError(f"{output} is a folder; give the name that the files shall begin with")
    return output.with_name(f"{output.name}{ending}")


def _unused(path: Path) -> Path:
    """A name that nobody said in so many words must not replace a file."""
    if path.exists():
        raise FileExistsError(f"{path} exists; give the result another name with -o, or say this one to replace it")
    return path
