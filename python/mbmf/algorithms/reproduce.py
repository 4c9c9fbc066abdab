"""The whole experiment: for each seed model-based learning, imitation, fine-tuning, and model-free learning
to compare with (paper, section VI-D).

Every stage is a run directory of its own, goes on where it was interrupted, and is left as it is when it is
finished, so the whole may be interrupted anywhere.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mbmf.algorithms import fine_tune, imitation, model_based, model_free
from mbmf.algorithms.model_free import Limits
from mbmf.arguments import MAX_COUNT
from mbmf.errors import ConfigError
from mbmf.policies.policy import GaussianPolicy
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Run
from mbmf.tasks.task import Task

SEEDS = (0, 70, 100)
# of the fine-tuning of each run
NUMBER = 1


@dataclass(frozen=True)
class Plan:
    """What is run, beside the task.

    Attributes:
        seeds: one run of each stage for each of them.
        max_steps: bound on the control steps of fine-tuning and of model-free learning, each with all that
            came before it; None: as many as their iterations take.
        stop_at_reward: both end once the mean return of an iteration's episodes is so high.
        std: initial standard deviation of fine-tuning; None: the task's.
        num_rollouts_save_for_mf: rollouts to imitate; None: the task's.
        nthread: threads, 0: one per CPU. The numbers do not depend on it.
    """

    seeds: tuple[int, ...] = SEEDS
    max_steps: int | None = None
    stop_at_reward: float | None = None
    std: float | None = None
    num_rollouts_save_for_mf: int | None = None
    nthread: int = 0

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"seeds must be one or more different ones, 0 or higher, got {self.seeds}")
        if max(self.seeds) > MAX_COUNT:
            raise ConfigError(f"seeds must be at most {MAX_COUNT}, as they name folders, got {self.seeds}")


class Observers(Protocol):
    """Makes an observer for each stage as it begins."""

    def stage(self, title: str, run: Run) -> None:
        """A stage begins, or goes on."""

    def model_based(self, iterations: int) -> model_based.Observer: ...

    def imitation(self, iterations: int) -> imitation.Observer: ...

    def policy(
        self, limits: Limits, batch_size: int, run: Run
    ) -> contextlib.AbstractContextManager[model_free.Observer]: ...


class Silent:
    """Observers that show nothing."""

    def stage(self, title: str, run: Run) -> None:
        pass

    def model_based(self, iterations: int) -> model_based.Observer:
        return model_based.Silent()

    def imitation(self, iterations: int) -> imitation.Observer:
        return imitation.Silent()

    def policy(
        self, limits: Limits, batch_size: int, run: Run
    ) -> contextlib.AbstractContextManager[model_free.Observer]:
        return contextlib.nullcontext(model_free.Silent())


@dataclass(frozen=True)
class Paths:
    """The run directories of a seed."""

    mb: Path
    imitation: Path
    fine_tune: Path
    mf: Path

    @classmethod
    def of(cls, folder: Path, agent: str, seed: int, std: float) -> Paths:
        """Below ``folder``, as the commands name them, with the seed as the number."""
        mb = folder / f"run_{seed}"
        return cls(mb, mb / "imitation", mb / fine_tune.run_name(std, NUMBER), folder / f"mf_{agent}_{seed}")


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
    # everything that may be wrong is so before hours of work
    model_based.settings_of(task)
    imitation.settings_of(task)
    fine_tune.settings_of(task, std=plan.std)
    model_free.settings_of(task)
    observers = observers or Silent()
    folder.mkdir(parents=True, exist_ok=True)
    paths = paths_of(task, agent, folder, plan)
    for seed, where in zip(plan.seeds, paths, strict=True):
        _model_based(task, where.mb, seed, plan, observers)
        with Run.read(where.mb) as run:
            source = ModelBasedResult.load(run, task)
            policy, steps = _imitation(task, where.imitation, source, seed, plan, observers)
            _fine_tune(task, where.fine_tune, policy, steps, seed, plan, observers)
        _model_free(task, where.mf, seed, plan, observers)
    return paths


def _model_based(task: Task, path: Path, seed: int, plan: Plan, observers: Observers) -> None:
    options = model_based.Options(
        seed=seed, nthread=plan.nthread, num_rollouts_save_for_mf=plan.num_rollouts_save_for_mf
    )
    with model_based.open_run(path, task, options, resume=Run(path).exists) as run:
        observers.stage(f"seed {seed}: model-based learning", run)
        observer = observers.model_based(model_based.settings_of(task).iterations)
        model_based.model_based(task, run, options, observer)


def _imitation(
    task: Task, path: Path, source: ModelBasedResult, seed: int, plan: Plan, observers: Observers
) -> tuple[GaussianPolicy, int]:
    common: dict[str, Any] = {"seed": seed, "nthread": plan.nthread}
    settings = imitation.settings_of(task)
    with imitation.open_run(path, task, source, settings, resume=Run(path).exists, **common) as run:
        observers.stage(f"seed {seed}: imitation", run)
        observer = observers.imitation(settings.iterations + 1)
        imitation.imitate(task, run, source, settings, observer=observer, **common)
        return imitation.load_policy(run, task)


def _fine_tune(
    task: Task, path: Path, policy: GaussianPolicy, steps: int, seed: int, plan: Plan, observers: Observers
) -> None:
    settings = fine_tune.settings_of(task, std=plan.std)
    limits = Limits(settings.iterations, plan.max_steps, plan.stop_at_reward)
    common: dict[str, Any] = {"seed": seed, "nthread": plan.nthread, "steps_before": steps}
    resume = Run(path).exists
    with fine_tune.open_run(path, task, policy, settings, limits, resume=resume, **common) as run:
        observers.stage(f"seed {seed}: fine-tuning", run)
        with observers.policy(limits, settings.batch_size, run) as observer:
            fine_tune.fine_tune(task, policy, run, settings, limits, observer=observer, **common)


def _model_free(task: Task, path: Path, seed: int, plan: Plan, observers: Observers) -> None:
    settings = model_free.settings_of(task)
    limits = Limits(settings.iterations, plan.max_steps, plan.stop_at_reward)
    common: dict[str, Any] = {"seed": seed, "nthread": plan.nthread}
    with model_free.open_run(path, task, settings, limits, resume=Run(path).exists, **common) as run:
        observers.stage(f"seed {seed}: model-free learning", run)
        with observers.policy(limits, settings.batch_size, run) as observer:
            model_free.model_free(task, run, settings, limits, observer=observer, **common)
