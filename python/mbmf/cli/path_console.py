"""How a run on a path ended, as a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rich.table import Table


def tracking_table(tracking: dict[str, Any]) -> Table:
    """The figures of a record's rollouts (`mbmf.rollouts.tracking.record`), a column each."""
    rule = "" if tracking["segment_rule"] == "predicted" else f", segments {tracking['segment_rule']}"
    table = Table(title=f"path {tracking['path']}{rule}", title_justify="left")
    table.add_column("")
    rollouts = tracking["rollouts"]
    for number in range(len(rollouts)):
        table.add_column(f"rollout {number}", justify="right")

    def row(title: str, cell: Callable[[dict[str, Any]], str]) -> None:
        table.add_row(title, *(cell(each) for each in rollouts))

    row(f"control steps until past segment {tracking['last_segment']}", _steps)
    row("time (s)", lambda r: f"{r['seconds']:.2f}")
    row("distance from the path, mean (m)", lambda r: f"{r['distance_mean']:.3f}")
    row("distance from the path, max (m)", lambda r: f"{r['distance_max']:.3f}")
    row("progress along it (m)", lambda r: f"{r['progress']:.2f}")
    row("progress, share", lambda r: f"{100 * r['progress_share']:.0f} %")
    row("final segment", lambda r: str(r["final_segment"]))
    row(f"error of {tracking['heading_of']}, mean (degrees)", _heading_error)
    row("ends at x, y (m)", lambda r: f"{r['end'][0]:.2f}, {r['end'][1]:.2f}")
    row("x from, to (m)", lambda r: f"{r['low'][0]:.2f}, {r['high'][0]:.2f}")
    return table


def _steps(rollout: dict[str, Any]) -> str:
    steps = rollout["steps_to_end"]
    return f"not in {rollout['steps']}" if steps is None else str(steps)


def _heading_error(rollout: dict[str, Any]) -> str:
    error = rollout["heading_error"]
    return "–" if error is None or math.isnan(error) else f"{math.degrees(error):.0f}"
