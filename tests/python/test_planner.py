"""The planner against a plain NumPy version that knows nothing of tiles, threads or kernels."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mbmf
from mbmf import _core
from mbmf.planning import planner as planner_module

PRESETS = ["swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward"]
MASK = 0xFFFFFFFF


def philox(key: npt.NDArray[np.uint64], counter: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Philox4x32-10 of counters (n, 4), in 64-bit integers."""
    c = counter.copy()
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[:, 0], np.uint64(0xCD9E8D57) * c[:, 2]
        high0, high1 = p0 >> np.uint64(32), p1 >> np.uint64(32)
        c = np.stack(
            [
                high1 ^ c[:, 1] ^ np.uint64(k0),
                p1 & np.uint64(MASK),
                high0 ^ c[:, 3] ^ np.uint64(k1),
                p0 & np.uint64(MASK),
            ],
            axis=1,
        )
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c


def sample(
    seed: int, episode: int, step: int, candidates: int, horizon: int, naction: int
) -> npt.NDArray[np.float32]:
    """The candidates' actions as random.h defines them."""
    head = np.array([[1, episode & MASK, episode >> 32, 0x6D626D66]], np.uint64)
    key = philox(np.array([seed & MASK, seed >> 32], np.uint64), head)[0, :2]
    draws = horizon * naction
    blocks = (draws + 3) // 4
    counter = np.zeros((candidates * blocks, 4), np.uint64)
    counter[:, 0] = np.tile(np.arange(blocks), candidates)
    counter[:, 1] = np.repeat(np.arange(candidates), blocks)
    counter[:, 2], counter[:, 3] = step & MASK, step >> 32
    words = philox(key, counter).reshape(candidates, blocks * 4)[:, :draws]
    return ((words >> np.uint64(8)) * 2.0**-23 - 1.0).astype(np.float32).reshape(candidates, horizon, naction)


def make_arrays(task: mbmf.Task, hidden: int = 50, seed: int = 0, scale: float = 0.02) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    ns, na = task.nstate, task.naction
    return {
        "weights": [
            (rng.normal(size=(hidden, ns + na)) / np.sqrt(ns + na)).astype(np.float32),
            (rng.normal(size=(ns, hidden)) / np.sqrt(hidden)).astype(np.float32),
        ],
        "biases": [
            rng.normal(size=hidden).astype(np.float32) * 0.1,
            rng.normal(size=ns).astype(np.float32) * 0.1,
        ],
        "state_mean": rng.normal(size=ns),
        "state_std": rng.uniform(0.5, 2, size=ns),
        "action_mean": rng.normal(size=na) * 0.1,
        "action_std": rng.uniform(0.5, 0.7, size=na),
        "delta_mean": rng.normal(size=ns) * scale,
        "delta_std": rng.uniform(0.5, 1, size=ns) * scale,
    }


def make_model(task: mbmf.Task, **changes: Any) -> tuple[_core.Dynamics, dict[str, Any]]:
    arrays = make_arrays(task, **changes)
    return _core.Dynamics(task.nstate, task.naction, activation="relu", **arrays), arrays


