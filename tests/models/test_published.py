"""The reference of schedules and samplers is right itself: exact solutions, orders of convergence, laws, and published numbers."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate

from tests.models import published
from tests.models.published import Array, Denoise

TABLE = published.table()
MIXED = published.mixture((-1.0, 2.0), (0.3, 0.7), share=0.4)
GRID = np.linspace(-2, 2, 9)
HIGH, LOW = 10.0, 0.1
MEAN, STD = 0.3, 0.5

FIRST = ("euler", "euler_ancestral", "euler_cfg_pp", "euler_ancestral_cfg_pp", "gradient_estimation", "heunpp2")
# The multistep ones of higher order begin with a step of Euler, whose error is of the second order of the whole.
SECOND = (
    "heun",
    "lms",
    "dpm_2",
    "dpm_2_ancestral",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde",
    "dpm_fast",
    "res_multistep",
    "res_multistep_ancestral",
    "ipndm",
    "deis",
    "uni_pc",
    "uni_pc_bh2",
)
STOCHASTIC = (
    "euler_ancestral",
    "dpm_2_ancestral",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde",
    "dpm_fast",
    "restart",
    "er_sde",
    "res_multistep_ancestral",
    "euler_ancestral_cfg_pp",
    "ddpm",
)


def none() -> Array:
    raise AssertionError("a draw where no noise is added")


def drawn(seed: int, size: int) -> Callable[[], Array]:
    generator = np.random.default_rng(seed)
    return lambda: generator.standard_normal(size)


def counted(denoise: Denoise, seen: list[float]) -> Denoise:
    def counting(x: Array, sigma: float) -> Array:
        seen.append(float(sigma))
        return np.asarray(denoise(x, sigma))

    return counting


def solved(denoise: Denoise, x: Array, start: float, end: float) -> Array:
    answer = integrate.solve_ivp(lambda s, at: (at - denoise(at, s)) / s, (start, end), x, "DOP853", rtol=1e-12, atol=1e-13)
    return np.asarray(answer.y[:, -1])


# ---- denoisers -------------------------------------------------------------------------------------------------------------------


def test_a_denoiser_follows_the_slope_of_the_log_density() -> None:
    sigma, step = 0.8, 1e-5

    def log_density(x: Array) -> Array:
        parts = zip((0.4, 0.6), (-1.0, 2.0), (0.3, 0.7), strict=True)
        return np.log(sum(share * np.exp(-((x - m) ** 2) / 2 / (s**2 + sigma**2)) / np.hypot(s, sigma) for share, m, s in parts))

    slope = (log_density(GRID + step) - log_density(GRID - step)) / (2 * step)
    np.testing.assert_allclose(MIXED(GRID, sigma), GRID + sigma**2 * slope, atol=1e-8)


def test_a_mixture_of_one_law_is_a_gaussian() -> None:
    np.testing.assert_allclose(published.mixture((MEAN, MEAN), (STD, STD))(GRID, 1.3), published.gaussian(MEAN, STD)(GRID, 1.3))


def test_the_exact_flow_of_a_gaussian_is_what_a_solver_of_odes_finds() -> None:
    found = solved(published.gaussian(MEAN, STD), GRID * HIGH, HIGH, LOW)
    np.testing.assert_allclose(published.gaussian_flow(GRID * HIGH, HIGH, LOW, MEAN, STD), found, atol=1e-9)


# ---- schedules -------------------------------------------------------------------------------------------------------------------


def test_the_table_is_that_of_stable_diffusion_1() -> None:
    assert len(TABLE) == 1000
    np.testing.assert_allclose(TABLE[[0, -1]], [0.0291671582, 14.6146412293], rtol=1e-8)


@pytest.mark.parametrize("name", published.SCHEDULES)
def test_every_schedule_of_a1111_falls_from_the_greatest_sigma(name: str) -> None:
    for steps in (4, 10, 20, 31):
        sigmas = published.SCHEDULES[name](steps, TABLE, False)
        assert (np.diff(sigmas) < 0).all()
        assert len(sigmas) == steps + 1 or (name, steps) == ("DDIM", 31)
        assert sigmas[-1] == pytest.approx(TABLE[0] if name == "KL Optimal" else 0, abs=1e-12)
        assert sigmas[0] == pytest.approx(TABLE[-1], rel=1e-3) or name == "DDIM"


@pytest.mark.parametrize("name", published.COMFY_SCHEDULES)
def test_every_schedule_of_comfyui_falls_to_zero(name: str) -> None:
    for steps in (4, 10, 20, 31):
        sigmas = published.COMFY_SCHEDULES[name](steps, TABLE, False)
        assert (np.diff(sigmas) < 0).all()
        assert sigmas[-1] == 0
        assert sigmas[0] <= TABLE[-1] * (1 + 1e-12)


def test_align_your_steps_is_the_published_list() -> None:
    levels = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029]
    larger = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029]
    assert published.SCHEDULES["Align Your Steps"](11, TABLE, False).tolist() == [*levels, 0]
    assert published.SCHEDULES["Align Your Steps"](11, TABLE, True).tolist() == [*larger, 0]
    assert published.align_your_steps_comfy(10).tolist() == [*levels[:-1], 0]
    stretched = published.SCHEDULES["Align Your Steps"](21, TABLE, False)
    np.testing.assert_allclose(stretched[:-1:2], levels)
    np.testing.assert_allclose(stretched[1], math.sqrt(14.615 * 6.475))


def test_karras_is_even_in_the_seventh_root_and_exponential_in_the_logarithm() -> None:
    karras, exponential = (published.SCHEDULES[name](5, TABLE, False)[:-1] for name in ("Karras", "Exponential"))
    np.testing.assert_allclose([karras[0], karras[-1], exponential[0], exponential[-1]], [TABLE[-1], TABLE[0]] * 2)
    np.testing.assert_allclose(np.diff(karras ** (1 / 7), 2), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(np.log(exponential), 2), 0, atol=1e-12)


def test_kl_optimal_is_even_in_the_angle_and_ends_as_each_program_has_it() -> None:
    first, last = math.atan(TABLE[-1]), math.atan(TABLE[0])
    expected = [math.tan(i / 4 * last + (1 - i / 4) * first) for i in range(5)]
    np.testing.assert_allclose(published.SCHEDULES["KL Optimal"](4, TABLE, False), expected)
    np.testing.assert_allclose(published.COMFY_SCHEDULES["kl_optimal"](5, TABLE, False), [*expected, 0])


def test_schedules_out_of_the_table_take_the_entries_that_the_programs_take() -> None:
    assert published.SCHEDULES["Simple"](3, TABLE, False).tolist() == [TABLE[999], TABLE[666], TABLE[333], 0]
    assert published.SCHEDULES["Turbo"](4, TABLE, False).tolist() == [TABLE[999], TABLE[749], TABLE[499], TABLE[249], 0]
    assert published.SCHEDULES["DDIM"](4, TABLE, False).tolist() == [TABLE[751], TABLE[501], TABLE[251], TABLE[1], 0]
    np.testing.assert_allclose(published.SCHEDULES["Uniform"](4, TABLE, False), [TABLE[999], TABLE[666], TABLE[333], TABLE[0], 0])
    half = math.sqrt(TABLE[499] * TABLE[500])
    np.testing.assert_allclose(published.SCHEDULES["SGM Uniform"](2, TABLE, False), [TABLE[999], half, 0])
    np.testing.assert_allclose(published.lcm_automatic(3, TABLE), [TABLE[999], math.sqrt(TABLE[499] * TABLE[519]), TABLE[19], 0])


def test_steps_that_do_not_divide_a_thousand_are_more_steps() -> None:
    assert len(published.SCHEDULES["DDIM"](30, TABLE, False)) == 32
    assert len(published.A1111_TIMESTEPS(30)) == 31
    assert published.A1111_TIMESTEPS(4).tolist() == [1, 251, 501, 751]


def test_the_two_readings_of_beta() -> None:
    over_sigma, over_time = published.SCHEDULES["Beta"](3, TABLE, False), published.COMFY_SCHEDULES["beta"](2, TABLE, False)
    np.testing.assert_allclose(over_sigma, [TABLE[-1], (TABLE[0] + TABLE[-1]) / 2, TABLE[0], 0])
    assert over_time.tolist() == [TABLE[999], TABLE[500], 0]
    assert len(published.COMFY_SCHEDULES["beta"](400, TABLE, False)) < 401


def test_linear_quadratic_is_a_line_and_then_a_parabola() -> None:
    sigmas = published.COMFY_SCHEDULES["linear_quadratic"](8, TABLE, False) / TABLE[-1]
    np.testing.assert_allclose(sigmas[:5], 1 - 0.025 * np.arange(5) / 4)
    np.testing.assert_allclose(np.diff(sigmas[4:], 3), 0, atol=1e-12)


def test_automatic_and_what_is_discarded() -> None:
    assert published.AUTOMATIC["DPM++ 2M"] == "Karras"
    assert published.AUTOMATIC["DPM++ 3M SDE"] == "Exponential"
    assert published.AUTOMATIC["Euler a"] == "Uniform"
    assert set(published.AUTOMATIC.values()) <= set(published.SCHEDULES)
    assert set(published.AUTOMATIC) >= published.DISCARD
    assert set(published.SAMPLERS) >= published.COMFY_DISCARD
    whole = published.SCHEDULES["Karras"](5, TABLE, False)
    assert published.discarding(published.SCHEDULES["Karras"], 4, TABLE).tolist() == [*whole[:4], 0]


# ---- solvers ---------------------------------------------------------------------------------------------------------------------


def errors(sampler: str, counts: tuple[int, ...]) -> list[float]:
    exact = solved(MIXED, GRID * HIGH, HIGH, LOW)
    passes = [published.run(sampler, np.geomspace(HIGH, LOW, n + 1), MIXED, GRID, none, eta=0) for n in counts]
    return [float(np.abs(x - exact).max()) for x in passes]


@pytest.mark.parametrize(("sampler", "order"), [*((s, 1) for s in FIRST), *((s, 2) for s in SECOND)])
def test_the_error_falls_with_the_order(sampler: str, order: int) -> None:
    coarse, fine, finest = errors(sampler, (96, 192, 384))
    assert 1.95**order < coarse / fine < 2.45**order
    assert 1.95**order < fine / finest < 2.4**order
    assert finest < (1e-2, 4e-5)[order - 1]


def test_the_uneven_adams_of_comfyui_is_of_no_order_but_gets_there() -> None:
    coarse, fine = errors("ipndm_v", (96, 192))
    assert fine < min(coarse / 2, 5e-5)


@pytest.mark.parametrize("sampler", [*FIRST, *SECOND, "ipndm_v"])
@pytest.mark.parametrize("schedule", ["Karras", "Exponential", "KL Optimal"])
def test_a_whole_pass_ends_where_the_exact_flow_of_a_gaussian_ends(sampler: str, schedule: str) -> None:
    sigmas = published.SCHEDULES[schedule](400, TABLE, False)
    end = sigmas[-2] if sampler == "dpm_fast" and sigmas[-1] == 0 else sigmas[-1]
    exact = published.gaussian_flow(GRID * sigmas[0], sigmas[0], end, MEAN, STD)
    bound = 0.02 if sampler in FIRST else 0.002
    np.testing.assert_allclose(published.run(sampler, sigmas, published.gaussian(MEAN, STD), GRID, none, eta=0), exact, atol=bound)


@pytest.mark.parametrize(
    ("sampler", "same"),
    [
        ("euler_ancestral", "euler"),
        ("dpm_2_ancestral", "dpm_2"),
        ("dpmpp_2m_sde", "dpmpp_2m"),
        ("dpmpp_sde", "dpmpp_2s_ancestral"),
        ("dpmpp_2m_sde_heun", "res_multistep"),
        ("euler_ancestral_cfg_pp", "euler"),
    ],
)
def test_without_noise_some_samplers_are_others(sampler: str, same: str) -> None:
    sigmas = published.SCHEDULES["Karras"](8, TABLE, False)
    one, other = (published.run(name, sigmas, MIXED, GRID, none, eta=0) for name in (sampler, same))
    np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(("one", "other"), [("heun", "dpm_2"), ("dpmpp_2m", "lms"), ("uni_pc", "uni_pc_bh2"), ("deis", "ipndm")])
def test_at_few_steps_solvers_can_be_told_apart(one: str, other: str) -> None:
    sigmas = published.SCHEDULES["Karras"](8, TABLE, False)
    ends = [published.run(name, sigmas, MIXED, GRID, none) for name in (one, other)]
    assert np.abs(ends[0] - ends[1]).max() > 1e-3


def test_ddpm_is_ancestral_euler_in_another_frame() -> None:
    sigmas = published.SCHEDULES["Uniform"](12, TABLE, False)
    one, other = (published.run(name, sigmas, MIXED, GRID, drawn(1, 9)) for name in ("ddpm", "euler_ancestral"))
    np.testing.assert_allclose(one, other, atol=1e-10)


def test_the_last_step_of_lms_is_of_two_kinds() -> None:
    sigmas = published.SCHEDULES["Karras"](6, TABLE, False)
    kept, denoised = (published.run("lms", sigmas, MIXED, GRID, none, denoises_last=last) for last in (False, True))
    assert np.abs(kept - denoised).max() > 1e-4


def test_weights_of_even_steps_are_those_of_adams() -> None:
    for order, weights in enumerate(published.ADAMS, start=1):
        np.testing.assert_allclose(published._lagrange(-np.arange(order), 0, 1), weights)
    np.testing.assert_allclose(published._ipndm_v_weights(-1, -1, -1), published.ADAMS[2])
    np.testing.assert_allclose(published._ipndm_v_weights(-1, -1, -1, -1) * 24, [57, -65, 43, -11])
    np.testing.assert_allclose(published._ipndm_v_weights(-1, -2), published._lagrange([0, 2], 0, -1) / -1)


def test_the_sums_of_deis_are_its_integrals() -> None:
    sigmas = published.SCHEDULES["Karras"](10, TABLE, False)
    times = published._vp_time(sigmas)
    nodes = times[4:1:-1]

    def integral(j: int) -> float:
        others = np.delete(nodes, j)
        factor = float(np.prod(nodes[j] - others))
        return integrate.quad(lambda s: np.prod(published._vp_time(np.array(s)) - others) / factor, sigmas[4], sigmas[5])[0]

    np.testing.assert_allclose(published._deis_integrals(times[5:1:-1], 10000), [integral(j) for j in range(3)], rtol=1e-4)


def test_cfg_plus_plus_takes_the_data_with_the_prompt_and_the_noise_without() -> None:
    constant = lambda x, _sigma: (np.full_like(x, 2.0), np.zeros_like(x))  # noqa: E731
    np.testing.assert_allclose(published.run("euler_cfg_pp", [4.0, 1.0], constant, np.ones(1), none), 2 + 1 / 4 * 4)


@pytest.mark.parametrize(
    ("sampler", "sigmas"),
    [
        ("euler", [4, 2, 1]),
        ("heun", [4, 2, 2, 1, 1]),
        ("dpm_2", [4, 8**0.5, 2, 2**0.5, 1]),
        ("dpmpp_sde", [4, 8**0.5, 2, 2**0.5, 1]),
        ("heunpp2", [4, 2, 1, 2, 1, 1]),
        ("uni_pc", [4, 2, 1]),
        ("dpmpp_3m_sde", [4, 2, 1]),
    ],
)
def test_the_denoiser_is_asked_where_the_programs_ask_it(sampler: str, sigmas: list[float]) -> None:
    seen: list[float] = []
    published.run(sampler, [4.0, 2.0, 1.0, 0.0], counted(MIXED, seen), GRID, none, eta=0)
    assert seen == pytest.approx(sigmas)


def test_uni_pc_stops_at_a_thousandth() -> None:
    ends = [published.run("uni_pc", [4.0, 2.0, 1.0, last], MIXED, GRID, none) for last in (0.0, 0.001)]
    np.testing.assert_array_equal(ends[0], ends[1])


def test_dpm_fast_spends_the_count_and_stops_above_zero() -> None:
    for steps in (9, 10, 11):
        seen: list[float] = []
        published.run("dpm_fast", published.SCHEDULES["Uniform"](steps, TABLE, False), counted(MIXED, seen), GRID, none, eta=0)
        assert len(seen) == steps
        assert min(seen) > TABLE[0]


def test_restart_goes_back_up_to_two_and_keeps_the_count_of_steps() -> None:
    for steps, climbs in ((19, 0), (20, 1), (35, 1), (36, 2)):
        way = published._restart_steps(published.SCHEDULES["Karras"](steps, TABLE, False))
        jumps = [(low, high) for (_, low), (high, _) in pairwise(way) if high > low]
        assert len(way) == steps
        assert len(jumps) == climbs
        assert all(0.05 < low < 0.2 and 1.5 < high < 2.6 for low, high in jumps)


def test_the_restarts_of_a_pass_are_taken_off_its_way() -> None:
    for steps, base, back in ((20, 11, 9), (40, 20, 10)):
        way = published._restart_steps(published.SCHEDULES["Exponential"](steps, TABLE, False))
        sigmas = published.SCHEDULES["Karras"](base, TABLE, False)
        climb = next(i for i in range(1, steps) if way[i][0] > way[i - 1][1])
        assert way[1][0] == pytest.approx(sigmas[1])
        assert [start for start, _ in way[:climb]] == pytest.approx(sigmas[:climb].tolist())
        assert way[climb + back - 1][1] == pytest.approx(way[climb - 1][1])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_one_step_of_dpm_solver_is_of_its_order(order: int) -> None:
    every = published.Pass(np.empty(0), MIXED, none, 0.0, 1.0)

    def error(h: float) -> float:
        after = math.exp(-h)
        return float(np.abs(published._dpm_solver(every, GRID, 1.0, after, order) - solved(MIXED, GRID, 1.0, after)).max())

    assert error(0.04) / error(0.02) == pytest.approx(2 ** (order + 1), rel=0.15)


def moment(h: float, power: int) -> float:
    """What one step of h in log sigma takes of data that grow as the given power of the part of the step behind."""
    return float(integrate.quad(lambda t: math.exp(t - h) * (t / h) ** power, 0, h)[0])


@pytest.mark.parametrize("bh2", [False, True])
def test_uni_pc_takes_polynomials_as_they_are(bh2: bool) -> None:
    h, steps = 0.7, np.array([-0.6, -1.5, 1.0])
    big = math.expm1(-h) if bh2 else -h
    predictor, corrector = published._unipc_weights(steps, h, big)
    for power in (1, 2, 3):
        assert -big * (corrector * steps ** (power - 1)).sum() == pytest.approx(moment(h, power))
    for power in (1, 2):
        assert -big * (predictor * steps[:2] ** (power - 1)).sum() == pytest.approx(moment(h, power))
    assert published._unipc_weights(steps[[0, 2]], h, big)[0].tolist() == [0.5]
    assert published._unipc_weights(steps[2:], h, big)[1].tolist() == [0.5]


def test_the_third_order_of_dpmpp_has_half_of_the_parabola() -> None:
    """So it is in DPM-Solver++'s own code and in k-diffusion, whose divided difference is half of a second derivative."""
    logs = np.array([-0.3, -0.1, 0.0, 0.7])
    h = 0.7
    phi2 = 1 + math.expm1(-h) / h
    for power, part in ((1, 1.0), (2, 0.5)):
        said = list((logs[2::-1] / h) ** power)
        got = published._history(np.exp(-logs), said, phi2, phi2 / h - 0.5)
        assert got == pytest.approx(part * moment(h, power))


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_er_sde_follows_data_that_move_as_a_polynomial(stage: int) -> None:
    """A long step after two that are too short to matter, without noise; the exact one comes of the solver's own linear ODE."""
    start, end, power = 4 + 2e-4, 1.5, stage - 1

    def scale(level: float) -> float:
        return level * (math.exp(level**0.3) + 10)

    def moving(x: Array, sigma: float) -> Array:
        return np.full_like(x, sigma**power)

    left = scale(end) / scale(start)
    behind = integrate.quad(lambda u: power * u ** max(power - 1, 0) / scale(u), start, end)[0]
    exact = left * GRID * start + end**power - left * start**power - scale(end) * behind
    got = published.run("er_sde", [start, 4 + 1e-4, 4.0, end], moving, GRID, lambda: GRID, s_noise=0, points=20000)
    np.testing.assert_allclose(got, exact, atol=2e-3)


