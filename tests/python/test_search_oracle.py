"""The oracle of the searches, checked by itself: its numbers, its noise, and what each search does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import search_oracle as oracle
from search_oracle import CEM, ICEM, KEPT, MPPI, Costs, Floats, Plan, RandomShooting, Search

N = 1_000_000
SEARCHES = [
    RandomShooting(horizon=12, naction=2, candidates=400),
    RandomShooting(horizon=12, naction=2, candidates=400, warm_start=True),
    CEM(horizon=12, naction=2, candidates=100, elites=10),
    CEM(horizon=12, naction=2, candidates=100, elites=10, execute="best"),
    ICEM(horizon=12, naction=2),
    ICEM(horizon=12, naction=2, execute="mean", colour=2.0),
    MPPI(horizon=12, naction=2),
    MPPI(horizon=12, naction=2, smoothing=0.9, rounds=3, candidates=200),
    MPPI(horizon=12, naction=2, colour=1.0, execute="best"),
]


def name_of(search: Any) -> str:
    return type(search).__name__ if isinstance(search, Search) else str(search)


def million(episode: int) -> npt.NDArray[np.uint64]:
    return oracle.words(2**40 + 5, episode, 3, 1, np.arange(25_000), 40)


# ---- random numbers


@pytest.mark.parametrize(
    ("key", "counter", "want"),
    [
        ([0, 0], [0, 0, 0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 2, [0xFFFFFFFF] * 4, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0xA4093822, 0x299F31D0],
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_its_authors_numbers(key: list[int], counter: list[int], want: list[int]) -> None:
    got = oracle.philox(np.array(key, np.uint64), np.array([counter], np.uint64))
    assert got[0].tolist() == want


def test_words_depend_on_their_own_counter_only() -> None:
    all_ = oracle.words(1, 2, 3, 4, np.arange(10), 22)
    assert all_.shape == (10, 22)
    np.testing.assert_array_equal(oracle.words(1, 2, 3, 4, [7, 2], 9), all_[[7, 2], :9])
    assert all_.max() <= oracle.MASK
    block = oracle.philox(oracle.derive_key(1, 2), np.array([[5 + (4 << 24), 7, 3, 0]], np.uint64))
    np.testing.assert_array_equal(all_[7, 20:], block[0, :2])
    far = oracle.counters(7 + (5 << 32), 255, [0, 2**32 - 1], 8)[1, 1]
    assert far.tolist() == [1 + (255 << 24), 2**32 - 1, 7, 5]
    others = [(9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 9)]
    others += [(1 + 2**32, 2, 3, 4), (1, 2 + 2**32, 3, 4), (1, 2, 3 + 2**32, 4)]
    for other in others:
        assert (oracle.words(*other, np.arange(10), 22) != all_).mean() > 0.99


def test_no_counter_occurs_twice() -> None:
    """Over steps, rounds and positions, and where a number of blocks or a step needs many bits."""
    seen = np.concatenate(
        [
            oracle.counters(step, round_, np.arange(50), 30 * 6).reshape(-1, 4)
            for step in (0, 1, 2, 999, 2**32, 2**32 + 1)
            for round_ in (0, 1, 2, 255)
        ]
    )
    assert seen.max() <= oracle.MASK
    assert len(np.unique(seen, axis=0)) == len(seen) == 6 * 4 * 50 * 45
    last = oracle.counters(0, 0, [0], 4 * 2**24)[0, -1, 0]
    assert last + 1 == oracle.counters(0, 1, [0], 4)[0, 0, 0]
    for round_, draws in [(256, 4), (-1, 4), (0, 4 * 2**24 + 1)]:
        with pytest.raises(ValueError, match="below"):
            oracle.counters(0, round_, [0], draws)


def test_a_search_uses_no_counter_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[npt.NDArray[np.uint64]] = []
    true = oracle.counters

    def record(*args: Any) -> npt.NDArray[np.uint64]:
        seen.append(true(*args))
        return seen[-1]

    monkeypatch.setattr(oracle, "counters", record)
    episode(ICEM(horizon=6, naction=3, seed=4), Course(6, 3), 5)
    all_ = np.concatenate([s.reshape(-1, 4) for s in seen])
    assert len(seen) == 15
    assert len(np.unique(all_, axis=0)) == len(all_)


def test_uniforms() -> None:
    u = oracle.uniforms(million(0))
    assert -1 <= u.min() < -0.99999
    assert 0.99999 < u.max() < 1
    assert abs(u.mean()) < 5 / math.sqrt(3 * N)
    assert abs((u**2).mean() - 1 / 3) < 5 * math.sqrt((1 / 5 - 1 / 9) / N)


def test_normals_have_the_moments_and_tails_of_normals() -> None:
    z = oracle.normals(million(0)).ravel()
    assert z.size == N
    assert abs(z.mean()) < 5 / math.sqrt(N)
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / N)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / N)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / N)
    for deviations in (1, 2, 3, 4):
        p = math.erfc(deviations / math.sqrt(2)) / 2
        for tail in (z > deviations, z < -deviations):
            assert abs(tail.mean() - p) < 5 * math.sqrt(p * (1 - p) / N)


def test_the_two_normals_of_a_pair_are_independent() -> None:
    z = oracle.normals(million(1))
    a, b = z[:, 0::2].ravel(), z[:, 1::2].ravel()
    n = len(a)
    assert abs((a * b).mean()) < 5 / math.sqrt(n)
    assert abs((a**2 * b**2).mean() - 1) < 5 * math.sqrt(8 / n)  # E a^4 b^4 - 1 = 8
    sectors = np.histogram(np.arctan2(b, a), 16, (-np.pi, np.pi))[0]
    assert np.abs(sectors - n / 16).max() < 5 * math.sqrt(n * 15 / 256)


def test_normals_of_known_words() -> None:
    """The middle of a quadrant is on an axis."""
    half = 1 << 29  # the place in the quadrant is 2^23 of 2^24
    w = np.array([[0, (q << 30) + half] for q in range(4)], np.uint64)
    radius = math.sqrt(2 * 33 * math.log(2))  # the largest
    want = radius * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    np.testing.assert_allclose(oracle.normals(w), want, atol=1e-14)
    start = oracle.normals(np.array([[oracle.MASK, 0]], np.uint64))
    assert 0 < start[0, 0] < 1e-4
    assert start[0, 1] == pytest.approx(-start[0, 0])


def test_truncated_normals() -> None:
    z = oracle.truncated_normals(million(0)).ravel()
    inside = math.erf(math.sqrt(2))
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    variance = 1 - 4 * density / inside
    fourth = 3 - (4 * density / inside) * (4 + 3)
    assert variance == pytest.approx(0.7737413)
    assert -2 - 1e-12 <= z.min() < -1.9999
    assert 1.9999 < z.max() <= 2
    assert abs(z.mean()) < 5 * math.sqrt(variance / N)
    assert abs((z**2).mean() - variance) < 5 * math.sqrt((fourth - variance**2) / N)
    assert abs((z**4).mean() - fourth) < 5 * math.sqrt(2**8 / N)
    for deviations in (0.5, 1, 1.5):
        p = 1 - math.erf(deviations / math.sqrt(2)) / inside
        assert abs((np.abs(z) > deviations).mean() - p) < 5 * math.sqrt(p * (1 - p) / N)


def test_erfinv_inverts_erf() -> None:
    x = np.linspace(-2.5, 2.5, 2001)
    np.testing.assert_allclose(oracle.erfinv(oracle.erf(x)), x, rtol=0, atol=1e-12)
    tiny = np.array([1e-300, 1e-15, 1e-7, 0.0, -1e-15])
    np.testing.assert_allclose(oracle.erfinv(oracle.erf(tiny)), tiny, rtol=1e-12)
    y = np.linspace(-0.999, 0.999, 2001)
    np.testing.assert_allclose([math.erf(v) for v in oracle.erfinv(y)], y, rtol=0, atol=1e-15)
    for v in (-0.9544997361036416, -0.3, 1e-3, 0.7, 0.95):  # against bisection, which shares nothing with it
        low, high = -3.0, 3.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if math.erf(middle) < v else (low, middle)
        assert float(oracle.erfinv(v)) == pytest.approx(low, abs=1e-12)


# ---- coloured noise

BETAS = (0.25, 2.0, 3.0)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("horizon", [2, 3, 4, 8, 15, 30, 31])
def test_colour_matrix_is_the_inverse_fft(horizon: int, beta: float) -> None:
    g = np.random.default_rng(horizon).normal(size=(20, horizon, 3))
    np.testing.assert_allclose(oracle.colour(g, beta), oracle.colour_by_fft(g, beta), rtol=0, atol=1e-12)
    for a in range(3):
        np.testing.assert_allclose(
            oracle.colour(g, beta)[:, :, a], g[:, :, a] @ oracle.colour_matrix(horizon, beta).T, atol=1e-12
        )


def spectra(horizon: int, total: int) -> Iterator[tuple[Floats, Floats]]:
    """Real and imaginary parts of unit deviation, some samples at a time."""
    rng = np.random.default_rng(horizon)
    size, piece = horizon // 2 + 1, 20_000
    for _ in range(total // piece):
        yield rng.standard_normal((piece, size)), rng.standard_normal((piece, size))


@pytest.mark.parametrize("horizon", [8, 15, 30])
def test_colour_matrix_has_the_covariance_of_noise_by_numpys_fft(horizon: int) -> None:
    """A million samples of a spectrum written down here once more; within five standard errors."""
    f = np.fft.rfftfreq(horizon)
    f[0] = f[1]
    deviations, scales = {}, {}
    for beta in BETAS:
        s = f ** (-beta / 2)
        w = s[1:].copy()
        if horizon % 2 == 0:
            w[-1] /= 2
        deviations[beta], scales[beta] = s, 2 * np.sqrt((w**2).sum()) / horizon
    sums = {beta: np.zeros((horizon, horizon)) for beta in BETAS}
    for real, imaginary in spectra(horizon, N):
        imaginary[:, 0] = 0
        real[:, 0] *= np.sqrt(2)
        if horizon % 2 == 0:
            imaginary[:, -1] = 0
            real[:, -1] *= np.sqrt(2)
        for beta in BETAS:
            noise = np.fft.irfft((real + 1j * imaginary) * deviations[beta], n=horizon)
            sums[beta] += noise.T @ noise
    for beta in BETAS:
        C = oracle.colour_matrix(horizon, beta)
        want = C @ C.T
        got = sums[beta] / N / scales[beta] ** 2
        variance = np.diag(want)
        error = np.sqrt((np.outer(variance, variance) + want**2) / N)
        assert (np.abs(got - want) < 5 * error).all()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("horizon", [2, 3, 8, 15, 30])
def test_deviation_of_coloured_noise(horizon: int, beta: float) -> None:
    """Around a sequence's own mean it is 1 for odd H; frequency 0 and the last of an even H come on top.

    So all steps have the same deviation, and it is above 1.
    """
    s, _ = oracle.colour_scales(horizon, beta)
    C = oracle.colour_matrix(horizon, beta)
    covariance = C @ C.T
    even = horizon % 2 == 0
    last = s[-1] ** 2 if even else 0.0
    middle = (s[1:-1] if even else s[1:]) ** 2
    power = 4 * middle.sum() + last
    np.testing.assert_allclose(np.diag(covariance), (power + 2 * s[0] ** 2 + last) / power, rtol=1e-12)
    centre = np.eye(horizon) - 1 / horizon
    around_mean = np.diag(centre @ covariance @ centre)
    np.testing.assert_allclose(around_mean, (power + last) / power, rtol=1e-12)
    if not even:
        np.testing.assert_allclose(around_mean, 1, rtol=1e-12)


def test_coloured_noise_has_its_spectrum() -> None:
    """Power falls with f^-beta: the covariance's eigenvalues by frequency."""
    for beta in BETAS:
        C = oracle.colour_matrix(15, beta)
        power = np.fft.fft(np.fft.fft(C @ C.T, axis=0), axis=1)[np.arange(1, 8), -np.arange(1, 8)].real
        np.testing.assert_allclose(power / power[0], np.arange(1, 8.0) ** -beta, rtol=1e-10)