def numpy_predict(a: dict[str, Any], states: npt.NDArray[Any], actions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    s = (states - a["state_mean"]) / a["state_std"]
    u = (actions - a["action_mean"]) / a["action_std"]
    h = np.maximum(np.concatenate([s, u], axis=-1) @ a["weights"][0].T.astype(np.float64) + a["biases"][0], 0)
    return (
        states
        + (h @ a["weights"][1].T.astype(np.float64) + a["biases"][1]) * a["delta_std"]
        + a["delta_mean"]
    )


def start_state(task: mbmf.Task) -> npt.NDArray[np.float64]:
    return mbmf.Simulator(task, nsim=1, nthread=1, seed=3).states[0].copy()


def test_philox_is_the_cores() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        key, counter = rng.integers(0, 2**32, 2, dtype=np.uint64), rng.integers(0, 2**32, 4, dtype=np.uint64)
        assert philox(key, counter[None])[0].tolist() == list(
            _core.philox([int(k) for k in key], [int(c) for c in counter])
        )


@pytest.mark.parametrize("name", PRESETS)
def test_equals_numpy(name: str) -> None:
    task = mbmf.load_task(name)
    model, arrays = make_model(task)
    planner = mbmf.RandomShooting(task, model, horizon=12, candidates=700, seed=2**40 + 5, nthread=2)
    state = start_state(task)
    actions = sample(planner.seed, 4, 9, 700, 12, task.naction)
    np.testing.assert_array_equal(planner.core.sample(4, 9, 0, 700), actions)

    states = [np.repeat(state[None], 700, axis=0)]
    for t in range(12):
        states.append(numpy_predict(arrays, states[-1], actions[:, t].astype(np.float64)))
    costs = task.cost(np.stack(states, axis=1).astype(np.float32), actions)
    got = planner.core.costs(state, 4, 9)
    np.testing.assert_allclose(got, costs, rtol=1e-4, atol=1e-4 * np.abs(costs).max())
    plan = planner.plan(state, episode=4, step=9)
    assert plan.candidate == np.argmin(costs)
    np.testing.assert_array_equal(plan.actions, actions[plan.candidate])
    np.testing.assert_array_equal(plan.action, actions[plan.candidate, 0])
    assert plan.cost == got[plan.candidate]
    np.testing.assert_allclose(plan.states[-1], states[-1][plan.candidate], rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:nthread should be at most")
@pytest.mark.parametrize("name", PRESETS)
def test_same_bits_at_any_thread_count(name: str) -> None:
    task = mbmf.load_task(name)
    model, _ = make_model(task)
    state = start_state(task)
    plans = [
        mbmf.RandomShooting(task, model, horizon=8, candidates=515, seed=1, nthread=n).plan(state)
        for n in (1, 2, 3, 7)
    ]
    for plan in plans[1:]:
        assert plan.candidate == plans[0].candidate
        assert plan.cost == plans[0].cost
        assert plan.actions.tobytes() == plans[0].actions.tobytes()
        assert plan.states.tobytes() == plans[0].states.tobytes()
    other = mbmf.RandomShooting(task, model, horizon=8, candidates=515, seed=2, nthread=1).plan(state)
    assert other.actions.tobytes() != plans[0].actions.tobytes()


def test_batch_equals_one_by_one() -> None:
    task = mbmf.load_task("hopper_forward")
    model, _ = make_model(task)
    planner = mbmf.RandomShooting(task, model, horizon=6, candidates=100)
    states = mbmf.Simulator(task, nsim=40, nthread=1, seed=3).states.copy()
    actions, costs = planner.plan_batch(states, episodes=np.arange(40) // 3, steps=np.arange(40))
    for i in range(40):
        plan = planner.plan(states[i], episode=i // 3, step=i)
        np.testing.assert_array_equal(plan.action, actions[i])
        assert plan.cost == costs[i]


def test_act_counts_steps_and_reset_starts_anew() -> None:
    task = mbmf.load_task("swimmer_forward")
    model, _ = make_model(task)
    planner = mbmf.RandomShooting(task, model, horizon=5, candidates=50)
    state = start_state(task)
    first, second = planner.act(state), planner.act(state)
    assert first.tobytes() != second.tobytes()
    planner.reset()
    np.testing.assert_array_equal(planner.act(state), first)
    np.testing.assert_array_equal(planner.act(state), second)
    np.testing.assert_array_equal(planner.plan(state, episode=0, step=1).action, second)


def test_preset_gives_horizon_and_candidates() -> None:
    task = mbmf.load_task("hopper_forward")
    planner = mbmf.RandomShooting(task, make_model(task)[0])
    assert (planner.horizon, planner.candidates) == (40, 1000)


def test_python_cost_chooses_the_same_candidate() -> None:
    task = mbmf.load_task("cheetah_forward")

    def cost(states: npt.NDArray[Any], actions: npt.NDArray[Any]) -> npt.NDArray[Any]:
        effort = (actions**2).sum(axis=(1, 2)) + (actions[:, -1] ** 2).sum(axis=1)
        return -states[:, :, 21].sum(axis=1) + 0.05 * effort  # type: ignore[no-any-return]

    with pytest.warns(UserWarning, match="slower"):
        own = mbmf.load_task("cheetah_forward", cost=cost)
    planner = mbmf.RandomShooting(own, make_model(task)[0], horizon=6, candidates=300)
    plan = planner.plan(start_state(task))
    want = mbmf.RandomShooting(task, make_model(task)[0], horizon=6, candidates=300).plan(start_state(task))
    assert plan.candidate == want.candidate
    assert plan.cost == pytest.approx(want.cost, rel=1e-4)
    np.testing.assert_array_equal(plan.actions, want.actions)


def test_planning_in_the_simulator() -> None:
    """Costs equal those of candidates stepped one by one, and the plan is the best of them."""
    task = mbmf.load_task("hopper_forward")
    planner = mbmf.RandomShooting(
        task, mbmf.SimulatorModel(task), horizon=30, candidates=40, seed=3, nthread=2
    )
    simulator = mbmf.Simulator(task, nsim=1, nthread=1, seed=3)
    row = simulator.get_state()[0].copy()
    actions = sample(3, 0, 0, 40, 30, task.naction)
    paths = []
    for k in range(40):
        simulator.set_state(row[None])
        path = [simulator.states[0].copy()]
        for t in range(30):
            simulator.step(actions[k, t][None])
            path.append(simulator.states[0].copy())
        paths.append(path)
    states = np.array(paths, np.float32)
    costs = task.cost(states, actions)
    np.testing.assert_allclose(planner.core.costs(row, 0, 0), costs, rtol=1e-6)
    assert len(np.unique(np.round(costs, 3))) > 20
    plan = planner.plan(row)
    assert plan.candidate == np.argmin(costs)
    np.testing.assert_array_equal(plan.states, states[plan.candidate])
    batch_actions, batch_costs = planner.plan_batch(np.stack([row, row]), steps=[0, 1])
    np.testing.assert_array_equal(batch_actions[0], plan.action)
    assert batch_costs[0] == plan.cost
    assert batch_costs[1] != plan.cost


def test_every_instruction_set_agrees() -> None:
    """One process each, since the environment decides."""
    script = (
        "import mbmf, numpy as np, sys\nsys.path.insert(0, sys.argv[1])\nimport test_planner as t\n"
        "task = mbmf.load_task('ant_forward')\nmodel, _ = t.make_model(task)\n"
        "p = mbmf.RandomShooting(task, model, horizon=5, candidates=300)\n"
        "print(*(float(c).hex() for c in p.core.costs(t.start_state(task), 0, 0)))\n"
    )
    costs = []
    for isa in _core.available_isas():
        out = subprocess.run(
            [sys.executable, "-c", script, os.path.dirname(__file__)],
            env={**os.environ, "MBMF_FORCE_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        )
        costs.append(np.array([float.fromhex(c) for c in out.stdout.split()]))
        assert costs[-1].shape == (300,)
    for other in costs[1:]:
        np.testing.assert_allclose(other, costs[0], rtol=1e-4, atol=1e-4)


def test_bad_input() -> None:
    task = mbmf.load_task("cheetah_forward")
    model, _ = make_model(task)
    swimmer = mbmf.load_task("swimmer_forward")
    good = start_state(task)
    nan = good.copy()
    nan[4] = np.nan
    planner = mbmf.RandomShooting(task, model, horizon=3, candidates=10)
    table: list[tuple[Any, str]] = [
        (lambda: mbmf.RandomShooting(task, model, horizon=0), "horizon must be at least 1, got 0"),
        (
            lambda: mbmf.RandomShooting(task, model, horizon=20_000),
            r"horizon must be in \[1, 10000\], got 20000",
        ),
        (lambda: mbmf.RandomShooting(task, model, candidates=0), "candidates must be at least 1, got 0"),
        (lambda: mbmf.RandomShooting(task, model, candidates=-5), "candidates must be at least 1, got -5"),
        (
            lambda: mbmf.RandomShooting(task, model, candidates=2.5),
            "candidates must be a whole number, got 2.5",
        ),  # type: ignore[arg-type]
        (lambda: mbmf.RandomShooting(task, model, seed=-1), "seed must be from 0 to"),
        (lambda: mbmf.RandomShooting(swimmer, model), "16 states and 2 actions, got 24 and 6"),
        (lambda: planner.plan(good[:5]), r"state must be .* shape \(24,\)"),
        (lambda: planner.plan(nan), "state must be finite in float32, got nan at entry 4"),
        (lambda: planner.plan_batch(good), r"states must be .* shape \(n, 24\)"),
        (lambda: planner.plan_batch(good[None], episodes=[-1]), "episodes must be"),
        (lambda: planner.core.sample(0, 0, 5, 6), r"first and count must name candidates in \[0, 10\)"),
    ]
    for call, message in table:
        with pytest.raises(ValueError, match=message):
            call()


def test_more_threads_than_cpus_warn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner_module, "_warned_of_threads", [])
    task = mbmf.load_task("cheetah_forward")
    model, _ = make_model(task)
    with pytest.warns(UserWarning, match=r"nthread should be at most the \d+ CPUs here, got 1000"):
        mbmf.RandomShooting(task, model, horizon=2, candidates=2, nthread=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mbmf.RandomShooting(task, model, horizon=2, candidates=2, nthread=1000)


def test_no_finite_candidate() -> None:
    task = mbmf.load_task("cheetah_forward")
    arrays = make_arrays(task)
    arrays["weights"][1] = arrays["weights"][1] * np.float32(1e37)
    arrays["delta_std"] = arrays["delta_std"] * 10
    model = _core.Dynamics(task.nstate, task.naction, activation="relu", **arrays)
    planner = mbmf.RandomShooting(task, model, horizon=10, candidates=20)
    with pytest.raises(mbmf.CoreError, match="no candidate has a finite cost at step 0 of episode 0"):
        planner.plan(start_state(task))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_has_a_memory_of_its_own(copied: Any) -> None:
    task = mbmf.load_task("cheetah_forward")
    data = mbmf.collect_random(task, 2, 50, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(16,))
    model.fit(data, epochs=1)
    states = data.states[0]
    planners = [mbmf.ICEM(task, model, horizon=6, candidates=40, elites=5, nthread=1) for _ in range(2)]
    for planner in planners:
        planner.act(states[0])
    copied(planners[0]).act(states[30])
    np.testing.assert_array_equal(planners[0].act(states[1]), planners[1].act(states[1]))


def test_a_planner_stays_what_it_is() -> None:
    task = mbmf.load_task("cheetah_forward")
    planner = mbmf.ICEM(task, make_model(task)[0], horizon=6)
    for name in ("task", "seed", "horizon", "candidates", "value", "policy", "nthread", "core", "settings"):
        with pytest.raises(AttributeError, match=f"{name} of a planner must stay as it is"):
            setattr(planner, name, getattr(planner, name))
