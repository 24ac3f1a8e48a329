"""Laying a decoded picture over the one of before: how a mask grows, in which numbers a picture is kept, and what is refused."""

import numpy as np
import pytest
import torch

from daemon.models.overlaying import OVERLAY, OVERLAY_LATENTS, OVERLAY_MASK, fault_of, grown, laid_over, overlay_of, picture_of

DOT = torch.zeros(21, 21, dtype=torch.uint8)
DOT[10, 10] = 255


@pytest.mark.parametrize("pixels", [1, 4, 9])
def test_a_mask_grows_outward_by_so_many_pixels_and_falls_evenly(pixels: int) -> None:
    weights = grown(DOT, pixels)
    row, column = torch.meshgrid(torch.arange(21) - 10, torch.arange(21) - 10, indexing="ij")
    distance = torch.hypot(row.float(), column.float())
    straight = weights[10, 10:]
    torch.testing.assert_close(straight, (1 - torch.arange(11) / (pixels + 1)).clamp(min=0), atol=1e-6, rtol=0)
    even = (1 - distance / (pixels + 1)).clamp(min=0)
    assert bool((weights <= even + 1e-6).all())
    assert bool((weights >= (1 - 1.09 * distance / (pixels + 1)).clamp(min=0) - 1e-6).all())
    assert not weights[torch.maximum(row.abs(), column.abs()) > pixels].any()


def test_a_mask_that_does_not_grow_is_what_it_was() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    torch.testing.assert_close(grown(levels, 0), levels / 255, atol=0, rtol=0)


def test_nothing_that_was_white_or_gray_gets_less_by_growing() -> None:
    levels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8))
    assert bool((grown(levels, 5) >= levels / 255).all())


def test_black_is_the_picture_of_before_and_white_the_new_one_to_the_bit() -> None:
    new, before = torch.rand(2, 8, 8, 3) * 3 - 1
    weights = torch.zeros(8, 8)
    weights[:, 2:] = 1
    weights[:, 5] = 0.25
    found = laid_over(new, before, weights)
    assert torch.equal(found[:, :2], before[:, :2])
    assert torch.equal(found[:, 2:5], new[:, 2:5])
    torch.testing.assert_close(found[:, 5], 0.25 * new[:, 5] + 0.75 * before[:, 5])


LEVELS = np.random.default_rng(1).integers(0, 256, (16, 16, 3))
KINDS = {
    "8 bits": (LEVELS.astype(np.float32) / np.float32(255), torch.uint8),
    "16 bits": ((LEVELS * 200 + 7).astype(np.float32) / np.float32(65535), torch.uint16),
    "floats": (LEVELS.astype(np.float32) / np.float32(250), torch.float32),
    "beyond white": (LEVELS.astype(np.float32) / np.float32(255) * 2, torch.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_kept_in_the_fewest_bytes_that_give_it_back_to_the_bit(kind: str) -> None:
    pixels, dtype = KINDS[kind]
    kept = overlay_of(torch.from_numpy(pixels), torch.zeros(16, 16))
    assert kept[OVERLAY].dtype == dtype
    np.testing.assert_array_equal(picture_of(kept[OVERLAY]).numpy(), pixels)


def test_only_what_the_mask_leaves_black_asks_for_its_numbers() -> None:
    pixels = torch.from_numpy(KINDS["8 bits"][0].copy())
    pixels[:, 8:] += 0.3001
    mask = torch.zeros(16, 16)
    mask[:, 8:] = 1
    assert overlay_of(pixels, mask)[OVERLAY].dtype == torch.uint8
    assert overlay_of(pixels, mask * 0)[OVERLAY].dtype == torch.float32


def test_a_mask_at_the_size_of_the_latents_covers_what_they_stand_for() -> None:
    small = torch.tensor([[0.0, 1.0], [0.5, 0.0]])
    levels = overlay_of(torch.zeros(16, 16, 3), small)[OVERLAY_MASK]
    assert torch.equal(levels, torch.kron(torch.tensor([[0, 255], [128, 0]]), torch.ones(8, 8, dtype=torch.long)).to(torch.uint8))


WHOLE = {OVERLAY: torch.zeros(16, 16, 3), OVERLAY_MASK: torch.zeros(16, 16, dtype=torch.uint8), "latents": torch.zeros(4, 2, 2)}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({OVERLAY: torch.zeros(16, 16, 3, dtype=torch.uint16)}, None),
        ({OVERLAY: torch.zeros(16, 8, 3)}, "has another size"),
        ({OVERLAY: torch.zeros(16, 16, 4)}, "has another size"),
        ({OVERLAY_MASK: torch.zeros(8, 16, dtype=torch.uint8)}, "has another size"),
        ({OVERLAY_MASK: torch.zeros(16, 16)}, "has numbers of another type"),
        ({OVERLAY: torch.zeros(16, 16, 3, dtype=torch.float64)}, "has numbers of another type"),
        ({OVERLAY: torch.full((16, 16, 3), float("nan"))}, "is not finite"),
        ({OVERLAY: None}, "is not there"),
        ({OVERLAY: None, OVERLAY_LATENTS: torch.zeros(4, 2, 2)}, None),
        ({OVERLAY: None, OVERLAY_LATENTS: torch.zeros(4, 2, 3)}, "has another size"),
    ],
)
def test_what_cannot_be_used_is_told_in_words(changes: dict[str, torch.Tensor | None], fault: str | None) -> None:
    tensors = {name: tensor for name, tensor in {**WHOLE, **changes}.items() if tensor is not None}
    assert fault_of(tensors, (16, 16)) == fault
