"""Plots of runs and models: functions that return a Matplotlib figure, and one that writes it.

Figures are made without pyplot, so nothing needs a display and no figure outlives its reference.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from mbmf.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase

    from mbmf.dynamics.model import DynamicsModel
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

_COLUMNS = 4
# told apart by readers who do not see all colours (Okabe and Ito)
_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# predictions that the growth of errors is told from
_STARTS = 100
_PARTICLES = 20


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> list[Path]:
    """Writes ``figure`` as PNG and as SVG, or where ``path`` ends in .pdf as PDF; returns what it wrote.

    An ending .png or .svg is replaced by each; any other is a part of the name.

    Raises OSError if a file cannot be written; one that was there is then as it was.
    """
    written = []
    path = Path(path)
    engine = figure.get_layout_engine()
    if engine is not None and figure.axes:
        if isinstance(figure, _Figure):
            figure.show_names_literally()
        # once for both: it takes longer than to draw
        engine.execute(figure)
        figure.set_layout_engine("none")
    formats: dict[str, dict[str, Any]] = {"png": {"dpi": 150}, "svg": {"metadata": {"Date": None}}}
    stem = path.with_suffix("") if path.suffix in (".png", ".svg", ".pdf") else path
    if path.suffix == ".pdf":
        formats = {"pdf": {"metadata": {"CreationDate": None}}}
    for suffix, options in formats.items():
        target = stem.with_name(f"{stem.name}.{suffix}")
        with atomic_write(target) as file:
            figure.savefig(file, format=suffix, **options)
        written.append(target)
    if engine is not None:
        figure.set_layout_engine(engine)
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
    model: DynamicsModel | Mapping[str, DynamicsModel],
    episodes: Episodes,
    path: str | os.PathLike[str] | None = None,
    *,
    index: int = 0,
    start: int = 0,
    steps: int = 100,
) -> Figure:
    """Open-loop prediction beside what happened, one panel per dimension of the state, with names and units.

    From the state at ``start`` of episode ``index`` the model predicts with the recorded actions for
    ``steps`` control steps, or as many as the episode has left. The last panel shows how the error grows:
    the root mean square over the dimensions, each in standard deviations of the episodes' states, for this
    start and, as median and middle 80 %, for starts spread over all episodes. Of a model with members or
    variances a band holds the middle 90 % of its particles, which go on as the planner's do.

    Args:
        model: or several by name, to compare with each other on the same episode.
        path: where to write the figure as PNG and SVG (`save_figure`); None: nowhere.

    Raises ValueError if the episode or the step does not exist, or there is no model.
    """
    models = model if isinstance(model, Mapping) else {"predicted": model}
    if not models:
        raise ValueError("model must be one or more, got none")
    if not 0 <= index < len(episodes):
        raise ValueError(f"index must be an episode of {len(episodes)}, got {index}")
    length = int(episodes.lengths[index])
    if not 0 <= start < length:
        raise ValueError(f"start must be a step of the episode, 0 to {length - 1}, got {start}")
    if steps < 1:
        raise ValueError(f"steps must be positive, got {steps}")
    steps = min(steps, length - start)
    predictions = {
        name: each.core.open_loop(*_recorded(episodes, [(index, start)], steps)[:2])[0]
        for name, each in models.items()
    }

    bands = {name: _band(each, episodes, (index, start), steps) for name, each in models.items()}

    rows = math.ceil(task.nstate / _COLUMNS)
    figure = new_figure(4 * _COLUMNS, 2.2 * rows + 4)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.2 * rows, 4))[:, 0]
    grid = above.subplots(rows, _COLUMNS, sharex=True, squeeze=False)
    seconds = np.asarray(np.arange(steps + 1) * task.dt, np.float64)
    recorded = episodes.states[index, start : start + steps + 1]
    for dimension, axes in enumerate(grid.flat):
        if dimension >= task.nstate:
            axes.set_visible(False)
            continue
        axes.plot(seconds, recorded[:, dimension], color="black", linewidth=2, label="simulated (the truth)")
        for (name, predicted), color in zip(predictions.items(), itertools.cycle(_COLORS), strict=False):
            axes.plot(seconds, predicted[:, dimension], color=color, linestyle="--", label=name)
            if (band := bands[name]) is not None:
                low, high = band[..., dimension]
                axes.fill_between(seconds, low, high, color=color, alpha=0.2, linewidth=0)
        # an open-loop prediction may leave for infinity: what was simulated sets the scale
        least, most = float(recorded[:, dimension].min()), float(recorded[:, dimension].max())
        margin = max(0.5 * (most - least), 1e-3)
        axes.set_ylim(least - margin, most + margin)
        name, unit = task.state_names[dimension], task.state_units[dimension]
        axes.set_title(f"{dimension}: {name} [{unit}]" if unit else f"{dimension}: {name}", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=4)
        axes.grid(alpha=0.3)
        if dimension >= task.nstate - _COLUMNS:  # nothing is below
            axes.set_xlabel("time [s]", fontsize=9)
            axes.tick_params(labelbottom=True)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    above.legend(handles, labels, loc="outside upper center", ncols=len(handles), fontsize=10)
    axes = below.subplots()
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for (name, each), color in zip(models.items(), itertools.cycle(_COLORS), strict=False):
        _draw_error_growth(axes, seconds, each, name, color, episodes, (index, start), steps)
    axes.set_xlabel("time since the prediction began [s]")
    axes.set_ylabel("error of the state\n[standard deviations, RMS]")
    axes.set_title("error growth (1: as far off as the states are from each other)", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="lower right")
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, 1e-4), min(top, 1e2))
    figure.suptitle(f"{task.name}: open-loop prediction of episode {index} from step {start}")
    if path is not None:
        save_figure(figure, path)
    return figure


def _recorded(
    episodes: Episodes, starts: Sequence[tuple[int, int]], steps: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """First states (n, nstate), actions (n, steps, naction) and states (n, steps + 1, nstate) from ``starts``
    (episode, step)."""
    states = np.stack([episodes.states[i, t : t + steps + 1] for i, t in starts])
    actions = np.stack([episodes.actions[i, t : t + steps] for i, t in starts])
    return states[:, 0].astype(np.float32), np.ascontiguousarray(actions, np.float32), states


def _band(
    model: DynamicsModel, episodes: Episodes, start: tuple[int, int], steps: int
) -> NDArray[np.float64] | None:
    """(2, steps + 1, nstate): what the middle 90 % of the model's particles are within, 20 of them or more
    where they are drawn; None where there is one rollout."""
    core = model.core
    if core.particles == 1 and not core.is_probabilistic:
        return None
    first, actions, _ = _recorded(episodes, [start], steps)
    with np.errstate(over="ignore", invalid="ignore"):
        times = range(math.ceil(_PARTICLES / core.particles))
        particles = np.concatenate([core.sample(first, actions, seed)[0] for seed in times])
        particles = np.clip(np.nan_to_num(particles, nan=1e9, posinf=1e9, neginf=-1e9), -1e9, 1e9)
        return np.asarray(np.quantile(particles, (0.05, 0.95), axis=0), np.float64)


def _draw_error_growth(
    axes: Axes,
    seconds: NDArray[np.float64],
    model: DynamicsModel,
    name: str,
    color: str,
    episodes: Episodes,
    start: tuple[int, int],
    steps: int,
) -> None:
    """Error against time: of one start (dashed), and of many (median and middle 80 %)."""
    states = episodes.states[:, :-1][np.arange(episodes.actions.shape[1]) < episodes.lengths[:, None]]
    deviation = states.std(axis=0)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    possible = [(i, t) for i, length in enumerate(episodes.lengths) for t in range(length - steps + 1)]
    spread = np.unique(np.linspace(0, len(possible) - 1, _STARTS).astype(int))
    first, actions, truth = _recorded(episodes, [start, *(possible[i] for i in spread)], steps)
    with np.errstate(over="ignore", invalid="ignore"):
        error = (model.core.open_loop(first, actions) - truth) * scale
        error = np.sqrt(np.square(error).mean(axis=2))[:, 1:]
    error = np.nan_to_num(error, nan=np.inf, posinf=np.inf)
    low, median, high = np.quantile(np.minimum(error[1:], 1e9), (0.1, 0.5, 0.9), axis=0)
    axes.fill_between(seconds[1:], low, high, color=color, alpha=0.15, linewidth=0)
    label = f"{name}: median and middle 80 % of {len(spread)} starts"
    axes.plot(seconds[1:], median, color=color, label=label)
    axes.plot(seconds[1:], error[0], color=color, linestyle="--", label=f"{name}: the start above")


class _Figure(Figure):
    """A figure in which a dollar sign in a name is one, and begins no formula."""

    def draw(self, renderer: RendererBase) -> None:
        self.show_names_literally()
        super().draw(renderer)

    def show_names_literally(self) -> None:
        for each in self.findobj(Text):
            # Matplotlib writes numbers at logarithmic axes as formulas
            if isinstance(each, Text) and "$" in each.get_text() and r"\mathdefault" not in each.get_text():
                each.set_parse_math(False)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches, which can be drawn without a display."""
    figure = _Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
