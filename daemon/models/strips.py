"""A VAE decodes and encodes in row strips, exactly: the memory is bounded, and there are no seams.

Layer by layer, each strip with the one row on either side that a convolution sees, and every group normalisation with the
statistics of the whole map; only the attention in the middle, at the size of the latents, sees all of it at once. The result is
that of the whole picture up to the rounding of floats. diffusers' tiling is another thing: each of its tiles has statistics and
an attention of its own, so that tones drift from tile to tile.
"""

import functools
import itertools
import logging
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import nn

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.copies import Read, copies_for
from daemon.models.maps import FeatureMap, Memory, Scratch, Storage
from daemon.models.stage_settings import RoomSettings, StageSettings

logger = logging.getLogger(__name__)

# Values of one strip with all that a layer makes of it: measured, a seventh faster than four times as much, which no cache holds.
STRIP_BYTES = 32 * 2**20
# On an accelerator, where each strip has a price whatever its size. It may be one of so many parts of what is free there: others
# travel at the same time, and convolutions need memory to work in.
ACCELERATOR_STRIP_BYTES = 512 * 2**20
STRIPS_IN_FREE = 16
# Where an accelerator lacks memory all the same, a picture is taken in smaller and smaller strips.
SMALLER = (1, 4, 16)
# Of very wide pictures, so that the two rows more that each strip reads do not count for too much.
LEAST_ROWS = 8
# Queries that look at all keys at a time.
QUERIES = 4096


