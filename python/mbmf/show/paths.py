"""Plots of paths: what was to be followed, and where the robot went."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mbmf.show.plots import new_figure

FloatArray = NDArray[np.float64]

_PATH = "#000000"
# of rollouts; told apart by readers who do not see all colours (Okabe and Ito)
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_COLUMNS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Followed:
    """The rollouts of one iteration on one path, for a panel.

    Attributes:
        title: what they are.
        waypoints: x and y, metres, float64 (P, 2), P at least 2.
        places: each rollout's positions beside the waypoints, metres, float64 (T + 1, 2).
        segments: each rollout's current segment at these positions, (T + 1,).
        last_segment: the last that counts.
        dt: seconds per control step.
        upright: y is a height: the robot moves in a vertical plane, so x is drawn against time.
        text: a line of figures, below the title.
    """

    title: str
    waypoints: FloatArray
    places: Sequence[FloatArray]
    segments: Sequence[NDArray[np.integer]]
    last_segment: int
    dt: float
    upright: bool = False
    text: str = ""


def plot_paths(panels: Sequence[Followed]) -> Figure:
    """A panel each: the desired path (dashed, its waypoints numbered) and the executed ones, from above.

    A dot is a start, a cross an end; a small ring is where a rollout went on to the next segment. Robots that
    move in a vertical plane have x against time instead, with the waypoint that they make for dashed.

    Raises ValueError if there is no panel.
    """
    if not panels:
        raise ValueError("panels must be one or more, got none")
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(max(5.2 * columns, 6.5), 4.8 * rows + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in itertools.zip_longest(grid.flat, panels):
        if panel is None:
            axes.set_visible(False)
            continue
        (_draw_upright if panel.upright else _draw_from_above)(axes, panel)
        axes.set_title(f"{panel.title}\n{panel.text}" if panel.text else panel.title, fontsize=10)
        axes.grid(alpha=0.3)
    entries: dict[str, Any] = {}
    for axes in grid.flat[: len(panels)]:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    for label, marker, face in (("start", "o", "0.4"), ("end", "X", "0.4"), ("next segment", "o", "white")):
        entries[label] = Line2D([], [], linestyle="", color="0.4", marker=marker, markerfacecolor=face)
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=5, fontsize=9)
    return figure


def _draw_from_above(axes: Axes, panel: Followed) -> None:
    points = _shown(panel)
    axes.plot(points[:, 0], points[:, 1], "--", color=_PATH, linewidth=1.5, label="desired path")
    axes.plot(points[:, 0], points[:, 1], ".", color=_PATH, markersize=5)
    for number, point in enumerate(points):
        axes.annotate(str(number), point, xytext=(4, 4), textcoords="offset points", fontsize=7, color="0.35")
    for i, (places, segments) in enumerate(zip(panel.places, panel.segments, strict=True)):
        color = _COLORS[i % len(_COLORS)]
        axes.plot(places[:, 0], places[:, 1], color=color, linewidth=1.4, label=f"rollout {i}")
        _mark(axes, places[:, 0], places[:, 1], segments, color)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")


def _draw_upright(axes: Axes, panel: Followed) -> None:
    ends = panel.waypoints[1:, 0]
    for i, (places, segments) in enumerate(zip(panel.places, panel.segments, strict=True)):
        color = _COLORS[i % len(_COLORS)]
        seconds = np.asarray(np.arange(len(places)) * panel.dt, np.float64)
        target = ends[np.minimum(segments, len(ends) - 1)]
        label = "waypoint that it makes for" if i == 0 else None
        axes.plot(seconds, target, "--", color=color, linewidth=1, drawstyle="steps-post", label=label)
        axes.plot(seconds, places[:, 0], color=color, linewidth=1.4, label=f"rollout {i}")
        _mark(axes, seconds, places[:, 0], segments, color)
    axes.set_xlabel("time [s]")
    axes.set_ylabel("x [m]")


def _shown(panel: Followed) -> FloatArray:
    """The waypoints up to the end of the last segment that counts, or as far as a rollout went."""
    furthest = max([panel.last_segment, *(int(segments.max()) for segments in panel.segments)])
    return panel.waypoints[: furthest + 2]


def _mark(axes: Axes, x: FloatArray, y: FloatArray, segments: NDArray[np.integer], color: str) -> None:
    """Start, end, and where the current segment changed."""
    axes.plot(x[:1], y[:1], "o", color=color, markersize=6, zorder=4)
    axes.plot(x[-1:], y[-1:], "X", color=color, markersize=9, markeredgecolor="white", zorder=4)
    changes = np.flatnonzero(np.diff(segments)) + 1
    axes.plot(x[changes], y[changes], "o", color=color, markersize=5, markerfacecolor="white")