def test_no_colour_is_white() -> None:
    g = np.random.default_rng(0).normal(size=(5, 8, 2))
    np.testing.assert_array_equal(oracle.colour(g, 0), g)
    np.testing.assert_array_equal(oracle.colour(g[:, :1], 2.0), g[:, :1])
    with pytest.raises(ValueError, match="two steps"):
        oracle.colour_matrix(1, 2.0)


# ---- searches


class Course:
    """A point that goes 0.2 of its action each step, to a goal that is -0.5, 0.5, -0.5, ..."""

    def __init__(self, horizon: int, naction: int) -> None:
        self.state = np.linspace(1, 0.5, naction)
        self.goal = -0.5 * (-1.0) ** np.arange(naction)

    def __call__(self, sequences: Floats) -> Floats:
        states = self.state + np.cumsum(0.2 * sequences, axis=1)
        effort = 0.01 * (sequences**2).sum(axis=(1, 2))
        return ((states - self.goal) ** 2).sum(axis=(1, 2)) + effort  # type: ignore[no-any-return]

    def advance(self, action: Floats) -> None:
        self.state = self.state + 0.2 * action


def quadratic(sequences: Floats) -> Floats:
    """Lowest at 0.7 everywhere."""
    return ((sequences - 0.7) ** 2).sum(axis=(1, 2))  # type: ignore[no-any-return]


