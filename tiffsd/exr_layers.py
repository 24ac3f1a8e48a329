"""The channels of an OpenEXR file, sorted into layers by their names; and which of these are a canvas, or a picture.

Names are "LAYER.CHANNEL" (Nuke, Blender, Krita, Photoshop); without a layer R, G, B, A and Y are the picture itself. Section 12 of
`tiffsd/spec.py`. Nothing here touches pixels.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tiffsd.exr_header import LOSSY_OF_FLOAT, LOSSY_OF_HALF, ExrChannel, ExrPart
from tiffsd.shown import shown
from tiffsd.spec import MOST_SAMPLES, NOUNS, PAGE_NAME, BadShape, BadValues, Kind, TooLarge

COLOURS = ("R", "G", "B")
GRAY, ALPHA = "Y", "A"
LUMA_CHROMA = {"RY", "BY"}
COMBINED = "Combined"  # the finished picture among the passes of Blender
# "channel 3.Y" as it is written, and as programs join, prefix and number it.
CHANNEL_OF_LATENTS = re.compile(r"(?:.*[./])?(?:channel|latents?)[ _.]?(\d{1,3})", re.IGNORECASE)
MOST_NAMES = 6


@dataclass(frozen=True)
class Layer:
    """Channels of one layer: its colours, red, green and blue or one alone, and alpha where it has one."""

    name: str
    part: ExrPart
    colours: tuple[ExrChannel, ...]
    alpha: ExrChannel | None = None

    @property
    def channels(self) -> tuple[ExrChannel, ...]:
        """Colours, and alpha behind them."""
        return self.colours if self.alpha is None else (*self.colours, self.alpha)

    @property
    def title(self) -> str:
        """The name of the page: "channel 3" where it is one of latents."""
        found = CHANNEL_OF_LATENTS.fullmatch(self.name)
        return PAGE_NAME.format(int(found[1])) if found else self.name

    @property
    def of_latents(self) -> bool:
        """Whether it is named as a channel of latents."""
        return CHANNEL_OF_LATENTS.fullmatch(self.name) is not None

    @property
    def is_picture(self) -> bool:
        """Whether it has red, green and blue, or a gray called so; any other one may be a depth, or a mask."""
        return len(self.colours) == len(COLOURS) or self.colours[0].name.rpartition(".")[2].upper() == GRAY


def layers_of(parts: Sequence[ExrPart]) -> list[Layer]:
    """All layers, in the order of parts and names; a layer of colours and others gives its colours."""
    layers = []
    for part in parts:
        groups: dict[str, dict[str, ExrChannel]] = {}
        for channel in part.channels:
            layer, _, name = channel.name.rpartition(".")
            groups.setdefault(layer, {})[name.upper()] = channel
        for layer, named in groups.items():
            layers += _layers(layer or part.name, part, named)
    return layers


def _layers(name: str, part: ExrPart, named: dict[str, ExrChannel]) -> list[Layer]:
    """The layers that channels of one prefix make: one of colours, or of gray, else one of each."""
    alpha = named.get(ALPHA)
    if all(colour in named for colour in COLOURS):
        return [Layer(name, part, tuple(named[colour] for colour in COLOURS), alpha)]
    if GRAY in named or len(named.keys() - {ALPHA}) == 1:
        only = GRAY if GRAY in named else next(iter(named.keys() - {ALPHA}))
        if not LUMA_CHROMA & named.keys():
            return [Layer(name, part, (named[only],), alpha)]
    # "latents.0", "latents.1": the layer is common, and each channel is one of latents.
    return [Layer(f"{name}.{key}" if name else key, part, (channel,)) for key, channel in named.items()]


def kind_of(layers: Sequence[Layer], expect: Kind | None) -> Kind:
    """The kind that a file without metadata is taken for: latents where layers are named as their channels."""
    if sum(layer.of_latents for layer in layers) > 1:
        return Kind.LATENTS
    return expect or Kind.PICTURE


def canvas_layers(layers: Sequence[Layer], kind: Kind, name: str) -> list[Layer]:
    """The layers that are the canvas of latents or of an embedding: those named as channels in their order, else the one picture.

    Raises BadShape where there is none, BadValues for lossy coding and whole numbers.
    """
    found = sorted((layer for layer in layers if layer.of_latents), key=lambda layer: int(layer.title.split()[-1]))
    found = found or [picture_layer(layers, name)]
    for layer in found:
        check_layer(layer, kind, name)
    return found


def picture_layer(layers: Sequence[Layer], name: str) -> Layer:
    """The layer that is the picture: the one without a name, else the only one of colours, else the combined one of a renderer.

    Raises BadShape with the names that there are.
    """
    if any({channel.name.rpartition(".")[2].upper() for channel in layer.part.channels} & LUMA_CHROMA for layer in layers):
        raise BadShape(f"{name} has its colours as luminance and chroma (Y, RY, BY), and R, G and B are read; export it as RGB")
    pictures = [layer for layer in layers if layer.is_picture]
    # A part may have a name, and its picture none.
    plain = [layer for layer in pictures if "." not in layer.colours[0].name]
    combined = [layer for layer in pictures if layer.name.rpartition(".")[2] == COMBINED]
    for choice in (plain[:1], pictures if len(pictures) == 1 else [], combined if len(combined) == 1 else []):
        if choice:
            return choice[0]
    named = ", ".join(shown(repr((layer.name or layer.colours[0].name)[:40])) for layer in (pictures or layers)[:MOST_NAMES])
    if pictures:
        raise BadShape(f"{name} has {len(pictures)} pictures in it ({named}), and one is read; export the one that is meant alone")
    raise BadShape(f"{name} has no channels R, G and B, nor Y ({named} are there); export it as RGB or gray")


def check_layer(layer: Layer, kind: Kind, name: str) -> None:
    """Refuse what cannot be read of this kind, before any pixel is: deep or subsampled pixels, and a canvas that is not exact."""
    part, channels = layer.part, layer.channels
    if part.deep:
        raise BadShape(f"{name} has deep pixels, of many samples each; flatten it, and export it as a plain picture")
    if any(channel.sampling != (1, 1) for channel in channels):
        raise BadShape(f"{name} has channels of half the size, and all are to be as large as the picture; export it as RGB")
    if kind is Kind.PICTURE:
        return
    types = {channel.dtype.name for channel in layer.colours}
    lossy = ({"float16"} & types and part.compression in LOSSY_OF_HALF) or (
        {"float32"} & types and part.compression in LOSSY_OF_FLOAT
    )
    if lossy:
        raise BadValues(
            f"{name} is compressed with {part.compression}, which changes values, and {kind.plural} are read without; "
            f"export the original again with ZIP or PIZ"
        )
    if "uint32" in types:
        raise BadValues(f"{name} has whole numbers, and {kind.plural} are floats; export the original again as 32-bit float")


def check_sizes(layers: Sequence[Layer], parts: Sequence[ExrPart], kind: Kind, name: str, *, largest: int | None) -> None:
    """Refuse with TooLarge what is more than a file of this kind has; `largest` bounds the pixels, all pages together."""
    stored = sum(channel.height * channel.width for part in parts for channel in part.channels)
    wanted = sum(max(layer.part.display.width * layer.part.display.height, layer.colours[0].height * layer.colours[0].width)
                 * len(layer.channels) for layer in layers)  # fmt: skip
    if max(wanted, stored if kind is Kind.PICTURE else wanted) > MOST_SAMPLES[kind] or stored > MOST_SAMPLES[Kind.PICTURE]:
        raise TooLarge(
            f"{name} has {max(stored, wanted):,} samples in all its channels, and {kind.plural} of at most {MOST_SAMPLES[kind]:,} "
            f"are read; export it smaller, or fewer channels"
        )
    pixels = sum(layer.part.display.width * layer.part.display.height for layer in layers)
    pixels = max(pixels, sum(layer.part.data.width * layer.part.data.height for layer in layers))
    if largest is not None and pixels > largest:
        raise TooLarge(
            f"{name} has a canvas of {pixels:,} pixels, and at most {largest:,} are read here for {NOUNS[kind]}; make it smaller"
        )