def test_uneven_steps_have_the_weights_that_comfyui_has() -> None:
    fourth = 0.2 * (4 / 9 + 5 / 216)
    third = (1 - 1 / 30) / 2
    weights = published._ipndm_v_weights(-1, -2, -3, -4)
    assert weights[3] == pytest.approx(-fourth * 10 / 21 * 2 / 3)
    assert weights.sum() == pytest.approx(1 + fourth * 10 / 21 * (3 / 4 - 2 / 3))
    np.testing.assert_allclose(published._ipndm_v_weights(-1, -2, -3), [1.25 + third, -0.25 - third * 5 / 3, third * 2 / 3])


def test_deis_counts_in_the_time_of_sigmas_0002_to_80() -> None:
    np.testing.assert_allclose(published._vp_time(np.array([0.002, 80.0])), [1e-3, 1])


# ---- noise -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "draws"),
    [
        ("euler", 0),
        ("euler_ancestral", 7),
        ("dpmpp_2m_sde", 7),
        ("dpmpp_sde", 14),
        ("er_sde", 7),
        ("lcm", 7),
        ("ddpm", 7),
        ("restart", 0),
    ],
)
def test_noise_is_drawn_where_it_is_added(sampler: str, draws: int) -> None:
    taken: list[int] = []

    def draw() -> Array:
        taken.append(1)
        return np.zeros(9)

    published.run(sampler, published.SCHEDULES["Karras"](8, TABLE, False), MIXED, GRID, draw)
    assert len(taken) == draws