def episode(search: Any, course: Course, steps: int) -> tuple[float, list[Plan]]:
    total, plans, memory = 0.0, [], None
    for step in range(steps):
        plans.append(search.plan(course, step, memory))
        memory = plans[-1].memory
        course.advance(plans[-1].actions[0])
        total += float(((course.state - course.goal) ** 2).sum())
    return total, plans


@pytest.mark.parametrize("search", SEARCHES, ids=name_of)
def test_an_episode_reaches_its_goal(search: Any) -> None:
    course = Course(12, 2)
    start = np.abs(course.state - course.goal).max()
    total, plans = episode(search, course, 25)
    if not isinstance(search, RandomShooting):
        assert total < episode(SEARCHES[0], Course(12, 2), 25)[0]
    noisy = isinstance(search, RandomShooting) or (isinstance(search, MPPI) and search.execute == "best")
    assert np.abs(course.state - course.goal).max() < (0.25 if noisy else 0.05) * start
    for plan in plans:
        assert np.abs(plan.actions).max() <= 1
        assert plan.memory.executed.tolist() == plan.actions[0].tolist()
    again, _ = episode(search, Course(12, 2), 25)
    assert again == total


@pytest.mark.parametrize("search", SEARCHES, ids=name_of)
def test_a_plan_is_consistent(search: Any) -> None:
    course = Course(12, 2)
    for plan in episode(search, course, 3)[1]:
        for r in plan.rounds:
            assert np.abs(r.candidates).max() <= 1
            rolled = r.elite_positions != KEPT
            np.testing.assert_array_equal(r.candidates[r.elite_positions[rolled]], r.elites[rolled])
            np.testing.assert_array_equal(r.costs[r.elite_positions[rolled]], r.elite_costs[rolled])
            assert (np.diff(r.elite_costs) >= 0).all()
            assert r.elite_costs[0] <= r.costs.min()
        if plan.candidate != KEPT:
            np.testing.assert_array_equal(plan.actions, plan.rounds[-1].candidates[plan.candidate])
            assert plan.cost == plan.rounds[-1].costs[plan.candidate]
        assert [len(e) for e, _ in plan.elites] == [len(r.elites) for r in plan.rounds]
        np.testing.assert_allclose(plan.deviation**2, plan.variance)
        assert plan.rolled == sum(len(r.costs) for r in plan.rounds)
    for other in ({"seed": 1}, {"episode": 1}):
        changed = type(search)(**{k: v for k, v in vars(search).items() if k != "nkeep"} | other)
        assert not np.array_equal(changed.plan(course).actions, search.plan(course).actions)


