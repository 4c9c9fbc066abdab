"""Ensembles in the core against plain NumPy: input maps, propagations, activations, with the same noise."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf import _core
from particle_oracle import Ensemble

N, H = 37, 6
SETTINGS = [
    # members, probabilistic, particles, propagate, mapped, activation
    (1, False, 0, "expectation", False, "relu"),
    (1, False, 0, "expectation", True, "silu"),
    (1, True, 0, "expectation", False, "tanh"),
    (1, True, 3, "tsinf", True, "silu"),
    (3, False, 0, "expectation", True, "silu"),
    (3, False, 6, "ts1", False, "relu"),
    (3, True, 0, "expectation", True, "silu"),
    (3, True, 6, "ts1", True, "silu"),
    (5, True, 10, "tsinf", True, "silu"),
    (5, True, 0, "tsinf", False, "tanh"),
]


def make(task: mbmf.Task, setting: tuple[Any, ...], risk: float = 0.0) -> Ensemble:
    members, probabilistic, particles, propagate, mapped, activation = setting
    rng = np.random.default_rng(members + 7 * particles)
    nstate, naction = task.nstate, task.naction
    inputs = outputs = []
    if mapped:
        inputs = [
            "nothing",
            *itertools.islice(itertools.cycle(["value", "sine_cosine", "value"]), nstate - 1),
        ]
        outputs = list(itertools.islice(itertools.cycle(["difference", "difference", "value"]), nstate))
    nseen = sum({"value": 1, "sine_cosine": 2, "nothing": 0}[how] for how in inputs) if inputs else nstate
    sizes = [nseen + naction, 40, 33, 2 * nstate if probabilistic else nstate]
    weights, biases = [], []
    for cols, rows in itertools.pairwise(sizes):
        weights.append((rng.normal(size=(members, rows, cols)) / np.sqrt(cols)).astype(np.float32))
        biases.append(rng.normal(scale=0.1, size=(members, rows)).astype(np.float32))
    state_std = rng.uniform(0.5, 2, nseen)
    state_std[0] = 0  # a constant dimension
    delta_std = rng.uniform(0.02, 0.1, nstate)
    delta_std[-1] = 0
    ensemble = Ensemble(
        nstate,
        weights,
        biases,
        activation,
        rng.normal(size=nseen),
        state_std,
        rng.normal(size=naction),
        rng.uniform(0.5, 1, naction),
        rng.normal(scale=0.01, size=nstate),
        delta_std,
        inputs,
        outputs,
        particles=particles,
        propagate=propagate,
        risk=risk,
    )
    if probabilistic:
        ensemble.log_variance_min = rng.uniform(-4, -3, nstate)
        ensemble.log_variance_max = rng.uniform(-1, 0.5, nstate)
    return ensemble


def core_of(e: Ensemble, naction: int, **changes: Any) -> _core.Dynamics:
    single = e.members == 1
    arguments: dict[str, Any] = {
        "nstate": e.nstate,
        "naction": naction,
        "weights": [w[0] if single else w for w in e.weights],
        "biases": [b[0] if single else b for b in e.biases],
        "activation": e.activation,
        "inputs": e.inputs or None,
        "outputs": e.outputs or None,
        **{
            name: getattr(e, name)
            for name in (
                *("state_mean", "state_std", "action_mean", "action_std", "delta_mean", "delta_std"),
                *("log_variance_min", "log_variance_max", "particles", "propagate", "risk"),
            )
        },
        **changes,
    }
    return _core.Dynamics(**arguments)


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("swimmer_forward")


def data(task: mbmf.Task) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(N, task.nstate)), rng.uniform(-1, 1, (N, H, task.naction)).astype(np.float32)


@pytest.mark.parametrize("raw", [-1e4, -100.0, 0.0, 100.0, 1e4])
@pytest.mark.parametrize("isa", _core.available_isas())
def test_a_constant_state_has_no_noise(
    task: mbmf.Task, isa: str, raw: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing trains its raw log variance, which may be anything: exp(-r) is then infinite, or 0."""
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    ensemble = make(task, (3, True, 6, "tsinf", False, "silu"))
    assert ensemble.delta_std[-1] == 0
    ensemble.biases[-1][:, -1] = raw
    states, actions = data(task)
    particles = core_of(ensemble, task.naction).sample(states, actions, 0, 1)
    assert np.isfinite(particles).all()
    each_step = np.diff(particles[..., -1].astype(np.float64), axis=2)
    assert np.allclose(each_step, ensemble.delta_mean[-1], atol=1e-5)


