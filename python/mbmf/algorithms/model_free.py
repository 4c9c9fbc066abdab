"""Model-free reinforcement learning: collect episodes, improve the policy by TRPO, again and again (the
paper's MF, section VI-D; fine-tuning goes on from a policy that it is given).

Every number is a pure function of the task, the seed and the iteration, at any number of threads, and every
iteration ends with a checkpoint, so a run that was interrupted continues to the same bits.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import yaml

from mbmf.algorithms import checkpoint
from mbmf.algorithms.advantages import (
    EpisodeSums,
    explained_variance,
    generalized_advantages,
    standardized,
)
from mbmf.algorithms.baseline import Baseline, BaselineData
from mbmf.algorithms.checkpoint import Counters
from mbmf.algorithms.trpo import Batch, Step, trpo_step
from mbmf.cluster.sampler import Here, Sampler
from mbmf.errors import ConfigError, MbmfError
from mbmf.nn.network_passes import MeanNetwork, Workers
from mbmf.nn.training import torch_threads
from mbmf.policies.batch import PolicyBatch
from mbmf.policies.policy import GaussianPolicy
from mbmf.runs.configuration import task_entries
from mbmf.runs.run import Record, Run, versions
from mbmf.seeds import derive_seed
from mbmf.tasks.learning import ModelFreeConfig, with_changes
from mbmf.tasks.task import Task

# stages whose random numbers derive from the seed
_POLICY, _EPISODES = 10, 11

MAX_SKIPPED_IN_A_ROW = 5


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
                return f"the reward is at least {self.stop_at_reward:g}"
        if self.max_steps is not None and counters.steps >= self.max_steps:
            return f"{counters.steps:,} steps were taken, max_steps is {self.max_steps:,}"
        if counters.iterations >= self.iterations:
            return f"{self.iterations} iterations are done"
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
    """The run directory for these options; see `mbmf.runs.run.Run` for what is refused.

    A run may be continued with other limits and another number of threads, and with nothing else; with
    ``allow_other_task`` also with the robot as it is by now, whatever it was.
    ``start``: what the run starts from, to be recorded, if not from scratch.
    """
    if overwrite and resume:
        raise ConfigError("overwrite must not be given together with resume: one replaces the run")
    limit = dataclasses.asdict(limits)
    config = {
        "algorithm": algorithm,
        **task_entries(task),
        # iterations are a limit, and none of what a run is; YAML reads 1e-05 as a text, as it always did here
        "settings": yaml.safe_load(settings.model_dump_json(exclude={"iterations"})),
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
        task, policy, run, settings, limits, seed=seed, nthread=nthread, observer=observer, sampler=sampler
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
) -> Record:
    """Improves ``policy`` in place until a limit is reached; returns the run's summary.

    Goes on from the run's checkpoint if there is one. When it ends, by an interruption too, the policy is in
    policy/policy.safetensors. ``steps_before``: control steps that the policy cost before.
    ``sampler`` collects the batches; None: this process, with ``nthread`` threads, as its updates always are.

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

    workers = nthread or len(os.sched_getaffinity(0))
    try:
        with torch_threads(1), Workers(workers) as threads:
            while limits.reached(counters, record) is None:
                iteration = _Iteration(task, policy, baseline, counters, settings, seed)
                iteration.sample(sampler, observer)
                iteration.improve(threads)
                baseline, counters, record = iteration.baseline, iteration.counters, iteration.record
                with run.writing(run.policy("checkpoint")) as path:
                    checkpoint.save(path, policy, baseline, counters, record)
                run.append_metrics(record)
                observer.iteration(record)
                if record["skipped"] is not None:
                    _report_skip(record, counters, run, observer)
    finally:
        with run.writing(run.policy("policy")) as path:
            policy.save(path)
    return _summarize(run, counters, limits.reached(counters, record) or "")


