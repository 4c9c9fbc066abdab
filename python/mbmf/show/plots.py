"""Plots of runs and models: functions that return a Matplotlib figure, and one that writes it.

Figures are made without pyplot, so nothing needs a display and no figure outlives its reference.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mbmf.files import atomic_write

if TYPE_CHECKING:
    from mbmf.dynamics import DynamicsModel
    from mbmf.episodes import Episodes
    from mbmf.task import Task

_COLUMNS = 4


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> list[Path]:
    """Writes ``figure`` as PNG and as SVG: ``path``'s suffix is replaced by each. Returns both paths.

    Raises OSError if they cannot be written; a file that was there is then as it was.
    """
    written = []
    formats: dict[str, dict[str, Any]] = {"png": {"dpi": 150}, "svg": {"metadata": {"Date": None}}}
    for suffix, options in formats.items():
        target = Path(path).with_suffix(f".{suffix}")
        with atomic_write(target) as file:
            figure.savefig(file, format=suffix, **options)
        written.append(target)
    return written


def plot_learning_curve(
    returns: Sequence[Sequence[float]],
    random_returns: Sequence[float] = (),
    *,
    task_name: str = "",
    points: Sequence[float] | None = None,
) -> Figure:
    """Return per episode against aggregation iteration: mean, standard deviation (band) and episodes (dots).

    Args:
        returns: per iteration, the returns of its episodes (sums of rewards, task's unit).
        random_returns: returns of episodes of random actions; their mean is drawn as a line to compare with.
        task_name: for the title.
        points: per iteration, the data points (control steps) that its model had learned from; they label the
            horizontal axis. Default: only iterations are counted.

    Raises ValueError if there is no iteration, one has no episode, or ``points`` has another length.
    """
    if not returns or any(len(values) == 0 for values in returns):
        raise ValueError(f"returns must be one non-empty sequence per iteration, got {returns!r}")
    if points is not None and len(points) != len(returns):
        raise ValueError(f"points must be one number per iteration ({len(returns)}), got {len(points)}")
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    iterations = np.arange(1, len(returns) + 1)
    mean = np.array([np.mean(values) for values in returns])
    deviation = np.array([np.std(values) for values in returns])
    axes.fill_between(iterations, mean - deviation, mean + deviation, alpha=0.2, color="C0", linewidth=0)
    axes.plot(iterations, mean, marker="o", color="C0", label="MPC with the learned model (mean ± std)")
    for iteration, values in zip(iterations, returns, strict=True):
        axes.plot(np.full(len(values), iteration), values, ".", color="C0", alpha=0.4, markersize=4)
    if len(random_returns) > 0:
        random_mean = float(np.mean(random_returns))
        axes.axhline(random_mean, color="C3", linestyle="--", label=f"random actions ({random_mean:.2f})")
    if points is None:
        axes.set_xticks(iterations)
    else:
        labels = [f"{k}\n{count:,.0f} points" for k, count in zip(iterations, points, strict=True)]
        axes.set_xticks(iterations, labels)
    axes.set_xlabel("aggregation iteration")
    axes.set_ylabel("return per episode")
    axes.set_title(f"{task_name}: learning curve" if task_name else "learning curve")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def plot_forward_simulation(
    task: Task,
    model: DynamicsModel,
    episodes: Episodes,
    path: str | os.PathLike[str],
    *,
    index: int = 0,
    start: int = 0,
    steps: int = 100,
) -> Figure:
    """Open-loop prediction beside what happened, one panel per dimension of the state, with names and units.

    From the state at ``start`` of episode ``index`` the model predicts with the recorded actions for
    ``steps`` control steps, or as many as the episode has left. Writes ``path`` as PNG and SVG
    (`save_figure`).

    Raises ValueError if the episode or the step does not exist.
    """
    if not 0 <= index < len(episodes):
        raise ValueError(f"index must be an episode of {len(episodes)}, got {index}")
    length = int(episodes.lengths[index])
    if not 0 <= start < length:
        raise ValueError(f"start must be a step of the episode, 0 to {length - 1}, got {start}")
    if steps < 1:
        raise ValueError(f"steps must be positive, got {steps}")
    steps = min(steps, length - start)
    recorded = episodes.states[index, start : start + steps + 1]
    actions = np.ascontiguousarray(episodes.actions[index, start : start + steps], dtype=np.float32)
    predicted = model.core.open_loop(recorded[:1].astype(np.float32), actions[None])[0]

    rows = math.ceil(task.nstate / _COLUMNS)
    figure = new_figure(4 * _COLUMNS, 2.2 * rows)
    grid = figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False)
    seconds = np.arange(steps + 1) * task.dt
    for dimension, axes in enumerate(grid.flat):
        if dimension >= task.nstate:
            axes.set_visible(False)
            continue
        axes.plot(seconds, recorded[:, dimension], color="C0", label="simulated")
        axes.plot(seconds, predicted[:, dimension], color="C1", linestyle="--", label="predicted")
        # an open-loop prediction may leave for infinity: what was simulated sets the scale
        low, high = float(recorded[:, dimension].min()), float(recorded[:, dimension].max())
        margin = max(0.5 * (high - low), 1e-3)
        axes.set_ylim(low - margin, high + margin)
        name, unit = task.state_names[dimension], task.state_units[dimension]
        axes.set_title(f"{name} [{unit}]" if unit else name, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("time [s]")
    grid[0, 0].legend(fontsize=8)
    figure.suptitle(f"{task.name}: open-loop prediction of episode {index} from step {start}")
    save_figure(figure, path)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches, which can be drawn without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