@pytest.mark.parametrize("search", SEARCHES, ids=name_of)
def test_a_limit_of_all_is_no_limit(search: Any) -> None:
    first = search.plan(quadratic, 3)
    memory = first.memory
    whole = search.plan(quadratic, 4, memory)
    same = search.plan(quadratic, 4, memory, limit=whole.rolled)
    assert_same(whole, same)
    assert_same(whole, search.plan(quadratic, 4, memory, limit=10**9))
    with pytest.raises(ValueError, match="one candidate"):
        search.plan(quadratic, 4, memory, limit=0)


def assert_same(one: Plan, other: Plan) -> None:
    assert len(one.rounds) == len(other.rounds)
    assert (one.cost, one.candidate) == (other.cost, other.candidate)
    np.testing.assert_array_equal(one.actions, other.actions)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.variance, other.variance)
    np.testing.assert_array_equal(one.memory.kept, other.memory.kept)
    np.testing.assert_array_equal(one.memory.executed, other.memory.executed)


@pytest.mark.parametrize("search", SEARCHES, ids=name_of)
def test_a_limit_rolls_a_prefix(search: Any) -> None:
    """Every round before the one that is cut is the same; of that, the first positions."""
    memory = search.plan(quadratic, 3).memory
    whole = search.plan(quadratic, 4, memory)
    sizes = [len(r.candidates) for r in whole.rounds]
    for limit in {1, 2, 5, sizes[0] - 1, sizes[0], *(sum(sizes[:2]) + d for d in (-1, 0, 1))}:
        cut = search.plan(quadratic, 4, memory, limit=limit)
        assert cut.rolled == min(limit, whole.rolled)
        for r, w in zip(cut.rounds, whole.rounds, strict=False):
            np.testing.assert_array_equal(r.candidates, w.candidates[: len(r.candidates)])
            np.testing.assert_array_equal(r.costs, w.costs[: len(r.costs)])
        for r, w in zip(cut.rounds[:-1], whole.rounds, strict=False):
            np.testing.assert_array_equal(r.mean, w.mean)
        assert np.isfinite(cut.cost)


