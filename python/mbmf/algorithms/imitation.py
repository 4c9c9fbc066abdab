"""Imitation: a policy learns to act as model-predictive control does, first from saved rollouts, then from
what MPC would have done in the situations that the policy gets itself into (paper, section V-A; Ross et al.,
A reduction of imitation learning and structured prediction to no-regret online learning: DAgger).

Every number is a pure function of the task, the model-based run, the seed and the iteration, at any number of
threads, and every iteration ends with files, so a run that was interrupted continues to the same bits.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from mbmf.algorithms.policy_inputs import unseen
from mbmf.cluster.sampler import Here, Sampler
from mbmf.errors import ConfigError, DataError
from mbmf.nn.memory import check_network
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.configuration import task_entries
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Record, Run, versions
from mbmf.tasks.dynamics_section import DynamicsSettings
from mbmf.tasks.learning import ImitationConfig, TrpoConfig, with_changes
from mbmf.tasks.task import Task

# what a policy's updates in the model depend on
_OF_UPDATES = {*TrpoConfig.model_fields, "fit_baseline_first"} - {"bootstrap_truncated"}
# what the model's fits between rounds of them depend on, beside what it is
_OF_FITS = tuple(
    field.name
    for field in dataclasses.fields(DynamicsSettings)
    if field.name not in ("model", "first_epochs")
)


class Observer(Protocol):
    """Is told how a run goes on."""

    def stage(self, title: str, total: int) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """A stage of ``total`` units; the function takes the units done so far."""

    def iteration(self, record: Record, tests: Episodes, labelled: Episodes | None) -> None:
        """An iteration is over, and on the disk: its clean test rollouts, and those that MPC labelled."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


class Silent:
    """An observer that shows nothing."""

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Any:
        yield lambda done: None

    def iteration(self, record: Record, tests: Episodes, labelled: Episodes | None) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def settings_of(task: Task, *, epochs: int | None = None) -> ImitationConfig:
    """The task's settings for this algorithm, with another number of epochs if that is given.

    Raises ConfigError if there are none, or that is no such number.
    """
    if task.imitation is None:
        raise ConfigError(f"task {task.name}: imitation must be given for imitation, got nothing")
    if task.model_free is None:
        raise ConfigError(
            f"task {task.name}: model_free must be given for imitation, whose policy has the hidden layers "
            "of model_free.hidden, got nothing"
        )
    normalize: bool | None = task.model_free.normalize_observations or None
    if task.imitation.normalize_observations is not None:
        normalize = task.imitation.normalize_observations
    return with_changes(task.imitation, "imitation", epochs=epochs, normalize_observations=normalize)


def open_run(
    path: Path,
    task: Task,
    source: ModelBasedResult,
    settings: ImitationConfig,
    *,
    seed: int,
    nthread: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    allow_other_task: bool = False,
) -> Run:
    """The run directory of imitation; see `mbmf.runs.run.Run` for what is refused, and so is a policy that
    does not fit into memory."""
    assert task.model_free is not None
    if overwrite and resume:
        raise ConfigError("overwrite must not be given together with resume: one replaces the run")
    # nothing is replaced by what cannot be
    check_network("model_free.hidden", (task.nobservation, *task.model_free.hidden, task.naction))
    updates: dict[str, Any] = {}
    if settings.imagined is not None:  # nothing else of imitation depends on these
        updates["model_free"] = task.model_free.model_dump(include=_OF_UPDATES)
        if settings.imagined.rounds > 1:
            updates["fits"] = {name: getattr(task.dynamics, name) for name in _OF_FITS}
    config = {
        "algorithm": "imitation",
        **task_entries(task),
        "settings": settings.model_dump(mode="json", exclude_none=True),
        "hidden": list(task.model_free.hidden),
        **({"unseen": unseen(task)} if unseen(task) else {}),
        **updates,
        "seed": seed,
        # what it starts from; another model-based run would have others
        "steps_before": source.steps,
        "mpc_reward_mean": float(source.rollouts.returns.mean()),
        "nthread": nthread,
        "versions": versions(),
    }
    if resume:
        return Run.resume(path, config, allow_other_task=allow_other_task)
    return Run.create(path, config, overwrite=overwrite)


def load_policy(run: Run, task: Task) -> tuple[GaussianPolicy, int]:
    """The policy of a finished run, and the control steps that it cost in all.

    Raises DataError, which names the file, if the run is not finished or the policy is not the task's.
    """
    summary = run.summary()
    if summary is None:
        raise DataError(
            f"{run.path}: imitation must be finished to use its policy, got {len(run.metrics())} iterations "
            "and no summary: go on with it by mbmf mbmf --resume"
        )
    assert task.model_free is not None
    path = run.policy("policy")
    policy = GaussianPolicy.load(path, task, allow_other_task=run.allow_other_task)
    if policy.hidden != task.model_free.hidden:
        raise DataError(
            f"{path}: hidden must be {list(task.model_free.hidden)}, as model_free.hidden, "
            f"got {list(policy.hidden)}"
        )
    recorded = run.config().get("unseen", [])
    if recorded != unseen(task):
        raise DataError(
            f"{run.path}: model_free.inputs must leave out what they did when the policy learned, "
            f"{recorded or 'nothing'}, got {unseen(task) or 'nothing'}: imitate again with --overwrite"
        )
    run.check_files()
    return policy, int(summary["steps_total"])


def imitate(
    task: Task,
    run: Run,
    source: ModelBasedResult,
    settings: ImitationConfig,
    *,
    seed: int,
    nthread: int = 0,
    observer: Observer | None = None,
    sampler: Sampler | None = None,
) -> Record:
    """Runs, or goes on with, imitation in ``run``; returns its summary. The policy is in policy/policy.

    ``sampler`` makes the rollouts and labels; None: this process, with ``nthread`` threads.

    Iteration 1 learns from the saved rollouts of ``source``; each of the others also from the rollouts that
    were labelled after the one before.

    Raises DataError if the run's files are damaged or cannot be written or the training diverges, CoreError
    if no plan or simulation is possible any more. KeyboardInterrupt passes; what was finished is on the disk.
    """
    finished = run.summary()
    if finished is not None:
        return finished
    # PyTorch, which a finished run is told of without
    from mbmf.algorithms.imitation_learner import Learner
    from mbmf.nn.training import torch_threads

    observer, sampler = observer or Silent(), sampler or Here(nthread)
    learner = Learner(task, run, source, settings, seed, sampler, stage=observer.stage, note=observer.note)
    with torch_threads(1):
        for iteration in range(learner.done + 1, settings.iterations + 2):
            observer.iteration(*learner.iterate(iteration))
    return learner.summarize()
