"""``mbmf bench control``: how late this machine wakes a waiting thread, and how late plans return."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mbmf.cli.outputs import check_output
from mbmf.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from mbmf import _core

_QUANTILES = (0.5, 0.99, 0.999)
# what a plan may be late by: the 0.2 ms of the promise in docs/deployment.md
_TOLERANCE_NS = 200_000


@dataclass(frozen=True)
class Options:
    """Measure what a control loop can promise here: a waiting thread's wake-ups, and plans with deadlines.

    Both on the machine as it is, or with --busy beside so many threads that do nothing but count.
    """

    plans: int = 10_000
    """Plans with a deadline, and waits, to measure."""

    shortest: float = 0.2
    """Milliseconds of the shortest deadline."""

    longest: float = 20.0
    """Milliseconds of the longest deadline; they are drawn uniformly."""

    task: str = "cheetah_forward"
    """Whose sizes and cost: a preset's name or a YAML file. The network is a random one of 500 units."""

    search: str = "random_shooting"
    """How the plans are searched: random_shooting, cem, icem or mppi."""

    busy: int = 0
    """Threads that keep CPUs busy beside it."""

    nthread: int = 0
    """Threads of the planner, 0: one per CPU."""

    period: float = 2.0
    """Milliseconds between the waits."""

    spin: float = 0.0
    """Milliseconds before a wait's end in which it looks at the clock instead of sleeping."""

    priority: int = 0
    """SCHED_FIFO priority of the threads that wait and plan, 1 to 99; 0: the normal scheduler."""

    seed: int = 0
    """Seed of the deadlines and the network."""

    output: Path | None = None
    """A JSON file for the figures."""


def run(options: Options) -> None:
    """Runs the command. Raises what `mbmf.cli.main` turns into messages."""
    if not 0 < options.shortest <= options.longest <= 1e5:
        raise ConfigError(
            f"--shortest and --longest must be 0 < shortest <= longest <= 1e5 ms, got {options.shortest} and "
            f"{options.longest}"
        )
    for name, low, high in (
        *(("plans", 1, 10**7), ("busy", 0, 64)),
        ("priority", 0, 99),
    ):
        if not low <= getattr(options, name) <= high:
            raise ConfigError(f"--{name} must be from {low} to {high}, got {getattr(options, name)}")
    if options.output is not None:
        check_output(options.output)
    from rich.console import Console

    from mbmf import _core

    console = Console(highlight=False)
    stop = threading.Event()
    workers = [threading.Thread(target=_keep_busy, args=(stop,), daemon=True) for _ in range(options.busy)]
    for worker in workers:
        worker.start()
    try:
        settings = _core.ThreadSettings()
        settings.priority = options.priority
        wakes, notes = _core.measure_wakes(
            options.plans, 1e-3 * options.period, 1e-3 * options.spin, settings
        )
        late, candidates, deadlines = measure_plans(options, settings)
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    console.print(_table(options, wakes, late))
    within = float(np.mean(late <= _TOLERANCE_NS))
    early = late[late < 0]
    console.print(
        f"{100 * within:.3f} % of {options.plans} plans return at most 0.2 ms after their deadline "
        f"({options.shortest:g} to {options.longest:g} ms), {100 * np.mean(late > 0):.3f} % after it at all; "
        f"those before it {1e-6 * -np.median(early) if len(early) else 0:.3f} ms before it in the middle\n"
        f"candidates: {np.mean(candidates):.0f} per plan, "
        f"{1e-3 * np.sum(candidates) / np.sum(deadlines):.0f} per millisecond",
        soft_wrap=True,
    )
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True)
    if options.output is not None:
        from mbmf.files import atomic_write

        figures: dict[str, Any] = {
            "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
            "wake": _figures(wakes),
            "plan": _figures(late),
            "within_tolerance": within,
            "candidates": float(np.mean(candidates)),
        }
        with atomic_write(options.output) as file:
            file.write((json.dumps(figures, indent=2) + "\n").encode())


def measure_plans(
    options: Options, settings: _core.ThreadSettings
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """How late each plan returned (ns), its candidates, and its time to plan (s)."""
    from mbmf import _core
    from mbmf.simulation.simulator import Simulator
    from mbmf.tasks.load import load_task
    from mbmf.tasks.searches import search_values

    task = load_task(options.task)
    planned = task.with_planner(options.search).planner
    if planned.horizon is None:
        raise ConfigError(f"--task must be one whose file has a horizon, got {options.task}")
    # more than there is time for, and few enough that the search stays fine-grained; several rounds are cut
    # short in any of them
    rounds = planned.settings.get("rounds", 1)
    candidates = 65_536 if planned.search == "random_shooting" else 4000 // rounds
    planner = _core.Planner(
        task.core,
        _network(task.nstate, task.naction, options.seed),
        planned.search,
        planned.horizon,
        candidates,
        0,
        options.nthread,
        search_values(planned.search, planned.settings),
    )
    state = Simulator(task, nsim=1, nthread=1).states[0].copy()
    rng = np.random.default_rng(options.seed)
    deadlines = 1e-3 * rng.uniform(options.shortest, options.longest, options.plans)
    _core.measure_deadlines(planner, state, deadlines[:20], settings)  # measures what candidates cost
    late, candidates, _ = _core.measure_deadlines(planner, state, deadlines, settings)
    return late, candidates, deadlines


def _network(nstate: int, naction: int, seed: int) -> Any:
    """Random weights of the presets' size, whose predictions stay near the state."""
    from mbmf import _core

    rng = np.random.default_rng(seed)
    sizes = (nstate + naction, 500, nstate)
    weights = [
        (rng.normal(size=(rows, cols)) / np.sqrt(cols)).astype(np.float32)
        for cols, rows in itertools.pairwise(sizes)
    ]
    return _core.Dynamics(
        nstate,
        naction,
        weights=weights,
        biases=[np.zeros(rows, np.float32) for rows in sizes[1:]],
        activation="relu",
        state_mean=np.zeros(nstate),
        state_std=np.ones(nstate),
        action_mean=np.zeros(naction),
        action_std=np.ones(naction),
        delta_mean=np.zeros(nstate),
        delta_std=np.full(nstate, 0.01),
    )


def _keep_busy(stop: threading.Event) -> None:
    """Occupies a CPU without Python's lock."""
    from mbmf import _core

    while not stop.is_set():
        _core.multiply_add_peak(1, 0.05)


def _figures(ns: npt.NDArray[np.int64]) -> dict[str, float]:
    """Quantiles in milliseconds."""
    found = {f"p{100 * q:g}": 1e-6 * float(np.quantile(ns, q)) for q in _QUANTILES}
    return {"min": 1e-6 * float(ns.min()), **found, "max": 1e-6 * float(ns.max())}


def _table(options: Options, wakes: npt.NDArray[np.int64], late: npt.NDArray[np.int64]) -> Table:
    from rich.table import Table

    beside = f", beside {options.busy} busy threads" if options.busy else ""
    table = Table("ms late", title=f"late, of {options.plans} each{beside}", title_justify="left")
    for column in ("min", "median", "99 %", "99.9 %", "max"):
        table.add_column(column, justify="right")
    for name, ns in (("a loop that only waits", wakes), ("a plan with a deadline", late)):
        table.add_row(name, *(f"{value:.3f}" for value in _figures(ns).values()))
    return table