def basis(size: int) -> Callable[[], Array]:
    """Draws of which each is a direction of its own, so that the length of a sum of them is the deviation of the sum."""
    rows = iter(np.eye(size))
    return lambda: next(rows)


@pytest.mark.parametrize("sampler", [*STOCHASTIC, "lcm"])
@pytest.mark.parametrize("eta", [1.0, 0.5, 0.1])
def test_noise_over_nothing_has_the_sigma_that_is_left(sampler: str, eta: float) -> None:
    """Where the data are all 0 every solver is exact, and so must be the noise that it adds."""
    draw, asked = basis(80), list[tuple[float, float]]()

    def nothing(x: Array, sigma: float) -> Array:
        asked.append((float(np.linalg.norm(x)), sigma))
        return np.zeros_like(x)

    published.run(sampler, published.SCHEDULES["Karras"](24, TABLE, False), nothing, draw(), draw, eta=eta)
    lengths, sigmas = np.transpose(asked)
    np.testing.assert_allclose(lengths, sigmas, rtol=1e-9)
    assert min(sigmas) < 0.1


@pytest.mark.parametrize("sampler", STOCHASTIC)
def test_the_deviation_of_the_data_comes_nearer_with_more_steps(sampler: str) -> None:
    """Over a Gaussian of mean 0 a pass is linear, so its deviation is known without chance."""

    def off(steps: int) -> float:
        draw = basis(4 * steps)
        end = published.run(sampler, np.geomspace(40, 0.01, steps + 1), published.gaussian(0, STD), draw(), draw)
        return abs(float(np.linalg.norm(end)) - math.hypot(STD, 0.01))

    assert off(240) < off(60) / 2.5 or off(240) < 1e-4
    assert off(240) < (0.02 if sampler in (*FIRST, "ddpm") else 0.003)


