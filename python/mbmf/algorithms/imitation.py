"""Imitation: a policy learns to act as model-predictive control does, first from saved rollouts, then from
what MPC would have done in the situations that the policy gets itself into (paper, section V-A; Ross et al.,
A reduction of imitation learning and structured prediction to no-regret online learning: DAgger).

Every number is a pure function of the task, the model-based run, the seed and the iteration, at any number of
threads, and every iteration ends with files, so a run that was interrupted continues to the same bits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mbmf.algorithms import imitation_checkpoint as checkpoint
from mbmf.algorithms.cloning import Cloning, Examples
from mbmf.cluster.sampler import Here, Sampler
from mbmf.errors import ConfigError, DataError
from mbmf.nn.training import torch_threads
from mbmf.planning.make import make_planner
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.configuration import task_entries
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Record, Run, versions
from mbmf.seeds import derive_seed
from mbmf.tasks.learning import ImitationConfig, with_changes
from mbmf.tasks.task import Task

# stages whose random numbers derive from the seed
_POLICY, _VALIDATION, _BATCHES, _ROLLOUTS, _TESTS, _PLAN = range(20, 26)

# states that are labelled between two looks at the keyboard


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
    return with_changes(task.imitation, "imitation", epochs=epochs)


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
    """The run directory of imitation; see `mbmf.runs.run.Run` for what is refused."""
    assert task.model_free is not None
    if overwrite and resume:
        raise ConfigError("overwrite must not be given together with resume: one replaces the run")
    config = {
        "algorithm": "imitation",
        **task_entries(task),
        "settings": settings.model_dump(mode="json", exclude_none=True),
        "hidden": list(task.model_free.hidden),
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
    learner = _Learner(task, run, source, settings, seed, sampler or Here(nthread), observer or Silent())
    with torch_threads(1):
        for iteration in range(learner.done + 1, learner.settings.iterations + 2):
            learner.iterate(iteration)
    return learner.summarize()


class _Learner:
    """What grows from iteration to iteration: the policy, and the examples that it learns from."""

    def __init__(
        self,
        task: Task,
        run: Run,
        source: ModelBasedResult,
        settings: ImitationConfig,
        seed: int,
        sampler: Sampler,
        observer: Observer,
    ) -> None:
        self.settings = settings
        self._task, self._run, self._source, self._observer = task, run, source, observer
        self._seed, self._sampler = seed, sampler
        assert task.model_free is not None
        self._policy = GaussianPolicy(task, task.model_free.hidden, seed=derive_seed(seed, _POLICY))

        # examples of the saved rollouts, some of which are held out
        saved = examples_of(source.rollouts)
        held_out = validation_count(len(saved), self.settings.validation_points)
        if held_out != self.settings.validation_points:
            observer.note(
                f"imitation.validation_points: {self.settings.validation_points} are more than half of the "
                f"{len(saved)} points of the saved rollouts: a tenth is held out, {held_out}"
            )
        rng = np.random.default_rng(derive_seed(seed, _VALIDATION))
        self._examples, self._validation = saved.split(held_out, rng)
        self._steps = source.steps + len(saved)
        self._cloning = Cloning.start(self._policy)

        # what was done before an interruption
        self.done = 0
        if run.policy("checkpoint").exists():
            self._cloning, record = checkpoint.load(run.policy("checkpoint"), task.name, self._cloning)
            self.done = record["iteration"]
            for i in range(1, min(self.done, self.settings.iterations) + 1):
                self._aggregate(
                    Episodes.load(run.rollouts(i), task=task, allow_other_task=run.allow_other_task)
                )
            run.agree(run.policy("checkpoint"), record)

    def iterate(self, iteration: int) -> None:
        """Trains, tests, and, unless it is the last iteration, collects more to learn from."""
        settings, observer = self.settings, self._observer
        start = time.perf_counter()
        title = f"imitation {iteration} of {settings.iterations + 1}"
        with observer.stage(f"{title}: train", settings.epochs) as progress:
            self._cloning, history = self._cloning.fit(
                self._examples,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                rng=np.random.default_rng(derive_seed(self._seed, _BATCHES, iteration)),
                held_out=self._validation,
                patience=settings.patience,
                progress=lambda epochs, _: progress(epochs),
            )
        self._cloning.write_to(self._policy)
        trained = time.perf_counter()

        # clean test rollouts, which nothing is learned from
        tests = self._drive(_TESTS, iteration, settings.test_rollouts, 0.0, f"{title}: test")
        good = tests.returns[~tests.diverged]
        record: Record = {
            "iteration": iteration,
            "points": len(self._examples),
            "points_validation": len(self._validation),
            "steps_total": self._steps,
            "loss_train": history.losses[history.best],
            "loss_validation": self._cloning.loss(self._validation),
            "reward_mean": float(good.mean()) if len(good) else None,
            "reward_std": float(good.std()) if len(good) else None,
            "returns": [float(value) for value in tests.returns],
            "episode_length_mean": float(tests.lengths.mean()),
            "terminated": int(tests.terminated.sum()),
            "diverged": int(tests.diverged.sum()),
            "seconds_training": trained - start,
            "seconds_tests": time.perf_counter() - trained,
        }

        if settings.patience is not None:
            record |= {"epochs": len(history.losses), "best_epoch": history.best + 1}

        # rollouts of the policy, with what MPC would have done
        labelled = None
        tested = time.perf_counter()
        if iteration <= settings.iterations:
            labelled = self._label(iteration, title)
            with self._run.writing(self._run.rollouts(iteration)) as path:
                labelled.save(path)
            self._aggregate(labelled)
        record["rollouts_labelled"] = len(labelled) if labelled else 0
        record["steps_labelled"] = labelled.nsteps if labelled else 0
        record["seconds_labelling"] = time.perf_counter() - tested

        with self._run.writing(self._run.policy("policy")) as path:
            self._policy.save(path)
        with self._run.writing(self._run.policy("checkpoint")) as path:
            checkpoint.save(path, self._task.name, self._cloning, record)
        self._run.append_metrics(record)
        self.done = iteration
        observer.iteration(record, tests, labelled)

    def summarize(self) -> Record:
        """Writes the policy and the summary of the run."""
        self._cloning.write_to(self._policy)
        with self._run.writing(self._run.policy("policy")) as path:
            self._policy.save(path)
        records = self._run.metrics()
        summary = {
            "iterations": len(records),
            "points": records[-1]["points"],
            "steps_total": records[-1]["steps_total"],
            "loss_validation": records[-1]["loss_validation"],
            "reward_mean": records[-1]["reward_mean"],
            "reward_std": records[-1]["reward_std"],
            "mpc_reward_mean": float(self._source.rollouts.returns.mean()),
            "seconds": sum(
                each[f"seconds_{what}"] for each in records for what in ("training", "tests", "labelling")
            ),
        }
        self._run.write_summary(summary)
        return summary

    def _drive(self, stage: int, iteration: int, count: int, noise: float, title: str) -> Episodes:
        """Episodes of the policy's mean actions, with noise, from the starts that MPC had."""
        longest = self._source.settings.steps_per_rollout
        with self._observer.stage(title, count * longest) as progress:
            batch = self._sampler.policy(
                self._task,
                self._policy,
                episodes=count,
                seed=derive_seed(self._seed, stage),
                first_episode=(iteration - 1) * count,
                max_episode_steps=longest,
                std=noise,
                kind="control",
                keep_states=True,
                progress=progress,
            )
        return batch.to_episodes(self._task)

    def _label(self, iteration: int, title: str) -> Episodes:
        """Rollouts of the policy whose actions are MPC's in place of those that were executed."""
        settings = self.settings
        first = settings.noise_from_iteration
        noise = settings.noise if first is not None and iteration >= first else 0.0
        rollouts = self._drive(_ROLLOUTS, iteration, settings.rollouts_to_label, noise, f"{title}: drive")
        planned = self._source.planner
        planner = make_planner(
            self._task,
            self._source.model,
            planned.search,
            planned.horizon,
            planned.candidates,
            seed=derive_seed(self._seed, _PLAN),
            nthread=self._sampler.threads,
            settings=planned.settings,
            value=self._source.value,
            policy=self._source.policy,
        )
        # what MuJoCo failed in is absurd long before: nothing to learn from
        healthy = rollouts.select(~rollouts.diverged)
        if len(healthy) < len(rollouts):
            lost = len(rollouts) - len(healthy)
            self._observer.note(f"{title}: {lost} of {len(rollouts)} rollouts diverged and are left out")
        number = (iteration - 1) * settings.rollouts_to_label
        with self._observer.stage(f"{title}: ask MPC", healthy.nsteps) as progress:
            labels = self._sampler.labels(planner, healthy, first_episode=number, progress=progress)
        return dataclasses.replace(healthy, actions=labels)

    def _aggregate(self, labelled: Episodes) -> None:
        self._steps += labelled.nsteps
        self._examples = self._examples.and_then(examples_of(labelled))


def examples_of(episodes: Episodes) -> Examples:
    """What the policy would have seen in each step, and the recorded action."""
    real = np.arange(episodes.actions.shape[1]) < episodes.lengths[:, None]
    seen = episodes.states if episodes.observations is None else episodes.observations
    return Examples(seen[:, :-1][real].astype(np.float32), episodes.actions[real])


def validation_count(points: int, wanted: int) -> int:
    """How many of the saved points are held out: those wanted, or a tenth where that is more than half.

    Raises DataError if there are fewer than ten points.
    """
    if points < 10:
        raise DataError(f"saved rollouts must have at least 10 points to imitate, got {points}")
    return wanted if 2 * wanted <= points else points // 10
