"""A VAE in row strips gives what it gives in one piece, in memory and in scratch files, and knows when it has no room."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from daemon.errors import InputError
from daemon.models import strips
from daemon.models.registry import Models
from daemon.models.strips import Room, decode, encode
from daemon.stages import decode as decode_stage
from daemon.stages import encode as encode_stage
from tests import parts, tiny

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
@pytest.mark.parametrize("memory", ["memory", "scratch"])
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
