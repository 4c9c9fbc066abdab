"""The chart of a control loop: its times and candidates over the run, and what it sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from mbmf.show.plots import new_figure

_MARKS = ((1, "held", "#E69F00", "s"), (2, "safe", "#D55E00", "X"))
# of the values a panel shows; what is above is an arrow at its top
_SHOWN = 0.999
# bars over the height of a panel
_BARS = 60
_BLUE = "#0072B2"


def plot_control(
    records: Mapping[str, NDArray[Any]], period: float, title: str = "", deadline: float | None = None
) -> Figure:
    """Wake-up jitter, compute time and candidates of every step, and the steps that were not planned.

    Args:
        records: of `mbmf.Controller.records`, at least one step.
        period: seconds.
        deadline: seconds after the wake-up when a plan is to be there, drawn as a line.
    """
    figure = new_figure(9, 7)
    axes = figure.subplots(3, 2, width_ratios=(4, 1), sharey="row", squeeze=False)
    seconds = records["step"] * period
    planned = records["kind"] == 0
    rows = (
        ("wake-up jitter (µs)", 1e6 * records["wake"], np.ones_like(planned)),
        ("compute time (ms)", 1e3 * records["compute"], np.ones_like(planned)),
        ("candidates per plan", records["candidates"], planned),
    )
    for (label, values, shown), (left, right) in zip(rows, axes, strict=True):
        left.set_ylabel(label)
        left.grid(alpha=0.3)
        if not shown.any():
            left.set_ylim(bottom=0)
            right.set_visible(False)
            continue
        top = _top_of(values[shown])
        if label.startswith("compute") and deadline is not None:
            top = max(top, 1.1 * 1e3 * deadline)
        within = shown & (values <= top)
        size = 2 if len(seconds) > 1000 else 5
        left.plot(
            seconds[within],
            values[within],
            ".",
            markersize=size,
            color=_BLUE,
            rasterized=True,
            clip_on=False,  # times far below the deadline lie on the axis
        )
        out = shown & (values > top)
        if out.any():
            at_top = np.full(int(out.sum()), top)
            left.plot(seconds[out], at_top, "^", markersize=5, color=_BLUE, clip_on=False)
            most = f"{out.sum()} above, the most {values[out].max():,.4g}"
            left.annotate(most, (1, 1), xycoords="axes fraction", ha="right", va="bottom", fontsize="small")
        left.set_ylim(0, top)
        # bars of one height on the paper: narrower ones would not be seen
        counts, _, _ = right.hist(
            values[within], bins=np.linspace(0, top, _BARS + 1), orientation="horizontal", color=_BLUE
        )
        right.set_xscale("log")
        right.set_xlim(0.5, max(10, 2 * np.max(counts)))
        right.xaxis.set_minor_formatter(NullFormatter())
        right.grid(alpha=0.3)
    if deadline is not None:
        axes[1, 0].axhline(1e3 * deadline, color="black", linewidth=1, linestyle="--", label="deadline")
    for kind, name, color, marker in _MARKS:
        which = records["kind"] == kind
        if which.any():
            axes[1, 0].plot(
                seconds[which],
                np.minimum(1e3 * records["compute"][which], axes[1, 0].get_ylim()[1]),
                marker,
                color=color,
                clip_on=False,
                label=f"{name}: {which.sum()}",
            )
    if axes[1, 0].get_legend_handles_labels()[0]:
        axes[1, 0].legend(loc="lower right", fontsize="small")
    axes[2, 0].set_xlabel("seconds")
    axes[2, 1].set_xlabel("steps")
    figure.suptitle(title)
    return figure


def _top_of(values: NDArray[Any]) -> float:
    """The top of a panel: a few late steps, of a loaded machine, would flatten all others."""
    usual = float(np.quantile(values, 0.9, method="lower"))
    most = min(float(np.quantile(values, _SHOWN)), 5 * usual)
    return 1.15 * max(most, 1.5 * float(np.median(values)), 1e-9)
