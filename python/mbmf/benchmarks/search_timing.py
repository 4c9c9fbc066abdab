"""Times of plans by each search: how much of one is the network's arithmetic, how much is searching."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mbmf import _core
from mbmf.benchmarks import plan_timing
from mbmf.errors import MbmfError

if TYPE_CHECKING:
    from mbmf.benchmarks.plan_cases import PlanCase
    from mbmf.planning.planner import Planner


@dataclass(frozen=True)
class SearchTime:
    """One search at one number of threads, in the middle of an episode. Times are medians in seconds.

    ``searching`` is the share of a plan that is not rolling candidates through the network: drawing and
    colouring them, choosing elites, refitting.
    """

    case: str
    search: str
    horizon: int
    candidates: int
    """Over all rounds."""
    rounds: int
    nthread: int
    seconds: float
    gflops: float
    peak: float
    searching: float
    speedup: float
    """Over one thread."""

    @property
    def peak_share(self) -> float:
        return self.gflops / self.peak


def measure_searches(
    case: PlanCase,
    searches: Sequence[str],
    threads: Sequence[int],
    seconds: float,
    horizon: int | None = None,
    candidates: int | None = None,
) -> list[SearchTime]:
    """The case by each search at each number of threads, in turns within one run.

    Args:
        horizon: in place of the published 30 of CEM and iCEM and the case's own for the others.
        candidates: of the first round, in place of a search's default, or the case's for random shooting.

    Raises:
        MbmfError: a plan's cost is not that of its actions.
    """
    from mbmf.planning.make import make_planner

    planners: dict[tuple[str, int], Planner] = {}
    for search, nthread in itertools.product(searches, threads):
        is_random = search == "random_shooting"
        steps = horizon or (30 if search in ("cem", "icem") else case.horizon)
        count = candidates or (case.candidates if is_random else None)
        planner = make_planner(case.task, case.model, search, steps, count, nthread=nthread)
        _check(case, planner)
        planners[search, nthread] = planner
    shares: dict[str, list[float]] = {f"{s} {n}": [] for s, n in planners}

    def turn(search: str, nthread: int) -> Any:
        planner = planners[search, nthread]

        def run() -> None:
            planner.plan(case.state)
            total, rounds, proposing, predicting = planner.core.times
            shares[f"{search} {nthread}"].append(1 - (rounds - proposing / nthread + predicting) / total)

        return run

    contestants = {f"{s} {n}": turn(s, n) for s, n in planners}
    times = plan_timing.interleave(contestants, seconds * len(planners), plan_timing.SLICE_SECONDS)
    found = []
    for (search, nthread), planner in planners.items():
        median = statistics.median(times[f"{search} {nthread}"])
        plan = planner.plan(case.state)
        flops = case.resized(horizon=planner.horizon, candidates=plan.candidates_done).flops
        one = statistics.median(times[f"{search} {threads[0]}"])
        found.append(
            SearchTime(
                case.name,
                search,
                planner.horizon,
                plan.candidates_done,
                plan.rounds_done,
                nthread,
                median,
                1e-9 * flops / median,
                _core.multiply_add_peak(nthread, plan_timing.PEAK_SECONDS),
                statistics.median(shares[f"{search} {nthread}"]),
                one / median,
            )
        )
    return found


def _check(case: PlanCase, planner: Planner) -> None:
    plan = planner.plan(case.state)
    states = case.model.core.open_loop(
        np.ascontiguousarray(case.state, np.float32)[None], plan.actions[None], 1
    )
    want = float(case.task.cost(states, plan.actions[None])[0])
    if not np.isclose(plan.cost, want, rtol=1e-3, atol=1e-3 * max(1.0, abs(want))):
        raise MbmfError(f"{case.name}, {planner.search}: the plan's cost must be {want}, got {plan.cost}")


def rows_of(times: Sequence[SearchTime]) -> list[Mapping[str, Any]]:
    """As a table's rows, for files."""
    return [{**vars(time), "peak_share": time.peak_share} for time in times]
