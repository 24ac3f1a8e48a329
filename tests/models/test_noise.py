"""The noise of a GPU drawn on the CPU, against published numbers; both kinds of generators, and their states in files."""

from typing import Any

import numpy as np
import pytest
import torch

from daemon.models import noise
from daemon.models.noise import NV, PhiloxGenerator, box_muller, generator_of, philox, randn, restored, stepped
from daemon.models.seeding import Seeding, slerp

# Known answers of Random123 (Salmon et al. 2011), the file kat_vectors: counter, key, output.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
# What the docstring of A1111's modules/rng_philox.py says of seed 0. A GPU has another sine, so these agree to some 1e-6.
A1111 = [
    [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
    [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
    [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_philox_gives_its_known_answers(counter: str, key: str, output: str) -> None:
    first, second = words(key)
    columns = np.array([words(counter)] * 3, dtype=np.uint32).T
    assert philox(columns, (first, second)).T.tolist() == [words(output)] * 3


def test_the_noise_of_a_gpu_is_that_which_a1111_documents() -> None:
    assert PhiloxGenerator(0).randn((3, 4)).numpy() == pytest.approx(np.array(A1111), abs=2e-6)


def test_numbers_are_normal_by_the_formula_of_box_and_muller() -> None:
    u, v = np.array([0, 1 << 31, 2**32 - 1], np.uint32), np.array([0, 1 << 30, 2**32 - 1], np.uint32)
    sine, cosine = box_muller(u, v)
    x, y = (u + 0.5) / 2**32, (v + 0.5) / 2**32 * 2 * np.pi
    assert sine == pytest.approx(np.sqrt(-2 * np.log(x)) * np.sin(y), abs=1e-6)
    assert cosine == pytest.approx(np.sqrt(-2 * np.log(x)) * np.cos(y), abs=1e-6)
    many = PhiloxGenerator(3).randn((100_000,))
    assert (float(many.mean()), float(many.std())) == pytest.approx((0, 1), abs=0.01)


def test_each_draw_is_another_and_hangs_on_how_many_there_were_before_only() -> None:
    one, other = PhiloxGenerator(7), PhiloxGenerator(7)
    one.randn((4,))
    other.randn((1000,))
    second = one.randn((2, 3))
    assert torch.equal(second, other.randn((2, 3)))
    assert not torch.equal(second, PhiloxGenerator(7).randn((2, 3)))


def test_a_large_picture_is_drawn_in_pieces_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PhiloxGenerator(1).randn((10, 10))
    monkeypatch.setattr(noise, "_AT_ONCE", 7)
    assert torch.equal(PhiloxGenerator(1).randn((10, 10)), whole)


@pytest.mark.parametrize(("rng", "count"), [("cpu", 2), ("nv", 4)])
def test_all_64_bits_of_a_seed_count_on_a_gpu_and_32_for_torch_and_more_wrap_around(rng: str, count: int) -> None:
    first = [randn((8,), generator_of(rng, seed)) for seed in (5, 5 + 2**32, 5 + 2**63, 2**64 - 1)]
    assert len({tuple(drawn.tolist()) for drawn in first}) == count
    assert torch.equal(randn((8,), generator_of(rng, -1)), first[3])
    assert torch.equal(randn((8,), generator_of(rng, 5 + 2**64)), first[0])


@pytest.mark.parametrize("rng", ["cpu", "nv"])
def test_a_generator_goes_on_from_its_state_whichever_kind_it_is(rng: str) -> None:
    generator = generator_of(rng, 2**64 - 3)
    randn((5,), generator)
    state = torch.from_numpy(generator.get_state().numpy().copy())
    assert (state.dtype, state.ndim) == (torch.uint8, 1)
    again = restored(state)
    assert type(again) is type(generator)
    assert torch.equal(randn((33,), again), randn((33,), generator))


@pytest.mark.parametrize("state", [[], [1, 2, 3], [*b"philox4x32-10\0\0\0", 1], [0] * 32])
def test_what_is_no_state_is_refused(state: list[int]) -> None:
    with pytest.raises(ValueError, match=r"state"):
        restored(torch.tensor(state, dtype=torch.uint8))
    with pytest.raises(ValueError, match="ByteTensor"):
        restored(PhiloxGenerator(0).get_state().float())


def test_each_picture_of_a_batch_has_its_own_generator() -> None:
    batch = randn((3, 4, 2, 2), [generator_of("nv", 1), generator_of("cpu", 2), generator_of("nv", 3)])
    alone = [randn((1, 4, 2, 2), generator_of(rng, seed)) for rng, seed in (("nv", 1), ("cpu", 2), ("nv", 3))]
    assert torch.equal(batch, torch.cat(alone))
    assert torch.equal(randn((2, 3), [generator_of("nv", 1)]), randn((2, 3), generator_of("nv", 1)))


def test_noise_comes_in_the_type_that_is_asked_for() -> None:
    single, half = (randn((64,), generator_of("nv", 1), dtype=dtype) for dtype in (torch.float32, torch.float16))
    assert torch.equal(single.half(), half)


def test_torch_does_not_take_it_for_one_of_its_own() -> None:
    generator: Any = PhiloxGenerator(0)
    with pytest.raises(TypeError):
        torch.randn((2,), generator=generator)


def test_a_step_draws_all_of_its_noise_from_the_generator_given_to_it() -> None:
    def step(*, generator: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn((2, 3), generator=generator, dtype=torch.float32), torch.randn(2, 3, generator=generator)

    philox_drawn, torch_drawn = PhiloxGenerator(4), torch.Generator().manual_seed(4)
    for generator, expected in ((PhiloxGenerator(4), philox_drawn), (torch.Generator().manual_seed(4), torch_drawn)):
        first, second = stepped(step, generator=generator)
        assert torch.equal(first, randn((2, 3), expected))
        assert torch.equal(second, randn((2, 3), expected))
    two, of_two = stepped(step, generator=[PhiloxGenerator(4), PhiloxGenerator(5)])
    assert torch.equal(two[1:], PhiloxGenerator(5).randn((1, 3)))
    assert not torch.equal(two, of_two)


def test_what_is_drawn_after_a_step_is_torchs_own_again() -> None:
    def failing(**_: object) -> None:
        raise RuntimeError("a step fails")

    with pytest.raises(RuntimeError, match="a step fails"):
        stepped(failing, generator=PhiloxGenerator(4))
    with torch.random.fork_rng():
        torch.manual_seed(9)
        assert torch.equal(torch.randn(4), torch.randn(4, generator=torch.Generator().manual_seed(9)))


def test_a_variation_lies_on_the_arc_between_two_noises() -> None:
    """The formula of Shoemake 1985 in float64, for each column of each channel, as A1111 takes it."""
    seeding = Seeding(3, NV, variation_seed=8, variation_strength=0.3)
    drawn = seeding.first((1, 4, 8, 6), seeding.generator())[0].double().numpy()
    low, high = (PhiloxGenerator(seed).randn((4, 8, 6)).double().numpy() for seed in (3, 8))
    for channel in range(4):
        for column in range(6):
            a, b = low[channel, :, column], high[channel, :, column]
            omega = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            expected = (np.sin(0.7 * omega) * a + np.sin(0.3 * omega) * b) / np.sin(omega)
            assert drawn[channel, :, column] == pytest.approx(expected, abs=1e-5)


def test_a_variation_of_a_seed_by_itself_is_that_seed() -> None:
    noise = PhiloxGenerator(3).randn((4, 8, 6))
    assert torch.allclose(slerp(0.4, noise, noise), noise, atol=1e-6)
    assert torch.allclose(slerp(0.0, noise, -noise.flip(0)), noise, atol=1e-5)


@pytest.mark.parametrize("rng", ["cpu", "nv"])
def test_the_noise_of_the_steps_is_that_of_the_seed_and_ensd(rng: str) -> None:
    seeding = Seeding(2**64 - 5, rng, ensd=31337)
    generator = seeding.generator()
    first = seeding.first((1, 4, 8, 6), generator)
    assert torch.equal(first, randn((1, 4, 8, 6), generator_of(rng, 2**64 - 5)))
    assert torch.equal(randn((9,), generator), randn((9,), generator_of(rng, 31332)))
    without = Seeding(5, rng)
    generator, same = without.generator(), without.generator()
    without.first((1, 4), generator)
    randn((1, 4), same)
    assert torch.equal(randn((9,), generator), randn((9,), same))