@pytest.mark.parametrize("sampler", STOCHASTIC)
@pytest.mark.parametrize("eta", [1.0, 0.5])
def test_twenty_thousand_passes_have_the_law_of_the_data(sampler: str, eta: float) -> None:
    """The mean of 20000 is known to 0.0035 and their deviation to 0.0025: three of these, and 0.005 for what 150 steps leave."""
    draw = drawn(11, 20000)
    sigmas = published.SCHEDULES["Karras"](150, TABLE, False)
    ends = published.run(sampler, sigmas, published.gaussian(MEAN, STD), draw(), draw, eta=eta)
    assert ends.mean() == pytest.approx(MEAN, abs=0.0105)
    assert ends.std() == pytest.approx(STD, abs=0.0125)


@pytest.mark.parametrize("sampler", ["dpmpp_sde", "dpmpp_3m_sde", "er_sde"])
def test_the_law_of_a_mixture_comes_out_too(sampler: str) -> None:
    draw = drawn(12, 20000)
    ends = published.run(sampler, published.SCHEDULES["Karras"](150, TABLE, False), MIXED, draw(), draw)
    assert (ends < 0.3).mean() == pytest.approx(0.4, abs=0.02)
    assert ends[ends < 0.3].std() == pytest.approx(0.3, abs=0.03)


