"""The stages of a seed's experiment: model-based learning, imitation, fine-tuning, and model-free learning.

A stage knows all that its run needs, so that any process may open the run and go on with it.
"""

from __future__ import annotations

import abc
import contextlib
import copy
import dataclasses
from collections.abc import Generator
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
#: what may be done for a seed, as the commands are called, in how many stages: model-based learning; that,
#: then imitation and fine-tuning; TRPO alone
STAGES = {"mb": 1, "mbmf": 3, "mf": 1}
METHODS = tuple(STAGES)


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
        methods: which of `METHODS`; mbmf does what mb does, so only one of these two.
    """

    seeds: tuple[int, ...] = SEEDS
    max_steps: int | None = None
    stop_at_reward: float | None = None
    std: float | None = None
    num_rollouts_save_for_mf: int | None = None
    nthread: int = 0
    methods: tuple[str, ...] = ("mbmf", "mf")

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"seeds must be one or more different ones, 0 or higher, got {self.seeds}")
        if max(self.seeds) > MAX_COUNT:
            raise ConfigError(f"seeds must be at most {MAX_COUNT}, as they name folders, got {self.seeds}")
        if not self.methods or len(set(self.methods)) < len(self.methods) or {*self.methods} - {*METHODS}:
            shown = ", ".join(METHODS)
            raise ConfigError(f"stages must be one or more different ones of {shown}, got {self.methods}")
        if {"mb", "mbmf"} <= {*self.methods}:
            raise ConfigError(f"stages must be mbmf, which begins with mb, without mb, got {self.methods}")


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


@dataclass(frozen=True)
class Stage(abc.ABC):
    """A stage of one seed, whose run is at ``path``. Its numbers do not depend on where or how it is run."""

    task: Task
    path: Path
    seed: int
    plan: Plan

    what = ""

    @property
    def title(self) -> str:
        return f"seed {self.seed}: {self.what}"

    @abc.abstractmethod
    def open(self) -> Run:
        """The run, a new one or that which is there. Raises DataError, ConfigError."""

    @abc.abstractmethod
    def go_on(self, run: Run, observers: Observers) -> None:
        """Does what is left of the stage, in its open run."""

    def moved(self, path: Path, nthread: int) -> Stage:
        """The same stage with its run elsewhere, and on so many threads."""
        return dataclasses.replace(self, path=path, plan=dataclasses.replace(self.plan, nthread=nthread))

    @property
    def _common(self) -> dict[str, Any]:
        return {"seed": self.seed, "nthread": self.plan.nthread}


class ModelBasedStage(Stage):
    what = "model-based learning"

    def open(self) -> Run:
        return model_based.open_run(self.path, self.task, self._options, resume=Run(self.path).exists)

    def go_on(self, run: Run, observers: Observers) -> None:
        observer = observers.model_based(model_based.settings_of(self.task).iterations)
        model_based.model_based(self.task, run, self._options, observer)

    @property
    def _options(self) -> model_based.Options:
        saved = self.plan.num_rollouts_save_for_mf
        return model_based.Options(**self._common, num_rollouts_save_for_mf=saved)


@dataclass(frozen=True)
class ImitationStage(Stage):
    """Imitation of what ``source`` left."""

    source: ModelBasedResult

    what = "imitation"

    def open(self) -> Run:
        settings, resume = imitation.settings_of(self.task), Run(self.path).exists
        return imitation.open_run(self.path, self.task, self.source, settings, resume=resume, **self._common)

    def go_on(self, run: Run, observers: Observers) -> None:
        settings = imitation.settings_of(self.task)
        observer = observers.imitation(settings.iterations + 1)
        imitation.imitate(self.task, run, self.source, settings, observer=observer, **self._common)


@dataclass(frozen=True)
class FineTuneStage(Stage):
    """Fine-tuning of a ``policy`` that cost ``steps`` control steps."""

    policy: GaussianPolicy
    steps: int

    what = "fine-tuning"

    def open(self) -> Run:
        settings = fine_tune.settings_of(self.task, std=self.plan.std)
        return fine_tune.open_run(
            self.path,
            self.task,
            self.policy,
            settings,
            _limits(settings.iterations, self.plan),
            resume=Run(self.path).exists,
            steps_before=self.steps,
            **self._common,
        )

    def go_on(self, run: Run, observers: Observers) -> None:
        settings = fine_tune.settings_of(self.task, std=self.plan.std)
        limits = _limits(settings.iterations, self.plan)
        with observers.policy(limits, settings.batch_size, run) as observer:
            fine_tune.fine_tune(
                self.task,
                copy.deepcopy(self.policy),  # which is improved in place; a stage stays what it is
                run,
                settings,
                limits,
                steps_before=self.steps,
                observer=observer,
                **self._common,
            )


class ModelFreeStage(Stage):
    what = "model-free learning"

    def open(self) -> Run:
        settings, resume = model_free.settings_of(self.task), Run(self.path).exists
        limits = _limits(settings.iterations, self.plan)
        return model_free.open_run(self.path, self.task, settings, limits, resume=resume, **self._common)

    def go_on(self, run: Run, observers: Observers) -> None:
        settings = model_free.settings_of(self.task)
        limits = _limits(settings.iterations, self.plan)
        with observers.policy(limits, settings.batch_size, run) as observer:
            model_free.model_free(self.task, run, settings, limits, observer=observer, **self._common)


def check_settings(method: str, task: Task, plan: Plan) -> None:
    """Raises ConfigError if the task lacks a section that the method's stages need, or it does not fit."""
    if method == "mf":
        model_free.settings_of(task)
        return
    settings = model_based.settings_of(task)
    if method == "mbmf":
        if plan.num_rollouts_save_for_mf is None and settings.rollouts_to_save == 0:
            raise ConfigError(
                f"task {task.name}: model_based.rollouts_to_save must be at least 1 for imitation, got 0"
            )
        imitation.settings_of(task)
        fine_tune.settings_of(task, std=plan.std)


def stages_of(method: str, task: Task, paths: Paths, seed: int, plan: Plan) -> Generator[Stage]:
    """The stages of one of `METHODS`, each made from what the one before left: ask for it when that is over.

    While a stage is at work that starts from another run, nobody may change that run.
    """
    if method == "mf":
        yield ModelFreeStage(task, paths.mf, seed, plan)
        return
    yield ModelBasedStage(task, paths.mb, seed, plan)
    if method == "mb":
        return
    with Run.read(paths.mb) as run:
        yield ImitationStage(task, paths.imitation, seed, plan, ModelBasedResult.load(run, task))
        with Run.read(paths.imitation) as imitated:
            policy, steps = imitation.load_policy(imitated, task)
        yield FineTuneStage(task, paths.fine_tune, seed, plan, policy, steps)


def _limits(iterations: int, plan: Plan) -> Limits:
    return Limits(iterations, plan.max_steps, plan.stop_at_reward)
