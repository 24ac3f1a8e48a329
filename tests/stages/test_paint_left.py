"""What is left of paint on proofs of the embedded model, by the errors that `benchmarks/paint.py` measures on more pictures."""

from statistics import mean

import pytest

from benchmarks.paint import LEFT_AT_DECODE, LEFT_AT_THE_STOP, OVER_THE_VAE, PROMPTS, Errors, add_errors, person_of, picture_of
from daemon.models.registry import Models
from daemon.settings.config import Config

SEEDS = (2, 3, 4)

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(400), pytest.mark.usefixtures("fixed_threads")]


@pytest.mark.parametrize("solver", ["ddim", "euler_a", "dpmpp_2m_karras"])
def test_paint_is_seen_in_the_picture_and_all_else_is_the_same(models: Models, solver: str) -> None:
    person, at_decode, at_stop = person_of(models, Config()), Errors(), Errors()
    for seed in SEEDS:
        picture = picture_of(person, solver, seed, PROMPTS[seed % len(PROMPTS)])
        add_errors(person, picture, seed, at_decode, at_stop, strong=True)
    assert mean(at_decode.painted) <= LEFT_AT_DECODE * mean(at_decode.plain)
    assert mean(at_decode.painted) <= mean(at_decode.whole) + OVER_THE_VAE
    assert at_stop.left <= LEFT_AT_THE_STOP
    assert at_decode.exact_beside == at_stop.exact_beside == [True] * len(SEEDS)
