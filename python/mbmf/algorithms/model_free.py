"""Model-free reinforcement learning: collect episodes, improve the policy by TRPO, again and again (the
paper's MF, section VI-D; fine-tuning goes on from a policy that it is given).

Every number is a pure function of the task, the seed and the iteration, at any number of threads, and every
iteration ends with a checkpoint, so a run that was interrupted continues to the same bits.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml

from mbmf.algorithms import checkpoint
from mbmf.algorithms.baseline import Baseline
from mbmf.algorithms.checkpoint import Counters
from mbmf.algorithms.policy_inputs import blind, hide, normalize, seen
from mbmf.cluster.sampler import Here, Sampler
from mbmf.errors import ConfigError, MbmfError
from mbmf.nn.memory import check_network
from mbmf.policies.policy import GaussianPolicy
from mbmf.runs.configuration import task_entries
from mbmf.runs.run import Record, Run, versions
from mbmf.seeds import derive_seed
from mbmf.tasks.learning import ModelFreeConfig, with_changes
from mbmf.tasks.task import Task
from mbmf.words import counted

# stages whose random numbers derive from the seed (mbmf.algorithms.policy_iteration has the other)
_POLICY, _PROBE = 10, 12

MAX_SKIPPED_IN_A_ROW = 5
_REWARD_REACHED = "the reward is at least"
# control steps whose observations say how to normalise them, at most a batch
_PROBE_STEPS = 5000


@dataclass(frozen=True)
class Limits:
    """When to stop: after so many iterations, once so many control steps were taken (those before the first
    iteration included), or once an iteration's mean return is so high."""

    iterations: int
    max_steps: int | None = None
    stop_at_reward: float | None = None

    def reached(self, counters: Counters, record: Record | None) -> str | None:
        """What is reached, in words, or None."""
        if self.stop_at_reward is not None and record is not None:
            reward = record["reward_mean"]
            if reward is not None and reward >= self.stop_at_reward:
                return f"{_REWARD_REACHED} {self.stop_at_reward:g}"
        if self.max_steps is not None and counters.steps >= self.max_steps:
            return f"{counters.steps:,} steps were taken, max_steps is {self.max_steps:,}"
        if counters.iterations >= self.iterations:
            return f"{counted(self.iterations, 'iteration is', 'iterations are')} done"
        return None