def test_the_two_noises_of_a_step_are_of_one_path() -> None:
    every = published.Pass(np.empty(0), MIXED, drawn(13, 200000), 1.0, 1.0)
    first, whole = published._brownian(every, 4.0, 2.0, 1.0)
    assert whole.var() == pytest.approx(1, abs=0.01)
    assert (first * whole).mean() == pytest.approx(math.sqrt(2 / 3), abs=0.01)


def test_churn_goes_up_by_half_an_octave_at_most() -> None:
    for churn, hat in ((0.2, 4.4), (9.0, 4 * 2**0.5)):
        seen, draw = list[float](), basis(2)
        end = published.run("euler", [4.0, 2.0, 1.0], counted(lambda x, _s: x, seen), draw(), draw, s_churn=churn, s_tmin=3.0)
        assert seen == pytest.approx([hat, 2])
        assert np.linalg.norm(end) == pytest.approx(hat)


def test_less_noise_gives_less_of_it() -> None:
    sigmas = published.SCHEDULES["Karras"](50, TABLE, False)
    for sampler in STOCHASTIC:
        spread = [
            published.run(sampler, sigmas, published.gaussian(0, 1), GRID[:1].repeat(2000), drawn(14, 2000), s_noise=s).std()
            for s in (1.0, 0.5)
        ]
        assert spread[1] < spread[0] * 0.8 or sampler == "ddpm"