def test_a_cut_round_of_cem() -> None:
    search = CEM(horizon=4, naction=1, candidates=30, elites=5, rounds=3)
    first = search.plan(quadratic, limit=3)  # fewer than the elites: all are, and the mean moves
    assert [len(r.elites) for r in first.rounds] == [3]
    a = first.rounds[0].candidates
    np.testing.assert_allclose(first.mean, 0.9 * a.mean(axis=0))
    np.testing.assert_allclose(first.variance, 0.1 * 0.25 + 0.9 * a.var(axis=0))

    few, enough = search.plan(quadratic, limit=39), search.plan(quadratic, limit=40)
    assert [r.refitted for r in few.rounds] == [True, False]
    assert [r.refitted for r in enough.rounds] == [True, True]
    np.testing.assert_array_equal(few.mean, few.rounds[0].mean)
    np.testing.assert_array_equal(few.variance, few.rounds[0].variance)
    assert not np.array_equal(enough.mean, few.mean)

    search.execute = "best"
    cut = search.plan(quadratic, limit=31)  # of all rounds, the last of which is one candidate
    assert cut.candidate == oracle.KEPT
    assert cut.cost == cut.rounds[0].costs.min() < cut.rounds[1].costs[0]
    ends = search.plan(quadratic, limit=30)  # a round of nothing is no round
    assert len(ends.rounds) == 1
    assert ends.cost == ends.rounds[0].costs.min()


def test_a_cut_round_of_icem() -> None:
    """Kept elites count in the pool, for the best and for whether it is enough to refit."""
    search = ICEM(horizon=4, naction=1)
    whole = search.plan(quadratic)
    few, enough = search.plan(quadratic, limit=40 + 16), search.plan(quadratic, limit=40 + 17)
    assert [r.refitted for r in few.rounds] == [True, False]
    assert [r.refitted for r in enough.rounds] == [True, True]
    one = search.plan(quadratic, limit=41)
    assert one.cost <= whole.rounds[0].costs.min()
    assert one.memory.kept.shape == (3, 4, 1)
    np.testing.assert_array_equal(one.mean, whole.rounds[0].mean)
    assert search.plan(quadratic, limit=2).memory.kept.shape == (2, 4, 1)
    given = search.plan(quadratic, 1, whole.memory, limit=2)  # within the given ones
    np.testing.assert_array_equal(given.rounds[0].candidates[:, :-1], whole.memory.kept[:2, 1:])


