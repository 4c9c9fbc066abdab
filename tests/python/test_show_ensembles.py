"""What figures show of an ensemble: calibration, and bands in forward simulations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.show.calibration import plot_calibration
from mbmf.show.plots import plot_forward_simulation


def test_calibration_draws_levels_and_iterations() -> None:
    records: list[Any] = [
        {"iteration": 1, "calibration": {"1": {"0.5": 0.3, "0.9": 0.8}}},
        {"iteration": 2},
        {"iteration": 3, "calibration": {"1": {"0.9": 0.95, "0.5": 0.55}, "10": {"0.5": 0.6, "0.9": 0.7}}},
    ]
    left, right = plot_calibration(records).axes
    lines = {line.get_label(): line.get_xydata() for line in left.get_lines()}
    assert np.array_equal(lines["1 step ahead"], [[0.5, 0.55], [0.9, 0.95]])
    assert np.array_equal(lines["10 steps ahead"], [[0.5, 0.6], [0.9, 0.7]])
    lines = {line.get_label(): line.get_xydata() for line in right.get_lines()}
    assert np.array_equal(lines["1 step ahead"], [[1, 0.8], [3, 0.95]])
    assert np.array_equal(lines["10 steps ahead"], [[3, 0.7]])
    with pytest.raises(ValueError, match="records must have one with calibration, got none"):
        plot_calibration([{"iteration": 1}])


def test_the_band_holds_nine_particles_of_ten() -> None:
    task = mbmf.load_task("swimmer_forward")
    episodes = mbmf.collect_random(task, episodes=2, steps=30, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(20,), members=3, probabilistic=True)
    model.fit(episodes, epochs=2)
    figure = plot_forward_simulation(task, model, episodes, index=1, start=3, steps=10)
    states = np.asarray(episodes.states[1, 3:4], np.float32)
    actions = np.asarray(episodes.actions[1:2, 3:13], np.float32)
    particles = np.concatenate([model.sample(states, actions, seed)[0] for seed in range(7)])
    assert len(particles) == 21
    low, high = np.quantile(particles, (0.05, 0.95), axis=0)
    for dimension in (0, task.nstate - 1):
        (band,) = figure.axes[dimension].collections
        corners = band.get_paths()[0].vertices[:, 1]
        assert corners.min() == pytest.approx(low[:, dimension].min(), rel=1e-5)
        assert corners.max() == pytest.approx(high[:, dimension].max(), rel=1e-5)
    assert np.ptp(particles[:, -1, 0]) > 0

    plain = mbmf.DynamicsModel(task, hidden=(20,))
    plain.fit(episodes, epochs=1)
    assert not plot_forward_simulation(task, plain, episodes, steps=10).axes[0].collections