class _Iteration:
    """One iteration: episodes of the policy, then an update of policy and baseline."""

    def __init__(
        self,
        task: Task,
        policy: GaussianPolicy,
        baseline: Baseline,
        counters: Counters,
        settings: ModelFreeConfig,
        seed: int,
    ) -> None:
        self._task, self._policy, self._settings, self._seed = task, policy, settings, seed
        self.baseline, self.counters = baseline, counters
        self.record: Record = {"iteration": counters.iterations + 1}

    def sample(self, sampler: Sampler, observer: Observer) -> None:
        """Collects the batch."""
        start = time.perf_counter()
        batch = sampler.policy(
            self._task,
            self._policy,
            steps=self._settings.batch_size,
            seed=derive_seed(self._seed, _EPISODES),
            first_episode=self.counters.next_episode,
            max_episode_steps=self._settings.steps_per_rollout,
            keep_hidden=True,
            progress=observer.sampling,
        )
        self._batch = _without_diverged(batch)
        self.counters = dataclasses.replace(
            self.counters,
            iterations=self.counters.iterations + 1,
            steps=self.counters.steps + batch.nsteps,
            next_episode=batch.next_episode,
        )
        returns = self._batch.returns
        some = len(returns) > 0
        self.record |= {
            "steps": batch.nsteps,
            "steps_total": self.counters.steps,
            "episodes": len(batch),
            "reward_mean": float(returns.mean()) if some else None,
            "reward_std": float(returns.std()) if some else None,
            "reward_min": float(returns.min()) if some else None,
            "reward_max": float(returns.max()) if some else None,
            "episode_length_mean": float(batch.lengths.mean()),
            "terminated": int(batch.terminated.sum()),
            "diverged": int(batch.diverged.sum()),
            "policy_std": float(self._policy.std.mean()),
            "seconds_sampling": time.perf_counter() - start,
        }

    def improve(self, workers: Workers) -> None:
        """Updates policy and baseline with the batch, and fills the record."""
        start = time.perf_counter()
        if self._batch.nsteps:
            step, explained = self._update(workers)
        else:
            step, explained = None, None
        skipped = "every episode diverged" if step is None else step.skipped
        self.counters = dataclasses.replace(
            self.counters,
            skipped=self.counters.skipped + (skipped is not None),
            skipped_in_a_row=self.counters.skipped_in_a_row + 1 if skipped is not None else 0,
        )
        self.record |= {
            "kl": step.kl if step else None,
            "loss_before": step.loss_before if step else None,
            "loss_after": step.loss_after if step else None,
            "step_fraction": step.fraction if step else 0.0,
            "explained_variance": explained,
            "skipped": skipped,
            "seconds_update": time.perf_counter() - start,
        }

    def _update(self, workers: Workers) -> tuple[Step, float]:
        batch, settings = self._batch, self._settings
        assert batch.log_probs is not None

        # advantages, by the baseline that was fitted to the batch before; then fit it to this one
        data = BaselineData(batch.observations, batch.times, workers)
        sums = EpisodeSums(batch.lengths)
        if settings.fit_baseline_first and self.counters.iterations == 1:
            # zeros expect nothing; 2 nobservation + 4 numbers hardly learn a batch by heart
            first = sums(batch.rewards, settings.discount)
            if np.isfinite(first).all():
                self.baseline = data.fit(first, settings.baseline_ridge)
        values = data.predict(self.baseline)
        rewards, final = batch.rewards, None
        if settings.bootstrap_truncated:
            # an episode that ran out of time would have gone on, one that was terminated would not
            final = data.expected(self.baseline, batch.final_observations, batch.lengths)
            final = np.where(batch.truncated, final, 0.0)
            rewards = rewards.copy()
            rewards[np.cumsum(batch.lengths) - 1] += settings.discount * final
        returns = sums(rewards, settings.discount)
        gains = generalized_advantages(
            batch.rewards, values, batch.lengths, settings.discount, settings.gae_lambda, sums, final
        )
        explained = explained_variance(values, returns)
        if np.isfinite(returns).all():
            self.baseline = data.fit(returns, settings.baseline_ridge)

        # the policy
        network = MeanNetwork((self._policy.nobservation, *self._policy.hidden, self._policy.naction))
        step = trpo_step(
            network,
            torch.from_numpy(self._policy.parameter_vector()),
            Batch(
                torch.from_numpy(batch.observations),
                torch.from_numpy(batch.actions),
                torch.from_numpy(batch.means),
                torch.from_numpy(batch.log_probs.astype(np.float32)),
                torch.from_numpy(standardized(gains).astype(np.float32)),
                [torch.from_numpy(layer) for layer in batch.hidden or ()],
            ),
            settings,
            workers,
        )
        self._policy.set_parameter_vector(step.theta.numpy())
        return step, explained


def _without_diverged(batch: PolicyBatch) -> PolicyBatch:
    """Without the episodes in which MuJoCo failed: their states are absurd long before."""
    if not batch.diverged.any():
        return batch
    good = ~batch.diverged
    rows = np.repeat(good, batch.lengths)
    assert batch.log_probs is not None
    assert batch.hidden is not None
    return dataclasses.replace(
        batch,
        **{name: getattr(batch, name)[rows] for name in ("observations", "actions", "means", "rewards")},
        **{name: getattr(batch, name)[good] for name in ("lengths", "terminated", "truncated", "diverged")},
        log_probs=batch.log_probs[rows],
        hidden=tuple(layer[rows] for layer in batch.hidden),
        final_observations=batch.final_observations[good],
    )


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