def test_bounds_that_crossed_mean_what_they_mean_in_training(task: mbmf.Task) -> None:
    ensemble = make(task, (3, True, 6, "tsinf", False, "silu"))
    ensemble.log_variance_min, ensemble.log_variance_max = (
        ensemble.log_variance_max,
        ensemble.log_variance_min,
    )
    states, actions = data(task)
    first = np.ascontiguousarray(actions[:, 0])
    _, deviations = core_of(ensemble, task.naction).predict_members(states, first)
    for m in range(ensemble.members):
        np.testing.assert_allclose(deviations[m], ensemble.predict(m, states, first)[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("isa", _core.available_isas())
def test_equals_numpy(
    task: mbmf.Task, setting: tuple[Any, ...], isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    ensemble = make(task, setting)
    core = core_of(ensemble, task.naction)
    states, actions = data(task)
    first = np.ascontiguousarray(actions[:, 0])
    assert (core.members, core.particles) == (ensemble.members, ensemble.count)

    next_states, deviations = core.predict_members(states, first)
    for m in range(ensemble.members):
        mean, deviation = ensemble.predict(m, states, first)
        np.testing.assert_allclose(next_states[m], mean, rtol=0, atol=1e-5)
        np.testing.assert_allclose(deviations[m], deviation, rtol=1e-5, atol=1e-9)
    assert np.any(deviations > 0) == core.is_probabilistic
    np.testing.assert_allclose(core.predict(states, first), ensemble.mean(states, first), atol=1e-5)
    np.testing.assert_allclose(
        core.open_loop(states, actions), ensemble.open_loop(states, actions), atol=3e-5
    )
    sampled = core.sample(states, actions, seed=5)
    np.testing.assert_allclose(sampled, ensemble.sample(states, actions, seed=5), atol=5e-5)
    if ensemble.count > 1:
        assert np.ptp(sampled[:, :, -1], axis=1).max() > 0.01  # particles differ
    for nthread in (1, 2, 3, 7):
        assert np.array_equal(core.sample(states, actions, seed=5, nthread=nthread), sampled)
        assert np.array_equal(core.open_loop(states, actions, nthread), core.open_loop(states, actions))


@pytest.mark.parametrize("name", ["swimmer_forward", "hopper_forward", "swimmer_trajfollow"])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_costs_of_plans_are_those_of_its_particles(name: str, setting: tuple[Any, ...]) -> None:
    """The particles are those of `sample`, at the candidates' positions; hopper's candidates may die. On a
    path a plan goes on to the next segment where most of its particles do."""
    task = mbmf.load_task(name)
    ensemble = make(task, setting, risk=0.7 if setting[0] > 1 else 0.0)
    core = core_of(ensemble, task.naction)
    start = np.asarray(mbmf.Simulator(task, 1, seed=3).states[0], np.float64)
    settings: dict[str, Any] = {"horizon": H, "candidates": 75, "seed": 11}
    plan, (rolled_round,) = mbmf.RandomShooting(task, core, **settings).trace(start, episode=2, step=3)
    for nthread in (1, 2, 3, 7):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # more threads than CPUs
            planner = mbmf.RandomShooting(task, core, nthread=nthread, **settings)
        other = planner.plan(start, episode=2, step=3)
        assert np.array_equal(plan.actions, other.actions)
        assert plan.cost == other.cost
        assert np.array_equal(plan.states, other.states)
    np.testing.assert_allclose(
        plan.states, ensemble.open_loop(start[None], plan.actions[None])[0], rtol=1e-4, atol=1e-4
    )
    sequences, costs = rolled_round.sequences, rolled_round.costs
    states = ensemble.sample(np.repeat(start[None], len(sequences), 0), sequences, 11, 2, 3)
    rolled = states.reshape(-1, H + 1, task.nstate).astype(np.float32)
    each = task.cost(rolled, np.repeat(sequences, ensemble.count, axis=0))
    want = ensemble.reduce(np.asarray(each).reshape(len(sequences), -1))
    close = np.isclose(costs, want, rtol=2e-4, atol=2e-4)
    # where rounding decides that a bound is crossed, or a segment left, a candidate's cost jumps
    assert close.mean() > (0.999 if name == "swimmer_forward" else 0.9)
    assert np.std(costs) > 1e-3


def test_batches_labels_and_python_costs_are_single_plans(task: mbmf.Task) -> None:
    core = core_of(make(task, SETTINGS[7], risk=0.5), task.naction)
    states = mbmf.Simulator(task, 5, seed=3).states
    planner = mbmf.ICEM(task, core, horizon=H, candidates=40, seed=2, nthread=2)
    batch, _ = planner.plan_batch(states, episodes=np.arange(5), steps=np.full(5, 4))
    for i, state in enumerate(states):
        assert np.array_equal(batch[i], planner.plan(state, episode=i, step=4).action)

    def cost(rolled: Any, actions: Any) -> Any:
        return task.cost(rolled, actions)

    with pytest.warns(UserWarning, match="a Python function"):
        own = mbmf.load_task("swimmer_forward", cost=cost)
    theirs = mbmf.RandomShooting(own, core, horizon=H, candidates=60, seed=2).plan(states[0], 1, 2)
    ours = mbmf.RandomShooting(task, core, horizon=H, candidates=60, seed=2).plan(states[0], 1, 2)
    assert theirs.candidate == ours.candidate
    assert theirs.cost == pytest.approx(ours.cost, rel=1e-4)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"particles": 4}, "particles must be a positive multiple of the members, 3, and at most 100000, got 4"),
    ({"particles": -3}, "particles must be a positive multiple of the members, 3, .*, got -3"),
    ({"propagate": "expectation", "particles": 6}, "as many as members where each propagates its mean"),
    ({"propagate": "ts2"}, 'propagate must be "expectation", "ts1" or "tsinf", got "ts2"'),
    ({"risk": float("nan")}, "risk must be in "),
    ({"inputs": ["value"]}, "inputs must have 16 entries, got 1"),
    ({"outputs": ["speed"] * 16}, 'outputs must be "difference", .* or "body_value" each, got "speed"'),
    ({"log_variance_min": None}, "log_variance_min and log_variance_max must have 16 entries each"),
    (
        {"log_variance_min": np.full(16, 81.0)},
        r"log_variance_max must be in \[-80, 80\]",
    ),
    ({"log_variance_max": np.full(16, np.nan)}, r"must be in \[-80, 80\], got .* and nan at entry 0"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_what_does_not_fit_is_refused(task: mbmf.Task, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        core_of(make(task, SETTINGS[7]), task.naction, **changes)


def test_members_of_other_shapes_and_propagation_without_variance_are_refused(task: mbmf.Task) -> None:
    ensemble = make(task, SETTINGS[7])
    ensemble.biases[1] = ensemble.biases[1][:2]
    with pytest.raises(ValueError, match=r"biases must be a C-contiguous float32 array of shape \(3, 33\)"):
        core_of(ensemble, task.naction)
    with pytest.raises(ValueError, match="propagate must be expectation where one member has no variance"):
        core_of(make(task, SETTINGS[0]), task.naction, propagate="ts1")
    with pytest.raises(ValueError, match="risk must be 0 where there is one member, got 1"):
        core_of(make(task, SETTINGS[3]), task.naction, risk=1.0)


def test_nan_in_one_member_is_no_candidate(task: mbmf.Task) -> None:
    ensemble = make(task, SETTINGS[8])
    core = core_of(ensemble, task.naction)
    state = np.full((1, task.nstate), 1e30)
    state[0, 0] = np.nan
    assert np.isnan(core.sample(state, np.zeros((1, 1, task.naction), np.float32))).any()
    ensemble.weights[0][2, 0, 0] = np.nan
    with pytest.raises(ValueError, match="weight of layer 0 must be finite, got nan at entry 0"):
        core_of(ensemble, task.naction)
