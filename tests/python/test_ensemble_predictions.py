"""What ensembles predict, beside NumPy: members, rollouts, calibration, deviation over members."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from dynamics_oracle import NumpyDynamics
from mbmf import _core
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.errors import DataError
from small_ensemble import FIT, MAPS, PLACE, SMALL


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("hopper_forward")


@pytest.fixture(scope="module")
def data(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, episodes=4, steps=80, seed=0)


@pytest.fixture(scope="module")
def new_data(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, episodes=2, steps=50, seed=1)


@pytest.fixture(scope="module")
def model(task: mbmf.Task, data: mbmf.Episodes) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(task, **SMALL, **MAPS, seed=4)
    model.fit(data, **{**FIT, "epochs": 15})
    model._core_model = NumpyDynamics(model)  # type: ignore[assignment]
    return model


def test_calibration_is_that_of_numpy(
    task: mbmf.Task, model: mbmf.DynamicsModel, new_data: mbmf.Episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mbmf.dynamics import model as module

    made: list[int] = []

    def compiled(task: Any, settings: Any, trained: Any, particles: int) -> NumpyDynamics:
        made.append(particles)
        return NumpyDynamics(model, particles)

    monkeypatch.setattr(module, "compiled", compiled)
    found = model.calibration(new_data, (1, 3), (0.5, 0.9), seed=3)
    assert made == [21]  # the first multiple of three members from twenty on
    core = NumpyDynamics(model, 21)
    moving = (model.normalization.state.std > 0) & (model.normalization.delta.std > 0)
    starts = [(e, t) for e in range(2) for t in range(new_data.lengths[e] - 3 + 1)]
    begin = np.array([new_data.states[e, t] for e, t in starts])
    actions = np.array([new_data.actions[e, t : t + 3] for e, t in starts])
    means, deviations = core.predict_members(begin, actions[:, 0])
    draws = np.random.default_rng(0).standard_normal((1000, 3, *begin.shape)) * deviations + means
    mixture = draws.std(axis=(0, 1))
    for level, z in ((0.5, 0.6745), (0.9, 1.6449)):
        truth = np.array([new_data.states[e, t + 1] for e, t in starts])
        inside = np.abs(truth - means.mean(0)) <= z * mixture
        assert found[1][level] == pytest.approx(inside[:, moving].mean(), abs=0.02)
        particles = core.sample(begin.astype(np.float32), actions, 3)[:, :, 3]
        truth = np.array([new_data.states[e, t + 3] for e, t in starts])
        inside = np.abs(truth - particles.mean(1)) <= z * particles.std(1, ddof=1)
        assert found[3][level] == pytest.approx(inside[:, moving].mean(), abs=0.01)
    assert 0 < found[1][0.5] < found[1][0.9] < 1


def test_a_model_that_sees_no_state_predicts_by_actions_alone() -> None:
    task = mbmf.load_task("swimmer_forward")
    data = mbmf.collect_random(task, 4, 30, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(8,), inputs=dict.fromkeys(task.state_names, "nothing"))
    model.fit(data, epochs=3, batch_size=32, noise=0.0)
    states, actions = data.states[:, 3], data.actions[:, 3]
    layers, normalization = model.exported()
    x = ((actions - normalization.action.mean) * normalization.action.inverse_std).astype(np.float32)
    hidden = np.maximum(x @ layers[0][:, :-1].T + layers[0][:, -1], 0)
    delta = (hidden @ layers[1][:, :-1].T + layers[1][:, -1]) * normalization.delta.std
    expected = states + delta + normalization.delta.mean
    np.testing.assert_allclose(model.predict(states, actions), expected, rtol=1e-4, atol=1e-5)
    planner = mbmf.RandomShooting(task, model, horizon=2, candidates=8, nthread=1)
    sequences = np.stack([np.full((2, task.naction), x, np.float32) for x in (-1, 0, 1)])
    rolled = model.open_loop(np.repeat(states[:1], 3, 0), sequences)
    np.testing.assert_allclose(planner.roll(states[0], sequences), task.cost(rolled, sequences), rtol=1e-4)


def test_a_far_place_that_is_not_seen_moves(tmp_path: Path) -> None:
    """A hopper at 500 km, where float32 counts in steps of 3 cm, and moves 1 cm a step."""
    task = mbmf.load_task("hopper_forward")
    at = task.state_names.index(PLACE)
    states = mbmf.collect_random(task, 4, 60, seed=0).states.copy()
    states[:, :, at] = 5e5 + 0.01 * np.arange(states.shape[1])
    far = dataclasses.replace(mbmf.collect_random(task, 4, 60, seed=0), states=states)
    model = mbmf.DynamicsModel(task, hidden=(16,), inputs={PLACE: "nothing"})
    model.fit(far, epochs=2, noise=0.0)
    start, actions = states[:1, 0], np.zeros((1, 50, task.naction), np.float32)
    rolled = model.open_loop(start, actions)
    assert rolled[0, -1, at] == pytest.approx(5e5 + 0.5, abs=0.04)
    exported = load_bundle(save_bundle(tmp_path / "out", task, model, horizon=5)).dynamics
    np.testing.assert_array_equal(exported.open_loop(start, actions), rolled)
    given = model.core_arguments()
    del given["whole_std"]
    with pytest.raises(ValueError, match="whole_mean and whole_std must be given both or not at all"):
        _core.Dynamics(**given)


@pytest.mark.parametrize("particles", [None, 6])
def test_one_elite_without_variances_goes_on_from_its_mean(particles: int | None) -> None:
    task = mbmf.load_task("swimmer_forward")
    data = mbmf.collect_random(task, 3, 30, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(8,), members=3, elites=1, propagate="tsinf", particles=particles)
    model.fit(data, epochs=1)
    assert model.core.particles == 1
    with pytest.raises(DataError, match="several members that plan, got one without either"):
        model.calibration(data, [1])
    from mbmf.algorithms.iteration import validate

    assert set(validate(model, (data, [1, 5]), 1)) == {"validation_error"}


def test_the_deviation_over_members_is_that_of_numpy(
    model: mbmf.DynamicsModel, new_data: mbmf.Episodes
) -> None:
    starts = [(e, t) for e in range(2) for t in range(new_data.lengths[e])]
    begin = np.array([new_data.states[e, t] for e, t in starts])
    actions = np.array([new_data.actions[e, t] for e, t in starts])
    means, _ = NumpyDynamics(model).predict_members(begin, actions)
    inverse = model.normalization.delta.inverse_std
    expected = (means.std(0) * inverse)[:, inverse > 0].mean()
    assert model.deviation_over_members(new_data) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"propagate": "expectation"}, {"elites": 2, "particles": 4}, MAPS])
def test_the_core_predicts_what_numpy_does(
    task: mbmf.Task, data: mbmf.Episodes, options: dict[str, Any]
) -> None:
    model = mbmf.DynamicsModel(task, **SMALL, **options)
    model.fit(data, **FIT)
    oracle = NumpyDynamics(model)
    states, actions, _ = data.transitions()
    scale = 1 + np.abs(states).max(axis=0) + 10 * model.normalization.delta.std
    means, deviations = model.predict_members(states, actions)
    for found, expected in zip((means, deviations), oracle.predict_members(states, actions), strict=True):
        assert (np.abs(found - expected) / scale).max() < 1e-5
    assert (np.abs(model.predict(states, actions) - oracle.predict(states, actions)) / scale).max() < 1e-5
    plan = np.repeat(actions[:20, None], 3, axis=1)
    ahead = model.open_loop(states[:20], plan)
    assert (np.abs(ahead - oracle.open_loop(states[:20], plan)) / scale).max() < 1e-4
    particles = model.sample(states[:20], plan, seed=1)
    assert particles.shape == (20, oracle.particles, 4, task.nstate)


def test_a_plain_model_has_no_calibration(task: mbmf.Task, data: mbmf.Episodes) -> None:
    model = mbmf.DynamicsModel(task, hidden=(4,))
    model.fit(data, epochs=1)
    with pytest.raises(DataError, match="calibration must be of a model with variances or several members"):
        model.calibration(data)
