"""The oracle of the searches, checked by itself: what each search does."""

from __future__ import annotations

import math
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
