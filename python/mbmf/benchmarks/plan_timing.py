"""Times of plans: contestants in turn within one run, after all of them were checked against the oracle."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mbmf import _core
from mbmf.benchmarks.plan_baselines import NumpyPlan, Oracle, TorchPlan
from mbmf.errors import MbmfError

if TYPE_CHECKING:
    from mbmf.benchmarks.plan_cases import PlanCase
    from mbmf.planning.random_shooting import RandomShooting

LAYOUTS: tuple[Literal["rows", "columns"], ...] = ("rows", "columns")
SLICE_SECONDS, PEAK_SECONDS = 0.05, 0.05
MIN_ROUNDS = 3


@dataclass(frozen=True)
class PlanTime:
    """One case at one number of threads. Times are medians in seconds; the peak is in GFLOP/s.

    `gflops` and `peak_share` count the whole formula, so skipped work makes them larger than what was done.
    """

    case: str
    horizon: int
    candidates: int
    hidden: int
    nthread: int
    seconds: float
    spread: float
    """Half the interquartile range over the median."""
    gflops: float
    peak: float
    torch_seconds: float
    torch_layout: str
    numpy_seconds: float | None
    live_share: float
    """Of the evaluations of the network, those of candidates that were not dead."""
    scratch_bytes: int

    @property
    def peak_share(self) -> float:
        return self.gflops / self.peak


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    seconds: float,
    slice_seconds: float,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each call, in rounds that go through all contestants, for about ``seconds`` in total.

    A contestant's turn is one call that does not count (threads of the one before come to rest, caches warm
    up) and then calls for ``slice_seconds``, at least one. There are at least three rounds. ``before`` has
    what to do before a contestant's turn.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    begin, rounds = time.perf_counter(), 0
    while rounds < MIN_ROUNDS or time.perf_counter() - begin < seconds:
        for name, run in contestants.items():
            if before is not None and name in before:
                before[name]()
            run()
            turn = time.perf_counter()
            now = turn
            while now == turn or now - turn < slice_seconds:
                start = time.perf_counter()
                run()
                now = time.perf_counter()
                times[name].append(now - start)
        rounds += 1
    return times


def checked(
    case: PlanCase, planner: RandomShooting, baselines: Mapping[str, NumpyPlan | TorchPlan]
) -> Oracle:
    """The oracle, once the planner and the baselines agree with it on the planner's candidates.

    Raises MbmfError if a cost or a choice is wrong.
    """
    actions = planner.core.sample(0, 0, 0, case.candidates)
    oracle = Oracle.of(case, actions)
    costs: dict[str, NDArray[np.floating[Any]]] = {"mbmf": planner.core.costs(case.state, 0, 0)}
    costs |= {name: plan.costs(case.state, actions) for name, plan in baselines.items()}
    oracle.check(case, costs)
    # a plan is the best of these costs; a baseline's has the cost of the actions that it drew itself
    plan, best = planner.plan(case.state, episode=0, step=0), int(np.argmin(costs["mbmf"]))
    if (plan.candidate, plan.cost) != (best, costs["mbmf"][best]) or (plan.actions != actions[best]).any():
        raise MbmfError(f"{case.name}: the plan must be candidate {best}, got {plan.candidate}")
    for name, baseline in baselines.items():
        _, cost, chosen = baseline.plan(case.state)
        Oracle.of(case, chosen[None]).check(case, {name: np.array([cost])})
    return oracle


def fastest_torch(case: PlanCase, threads: Sequence[int]) -> TorchPlan:
    """PyTorch's plan in the layout and with the threads that are fastest, by the better of two calls."""

    def seconds(plan: TorchPlan) -> float:
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            plan.plan(case.state)
            times.append(time.perf_counter() - begin)
        return min(times[1:])

    return min((TorchPlan(case, layout, n) for n in threads for layout in LAYOUTS), key=seconds)


