"""One iteration of policy optimisation: a batch of episodes, then an update of the policy by TRPO and of the
value baseline."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import torch

from mbmf.algorithms.advantages import (
    discounted_sums,
    explained_variance,
    generalized_advantages,
    standardized,
)
from mbmf.algorithms.baseline import Baseline
from mbmf.algorithms.baseline_fit import BaselineData
from mbmf.algorithms.checkpoint import Counters
from mbmf.algorithms.policy_inputs import hide, seen
from mbmf.algorithms.trpo import Batch, Step, trpo_step
from mbmf.cluster.sampler import Sampler
from mbmf.nn.network_passes import MeanNetwork
from mbmf.nn.workers import Workers
from mbmf.policies.batch import PolicyBatch
from mbmf.policies.policy import GaussianPolicy
from mbmf.runs.run import Record
from mbmf.seeds import derive_seed
from mbmf.tasks.learning import ModelFreeConfig
from mbmf.tasks.task import Task

# the stage whose random numbers derive from the seed (mbmf.algorithms.model_free has the other)
_EPISODES = 11


class Iteration:
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

    def sample(self, sampler: Sampler, sampling: Callable[[int], None]) -> None:
        """Collects the batch; ``sampling`` takes the steps so far."""
        start = time.perf_counter()
        batch = sampler.policy(
            self._task,
            self._policy,
            steps=self._settings.batch_size,
            seed=derive_seed(self._seed, _EPISODES),
            first_episode=self.counters.next_episode,
            max_episode_steps=self._settings.steps_per_rollout,
            keep_hidden=True,
            progress=sampling,
        )
        self._batch = unseen_hidden(without_diverged(batch), self._task)
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
        if settings.fit_baseline_first and self.counters.iterations == 1:
            # zeros expect nothing; 2 nobservation + 4 numbers hardly learn a batch by heart
            first = discounted_sums(batch.rewards, batch.lengths, settings.discount)
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
        returns = discounted_sums(rewards, batch.lengths, settings.discount)
        gains = generalized_advantages(
            batch.rewards, values, batch.lengths, settings.discount, settings.gae_lambda, final
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
            workers.nthread,
        )
        self._policy.set_parameter_vector(step.theta.numpy())
        return step, explained


def unseen_hidden(batch: PolicyBatch, task: Task) -> PolicyBatch:
    """With 0 for what the task's policies do not see: neither policy nor baseline learn of it."""
    those = seen(task)
    return dataclasses.replace(
        batch,
        observations=hide(batch.observations, those),
        final_observations=hide(batch.final_observations, those),
    )


def without_diverged(batch: PolicyBatch) -> PolicyBatch:
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
