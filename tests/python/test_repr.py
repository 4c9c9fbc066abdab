"""What people see when they print what they have, and what `dir(mbmf)` shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mbmf
from mbmf.runs.trained import load_trained


def test_reprs_are_a_line_that_says_what_it_is(small_runs: Path) -> None:
    trained = load_trained(small_runs / "run_1")
    planner = mbmf.make_planner(trained.task, trained.model, nthread=1)
    plan = planner.plan(np.zeros(16))
    episodes = mbmf.Episodes.load(small_runs / "run_1/rollouts/iteration_1.npz")
    texts = {
        repr(trained.model): ["<mbmf.DynamicsModel swimmer_forward: 18-16-16", "trained"],
        repr(mbmf.DynamicsModel(trained.task, hidden=(3, 4))): ["18-3-4-16", "not trained"],
        repr(planner): ["random_shooting", "20 candidates of 3 steps", "swimmer_forward"],
        repr(plan): [f"action [{plan.action[0]:.3g}, ", f"cost {plan.cost:.4g}", "3 steps, 20 candidates"],
        repr(episodes): ["<mbmf.Episodes swimmer_forward: 2 episodes, 50 steps>"],
        repr(episodes.select([0])): ["1 episode, 25 steps>"],
    }
    for text, parts in texts.items():
        assert "\n" not in text
        assert len(text) < 120
        for part in parts:
            assert part in text


def test_dir_shows_what_is_offered() -> None:
    shown = {name for name in dir(mbmf) if not name.startswith("__")}
    assert shown == set(mbmf.__all__) - {"__version__"}
    assert "__version__" in dir(mbmf)


@pytest.mark.parametrize("deadline", [None, 0.008])
def test_the_chart_of_a_loop_shows_outliers_and_the_deadline(deadline: float | None) -> None:
    from mbmf.show.control_chart import plot_control

    rng = np.random.default_rng(0)
    count = 2000
    records = {
        "step": np.arange(count),
        "wake": rng.uniform(0, 1e-4, count),
        "compute": rng.uniform(1e-3, 2e-3, count),
        "candidates": rng.integers(10, 20, count),
        "kind": np.zeros(count, int),
    }
    records["wake"][7] = 1.0  # a second late
    records["kind"][5], records["kind"][6] = 1, 2
    figure = plot_control(records, 0.01, deadline=deadline)
    jitter, _, compute, _, candidates, _ = figure.axes
    assert jitter.get_ylim()[1] < 1000  # microseconds: not flat
    assert "1 above, the most 1e+06" in [text.get_text() for text in jitter.texts]
    if deadline is not None:
        assert compute.get_ylim()[1] > 1e3 * deadline
    markers = [line.get_marker() for line in compute.lines if line.get_label() in ("held: 1", "safe: 1")]
    assert len(set(markers)) == 2
    assert candidates.get_visible()
    # a histogram has bars that can be seen, also of a short run and of one and the same value
    few = {name: values[:12].copy() for name, values in records.items()}
    few["candidates"][:] = 20
    jitter, jitters, _, _, candidates, counts = plot_control(few, 0.01, deadline=deadline).axes
    assert jitter.get_ylim()[1] < 1000
    for left, right in ((jitter, jitters), (candidates, counts)):
        bars = [bar for bar in right.patches if bar.get_width() > 0]
        assert bars
        height = left.get_ylim()[1] - left.get_ylim()[0]
        assert all(bar.get_height() > height / 100 for bar in bars)
        assert right.get_xlim()[0] < min(bar.get_width() for bar in bars)
    records["kind"][:] = 1  # nothing was planned: no histogram of nothing
    assert not plot_control(records, 0.01, deadline=deadline).axes[5].get_visible()
