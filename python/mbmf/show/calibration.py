"""How often the truth was where a model said it would be, per aggregation iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mbmf.show.plots import new_figure

if TYPE_CHECKING:
    from mbmf.runs.run import Record

# told apart by readers who do not see all colours (Okabe and Ito); each has a marker of its own too
_HORIZONS = (("#56B4E9", "o"), ("#0072B2", "s"), ("#009E73", "^"), ("#E69F00", "D"), ("#D55E00", "v"))


def plot_calibration(records: Sequence[Record]) -> Figure:
    """The last iteration's intervals (left), and the widest interval's share by iteration (right).

    Left: how often the truth lay within the predicted interval of each level, by how many steps ahead; on
    the diagonal the model knows what it does not know, below it is too sure of itself. ``records``: those of
    a run of ``mbmf mb`` (docs/ensembles.md), of which some have ``calibration``.

    Raises ValueError if none has.
    """
    known = [record for record in records if record.get("calibration")]
    if not known:
        raise ValueError("records must have one with calibration, got none")
    figure = new_figure(11, 4.6)
    left, right = figure.subplots(1, 2)
    last = known[-1]["calibration"]
    widest = max((level for of_levels in last.values() for level in of_levels), key=float)
    left.plot([0, 1], [0, 1], color="black", linewidth=1, label="as predicted")
    right.axhline(float(widest), color="black", linewidth=1)
    for (horizon, of_levels), (color, marker) in zip(last.items(), _HORIZONS, strict=False):
        label = f"{horizon} step{'s' * (horizon != '1')} ahead"
        levels = sorted(of_levels, key=float)
        style = {"color": color, "marker": marker, "markersize": 6, "label": label}
        left.plot([float(level) for level in levels], [of_levels[level] for level in levels], **style)
        shares = [
            (record["iteration"], record["calibration"].get(horizon, {}).get(widest)) for record in known
        ]
        shares = [(iteration, share) for iteration, share in shares if share is not None]
        right.plot([iteration for iteration, _ in shares], [share for _, share in shares], **style)
    left.set_xlabel("level of the predicted interval")
    left.set_ylabel("share of the truth within it")
    left.set_title(f"iteration {known[-1]['iteration']}", fontsize=10)
    right.set_xlabel("aggregation iteration")
    right.set_ylabel(f"share within the interval of {float(widest):.0%}")
    right.set_title("by iteration", fontsize=10)
    right.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (left, right):
        axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3, linewidth=0.5)
    left.set_xlim(0, 1.02)
    left.legend(fontsize=9, loc="upper left")
    figure.suptitle("calibration: how often the truth was where the model said")
    return figure