# ---- timesteps of A1111 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sampler", "end", "bound"), [("ddim", 1, 0.03), ("plms", 1, 0.005), ("unipc_a1111", 0, 0.005)])
def test_samplers_of_timesteps_end_where_the_exact_flow_is(sampler: str, end: int, bound: float) -> None:
    times = published.A1111_TIMESTEPS(250)
    start = 999 if sampler == "unipc_a1111" else times[-1]
    frame = np.sqrt(1 + TABLE**2)
    exact = published.gaussian_flow(GRID * frame[start], TABLE[start], TABLE[end], MEAN, STD) / frame[end]
    np.testing.assert_allclose(
        published.run_timesteps(sampler, times, published.gaussian(MEAN, STD), GRID, none), exact, atol=bound
    )


def test_ddim_is_euler_on_the_sigmas_of_its_times_and_never_sees_the_lowest() -> None:
    times, seen = published.A1111_TIMESTEPS(20), list[float]()
    out = published.run_timesteps("ddim", times, counted(MIXED, seen), GRID, none)
    sigmas = TABLE[times[::-1]]
    assert seen == pytest.approx(sigmas[:-1].tolist())
    frame = np.sqrt(1 + sigmas**2)
    np.testing.assert_allclose(out * frame[-1], published.run("euler", sigmas, MIXED, GRID * frame[0] / sigmas[0], none))


