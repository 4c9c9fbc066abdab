"""The whole experiment: for each seed model-based learning, imitation, fine-tuning, and model-free learning
to compare with (paper, section VI-D); and the same with other settings of the task, its recipes.

Every stage is a run directory of its own, goes on where it was interrupted, and is left as it is when it is
finished, so the whole may be interrupted anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbmf.algorithms import fine_tune
from mbmf.algorithms.parallel import Chain, Report, run_chains
from mbmf.algorithms.stages import NUMBER as NUMBER
from mbmf.algorithms.stages import STAGES, Observers, Silent, check_settings, stages_of
from mbmf.algorithms.stages import Paths as Paths
from mbmf.algorithms.stages import Plan as Plan
from mbmf.cluster.engine import Engine
from mbmf.tasks.task import Task


@dataclass(frozen=True)
class Experiment:
    """A task, with one of its recipes, whose runs are below one folder.

    Attributes:
        task: with all learning sections that the plan's methods need.
        agent: names the directories of model-free learning.
        folder: of all runs, and of no other experiment's.
    """

    task: Task
    agent: str
    folder: Path

    def paths(self, plan: Plan) -> list[Paths]:
        """Of every seed. Raises ConfigError if the deviation that fine-tuning starts with is out of range."""
        std = fine_tune.settings_of(self.task, std=plan.std).initial_std if "mbmf" in plan.methods else 0.0
        return [Paths.of(self.folder, self.agent, seed, std) for seed in plan.seeds]


def reproduce(experiments: Sequence[Experiment], plan: Plan, observers: Observers | None = None) -> None:
    """Runs, or goes on with, every stage of every method of the plan, for every seed of every experiment.

    Raises ConfigError if a task lacks a section, DataError if a run there is of other settings or damaged,
    and what the stages raise. KeyboardInterrupt passes; what was finished is on the disk.
    """
    observers = observers or Silent()
    _check(experiments, plan)
    for each in experiments:
        for seed, where in zip(plan.seeds, each.paths(plan), strict=True):
            for method in plan.methods:
                for stage in stages_of(method, each.task, where, seed, plan):
                    with stage.open() as run:
                        observers.stage(_title(stage.title, each, experiments), run)
                        stage.go_on(run, observers)


def reproduce_on(
    engine: Engine, experiments: Sequence[Experiment], plan: Plan, report: Report | None = None
) -> None:
    """`reproduce` with the seeds and experiments at the same time, and MF beside MB and MBMF: the same bits.

    Each stage is work for a process or machine of ``engine``; ``plan.nthread`` does not count. A seed that
    fails does not stop the others: the first error is raised when they are finished.
    """
    _check(experiments, plan)
    chains = [
        Chain(
            _title(f"seed {seed} {method}", each, experiments),
            stages_of(method, each.task, where, seed, plan),
            STAGES[method],
        )
        for method in plan.methods
        for each in experiments
        for seed, where in zip(plan.seeds, each.paths(plan), strict=True)
    ]
    failures = run_chains(engine, chains, report)
    if failures:
        raise next(iter(failures.values()))


def _check(experiments: Sequence[Experiment], plan: Plan) -> None:
    """What may be wrong is so before hours of work."""
    for each in experiments:
        for method in plan.methods:
            check_settings(method, each.task, plan)
    for each in experiments:
        each.folder.mkdir(parents=True, exist_ok=True)


def _title(title: str, experiment: Experiment, experiments: Sequence[Experiment]) -> str:
    return title if len(experiments) == 1 else f"{experiment.agent}, {title}"
