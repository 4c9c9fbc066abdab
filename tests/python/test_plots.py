from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

import mbmf
from mbmf.show.plots import plot_forward_simulation, plot_learning_curve, save_figure


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("swimmer_forward")


@pytest.fixture(scope="module")
def episodes(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, episodes=2, steps=30, seed=0, nthread=1)


class StandsStill:
    """A model by which nothing ever moves, and which records what it was asked."""

    def __init__(self) -> None:
        self.core = types.SimpleNamespace(open_loop=self.open_loop, particles=1, is_probabilistic=False)
        self.asked: list[Any] = []

    def open_loop(self, states: Any, actions: Any) -> Any:
        self.asked.append((states, actions))
        return np.repeat(states[:, None], actions.shape[1] + 1, axis=1)


def test_learning_curve_draws_means_and_random_actions() -> None:
    figure = plot_learning_curve([[1.0, 3.0], [4.0, 4.0]], [0.5, 0.5], task_name="t", points=[10, 2000])
    (axes,) = figure.axes
    mean = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(mean.get_ydata(), [2.0, 4.0])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1\n10 points", "2\n2,000 points"]
    assert "random actions (0.50)" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert axes.get_title() == "t: learning curve"


@pytest.mark.parametrize(
    ("returns", "points", "message"),
    [
        ([], None, r"returns must be one non-empty sequence per iteration, got \[\]"),
        ([[1.0], []], None, "returns must be one non-empty sequence per iteration, got"),
        ([[1.0]], [1, 2], r"points must be one number per iteration \(1\), got 2"),
    ],
)
def test_learning_curve_bad_input(returns: Any, points: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_learning_curve(returns, points=points)


def test_save_figure_writes_png_and_svg(tmp_path: Path) -> None:
    written = save_figure(plot_learning_curve([[1.0]]), tmp_path / "curve.png")
    assert written == [tmp_path / "curve.png", tmp_path / "curve.svg"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in written[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == written


@pytest.mark.parametrize("name", ["a$b$c", r"a$\frac{$"])
def test_dollar_signs_in_names_are_no_formulas(tmp_path: Path, name: str) -> None:
    figure = plot_learning_curve([[1.0], [2.0]], task_name=name)
    figure.axes[0].set_yscale("log")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        _, svg = save_figure(figure, tmp_path / "curve.png")
    text = svg.read_text()
    assert f">{name}: learning curve<" in text
    # those of Matplotlib at the axes are
    assert r"\mathdefault" not in re.sub("<!--.*?-->", "", text, flags=re.DOTALL)


@pytest.mark.slow
def test_forward_simulation_predicts_from_the_start_with_recorded_actions(
    task: mbmf.Task, episodes: mbmf.Episodes, tmp_path: Path
) -> None:
    model: Any = StandsStill()
    figure = plot_forward_simulation(
        task, model, episodes, tmp_path / "forward.png", index=1, start=12, steps=100
    )
    states, actions = model.asked[0]
    np.testing.assert_array_equal(states[0], episodes.states[1, 12].astype(np.float32))
    np.testing.assert_array_equal(actions[0], episodes.actions[1, 12:30])  # what the episode has left
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == task.nstate + 1
    simulated, predicted = panels[3].lines
    np.testing.assert_array_equal(simulated.get_ydata(), episodes.states[1, 12:31, 3])
    np.testing.assert_array_equal(predicted.get_ydata(), np.full(19, states[0, 3]))
    np.testing.assert_allclose(simulated.get_xdata(), np.arange(19) * 0.15)
    assert panels[3].get_title() == "3: qpos.motor1_rot [rad]"
    assert (tmp_path / "forward.png").exists()
    assert (tmp_path / "forward.svg").exists()


def test_error_growth_is_in_standard_deviations(task: mbmf.Task, episodes: mbmf.Episodes) -> None:
    model: Any = StandsStill()
    figure = plot_forward_simulation(task, model, episodes, index=1, start=3, steps=10)
    growth = figure.axes[-1]
    (dashed,) = [line for line in growth.lines if line.get_linestyle() == "--"]
    states = episodes.states[:, :-1].reshape(-1, task.nstate)
    moves = states.std(axis=0) > 0  # the swimmer stays in its plane
    start = episodes.states[1, 3].astype(np.float32)
    error = ((start - episodes.states[1, 4:14]) / np.where(moves, states.std(axis=0), np.inf)) ** 2
    np.testing.assert_allclose(dashed.get_ydata(), np.sqrt(error.mean(axis=1)), rtol=1e-6)
    assert not moves.all()
    # spread over all starts that have ten steps left, in both episodes: 42
    assert len(model.asked[1][0]) == 1 + 42


def test_forward_simulations_of_several_models_share_panels(task: mbmf.Task, episodes: mbmf.Episodes) -> None:
    models: Any = {"first": StandsStill(), "second": StandsStill()}
    figure = plot_forward_simulation(task, models, episodes)
    assert [line.get_label() for line in figure.axes[0].lines] == ["simulated (the truth)", "first", "second"]
    with pytest.raises(ValueError, match="model must be one or more, got none"):
        plot_forward_simulation(task, {}, episodes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": 2}, "index must be an episode of 2, got 2"),
        ({"index": -1}, "index must be an episode of 2, got -1"),
        ({"start": 30}, "start must be a step of the episode, 0 to 29, got 30"),
        ({"steps": 0}, "steps must be positive, got 0"),
    ],
)
def test_forward_simulation_bad_input(
    task: mbmf.Task, episodes: mbmf.Episodes, tmp_path: Path, arguments: dict[str, int], message: str
) -> None:
    model: Any = StandsStill()
    with pytest.raises(ValueError, match=message):
        plot_forward_simulation(task, model, episodes, tmp_path / "forward.png", **arguments)
    assert list(tmp_path.iterdir()) == []
