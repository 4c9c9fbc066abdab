"""What a dynamics model's training achieved, per aggregation iteration: losses and multi-step errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from mbmf.show.plots import new_figure

if TYPE_CHECKING:
    from mbmf.runs.run import Record

# told apart by readers who do not see all colours (Okabe and Ito); each has a marker of its own too
_LOSSES = (
    ("loss_train", "training (last epoch)", "#000000", "o"),
    ("loss_old", "old data (random actions)", "#0072B2", "s"),
    ("loss_new", "new data (on-policy)", "#D55E00", "^"),
    ("loss_validation", "validation data", "#009E73", "D"),
)
_HORIZONS = (("#56B4E9", "o"), ("#0072B2", "s"), ("#009E73", "^"), ("#E69F00", "D"), ("#D55E00", "v"))
# errors of normalised states: standing still has about 2, and a prediction that diverges any number
_MOST = 100.0


@dataclasses.dataclass(frozen=True)
class RunLosses:
    """The losses of one run of ``mbmf mb``.

    Attributes:
        name: of the run.
        records: its metrics, one of each aggregation iteration.
        validation: each iteration's `DynamicsModel.loss` on them; None where it is unknown.
    """

    name: str
    records: Sequence[Record]
    validation: Sequence[float | None] = ()


def plot_losses(runs: Sequence[RunLosses]) -> Figure:
    """Losses (left) and open-loop validation errors (right) per aggregation iteration; a row of each run.

    Losses are mean squared errors of normalised state differences, errors those of normalised states after 1,
    5, 10, 50 and 100 steps. What a run has not (the loss on new data in its first iteration, say) is left
    out; an error past the axis, or an infinite one, is an arrow.

    Raises ValueError if there is no run, or one has no iteration.
    """
    if not runs or any(len(run.records) == 0 for run in runs):
        raise ValueError("runs must be one or more, each with an iteration, got none")
    figure = new_figure(11, 1 + 3.6 * len(runs))
    grid = figure.subplots(len(runs), 2, sharex=True, sharey="col", squeeze=False)
    for run, (left, right) in zip(runs, grid, strict=True):
        iterations = [record["iteration"] for record in run.records]
        validation = dict(zip(iterations, run.validation, strict=False))
        for key, label, color, marker in _LOSSES:
            values = [
                validation.get(record["iteration"]) if key == "loss_validation" else record[key]
                for record in run.records
            ]
            if any(value is not None for value in values):
                left.plot(iterations, _or_nan(values), color=color, marker=marker, markersize=5, label=label)
        diverged = False
        horizons = list(dict.fromkeys(h for record in run.records for h in record["validation_error"]))
        for i, (horizon, (color, marker)) in enumerate(zip(horizons, _HORIZONS, strict=False)):
            # null: no number, it diverged; absent: no episode was long enough
            values = [record["validation_error"].get(horizon, np.nan) for record in run.records]
            label = f"{horizon} step{'s' * (horizon != '1')}"
            shown = _or_nan([None if value is None or value > _MOST else value for value in values])
            right.plot(iterations, shown, color=color, marker=marker, markersize=5, label=label)
            # what leaves the axis is an arrow at its top
            out = [k for k, value in zip(iterations, values, strict=True) if value is None or value > _MOST]
            if out:
                height = _MOST * 0.6 ** (len(horizons) - 1 - i)
                right.plot(out, [height] * len(out), "^", color=color, markersize=9, clip_on=False)
                diverged = True
        left.set_ylabel("mean squared error,\nnormalised state differences")
        right.set_ylabel("mean squared error,\nnormalised states")
        left.set_title(f"{run.name}: one-step losses", fontsize=10)
        title = f"{run.name}: open-loop validation errors"
        right.set_title(f"{title}\n(arrow: diverged, above {_MOST:g})" if diverged else title, fontsize=10)
        for axes in (left, right):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.grid(alpha=0.3, which="both", linewidth=0.5)
    most = max(len(run.records) for run in runs)
    for axes in grid[-1]:
        axes.set_xlim(1 - 0.05 * most - 0.05, most + 0.05 * most + 0.05)  # shared by all rows
        axes.set_xlabel("aggregation iteration")
    # one legend for each column, below the last row
    for axes, columns in zip(grid[-1], (2, 3), strict=True):
        if not axes.get_legend_handles_labels()[0]:
            continue  # of a run whose model was there already
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=columns, fontsize=9)
    return figure


def _or_nan(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Matplotlib leaves a gap where a number is NaN."""
    return np.array([np.nan if value is None else value for value in values], np.float64)
