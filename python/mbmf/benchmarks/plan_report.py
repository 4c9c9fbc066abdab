"""What `mbmf bench planner` found, as tables for people and as files."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from mbmf.benchmarks.plan_charts import AXES, plot_sweep
from mbmf.benchmarks.search_timing import rows_of
from mbmf.files import atomic_write
from mbmf.show.plots import save_figure

if TYPE_CHECKING:
    from mbmf.benchmarks.plan_cases import PlanCase
    from mbmf.benchmarks.plan_timing import Latency, PlanTime
    from mbmf.benchmarks.search_timing import SearchTime


def rate_table(times: Sequence[PlanTime]) -> Table:
    """Milliseconds, GFLOP/s, share of the peak and speed-up."""
    one = {time.case: time.seconds for time in times if time.nthread == 1}
    rows = [
        (
            time.case,
            f"{time.candidates} × {time.horizon}",
            f"{time.live_share:.0%}",
            str(time.nthread),
            f"{1e3 * time.seconds:.2f}",
            f"{time.spread:.1%}",
            f"{time.gflops:.1f}",
            f"{time.peak:.1f}",
            f"{time.peak_share:.0%}",
            f"{one[time.case] / time.seconds:.2f}",
        )
        for time in times
    ]
    return _table(
        "planner: GFLOP/s by the full formula, so that work not done for the dead counts as done",
        ("task", "K × H", "alive", "threads", "ms", "±", "GFLOP/s", "peak", "share", "speed-up"),
        rows,
    )


def ratio_table(times: Sequence[PlanTime]) -> Table:
    """Ratios to PyTorch and NumPy, at the most threads."""
    most = max(time.nthread for time in times)
    rows = []
    for time in times:
        if time.nthread != most:
            continue
        row = [time.case, f"{1e3 * time.seconds:.2f}", f"{1e3 * time.torch_seconds:.1f}", time.torch_layout]
        row.append(f"{time.torch_seconds / time.seconds:.1f}")
        if time.numpy_seconds is not None:
            row += [f"{1e3 * time.numpy_seconds:.1f}", f"{time.numpy_seconds / time.seconds:.1f}"]
        rows.append(row)
    columns = ("task", "mbmf ms", "PyTorch ms", "its best", "ratio", "NumPy ms", "ratio")
    return _table(f"the same plan, sampling and cost included, {most} threads", columns, rows)


def search_table(times: Sequence[SearchTime]) -> Table:
    """Milliseconds, share of the peak, and what searching takes of a plan."""
    rows = [
        (
            time.case,
            time.search,
            f"{time.candidates} in {time.rounds} × {time.horizon}",
            str(time.nthread),
            f"{1e3 * time.seconds:.2f}",
            f"{time.peak_share:.0%}",
            f"{time.searching:.1%}",
            f"{time.speedup:.2f}",
        )
        for time in times
    ]
    return _table(
        "searches: what is not rolling candidates (drawing, colouring, elites, refitting) is searching",
        ("task", "search", "K × H", "threads", "ms", "share of peak", "searching", "speed-up"),
        rows,
    )


def memory_table(memory: Sequence[dict[str, Any]]) -> Table:
    """Working memory in KiB."""
    keys = ("scratch_bytes", "growth_bytes", "torch_growth_bytes")
    rows = [
        (row["case"], *("unknown" if row[key] is None else f"{row[key] / 1024:,.0f}" for key in keys))
        for row in memory
    ]
    columns = ("task", "working memory per thread", "process grew", "process grew, PyTorch")
    return _table("memory of a plan, KiB", columns, rows)


def latency_table(case: PlanCase, nthread: int, times: Latency) -> Table:
    """Percentiles in milliseconds."""
    size = f"{case.candidates} × {case.horizon}"
    title = f"latency in ms: {times.count:,} plans of {case.name}, {size}, {nthread} threads"
    values = [f"{value:.2f}" for value in (times.p50, times.p99, times.p999, times.max)]
    return _table(title, ("p50", "p99", "p99.9", "max"), [values])


def sweep_table(axis: str, points: Sequence[PlanTime]) -> Table:
    """One sweep."""
    rows = [
        (
            f"{getattr(point, axis):,}",
            f"{1e3 * point.seconds:.2f}",
            f"{point.gflops:.1f}",
            f"{point.peak_share:.0%}",
            f"{1e3 * point.torch_seconds:.1f}",
            f"{point.torch_seconds / point.seconds:.1f}",
        )
        for point in points
    ]
    columns = (AXES[axis], "ms", "GFLOP/s", "share of peak", "PyTorch ms", "ratio")
    return _table(f"sweep: {points[0].case}", columns, rows)


def write_results(
    folder: Path,
    machine: dict[str, str],
    times: Sequence[PlanTime],
    memory: Sequence[dict[str, Any]],
    latencies: Latency,
    sweeps: dict[str, list[PlanTime]],
    searches: Sequence[SearchTime],
) -> list[Path]:
    """plans.csv, searches.csv, sweep_<axis>.csv, .png and .svg, results.json with everything: their paths."""
    contents = {"plans.csv": _csv([_row(time) for time in times]), "searches.csv": _csv(rows_of(searches))}
    contents |= {f"sweep_{axis}.csv": _csv([_row(p) for p in points]) for axis, points in sweeps.items()}
    everything = {
        "machine": machine,
        "plans": [_row(time) for time in times],
        "memory": memory,
        "searches": rows_of(searches),
        "latency_milliseconds": dataclasses.asdict(latencies),
        "sweeps": {axis: [_row(point) for point in points] for axis, points in sweeps.items()},
    }
    contents["results.json"] = json.dumps(everything, indent=1) + "\n"
    written = []
    for name, text in contents.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
        written.append(folder / name)
    for axis, points in sweeps.items():
        written += save_figure(plot_sweep(axis, points), folder / f"sweep_{axis}")
    return written


def _row(time: PlanTime) -> dict[str, Any]:
    return {**dataclasses.asdict(time), "peak_share": time.peak_share}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in ("task", "its best") else "right")
    for row in rows:
        table.add_row(*row)
    return table