def test_shifts() -> None:
    a = np.arange(1.0, 7.0).reshape(3, 2)
    assert oracle.shift_zeros(a, 0).tolist() == a.tolist() == oracle.shift_last(a, 0).tolist()
    assert oracle.shift_zeros(a, 1).tolist() == [[3, 4], [5, 6], [0, 0]]
    assert oracle.shift_last(a, 1).tolist() == [[3, 4], [5, 6], [5, 6]]
    for n in (3, 4, 50):
        assert oracle.shift_zeros(a, n).tolist() == [[0, 0]] * 3
        assert oracle.shift_last(a, n).tolist() == [[5, 6]] * 3
    assert oracle.shift_last(np.stack([a, -a]), 2)[1].tolist() == [[-5, -6]] * 3
    assert oracle.shift_last(a[None][:0], 2).shape == (0, 3, 2)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_memory_shifts_the_mean(n: int) -> None:
    """Without noise, what is sampled is the mean."""
    course = Course(5, 2)
    searches: list[tuple[Any, Any]] = [
        (CEM(horizon=5, naction=2), oracle.shift_zeros),
        (ICEM(horizon=5, naction=2, keep=0.0), oracle.shift_last),
        (MPPI(horizon=5, naction=2), oracle.shift_last),
    ]
    for search, shift in searches:
        memory = search.plan(course, 10).memory
        assert np.abs(memory.mean).min() > 0
        search.std, search.tolerance = 1e-9, 0.0
        plan = search.plan(course, 10 + n, memory)
        off = plan.rounds[0].candidates - shift(memory.mean, n)
        assert np.abs(off).max() < 1e-7
        with pytest.raises(ValueError, match="later"):
            search.plan(course, 9, memory)


def test_warm_start_of_random_shooting() -> None:
    search = RandomShooting(horizon=5, naction=2, candidates=50, warm_start=True)
    first = search.plan(quadratic, 0)
    second = search.plan(quadratic, 2, first.memory)
    plain = RandomShooting(horizon=5, naction=2, candidates=50).plan(quadratic, 2, first.memory)
    np.testing.assert_array_equal(second.rounds[0].candidates[0], oracle.shift_last(first.actions, 2))
    np.testing.assert_array_equal(second.rounds[0].candidates[1:], plain.rounds[0].candidates[1:])
    assert second.candidate == 0  # better than chance
    assert second.cost < plain.cost


def test_cem_by_hand() -> None:
    search = CEM(horizon=3, naction=2, candidates=40, elites=4, rounds=2, seed=9)
    plan = search.plan(quadratic, 6)
    m, var = np.zeros((3, 2)), np.full((3, 2), 0.25)
    for i, r in enumerate(plan.rounds):
        z = oracle.truncated_normals(oracle.words(9, 0, 6, i, np.arange(40), 6))
        for k in range(40):
            for d in range(6):
                t, a = divmod(d, 2)
                room = min(m[t, a] + 1, 1 - m[t, a]) / 2
                assert r.candidates[k, t, a] == pytest.approx(m[t, a] + min(room, var[t, a] ** 0.5) * z[k, d])
        elites = r.candidates[sorted(range(40), key=lambda k: r.costs[k])[:4]]
        m = 0.1 * m + 0.9 * sum(elites) / 4
        var = 0.1 * var + 0.9 * (sum(e**2 for e in elites) / 4 - (sum(elites) / 4) ** 2)
        np.testing.assert_allclose(r.mean, m, atol=1e-12)
        np.testing.assert_allclose(r.variance, var, atol=1e-12)
    np.testing.assert_array_equal(plan.actions, plan.mean)
    assert plan.cost == quadratic(plan.mean[None])[0]
    assert plan.candidate == KEPT


def test_cem_ends_where_it_is_sure() -> None:
    search = CEM(horizon=3, naction=1, rounds=50)
    plan = search.plan(quadratic)
    assert 2 < len(plan.rounds) < 50
    variances = [r.variance.max() for r in plan.rounds]
    assert variances[-1] <= 1e-3 < variances[-2]
    np.testing.assert_allclose(plan.mean, 0.7, atol=0.05)
    sure = CEM(horizon=3, naction=1, std=0.03).plan(quadratic)
    assert sure.rounds == []
    assert sure.actions.tolist() == [[0.0]] * 3