@dataclass(frozen=True)
class Room:
    """What decoding or encoding may take: bytes of main memory, and the folder of the scratch files beyond it.

    On an accelerator a picture is taken whole where it fits into half of what is free of the accelerator's memory.
    """

    memory_bytes: int
    scratch: Path

    @classmethod
    def of(cls, settings: StageSettings) -> Self:
        """The room that a job's settings give under "room"; without one, all there is."""
        everything: RoomSettings = {"memory_bytes": sys.maxsize, "scratch": tempfile.gettempdir()}
        room = settings.get("room", everything)
        return cls(room["memory_bytes"], Path(room["scratch"]))

    def whole_bytes(self, device: torch.device) -> int:
        """How much a picture that is taken whole may need."""
        return _free_bytes(device) // 2 if device.type == "cuda" else self.memory_bytes

    def strip_bytes(self, device: torch.device) -> int:
        """How large a strip shall be, with all that a layer makes of it."""
        if device.type != "cuda":
            return STRIP_BYTES
        return min(max(_free_bytes(device) // STRIPS_IN_FREE, STRIP_BYTES), ACCELERATOR_STRIP_BYTES)


def _free_bytes(device: torch.device) -> int:
    """What this process can have of an accelerator: what nobody has, and what torch keeps for it without need."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def decode(vae: Any, latents: torch.Tensor, room: Room, progress: Progress) -> torch.Tensor:
    """Latents (1, C, h, w) as `vae.decode` takes them -> the picture (1, 3, H, W) that it gives.

    Whole where there is room for it, else in strips, and in those too where the accelerator turns out to have too little memory.
    Raises InputError where neither memory nor scratch files have room for the feature maps.
    """
    layers, factor = _decoder(vae), 2 ** (len(vae.config.block_out_channels) - 1)
    if _fits_whole(layers, latents, factor, room):
        picture: torch.Tensor | None = _unless_too_large(lambda: vae.decode(latents, return_dict=False)[0])
        if picture is not None:
            progress(1, 1)
            return picture
    unquantised = latents if vae.post_quant_conv is None else vae.post_quant_conv(latents)
    return _walk(layers, unquantised, factor, room, progress)


def encode(vae: Any, picture: torch.Tensor, room: Room, progress: Progress) -> Any:
    """A picture (1, 3, H, W) in -1..1 -> the distribution of latents that `vae.encode` gives.

    Whole or in strips, and raises InputError, as `decode` does.
    """
    layers = _encoder(vae)
    if _fits_whole(layers, picture, 1, room):
        distribution = _unless_too_large(lambda: vae.encode(picture).latent_dist)
        if distribution is not None:
            progress(1, 1)
            return distribution
    moments = _walk(layers, picture, 1, room, progress).to(vae.device)
    return DiagonalGaussianDistribution(moments if vae.quant_conv is None else vae.quant_conv(moments))


def _fits_whole(layers: list["_Layer"], tensor: torch.Tensor, factor: int, room: Room) -> bool:
    pixels = tensor.shape[-2] * factor * tensor.shape[-1] * factor
    needed = max(layer.whole_bytes(pixels * layer.size**2) for layer in layers)
    return needed * tensor.element_size() / 4 <= room.whole_bytes(tensor.device)


def _unless_too_large(work: Callable[[], Any]) -> Any:
    """What some work gives; None where the accelerator had too little memory for it, and what it took is free again."""
    with suppress(torch.OutOfMemoryError):
        return work()
    # Not within a handler: the error holds all that the work had made so far.
    logger.info("the device has too little memory for a picture as it was taken; it is taken in smaller parts")
    torch.cuda.empty_cache()
    return None


def _decoder(vae: Any) -> list["_Layer"]:
    """The layers of diffusers' Decoder, in its order."""
    decoder, factor = vae.decoder, len(vae.config.block_out_channels) - 1
    layers: list[_Layer] = [_Convolution(decoder.conv_in, 2.0**-factor), *_middle(decoder.mid_block, 2.0**-factor)]
    for block in decoder.up_blocks:
        layers += [_Resnet(resnet, layers[-1].size) for resnet in block.resnets]
        layers += [_Upsample(sampler.conv, layers[-1].size * 2) for sampler in block.upsamplers or ()]
    return [*layers, _Convolution(decoder.conv_out, 1.0, norm=decoder.conv_norm_out)]


def _encoder(vae: Any) -> list["_Layer"]:
    """The layers of diffusers' Encoder, in its order."""
    encoder = vae.encoder
    layers: list[_Layer] = [_Convolution(encoder.conv_in, 1.0)]
    for block in encoder.down_blocks:
        layers += [_Resnet(resnet, layers[-1].size) for resnet in block.resnets]
        layers += [_Downsample(sampler.conv, layers[-1].size / 2) for sampler in block.downsamplers or ()]
    size = layers[-1].size
    return [*layers, *_middle(encoder.mid_block, size), _Convolution(encoder.conv_out, size, norm=encoder.conv_norm_out)]


def _middle(block: Any, size: float) -> list["_Layer"]:
    layers: list[_Layer] = [_Resnet(block.resnets[0], size)]
    for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
        layers += [_Attention(attention, size)] if attention is not None else []
        layers += [_Resnet(resnet, size)]
    return layers


def _walk(layers: list["_Layer"], tensor: torch.Tensor, factor: int, room: Room, progress: Progress) -> torch.Tensor:
    _, _, height, width = tensor.shape
    pixels = height * factor * width * factor
    peak_bytes = int(max(layer.map_bytes(pixels * layer.size**2) for layer in layers))

    def walked(part: int) -> torch.Tensor:
        return _walk_once(layers, tensor, _Maps(room, tensor, peak_bytes, part), progress)

    *larger, smallest = SMALLER
    tries = (_unless_too_large(functools.partial(walked, part)) for part in larger)
    made: torch.Tensor | None = next((picture for picture in tries if picture is not None), None)
    return walked(smallest) if made is None else made


def _walk_once(layers: list["_Layer"], tensor: torch.Tensor, maps: "_Maps", progress: Progress) -> torch.Tensor:
    _, channels, height, width = tensor.shape
    current = FeatureMap(Memory(height, width * channels, tensor.dtype), height, width, channels)
    current.write(0, tensor[0].permute(1, 2, 0), maps.copies)
    for number, layer in enumerate(layers, start=1):
        maps.copies.finish()
        current = layer(current, maps)
        progress(number, len(layers))
    maps.copies.finish()
    return current.read(0, current.height).permute(2, 0, 1)[None].contiguous()


class _Maps:
    """Makes the maps of one walk, all in memory or all in scratch files, as their greatest sum decides, and the way to them.

    What the walk takes at once is the `part`th part of the usual."""

    def __init__(self, room: Room, tensor: torch.Tensor, peak_bytes: int, part: int) -> None:
        self._room, self._dtype = room, tensor.dtype
        self._peak_bytes = peak_bytes * tensor.dtype.itemsize // 4
        self._in_memory = self._peak_bytes + STRIP_BYTES <= room.memory_bytes
        self.copies = copies_for(tensor.device)
        self.strip_bytes = room.strip_bytes(tensor.device) // part
        self.queries = max(QUERIES // part, 1)

    def strips(self, height: int, row_bytes: int) -> list[tuple[int, int]]:
        """From and to which row each strip goes of so many rows."""
        rows = max(self.strip_bytes // row_bytes, LEAST_ROWS)
        return [(start, min(start + rows, height)) for start in range(0, height, rows)]

    def make(self, height: int, width: int, channels: int) -> FeatureMap:
        return FeatureMap(self._storage(height, width * channels), height, width, channels)

    def _storage(self, height: int, length: int) -> Storage:
        if self._in_memory:
            return Memory(height, length, self._dtype)
        try:
            return Scratch(self._room.scratch, height, length, self._dtype)
        except OSError as error:
            raise InputError(
                f"the feature maps of this picture take {self._peak_bytes / 1e9:.1f} GB, and neither the memory that the "
                f"configuration allows ({self._room.memory_bytes / 1e9:.1f} GB) nor the scratch folder {self._room.scratch} has "
                f"room for them ({error.strerror}); make room there, or allow more memory"
            ) from error


class _Layer:
    """One layer of the walk; `size` is the size of what it makes, relative to the picture."""

    def __init__(self, size: float, channels_in: int, channels_out: int) -> None:
        self.size, self.channels_in, self.channels_out = size, channels_in, channels_out

    def __call__(self, source: FeatureMap, maps: _Maps) -> FeatureMap:
        raise NotImplementedError

    def map_bytes(self, pixels: float) -> float:
        """Bytes of the maps that live while it works, for `pixels` of what it makes, float32."""
        return 4 * pixels * (self.channels_in + self.channels_out)

    def whole_bytes(self, pixels: float) -> float:
        """The same where torch does it at once; measured, see benchmarks."""
        return 4 * pixels * (2 * self.channels_in + self.channels_out)


class _Convolution(_Layer):
    """3x3, with a normalisation and its activation before it at the end of the walk."""

    def __init__(self, conv: nn.Conv2d, size: float, norm: nn.GroupNorm | None = None) -> None:
        super().__init__(size, conv.in_channels, conv.out_channels)
        self._conv, self._norm = conv, norm

    def __call__(self, source: FeatureMap, maps: _Maps) -> FeatureMap:
        target = maps.make(source.height, source.width, self.channels_out)
        _convolve(source, target, maps, self._conv, self._norm)
        return target


class _Resnet(_Layer):
    """Two normalised 3x3 convolutions beside a shortcut; what it makes takes the place of its source where that is wide enough."""

    def __init__(self, block: Any, size: float) -> None:
        super().__init__(size, block.in_channels, block.out_channels)
        self._block = block

    def __call__(self, source: FeatureMap, maps: _Maps) -> FeatureMap:
        height, width, block = source.height, source.width, self._block
        hidden = maps.make(height, width, self.channels_out)
        _convolve(source, hidden, maps, block.conv1, block.norm1)
        if self.channels_out > self.channels_in:
            target = maps.make(height, width, self.channels_out)
        else:
            target = FeatureMap(source.storage, height, width, self.channels_out)
        _convolve(hidden, target, maps, block.conv2, block.norm2, beside=source, shortcut=block.conv_shortcut)
        return target

    def map_bytes(self, pixels: float) -> float:
        widened = self.channels_out if self.channels_out > self.channels_in else 0
        return 4 * pixels * (self.channels_in + self.channels_out + widened)

    def whole_bytes(self, pixels: float) -> float:
        return 4 * pixels * (3 * self.channels_in + 2 * self.channels_out)


class _Upsample(_Layer):
    """Twice as large by repetition, then a 3x3 convolution, in one go."""

    def __init__(self, conv: nn.Conv2d, size: float) -> None:
        super().__init__(size, conv.in_channels, conv.out_channels)
        self._conv = conv

    def __call__(self, source: FeatureMap, maps: _Maps) -> FeatureMap:
        target = maps.make(2 * source.height, 2 * source.width, self.channels_out)
        strips = maps.strips(source.height, _row_bytes(target, self.channels_in) * 2)
        read = (_around(source, start - 1, stop + 1) for start, stop in strips)
        for (start, stop), inside in zip(strips, maps.copies.fetched(read), strict=True):
            padded = _padded(inside, start - 1, stop + 1, source.height)
            repeated = F.interpolate(_as_batch(padded), scale_factor=2.0, mode="nearest")
            made = F.conv2d(repeated[:, :, 1:-1], self._conv.weight, self._conv.bias, padding=(0, 1))
            target.write(2 * start, _as_rows(made), maps.copies)
        maps.copies.finish()
        return target

    def map_bytes(self, pixels: float) -> float:
        return 4 * pixels * (self.channels_in / 4 + self.channels_out)


class _Downsample(_Layer):
    """A 3x3 convolution at every second pixel; the row and column of zeros that it needs are below and on the right."""

    def __init__(self, conv: nn.Conv2d, size: float) -> None:
        super().__init__(size, conv.in_channels, conv.out_channels)
        self._conv = conv

    def __call__(self, source: FeatureMap, maps: _Maps) -> FeatureMap:
        target = maps.make(source.height // 2, source.width // 2, self.channels_out)
        strips = maps.strips(target.height, _row_bytes(source, self.channels_out) * 2)
        read = (_around(source, 2 * start, 2 * stop + 1) for start, stop in strips)
        for (start, stop), inside in zip(strips, maps.copies.fetched(read), strict=True):
            strip = F.pad(_as_batch(_padded(inside, 2 * start, 2 * stop + 1, source.height)), (0, 1))
            target.write(start, _as_rows(F.conv2d(strip, self._conv.weight, self._conv.bias, stride=2)), maps.copies)
        maps.copies.finish()
        return target

    def map_bytes(self, pixels: float) -> float:
        return 4 * pixels * (4 * self.channels_in + self.channels_out)

    def whole_bytes(self, pixels: float) -> float:
        return 4 * pixels * (8 * self.channels_in + self.channels_out)


class _Attention(_Layer):
    """One head over all pixels of the latents; the queries come in portions, so that no matrix of all pairs is ever there."""

    def __init__(self, attention: Any, size: float) -> None:
        super().__init__(size, attention.group_norm.num_channels, attention.group_norm.num_channels)
        self._attention = attention

    def __call__(self, source: FeatureMap, maps: _Maps) -> FeatureMap:
        attention = self._attention
        (whole,) = maps.copies.fetched([_around(source, 0, source.height)])  # (h, w, C)
        scale, shift = (part.to(whole.device) for part in source.normalisation(attention.group_norm))
        pixels = torch.addcmul(shift, whole, scale).to(whole.dtype).view(1, -1, source.channels)
        query, key, value = (
            _heads(project(pixels), attention.heads) for project in (attention.to_q, attention.to_k, attention.to_v)
        )
        seen = torch.cat(
            [F.scaled_dot_product_attention(part, key, value) for part in torch.split(query, maps.queries, dim=2)], dim=2
        )
        made = attention.to_out[0](seen.transpose(1, 2).reshape(1, -1, source.channels)).view_as(whole)
        target = FeatureMap(source.storage, source.height, source.width, source.channels)
        target.write(0, (made + whole) / attention.rescale_output_factor, maps.copies)
        maps.copies.finish()
        return target

    def map_bytes(self, pixels: float) -> float:
        return 4 * pixels * 8 * self.channels_in

    whole_bytes = map_bytes


def _convolve(
    source: FeatureMap,
    target: FeatureMap,
    maps: _Maps,
    conv: nn.Conv2d,
    norm: nn.GroupNorm | None,
    *,
    beside: FeatureMap | None = None,
    shortcut: nn.Module | None = None,
) -> None:
    """3x3 over a map, normalised and activated if there is a norm, with another map added, itself or through its shortcut."""
    # The factors stay in float32, as normalisations have them inside; half as many digits would be those of the whole result.
    affine = None if norm is None else tuple(part.to(conv.weight.device) for part in source.normalisation(norm))
    strips = maps.strips(source.height, _row_bytes(source, target.channels) * 2)
    read = (_around(source, start - 1, stop + 1) for start, stop in strips)
    added = iter(()) if beside is None else maps.copies.fetched(_around(beside, start, stop) for start, stop in strips)
    for (start, stop), inside in zip(strips, maps.copies.fetched(read), strict=True):
        strip = _as_batch(_padded(inside, start - 1, stop + 1, source.height, affine))
        made = F.conv2d(strip, conv.weight, conv.bias, padding=(0, 1))
        for rows in itertools.islice(added, 1):
            made += _as_batch(rows) if shortcut is None else shortcut(_as_batch(rows))
        target.write(start, _as_rows(made), maps.copies)
    maps.copies.finish()


def _around(source: FeatureMap, start: int, stop: int) -> Read:
    """What reads the rows of a map from start to stop, as far as it has them."""
    return functools.partial(source.read, max(start, 0), min(stop, source.height))


def _padded(
    inside: torch.Tensor, start: int, stop: int, height: int, affine: tuple[torch.Tensor, ...] | None = None
) -> torch.Tensor:
    """Rows from start to stop of a map of this height, normalised and activated, made of those that it has.

    Beyond the map they are zero, as convolutions pad."""
    first, last = max(start, 0), min(stop, height)
    if affine is None and last - first == stop - start:
        return inside
    strip = inside.new_empty(stop - start, *inside.shape[1:])
    strip[: first - start], strip[last - start :] = 0, 0
    if affine is None:
        strip[first - start : last - start] = inside
    else:
        F.silu(torch.addcmul(affine[1], inside, affine[0], out=strip[first - start : last - start]), inplace=True)
    return strip


def _row_bytes(feature_map: FeatureMap, other_channels: int) -> int:
    return 4 * feature_map.width * (feature_map.channels + other_channels)


def _as_batch(rows: torch.Tensor) -> torch.Tensor:
    """(rows, width, channels) -> (1, channels, rows, width), the same values in the memory format channels_last."""
    return rows[None].permute(0, 3, 1, 2)


def _as_rows(batch: torch.Tensor) -> torch.Tensor:
    return batch[0].permute(1, 2, 0)


def _heads(pixels: torch.Tensor, heads: int) -> torch.Tensor:
    return pixels.view(1, pixels.shape[1], heads, -1).transpose(1, 2)
