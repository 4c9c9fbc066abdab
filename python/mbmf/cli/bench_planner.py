"""``mbmf bench planner``: how close the planner comes to what the processor can multiply."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbmf.cli.outputs import check_output
from mbmf.cli.planner_options import PlannerOptions
from mbmf.errors import ConfigError

if TYPE_CHECKING:
    from mbmf.benchmarks.plan_cases import CaseMaker, PlanCase
    from mbmf.benchmarks.plan_timing import PlanTime


@dataclass(frozen=True)
class Options(PlannerOptions):
    """Measure the planner in depth: searches, peak share, ratios to PyTorch and NumPy, latency, sweeps.

    Takes about five minutes; with --search that search alone, in half a minute. Results are checked
    against an oracle before anything is measured.
    """

    nthread: int = 0
    """Threads, beside one; 0: one per CPU."""

    quick: bool = False
    """About a minute instead: shorter times, fewer points, fewer plans for the latency."""

    output: str = ""
    """A folder for the tables (CSV, JSON) and a chart of each sweep; if empty, nothing is written."""


@dataclass(frozen=True)
class Effort:
    """How much to measure: seconds per case and per point of a sweep, plans, values of a sweep."""

    presets: tuple[str, ...]
    case_seconds: float
    point_seconds: float
    plans: int
    candidates: tuple[int, ...]
    horizons: tuple[int, ...]
    widths: tuple[int, ...]


_ALL = ("cheetah_forward", "swimmer_forward", "hopper_forward", "ant_forward")
FULL = Effort(
    presets=_ALL,
    case_seconds=12,
    point_seconds=1.5,
    plans=10_000,
    candidates=(100, 300, 1000, 3000, 10_000, 30_000),
    horizons=(1, 5, 10, 20, 50, 100, 200),
    widths=(32, 64, 128, 250, 500, 1000, 2000),
)
QUICK = Effort(
    presets=_ALL,
    case_seconds=1.5,
    point_seconds=0.2,
    plans=300,
    candidates=(100, 1000, 5000),
    horizons=(1, 20, 100),
    widths=(64, 500, 1000),
)


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    from rich.console import Console

    from mbmf.benchmarks import plan_report as report
    from mbmf.benchmarks.plan_cases import CaseMaker, has_bounds, never_dying
    from mbmf.benchmarks.plan_timing import latency, measure
    from mbmf.benchmarks.search_timing import measure_searches
    from mbmf.tasks.searches import search_kind, search_kinds

    if options.nthread < 0:
        raise ConfigError(f"--nthread must be at least 0, got {options.nthread}")
    effort = QUICK if options.quick else FULL
    cpus = len(os.sched_getaffinity(0))
    nthread = options.nthread or cpus
    threads = sorted({1, nthread})
    each, any_of = [[n] for n in threads], [threads]
    output = _output_folder(options.output)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    machine = describe_machine(nthread)
    console.print("\n".join(f"{key}: {value}" for key, value in machine.items()))
    if os.getloadavg()[0] > 0.5:
        console.print("[yellow]other processes are running: figures will be too low[/yellow]")

    if options.search is not None or options.horizon is not None or options.candidates is not None:
        searches = [search_kind(options.search or "random_shooting").name]
        with console.status("plans"):
            found = [
                time
                for preset in effort.presets
                for time in measure_searches(
                    CaseMaker(preset, nthread=nthread).make(),
                    searches,
                    threads,
                    effort.point_seconds,
                    options.horizon,
                    options.candidates,
                )
            ]
        console.print(report.search_table(found))
        return
    makers = {preset: CaseMaker(preset, nthread=nthread) for preset in effort.presets}
    first = makers[effort.presets[0]].make()
    times: list[PlanTime] = []
    memory: list[dict[str, Any]] = []
    with console.status("plans"):
        for maker in makers.values():
            case = maker.make()
            memory.append(measure_memory(case, nthread))
            times += measure(case, threads, effort.case_seconds, each)
            if has_bounds(case) and times[-1].live_share < 1:
                times += measure(never_dying(case), threads, effort.case_seconds, each)
    with console.status("searches"):
        searched = [
            time
            for maker in makers.values()
            for time in measure_searches(maker.make(), list(search_kinds()), threads, effort.point_seconds)
        ]
    console.print(report.search_table(searched))
    for table in (report.rate_table(times), report.ratio_table(times), report.memory_table(memory)):
        console.print(table)
    with console.status(f"latency of {effort.plans} plans"):
        latencies = latency(first, nthread, effort.plans)
    console.print(report.latency_table(first, nthread, latencies))
    sweeps = {}
    with console.status("sweeps"):
        for axis, cases in sweep_cases(makers[effort.presets[0]], first, effort).items():
            sweeps[axis] = [
                time
                for case in cases
                for time in measure(case, [nthread], effort.point_seconds, any_of, False)
            ]
        counts = sorted({*_doubling(nthread), nthread, 2 * cpus})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that these are more threads than CPUs is the point
            sweeps["nthread"] = measure(first, counts, effort.point_seconds, any_of, False)
    for axis, points in sweeps.items():
        console.print(report.sweep_table(axis, points))
    if output is not None:
        written = report.write_results(output, machine, times, memory, latencies, sweeps, searched)
        console.print("\n".join(str(path) for path in written))


def describe_machine(nthread: int) -> dict[str, str]:
    """Processor, software, threads and command, for people who compare results."""
    import numpy as np
    import torch

    import mbmf
    from mbmf import _core

    models = [
        line.split(":", 1)[1].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith(("model name", "Model"))
    ]
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "machine": f"{models[0] if models else platform.processor() or platform.machine()}, "
        f"{len(os.sched_getaffinity(0))} CPUs, {platform.system()} {platform.release()}",
        "software": f"mbmf {mbmf.__version__} ({_core.isa()}), Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, NumPy {np.__version__}",
        "threads": str(nthread),
        "load before": load,
        "command": shlex.join(["mbmf", *sys.argv[1:]]),
    }


def measure_memory(case: PlanCase, nthread: int) -> dict[str, Any]:
    """Working memory of a plan: what the planner says, and what the process grew by at its largest."""
    from mbmf.benchmarks.plan_baselines import TorchPlan
    from mbmf.benchmarks.plan_timing import memory_growth, scratch_bytes

    def ours() -> object:
        planner = case.planner(nthread)
        planner.plan(case.state)
        return planner

    def baseline() -> object:
        plan = TorchPlan(case, "columns", nthread)
        plan.plan(case.state)
        return plan

    baseline()  # PyTorch's own pools are not the plan's
    return {
        "case": case.name,
        "scratch_bytes": scratch_bytes(case.planner(nthread)),
        "growth_bytes": memory_growth(ours),
        "torch_growth_bytes": memory_growth(baseline),
    }


def sweep_cases(maker: CaseMaker, case: PlanCase, effort: Effort) -> dict[str, list[PlanCase]]:
    """The cases of each sweep over one thing."""
    return {
        "candidates": [case.resized(candidates=K) for K in effort.candidates],
        "horizon": [case.resized(horizon=H) for H in effort.horizons],
        "hidden": [maker.make(hidden=(width,)) for width in effort.widths],
    }


def _output_folder(output: str) -> Path | None:
    if not output:
        return None
    folder = Path(output)
    check_output(folder, folder=True)
    return folder


def _doubling(most: int) -> list[int]:
    counts = [1]
    while counts[-1] * 2 <= most:
        counts.append(counts[-1] * 2)
    return counts


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