def test_icem_by_hand() -> None:
    search = ICEM(horizon=6, naction=2, seed=3, colour=2.0)
    assert search.nkeep == 3
    assert search.sizes() == [40, 32, 25]
    assert ICEM(horizon=6, naction=2, candidates=24, rounds=4).sizes() == [24, 20, 20, 20]
    before = search.plan(Course(6, 2), 0)
    plan = search.plan(Course(6, 2), 1, before.memory)
    assert [len(r.candidates) for r in before.rounds] == [40, 32, 25]
    assert [len(r.candidates) for r in plan.rounds] == [43, 32, 25]
    C = oracle.colour_matrix(6, 2.0)

    m, deviation = oracle.shift_last(before.mean, 1), np.full((6, 2), 0.5)
    kept: list[tuple[float, Floats]] = []
    for i, r in enumerate(plan.rounds):
        g = oracle.normals(oracle.words(3, 0, 1, i, np.arange(len(r.costs)), 12)).reshape(-1, 6, 2)
        for k, candidate in enumerate(r.candidates):
            own = np.clip(m + deviation * (C @ g[k]), -1, 1)
            if i == 0 and k < 3:
                np.testing.assert_array_equal(candidate[:5], before.rounds[-1].elites[k][1:])
                np.testing.assert_allclose(candidate[5], own[5], atol=1e-12)
            elif i == 2 and k == 0:
                np.testing.assert_array_equal(candidate, plan.rounds[1].mean)
            else:
                np.testing.assert_allclose(candidate, own, atol=1e-12)
        pool = kept + list(zip(r.costs, r.candidates, strict=True))
        elites = sorted(pool, key=lambda entry: entry[0])[:10]
        kept = elites[:3]
        sequences = np.array([e[1] for e in elites])
        m = 0.1 * m + 0.9 * sequences.mean(axis=0)
        deviation = 0.1 * deviation + 0.9 * sequences.std(axis=0)
        np.testing.assert_allclose(r.mean, m, atol=1e-12)
        np.testing.assert_allclose(r.variance, deviation**2, atol=1e-12)
        np.testing.assert_array_equal(r.elites, sequences)
    assert plan.cost == kept[0][0]
    np.testing.assert_array_equal(plan.actions, kept[0][1])
    np.testing.assert_array_equal(plan.memory.kept, [k[1] for k in kept])


def test_icem_with_an_older_memory() -> None:
    search = ICEM(horizon=6, naction=1)
    memory = search.plan(quadratic, 0).memory
    fresh = search.plan(
        quadratic, 4, oracle.Memory(4, oracle.shift_last(memory.mean, 4), memory.kept[:0], memory.executed)
    )
    plan = search.plan(quadratic, 4, memory)
    np.testing.assert_array_equal(plan.rounds[0].candidates[:3, :2], memory.kept[:, 4:])
    np.testing.assert_array_equal(plan.rounds[0].candidates[:3, 2:], fresh.rounds[0].candidates[:3, 2:])
    np.testing.assert_array_equal(plan.rounds[0].candidates[3:40], fresh.rounds[0].candidates[3:])
    old = search.plan(quadratic, 50, memory)
    assert len(old.rounds[0].candidates) == 43


def test_one_round_of_icem_does_not_roll_the_mean() -> None:
    plan = ICEM(horizon=6, naction=1, rounds=1).plan(quadratic)
    assert np.abs(plan.rounds[0].candidates[0]).min() > 0


