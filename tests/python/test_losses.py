"""Plots of losses and validation errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.errors import DataError
from mbmf.show.losses import RunLosses, plot_losses


def record(iteration: int, **changes: Any) -> dict[str, Any]:
    errors = {"1": 0.1 * iteration, "5": 0.2, "10": 0.5, "50": 1.0, "100": 1e9}
    return {
        "iteration": iteration,
        "loss_train": 0.3 / iteration,
        "loss_old": 0.2,
        "loss_new": None,
        "validation_error": errors,
        **changes,
    }


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.lines}


def test_losses_and_errors_per_iteration() -> None:
    records = [record(1), record(2, loss_new=0.05)]
    figure = plot_losses([RunLosses("run_7", records, [0.4, 0.25])])
    left, right = figure.axes
    np.testing.assert_allclose(lines(left)["training (last epoch)"].get_ydata(), [0.3, 0.15])
    np.testing.assert_array_equal(lines(left)["old data (random actions)"].get_ydata(), [0.2, 0.2])
    np.testing.assert_array_equal(lines(left)["new data (on-policy)"].get_ydata(), [np.nan, 0.05])
    np.testing.assert_array_equal(lines(left)["validation data"].get_ydata(), [0.4, 0.25])
    np.testing.assert_allclose(lines(right)["1 step"].get_ydata(), [0.1, 0.2])
    assert {"5 steps", "10 steps", "50 steps", "100 steps"} <= set(lines(right))
    # what diverged is an arrow, and no line
    assert np.isnan(lines(right)["100 steps"].get_ydata()).all()
    arrow = next(line for line in right.lines if line.get_markersize() > 5)
    np.testing.assert_array_equal(arrow.get_xdata(), [1, 2])
    assert "diverged, above 100" in right.get_title()
    assert left.get_title() == "run_7: one-step losses"


def test_each_run_has_a_row() -> None:
    figure = plot_losses([RunLosses("a", [record(1)]), RunLosses("b", [record(1), record(2), record(3)])])
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == ["a", "a", "b", "b"]
    assert "validation data" not in lines(figure.axes[0])  # not known, not drawn


def test_a_single_iteration_has_a_whole_number_to_stand_at() -> None:
    figure = plot_losses([RunLosses("a", [record(1)])])
    axes = figure.axes[1]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


@pytest.mark.parametrize("runs", [[], [RunLosses("a", [])]])
def test_nothing_to_draw(runs: Any) -> None:
    with pytest.raises(ValueError, match="runs must be one or more, each with an iteration, got none"):
        plot_losses(runs)


def test_loss_of_other_episodes_is_that_of_the_network() -> None:
    task = mbmf.load_task("swimmer_forward")
    data, other = (mbmf.collect_random(task, episodes=2, steps=40, seed=i, nthread=1) for i in (0, 1))
    model = mbmf.DynamicsModel(task, hidden=(8,), seed=0)
    model.fit(data, epochs=2, noise=0.0, seed=0)
    # the network in NumPy, on normalised inputs, beside normalised differences
    states, actions, next_states = data.transitions()
    deltas = next_states - states
    varies = deltas.std(axis=0) > 0
    assert 0 < varies.sum() < task.nstate
    scale = np.divide(1, deltas.std(axis=0), out=np.zeros(task.nstate), where=varies)
    state_scale = np.divide(1, states.std(axis=0), out=np.zeros(task.nstate), where=states.std(axis=0) > 0)
    s, a, following = other.transitions()
    inputs = np.hstack(
        [(s - states.mean(axis=0)) * state_scale, (a - actions.mean(axis=0)) / actions.std(axis=0)]
    )
    first, second = model.exported()[0]
    hidden = np.maximum(inputs @ first[:, :-1].T + first[:, -1], 0)
    outputs = hidden @ second[:, :-1].T + second[:, -1]
    error = outputs - (following - s - deltas.mean(axis=0)) * scale
    expected = np.square(error).mean()
    assert model.loss(other) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(DataError, match="episodes must have at least one step, got none in 0"):
        model.loss(data.select([]))


def test_loss_of_an_ensemble_is_what_its_fit_says() -> None:
    task = mbmf.load_task("gym_half_cheetah")
    data = mbmf.collect_random(task, episodes=2, steps=60, seed=0, nthread=1)
    settings = task.dynamics.model | {"hidden": (16,), "members": 3, "weight_decay": 0.0}
    model = mbmf.DynamicsModel(task, seed=0, **settings)
    assert any(word == "value" for word in model.settings.outputs)
    result = model.fit(data, epochs=2, batch_size=16, noise=0.0, fraction_use_new=None, seed=0)
    assert model.loss(data) == result.loss_old
    states, actions, following = data.transitions()
    members, _ = model.predict_members(states, actions)
    errors = np.square((members - following) * model.exported()[1].delta.inverse_std)
    assert model.loss(data) == pytest.approx(errors.mean(), rel=1e-4)