def test_ddim_with_all_its_noise_is_ddpm() -> None:
    times = published.A1111_TIMESTEPS(20)
    sigmas = TABLE[times[::-1]]
    frame = np.sqrt(1 + sigmas**2)
    out = published.run_timesteps("ddim", times, MIXED, GRID, drawn(2, 9), eta=1.0)
    np.testing.assert_allclose(out * frame[-1], published.run("ddpm", sigmas, MIXED, GRID * frame[0] / sigmas[0], drawn(2, 9)))


def test_plms_begins_with_heun() -> None:
    times = np.array([301, 701])
    high, low = TABLE[701], TABLE[301]
    out = published.run_timesteps("plms", times, MIXED, GRID, none)
    held = published.run("heun", [high, low], MIXED, GRID * math.hypot(1, high) / high, none)
    np.testing.assert_allclose(out * math.hypot(1, low), held)


def test_unipc_of_a1111_goes_evenly_through_the_logarithm_of_alpha() -> None:
    seen: list[float] = []
    published.run_timesteps("unipc_a1111", [1, 501], counted(MIXED, seen), GRID, none)
    alike = 1 / math.sqrt((1 + TABLE[499] ** 2) * (1 + TABLE[500] ** 2))
    assert seen == pytest.approx([TABLE[999], math.sqrt(1 / alike - 1)])