class Observer(Protocol):
    """Is told how a run goes on."""

    def sampling(self, steps: int) -> None:
        """Control steps of the batch that is being collected, so far."""

    def iteration(self, record: Record) -> None:
        """An iteration is over, and on the disk."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


class Silent:
    """An observer that shows nothing."""

    def sampling(self, steps: int) -> None:
        pass

    def iteration(self, record: Record) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def settings_of(task: Task, section: str = "model_free", **changes: Any) -> ModelFreeConfig:
    """The task's settings for this algorithm, with changes that are not None.

    Raises ConfigError, which names the key in ``section``.
    """
    if task.model_free is None:
        raise ConfigError(f"task {task.name}: model_free must be given for model-free learning, got nothing")
    settings = with_changes(task.model_free, section, **changes)
    if settings.batch_size < settings.steps_per_rollout:
        raise ConfigError(
            f"{section}.batch_size must be at least one episode, steps_per_rollout = "
            f"{settings.steps_per_rollout}, got {settings.batch_size}"
        )
    return settings


def open_run(
    path: Path,
    task: Task,
    settings: ModelFreeConfig,
    limits: Limits,
    *,
    seed: int = 0,
    nthread: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    allow_other_task: bool = False,
    algorithm: str = "model_free",
    start: Mapping[str, Any] | None = None,
) -> Run:
    """The run directory for these options; see `mbmf.runs.run.Run` for what is refused, and so is a policy
    that does not fit into memory.

    A run may be continued with other limits and another number of threads, and with nothing else; with
    ``allow_other_task`` also with the robot as it is by now, whatever it was.
    ``start``: what the run starts from, to be recorded, if not from scratch.
    """
    if overwrite and resume:
        raise ConfigError("overwrite must not be given together with resume: one replaces the run")
    # nothing is replaced by what cannot be
    check_network("model_free.hidden", (task.nobservation, *settings.hidden, task.naction))
    limit = dataclasses.asdict(limits)
    config = {
        "algorithm": algorithm,
        **task_entries(task),
        # iterations are a limit, and none of what a run is; YAML reads 1e-05 as a text, as it always did here
        "settings": yaml.safe_load(settings.model_dump_json(exclude={"iterations", *_unused(settings)})),
        "seed": seed,
        **(start or {}),
        "limits": limit,
        "nthread": nthread,
        "versions": versions(),
    }
    if resume:
        return Run.resume(path, config, allow_other_task=allow_other_task)
    return Run.create(path, config, overwrite=overwrite)


def model_free(
    task: Task,
    run: Run,
    settings: ModelFreeConfig,
    limits: Limits,
    *,
    seed: int = 0,
    nthread: int = 0,
    observer: Observer | None = None,
    sampler: Sampler | None = None,
) -> Record:
    """Runs, or goes on with, TRPO from scratch in ``run``; returns its summary. Arguments and errors are
    those of `optimize`."""
    policy = GaussianPolicy(task, settings.hidden, seed=derive_seed(seed, _POLICY), std=settings.initial_std)
    return optimize(
        task,
        policy,
        run,
        settings,
        limits,
        seed=seed,
        nthread=nthread,
        observer=observer,
        sampler=sampler,
        fresh=True,
    )


def optimize(
    task: Task,
    policy: GaussianPolicy,
    run: Run,
    settings: ModelFreeConfig,
    limits: Limits,
    *,
    seed: int = 0,
    nthread: int = 0,
    steps_before: int = 0,
    observer: Observer | None = None,
    sampler: Sampler | None = None,
    fresh: bool = False,
) -> Record:
    """Improves ``policy`` in place until a limit is reached; returns the run's summary.

    Goes on from the run's checkpoint if there is one. When it ends, by an interruption too, the policy is in
    policy/policy.safetensors. ``steps_before``: control steps that the policy cost before.
    ``sampler`` collects the batches; None: this process, with ``nthread`` threads, as its updates always are.
    ``fresh``: the policy has learned nothing, and takes its inputs as the settings say.

    Raises MbmfError after `MAX_SKIPPED_IN_A_ROW` updates in a row that were not finite, DataError if the
    run's files are damaged or cannot be written, CoreError if no simulation is possible any more.
    KeyboardInterrupt passes; the iterations that were finished are on the disk.
    """
    observer, sampler = observer or Silent(), sampler or Here(nthread)
    baseline, counters = Baseline.zero(task.nobservation), Counters(steps=steps_before)
    record: Record | None = None
    if run.policy("checkpoint").exists():
        baseline, counters, record = checkpoint.load(run.policy("checkpoint"), policy)
        run.agree(run.policy("checkpoint"), record)
    else:
        blind(policy, seen(task))
        if fresh and settings.normalize_observations:
            counters = _probe(task, policy, settings, seed, counters, sampler, observer)

    reached, summary = limits.reached(counters, record), run.summary()
    if reached is not None and summary is not None and summary["iterations"] == counters.iterations:
        return _summarize(run, counters, reached)  # its policy was written before the summary
    # PyTorch, which a finished run is told of without
    from mbmf.algorithms.policy_iteration import Iteration
    from mbmf.nn.training import torch_threads
    from mbmf.nn.workers import Workers

    workers = nthread or len(os.sched_getaffinity(0))
    try:
        with torch_threads(1), Workers(workers) as threads:
            while limits.reached(counters, record) is None:
                iteration = Iteration(task, policy, baseline, counters, settings, seed)
                iteration.sample(sampler, observer.sampling)
                iteration.improve(threads)
                baseline, counters, record = iteration.baseline, iteration.counters, iteration.record
                with run.writing(run.policy("checkpoint")) as path:
                    checkpoint.save(path, policy, baseline, counters, record)
                run.append_metrics(record)
                # first: an observer may end a slice of a run's work here, every time
                if record["skipped"] is not None:
                    _report_skip(record, counters, run, observer)
                observer.iteration(record)
    finally:
        with run.writing(run.policy("policy")) as path:
            policy.save(path)
    return _summarize(run, counters, limits.reached(counters, record) or "")


def _unused(settings: ModelFreeConfig) -> set[str]:
    """Settings that a configuration is without unless they are used: runs from before they were go on."""
    return {name for name in ("normalize_observations", "inputs") if not getattr(settings, name)}


def _probe(
    task: Task,
    policy: GaussianPolicy,
    settings: ModelFreeConfig,
    seed: int,
    counters: Counters,
    sampler: Sampler,
    observer: Observer,
) -> Counters:
    """Normalises what the policy sees by episodes of its own; the counts, with their steps."""
    batch = sampler.policy(
        task,
        policy,
        steps=min(settings.batch_size, _PROBE_STEPS),
        seed=derive_seed(seed, _PROBE),
        max_episode_steps=settings.steps_per_rollout,
        progress=observer.sampling,
    )
    good = batch.observations[np.repeat(~batch.diverged, batch.lengths)]
    if len(good):
        normalize(policy, hide(good, seen(task)))
    return dataclasses.replace(counters, steps=counters.steps + batch.nsteps)


def _report_skip(record: Record, counters: Counters, run: Run, observer: Observer) -> None:
    where = f"iteration {record['iteration']}: update skipped, the policy stays as it was"
    observer.note(f"{where}: {record['skipped']} ({counters.skipped} skipped so far)")
    if counters.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
        raise MbmfError(
            f"{counters.skipped_in_a_row} updates in a row were not finite, the last: {record['skipped']}; "
            f"stopped, with the last good policy in {run.policy('policy')}"
        )


def _summarize(run: Run, counters: Counters, reason: str) -> Record:
    records = run.metrics()
    rewarded = [record for record in records if record["reward_mean"] is not None]
    best = max(rewarded, key=lambda record: record["reward_mean"], default=None)
    summary = {
        "stopped": reason,
        "stopped_at_reward": reason.startswith(_REWARD_REACHED),
        "iterations": counters.iterations,
        "steps_total": counters.steps,
        "skipped": counters.skipped,
        "reward_mean": rewarded[-1]["reward_mean"] if rewarded else None,
        "best_reward_mean": best["reward_mean"] if best else None,
        "best_iteration": best["iteration"] if best else None,
        "seconds": sum(record["seconds_sampling"] + record["seconds_update"] for record in records),
    }
    run.write_summary(summary)
    return summary
