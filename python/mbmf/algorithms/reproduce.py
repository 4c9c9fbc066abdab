"""The whole experiment: for each seed model-based learning, imitation, fine-tuning, and model-free learning
to compare with (paper, section VI-D).

Every stage is a run directory of its own, goes on where it was interrupted, and is left as it is when it is
finished, so the whole may be interrupted anywhere.
"""

from __future__ import annotations

from pathlib import Path

from mbmf.algorithms import fine_tune
from mbmf.algorithms.parallel import Chain, Report, run_chains
from mbmf.algorithms.stages import NUMBER as NUMBER
from mbmf.algorithms.stages import Observers, Silent, check_settings, stages_of
from mbmf.algorithms.stages import Paths as Paths
from mbmf.algorithms.stages import Plan as Plan
from mbmf.cluster.engine import Engine
from mbmf.tasks.task import Task


def paths_of(task: Task, agent: str, folder: Path, plan: Plan) -> list[Paths]:
    """Of every seed."""
    std = fine_tune.settings_of(task, std=plan.std).initial_std
    return [Paths.of(folder, agent, seed, std) for seed in plan.seeds]


def reproduce(
    task: Task, agent: str, folder: Path, plan: Plan, observers: Observers | None = None
) -> list[Paths]:
    """Runs, or goes on with, every stage for every seed; returns where they are.

    Args:
        agent: names the directories of model-free learning.
        folder: of all runs.

    Raises ConfigError if the task lacks a section, DataError if a run there is of other settings or damaged,
    and what the stages raise. KeyboardInterrupt passes; what was finished is on the disk.
    """
    observers = observers or Silent()
    paths = _begin(task, agent, folder, plan)
    for seed, where in zip(plan.seeds, paths, strict=True):
        for method in ("mbmf", "mf"):
            for stage in stages_of(method, task, where, seed, plan):
                with stage.open() as run:
                    observers.stage(stage.title, run)
                    stage.go_on(run, observers)
    return paths


def reproduce_on(
    engine: Engine, task: Task, agent: str, folder: Path, plan: Plan, report: Report | None = None
) -> list[Paths]:
    """`reproduce` with the seeds at the same time, and MF beside MB and MBMF: the same bits.

    Each stage is work for a process or machine of ``engine``; ``plan.nthread`` does not count. A seed that
    fails does not stop the others: the first error is raised when they are finished.
    """
    paths = _begin(task, agent, folder, plan)
    chains = [
        Chain(f"seed {seed} {method}", stages_of(method, task, where, seed, plan), count)
        for method, count in (("mbmf", 3), ("mf", 1))
        for seed, where in zip(plan.seeds, paths, strict=True)
    ]
    failures = run_chains(engine, chains, report)
    if failures:
        raise next(iter(failures.values()))
    return paths


def _begin(task: Task, agent: str, folder: Path, plan: Plan) -> list[Paths]:
    """What may be wrong is so before hours of work."""
    for method in ("mbmf", "mf"):
        check_settings(method, task, plan)
    folder.mkdir(parents=True, exist_ok=True)
    return paths_of(task, agent, folder, plan)
