"""Charts of the planner's sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mbmf.show.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mbmf.benchmarks.plan_timing import PlanTime

# what a sweep varies: the attribute of PlanTime, and the axis's label
AXES = {
    "nthread": "threads",
    "candidates": "candidates K",
    "horizon": "horizon H [control steps]",
    "hidden": "width of the hidden layer",
}


def plot_sweep(axis: str, points: Sequence[PlanTime]) -> Figure:
    """Milliseconds per plan beside PyTorch's, and GFLOP/s beside the peak, over one of `AXES`.

    Raises ValueError on another axis or without points.
    """
    if axis not in AXES:
        raise ValueError(f"axis must be one of {', '.join(AXES)}, got {axis!r}")
    if not points:
        raise ValueError("points must be one or more, got none")
    figure = new_figure(10, 4)
    times, rates = figure.subplots(1, 2)
    x = [getattr(point, axis) for point in points]

    times.plot(x, [1e3 * point.torch_seconds for point in points], "s--", color="C1", label="PyTorch")
    times.plot(x, [1e3 * point.seconds for point in points], "o-", color="C0", label="mbmf")
    times.set_yscale("log")
    times.set_ylabel("time per plan [ms]")

    rates.plot(x, [point.peak for point in points], ":", color="0.4", label="multiply-add peak")
    rates.plot(x, [point.gflops for point in points], "o-", color="C0", label="mbmf")
    torch = [point.gflops * point.seconds / point.torch_seconds for point in points]
    rates.plot(x, torch, "s--", color="C1", label="PyTorch")
    rates.set_ylim(bottom=0)
    rates.set_ylabel("GFLOP/s")

    for axes in (times, rates):
        if axis != "nthread":
            axes.set_xscale("log")
        axes.set_xticks(x, [f"{value:,}" for value in x])
        axes.minorticks_off()
        axes.set_xlabel(AXES[axis])
        axes.grid(alpha=0.3)
        axes.legend()
    fixed = {"candidates": "K", "horizon": "H", "hidden": "width", "nthread": "threads"}
    settings = ", ".join(f"{name} {getattr(points[0], key)}" for key, name in fixed.items() if key != axis)
    figure.suptitle(f"{points[0].case}: {settings}")
    return figure