def measure(
    case: PlanCase,
    threads: Sequence[int],
    seconds: float,
    torch_threads: Sequence[Sequence[int]],
    with_numpy: bool = True,
) -> list[PlanTime]:
    """The case at each number of threads, beside PyTorch and NumPy.

    For each of ``torch_threads``, choices of a number of threads, PyTorch's fastest takes part; the fastest
    of these in the end is the baseline.

    Raises MbmfError if any of them computes something else.
    """
    from mbmf.nn import training

    planners = {n: case.planner(n) for n in threads}
    with training.torch_threads(1):
        torch_plans = [fastest_torch(case, choice) for choice in torch_threads]
        baselines: dict[str, NumpyPlan | TorchPlan] = {
            f"PyTorch {plan.layout}, threads: {plan.nthread}": plan for plan in torch_plans
        }
        if with_numpy:
            baselines["NumPy"] = NumpyPlan(case)
        oracle = checked(case, planners[threads[0]], baselines)

        steps = itertools.count()
        contestants: dict[str, Callable[[], object]] = {
            f"mbmf {n}": _plan_of(planner, case, steps) for n, planner in planners.items()
        }
        contestants |= {name: _baseline_of(plan, case) for name, plan in baselines.items()}
        # the machine's speed drifts, so the peak is measured at once before what is compared with it
        peaks: dict[int, list[float]] = {n: [] for n in threads}
        before = {f"mbmf {n}": _peak_into(values, n) for n, values in peaks.items()}
        times = interleave(contestants, seconds, SLICE_SECONDS, before)

    best = min(
        (name for name in baselines if name != "NumPy"), key=lambda name: statistics.median(times[name])
    )
    results = []
    for n, planner in planners.items():
        ours = np.array(times[f"mbmf {n}"])
        median = float(np.median(ours))
        quartiles = np.percentile(ours, [25, 75])
        results.append(
            PlanTime(
                case=case.name,
                horizon=case.horizon,
                candidates=case.candidates,
                hidden=max(case.model.hidden),
                nthread=n,
                seconds=median,
                spread=float(quartiles[1] - quartiles[0]) / 2 / median,
                gflops=case.flops / median * 1e-9,
                peak=statistics.median(peaks[n]),
                torch_seconds=statistics.median(times[best]),
                torch_layout=best.removeprefix("PyTorch "),
                numpy_seconds=statistics.median(times["NumPy"]) if with_numpy else None,
                live_share=oracle.live_share,
                scratch_bytes=scratch_bytes(planner),
            )
        )
    return results


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single plans, one after the other."""

    count: int
    p50: float
    p99: float
    p999: float
    max: float


def latency(case: PlanCase, nthread: int, count: int) -> Latency:
    """Latencies of ``count`` plans of a planner that has planned before, as Python sees them."""
    planner = case.planner(nthread)
    for step in range(10):
        planner.plan(case.state, step=step)
    times = np.empty(count)
    for i in range(count):
        begin = time.perf_counter_ns()
        planner.plan(case.state, step=i)
        times[i] = time.perf_counter_ns() - begin
    times *= 1e-6
    p50, p99, p999 = (float(value) for value in np.percentile(times, [50, 99, 99.9]))
    return Latency(count, p50, p99, p999, float(times.max()))


def scratch_bytes(planner: RandomShooting) -> int:
    """Working memory of a plan, per thread."""
    return planner.core.scratch_bytes


def memory_growth(make: Callable[[], object]) -> int | None:
    """Bytes by which the process grew at its largest while ``make`` ran; None where Linux does not tell."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before would hide what is allocated now
    try:
        clear.write_text("5")  # the peak starts again from what is resident now
        before = _status_bytes(status, "VmRSS")
        made = make()
        grown = _status_bytes(status, "VmHWM") - before
    except (OSError, KeyError):
        return None
    del made
    return max(grown, 0)


def _status_bytes(status: Path, key: str) -> int:
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(fields[key].split()[0]) * 1024


def _peak_into(values: list[float], nthread: int) -> Callable[[], object]:
    return lambda: values.append(_core.multiply_add_peak(nthread, PEAK_SECONDS))


def _plan_of(planner: RandomShooting, case: PlanCase, steps: itertools.count[int]) -> Callable[[], object]:
    return lambda: planner.plan(case.state, step=next(steps))


def _baseline_of(plan: NumpyPlan | TorchPlan, case: PlanCase) -> Callable[[], object]:
    return lambda: plan.plan(case.state)
