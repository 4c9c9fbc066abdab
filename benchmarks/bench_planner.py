"""Plans of the four forward presets, beside the same plans in PyTorch and NumPy.

Model trained briefly on random data, the preset's cost, K and H; sampling and cost included. Baselines:
`mbmf.benchmarks.plan_baselines`, PyTorch in the faster of two layouts and of 1 or the same number of threads.
Rounds alternate. First, all must agree with a float64 oracle.

extra_info: `ratio_torch` and `ratio_numpy` (the baseline's median time over ours), GFLOP/s by the full
formula, and its share of the multiply-add peak. The share passes 100 % where candidates die and are not
computed; `alive` is the share of the work that was.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from typing import Any

import pytest

from mbmf import _core
from mbmf.benchmarks.plan_baselines import NumpyPlan
from mbmf.benchmarks.plan_cases import PRESETS, CaseMaker, PlanCase
from mbmf.benchmarks.plan_timing import checked, fastest_torch
from mbmf.nn.training import torch_threads

ROUNDS = 10


@functools.cache
def make_case(preset: str) -> PlanCase:
    return CaseMaker(preset).make()


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("preset", PRESETS)
def test_plan(benchmark: Any, preset: str, nthread: int) -> None:
    case = make_case(preset)
    planner = case.planner(nthread)
    with torch_threads(1):
        baselines = {"torch": fastest_torch(case, sorted({1, nthread})), "numpy": NumpyPlan(case)}
        oracle = checked(case, planner, baselines)
        times: dict[str, list[float]] = {name: [] for name in baselines}
        peaks = []
        steps = itertools.count()

        def time_baselines() -> None:
            for name, plan in baselines.items():
                begin = time.perf_counter()
                plan.plan(case.state)
                times[name].append(time.perf_counter() - begin)
            peaks.append(_core.multiply_add_peak(nthread, 0.05))
            plan_ours()

        def plan_ours() -> None:
            planner.plan(case.state, step=next(steps))

        benchmark.pedantic(plan_ours, setup=time_baselines, rounds=ROUNDS if benchmark.enabled else 1)
    if benchmark.enabled:
        median = benchmark.stats["median"]
        gflops = case.flops * 1e-9 / median
        benchmark.extra_info["isa"] = _core.isa()
        benchmark.extra_info["gflops"] = round(gflops, 1)
        benchmark.extra_info["peak_share"] = round(gflops / statistics.median(peaks), 3)
        benchmark.extra_info["alive"] = round(oracle.live_share, 3)
        for name, seconds in times.items():
            benchmark.extra_info[f"ratio_{name}"] = round(statistics.median(seconds) / median, 2)
