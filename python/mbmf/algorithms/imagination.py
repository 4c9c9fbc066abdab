"""A policy that goes on learning in the model of its robot, before it acts again.

Policy optimisation as in reality, on episodes that a learned model predicts (Kurutach et al., "Model-ensemble
trust-region policy optimization", 2018). A policy that has learned nothing learns what the model gets wrong;
one that imitates the planner, in states where the planner and it have been, learns what imitation missed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mbmf.algorithms.baseline import Baseline
from mbmf.algorithms.checkpoint import Counters
from mbmf.algorithms.policy_inputs import blind, seen
from mbmf.cluster.sampler import Here
from mbmf.dynamics.model import DynamicsModel
from mbmf.policies.batch import PolicyBatch
from mbmf.policies.policy import GaussianPolicy
from mbmf.rollouts.imagine import imagine_policy
from mbmf.seeds import derive_seed
from mbmf.tasks.learning import ImaginedConfig, ModelFreeConfig
from mbmf.tasks.task import Task

# stages whose random numbers derive from the seed
_STARTS, _UPDATES = 30, 31
# of an episode of control that is about to begin, as against one in the middle
_SHARE_OF_BEGINNINGS = 0.5


class _Imagination(Here):
    """A sampler whose policies' episodes are imagined."""

    def __init__(
        self,
        model: DynamicsModel,
        beginnings: npt.NDArray[np.float64],
        states: npt.NDArray[np.float64],
        rollouts: int,
        seed: int,
        nthread: int,
        allow_other_task: bool,
    ) -> None:
        super().__init__(nthread)
        self._model, self._seed, self._rollouts = model, seed, rollouts
        self._beginnings, self._states, self._allow = beginnings, states, allow_other_task

    def policy(self, task: Task, policy: GaussianPolicy, **options: Any) -> PolicyBatch:
        first = options["first_episode"]
        rng = np.random.default_rng(derive_seed(self._seed, _STARTS, first))
        count = self._rollouts
        begins = rng.random(count) < _SHARE_OF_BEGINNINGS
        starts = np.where(
            begins[:, None],
            self._beginnings[rng.integers(len(self._beginnings), size=count)],
            self._states[rng.integers(len(self._states), size=count)],
        )
        return imagine_policy(
            task,
            self._model,
            policy,
            starts,
            options["max_episode_steps"],
            options["seed"],
            self.threads,
            first,
            keep_hidden=options["keep_hidden"],
            progress=options["progress"],
            allow_other_task=self._allow,
        )


def improve_in_model(
    task: Task,
    policy: GaussianPolicy,
    model: DynamicsModel,
    beginnings: npt.NDArray[np.float64],
    states: npt.NDArray[np.float64],
    settings: ImaginedConfig,
    *,
    seed: int,
    nthread: int = 0,
    progress: Callable[[int], Any] | None = None,
    allow_other_task: bool = False,
) -> list[float]:
    """Improves ``policy`` in place, by TRPO on imagined episodes, and leaves it the last update's deviations.

    Args:
        task: the policy's and the model's; its model_free says how policies are updated.
        policy: that imitates a planner.
        model: what predicts.
        beginnings: states that episodes began in, (n, nstate); half of the imagined episodes begin so.
        states: that the robot has been in, (m, nstate); the others begin in these.
        settings: how many updates, of how many episodes, how long, with which deviation.
        seed: of starts and actions.
        nthread: threads, 0: one for every CPU; the policy does not depend on it.
        progress: called with the updates done so far.
        allow_other_task: take a policy of the robot as it was.

    Returns the mean reward of a step in each update's episodes; an update that is not finite is left out.

    Raises ValueError where the task's rewards or observations are not of states. KeyboardInterrupt passes.
    """
    from mbmf.algorithms.policy_iteration import Iteration
    from mbmf.nn.workers import Workers

    of_policies = task.model_free
    assert of_policies is not None
    updates = ModelFreeConfig.model_validate(
        {
            **of_policies.model_dump(),
            "initial_std": settings.std,
            "batch_size": settings.rollouts * settings.steps,
            "steps_per_rollout": settings.steps,
            "bootstrap_truncated": True,
        }
    )
    policy.set_std(settings.std)
    blind(policy, seen(task))
    sampler = _Imagination(model, beginnings, states, settings.rollouts, seed, nthread, allow_other_task)
    baseline, counters, rewards = Baseline.zero(task.nobservation), Counters(steps=0), []
    with Workers(sampler.threads or len(os.sched_getaffinity(0))) as workers:
        for done in range(settings.iterations):
            iteration = Iteration(task, policy, baseline, counters, updates, derive_seed(seed, _UPDATES))
            iteration.sample(sampler, lambda steps: None)
            iteration.improve(workers)
            baseline, counters = iteration.baseline, iteration.counters
            record = iteration.record
            rewards.append((record["reward_mean"] or 0.0) / max(record["episode_length_mean"], 1.0))
            if progress is not None:
                progress(done + 1)
    return rewards