def test_mppi_by_hand() -> None:
    search = MPPI(horizon=5, naction=2, candidates=60, seed=2, smoothing=0.7, temperature=0.5, rounds=2)
    memory = search.plan(quadratic, 7).memory
    plan = search.plan(quadratic, 8, memory)
    m = oracle.shift_last(memory.mean, 1)
    for i, r in enumerate(plan.rounds):
        eps = oracle.normals(oracle.words(2, 0, 8, i, np.arange(60), 10)).reshape(60, 5, 2)
        over, under = np.zeros((5, 2)), 0.0
        for k in range(60):
            last, sequence = memory.mean[0], []
            for h in range(5):
                last = 0.7 * (m[h] + 0.9 * eps[k, h]) + 0.3 * last
                sequence.append(np.clip(last, -1, 1))
            np.testing.assert_allclose(r.candidates[k], sequence, atol=1e-12)
            weight = math.exp(-(r.costs[k] - r.costs.min()) / 0.5)
            over, under = over + weight * np.array(sequence), under + weight
        m = over / under
        np.testing.assert_allclose(r.mean, m, atol=1e-12)
    np.testing.assert_array_equal(plan.actions, plan.mean)
    np.testing.assert_array_equal(plan.memory.executed, plan.mean[0])


def test_temperature_of_mppi() -> None:
    cold = MPPI(horizon=5, naction=2, temperature=1e-6).plan(quadratic)
    np.testing.assert_allclose(cold.mean, cold.rounds[0].elites[0])
    hot = MPPI(horizon=5, naction=2, temperature=1e9).plan(quadratic)
    np.testing.assert_allclose(hot.mean, hot.rounds[0].candidates.mean(axis=0), atol=1e-6)


def test_odd_numbers_of_draws() -> None:
    for search in (CEM(horizon=3, naction=3), ICEM(horizon=3, naction=3), MPPI(horizon=1, naction=1)):
        assert np.isfinite(search.plan(quadratic).cost)
    assert np.isfinite(ICEM(horizon=1, naction=3).plan(quadratic).cost)


def worst_at(positions: list[int], value: float) -> Costs:
    """Only of rounds; the mean alone has its true cost."""

    def costs(sequences: Floats) -> Floats:
        c = quadratic(sequences)
        if len(sequences) > 1:
            c[[p for p in positions if p < len(c)]] = value
        return c

    return costs


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("search", SEARCHES, ids=name_of)
def test_costs_that_are_not_finite_never_win(search: Any, value: float) -> None:
    best = [int(np.argmin(search.plan(quadratic).rounds[0].costs)), 3, 5]
    plan = search.plan(worst_at(best, value))
    for r in plan.rounds:
        assert not set(best) & set(r.elite_positions.tolist())
        assert np.isfinite(r.mean).all()
        assert np.isfinite(r.variance).all()
    assert np.isfinite(plan.cost)
    with pytest.raises(ValueError, match="finite"):
        search.plan(lambda a: np.full(len(a), value))


def test_fewer_finite_costs_than_elites() -> None:
    search = CEM(horizon=4, naction=1, candidates=30, elites=5, rounds=1)
    plan = search.plan(worst_at(list(range(2, 30)), math.nan))
    assert sorted(plan.rounds[0].elite_positions) == [0, 1]
    np.testing.assert_allclose(plan.mean, 0.9 * plan.rounds[0].candidates[:2].mean(axis=0))


@pytest.mark.parametrize("search", SEARCHES, ids=name_of)
def test_ties_go_to_the_lowest_position(search: Any) -> None:
    plan = search.plan(lambda a: np.zeros(len(a)))
    first = plan.rounds[0].elite_positions
    assert first.tolist() == list(range(len(first)))
    if isinstance(search, ICEM):  # kept ones come first
        for r in plan.rounds[1:]:
            assert r.elite_positions.tolist() == [KEPT] * 3 + list(range(7))
        if search.execute == "best":
            assert plan.candidate == KEPT
            np.testing.assert_array_equal(plan.actions, plan.rounds[0].candidates[0])


def test_many_ties() -> None:
    costs = np.tile([2.0, 1.0, math.nan, 1.0, 0.0], 200)
    order = sorted((i for i in range(1000) if i % 5 != 2), key=lambda i: (costs[i], i))
    for count in (1, 10, 300, 1000):
        assert oracle.best_of(costs, count).tolist() == order[:count]


def test_execute_says_best_or_mean() -> None:
    with pytest.raises(ValueError, match="best or mean"):
        CEM(horizon=2, naction=1, execute="worst").plan(quadratic)
