"""Control steps per second of `mbmf.Simulator`, beside MuJoCo's own `mujoco.batch.Batch`.

Same model, threads, actions and start; rounds of the two alternate. The baseline steps physics and nothing
else; the simulator also reads states and observations, computes rewards and checks bounds. `ratio`
(extra_info) is simulator over baseline, of the medians. First, both must arrive at the same positions.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest

import mbmf
from mbmf.cli.bench import NSIM, SimulatorPair

# control steps per round, some 30 ms of work each
STEPS = {"swimmer_forward": 1, "cheetah_forward": 60, "hopper_forward": 30, "ant_forward": 15}


@pytest.mark.parametrize("nthread", [1, 2])
@pytest.mark.parametrize("preset", STEPS)
def test_steps(benchmark: Any, preset: str, nthread: int) -> None:
    pair = SimulatorPair(mbmf.load_task(preset), nthread)
    steps = STEPS[preset]

    def run_ours() -> None:
        for _ in range(steps):
            pair.step_ours()

    def run_baseline() -> None:
        for _ in range(steps):
            pair.step_baseline()

    run_ours()
    run_baseline()
    pair.check()

    baseline = []

    def time_baseline() -> None:
        begin = time.perf_counter()
        run_baseline()
        baseline.append(time.perf_counter() - begin)

    benchmark.pedantic(run_ours, setup=time_baseline, rounds=20)
    if benchmark.enabled:
        median = benchmark.stats["median"]
        benchmark.extra_info["control_steps_per_second"] = round(steps * NSIM / median)
        benchmark.extra_info["ratio"] = round(statistics.median(baseline) / median, 3)