# ---- flow matching ---------------------------------------------------------------------------------------------------------------


def test_the_table_of_a_flow_is_shifted_and_its_times_once_more() -> None:
    sigmas = published.flow_table(3.0)
    assert sigmas[-1] == 1
    np.testing.assert_allclose(sigmas[[0, 499]], [0.003 / 1.002, 0.75])
    normal = published.FLOW_SCHEDULES["normal"](3, sigmas)
    middle = (1 + sigmas[0]) / 2
    np.testing.assert_allclose(normal, [1, 3 * middle / (1 + 2 * middle), 3 * sigmas[0] / (1 + 2 * sigmas[0]), 0])
    np.testing.assert_allclose(published.FLOW_SCHEDULES["sgm_uniform"](2, sigmas), normal[[0, 1, 3]])


@pytest.mark.parametrize("name", published.FLOW_SCHEDULES)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_every_schedule_of_a_flow_falls_to_zero(name: str, shift: float) -> None:
    sigmas = published.FLOW_SCHEDULES[name](20, published.flow_table(shift))
    assert len(sigmas) == 21
    assert (np.diff(sigmas) < 0).all()
    assert sigmas[-1] == 0
    assert sigmas[0] == pytest.approx(1) or name == "ddim_uniform"


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_the_error_of_a_flow_falls_with_the_order(sampler: str, order: int) -> None:
    denoise = published.flow_gaussian(MEAN, STD)
    exact = solved(denoise, GRID * 0.95, 0.95, 0.02)
    passes = [published.run_flow(sampler, np.linspace(0.95, 0.02, n + 1), denoise, GRID, none) for n in (100, 200)]
    coarse, fine = (float(np.abs(x - exact).max()) for x in passes)
    assert 1.8**order < coarse / fine < 2.2**order


def test_a_flow_in_half_its_log_snr_is_the_other_frame() -> None:
    sigmas = published.FLOW_SCHEDULES["simple"](12, published.flow_table(3.0))[1:]
    out = published.run_flow("dpmpp_2m", sigmas, published.flow_gaussian(MEAN, STD), GRID, none)
    spread = sigmas / (1 - sigmas)
    np.testing.assert_allclose(out, published.run("dpmpp_2m", spread, published.gaussian(MEAN, STD), GRID, none))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_twenty_thousand_flows_have_the_law_of_the_data(eta: float) -> None:
    draw = drawn(15, 20000)
    sigmas = published.FLOW_SCHEDULES["simple"](600, published.flow_table(3.0))
    ends = published.run_flow("euler_ancestral", sigmas, published.flow_gaussian(MEAN, STD), draw(), draw, eta=eta)
    assert ends.mean() == pytest.approx(MEAN, abs=0.0105)
    assert ends.std() == pytest.approx(STD, abs=0.0125)


def test_an_ancestral_step_of_a_flow_is_as_far_down_as_eta_says() -> None:
    for eta, down in ((1.0, 0.2), (0.5, 0.3)):
        draw = basis(2)
        end = published.run_flow("euler_ancestral", [0.8, 0.4], lambda x, _sigma: np.zeros_like(x), draw(), draw, eta=eta)
        assert end[0] == pytest.approx(down * 0.6 / (1 - down))
        assert np.linalg.norm(end) == pytest.approx(0.4)


def test_lcm_of_a_flow_mixes_data_and_noise() -> None:
    constant = lambda x, _sigma: np.full_like(x, 2.0)  # noqa: E731
    seen = published.run_flow("lcm", [1.0, 0.25], constant, np.ones(1), lambda: np.array([4.0]))
    np.testing.assert_allclose(seen, 0.75 * 2 + 0.25 * 4)
