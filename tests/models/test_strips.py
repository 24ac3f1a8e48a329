"""A VAE in row strips gives what it gives in one piece, in memory and in scratch files, and knows when it has no room."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

from daemon.errors import InputError
from daemon.models import strips
from daemon.models.registry import Models
from daemon.models.strips import Room, decode, encode
from daemon.stages import decode as decode_stage
from daemon.stages import encode as encode_stage
from tests import parts, tiny
from tests.thorough import mostly_thorough

pytestmark = pytest.mark.exact

TOLERANCE = 1e-5
PLENTY = 2**40


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def a_vae(*, quantised: bool = True, attention: bool = True) -> AutoencoderKL:
    """All kinds of layers of the real ones: shortcuts, resampling, attention in the middle."""
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        use_quant_conv=quantised,
        use_post_quant_conv=quantised,
        mid_block_add_attention=attention,
    ).eval()


def silent(step: int, steps: int) -> None:
    assert step <= steps


@pytest.fixture(params=["rows", "one strip"])
def strip_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    size = 1 if request.param == "rows" else 2**27
    monkeypatch.setattr(strips, "STRIP_BYTES", size)
    monkeypatch.setattr(strips, "LEAST_ROWS", 1)
    return size


@pytest.mark.usefixtures("strip_bytes")
@pytest.mark.parametrize("memory", mostly_thorough(["memory", "scratch"], always="memory".__eq__))
@pytest.mark.parametrize(
    ("form", "height", "width"),
    [({}, 5, 3), ({}, 1, 4), ({"quantised": False}, 2, 3), ({"attention": False}, 3, 2)],
    ids=["sd1", "one row", "flux", "no attention"],
)
def test_strips_give_the_same_as_one_piece(
    memory: str, form: dict[str, bool], height: int, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = a_vae(**form)
    latents, picture = torch.randn(1, 4, height, width), torch.rand(1, 3, 4 * height, 4 * width) * 2 - 1
    room = Room(PLENTY if memory == "memory" else 0, tmp_path)
    if memory == "memory":
        monkeypatch.setattr(strips, "_fits_whole", lambda *_: False)
    decoded = decode(vae, latents, room, silent)
    assert (decoded - vae.decode(latents).sample).abs().max() < TOLERANCE
    encoded, whole = encode(vae, picture, room, silent), vae.encode(picture).latent_dist
    assert (encoded.mean - whole.mean).abs().max() < TOLERANCE
    assert (encoded.std - whole.std).abs().max() < TOLERANCE
    assert list(tmp_path.iterdir()) == []


def test_the_attention_portions_give_the_same_as_all_queries_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vae, latents = a_vae(), torch.randn(1, 4, 6, 7)
    monkeypatch.setattr(strips, "QUERIES", 5)
    assert (decode(vae, latents, Room(0, tmp_path), silent) - vae.decode(latents).sample).abs().max() < TOLERANCE


def test_half_precision_stays_half_precision_and_near(tmp_path: Path) -> None:
    vae, latents = a_vae().to(torch.bfloat16), torch.randn(1, 4, 6, 6).to(torch.bfloat16)
    decoded, whole = decode(vae, latents, Room(0, tmp_path), silent), vae.decode(latents).sample
    assert decoded.dtype == torch.bfloat16
    assert (decoded - whole).float().abs().mean() < 0.02 * whole.float().std()


def test_the_factors_of_a_normalisation_stay_in_float32_in_half_precision() -> None:
    """Around 100 the shift has an error of 0.03 in float16, which is that of all values."""
    conv, norm = nn.Conv2d(4, 4, 3, padding=1, bias=False).half(), nn.GroupNorm(2, 4).half()
    conv.weight.zero_()[range(4), range(4), 1, 1] = 1
    rows = (100 + torch.randn(8, 8, 4)).half()
    maps = strips._Maps(Room(PLENTY, Path()), rows, 0, 1)
    source, target = maps.make(8, 8, 4), maps.make(8, 8, 4)
    source.write(0, rows, maps.copies)
    strips._convolve(source, target, maps, conv, norm)
    exact = F.silu(F.group_norm(rows.permute(2, 0, 1)[None].float(), 2))[0].permute(1, 2, 0)
    assert (target.read(0, 8).float() - exact).abs().max() < 2e-3


def test_the_size_of_strips_on_an_accelerator_follows_what_is_free_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    room, gpu = Room(PLENTY, Path()), torch.device("cuda", 0)
    for free, strip in ((16 << 30, 512 << 20), (4 << 30, 256 << 20), (0, strips.STRIP_BYTES)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 80 << 30))
        assert room.strip_bytes(gpu) == strip
        assert room.whole_bytes(gpu) == free // 2
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 3 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 1 << 30)
    assert room.whole_bytes(gpu) == 1 << 30, "what torch keeps without need is free"
    assert (room.strip_bytes(torch.device("cpu")), room.whole_bytes(torch.device("cpu"))) == (strips.STRIP_BYTES, PLENTY)


def out_of_memory(*_: object) -> NoReturn:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_what_an_accelerator_has_no_memory_for_as_a_whole_goes_on_in_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae, latents, picture = a_vae(), torch.randn(1, 4, 6, 6), torch.rand(1, 3, 24, 24)
    decoded, encoded = vae.decode(latents).sample, vae.encode(picture).latent_dist.mean
    monkeypatch.setattr(vae, "decode", lambda *_, **__: out_of_memory())
    monkeypatch.setattr(vae, "encode", out_of_memory)
    assert (decode(vae, latents, Room(PLENTY, tmp_path), silent) - decoded).abs().max() < TOLERANCE
    assert (encode(vae, picture, Room(PLENTY, tmp_path), silent).mean - encoded).abs().max() < TOLERANCE


@pytest.mark.parametrize("most", [8, 2])
def test_what_an_accelerator_has_no_memory_for_in_strips_goes_on_in_smaller_ones(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae, latents = a_vae(), torch.randn(1, 4, 8, 8)
    whole, interpolate = vae.decode(latents).sample, F.interpolate

    def scarce(rows: torch.Tensor, **how: object) -> torch.Tensor:
        return interpolate(rows, **how) if rows.shape[2] <= most + 2 else out_of_memory()

    monkeypatch.setattr(strips, "LEAST_ROWS", 1)
    monkeypatch.setattr(strips, "STRIP_BYTES", 16 * 32 * 128 * 8)
    monkeypatch.setattr(F, "interpolate", scarce)
    assert (decode(vae, latents, Room(0, tmp_path), silent) - whole).abs().max() < TOLERANCE


def test_what_an_accelerator_has_no_memory_for_at_all_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "conv2d", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        decode(a_vae(), torch.randn(1, 4, 8, 8), Room(0, tmp_path), silent)


def test_where_there_is_room_the_picture_is_taken_whole_and_is_that_of_diffusers_to_the_bit(tmp_path: Path) -> None:
    vae, latents = a_vae(), torch.randn(1, 4, 6, 6)
    assert torch.equal(decode(vae, latents, Room(PLENTY, tmp_path), silent), vae.decode(latents).sample)


def test_progress_can_stop_it_in_the_middle_and_nothing_is_left(tmp_path: Path) -> None:
    def stop(step: int, _: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(a_vae(), torch.randn(1, 4, 6, 6), Room(0, tmp_path), stop)
    assert list(tmp_path.iterdir()) == []


def test_without_room_for_the_scratch_files_a_sentence_gives_the_figure(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"take 0\.\d+ GB, and neither the memory .*\(0\.0 GB\) nor the scratch folder"):
            decode(a_vae(), torch.randn(1, 4, 64, 64), Room(0, tmp_path), silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("family", [tiny.stable_diffusion, tiny.stable_diffusion_3], ids=["sd1", "sd3"])
def test_the_stages_decode_and_encode_in_strips_where_there_is_no_room_for_the_whole(
    family: Callable[[Path], Path], tmp_path: Path
) -> None:
    whole = parts.settings(family(tmp_path / "model"))
    in_strips = {**whole, "room": {"memory_bytes": 0, "scratch": str(tmp_path)}}
    models = Models(PLENTY)
    latents = {"latents": parts.start(models, whole)["latents"]}
    pictures = [decode_stage.run(models, latents, settings, silent)[0]["picture"] for settings in (whole, in_strips)]
    assert 0 < (pictures[0] - pictures[1]).abs().max() < TOLERANCE
    encoded = [encode_stage.run(models, {"picture": pictures[0]}, settings, silent)[0] for settings in (whole, in_strips)]
    assert (encoded[0]["latents"] - encoded[1]["latents"]).abs().max() < TOLERANCE
    assert torch.equal(encoded[0]["generator_state"], encoded[1]["generator_state"])
