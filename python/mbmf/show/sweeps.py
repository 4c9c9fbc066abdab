"""Sweeps as a figure: the learning curve of each case, with its band, and what it is made of as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mbmf.files import atomic_write
from mbmf.show.learning_curves import Curve
from mbmf.show.plots import new_figure

# of as many cases as have a colour and a line of their own
_STYLES = ("-", "--", ":", "-.")
MAX_CASES = 40


def plot_cases(
    curves: Mapping[str, Curve], *, title: str = "", reward_name: str = "return per episode"
) -> Figure:
    """Reward against control steps on a logarithmic axis: mean and band over seeds, for each case.

    Args:
        curves: by case, at least one; of more than `MAX_CASES` the best are drawn, by their last mean.
        title: above the plot.
        reward_name: of the vertical axis.

    Raises ValueError if there is no curve.
    """
    if not curves:
        raise ValueError("curves must be one or more, got none")
    best = sorted(curves, key=lambda name: -curves[name].mean[-1])[:MAX_CASES]
    figure = new_figure(9, 6)
    axes = figure.subplots()
    colors = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, name in enumerate(name for name in curves if name in best):
        curve = curves[name]
        style, color = _STYLES[number // len(colors) % len(_STYLES)], colors[number % len(colors)]
        seeds = len(curve.series)
        label = f"{name} ({seeds} seeds)" if seeds > 1 else name
        marker = "o" if len(curve.steps) == 1 else None
        axes.plot(curve.steps, curve.mean, style, color=color, marker=marker, markersize=4, label=label)
        if seeds > 1:
            axes.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_xlabel("control steps (log scale)")
    axes.set_ylabel(reward_name)
    left_out = len(curves) - len(best)
    axes.set_title(title + (f" (the best {len(best)} of {len(curves)} cases)" if left_out else ""))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=1 if max(map(len, best)) > 40 else 2, fontsize=8)
    return figure


def write_cases(path: Path, curves: Mapping[str, Curve]) -> Path:
    """Writes what the curves are made of as CSV: case, run, steps, reward; whole or not at all.

    Returns the path. Raises OSError.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["case", "run", "steps", "reward"])
    for name, curve in curves.items():
        for series in curve.series:
            for steps, reward in zip(series.steps, series.rewards, strict=True):
                table.writerow([name, series.name, f"{steps:.0f}", f"{reward:.6g}"])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
    return path
